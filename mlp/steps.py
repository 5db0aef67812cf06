"""The schedule: which rule runs when, and from when to when each array exists.

`schedule` turns a graph into a list of Steps: each equation once, in order; then each VJP once, in reverse order. A
`Plan` (see `checkpoint`) changes the order: equations run again, later, instead of being kept. Everything else follows
from the order: an array is born with the step that writes it, and freed after the last step that reads it before it is
written again. Running the steps is the engine's business; adding up their bytes is `memory`'s.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import prod
from typing import NamedTuple, overload

import numpy as np

from mlp.frozen import Frozen
from mlp.graph import Equation, Graph
from mlp.inputs import counted, one_of
from mlp.ops import Array, Shape

POLICIES = ("keep_all", "residuals", "predict")
Call = tuple[Callable[..., None], tuple[str, ...]]
Turn = tuple[str, int]  # in a plan: a phase, and the index of the equation that runs forward, or back


@dataclass(frozen=True, eq=False)
class Step:
    """One equation run forward, or one of its VJPs run backward.

    Arrays go by name: a variable's value by the variable's own, its cotangent by a name such as ``"dJ/dz"``.

    Attributes
    ----------
    index : int
        Position in the schedule, from 0.
    phase : str
        ``"forward"`` or ``"backward"``.
    equation : Equation
        The equation that is run, or whose VJP is.
    argnum : int or None
        The input whose cotangent receives an instalment; None in forward.
    reads, writes : tuple of str
        Arrays that the step reads; the one array that it defines or adds to.
    contributions : mapping of str to ndarray
        In a trace, backward: the variable whose cotangent it adds to, and the instalment alone. Empty otherwise.
    final : tuple of str
        Variables whose value (forward) or cotangent (backward) is complete after this step.
    born, freed : tuple of str
        Arrays that begin to exist with this step, and those that nobody reads after it under the policy.
    again : bool
        Whether the equation has run before, and is run again because its output was not kept.
    workspace : mapping of str to tuple
        Shapes of the arrays that exist during this step only.
    calls : tuple
        What is executed: pairs of a rule and the names of the arrays that it is called with, first the one that it
        writes. None where the instalment is known to be 0.
    instalment : str
        Backward, the array that holds what this step contributes: the cotangent itself, where it is the first. Empty
        where that is nothing.
    """

    index: int
    phase: str
    equation: Equation
    argnum: int | None
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    calls: tuple[Call, ...] = field(repr=False)
    workspace: Mapping[str, Shape] = field(repr=False)
    instalment: str = field(default="", repr=False)
    contributions: Mapping[str, Array] = field(default_factory=Frozen, repr=False)
    final: tuple[str, ...] = ()
    born: tuple[str, ...] = ()
    freed: tuple[str, ...] = ()
    again: bool = False

    @property
    def variable(self) -> str:
        """The variable that the step is about: whose value it computes, or whose cotangent it adds to."""
        return self.equation.output if self.argnum is None else self.equation.inputs[self.argnum]


@dataclass(frozen=True)
class Plan:
    """An order in which a graph's equations run, some of them again: a policy that buys memory with time.

    Attributes
    ----------
    name : str
        What the plan is called in tables and pictures.
    graph : Graph
        The graph that it is for.
    order : tuple of (str, int)
        Pairs ``("forward" | "backward", index of the equation)``: every equation forward at least once, and backward
        exactly once, last equation first. What is read must have been written before; it is then kept until it is
        read, and that is all that a plan says of keeping.
    """

    name: str
    graph: Graph = field(repr=False)
    order: tuple[Turn, ...] = field(repr=False)


class Lifetime(NamedTuple):
    """An array, the steps from which to which it exists, and its bytes. Workspace exists during one step."""

    array: str
    first: int
    last: int
    nbytes: int


class Schedule(Sequence[Step]):
    """The steps of one pass under a policy, and the lifetime of every array.

    Attributes
    ----------
    graph : Graph
    policy : str or Plan
    needed : tuple of str
        What the caller brings.
    shapes : mapping of str to tuple
        The shape of every array by name: values, cotangents, workspace.
    """

    def __init__(self, graph: Graph, policy: str | Plan, steps: Sequence[Step], needed: tuple[str, ...]) -> None:
        self.graph = graph
        self.policy = policy
        self.needed = needed
        self._steps = tuple(steps)
        shapes = {name: variable.shape for name, variable in graph.variables.items()}
        shapes |= {cotangent_name(graph, name): shape for name, shape in shapes.items()}
        for step in steps:
            shapes |= step.workspace
        self.shapes: Mapping[str, Shape] = Frozen(shapes)

    @overload
    def __getitem__(self, key: int) -> Step: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Step, ...]: ...

    def __getitem__(self, key: int | slice) -> Step | tuple[Step, ...]:
        """A step by number."""
        return self._steps[key]

    def __len__(self) -> int:
        """How many steps."""
        return len(self._steps)

    def __repr__(self) -> str:
        """One line."""
        return f"<Schedule: {counted(len(self), 'step')}, policy {policy_name(self.policy)}>"

    def nbytes(self, array: str) -> int:
        """Bytes of an array, by its name."""
        return prod(self.shapes[array]) * np.dtype(self.graph.dtype).itemsize

    def kind(self, array: str) -> str:
        """What an array is for.

        One of ``"parameters"``; ``"inputs"`` (targets too); ``"kept"`` (values of intermediate variables);
        ``"gradients"`` (cotangents of all variables); ``"workspace"`` (one step only).
        """
        return self._kinds.get(array, "workspace")

    @cached_property
    def _kinds(self) -> dict[str, str]:
        of_role = {"parameter": "parameters", "intermediate": "kept"}
        kinds = {name: of_role.get(variable.role, "inputs") for name, variable in self.graph.variables.items()}
        return kinds | {cotangent_name(self.graph, name): "gradients" for name in self.graph.variables}

    def alive(self, index: int) -> tuple[str, ...]:
        """Names of the arrays that exist while step ``index`` runs: the caller's first, without its workspace."""
        now = dict.fromkeys(self.needed)
        for step in self._steps[: range(len(self))[index]]:
            now |= dict.fromkeys(step.born)
            for name in step.freed:
                del now[name]
        return *now, *self._steps[index].born

    def bytes(self, index: int) -> int:
        """Bytes of all arrays that exist while step ``index`` runs: inputs, output and workspace together."""
        return self._bytes[index]

    @cached_property
    def _bytes(self) -> list[int]:
        now = sum(map(self.nbytes, self.needed))
        found = []
        for step in self._steps:
            now += sum(map(self.nbytes, step.born))
            found.append(now + sum(map(self.nbytes, step.workspace)))
            now -= sum(map(self.nbytes, step.freed))
        return found

    def lifetimes(self) -> tuple[Lifetime, ...]:
        """Every array that the engine makes, in order of birth; one that is written anew later appears again."""
        found: list[Lifetime] = []
        open_since: dict[str, int] = {}
        for step in self._steps:
            open_since |= dict.fromkeys((*step.born, *step.workspace), step.index)
            for name in (*step.freed, *step.workspace):
                found.append(Lifetime(name, open_since.pop(name), step.index, self.nbytes(name)))
        end = len(self._steps) - 1
        found += [Lifetime(name, first, end, self.nbytes(name)) for name, first in open_since.items()]
        return tuple(sorted(found, key=lambda life: life.first))


