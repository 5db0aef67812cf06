"""The engine: runs a schedule, forward and then in reverse.

`value_and_grad`, `prepare`, `predict` and `trace` all run the same list of Steps (see `steps`), so they cannot
disagree. What a rule computes is in `ops`; when it runs, and how long its arrays live, is in `steps`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from types import MappingProxyType
from typing import overload

import numpy as np

from mlp.graph import Graph
from mlp.inputs import listed, one_of
from mlp.ops import Array
from mlp.slab import ALIGNMENT, place
from mlp.steps import (
    Plan,
    Schedule,
    Step,
    accumulate,
    cotangent_name,
    objective_name,
    output_name,
    policy_name,
    schedule,
)

LARGE = 100_000  # bytes: a gradient above this is not read once more where its factors are smaller

# --- running it, one array at a time --------------------------------------------------------------------------------


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
            raise FloatingPointError(f"{step.writes[0]}: expected finite numbers, received inf or NaN from {what}")
        yield step
        for name in (*step.freed, *step.workspace):
            arrays.pop(name).fill(np.nan)


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
        for array in self._recorded.values():
            array.flags.writeable = False  # a record does not change

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
        return f"<Trace: {len(self)} steps, policy {policy_name(self.policy)}>"

    def __str__(self) -> str:
        """A line a step: what is computed, from what, and what is complete."""
        lines = []
        for step in self._steps:
            target = step.writes[0]
            sign = "=" if step.phase == "forward" or target in step.born else "+=" if step.calls else "+= 0 ="
            rule = step.equation.op if step.argnum is None else f"{step.equation.op}_vjp{step.argnum}"
            done = "" if step.final else "  not final"
            lines.append(f"{step.index:3d} {step.phase:8s} {target} {sign} {rule}({', '.join(step.reads)}){done}")
        return "\n".join(lines)


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
            part.flags.writeable = False
            step = replace(step, contributions=MappingProxyType({step.variable: part}))
            if step.equation.output == graph.objective:
                recorded[step.reads[0]] = arrays[step.reads[0]].copy()
        if step.final:
            recorded[step.writes[0]] = arrays[step.writes[0]].copy()
        run.append(step)
    return Trace(steps, run, recorded)


# --- running it fast ------------------------------------------------------------------------------------------------


class Run:
    """A pass prepared once: the schedule as a flat list of (rule, arrays), called again and again.

    ``J, grads = run(values)`` gives the same bits as `value_and_grad`. The arrays in ``grads`` are reused: the next
    call overwrites them, so copy what is to be kept, and what is to be passed in again. A value array that it has not
    seen is checked in full and bound; it must have contiguous rows or columns. One that is passed again is not scanned
    again, even if its entries have changed since. Every call checks that J and the gradients are finite. Not
    re-entrant: one call at a time.
    """

    def __init__(
        self, graph: Graph, keep: Sequence[str] = (), poison: bool = False, policy: str | Plan = "residuals"
    ) -> None:
        self.graph = graph
        self._objective = objective_name(graph)
        if isinstance(keep, str) or not isinstance(keep, Sequence):
            raise TypeError(f"keep: expected a list of names, received {keep!r}")
        self._keep = tuple(keep)
        for name in self._keep:
            one_of(name, graph.variables, "keep")
        if not isinstance(policy, Plan):
            one_of(policy, ("residuals", "keep_all"), "policy")
        steps = schedule(graph, policy, keep)
        always = constants(steps)
        offsets, self.reserved = places(steps)
        self._slab, views = _views(steps, offsets, self.reserved)
        self._bound: dict[str, Array] = dict.fromkeys(graph.given, np.empty(0))  # nobody's array: the first call binds
        self._places: dict[str, list[tuple[list[Array], int]]] = {name: [] for name in graph.given}
        self._calls: list[tuple[Callable[..., None], list[Array]]] = []
        self._squares: list[float] = []  # sums of squares: one is not finite if any entry is not
        now: dict[str, Array] = {}  # where each array is, in the life that it is in
        factors = {step.variable: _factors(steps, step) for step in steps if step.phase == "backward"}
        watched = {name for names in factors.values() for name in names}
        for step in steps:
            for name in (*step.born, *step.workspace):
                now[name] = views[name, step.index]
            for rule, names in step.calls:
                if names[0] in always:
                    rule(*(now[name] for name in names))  # once: it is the same in every call
                else:
                    self._append(rule, names, now)
            if step.final and step.writes[0] in watched:
                self._append(self._watch, step.writes, now)  # at once, while it is at hand
            if step.phase == "backward" and step.final:
                for name in set(factors[step.variable]) & set(graph.given):
                    self._append(self._watch, (name,), now)
            if poison:
                gone = [name for name in (*step.freed, *step.workspace) if name not in always]
                self._calls += [(_fill_nan, [now[name]]) for name in gone]
        self._J = now[self._objective]
        self._kept = {name: now[name] for name in self._keep if name in now}
        self._grads = {name: now[cotangent_name(graph, name)] for name in graph.parameters}
        self._flat = [gradient.reshape(-1) for name, gradient in self._grads.items() if not factors[name]]
        self._ran = False

    def _append(self, rule: Callable[..., None], names: Sequence[str], now: Mapping[str, Array]) -> None:
        """One more call; the caller's arrays come in when they are bound."""
        arguments = [self._bound[name] if name in self._bound else now[name] for name in names]
        self._calls.append((rule, arguments))
        for position, name in enumerate(names):
            if name in self._places:
                self._places[name].append((arguments, position))

    @np.errstate(all="ignore")  # what is not finite is reported by name
    def __call__(self, values: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
        """The objective and the gradients; see the class for what is checked and what is reused."""
        self._bind(values)
        self._squares.clear()
        for rule, arguments in self._calls:
            rule(*arguments)
        J: float = self._J.item()
        total = sum(self._squares, J)
        for gradient in self._flat:
            total += float(gradient.dot(gradient))
        if not isfinite(total):
            self._explain()
        self._ran = True
        return J, self._grads.copy()

    def _watch(self, array: Array) -> None:
        flat = array.ravel(order="K")
        self._squares.append(float(flat.dot(flat)))

    def _explain(self) -> None:
        """Run again, one array at a time, to say what is not finite; if nothing is, only the sum was too large."""
        for name, array in self._bound.items():
            try:
                check_array(self.graph, name, array)
            except ValueError as error:
                raise FloatingPointError(f"{error}; it was changed in place") from error
        value_and_grad(self.graph, self._bound)

    def __repr__(self) -> str:
        """One line."""
        return f"<Run of {self.graph!r}>"

    def __getitem__(self, name: str) -> Array:
        """The value of a variable named in ``keep``, in the buffer where the last call left it."""
        if name not in self._keep:
            raise KeyError(f"{name!r}: expected one of those to keep, {listed(self._keep)}")
        if not self._ran:
            raise RuntimeError(f"{name!r}: expected a call of the run before its values are read")
        return self._bound[name] if name in self._bound else self._kept[name]

    def _bind(self, values: Mapping[str, Array]) -> None:
        """Check every array that was not seen before, and put it where the rules read it."""
        if (
            type(values) is not dict
            or len(values) != len(self._bound)
            or not all(map(values.__contains__, self._bound))
        ):
            check_names(self.graph, values, self.graph.given)
        for name, bound in self._bound.items():
            array = values[name]
            if array is not bound:
                check_array(self.graph, name, array)
                if not _has_unit_stride(array):
                    raise ValueError(
                        f"{name}: expected rows or columns that are contiguous in memory, received strides "
                        f"{array.strides}; pass np.ascontiguousarray({name})"
                    )
                if array.base is self._slab:
                    raise ValueError(f"{name}: expected an array that this run does not write to; pass {name}.copy()")
                self._bound[name] = array
                for arguments, position in self._places[name]:
                    arguments[position] = _read_only(array)


def prepare(graph: Graph, keep: Sequence[str] = (), poison: bool = False, policy: str | Plan = "residuals") -> Run:
    """Prepare a graph for many calls with the same shapes.

    Parameters
    ----------
    graph : Graph
    keep : sequence of str
        Variables whose values stay readable after a call as ``run[name]``, such as ``("L", "s")``.
    poison : bool
        Overwrite every buffer with NaN when it is freed. No number changes; it shows that no rule reads what is freed.
    policy : str or Plan
        ``"residuals"``, ``"keep_all"`` or a plan of `mlp.checkpoint`. It changes no number.

    Returns
    -------
    Run
        ``J, grads = run(values)``; see `Run` for what is reused from call to call.
    """
    return Run(graph, keep, poison, policy)


def constants(steps: Schedule) -> set[str]:
    """Arrays that are the same in every call, made from nothing that the caller brings: cotangents of J = L + s."""
    # Sums change, and so do instalments, for all those of one sum go by one name.
    added = {name for step in steps for rule, names in step.calls if rule is accumulate for name in names}
    results = {cotangent_name(steps.graph, name) for name in steps.graph.parameters}  # the caller may write to them
    found: set[str] = set()
    for step in steps:
        for _, (made, *read) in step.calls:
            if found.issuperset(read) and made not in added | results:
                found.add(made)
    return found


def _factors(steps: Schedule, step: Step) -> tuple[str, ...]:
    """Where a gradient is large, and a product of arrays that are no larger: these, for they are quicker to look at."""
    if step.variable not in steps.graph.parameters or not step.final or step.instalment != step.writes[0]:
        return ()
    assert step.argnum is not None
    vjp = steps.graph.table[step.equation.op].vjp(step.argnum)
    size = steps.nbytes(step.writes[0])
    worth_it = size > LARGE and sum(map(steps.nbytes, step.reads)) <= size
    return step.reads if vjp and vjp.product and worth_it else ()


def places(steps: Schedule) -> tuple[list[int], int]:
    """Where a prepared run puts each array of ``steps.lifetimes()`` in its slab, and the slab's bytes."""
    always = constants(steps)
    whole = [life._replace(first=0, last=len(steps)) if life.array in always else life for life in steps.lifetimes()]
    return place(whole)


def _views(steps: Schedule, offsets: Sequence[int], size: int) -> tuple[Array, dict[tuple[str, int], Array]]:
    """One slab, and in it an array for each life, by name and the step of its birth."""
    dtype = np.dtype(steps.graph.dtype)
    slab = np.full((size + ALIGNMENT) // dtype.itemsize, np.nan, dtype)
    start = -slab.ctypes.data % ALIGNMENT
    views = {}
    for life, offset in zip(steps.lifetimes(), offsets, strict=True):
        first = (start + offset) // dtype.itemsize
        flat = slab[first : first + life.nbytes // dtype.itemsize]
        views[life.array, life.first] = flat.reshape(steps.shapes[life.array])
    return slab, views


def _fill_nan(array: Array) -> None:
    array.fill(np.nan)


# --- what callers bring ---------------------------------------------------------------------------------------------


def checked(graph: Graph, values: Mapping[str, Array], needed: Sequence[str]) -> dict[str, Array]:
    """The needed arrays, each checked; one that a matrix product would have to copy is copied here, once."""
    check_names(graph, values, needed)
    arrays = {name: values[name] for name in needed}
    for name, array in arrays.items():
        check_array(graph, name, array)
    return {name: _read_only(array if _has_unit_stride(array) else array.copy()) for name, array in arrays.items()}


def _read_only(array: Array) -> Array:
    """A view of the same numbers, through which no rule can change what belongs to the caller."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_names(graph: Graph, values: Mapping[str, Array], needed: Sequence[str]) -> None:
    """All that is needed is there, and nothing that the graph does not take."""
    if not isinstance(values, Mapping):
        raise TypeError(f"values: expected a dict of arrays by name, received {type(values).__name__}")
    missing = [name for name in needed if name not in values]
    unknown = sorted(map(str, values.keys() - set(graph.given)))
    if missing or unknown:
        problems = [f"{what} {listed(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise ValueError(f"values: expected {listed(needed)}; received a mapping with {', '.join(problems)}")


def check_array(graph: Graph, name: str, array: Array, label: str = "") -> None:
    """Exactly the dtype and shape of the variable, finite entries, and what the operators that read it require.

    ``label`` is what the caller calls the array, where that is not the variable's name.
    """
    variable, label = graph.variables[name], label or name
    expected = f"{label}: expected a {variable.dtype} array of shape {variable.shape}"
    if type(array) is not np.ndarray:
        raise TypeError(f"{expected}, received {type(array).__name__}; pass np.asarray({label}, {variable.dtype!r})")
    if array.dtype != variable.dtype:
        raise TypeError(f"{expected}, received dtype {array.dtype}; convert it with {label}.astype({variable.dtype!r})")
    if array.shape != variable.shape:
        raise ValueError(f"{expected}, received shape {array.shape}")
    if not is_finite(array):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{label}: expected finite numbers, received {array[where]} at {where}")
    for index, argnum in graph.readers(name):
        check = graph.table[graph.equations[index].op].requires.get(argnum)
        wrong = check(array) if check else None
        if wrong:
            raise ValueError(f"{label}: expected {wrong}")


def is_finite(array: Array) -> bool:
    """Whether all entries are finite, without a temporary array: NaN and inf show in the extremes."""
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def _has_unit_stride(array: Array) -> bool:
    """Whether rows or columns are contiguous, and do not overlap: then a matrix product reads the array where it is."""
    if array.ndim < 2:
        return bool(array.flags.aligned)
    (rows, columns), (down, right), size = array.shape, array.strides, array.itemsize
    by_rows = right == size and down % size == 0 and down >= columns * size
    by_columns = down == size and right % size == 0 and right >= rows * size
    return bool(array.flags.aligned and (array.flags.forc or by_rows or by_columns))
