"""Checkpoints: keep a few values, forget the others, compute them again when backward needs them.

A plan is an order of equations that the engine runs like any other schedule, so its gradients are the same bits and its
bytes are counted by `mlp.memory` like any others. Plans here are for chains: graphs in which one value carries
everything from layer to layer. The layers run forward, some more than once, and each goes back once; an array that is
read again before it is written again is kept until then.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from itertools import accumulate
from math import comb, isqrt
from typing import Any, NamedTuple

from mlp.graph import Graph
from mlp.inputs import positive_int
from mlp.memory import predict
from mlp.steps import Plan, Schedule, Step, Turn, cotangent_name, going_back, objective_name, policy_name, schedule
from mlp.text import bytes_text

# A phase, a layer, and which of its equations run; None for all.
LayerTurn = tuple[str, int, frozenset[int] | None]
EXACT, BITS = 10, 12  # of a chain whose orders are all searched: layers at most, and arrays that could be kept

# --- chains ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """A graph cut into layers, each of which reads one value of the layer before.

    Attributes
    ----------
    graph : Graph
    layers : tuple of range
        The equations of each layer, by index. The last one is the tail: outputs, loss, regulariser, objective.
    values : tuple of str
        What each layer but the tail hands to the next: h1, h2, …
    """

    graph: Graph
    layers: tuple[range, ...]
    values: tuple[str, ...]

    def __len__(self) -> int:
        """How many layers there are, the tail included."""
        return len(self.layers)

    def needs(self, number: int) -> "Needs":
        """What the rules of a layer read backward, and which of its equations make it."""
        return self._needs[number]

    @cached_property
    def _needs(self) -> tuple["Needs", ...]:
        return tuple(_needs(self, number) for number in range(len(self)))

    def runs(self, steps: Schedule) -> Iterator[tuple[int, int, str, int]]:
        """The runs of one layer in a schedule of the graph: first step, last step, phase, layer from 0."""
        outputs = [equation.output for equation in self.graph.equations]
        layer_of = {outputs[index]: number for number, layer in enumerate(self.layers) for index in layer}
        first, now = 0, ("", -1)
        for step in steps:
            turn = step.phase, layer_of[step.equation.output]
            if turn != now and step.index:
                yield first, step.index - 1, *now
                first = step.index
            now = turn
        yield first, len(steps) - 1, *now

    def plan(self, name: str, turns: Iterable[LayerTurn]) -> Plan:
        """A plan from turns of whole layers: a phase, a layer, and which of its equations (None: all)."""
        back = set(going_back(self.graph))
        order: list[Turn] = []
        for phase, layer, chosen in turns:
            equations = [index for index in self.layers[layer] if chosen is None or index in chosen]
            if phase == "backward":
                equations = [index for index in reversed(equations) if index in back]
            order += [(phase, index) for index in equations]
        return Plan(name, self.graph, tuple(order))


class Needs(NamedTuple):
    """What a layer's rules read backward.

    ``saved``: the values, of its own and its input. ``tape``: its equations that make them from its input.
    ``refill``: the same where its value is still there.
    """

    saved: frozenset[str]
    tape: frozenset[int]
    refill: frozenset[int]


def _needs(whole: Chain, number: int) -> Needs:
    graph = whole.graph
    source = whole.values[number - 1] if number else None
    value = whole.values[number] if number < len(whole.values) else None
    saved: set[str] = set()
    for index in whole.layers[number]:
        equation = graph.equations[index]
        for argnum, name in enumerate(equation.inputs):
            vjp = graph.table[equation.op].vjp(argnum)
            if graph.needs_gradient(name) and vjp is not None:
                saved.update(vjp.residuals(equation.inputs, equation.output, argnum))
    saved -= set(graph.given)

    def makers(wanted: set[str]) -> frozenset[int]:
        chosen = set()
        for index in reversed(whole.layers[number]):
            if graph.equations[index].output in wanted:
                chosen.add(index)
                wanted |= set(graph.equations[index].inputs)
        return frozenset(chosen)

    return Needs(frozenset(saved), makers(saved - {str(source)}), makers(saved - {str(source), str(value)}))


def chain(graph: Graph) -> Chain:
    """Cut a graph into layers, wherever one value alone goes on and is multiplied by weights next.

    Parameters
    ----------
    graph : Graph
        With an objective.

    Returns
    -------
    Chain

    Raises
    ------
    TypeError, ValueError
        For no graph, one without an objective, or one that cannot be cut.
    """
    objective_name(graph)
    last_read = {name: max((index for index, _ in graph.readers(name)), default=-1) for name in graph.variables}
    starts, values, going_on = [0], [], set[str]()
    for index, equation in enumerate(graph.equations[:-1]):
        following = graph.equations[index + 1]
        going_on = {name for name in going_on | {equation.output} if last_read[name] > index}
        if going_on == {equation.output} and following.op == "matmul" and following.inputs[1] == equation.output:
            starts.append(index + 1)
            values.append(equation.output)
    if not values:
        raise ValueError(f"graph: expected a chain of layers, at least one of them hidden, received {graph!r}")
    layers = [range(start, end) for start, end in zip(starts, [*starts[1:], len(graph.equations)], strict=True)]
    return Chain(graph, tuple(layers), tuple(values))


@dataclass(frozen=True)
class Cost:
    """What a policy costs.

    Attributes
    ----------
    name : str
    peak : int
        Bytes, as `mlp.memory.predict` counts them.
    again : int
        Equations that run a second time, or more often.
    extra_flops : int
        Floating-point operations of those runs.
    extra : float
        The same as a fraction of one forward pass.
    """

    name: str
    peak: int
    again: int
    extra_flops: int
    extra: float


def cost(graph: Graph, policy: str | Plan, optimizer: str | None = None) -> Cost:
    """Say what a policy or a plan takes: its peak, and the work that it does again.

    Parameters
    ----------
    graph, policy, optimizer
        As for `mlp.memory.predict`.

    Returns
    -------
    Cost
    """
    steps = schedule(graph, policy)
    repeated = [step for step in steps if step.again]
    extra, once = (sum(_flops(graph, step.equation.output) for step in those) for those in (repeated, _firsts(steps)))
    peak = predict(graph, policy, optimizer).peak
    return Cost(policy_name(policy), peak, len(repeated), extra, extra / once if once else 0.0)


def _firsts(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if step.phase == "forward" and not step.again]


def _flops(graph: Graph, output: str) -> int:
    """Floating-point operations of the equation that defines a variable."""
    equation = graph.maker(output)
    assert equation is not None
    return graph.table[equation.op].flops(*(graph.variables[name].shape for name in equation.inputs))


# --- what a layer takes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    """What one layer takes: bytes, and operations. Layers that are alike are equal.

    A peak counts the layer's input and, backward, the cotangent of its value; not what others hold meanwhile.
    """

    source: int  # bytes of its input, 0 where that is the caller's
    value: int  # bytes of what it hands on, and of that value's cotangent
    inside: int  # bytes that its rules read backward, besides its input and its value
    gradients: int  # bytes of the gradients that are born when it goes back
    reads_value: bool  # whether its own rules read its value
    flops: int  # run whole
    tape_flops: int  # run only as far as its rules need
    refill_flops: int  # the same, where its value is still there
    pass_peak: int  # run, its input forgotten on the way
    hold_peak: int  # run, its input kept
    keep_peak: int  # run, everything kept that its rules read
    tape_peak: int
    refill_peak: int
    back_peak: tuple[int, int]  # go back, its input forgotten on the way; its input kept


class _Meter:
    """Runs steps in thought, and says how many bytes exist at most."""

    def __init__(self, whole: Chain) -> None:
        self.whole = whole
        self.steps = schedule(whole.graph, "residuals")
        self.results = {whole.graph.objective, *(cotangent_name(whole.graph, p) for p in whole.graph.parameters)}
        self._by_equation: dict[tuple[str, str], list[Step]] = {}
        for step in self.steps:
            self._by_equation.setdefault((step.phase, step.equation.output), []).append(step)

    def run(self, phase: str, equations: Iterable[int]) -> list[Step]:
        """The steps of some equations."""
        outputs = [self.whole.graph.equations[index].output for index in equations]
        return [step for output in outputs for step in self._by_equation.get((phase, output), [])]

    def nbytes(self, names: Iterable[str]) -> int:
        """Bytes of what the engine makes among some arrays."""
        return sum(self.steps.nbytes(name) for name in names if name not in self.whole.graph.given)

    def born(self, steps: Sequence[Step]) -> int:
        """Bytes of the results that are born, and stay."""
        return self.nbytes(name for step in steps for name in step.born if name in self.results)

    def peak(self, steps: Sequence[Step], held: Iterable[str], until: Iterable[str]) -> int:
        """The most bytes while the steps run: from what is held at first, keeping ``until`` to the end."""
        kept = set(until)
        last = {name: i for i, step in enumerate(steps) for name in (*step.reads, *step.writes)}
        alive = {name for name in held if name not in self.whole.graph.given}
        now = most = self.nbytes(alive)
        for i, step in enumerate(steps):
            for name in {*step.reads, *step.writes} - alive - set(self.whole.graph.given):
                if name not in self.results or name in step.born:
                    alive.add(name)
                    now += self.steps.nbytes(name)
            most = max(most, now + sum(map(self.steps.nbytes, step.workspace)))
            for name in [name for name in alive if last.get(name, -1) <= i and name not in kept | self.results]:
                alive.remove(name)
                now -= self.steps.nbytes(name)
        return most

    def layer(self, number: int) -> _Layer:
        """Measure one layer that is not the tail."""
        whole, equations = self.whole, self.whole.layers[number]
        saved, tape, refill = whole.needs(number)
        value = whole.values[number]
        source = {whole.values[number - 1]} if number else set[str]()
        delta = {cotangent_name(whole.graph, value)}
        there = {cotangent_name(whole.graph, name) for name in source}
        forward, back = self.run("forward", equations), self.run("backward", reversed(equations))

        def flops(chosen: Iterable[int]) -> int:
            return sum(_flops(whole.graph, whole.graph.equations[index].output) for index in chosen)

        return _Layer(
            source=self.nbytes(source),
            value=self.nbytes([value]),
            inside=self.nbytes(saved - source - {value}),
            gradients=self.born(back),
            reads_value=value in saved,
            flops=flops(equations),
            tape_flops=flops(tape),
            refill_flops=flops(refill),
            pass_peak=self.peak(forward, source, {value}),
            hold_peak=self.peak(forward, source, {value} | source),
            keep_peak=self.peak(forward, source, saved | {value} | source),
            tape_peak=self.peak(self.run("forward", sorted(tape)), source, saved | source),
            refill_peak=self.peak(self.run("forward", sorted(refill)), source | {value}, saved | source | {value}),
            back_peak=(
                self.peak(back, source | saved | delta, there),
                self.peak(back, source | saved | delta, there | source),
            ),
        )


# --- every k-th layer -----------------------------------------------------------------------------------------------


def every(graph: Graph, k: int) -> Plan:
    """Keep the value of every k-th layer; compute the others again, one segment of k layers at a time.

    Parameters
    ----------
    graph : Graph
        A chain.
    k : int
        Layers in a segment, ≥ 1. With k = 1 nothing is forgotten that a rule reads.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError, ValueError
        For no chain, or a k that is no whole number ≥ 1.
    """
    length = positive_int(k, "k")
    whole = chain(graph)
    tail = len(whole) - 1
    turns: list[LayerTurn] = [("forward", layer, None) for layer in range(len(whole))]
    for start in reversed(range(0, len(whole), length)):
        segment = range(start, min(start + length, len(whole)))
        if segment[-1] != tail:  # the last segment has just run; the value of a segment's last layer was kept
            turns += [("forward", layer, None) for layer in segment[:-1]]
            turns.append(("forward", segment[-1], whole.needs(segment[-1]).refill))
        turns += [("backward", layer, None) for layer in reversed(segment)]
    return whole.plan(f"every {length}", turns)


def sqrt(graph: Graph) -> Plan:
    """Segments of about √K layers (Chen et al., 2016): memory for about 2√K values instead of K, for one more forward.

    Parameters
    ----------
    graph : Graph
        A chain.

    Returns
    -------
    Plan
    """
    count = len(chain(graph))
    return _renamed(every(graph, isqrt(count - 1) + 1), "sqrt")


def _renamed(plan: Plan, name: str) -> Plan:
    return Plan(name, plan.graph, plan.order)


# --- binomial -------------------------------------------------------------------------------------------------------


def advances(layers: int, snapshots: int) -> int:
    """The fewest runs of layers that only move forward, to take ``layers`` layers back with ``snapshots`` snapshots.

    ``r l − C(s + r, s + 1)`` for l layers and s snapshots, the start among them, with the smallest r such that
    ``C(s + r, s) ≥ l`` (Griewank and Walther, 2000). The run of each layer just before it goes back is not counted.

    Parameters
    ----------
    layers, snapshots : int
        Each ≥ 1.

    Returns
    -------
    int

    Examples
    --------
    >>> advances(10, 3), advances(100, 13), advances(100, 5)
    (15, 185, 316)
    """
    length, held = positive_int(layers, "layers"), positive_int(snapshots, "snapshots")
    r = 0
    while comb(held + r, held) < length:
        r += 1
    return r * length - comb(held + r, held + 1)


def binomial(graph: Graph, snapshots: int) -> Plan:
    """Take a chain back with a fixed number of snapshots and as few runs as possible (Griewank and Walther, 2000).

    Each layer runs once more just before it goes back; before that, layers run `advances` times in all.

    Parameters
    ----------
    graph : Graph
        A chain. Its layers count, the tail among them.
    snapshots : int
        Values that may be held at a time, ≥ 1; the network's input is one of them.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError, ValueError
        For no chain, or a number of snapshots that is no whole number ≥ 1.
    """
    held = positive_int(snapshots, "snapshots")
    whole = chain(graph)
    turns: list[LayerTurn] = []
    todo = [(0, len(whole), held)]  # take the layers from the first to before the second back
    while todo:
        first, end, free = todo.pop()
        if end - first == 1:
            turns += [("forward", first, None), ("backward", first, None)]
            continue
        middle = first + _split(end - first, free)
        turns += [("forward", layer, None) for layer in range(first, middle)]
        todo += [(first, middle, free), (middle, end, max(free - 1, 1))]
    return whole.plan(f"binomial {held}", turns)


def _split(layers: int, snapshots: int) -> int:
    """How far to advance before the next snapshot; to the last layer, where there is none left."""
    if snapshots == 1:
        return layers - 1
    total = [m + advances(layers - m, snapshots - 1) + advances(m, snapshots) for m in range(1, layers)]
    return 1 + total.index(min(total))


# --- as little extra work as a budget allows ------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A plan that no other beats in both: a peak in bytes, and floating-point operations done again."""

    plan: Plan
    peak: int
    extra_flops: int


