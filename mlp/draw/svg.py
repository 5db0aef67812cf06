"""A graph's picture as SVG: squares, circles and lines on the grid that `layout` gives, with real mathematics.

Nothing in it has an id unless the caller asks, so that any number of pictures can share a page; a script finds nodes
and edges by their ``data-`` attributes. Colours are CSS custom properties, so that a page's theme reaches them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import hypot
from typing import TYPE_CHECKING

from mlp.draw import labels
from mlp.draw.labels import coordinate
from mlp.draw.layout import Box, Edge, Key, Layout, Point, Selection, arrange, full, needs_outline, outline
from mlp.graph import Graph
from mlp.inputs import counted

if TYPE_CHECKING:
    from mlp.steps import Step

LIGHT = {"forward": "#005FB8", "backward": "#B23A00", "parameter": "#1F2328", "freed": "#5F6670"}
DARK = {"forward": "#6CB6FF", "backward": "#FFA163", "parameter": "#F0F3F6", "freed": "#9AA4AF"}
LIGHT |= {"wrong": "#B00040", "paper": "#FFFFFF"}  # paper: around and on the badge of what is wrong
DARK |= {"wrong": "#FF8FA8", "paper": "#14181E"}
WAYS = ("forward", "backward")
SQUARE, SHAPED, CIRCLE, BOX = 48.0, 58.0, 44.0, (88.0, 48.0)  # pixels
SPACE, MARGIN, ROUND = 22.0, 6.0, 10.0  # between nodes, around all, of an edge's corner
SYMBOL, FRACTION, OPERATOR, TEXT = 18.0, 20.0, 22.0, 13.5  # font sizes
SHRINK = 0.82  # an inline picture shrinks this far and scrolls from there: 13.5 px text stays at 11
HEAD = (9.0, 4.2)  # length and half width of an arrow's head
CORNER, BADGE = 11.0, 8.0  # legs of the corner of a square that has its value; radius of a guilty node's badge

ROLES = (
    "--mlp-f:var(--mlp-forward,%(forward)s);--mlp-b:var(--mlp-backward,%(backward)s);"
    "--mlp-p:var(--mlp-parameter,%(parameter)s);--mlp-x:var(--mlp-freed,%(freed)s)"
)
ROLES_BOTH = f"{ROLES};--mlp-w:var(--mlp-wrong,%(wrong)s);--mlp-k:%(paper)s"
DARK_PAGES = ("html[data-theme=dark]", "[data-jp-theme-light=false]", ".vscode-dark", ".vscode-high-contrast")
# --mlp-n is the colour of the direction that shows now.
RULES = """
.mlp-svg{--mlp-n:var(--mlp-f)}
.mlp-svg[data-direction=backward]{--mlp-n:var(--mlp-b)}
.mlp-svg .mlp-line{fill:none;stroke-width:1.6;stroke-linejoin:round}
.mlp-svg .mlp-forward .mlp-line{stroke:var(--mlp-f)}
.mlp-svg .mlp-forward .mlp-head{fill:var(--mlp-f)}
.mlp-svg .mlp-backward .mlp-line{stroke:var(--mlp-b);stroke-width:1.2}
.mlp-svg .mlp-backward .mlp-head{fill:var(--mlp-b)}
.mlp-svg .mlp-unused .mlp-line{stroke:var(--mlp-x);stroke-width:1;stroke-dasharray:2 4}
.mlp-svg .mlp-edge.mlp-current .mlp-line{stroke-width:3.6}
.mlp-svg .mlp-backward.mlp-edge.mlp-current .mlp-line{stroke-width:2.2}
.mlp-svg .mlp-node .mlp-outline{fill:none;stroke:currentColor;stroke-width:1.4}
.mlp-svg .mlp-parameter .mlp-outline{stroke:var(--mlp-p);stroke-width:3.2}
.mlp-svg .mlp-gap .mlp-outline,.mlp-svg .mlp-hidden .mlp-outline{stroke-dasharray:5 4}
.mlp-svg .mlp-label{fill:currentColor}
.mlp-svg text{font:13.5px/1 system-ui,sans-serif;text-anchor:middle}
.mlp-svg .mlp-node.mlp-cotangent .mlp-label{fill:var(--mlp-b)}
.mlp-svg .mlp-node.mlp-unused{opacity:.75}
.mlp-svg .mlp-node.mlp-unused .mlp-outline{stroke:var(--mlp-x)}
.mlp-svg .mlp-node.mlp-current .mlp-outline{stroke:var(--mlp-n);stroke-width:4;fill:var(--mlp-n);fill-opacity:.12}
.mlp-svg .mlp-node.mlp-written:not(.mlp-final) .mlp-outline{stroke-dasharray:6 3.5}
"""
# In a picture of both directions: which of them shows, and what a script can say of a node. The selectors outweigh
# those above, which every other picture of the page brings again.
RULES_BOTH = """
.mlp-svg.mlp-both:not([data-direction=backward]) .mlp-when-backward,\
.mlp-svg.mlp-both[data-direction=backward] .mlp-when-forward,.mlp-corner,.mlp-badge{display:none}
.mlp-svg.mlp-both .mlp-unused-backward{--mlp-n:var(--mlp-f)}
.mlp-svg.mlp-both[data-direction=backward] .mlp-unused-backward .mlp-label{opacity:.75}
.mlp-svg.mlp-both[data-direction=backward] .mlp-unused-backward .mlp-outline{stroke:var(--mlp-x)}
.mlp-svg.mlp-both .mlp-cotangent .mlp-when-forward .mlp-label{fill:currentColor}
.mlp-svg.mlp-both .mlp-outline{pointer-events:all}
.mlp-svg.mlp-both .mlp-edge.mlp-current .mlp-backward .mlp-line{stroke-width:2}
.mlp-svg.mlp-both .mlp-edge.mlp-current .mlp-head{stroke:var(--mlp-n);stroke-width:1.6;stroke-linejoin:round}
.mlp-svg.mlp-both .mlp-node.mlp-filled .mlp-outline{fill:var(--mlp-n);fill-opacity:.12}
.mlp-svg.mlp-both .mlp-filled .mlp-corner{display:inline;fill:var(--mlp-n)}
.mlp-svg.mlp-both .mlp-node.mlp-pending .mlp-outline{stroke:var(--mlp-n);stroke-dasharray:6 3.5}
.mlp-svg.mlp-both .mlp-node.mlp-guilty .mlp-outline{stroke:var(--mlp-w);stroke-width:4;\
fill:var(--mlp-w);fill-opacity:.08}
.mlp-svg.mlp-both .mlp-guilty .mlp-badge{display:inline;fill:var(--mlp-w);\
stroke:var(--mlp-k);stroke-width:2;stroke-linecap:round}
"""


def _style(direction: str, standalone: bool) -> str:
    """Rules for every picture on a page alike; a standalone one has plain colours, which every viewer knows."""
    rules = (RULES + RULES_BOTH if direction == "both" else RULES).replace("\n", "")
    if standalone:
        rules = rules.replace("var(--mlp-n)", LIGHT[direction])
        for letter, role in zip("fbpx", LIGHT, strict=False):
            rules = rules.replace(f"var(--mlp-{letter})", LIGHT[role])
        return rules
    roles = ROLES_BOTH if direction == "both" else ROLES
    light, dark = roles % LIGHT, roles % DARK
    pages = ",".join(f"{page} .mlp-svg" for page in DARK_PAGES)
    return f".mlp-svg{{{light}}}{pages}{{{dark}}}{rules}"


def choose(graph: Graph, outlined: bool | None) -> Selection:
    """All of the graph, or, by default where that is too much, an outline."""
    return outline(graph) if (needs_outline(graph) if outlined is None else outlined) else full(graph)


def draw(
    graph: Graph,
    step: "Step | None",
    *,
    direction: str,
    shapes: bool,
    title: str | None,
    rankdir: str,
    outlined: bool | None,
    id_prefix: str | None,
    standalone: bool,
) -> str:
    """Draw, with all arguments checked."""
    chosen = choose(graph, outlined)
    layout = arrange(graph, chosen)
    lit = Lit.of(graph, chosen, step)
    nodes = {
        key: _node(graph, chosen, key, direction, shapes, lit)
        for key in sorted(layout.cells, key=layout.cells.__getitem__)
    }
    sizes = {key: (node.width, node.height) for key, node in nodes.items()}
    plane = _Plane(layout, sizes, rankdir)
    edges = [_edge(graph, chosen, edge, direction, plane, lit) for edge in layout.edges]
    edges.sort(key=lambda drawn: drawn[0])  # what is lit lies on top
    body = [text for _, text in edges]
    for key, node in nodes.items():
        x, y = plane.centre(key)
        body.append(f'<g {node.attributes} transform="translate({coordinate(x)} {coordinate(y)})">{node.inside}</g>')
    return _document(graph, chosen, step, direction, title, id_prefix, standalone, plane, body)


# --- the document ---------------------------------------------------------------------------------------------------


def _document(
    graph: Graph,
    chosen: Selection,
    step: "Step | None",
    direction: str,
    title: str | None,
    id_prefix: str | None,
    standalone: bool,
    plane: "_Plane",
    body: Iterable[str],
) -> str:
    width, height = coordinate(plane.width), coordinate(plane.height)
    both = direction == "both"
    kind, shown = (" mlp-both", "forward") if both else ("", direction)
    heading = title if title is not None else title_of(graph, step, direction)
    told = description_of(graph, chosen, step, shown)
    ids = {part: f' id="{escape(id_prefix)}-{part}"' if id_prefix else "" for part in ("title", "desc")}
    name = f'aria-label="{escape(heading)}"'
    if id_prefix:
        name = f'id="{escape(id_prefix)}" aria-labelledby="{escape(id_prefix)}-title" '
        name += f'aria-describedby="{escape(id_prefix)}-desc"'
    least = coordinate(plane.width * SHRINK)
    look = (
        f'color="{LIGHT["parameter"]}"'
        if standalone
        else f'style="width:100%;min-width:{least}px;max-width:{width}px;height:auto"'
    )
    paper = f'<rect width="{width}" height="{height}" rx="6" fill="#fff"/>' if standalone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mlp-svg{kind}" role="img" {name} data-direction="{shown}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" fill="none" {look}>'
        f"<title{ids['title']}>{escape(heading)}</title><desc{ids['desc']}>{escape(told)}</desc>"
        f"<style>{_style(direction, standalone)}</style>{paper}{''.join(body)}</svg>"
    )


def title_of(graph: Graph, step: "Step | None", direction: str) -> str:
    """Name a picture."""
    if step is not None:
        return labels.step_words(graph, step)
    goal = graph.objective or graph.output
    of = f" of {labels.unicode_name(goal)}" if goal else ""
    return f"Computational graph{of}" + ("" if direction == "both" else f", {direction}")


def description_of(graph: Graph, chosen: Selection, step: "Step | None", direction: str) -> str:
    """Say in sentences what a picture shows."""
    told = labels.describe(graph, direction)
    if any(box.kind != "operator" for box in chosen.boxes):
        hidden = [f"{counted(len(box.equations), 'equation')} as one box" for box in chosen.boxes if box.kind == "gap"]
        layers = [box.label for box in chosen.boxes if box.kind == "layer"]
        shown = "; ".join([f"{labels.enumerated(layers, 12)} as boxes", *hidden])
        told = f"Outline of {len(graph.equations):,} equations: {shown}. {told}"
    return f"{labels.step_words(graph, step)}. {told}" if step is not None else told


# --- what is lit ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lit:
    """What a step lights: a box, edges (name, argument number or None for written), and the variable it writes."""

    box: int | None = None
    edges: frozenset[tuple[str, int | None]] = frozenset()
    written: str | None = None
    final: bool = False

    @staticmethod
    def of(graph: Graph, chosen: Selection, step: "Step | None") -> "Lit":
        """Find the step's nodes and edges in a picture."""
        if step is None:
            return Lit()
        index = next(i for i, equation in enumerate(graph.equations) if equation.output == step.equation.output)
        box = next(place for place, box in enumerate(chosen.boxes) if index in box.equations)
        inputs, output = step.equation.inputs, step.equation.output
        if step.argnum is None:
            edges = {(output, None), *((name, argnum) for argnum, name in enumerate(inputs))}
            return Lit(box, frozenset(edges), output, True)
        name = inputs[step.argnum]
        return Lit(box, frozenset({(output, None), (name, step.argnum)}), name, name in step.final)