def cotangent_name(graph: Graph, name: str) -> str:
    """The name of the array that holds the derivative of the objective with respect to a variable: ``"dJ/dz"``."""
    return f"d{graph.objective}/d{name}"


def schedule(graph: Graph, policy: str | Plan = "residuals", keep: Iterable[str] = ()) -> Schedule:
    """All steps of one pass, in order, with the lifetime of every array.

    Parameters
    ----------
    graph : Graph
    policy : str or Plan
        Until when a value is kept. ``"residuals"``: until the last rule that reads it. ``"keep_all"``: every value
        until backward ends, as D2L 5.3 says. ``"predict"``: forward only, and only what ``graph.output`` depends on.
        A plan of `mlp.checkpoint`: until the last rule that reads it before it is computed again.
    keep : iterable of str
        Arrays that are not freed, whatever the policy.

    Returns
    -------
    Schedule
        A sequence of Steps: one for each equation forward, then one for each VJP on the way from the objective to the
        parameters. What the caller brings, and what the caller receives, is never freed.

    Raises
    ------
    ValueError
        For an unknown policy, a plan for another graph, or one that reads what it has not computed.
    """
    check_graph(graph)
    known = graph.derived.get(policy) if isinstance(policy, str) and not keep else None
    if isinstance(known, Schedule):
        return known
    forward: list[Turn] = [("forward", index) for index in range(len(graph.equations))]
    results = {graph.objective, *keep} | {cotangent_name(graph, name) for name in graph.parameters}
    needed = graph.given
    order: Sequence[Turn]
    if isinstance(policy, Plan):
        check_plan(graph, policy)
        order = policy.order
    elif policy == "predict":
        ancestors = graph.ancestors(output_name(graph))
        order = [turn for turn in forward if graph.equations[turn[1]].output in ancestors]
        needed = tuple(name for name in graph.given if name in ancestors)
        results = {graph.output, *keep}
    else:
        one_of(policy, POLICIES, "policy")
        order = [*forward, *(("backward", index) for index in going_back(graph))]
    steps = _steps(graph, order)
    found = Schedule(graph, policy, _with_lifetimes(graph, steps, results, policy == "keep_all"), needed)
    if isinstance(policy, str) and not keep:
        graph.derived[policy] = found
    return found


