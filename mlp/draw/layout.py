"""Where things stand: a grid of columns (the order of computing) and rows, and edges along its lines.

The longest chain of equations to the objective is one straight row. Parameters hang below the operator that reads them,
targets above; a side branch, such as the regulariser, has a row of its own. No edge runs through a node, and edges
share a line only where they leave one variable or enter one operator. Nothing recurses, and the same graph is drawn
alike on every machine. A large graph is drawn as an outline of its two ends.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import floor

from mlp.graph import Graph
from mlp.ops import ACTIVATIONS

LAYERS = 20  # more layers than this are drawn as an outline
EQUATIONS, VARIABLES = 100, 200  # and so is a graph built by hand with more than this
ENDS = 3  # layers that an outline shows at each end
WIDE = 8  # in an outline, an operator that reads more variables than this does not show each of them

Key = str | int  # a variable's name, or the number of a box
Cell = tuple[int, int]  # (column, row)
Point = tuple[float, int]  # column 2.5 is the middle of the space after column 2
DATA = ("input", "intermediate")  # what the main chain follows where two are equally long
HIDDEN_GIVEN, HIDDEN_MADE = "… given", "… made"  # no identifiers, so no variable has these names
HIDDEN_SHARED = "… given, shared"  # given, and read by what is shown too, as weights are by a regulariser


# --- what is drawn --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """An operator's circle, or a box for several equations in a row."""

    equations: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kind: str = "operator"  # or "layer", or "gap"
    label: str = ""


@dataclass(frozen=True)
class Selection:
    """What is drawn of a graph: boxes in topological order, and variables, some of which stand for many."""

    boxes: tuple[Box, ...]
    variables: tuple[str, ...]
    hidden: dict[str, tuple[str, ...]] = field(default_factory=dict)  # which variables `HIDDEN_…` stands for


def full(graph: Graph) -> Selection:
    """Every variable and every equation."""
    boxes = (Box((index,), equation.inputs, (equation.output,)) for index, equation in enumerate(graph.equations))
    return Selection(tuple(boxes), tuple(graph.variables))


def needs_outline(graph: Graph) -> bool:
    """Whether a picture of every node would be too large to read."""
    products = sum(graph.equations[group[0]].op == "matmul" for group in layers(graph))
    return products > LAYERS or len(graph.equations) > EQUATIONS or len(graph.variables) > VARIABLES