# --- nodes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Node:
    """A node around the origin."""

    width: float
    height: float
    attributes: str
    inside: str


def _node(graph: Graph, chosen: Selection, key: Key, direction: str, shapes: bool, lit: Lit) -> _Node:
    if isinstance(key, int):
        box = chosen.boxes[key]
        current = (" mlp-current mlp-" + direction) if lit.box == key else ""
        both = direction == "both"
        return _circle(graph, box, current, both) if box.kind == "operator" else _rounded(graph, box, current, both)
    if key in chosen.hidden:
        return _stand_in(graph, chosen.hidden[key])
    written = lit.written == key
    classes = f" mlp-current mlp-written mlp-{direction}" if written else ""
    classes += " mlp-final" if written and lit.final else ""
    return _square(graph, key, direction, shapes, classes)


def _square(graph: Graph, name: str, direction: str, shapes: bool, classes: str) -> _Node:
    variable = graph.variables[name]
    what = f"tex of variable {name!r}"
    symbol = labels.formula(variable.tex, SYMBOL, what)
    kind = f"mlp-node mlp-variable mlp-{variable.role}"
    height = SHAPED if shapes else SQUARE
    shape = labels.shape_text(variable.shape)
    width = max(height, symbol.width + 10, len(shape) * 0.6 * TEXT + 10 if shapes else 0)
    centre = -9 if shapes else 0
    label = _formula(symbol, centre, SYMBOL)
    if direction != "forward" and graph.needs_gradient(name):
        tex = labels.cotangent_tex(graph, name)
        fraction = labels.formula(tex, FRACTION, what)
        if fraction.width > width - 6:  # the square is as wide as in the forward picture
            fraction = labels.formula(tex, FRACTION * (width - 6) / fraction.width, what)
        cotangent = _formula(fraction, centre, SYMBOL)
        label = cotangent if direction == "backward" else _when("forward", label) + _when("backward", cotangent)
        kind += " mlp-cotangent"
    elif direction != "forward":
        kind += " mlp-unused" if direction == "backward" else " mlp-unused-backward"
    inside = _rect(width, height, 4) + label
    if shapes:
        inside += _text(shape, height / 2 - 8)
    if direction == "both":
        x, y = -width / 2, -height / 2
        leg = CORNER - 4  # up to the round
        corner = f"M{coordinate(x)} {coordinate(y + CORNER)}v{coordinate(-leg)}a4 4 0 0 1 4-4h{coordinate(leg)}z"
        inside = f'<path class="mlp-corner" d="{corner}"/>{inside}{_badge(width / 2 - 3, y + 3)}'
    data = f'data-variable="{escape(name)}" data-shape="{escape(shape)}"'
    return _Node(width, height, f'class="{kind}{classes}" {data}', inside)


