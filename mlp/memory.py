"""Memory: every byte of a pass, predicted from the graph and measured by running it.

`predict` reads the schedule: shapes, and from when to when each array exists. `measure` runs the same schedule with one
allocation for each array, and counts what is there. The two must agree to the byte.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from mlp.engine import execute
from mlp.frozen import Frozen
from mlp.graph import Graph
from mlp.inputs import listed, one_of
from mlp.ops import Array
from mlp.optimizers import OPTIMIZERS, Optimizer
from mlp.prepared import places, prepare
from mlp.steps import Plan, Schedule, Step, cotangent_name, policy_name, schedule
from mlp.text import bytes_text, printed
from mlp.values import checked

#: The kinds of arrays that are counted apart.
KINDS = ("parameters", "inputs", "gradients", "optimizer", "kept", "workspace")
STATE = "state "  # how the names of an optimiser's arrays begin; no name that a graph makes has a space in front


@dataclass(frozen=True)
class Held:
    """One array that exists during an event.

    Attributes
    ----------
    array : str
        ``"h"`` a value, ``"dJ/dh"`` a cotangent.
    kind : str
        One of ``"parameters"``; ``"inputs"`` (targets too); ``"gradients"`` (cotangents of all variables);
        ``"optimizer"``; ``"kept"`` (values of intermediate variables); ``"workspace"`` (this event only).
    nbytes : int
    needed_by : str
        The rule that reads it last, such as ``"matmul_vjp0 of z = matmul(W1, x), step 14"``; else ``"the policy"``,
        ``"this step alone"``, ``"the next update"``, or the caller, whose it is.
    """

    array: str
    kind: str
    nbytes: int
    needed_by: str


@dataclass(frozen=True)
class Event:
    """What exists while one step runs: its inputs, its output and its workspace together.

    Attributes
    ----------
    index : int
        The step's number in the schedule; the update, where there is one, comes after the last.
    phase : str
        ``"forward"``, ``"backward"`` or ``"update"``.
    what : str
        What the step writes: ``"z"``, ``"dJ/dz"``.
    bytes : mapping of str to int
        By kind, in the order of `mlp.memory.KINDS`.
    """

    index: int
    phase: str
    what: str
    bytes: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes of all kinds."""
        return sum(self.bytes.values())


@dataclass(frozen=True)
class Timeline:
    """The bytes that exist, event by event.

    Attributes
    ----------
    graph : Graph
    policy : str
        The policy's or the plan's name.
    events : tuple of Event
        One for each step, and one for the update where an optimiser was named.
    held : callable
        ``held(index)`` gives the arrays of an event, largest first.
    """

    graph: Graph = field(repr=False)
    policy: str
    events: tuple[Event, ...] = field(repr=False)
    held: Callable[[int], tuple[Held, ...]] = field(repr=False)
    _reserve: Callable[[], int] = field(repr=False)

    @cached_property
    def peak_event(self) -> Event:
        """The first event at which most bytes exist."""
        return max(self.events, key=lambda event: event.total)

    @property
    def peak(self) -> int:
        """Bytes at the peak: the caller's arrays, and all that the engine made."""
        return self.peak_event.total

    @cached_property
    def reserved(self) -> int:
        """Bytes of the one slab that `mlp.prepare` holds for what it makes; the caller's arrays are not in it."""
        return self._reserve()

    @property
    def breakdown(self) -> tuple[Held, ...]:
        """The arrays at the peak, largest first, each with the rule that still needs it."""
        return self.held(self.peak_event.index)

    def __repr__(self) -> str:
        """One line."""
        event = self.peak_event
        where = f"step {event.index}, {event.phase}, {event.what}"
        return printed(f"<Timeline: {self.policy}, peak {bytes_text(self.peak)} at {where}>")

    def __str__(self) -> str:
        """A line an event: the step, what it writes, and the bytes by kind."""
        lines = [f"{'step':>4} {'phase':8} {'writes':12}" + "".join(f"{kind:>12}" for kind in (*KINDS, "total"))]
        for event in self.events:
            counts = "".join(f"{count:12,}" for count in (*event.bytes.values(), event.total))
            mark = "  peak" if event is self.peak_event else ""
            lines.append(f"{event.index:4d} {event.phase:8} {event.what:12}{counts}{mark}")
        return printed("\n".join(lines))