def tradeoffs(graph: Graph, optimizer: str | None = None) -> list[Choice]:
    """All that can be had, from the least memory to the least work: each plan does the least work at its peak.

    For a chain of up to 10 layers before the tail (6, where their rules read more than one value, as gelu's do), the
    least among all orders, found by searching them. For a longer one, the least among orders in which a value that is
    kept stays until backward has passed it, found by dynamic programming (Beaumont et al., 2019: persistent schedules).

    Parameters
    ----------
    graph : Graph
        A chain.
    optimizer : str, optional
        As for `mlp.memory.predict`: its state is part of every peak.

    Returns
    -------
    list of Choice
        The peaks rise, the work falls.
    """
    whole = chain(graph)
    outside = predict(graph, "residuals", optimizer)
    always = sum(outside.events[0].bytes[kind] for kind in ("parameters", "inputs", "optimizer"))
    floor = outside.events[-1].total if optimizer else 0  # the update's own bytes, whatever the plan
    choices: list[Choice] = []
    sizes = _sizes(whole)
    bits = sum(1 + (layer.inside > 0) for layer in sizes.layers)
    is_short = len(sizes.layers) <= EXACT and bits <= BITS
    for option in _search(sizes) if is_short else _first_time(sizes):
        peak = max(always + option.peak, floor)
        plan = whole.plan(f"optimal {bytes_text(peak)}", _turns(whole, option.walk))
        if choices and choices[-1].peak == peak:
            choices.pop()
        choices.append(Choice(plan, peak, option.flops))
    return choices