def _stand_in(graph: Graph, names: Sequence[str]) -> _Node:
    """One square for many variables."""
    width = SQUARE + 14
    inside = _rect(width, SQUARE, 4) + _text("⋯", -2, 20) + _text(f"{len(names):,}", 15)
    roles = {graph.variables[name].role for name in names}
    kind = "mlp-node mlp-variable mlp-hidden" + " mlp-parameter" * (roles == {"parameter"})
    return _Node(width, SQUARE, f'class="{kind}" data-hidden="{len(names)}"', inside)


def _circle(graph: Graph, box: Box, classes: str, both: bool) -> _Node:
    equation = graph.equations[box.equations[0]]
    inside = f'<circle class="mlp-outline" r="{coordinate(CIRCLE / 2)}" stroke="currentColor"/>'
    tex = labels.operator_tex(graph, equation)
    if tex is None:
        symbol = graph.table[equation.op].symbol
        fitted = min(15.0, (CIRCLE - 6) / (0.56 * max(1, len(symbol))))
        inside += _text(symbol, 0.35 * fitted, fitted)
    else:
        what = f"symbols of equation '{equation}'"
        largest = SYMBOL - 1 if tex.startswith(r"\mathrm") else OPERATOR
        trial = labels.formula(tex, largest, what)
        room = (CIRCLE / 2 - 3.5) / hypot(trial.width / 2, (trial.bottom - trial.top) / 2)
        inside += _formula(labels.formula(tex, largest * min(1.0, room), what), 0, 0)
    if both:
        inside += _badge(CIRCLE / 2 - 5, 5 - CIRCLE / 2)
    attributes = (
        f'class="mlp-node mlp-operator{classes}" data-equation="{box.equations[0]}" data-op="{escape(equation.op)}"'
    )
    return _Node(CIRCLE, CIRCLE, attributes, inside)