def going_back(graph: Graph) -> list[int]:
    """The equations that backward goes through, last first: those whose output is on a way to a parameter."""
    if graph.objective is None:
        return []
    return [i for i in reversed(range(len(graph.equations))) if graph.needs_gradient(graph.equations[i].output)]


def _steps(graph: Graph, order: Sequence[Turn]) -> list[Step]:
    """The steps in the given order, without their lifetimes."""
    owed = {name: 0 for name in graph.variables}  # instalments still to come
    for phase, index in order:
        if phase == "backward":
            for name in graph.equations[index].inputs:
                owed[name] += graph.needs_gradient(name)
    steps: list[Step] = []
    started: set[str] = set()  # arrays that hold a value, or an instalment that is not 0
    seeded = False
    for phase, index in order:
        equation = graph.equations[index]
        if phase == "forward":
            steps.append(_forward(graph, equation, again=equation.output in started))
            started.add(equation.output)
            continue
        for argnum, name in enumerate(equation.inputs):
            if graph.needs_gradient(name):
                owed[name] -= 1
                final = (name,) if owed[name] == 0 else ()
                total = cotangent_name(graph, name)
                step = _vjp(graph, equation, argnum, first=total not in started, final=final)
                if not seeded:
                    seed: Call = _seed, (cotangent_name(graph, str(graph.objective)),)
                    step = replace(step, calls=(seed, *step.calls))
                    seeded = True
                steps.append(step)
                if not _gives_nothing(graph, equation):
                    started.add(total)
    return steps


def _forward(graph: Graph, equation: Equation, again: bool) -> Step:
    """The step that computes one equation."""
    op = graph.table[equation.op]
    shapes = [graph.variables[name].shape for name in equation.inputs]
    workspace = _workspace(equation.output, op.workspace(*shapes))
    rule = partial(op.forward, **equation.attrs) if equation.attrs else op.forward
    call: Call = rule, (equation.output, *equation.inputs, *workspace)
    if op.vanishes(**equation.attrs):
        call = _fill_zero, (equation.output,)
    writes = (equation.output,)
    return Step(0, "forward", equation, None, equation.inputs, writes, (call,), workspace, final=writes, again=again)


def _workspace(name: str, shapes: Sequence[Shape]) -> Mapping[str, Shape]:
    """Names for the arrays that a rule needs while it makes ``name``."""
    return Frozen({f"work {k} of {name}": shape for k, shape in enumerate(shapes)})


def _vjp(graph: Graph, equation: Equation, argnum: int, first: bool, final: tuple[str, ...]) -> Step:
    """The step that carries the cotangent of an equation's output back to one of its inputs."""
    name, output = equation.inputs[argnum], equation.output
    op = graph.table[equation.op]
    vjp = op.vjp(argnum)
    assert vjp is not None  # the graph has checked that every way to the objective has derivatives
    saved = vjp.residuals(equation.inputs, output, argnum)
    delta, total = cotangent_name(graph, output), cotangent_name(graph, name)
    shapes = [graph.variables[source].shape for source in (output, *saved)]
    workspace = _workspace(total, vjp.workspace(*shapes))
    rule = partial(vjp.rule, **equation.attrs) if equation.attrs else vjp.rule
    reads = (delta, *saved)
    instalment = total if first else f"instalment of {total}"
    if _gives_nothing(graph, equation):
        return _nothing(Step(0, "backward", equation, argnum, reads, (total,), (), {}, final=final), first)
    calls: tuple[Call, ...] = ((rule, (instalment, *reads, *workspace)),)
    if not first:
        calls += ((accumulate, (total, instalment)),)
        workspace = Frozen({**workspace, instalment: graph.variables[name].shape})
    return Step(0, "backward", equation, argnum, reads, (total,), calls, workspace, instalment, final=final)


def _gives_nothing(graph: Graph, equation: Equation) -> bool:
    """Whether its instalments are 0 and need not be computed; the objective's are, since backward begins with them."""
    return graph.table[equation.op].vanishes(**equation.attrs) and equation.output != graph.objective


