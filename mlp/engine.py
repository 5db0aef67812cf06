"""The engine: runs a schedule, forward and then in reverse.

`value_and_grad`, `predict` and `trace` drain one loop, `execute`, and `prepared` runs the same list of Steps, so they
cannot disagree. What a rule computes is in `ops`; when it runs, and how long its arrays live, is in `steps`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np

from mlp.frozen import Frozen
from mlp.graph import Graph
from mlp.inputs import counted, listed
from mlp.ops import Array
from mlp.steps import Plan, Schedule, Step, cotangent_name, objective_name, output_name, policy_name, schedule
from mlp.text import printed
from mlp.values import checked, is_finite


def execute(steps: Schedule, arrays: dict[str, Array], dtype: str = "") -> Iterator[Step]:
    """Run the steps on ``arrays``: each adds what is born, is yielded when done, and then drops what is freed.

    What is born is of the graph's dtype, or of ``dtype`` where one is given. It is NaN until it is written, and what is
    freed is NaN again: a rule that does not write what it should, or reads what it should not, cannot go unnoticed.
    """
    for step in steps:
        for name in (*step.born, *step.workspace):
            arrays[name] = np.full(steps.shapes[name], np.nan, dtype or steps.graph.dtype)
        with np.errstate(all="ignore"):  # what is not finite is reported by name, below
            for rule, names in step.calls:
                rule(*[arrays[name] for name in names])
        if step.calls and not is_finite(arrays[step.writes[0]]):
            what = f"step {step.index}, {step.phase}, of '{step.equation}'"
            left_out = _unwritten(step, arrays)
            if left_out:
                raise ValueError(
                    f"{step.writes[0]}: {what}, wrote {left_out}: a rule writes its result into `out`, its first "
                    "argument, as in out[...] = result; what it returns is not read"
                )
            raise FloatingPointError(f"{step.writes[0]}: expected finite numbers, received inf or NaN from {what}")
        yield step
        for name in (*step.freed, *step.workspace):
            arrays.pop(name).fill(np.nan)


def _unwritten(step: Step, arrays: Mapping[str, Array]) -> str:
    """What a rule left as it was, of the array that it should write; '' where it wrote all of it."""
    rule, (name, *others) = next(call for call in step.calls if call[1][1 : 1 + len(step.reads)] == step.reads)
    left = np.isnan(arrays[name])
    for mark in (1.0, 2.0):  # run again on other numbers: those that stay were not written
        again = np.full_like(arrays[name], mark)
        with np.errstate(all="ignore"):
            rule(again, *(arrays[other] for other in others))
        left &= again == mark
    if not left.any():
        return ""
    return "nothing" if left.all() else f"{left.size - np.count_nonzero(left)} of {left.size} entries"


def value_and_grad(graph: Graph, values: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
    """The objective and its gradient with respect to every parameter, by one forward and one backward pass.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        One array of the graph's dtype and the variable's shape for each input, target and parameter. They are only
        read. One whose rows or columns are not contiguous in memory is copied first.

    Returns
    -------
    J : float
    grads : dict of str to ndarray
        One array for each parameter, of its shape; the caller's to keep.

    Raises
    ------
    TypeError, ValueError
        For values that do not fit: dtype, names, shapes, entries that are not finite, labels that are not one-hot.
    FloatingPointError
        When something that is computed overflows, with its name.
    """
    objective = objective_name(graph)
    steps = schedule(graph)
    arrays = checked(graph, values, steps.needed)
    for _ in execute(steps, arrays):
        pass
    return float(arrays[objective]), {p: arrays[cotangent_name(graph, p)] for p in graph.parameters}


def predict(graph: Graph, values: Mapping[str, Array]) -> Array:
    """Forward only, up to ``graph.output``. What is not read any more is dropped on the way.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        As for `value_and_grad`, but only what the output depends on is needed: targets may be absent.

    Returns
    -------
    ndarray
        For `mlp.network` the outputs o, shape (q, n); logits for cross-entropy. The caller's to keep.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As `value_and_grad`.
    """
    steps = schedule(graph, "predict")
    arrays = checked(graph, values, steps.needed)
    for _ in execute(steps, arrays):
        pass
    return arrays[output_name(graph)]


class Trace(Sequence[Step]):
    """A recorded run: its steps in order, and a copy of every array as it was when complete.

    ``t[3]`` is a step, ``t["z"]`` a value and ``t["dJ/dz"]`` a cotangent. Copies are not part of the ledger of `alive`
    and `bytes`, so a view can show what the engine has long freed.
    """

    def __init__(self, steps: Schedule, run: Sequence[Step], recorded: Mapping[str, Array]) -> None:
        self.graph = steps.graph
        self.policy = steps.policy
        self._schedule = steps
        self._steps = tuple(run)
        self._recorded = dict(recorded)
        parts = [part for step in run for part in step.contributions.values()]
        for array in (*self._recorded.values(), *parts):
            array.flags.writeable = False  # a record does not change

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it was made from."""
        return Trace, (self._schedule, self._steps, self._recorded)

    @overload
    def __getitem__(self, key: int) -> Step: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Step, ...]: ...
    @overload
    def __getitem__(self, key: str) -> Array: ...

    def __getitem__(self, key: int | slice | str) -> Step | tuple[Step, ...] | Array:
        """A step by number, an array by name."""
        if not isinstance(key, str):
            return self._steps[key]
        if key not in self._recorded:
            raise KeyError(f"{key!r}: expected one of {listed(self._recorded, 30)}")
        return self._recorded[key]

    def __contains__(self, key: object) -> bool:
        """Whether an array of this name was recorded, or this is one of the steps."""
        return key in self._recorded if isinstance(key, str) else key in self._steps

    def __len__(self) -> int:
        """How many steps."""
        return len(self._steps)

    def alive(self, index: int) -> tuple[str, ...]:
        """Names of the arrays that exist while step ``index`` runs: the caller's first, without its workspace."""
        return self._schedule.alive(index)

    def bytes(self, index: int) -> int:
        """Bytes of all arrays that exist while step ``index`` runs: inputs, output and workspace together."""
        return self._schedule.bytes(index)

    def __repr__(self) -> str:
        """One line; ``print`` shows the steps."""
        return f"<Trace: {counted(len(self), 'step')}, policy {policy_name(self.policy)}>"

    def __str__(self) -> str:
        """A line a step: what is computed, from what, and what is complete."""
        lines = []
        for step in self._steps:
            target = step.writes[0]
            sign = "=" if step.phase == "forward" or target in step.born else "+=" if step.calls else "+= 0 ="
            rule = step.equation.op if step.argnum is None else f"{step.equation.op}_vjp{step.argnum}"
            done = "" if step.final else "  not final"
            lines.append(f"{step.index:3d} {step.phase:8s} {target} {sign} {rule}({', '.join(step.reads)}){done}")
        return printed("\n".join(lines))


def trace(graph: Graph, values: Mapping[str, Array], policy: str | Plan = "keep_all") -> Trace:
    """Run as `value_and_grad` does, step by step, and record everything.

    Parameters
    ----------
    graph, values
        As for `value_and_grad`; as for `predict` under the policy ``"predict"``.
    policy : str or Plan
        When arrays are freed, see `schedule`. It changes no number.

    Returns
    -------
    Trace
        ``trace["z"]`` is a copy of z, ``trace["dJ/dz"]`` of its cotangent.
    """
    steps = schedule(graph, policy)
    arrays = checked(graph, values, steps.needed)
    recorded = {name: array.copy() for name, array in arrays.items()}
    run: list[Step] = []
    for step in execute(steps, arrays):
        if step.phase == "backward":
            nothing = np.zeros(steps.shapes[step.writes[0]], graph.dtype)
            part = arrays[step.instalment].copy() if step.calls else nothing
            step = replace(step, contributions=Frozen({step.variable: part}))
            if step.equation.output == graph.objective:
                recorded[step.reads[0]] = arrays[step.reads[0]].copy()
        if step.final:
            recorded[step.writes[0]] = arrays[step.writes[0]].copy()
        run.append(step)
    return Trace(steps, run, recorded)