def _rounded(graph: Graph, box: Box, classes: str, both: bool) -> _Node:
    width, height = BOX
    inside = _rect(width, height, 16)
    if box.kind == "gap":
        inside += _text("⋯", -2, 20) + _text(box.label, 15)
    else:
        symbols = " ".join(graph.table[graph.equations[index].op].symbol for index in box.equations)
        inside += _text(box.label, -4) + _text(symbols, 14)
    if both:
        inside += _badge(width / 2 - 5, 5 - height / 2)
    indices = " ".join(map(str, box.equations if box.kind == "layer" else (box.equations[0], box.equations[-1])))
    attributes = f'class="mlp-node mlp-{box.kind}{classes}" data-equations="{indices}"'
    return _Node(width, height, attributes, inside)


def _when(direction: str, drawn: str, classes: str = "") -> str:
    """What a picture of both directions shows in one of them."""
    return f'<g class="mlp-when-{direction}{classes}">{drawn}</g>'


def _badge(x: float, y: float) -> str:
    """A cross on a disc."""
    disc = f"M{coordinate(x - BADGE)} {coordinate(y)}a8 8 0 1 1 16 0a8 8 0 1 1-16 0"
    return f'<path class="mlp-badge" d="{disc}m5-3l6 6m0-6l-6 6"/>'