def predict(graph: Graph, policy: str | Plan = "residuals", optimizer: str | None = None) -> Timeline:
    """Predict the bytes of a pass from shapes and rules alone; no array is made.

    Parameters
    ----------
    graph : Graph
    policy : str or Plan
        As for `mlp.schedule`: ``"predict"``, ``"keep_all"``, ``"residuals"`` or a plan of `mlp.checkpoint`.
    optimizer : str, optional
        ``"sgd"``, ``"momentum"`` or ``"adam"``: counts its state, which lives from step to step, and the update.

    Returns
    -------
    Timeline

    Raises
    ------
    TypeError, ValueError
        For no graph, an unknown policy or optimiser, a plan for another graph.
    """
    steps = _steps(graph, policy)
    rule = _optimizer(optimizer, policy)
    parameters = [steps.nbytes(name) for name in graph.parameters]
    now = dict.fromkeys(KINDS, 0)
    for name in steps.needed:
        now[steps.kind(name)] += steps.nbytes(name)
    now["optimizer"] = len(rule.state) * sum(parameters) if rule else 0
    events = []
    for step in steps:
        for name in step.born:
            now[steps.kind(name)] += steps.nbytes(name)
        work = sum(map(steps.nbytes, step.workspace))
        events.append(_event(step, now | {"workspace": work}))
        for name in step.freed:
            now[steps.kind(name)] -= steps.nbytes(name)
    if rule:
        events.append(_update(steps, now | {"workspace": rule.workspace * max(parameters, default=0)}))

    held, reserve = partial(_predicted, steps, rule), partial(_reserved, steps, planned=True)
    return Timeline(graph, policy_name(policy), tuple(events), held, reserve)


def measure(
    graph: Graph, values: Mapping[str, Array], policy: str | Plan = "residuals", optimizer: str | None = None
) -> Timeline:
    """Measure the bytes of a pass: run it with one allocation for each array, and count what exists at each step.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        As for `mlp.value_and_grad`; never changed.
    policy, optimizer
        As for `predict`.

    Returns
    -------
    Timeline
        Counted from the arrays' own ``nbytes``; ``reserved`` from the slab that `mlp.prepare` allocates.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As `predict` and `mlp.value_and_grad`.
    """
    steps = _steps(graph, policy)
    rule = _optimizer(optimizer, policy)
    arrays = _Ledger(steps, checked(graph, values, steps.needed))
    shapes = {name: arrays[name].shape for name in graph.parameters if name in arrays}
    state = rule.start(shapes, graph.dtype) if rule else {}
    for name, held in state.items():
        for slot, array in zip(rule.state if rule else (), held, strict=True):
            arrays[_slot(name, slot)] = array
    events = [_event(step, arrays.count()) for step in execute(steps, arrays)]
    if rule:
        work = rule.work(shapes, graph.dtype)
        params = {name: arrays[name].copy() for name in shapes}  # stand in for the caller's, which stay as they are
        grads = {name: arrays[cotangent_name(graph, name)] for name in shapes}
        with np.errstate(all="ignore"):  # whatever the gradients are
            rule.update(1, params, grads, state, work, **TYPICAL[rule.name])
        for k, array in enumerate(work):
            arrays[f"work {k} of the update"] = array
        events.append(_update(steps, arrays.count()))
    arrays.clear()  # what is told of them needs their bytes alone
    reserve = partial(_reserved, steps, planned=policy == "predict")
    return Timeline(graph, policy_name(policy), tuple(events), partial(_measured, steps, arrays), reserve)


def sweep(
    build: Callable[[Any], Graph],
    settings: Iterable[Any],
    policies: Sequence[str | Callable[[Graph], Plan]] = ("predict", "residuals", "keep_all"),
    optimizer: str | None = None,
) -> dict[str, list[int]]:
    """Peaks against depth, width, batch or whatever ``build`` makes of a setting.

    Parameters
    ----------
    build : callable
        ``build(setting)`` gives a graph.
    settings : iterable
    policies : sequence
        Policies by name, and functions from a graph to a plan, such as ``mlp.checkpoint.sqrt``.
    optimizer : str, optional
        As for `predict`; not counted under ``"predict"``.

    Returns
    -------
    dict of str to list of int
        For each policy, by its name, the peaks in bytes, in the order of the settings.

    Raises
    ------
    TypeError, ValueError
        For policies that are no list, two of one name, and as `predict`.
    """
    if isinstance(policies, str) or not isinstance(policies, Sequence):
        raise TypeError(f"policies: expected a list such as ('predict', 'residuals'), received {policies!r}")
    names = [policy if isinstance(policy, str) else getattr(policy, "__name__", str(policy)) for policy in policies]
    if len(set(names)) < len(names):
        raise ValueError(f"policies: expected a name of its own for each, received {listed(names)}")
    peaks: dict[str, list[int]] = {name: [] for name in names}
    for setting in settings:
        graph = build(setting)
        for policy, found in zip(policies, peaks.values(), strict=True):
            chosen = policy if isinstance(policy, str) else policy(graph)
            found.append(predict(graph, chosen, None if chosen == "predict" else optimizer).peak)
    return peaks


# What the update is measured with; no byte depends on it.
TYPICAL: Mapping[str, dict[str, float]] = {
    "sgd": {"lr": 0.01},
    "momentum": {"lr": 0.01, "momentum": 0.9},
    "adam": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}


def _steps(graph: Graph, policy: str | Plan) -> Schedule:
    steps = schedule(graph, policy)
    if not steps:
        raise ValueError(f"graph: expected at least one equation to run, received {graph!r}")
    return steps


def _optimizer(name: str | None, policy: str | Plan) -> Optimizer | None:
    if name is None:
        return None
    one_of(name, OPTIMIZERS, "optimizer")
    if policy == "predict":
        raise ValueError(
            f"optimizer: expected None under the policy 'predict', which trains nothing, received {name!r}"
        )
    return OPTIMIZERS[name]