def optimal(graph: Graph, budget: int, optimizer: str | None = None) -> Plan:
    """Find the plan that does the least work again within a budget of bytes; see `tradeoffs`.

    Parameters
    ----------
    graph : Graph
        A chain.
    budget : int
        Bytes: the peak of the whole pass, the caller's arrays among them, is at most this.
    optimizer : str, optional
        As for `mlp.memory.predict`: its state is part of the peak.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError
        For a budget that is no whole number.
    ValueError
        For no chain, or a budget below the least possible, with that least and the plan that reaches it.
    """
    limit = positive_int(budget, "budget")
    choices = tradeoffs(graph, optimizer)
    within = [choice for choice in choices if choice.peak <= limit]
    if not within:
        least = choices[0]
        raise ValueError(
            f"budget: expected at least {least.peak:,} bytes, which the plan {least.plan.name!r} reaches with "
            f"{least.extra_flops:,} operations done again, received {limit:,}"
        )
    return within[-1].plan


class _Option(NamedTuple):
    """One way to take some layers back: operations done again, bytes at most, and the walk.

    A walk is a sequence of turns (what, layer) and of other walks, each with the layer that it begins at.
    """

    flops: int
    peak: int
    walk: tuple[Any, ...]


def _best(options: Iterable[_Option]) -> list[_Option]:
    """Those that no other beats in both, peaks rising."""
    found: list[_Option] = []
    for option in sorted(options, key=lambda option: (option.peak, option.flops)):
        if not found or option.flops < found[-1].flops:
            found.append(option)
    return found


