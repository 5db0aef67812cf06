"""The stepper: walk through both passes of a graph, with the picture, the formulas and the numbers in step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from mlp import draw
from mlp.engine import trace
from mlp.graph import Graph
from mlp.inputs import one_of, positive
from mlp.ops import Array
from mlp.prepared import prepare
from mlp.steps import check_graph
from mlp.text import number, printed, tuple_of
from mlp.views.state import PANELS, state, stops
from mlp.views.view import View

RATES = (0.01, *(float(f"{digit}e{power}") for power in range(-3, -9, -1) for digit in (5, 2, 1)))
UPDATES = 10


def falling_rate(graph: Graph, values: Mapping[str, Array]) -> float:
    """The first of 0.01, 0.005, 0.002, 0.001, … at which J rises in none of the first ten updates.

    No fixed rate would do: at 0.01 the running example learns, and a network of six layers may be thrown beyond all
    numbers by its first update.

    Parameters
    ----------
    graph, values
        As for `mlp.value_and_grad`.

    Returns
    -------
    float
        The last of them, 1e-8, if J rises at each.
    """
    return next((rate for rate in RATES if _falls(graph, values, rate)), RATES[-1])


def _falls(graph: Graph, values: Mapping[str, Array], rate: float) -> bool:
    now, last = {name: np.array(array) for name, array in values.items()}, float("inf")
    try:
        run = prepare(graph)
        for _ in range(UPDATES + 1):
            J, gradients = run(now)
            if J - last > 4 * np.finfo(graph.dtype).eps * abs(J):  # more than what rounding makes where J cannot fall
                return False
            last = J
            for name, gradient in gradients.items():
                now[name] -= rate * gradient
    except FloatingPointError:  # thrown beyond all numbers
        return False
    return True


class Stepper(View):
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
    lr : float, optional
        The learning rate of "update, and step again". By default the first of 0.01, 0.005, 0.002, 0.001, … at which J
        rises in none of the first ten updates.
    step : int or str
        The stop to begin with: from 0, or by its name, as in the address.

    Attributes
    ----------
    step : int
        The stop that is shown, from 0. Can be set, and observed.
    values : dict
        The numbers as nested lists, as the reader has edited them. Can be set (to arrays too), and observed: as a
        whole, ``view.values = {**view.values, "W1": W1}``. An entry that is changed inside it changes no view.

    Raises
    ------
    TypeError, ValueError
        For a graph, values or options that do not fit, with their names.
    """

    svg = traitlets.Unicode().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        graph: Graph,
        values: Mapping[str, Array],
        show: Sequence[str] = ("graph", "formula", "numbers"),
        *,
        name: str = "stepper",
        lr: float | None = None,
        step: int | str = 0,
    ) -> None:
        check_graph(graph)
        if isinstance(show, str) or not isinstance(show, Sequence):
            raise TypeError(f"show: expected a list of panels such as ('graph', 'formula'), received {show!r}")
        for panel in show:
            one_of(panel, PANELS, "show")
        names = [stop.id for stop in stops(graph)]
        self._count = len(names)
        if isinstance(step, str):
            one_of(step, names, "step")
            step = names.index(step)
        told = state(graph, values, view="stepper", show=show, name=name, lr=positive(1 if lr is None else lr, "lr"))
        if lr is None:
            told["lr"] = falling_rate(graph, values)
        super().__init__(graph, told, svg=draw.to_svg(graph, direction="both"), step=step)

    @traitlets.validate("step")
    def _valid_step(self, proposal: Any) -> int:
        step: int = proposal["value"]
        if not 0 <= step < self._count:
            raise ValueError(f"step: expected a stop from 0 to {self._count - 1}, received {step}")
        return step

    def _place(self) -> dict[str, Any]:
        return {"step": self.step}

    def _pictures(self) -> tuple[str, str, str]:
        picture = draw.picture(self.graph)
        return repr(picture), picture.svg, self.svg

    def _caption(self) -> str:
        J = float(trace(self.graph, self.arrays())[str(self.graph.objective)])
        return (
            f"Forward, backward and update in {self._count} stops. With the numbers it begins with, "
            f"{self.graph.objective} = {number(J)}."
        )

    def _legend(self) -> str:
        return (
            "A filled corner says that a value, or on the way back a cotangent, is there; a dashed border, that "
            "instalments are still to come. Double lines carry cotangents; thick ones, what this stop reads and writes."
        )

    def text(self) -> str:
        """Every stop in words, with the numbers it makes; of a cotangent that is not final, what is there so far."""
        run = trace(self.graph, self.arrays())
        sums: dict[str, Array] = {}
        holds: list[Array] = []  # for each step, what the array that it writes then holds
        for step in run:
            name = step.variable
            if step.phase == "backward":
                part = step.contributions[name]
                sums[name] = sums[name] + part if name in sums else part
            holds.append(sums[name] if step.phase == "backward" else run[name])
        lines = []
        walk = stops(self.graph)
        for place, stop in enumerate(walk, 1):
            made = [holds[index] for index in stop.steps]
            shown = "; ".join(tuple_of(array) for array in made if array.size <= 12)
            lines.append(f"{place} of {len(walk)}, {stop.phase}. {stop.words}" + (f" {shown}" if shown else ""))
        return printed("\n".join(lines))
