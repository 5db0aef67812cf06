"""Walks: a chain's training step under several plans, run by run, with what each holds and what it computes again."""

from collections.abc import Mapping
from html import escape
from typing import Any

import traitlets

from mlp import checkpoint
from mlp.draw.labels import unicode_name
from mlp.draw.svg import LIGHT
from mlp.graph import Graph
from mlp.inputs import counted, listed, one_of
from mlp.steps import Plan, policy_name, schedule
from mlp.text import bytes_text, printed
from mlp.views.state import who
from mlp.views.view import Figure

SPACE, RADIUS = 34, 14  # between layers in the static picture, px; of a layer


class Walks(Figure):
    """Step through a chain of layers under several plans: a row that goes forward, and a row that goes back.

    A layer of the upper row is filled while the value that it hands on is held. In Jupyter it is a widget; in a built
    page an island that needs no kernel; elsewhere a figure and a text.

    Parameters
    ----------
    graph : Graph
        A chain, as for `mlp.checkpoint.chain`.
    plans : mapping of str to str or Plan
        Policies of `mlp.schedule`, and plans of `mlp.checkpoint`, by the name that the reader chooses.
    name : str
        Names the view in the page.

    Attributes
    ----------
    plan : str
        The chosen plan. Can be set and observed.
    run : int
        Where the reader is: the run of a layer, from 0. Can be set and observed.

    Raises
    ------
    TypeError, ValueError
        For no plan, a plan of another graph, a graph that is no chain.
    """

    plan = traitlets.Unicode().tag(sync=True)
    run = traitlets.Int().tag(sync=True)

    def __init__(self, graph: Graph, plans: Mapping[str, str | Plan], *, name: str = "walks") -> None:
        whole = checkpoint.chain(graph)
        if not isinstance(plans, Mapping) or not plans:
            raise TypeError(f"plans: expected a mapping from names to policies or plans, received {plans!r}")
        told = [{"name": str(label), "runs": runs(whole, plan)} for label, plan in plans.items()]
        layers = [str(number + 1) for number in range(len(whole))]
        super().__init__({**who("walks", name), "layers": layers, "plans": told}, plan=told[0]["name"], run=0)

    @traitlets.validate("plan")
    def _known_plan(self, proposal: Any) -> str:
        one_of(proposal["value"], [plan["name"] for plan in self._told["plans"]], "plan")
        return str(proposal["value"])

    @traitlets.validate("run")
    def _known_run(self, proposal: Any) -> int:
        last = max(len(plan["runs"]) for plan in self._told["plans"]) - 1
        if not 0 <= proposal["value"] <= last:
            raise ValueError(f"run: expected 0 to {last}, received {proposal['value']}")
        return int(proposal["value"])

    def _now(self) -> dict[str, Any]:
        return {"plan": self.plan, "run": self.run}

    def _chosen(self) -> list[dict[str, Any]]:
        return next(plan["runs"] for plan in self._told["plans"] if plan["name"] == self.plan)

    def _pictures(self) -> tuple[str, str, str]:
        walked = self._chosen()
        turn = next(place for place, run in enumerate(walked) if run["phase"] == "backward") - 1
        picture = _picture(self._told["layers"], walked[turn], walked[turn]["words"])
        return walked[turn]["words"], picture, picture

    def _caption(self) -> str:
        names = [plan["name"] for plan in self._told["plans"]]
        return (
            f"{counted(len(self._told['layers']), 'layer')} under {listed(names)}. Filled: the layer's value is held. "
            "Dashed: it has not run yet. Double ring: it has gone back. ×2: it has run forward twice. Thick ring: you "
            "are here."
        )

    def text(self) -> str:
        """Every run of the chosen plan, in words."""
        return printed("\n".join([f"{self.plan}:", *(run["words"] for run in self._chosen())]))


def runs(whole: checkpoint.Chain, plan: str | Plan) -> list[dict[str, Any]]:
    """The runs of a chain's layers, in order: phase, layer from 0, the layers whose values are held, and the words.

    Parameters
    ----------
    whole : Chain
    plan : str or Plan

    Returns
    -------
    list of dict
    """
    steps = schedule(whole.graph, plan)
    if steps[-1].phase != "backward":
        raise ValueError(f"plans: expected policies that go back, received {policy_name(plan)!r}, which does not")
    lives = [life for life in steps.lifetimes() if life.array in whole.values]
    turns = list(whole.runs(steps))
    found: list[dict[str, Any]] = []
    most = max(map(steps.bytes, range(len(steps))))
    seen: set[int] = set()
    for place, (first, last, phase, layer) in enumerate(turns):
        held = sorted({whole.values.index(life.array) for life in lives if life.first <= last and first <= life.last})
        again = phase == "forward" and layer in seen
        peak = max(steps.bytes(index) for index in range(first, last + 1))
        holds = f"Held: {listed([unicode_name(whole.values[k]) for k in held])}" if held else "No layer's value is held"
        source = f", from {unicode_name(whole.values[layer - 1]) if layer else 'the input'}" if again else ""
        way = "goes back" if phase == "backward" else f"goes forward again{source}" if again else "goes forward"
        size = f"{bytes_text(peak)} alive{', the peak' if peak == most else ''}"
        words = f"Run {place + 1} of {len(turns)}: layer {layer + 1} {way}. {holds}; {size}."
        found.append({"phase": phase, "layer": layer, "held": held, "words": words})
        seen.add(layer)
    return found


def _picture(layers: list[str], run: Mapping[str, Any], words: str) -> str:
    """The two rows as SVG, for where no script runs."""
    width = SPACE * len(layers) + 90
    drawn = []
    for row, phase in enumerate(("forward", "backward")):
        y, colour = 24 + 44 * row, LIGHT[phase]
        drawn.append(f'<text x="4" y="{y + 5}" font-size="13">{phase}</text>')
        for place, label in enumerate(layers):
            x = 100 + SPACE * place
            fill = colour if row == 0 and place in run["held"] else "none"
            ink = "#FFFFFF" if fill != "none" else "currentColor"
            drawn.append(f'<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="{fill}" stroke="{colour}" stroke-width="2"/>')
            drawn.append(f'<text x="{x}" y="{y + 5}" font-size="13" text-anchor="middle" fill="{ink}">{label}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(words)}" viewBox="0 0 {width} 92" '
        f'width="{width}" height="92" font-family="system-ui,sans-serif" fill="currentColor">{"".join(drawn)}</svg>'
    )