def _nothing(step: Step, first: bool) -> Step:
    """An instalment of 0 is not added, and makes no array, unless there is no other."""
    if first and step.final:
        total = step.writes[0]
        return replace(step, calls=((_fill_zero, (total,)),), instalment=total)
    return step


def _fill_zero(array: Array) -> None:
    """What an operator that vanishes computes."""
    array.fill(0)


def _seed(cotangent: Array) -> None:
    """Backward starts from ∂J/∂J = 1."""
    cotangent[()] = 1


def accumulate(total: Array, instalment: Array) -> None:
    """A variable with several readers receives its cotangent in instalments: the one write in place."""
    np.add(total, instalment, out=total)


def _with_lifetimes(graph: Graph, steps: list[Step], results: set[str | None], keep_all: bool) -> list[Step]:
    """Number the steps, and say with which each array is born and after which it is freed.

    An array that is written again, after a run of the same equation, begins a new life.
    """
    lives: list[tuple[str, int]] = []  # in order of birth: the array, and the step that it is born with
    last: list[int] = []  # for each life, the last step that reads or writes it
    current: dict[str, int] = {}  # the life that an array is in
    given = set(graph.given)  # which a deep graph has many of
    for index, step in enumerate(steps):
        for name in (*step.reads, *(step.writes if step.calls else ())):
            if name in given:
                continue
            if name not in current or (step.phase == "forward" and name in step.writes):
                current[name] = len(lives)
                lives.append((name, index))
                last.append(index)
            last[current[name]] = index
    born: list[list[str]] = [[] for _ in steps]
    freed: list[list[str]] = [[] for _ in steps]
    for life, (name, index) in enumerate(lives):
        born[index].append(name)
        if name in results and current[name] == life:
            continue
        freed[len(steps) - 1 if keep_all and name in graph.variables else last[life]].append(name)
    return [
        replace(step, index=index, born=tuple(born[index]), freed=tuple(freed[index]))
        for index, step in enumerate(steps)
    ]


def check_plan(graph: Graph, plan: Plan) -> None:
    """A plan is for this graph, runs everything, and reads nothing before it is computed."""
    if plan.graph != graph:
        raise ValueError(f"policy: expected a plan for {graph!r}, received {plan.name!r} for {plan.graph!r}")
    where = f"plan {plan.name!r}"
    if not isinstance(plan.order, tuple | list) or not all(map(_is_turn, plan.order)):
        raise TypeError(f"{where}: expected pairs ('forward' | 'backward', an equation), received {plan.order!r:.60}")
    backward = [index for phase, index in plan.order if phase == "backward"]
    if backward != going_back(graph):
        raise ValueError(f"{where}: expected backward to run equations {going_back(graph)}, received {backward}")
    computed = set(graph.given)
    for position, (phase, index) in enumerate(plan.order):
        if phase not in ("forward", "backward") or not 0 <= index < len(graph.equations):
            raise ValueError(f"{where}: expected ('forward' | 'backward', an equation), received {(phase, index)}")
        equation = graph.equations[index]
        needs = equation.inputs if phase == "forward" else (*equation.inputs, equation.output)
        missing = [name for name in needs if name not in computed]
        if missing:
            raise ValueError(
                f"{where}: expected {missing[0]!r} to be computed before entry {position}, {phase} of '{equation}'"
            )
        computed.add(equation.output)
    for equation in graph.equations:
        if equation.output not in computed:
            raise ValueError(f"{where}: expected every equation forward, received none for '{equation}'")


def _is_turn(entry: object) -> bool:
    """Whether it is a phase and a whole number."""
    whole = isinstance(entry, tuple | list) and len(entry) == 2 and isinstance(entry[1], int | np.integer)
    return whole and not isinstance(entry[1], bool)  # type: ignore[index]


def check_graph(graph: object) -> None:
    """Complain of swapped arguments before anything else does."""
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected an mlp.Graph, received {type(graph).__name__}")


def objective_name(graph: Graph) -> str:
    """The scalar that is differentiated."""
    check_graph(graph)
    if graph.objective is None:
        raise ValueError("objective: expected a graph that ends in a scalar, received one without an objective")
    return graph.objective


def output_name(graph: Graph) -> str:
    """The variable that prediction ends with."""
    if graph.output is None:
        raise ValueError(
            "output: expected a graph that names its output, as Graph(..., output='o'), received one without"
        )
    return graph.output


def policy_name(policy: str | Plan) -> str:
    """How a policy is called."""
    return policy if isinstance(policy, str) else policy.name