def _kind(steps: Schedule, array: str) -> str:
    """The kind of any array, the optimiser's too, of which the schedule knows nothing."""
    return "optimizer" if array.startswith(STATE) else steps.kind(array)


class _Ledger(dict[str, Array]):
    """The arrays that exist, by name. Bytes are counted as arrays come and go, so that a deep graph takes no longer."""

    def __init__(self, steps: Schedule, arrays: Mapping[str, Array]) -> None:
        super().__init__()
        self._steps = steps
        self._counts = dict.fromkeys(KINDS, 0)
        self._changes: list[tuple[str, int]] = []  # what came, or went, and its bytes
        self._marks: list[int] = []  # at each count, how many changes there had been
        for name, array in arrays.items():
            self[name] = array

    def __setitem__(self, name: str, array: Array) -> None:
        if name in self:
            self.pop(name)
        super().__setitem__(name, array)
        self._change(name, array.nbytes)

    def pop(self, name: str) -> Array:  # type: ignore[override]
        array = super().pop(name)
        self._change(name, -array.nbytes)
        return array

    def _change(self, name: str, nbytes: int) -> None:
        self._counts[_kind(self._steps, name)] += nbytes
        self._changes.append((name, nbytes))

    def count(self) -> dict[str, int]:
        """Bytes by kind, now."""
        self._marks.append(len(self._changes))
        return self._counts.copy()

    def at(self, index: int) -> dict[str, int]:
        """Bytes of each array that existed at one of the counts."""
        found: dict[str, int] = {}
        for name, nbytes in self._changes[: self._marks[index]]:
            if nbytes > 0:
                found[name] = nbytes
            else:
                del found[name]
        return found


def _slot(name: str, slot: str) -> str:
    return f"{STATE}{slot} of {name}"


def _event(step: Step, counts: dict[str, int]) -> Event:
    return Event(step.index, step.phase, step.writes[0], Frozen(counts))


def _update(steps: Schedule, counts: dict[str, int]) -> Event:
    return Event(len(steps), "update", "parameters", Frozen(counts))


def _at_the_end(steps: Schedule) -> list[str]:
    """What the caller brought, and the results."""
    return [name for name in steps.alive(-1) if name not in steps[-1].freed]


# What a Timeline asks for later: functions of a module, and no others, can be pickled with it.


def _predicted(steps: Schedule, rule: Optimizer | None, index: int) -> tuple[Held, ...]:
    names = [*steps.alive(index), *steps[index].workspace] if index < len(steps) else _at_the_end(steps)
    sizes = {name: steps.nbytes(name) for name in names}
    if rule:
        parameters = {name: steps.nbytes(name) for name in steps.graph.parameters}
        sizes |= {_slot(name, slot): nbytes for name, nbytes in parameters.items() for slot in rule.state}
        if index == len(steps):
            largest = max(parameters.values(), default=0)
            sizes |= {f"work {k} of the update": largest for k in range(rule.workspace)}
    return _held(steps, index, sizes)


def _measured(steps: Schedule, arrays: "_Ledger", index: int) -> tuple[Held, ...]:
    return _held(steps, index, arrays.at(index))


def _reserved(steps: Schedule, *, planned: bool) -> int:
    return places(steps)[1] if planned else prepare(steps.graph, policy=steps.policy).reserved


def _held(steps: Schedule, index: int, sizes: Mapping[str, int]) -> tuple[Held, ...]:
    """The arrays of one event, largest first, each with the last rule that reads it."""
    readers = _last_readers(steps, index)
    found = [
        Held(name, kind, nbytes, _needed_by(steps, kind, name, readers))
        for name, nbytes in sizes.items()
        for kind in [_kind(steps, name)]
    ]
    return tuple(sorted(found, key=lambda held: (-held.nbytes, KINDS.index(held.kind))))


def _needed_by(steps: Schedule, kind: str, name: str, readers: Mapping[str, Step | None]) -> str:
    """Who keeps an array alive at an event: the caller, the rule that reads it last, or the update."""
    if name in steps.needed:
        return "the caller"
    if kind == "optimizer":
        return "the next update"
    if kind == "workspace":
        return "this step alone"
    if name not in readers:
        return "the caller, as a result"
    last = readers[name]
    if last is None:
        return "the policy" if steps.policy == "keep_all" else "this step alone"
    rule = last.equation.op if last.argnum is None else f"{last.equation.op}_vjp{last.argnum}"
    return f"{rule} of {last.equation}, step {last.index}"


def _last_readers(steps: Schedule, index: int) -> dict[str, Step | None]:
    """Of every array that is freed at a step or after it, who reads it last before that; None where nobody does."""
    found: dict[str, Step | None] = {}
    reading: dict[str, Step] = {}
    for step in steps[index:]:
        reading |= dict.fromkeys(step.reads, step)
        for name in step.freed:
            found.setdefault(name, reading.get(name))  # it may be made anew, and freed again, later
    return found