def _rect(width: float, height: float, radius: float) -> str:
    x, y, w, h = (coordinate(value) for value in (-width / 2, -height / 2, width, height))
    corner = coordinate(radius)
    return f'<rect class="mlp-outline" x="{x}" y="{y}" width="{w}" height="{h}" rx="{corner}" stroke="currentColor"/>'


def _formula(drawn: labels.Formula, centre: float, line: float) -> str:
    """Centre a formula; one of ordinary height sits on the baseline that its neighbours share."""
    baseline = centre - (drawn.top + drawn.bottom) / 2
    if drawn.bottom - drawn.top < 1.3 * line:
        baseline = centre + 0.34 * line
    shift = f"translate({coordinate(-drawn.width / 2)} {coordinate(baseline)})scale({labels.UNIT})"
    return f'<path class="mlp-label" fill="currentColor" transform="{shift}" d="{drawn.path}"/>'


def _text(words: str, y: float, size: float = TEXT) -> str:
    style = f' style="font-size:{coordinate(size)}px"' if size != TEXT else ""
    place = f'text-anchor="middle" y="{coordinate(y)}"{style}'
    return f'<text class="mlp-label" fill="currentColor" {place}>{escape(words)}</text>'


# --- edges ----------------------------------------------------------------------------------------------------------