class _Sizes(NamedTuple):
    """A chain in numbers."""

    layers: list[_Layer]  # without the tail
    tail_peak: tuple[int, int]  # the tail, forward and back, its input forgotten on the way; its input kept
    done: int  # bytes of the results that are there after the tail


def _sizes(whole: Chain) -> _Sizes:
    meter = _Meter(whole)
    tail = meter.run("forward", whole.layers[-1]) + meter.run("backward", reversed(whole.layers[-1]))
    source, there = whole.values[-1], cotangent_name(whole.graph, whole.values[-1])
    peaks = [meter.peak(tail, [source], until) for until in ([there], [there, source])]
    layers = [meter.layer(number) for number in range(len(whole) - 1)]
    return _Sizes(layers, (peaks[0], peaks[1]), meter.born(tail))


# --- by dynamic programming -----------------------------------------------------------------------------------------


def _first_time(sizes: _Sizes) -> list[_Option]:
    """The best ways to take the whole chain forward for the first time, and back."""
    layers, tail_peak, done = sizes
    again = _Again(layers)
    count = len(layers)
    # best[e]: from layer i on, its input forgotten on the way back (0) or kept (1)
    best = {count: tuple([_Option(0, peak, (("tail", 0),))] for peak in tail_peak)}
    for i in reversed(range(count)):
        layer = layers[i]
        gradients = list(accumulate([0, *(layer.gradients for layer in reversed(layers[i:]))]))
        found: tuple[list[_Option], list[_Option]] = ([], [])
        for e in (0, 1):
            for rest in best[i + 1][layer.reads_value]:
                peak = max(
                    layer.keep_peak,
                    layer.source + layer.inside + rest.peak,
                    done + gradients[count - i - 1] + layer.back_peak[e],
                )
                found[e].append(_Option(rest.flops, peak, (("run", 0), (1, rest.walk), ("back", 0))))
            passing = layer.hold_peak
            for k in range(i + 1, count + 1):
                if k > i + 1:
                    passing = max(passing, layer.source + layers[k - 1].pass_peak)
                steps = tuple(("run", number) for number in range(k - i))
                for kept in (0, 1) if layers[k - 1].reads_value else (0,):
                    born = done + gradients[count - k]
                    for rest, back in _pairs(best[k][kept], layer.source, again.best(i, k, kept, e), born):
                        peak = max(passing, layer.source + rest.peak, born + back.peak)
                        walk = (*steps, (k - i, rest.walk), (0, back.walk))
                        found[e].append(_Option(rest.flops + back.flops, peak, walk))
        best[i] = (_best(found[0]), _best(found[1]))
    return best[0][0]


