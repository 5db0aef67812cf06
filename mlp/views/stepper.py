"""The stepper: walk through both passes of a graph, with the picture, the formulas and the numbers in step."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import anywidget
import numpy as np
import traitlets

from mlp import draw
from mlp.engine import check_graph, trace
from mlp.graph import Graph
from mlp.inputs import listed, one_of, positive
from mlp.ops import Array
from mlp.text import tuple_of
from mlp.views import bundle
from mlp.views.state import PANELS, state, stops, to_json


class Stepper(anywidget.AnyWidget):
    """Step through forward, backward and update of a graph, and change its numbers.

    In Jupyter it is a widget; in a built page an island that needs no kernel; elsewhere a figure and a text.

    Parameters
    ----------
    graph : Graph
        With an objective.
    values : mapping of str to ndarray
        As for `mlp.value_and_grad`.
    show : sequence of str
        What is open at first, of ``"graph"``, ``"formula"``, ``"numbers"``, ``"rule"``, ``"memory"`` and ``"code"``.
    name : str
        Names the view in a page's address: ``#name:dJ-dW2`` opens it at that stop.
    lr : float
        The learning rate of "update, and step again".
    step : int
        The stop to begin with, from 0.

    Attributes
    ----------
    step : int
        The stop that is shown, from 0. Can be set, and observed.
    values : dict
        The numbers as nested lists, as the reader has edited them. Can be set (to arrays too), and observed.

    Raises
    ------
    TypeError, ValueError
        For a graph, values or options that do not fit, with their names.
    """

    _esm = bundle.module()
    _css = bundle.style()
    state = traitlets.Unicode().tag(sync=True)
    svg = traitlets.Unicode().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    values = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        graph: Graph,
        values: Mapping[str, Array],
        show: Sequence[str] = ("graph", "formula", "numbers"),
        *,
        name: str = "stepper",
        lr: float = 0.05,
        step: int = 0,
    ) -> None:
        check_graph(graph)
        if isinstance(show, str) or not isinstance(show, Sequence):
            raise TypeError(f"show: expected a list of panels such as ('graph', 'formula'), received {show!r}")
        for panel in show:
            one_of(panel, PANELS, "show")
        if not isinstance(name, str) or not name.replace("-", "").isalnum() or not name[0].isalpha():
            raise ValueError(f"name: expected a letter, then letters, digits or '-', received {name!r}")
        self.graph = graph
        self._count = len(stops(graph))
        self._told = state(graph, values, view="stepper", show=show, name=name, lr=positive(lr, "lr"))
        super().__init__(
            state=to_json(self._told),
            svg=draw.to_svg(graph, direction="both"),
            values=self._told["values"],
            step=step,
        )

    @traitlets.validate("step")
    def _valid_step(self, proposal: Any) -> int:
        step: int = proposal["value"]
        if not 0 <= step < self._count:
            raise ValueError(f"step: expected a stop from 0 to {self._count - 1}, received {step}")
        return step

    @traitlets.validate("values")
    def _valid_values(self, proposal: Any) -> dict[str, Any]:
        """Arrays or nested lists for all given variables; kept as nested lists, which travel."""
        given: dict[str, Any] = proposal["value"]
        arrays = self.arrays(given)
        trace(self.graph, arrays)  # checks them as any other values
        return {name: array.tolist() for name, array in arrays.items()}

    def arrays(self, values: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """The numbers as arrays, ready for `mlp.value_and_grad`."""
        chosen = self.values if values is None else values
        unknown = [name for name in chosen if name not in self.graph.given]
        if unknown:
            raise ValueError(f"values: expected {listed(self.graph.given)}, received {listed(unknown)}")
        return {name: np.array(value, self.graph.dtype) for name, value in chosen.items()}

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and for those who cannot show one the island and the text."""
        live = super()._repr_mimebundle_(**kwargs)
        data, metadata = live if live is not None else ({}, {})
        return {**data, "text/html": self.island(), "text/plain": self.text()}, metadata

    def island(self) -> str:
        """An inert figure with the picture, and the state beside it, which the book's page script brings to life."""
        told = {**self._told, "values": self.values, "step": self.step}
        picture = draw.picture(self.graph)
        image = base64.b64encode(picture.svg.encode()).decode()
        live = to_json({"state": told, "svg": self.svg})
        return (
            f'<figure class="mlp-view" data-view="stepper" id="{escape(told["name"])}">'
            f'<img alt="{escape(repr(picture))}" src="data:image/svg+xml;base64,{image}">'
            f"<figcaption>{escape(self._caption())}</figcaption>"
            f'<script type="application/json">{live}</script></figure>'
        )

    def _caption(self) -> str:
        J = float(trace(self.graph, self.arrays())[str(self.graph.objective)])
        return f"Forward, backward and update in {self._count} stops. Here {self.graph.objective} = {J:.4g}."

    def text(self) -> str:
        """Every stop in words, with the numbers that it makes."""
        run = trace(self.graph, self.arrays())
        lines = []
        walk = stops(self.graph)
        for number, stop in enumerate(walk, 1):
            made = [run[run[index].writes[0]] for index in stop.steps]
            shown = "; ".join(tuple_of(array) for array in made if array.size <= 12)
            lines.append(f"{number} of {len(walk)}, {stop.phase}. {stop.words}" + (f" {shown}" if shown else ""))
        return "\n".join(lines)