class _Plane:
    """From the grid to pixels: columns run to the right (LR) or down (TB)."""

    def __init__(self, layout: Layout, sizes: Mapping[Key, tuple[float, float]], rankdir: str) -> None:
        self.cells, self.flipped = layout.cells, rankdir == "TB"
        self.sizes = {key: size[::-1] if self.flipped else size for key, size in sizes.items()}
        points = [point for edge in layout.edges for point in edge.line]
        self.columns = _Axis(self.cells, self.sizes, 0, [column for column, _ in points])
        self.rows = _Axis(self.cells, self.sizes, 1, [row for _, row in points])
        extent = (self.columns.extent, self.rows.extent)
        self.width, self.height = extent[::-1] if self.flipped else extent

    def centre(self, key: Key) -> Point:
        return self._turn(self._at(self.cells[key]))  # type: ignore[return-value]

    def _at(self, point: Point) -> tuple[float, float]:
        return self.columns.at(point[0]), self.rows.at(point[1])

    def _turn(self, point: tuple[float, float]) -> tuple[float, float]:
        return (point[1], point[0]) if self.flipped else point

    def line(self, edge: Edge) -> list[tuple[float, float]]:
        """The corners of an edge in pixels, from border to border."""
        start, end = (edge.name, edge.box) if edge.argnum is not None else (edge.box, edge.name)
        points = [self._at(point) for point in edge.line]
        points[0] = self._border(start, points[0], points[1])
        points[-1] = self._border(end, points[-1], points[-2])
        return [self._turn(point) for point in points]

    def _border(self, key: Key, centre: tuple[float, float], towards: tuple[float, float]) -> tuple[float, float]:
        (x, y), (width, height) = centre, self.sizes[key]
        if y == towards[1]:
            return x + (width / 2 + 2) * (1 if towards[0] > x else -1), y
        return x, y + (height / 2 + 2) * (1 if towards[1] > y else -1)