class _Again:
    """The best ways to take a part of a chain back a second time, from the input of its first layer.

    A part is some of the layers, without the tail. The cotangent of its value is there, the value itself may be.
    """

    def __init__(self, layers: Sequence[_Layer]) -> None:
        self._layers = layers
        self._alike: dict[tuple[int, int], int] = {}  # parts of equal layers share a number, and their options
        numbers: dict[tuple[int, _Layer], int] = {}
        for i in range(len(layers)):
            number = -1
            for j in range(i, len(layers)):
                number = numbers.setdefault((number, layers[j]), len(numbers))
                self._alike[i, j + 1] = number
        self._found: dict[tuple[int, int, int], list[_Option]] = {}
        for length in range(1, len(layers) + 1):
            for i in range(len(layers) - length + 1):
                for there in (0, 1) if layers[i + length - 1].reads_value else (0,):
                    for kept in (0, 1):
                        key = (self._alike[i, i + length], there, kept)
                        if key not in self._found:
                            self._found[key] = _best(self._options(i, i + length, there, kept))

    def best(self, i: int, j: int, there: int, kept: int) -> list[_Option]:
        """Layers i to before j; ``there``: its value is still held; ``kept``: its input is held to the end."""
        return self._found[self._alike[i, j], there, kept]

    def _options(self, i: int, j: int, there: int, kept: int) -> Iterator[_Option]:
        layer, last = self._layers[i], self._layers[j - 1]
        beside = last.value * (1 + there)  # the cotangent, and the value
        if j == i + 1:
            if there:
                peak = max(last.value + layer.refill_peak, layer.back_peak[kept])
                yield _Option(layer.refill_flops, peak, (("refill", 0), ("back", 0)))
            else:
                peak = max(last.value + layer.tape_peak, layer.back_peak[kept])
                yield _Option(layer.tape_flops, peak, (("tape", 0), ("back", 0)))
            return
        gradients = sum(other.gradients for other in self._layers[i + 1 : j])
        for rest in self.best(i + 1, j, there, layer.reads_value):
            peak = max(
                beside + layer.keep_peak,
                layer.source + layer.inside + rest.peak,
                gradients + layer.back_peak[kept],
            )
            yield _Option(layer.flops + rest.flops, peak, (("run", 0), (1, rest.walk), ("back", 0)))
        passing, flops = layer.hold_peak, 0
        for k in range(i + 1, j):
            through = self._layers[k - 1]
            flops += through.flops
            if k > i + 1:
                passing = max(passing, layer.source + through.pass_peak)
                gradients -= through.gradients
            steps = tuple(("run", number) for number in range(k - i))
            for held in (0, 1) if through.reads_value else (0,):
                for rest, back in _pairs(
                    self.best(k, j, there, held), layer.source, self.best(i, k, held, kept), gradients
                ):
                    peak = max(beside + passing, layer.source + rest.peak, gradients + back.peak)
                    walk = (*steps, (k - i, rest.walk), (0, back.walk))
                    yield _Option(flops + rest.flops + back.flops, peak, walk)


