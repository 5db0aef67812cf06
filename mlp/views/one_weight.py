"""One weight: slide it and J moves; the slope of J over it is one number of the backward pass, which gives all."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets

from mlp.draw.labels import unicode_name
from mlp.engine import value_and_grad
from mlp.graph import Graph
from mlp.inputs import listed, one_of
from mlp.ops import Array
from mlp.steps import check_graph
from mlp.text import number, printed
from mlp.views import curve
from mlp.views.state import head
from mlp.views.view import View


class OneWeight(View):
    """Slide one weight and see J move; find the slopes of all by nudging, and by one backward pass.

    In Jupyter it is a widget; in a built page an island that needs no kernel; elsewhere a figure and a text.

    Parameters
    ----------
    graph : Graph
        With an objective, and at least one parameter.
    values : mapping of str to ndarray
        As for `mlp.value_and_grad`.
    chosen : mapping, optional
        The weight to begin with: ``{"name": "W2", "index": [1, 0]}``, counted from 0, the index ``[]`` for a scalar.
        Without it, the one with the steepest slope.
    ask : bool
        Whether the reader is asked first which way the weight should go. The curve and its slope are shown with the
        answer, or when the weight is moved.
    name : str
        Names the view in the page.

    Attributes
    ----------
    chosen : dict
        The weight that the slider moves. Can be set, and observed.
    values : dict
        The numbers as nested lists, as the reader has changed them. Can be set (to arrays too), and observed: as a
        whole, ``view.values = {**view.values, "W1": W1}``. An entry that is changed inside it changes no view.

    Raises
    ------
    TypeError, ValueError
        For a graph, values or a choice that do not fit, with their names.
    """

    chosen = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        graph: Graph,
        values: Mapping[str, Array],
        chosen: Mapping[str, Any] | None = None,
        *,
        ask: bool = False,
        name: str = "one-weight",
    ) -> None:
        check_graph(graph)
        if not graph.parameters:
            raise ValueError("graph: expected a parameter, whose value can be slid, received a graph without any")
        if not isinstance(ask, bool):
            raise TypeError(f"ask: expected True or False, received {ask!r}")
        if chosen is not None and not isinstance(chosen, Mapping):
            raise TypeError(f"chosen: expected a mapping with 'name' and 'index', received {chosen!r}")
        told = {**head(graph, values, view="one-weight", name=name), "ask": ask}
        super().__init__(graph, told, chosen=steepest(graph, values) if chosen is None else dict(chosen))

    @traitlets.validate("chosen")
    def _valid_chosen(self, proposal: Any) -> dict[str, Any]:
        """A parameter by name, and an entry of it by row and column."""
        choice: dict[str, Any] = proposal["value"]
        if set(choice) != {"name", "index"}:
            raise ValueError(f"chosen: expected 'name' and 'index', received {listed(choice)}")
        one_of(choice["name"], self.graph.parameters, "chosen: name")
        shape = self.graph.variables[choice["name"]].shape
        index = choice["index"]
        fits = isinstance(index, list | tuple) and len(index) == len(shape) and all(map(_is_index, index, shape))
        if not fits:
            within = " and ".join(f"0 to {size - 1}" for size in shape) if shape else "none, []"
            raise ValueError(f"chosen: index of {choice['name']}: expected {within}, received {index!r}")
        return {"name": choice["name"], "index": [int(k) for k in index]}

    @property
    def _entry(self) -> tuple[str, tuple[int, ...]]:
        return self.chosen["name"], tuple(self.chosen["index"])

    def _place(self) -> dict[str, Any]:
        return {"chosen": self.chosen}

    def _pictures(self) -> tuple[str, str, str]:
        values = self.arrays()
        alone, inline = (curve.picture(self.graph, values, *self._entry, alone=alone) for alone in (True, False))
        return curve.described(self.graph, values, *self._entry), alone, inline

    def _caption(self) -> str:
        J = unicode_name(str(self.graph.objective))
        return (
            f"{J} as one weight moves. The slope at its value is one entry of the gradient. "
            "One backward pass gives all of them."
        )

    def text(self) -> str:
        """The chosen weight and its slope in words; what all slopes cost either way."""
        name, index = self._entry
        values = self.arrays()
        count = sum(values[parameter].size for parameter in self.graph.parameters)
        steep = steepest(self.graph, values)
        _, gradients = value_and_grad(self.graph, values)
        slope = float(gradients[steep["name"]][tuple(steep["index"])])
        return printed(
            "\n".join(
                [
                    curve.described(self.graph, values, name, index),
                    "One backward pass gives its slope; nudging it up and down takes 2 forward passes."
                    if count == 1
                    else f"One backward pass gives the slopes of all {count} weights; nudging each of them up and down "
                    f"takes {2 * count} forward passes.",
                    f"The steepest is at {curve.entry_name(steep['name'], tuple(steep['index']))}: {number(slope)}.",
                ]
            )
        )


def _is_index(k: object, size: int) -> bool:
    return isinstance(k, int | np.integer) and not isinstance(k, bool) and 0 <= int(k) < size


def steepest(graph: Graph, values: Mapping[str, Array]) -> dict[str, Any]:
    """The weight over which J is steepest: the first, where several are."""
    _, gradients = value_and_grad(graph, values)
    name = max(graph.parameters, key=lambda parameter: float(np.abs(gradients[parameter]).max()))
    shape = graph.variables[name].shape
    place = np.unravel_index(int(np.abs(gradients[name]).argmax()), shape)
    return {"name": name, "index": [int(k) for k in place]}