class _Axis:
    """Pixels along one direction: each line of the grid as wide as its widest node."""

    def __init__(
        self,
        cells: Mapping[Key, tuple[int, int]],
        sizes: Mapping[Key, tuple[float, float]],
        axis: int,
        used: Sequence[float],
    ) -> None:
        half: dict[int, float] = {int(place): 0.0 for place in used if place == int(place)}
        for key, cell in cells.items():
            half[cell[axis]] = max(half.get(cell[axis], 0.0), sizes[key][axis] / 2)
        self.half, self.middle, at = half, {}, MARGIN
        for place in range(min(half), max(half) + 1):
            at += half.get(place, 0.0)
            self.middle[place] = at
            at += half.get(place, 0.0) + SPACE
        self.extent = at - SPACE + MARGIN

    def at(self, place: float) -> float:
        whole = int(place // 1)
        if place == whole:
            return self.middle[whole]
        return self.middle[whole] + self.half.get(whole, 0.0) + (place - whole) * SPACE


def _edge(graph: Graph, chosen: Selection, edge: Edge, direction: str, plane: _Plane, lit: Lit) -> tuple[bool, str]:
    """Whether it is lit, and an edge's group: its arrow, or one for each direction."""
    current = lit.box == edge.box and (edge.name, edge.argnum) in lit.edges
    if len(chosen.boxes[edge.box].equations) > 1:
        current = lit.box == edge.box and (edge.name == lit.written or any(edge.name == name for name, _ in lit.edges))
    points, carries = plane.line(edge), _carries(graph, chosen, edge)
    drawn = {way: _arrow(points, way, way == "forward" or carries, current) for way in WAYS}
    state = {"forward": " mlp-forward", "backward": " mlp-backward" if carries else " mlp-unused"}
    kind = "mlp-write" if edge.argnum is None else "mlp-read"
    kind += state.get(direction, "") + " mlp-current" * current
    named = f'data-variable="{escape(edge.name)}"' if edge.name in graph.variables else 'data-hidden=""'
    data = f'{named} data-equation="{chosen.boxes[edge.box].equations[0]}"'
    data += f' data-argnum="{edge.argnum}"' if edge.argnum is not None else ""
    inside = drawn.get(direction) or "".join(_when(way, drawn[way], state[way]) for way in WAYS)
    return current, f'<g class="mlp-edge {kind}" {data}>{inside}</g>'


def _arrow(points: Sequence[tuple[float, float]], direction: str, used: bool, current: bool) -> str:
    """A line with a head at its end, a double one with a head at its start, or, unused, a line without."""
    size = 1.25 if current else 1.0
    if direction == "forward":
        line, head = _path(_cut(points, HEAD[0] * size - 2)), _head(points[-2], points[-1], size)
    elif used:
        points = points[::-1]
        double = _cut(points, HEAD[0] * size - 1)
        apart = 2.4 if current else 1.7
        line = _path(_beside(double, apart)) + _path(_beside(double, -apart))
        head = _head(points[-2], points[-1], size)
    else:
        line, head = _path(points), ""
    drawn = f'<path class="mlp-line" stroke="currentColor" d="{line}"/>'
    return drawn + (f'<path class="mlp-head" fill="currentColor" d="{head}"/>' if head else "")


def _carries(graph: Graph, chosen: Selection, edge: Edge) -> bool:
    """Whether a cotangent travels back along an edge."""
    names = chosen.hidden.get(edge.name, (edge.name,))
    outputs = [graph.equations[index].output for index in chosen.boxes[edge.box].equations]
    return any(map(graph.needs_gradient, names)) and any(map(graph.needs_gradient, outputs))


def _path(points: Sequence[tuple[float, float]]) -> str:
    """A line with rounded corners; all its pieces run along an axis."""
    here = points[0]
    written = f"M{coordinate(here[0])} {coordinate(here[1])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(ROUND, _length(before, corner) / 2, _length(corner, after) / 2)
        start, end = _along(corner, before, radius), _along(corner, after, radius)
        written += f"{_straight(here, start)}Q{' '.join(map(coordinate, (*corner, *end)))}"
        here = end
    return written + _straight(here, points[-1])


def _straight(start: tuple[float, float], end: tuple[float, float]) -> str:
    return f"H{coordinate(end[0])}" if start[1] == end[1] else f"V{coordinate(end[1])}"


def _length(one: tuple[float, float], other: tuple[float, float]) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _along(start: tuple[float, float], towards: tuple[float, float], far: float) -> tuple[float, float]:
    length = _length(start, towards) or 1.0
    x, y = ((b - a) * far / length for a, b in zip(start, towards, strict=True))
    return start[0] + x, start[1] + y


def _cut(points: Sequence[tuple[float, float]], far: float) -> list[tuple[float, float]]:
    """Without the last bit, where the arrow's head is."""
    return [*points[:-1], _along(points[-1], points[-2], far)]


def _beside(points: Sequence[tuple[float, float]], far: float) -> list[tuple[float, float]]:
    """A parallel line; all pieces run along an axis."""
    moved = [list(point) for point in points]
    for place, (start, end) in enumerate(pairwise(points)):
        level = start[1] == end[1]
        forwards = end[0] > start[0] if level else end[1] < start[1]
        shift = far if forwards else -far
        for point in (moved[place], moved[place + 1]):
            point[level] = points[place][level] + shift
    return [(x, y) for x, y in moved]


def _head(before: tuple[float, float], tip: tuple[float, float], size: float) -> str:
    """A slender arrow's head."""
    length, half = HEAD[0] * size, HEAD[1] * size
    dx, dy = _along((0.0, 0.0), (tip[0] - before[0], tip[1] - before[1]), 1.0)
    sides = [(-length, half), (length * 0.28, -half), (-length * 0.28, -half)]
    turned = (f"l{coordinate(a * dx - b * dy)} {coordinate(a * dy + b * dx)}" for a, b in sides)
    return f"M{coordinate(tip[0])} {coordinate(tip[1])}{''.join(turned)}z".replace(" -", "-")