def _pairs(
    ones: Sequence[_Option], beside_ones: int, others: Sequence[_Option], beside_others: int
) -> Iterator[tuple[_Option, _Option]]:
    """Of two walks, one after the other, the pairs worth having: at each peak, the least work of both."""
    peaks = sorted({one.peak + beside_ones for one in ones} | {other.peak + beside_others for other in others})
    a = b = -1
    for peak in peaks:
        while a + 1 < len(ones) and ones[a + 1].peak + beside_ones <= peak:
            a += 1
        while b + 1 < len(others) and others[b + 1].peak + beside_others <= peak:
            b += 1
        if a >= 0 and b >= 0:
            yield ones[a], others[b]


# --- by search ------------------------------------------------------------------------------------------------------


class _State(NamedTuple):
    """Where a walk is: what exists, as bits by layer, how far forward has come, and how far back (-1: not begun)."""

    values: int
    insides: int
    forward: int
    back: int


def _search(sizes: _Sizes) -> list[_Option]:
    """All that can be had, whatever the order: the least work, then the least work within less memory, and so on."""
    found: list[_Option] = []
    limit = sum(layer.keep_peak + layer.value + max(layer.back_peak) for layer in sizes.layers)
    option = _least_work(sizes, limit + sum(sizes.tail_peak) + sizes.done)
    while option is not None:
        if found and found[-1].flops == option.flops:
            found.pop()
        found.append(option)
        option = _least_work(sizes, option.peak - 1)
    return found[::-1]