def outline(graph: Graph) -> Selection:
    """Layers as boxes; of many, the first few and the last few, with one box for all between.

    A layer is a matrix product with the bias and the activation that follow. What is between the two ends of the list
    of equations is one box: the list is in topological order, so no edge has to run backwards.
    """
    groups = layers(graph)
    products = [place for place, group in enumerate(groups) if graph.equations[group[0]].op == "matmul"]
    most = 4 * ENDS
    start, stop = (most // 2, len(groups) - most // 2) if len(groups) > most else (len(groups), len(groups))
    if len(products) > 2 * ENDS:
        start, stop = min(products[ENDS - 1] + 1, most), max(products[-ENDS], len(groups) - most)
    shown = [*groups[:start], *groups[stop:]]
    gap = [index for group in groups[start:stop] for index in group]
    numbers = {groups[place][0]: number for number, place in enumerate(products, 1)}

    def inputs(group: Sequence[int]) -> tuple[str, ...]:
        own = {graph.equations[index].output for index in group}
        return tuple(n for index in group for n in graph.equations[index].inputs if n not in own)

    read_by_shown = [set(inputs(group)) for group in shown]
    narrow = {name for names in read_by_shown if len(names) <= WIDE for name in names}
    shown_made = {graph.equations[group[-1]].output for group in shown}
    gap_made = {graph.equations[index].output for index in gap}
    drawn = [n for n in graph.variables if n in narrow or n in shown_made or n == graph.objective]
    kept = set(drawn)
    hidden_made = tuple(n for n in graph.variables if n in gap_made and n not in kept)
    shared = {name for names in read_by_shown for name in names}
    hidden_given = tuple(n for n in graph.given if n not in kept and n not in shared)
    hidden_shared = tuple(n for n in graph.given if n not in kept and n in shared)
    hidden = {HIDDEN_SHARED: hidden_shared, HIDDEN_GIVEN: hidden_given, HIDDEN_MADE: hidden_made}
    stand_in = {n: name for name, names in hidden.items() for n in names}

    def drawn_inputs(group: Sequence[int]) -> tuple[str, ...]:
        names = tuple(stand_in.get(name, name) for name in inputs(group))
        return names if len(group) == 1 and not stand_in.keys() & set(inputs(group)) else tuple(dict.fromkeys(names))

    read = {n for group in shown for n in drawn_inputs(group)}
    boxes = []
    for place, group in enumerate(groups):
        if place == start and gap:
            count = sum(start <= layer < stop for layer in products)
            label = f"{count:,} more" if count else f"{len(gap):,} more"
            outputs = (*(n for n in drawn if n in gap_made), *([HIDDEN_MADE] if HIDDEN_MADE in read else []))
            boxes.append(Box(tuple(gap), drawn_inputs(gap), outputs, "gap", label))
        if not start <= place < stop:
            one = len(group) == 1 and group[0] not in numbers
            label = "" if one else f"layer {numbers[group[0]]:,}"
            output = (graph.equations[group[-1]].output,)
            boxes.append(Box(group, drawn_inputs(group), output, "operator" if one else "layer", label))
    extra = [name for name in hidden if any(name in box.inputs for box in boxes)]
    return Selection(tuple(boxes), (*drawn, *extra), {name: hidden[name] for name in extra})


def layers(graph: Graph) -> list[tuple[int, ...]]:
    """Neighbouring equations that are one layer; all others alone."""
    groups: list[list[int]] = []
    for index, equation in enumerate(graph.equations):
        before = graph.equations[index - 1] if index else None
        if (
            before is not None
            and graph.equations[groups[-1][0]].op == "matmul"
            and equation.op in ("bias", *ACTIVATIONS)
            and equation.inputs[0] == before.output
            and before.op not in ACTIVATIONS
            and len(graph.readers(before.output)) == 1
            and before.output not in (graph.objective, graph.output)
        ):
            groups[-1].append(index)
        else:
            groups.append([index])
    return [tuple(group) for group in groups]


# --- where it stands ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edge:
    """Variable ``name`` and box ``box``: read as input ``argnum``, or, where that is None, written."""

    name: str
    box: int
    argnum: int | None
    line: tuple[Point, ...]


@dataclass(frozen=True)
class Layout:
    """A cell for each node, and for each edge the corners of its line, in the direction of computing."""

    cells: dict[Key, Cell]
    edges: tuple[Edge, ...]


def arrange(graph: Graph, picture: Selection) -> Layout:
    """Give each node of a picture a cell and each edge a line."""
    nodes = _Nodes(graph, picture)
    nodes.place_all()
    return Layout(nodes.cells, tuple(_Lines(nodes).draw(picture)))


class _Nodes:
    """Cells for nodes, given out one after the other."""

    def __init__(self, graph: Graph, picture: Selection) -> None:
        self.graph, self.picture = graph, picture
        self.maker = {name: place for place, box in enumerate(picture.boxes) for name in box.outputs}
        self.readers: dict[str, list[int]] = {name: [] for name in picture.variables}
        for place, box in enumerate(picture.boxes):
            for name in dict.fromkeys(box.inputs):
                self.readers[name].append(place)
        self.best: dict[int, str] = {}  # for each box, the input that the longest chain comes through
        self.columns = self._columns()
        self.cells: dict[Key, Cell] = {}
        self.taken: set[Cell] = set()
        self.reserved: set[Cell] = set()  # for the edges of side branches
        self.rows = (0, 0)

    def _columns(self) -> dict[Key, int]:
        """As late as possible: everything stands just before its first reader."""
        depth: dict[Key, int] = dict.fromkeys(self.picture.variables, 0)
        for place, box in enumerate(self.picture.boxes):
            self.best[place] = max(box.inputs, key=lambda name: (depth[name], self._role(name) in DATA))
            depth[place] = depth[self.best[place]] + 1
            depth.update(dict.fromkeys(box.outputs, depth[place] + 1))
        columns: dict[Key, int] = {}
        for place, box in reversed(list(enumerate(self.picture.boxes))):
            for name in box.outputs:
                columns[name] = min((columns[reader] - 1 for reader in self.readers[name]), default=depth[name])
            columns[place] = min((columns[name] - 1 for name in box.outputs), default=depth[place])
        for name in self.picture.variables:
            if name not in self.maker:
                columns[name] = min((columns[reader] - 1 for reader in self.readers[name]), default=0)
        self.end = self.graph.objective or max(self.picture.variables, key=lambda name: depth[name])
        return columns

    def _role(self, name: str) -> str:
        return self.graph.variables[name].role if name in self.graph.variables else ""

    def place_all(self) -> None:
        """Place the main chain, then what hangs on it, then what is left."""
        self._place(self._chain(self.end), 0)
        sinks = [name for name in self.maker if not self.readers[name]]
        for name in [*sinks, *self.picture.variables]:
            if name not in self.cells:
                chain = self._chain(name)
                self._place(chain, self._free_row(chain))

    def _chain(self, name: str) -> list[Key]:
        """Back from a variable along the longest way, up to what has a place already."""
        chain: list[Key] = [name]
        while name in self.maker and self.maker[name] not in self.cells:
            chain.append(self.maker[name])
            name = self.best[self.maker[name]]
            if name in self.cells:
                break
            chain.append(name)
        return chain

    def _place(self, chain: list[Key], row: int) -> None:
        """Put a chain into a row, then all that its operators read besides, then what these read, and so on."""
        self._put(chain, row)
        waiting = [chain]
        for chain in waiting:
            places = sorted((key for key in chain if isinstance(key, int)), key=lambda place: self.columns[place])
            for place in places:
                self._hang_given(place)
            for place in places:
                for name in self.picture.boxes[place].inputs:
                    if name not in self.cells:
                        branch = self._chain(name)
                        self._put(branch, self._free_row(branch, place))
                        waiting.append(branch)

    def _put(self, chain: Iterable[Key], row: int, column: int | None = None) -> None:
        for key in chain:
            self.cells[key] = (self.columns[key] if column is None else column, row)
            self.taken.add(self.cells[key])
        self.rows = (min(self.rows[0], row), max(self.rows[1], row))

    def _hang_given(self, place: int) -> None:
        """Hang what nobody computes on the operator that reads it first; more than two stand in front of it."""
        box, (column, row) = self.picture.boxes[place], self.cells[place]
        given = [n for n in dict.fromkeys(box.inputs) if n not in self.cells and n not in self.maker]
        for name in given:
            first = [reader for reader in self.readers[name] if self.columns[reader] <= column] == [place]
            ways = (-1, 1) if self._role(name) in ("input", "target") else (1, -1)
            free = [hung for way in ways if (hung := self._hook(column, row, way)) is not None]
            if first and len(given) <= 2 and free and box.inputs.count(name) == 1:
                self._put([name], free[0], column)
            else:
                self._put([name], self._free_row([name], place))

    def _hook(self, column: int, row: int, way: int) -> int | None:
        """The next free row above or below an operator, if nothing stands between."""
        while self.rows[0] <= (row := row + way) <= self.rows[1] and (column, row) in self.reserved:
            pass
        return None if (column, row) in self.taken else row

    def _free_row(self, chain: Sequence[Key], reader: int | None = None) -> int:
        """The row for a side branch with the fewest things between it and what its edges will reach."""
        reached = [] if reader is None else [self.cells[reader]]
        for key in chain:
            if isinstance(key, int):
                reached += [self.cells[name] for name in self.picture.boxes[key].inputs if name in self.cells]
        columns = [self.columns[key] for key in chain]
        if len(chain) > 1:
            columns += [column for column, _ in reached]
        needed = range(min(columns), max(columns) + 1)
        home = 0 if reader is None else self.cells[reader][1]

        def cost(row: int) -> tuple[int, int, int]:
            between = [(c, r) for c, other in reached for r in range(min(row, other) + 1, max(row, other))]
            blocked = sum(3 * (cell in self.taken) + (cell in self.reserved) for cell in between)
            return blocked, abs(row - home), -row

        rows = range(self.rows[0] - 1, self.rows[1] + 2)
        free = [r for r in rows if not any((c, r) in self.taken or (c, r) in self.reserved for c in needed)]
        row = min(free, key=cost)
        if len(chain) > 1:
            self.reserved.update((column, row) for column in needed)
        return row


class _Lines:
    """Lines for edges, given out one after the other; each remembers which edges run through which point."""

    def __init__(self, nodes: _Nodes) -> None:
        self.cells, self.taken, self.rows = nodes.cells, nodes.taken, nodes.rows
        self.users: dict[tuple[bool, float, float], tuple[set[object], set[object]]] = {}

    def draw(self, picture: Selection) -> Iterator[Edge]:
        """Draw all edges: an operator's inputs in order, then its output."""
        for place, box in enumerate(picture.boxes):
            for argnum, name in enumerate(box.inputs):
                yield Edge(name, place, argnum, self._line(self.cells[name], self.cells[place], name, ("in", place)))
            for name in box.outputs:
                yield Edge(name, place, None, self._line(self.cells[place], self.cells[name], ("out", place), name))

    def _line(self, start: Cell, end: Cell, source: object, target: object) -> tuple[Point, ...]:
        """Take the first free line of those possible; where all are crowded, the last that crosses no node."""
        chosen: Sequence[Point] = ()
        for line in self._possible(start, end):
            if any((column, row) in self.taken for _, column, row in _points(line)):
                continue
            chosen = line
            # Between columns, the short ends are shared with whatever else leaves and enters these two nodes.
            if self._free(line[1:-1] if len(line) > 3 and line[1][0] % 1 else line, source, target):
                break
        for key in _points(chosen):
            sources, targets = self.users.setdefault(key, (set(), set()))
            sources.add(source)
            targets.add(target)
        used = [row for _, row in chosen]
        self.rows = (min(self.rows[0], *used), max(self.rows[1], *used))
        return tuple(chosen)

    def _possible(self, start: Cell, end: Cell) -> Iterator[Sequence[Point]]:
        """Straight, one corner, a bridge over or under, a way through the spaces between columns."""
        (a, p), (b, q) = start, end
        if p == q or a == b:
            yield start, end
        else:
            yield start, (a, q), end
            yield start, (b, p), end
        low, high = self.rows
        rows = sorted(range(low - 1, high + 2), key=lambda row: (abs(row - p) + abs(row - q), row))
        if a != b:
            yield from ((start, (a, row), (b, row), end) for row in rows if row not in (p, q))
        beside = b == a + 1 and p == q  # neighbours: both ways between rows are in one space
        for row in rows if beside else (q, p, *rows):
            for share in (0.3, 0.2, 0.4, 0.1) if beside else (0.5, 0.3, 0.7, 0.4, 0.6, 0.2, 0.8):
                after, before = a + share, b - share if beside else b - 1 + share
                yield _simple([start, (after, p), (after, row), (before, row), (before, q), end])

    def _free(self, line: Sequence[Point], source: object, target: object) -> bool:
        """Whether all who share a piece of the line leave the same node with it, or enter the same node."""
        for key in _points(line):
            sources, targets = self.users.get(key, (set(), set()))
            leaving = sources <= {source} and target not in targets
            entering = targets <= {target} and source not in sources
            if not leaving and not entering:
                return False
        return True


def _points(line: Sequence[Point]) -> Iterator[tuple[bool, float, float]]:
    """All halves of cells that a line runs through, without its two ends: (along a row?, column, row)."""
    last = len(line) - 2
    for piece, (start, end) in enumerate(pairwise(line)):
        along = start[1] == end[1]
        low, high = sorted((start[0], end[0]) if along else (start[1], end[1]))
        half = floor(low * 2) / 2 + 0.5
        while half < high:
            yield (True, half, start[1]) if along else (False, start[0], half)
            half += 0.5
        if piece > 0:
            yield along, *start
        if piece < last:
            yield along, *end


def _simple(line: Sequence[Point]) -> list[Point]:
    """Without corners that are none."""
    kept: list[Point] = []
    for point in line:
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]):
            kept.pop()
        kept.append(point)
    return kept
