"""Chains: graphs in which one value carries everything from layer to layer; and what a pass over one costs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mlp.graph import Graph
from mlp.memory import predict
from mlp.steps import Plan, Schedule, Step, Turn, going_back, objective_name, policy_name, schedule

# A phase, a layer, and which of its equations run; None for all.
LayerTurn = tuple[str, int, frozenset[int] | None]


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

    Layers before the first parameter, to which backward does not come, are one with the layer that has it.

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
        alone = going_on == {equation.output} and graph.needs_gradient(equation.output)
        if alone and following.op == "matmul" and following.inputs[1] == equation.output:
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
    extra, once = (sum(flops_of(graph, step.equation.output) for step in those) for those in (repeated, _firsts(steps)))
    peak = predict(graph, policy, optimizer).peak
    return Cost(policy_name(policy), peak, len(repeated), extra, extra / once if once else 0.0)


def _firsts(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if step.phase == "forward" and not step.again]


def flops_of(graph: Graph, output: str) -> int:
    """Floating-point operations of the equation that defines a variable."""
    equation = graph.maker(output)
    assert equation is not None
    return graph.table[equation.op].flops(*(graph.variables[name].shape for name in equation.inputs))