def _least_work(sizes: _Sizes, limit: int) -> _Option | None:
    """The least work within a limit of bytes, by Dijkstra's algorithm over all states; None where it cannot be done."""
    start = _State(0, 0, 0, -1)
    best: dict[_State, tuple[int, int]] = {start: (0, 0)}
    came: dict[_State, tuple[_State, tuple[str, int] | None]] = {}
    queue = [((0, 0), start)]
    while queue:
        (flops, peak), state = heappop(queue)
        if best[state] < (flops, peak):
            continue
        if state.back == 0:
            walk: list[tuple[str, int]] = []
            while state != start:
                state, turn = came[state]
                walk += [turn] if turn else []
            return _Option(flops, peak, tuple(reversed(walk)))
        for more, reached, turn, after in _moves(sizes, state):
            reached = max(peak, reached)
            if reached <= limit and (flops + more, reached) < best.get(after, (flops + more + 1, 0)):
                best[after] = flops + more, reached
                came[after] = state, turn
                heappush(queue, (best[after], after))
    return None


def _moves(sizes: _Sizes, state: _State) -> Iterator[tuple[int, int, tuple[str, int] | None, _State]]:
    """What can be done next: operations done again, bytes at most, the turn, and the state after it."""
    layers, tail_peak, done = sizes
    values, insides, forward, back = state
    held = sum(layer.value * (values >> i & 1) + layer.inside * (insides >> i & 1) for i, layer in enumerate(layers))
    begun = back >= 0
    if begun:
        done += sum(layer.gradients for layer in layers[back:])
        held += done + layers[back - 1].value  # the cotangent at which backward stands
    for i in range(back if begun else len(layers)):
        layer, bit, before = layers[i], 1 << i, 1 << i >> 1
        if values & bit:
            yield 0, 0, None, state._replace(values=values ^ bit)
        if insides & bit:
            yield 0, 0, None, state._replace(insides=insides ^ bit)
        if i > 0 and not values & before:
            continue
        others = held - layer.source
        if values & bit:
            if layer.inside and not insides & bit:
                peak = others - layer.value + layer.refill_peak
                yield layer.refill_flops, peak, ("refill", i), state._replace(insides=insides | bit)
            continue
        if i > forward:
            continue
        again = layer.flops if i < forward else 0
        ran = state._replace(values=values | bit, forward=max(forward, i + 1))
        yield again, others + layer.hold_peak, ("run", i), ran
        if i > 0:
            yield again, others + layer.pass_peak, ("run", i), ran._replace(values=(values | bit) ^ before)
        if layer.inside and not insides & bit:
            yield again, others + layer.keep_peak, ("run", i), ran._replace(insides=insides | bit)
            if not layer.reads_value and i < forward:
                yield layer.tape_flops, others + layer.tape_peak, ("tape", i), state._replace(insides=insides | bit)
    last = len(layers) - 1
    if not begun and values >> last & 1:
        for kept, peak in enumerate(tail_peak):
            after = _State(values if kept else values ^ 1 << last, insides, forward, len(layers))
            yield 0, held - layers[last].value + peak, ("tail", len(layers)), after
    if begun:
        i = back - 1
        layer, bit, before = layers[i], 1 << i, 1 << i >> 1
        whole = (values & bit or not layer.reads_value) and (insides & bit or not layer.inside)
        if whole and (i == 0 or values & before):
            others = held - layer.source - layer.value * layer.reads_value - layer.inside - layer.value
            left = values & ~bit
            for kept, peak in enumerate(layer.back_peak):
                after = _State(left if kept else left & ~before, insides & ~bit, forward, back - 1)
                yield 0, others + peak, ("back", i), after


def _turns(whole: Chain, walk: tuple[Any, ...]) -> Iterator[LayerTurn]:
    """A walk, unrolled."""
    todo: list[tuple[int, Any]] = [(0, item) for item in reversed(walk)]
    while todo:
        start, (what, inner) = todo.pop()
        if not isinstance(what, str):
            todo += [(start + what, item) for item in reversed(inner)]
            continue
        layer = start + inner
        if what in ("run", "tail"):
            yield "forward", layer, None
        elif what in ("tape", "refill"):
            yield "forward", layer, whole.needs(layer).tape if what == "tape" else whole.needs(layer).refill
        if what in ("back", "tail"):
            yield "backward", layer, None
