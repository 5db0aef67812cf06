"""J over one weight: the slopes at the weight's value, and the curve as a picture, for places without a script."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mlp.draw.labels import unicode_name
from mlp.engine import trace, value_and_grad
from mlp.graph import Graph
from mlp.ops import Array
from mlp.prepared import prepare
from mlp.text import number
from mlp.views.chart import Label, chart, colour

REACH, POINTS = 2.0, 81  # how far the curve goes to both sides, and by how many points: as in the view itself
STEP = 1e-5  # of a nudge, as a part of max(1, |w|)
WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 360, 190, 46, 24, 8


class Slopes(NamedTuple):
    """The gradient's entry for a weight; and the slopes to the left and to the right of it."""

    gradient: float
    left: float
    right: float
    corner: bool


def moved(values: Mapping[str, Array], name: str, index: tuple[int, ...], entry: float) -> dict[str, Array]:
    """The values with one entry set."""
    array = np.array(values[name])
    array[index] = entry
    return {**values, name: array}


def slopes(graph: Graph, values: Mapping[str, Array], name: str, index: tuple[int, ...]) -> Slopes:
    """The slope of J over one entry of a parameter, from one backward pass, and from nudging to both sides.

    At a corner the two sides may differ: the nudge takes the input of an operator such as relu away from 0.
    """
    _, gradients = value_and_grad(graph, values)
    double = graph.with_dtype("float64")
    exact = {given: np.array(array, "float64") for given, array in values.items()}
    w = float(exact[name][index])
    reach = STEP * max(1.0, abs(w))
    runs = [trace(double, moved(exact, name, index, w + nudge)) for nudge in (-reach, 0.0, reach)]
    low, here, high = (float(run[str(graph.objective)]) for run in runs)
    kinked = {equation.inputs[0] for equation in graph.equations if graph.table[equation.op].corner}
    corner = any(((runs[1][z] == 0) & (run[z] != 0)).any() for z in kinked for run in runs)
    return Slopes(float(gradients[name][index]), (here - low) / reach, (high - here) / reach, corner)


def told(J: str, slope: float) -> str:
    """A slope in words, and which way it says."""
    if abs(slope) < 1e-12:
        return f"Raise it a little and {J} stays where it is."
    way, move = ("rises", "lower") if slope > 0 else ("falls", "raise")
    return f"Raise it a little and {J} {way} at {number(abs(slope))} per unit: to bring {J} down, {move} it."


def entry_name(name: str, index: tuple[int, ...]) -> str:
    """``W⁽²⁾ row 2, column 1``; of a scalar, its name."""
    return f"{unicode_name(name)} row {index[0] + 1}, column {index[1] + 1}" if index else unicode_name(name)


def picture(graph: Graph, values: Mapping[str, Array], name: str, index: tuple[int, ...], *, alone: bool) -> str:
    """The curve of J over one entry, its point, and the tangent there; at a corner a line to each side.

    Parameters
    ----------
    graph, values
        As for `value_and_grad`.
    name, index
        The entry of a parameter.
    alone : bool
        For an image: plain colours on white. Otherwise for a page, whose colours it takes.

    Returns
    -------
    str
        SVG.
    """
    w, J = float(values[name][index]), str(graph.objective)
    here = slopes(graph, values, name, index)
    run = prepare(graph)
    points = []
    for entry in np.linspace(w - REACH, w + REACH, POINTS):
        try:
            points.append((float(entry), run(moved(values, name, index, float(entry)))[0]))
        except FloatingPointError:  # J is not finite there: the curve has a gap
            continue
    at = value_and_grad(graph, values)[0]
    low, high = min(at, *(height for _, height in points)), max(at, *(height for _, height in points))
    room = (high - low or 1.0) * 0.08

    def x(entry: float) -> float:
        return LEFT + (entry - w + REACH) / (2 * REACH) * (WIDTH - LEFT - EDGE)

    def y(height: float) -> float:
        return HEIGHT - BOTTOM - (height - low + room) / (high - low + 2 * room) * (HEIGHT - BOTTOM - EDGE)

    def across(slope: float, side: int) -> str:
        rising = slope * side > 0  # so that a steep line stays inside
        span = (high - at if rising else at - low) + room
        length = min(REACH * 0.4, span / (abs(slope) or 1.0)) * side
        return f"M{x(w):.1f} {y(at):.1f}L{x(w + length):.1f} {y(at + slope * length):.1f}"

    sides = (here.left, here.right) if here.corner else (here.gradient, here.gradient)
    tangent = across(sides[0], -1) + across(sides[1], 1)
    line = "".join(f"{'L' if k else 'M'}{x(entry):.1f} {y(height):.1f}" for k, (entry, height) in enumerate(points))
    title = f"{unicode_name(J)} as {entry_name(name, index)} moves"
    forward, backward = (colour(role, alone=alone) for role in ("forward", "backward"))
    labels: list[Label] = [(LEFT + 7, 18, "start", unicode_name(J))]
    labels += [(LEFT - 6, y(height) + 4, "end", number(height, 3)) for height in (high, low)]
    ends = zip((w - REACH, w, w + REACH), ("start", "middle", "end"), strict=True)
    labels += [(x(entry), HEIGHT - 6, anchor, number(entry, 3)) for entry, anchor in ends]
    drawn = (
        f'<path d="M{LEFT} {EDGE}V{HEIGHT - BOTTOM}H{WIDTH - EDGE}" opacity=".5"/>'
        f'<path d="{line}" style="stroke:{forward};stroke-width:2.25"/>'
        f'<path d="{tangent}" style="stroke:{backward};stroke-width:2.5;stroke-dasharray:7 3"/>'
        f'<circle cx="{x(w):.1f}" cy="{y(at):.1f}" r="5" style="fill:{forward}" stroke="none"/>'
    )
    return chart((WIDTH, HEIGHT), title, described(graph, values, name, index), drawn, labels, alone=alone)


def described(graph: Graph, values: Mapping[str, Array], name: str, index: tuple[int, ...]) -> str:
    """What the picture shows, in words."""
    J, here = unicode_name(str(graph.objective)), slopes(graph, values, name, index)
    w, at = float(values[name][index]), value_and_grad(graph, values)[0]
    start = f"{J} as {entry_name(name, index)} moves: at {number(w)} it is {number(at)}"
    if here.corner:
        sides = f"{number(here.left)} to the left and {number(here.right)} to the right"
        return f"{start}, a corner with two slopes, {sides}. The backward pass gives {number(here.gradient)}."
    return f"{start}, with the slope {number(here.gradient)}. {told(J, here.gradient)}"
