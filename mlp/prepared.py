"""The fast way: a schedule prepared once, in one slab of memory, and run again and again.

What it runs is the schedule that `engine` runs array by array, with the same rules, so it gives the same bits.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from math import isfinite
from threading import Lock
from typing import NoReturn

import numpy as np

from mlp.engine import value_and_grad
from mlp.graph import Graph
from mlp.inputs import listed, one_of
from mlp.ops import OPS, Array
from mlp.slab import ALIGNMENT, place
from mlp.steps import Plan, Schedule, Step, accumulate, cotangent_name, objective_name, schedule
from mlp.values import check_array, check_names, has_unit_stride, read_only

LARGE = 100_000  # bytes: a gradient above this is not read once more where its factors are smaller


class Run:
    """A pass prepared once: the schedule as a flat list of (rule, arrays), called again and again.

    ``J, grads = run(values)`` gives the same bits as `value_and_grad`. The arrays in ``grads`` are reused: the next
    call overwrites them, so copy what is to be kept, and what is to be passed in again. A value array that it has not
    seen is checked in full and bound; it must have contiguous rows or columns. One that is passed again is not scanned
    again, even if its entries have changed since. Every call checks that J and the gradients are finite. One call
    at a time: each thread prepares a run of its own.
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
        offsets, self.reserved = places(steps)
        self._slab, views = _views(steps, offsets, self.reserved)
        self._bound: dict[str, Array] = dict.fromkeys(graph.given, np.empty(0))  # nobody's array: the first call binds
        self._places: dict[str, list[tuple[list[Array], int]]] = {name: [] for name in graph.given}
        self._calls: list[tuple[Callable[..., None], list[Array]]] = []
        self._squares: list[float] = []  # sums of squares: one is not finite if any entry is not
        factors = {step.variable: _factors(steps, step) for step in steps if step.phase == "backward"}
        now = self._compile(steps, views, factors, poison)
        self._J = now[self._objective]
        self._kept = {name: now[name] for name in self._keep if name in now}
        self._grads = {name: now[cotangent_name(graph, name)] for name in graph.parameters}
        self._flat = [gradient.reshape(-1) for name, gradient in self._grads.items() if not factors[name]]
        self._ran = False
        self._unknown = any(graph.table[equation.op] != OPS.get(equation.op) for equation in graph.equations)
        # A context in which NumPy does not warn, as what is not finite is reported by name. It is made once, because
        # `np.errstate` in each call would take a tenth of a small network's step.
        self._quiet = copy_context()
        self._quiet.run(np.seterr, all="ignore")
        self._free = Lock()

    def _compile(
        self,
        steps: Schedule,
        views: Mapping[tuple[str, int], Array],
        factors: Mapping[str, Sequence[str]],
        poison: bool,
    ) -> dict[str, Array]:
        """Write the list of calls; where each array is in the end."""
        always = constants(steps)
        watched = {name for names in factors.values() for name in names}
        now: dict[str, Array] = {}  # where each array is, in the life that it is in
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
                for name in self._places.keys() & set(factors[step.variable]):
                    self._append(self._watch, (name,), now)
            if poison:
                gone = [name for name in (*step.freed, *step.workspace) if name not in always]
                self._calls += [(_fill_nan, [now[name]]) for name in gone]
        return now

    def _append(self, rule: Callable[..., None], names: Sequence[str], now: Mapping[str, Array]) -> None:
        """One more call; the caller's arrays come in when they are bound."""
        arguments = [self._bound[name] if name in self._bound else now[name] for name in names]
        self._calls.append((rule, arguments))
        for position, name in enumerate(names):
            if name in self._places:
                self._places[name].append((arguments, position))

    def __call__(self, values: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
        """The objective and the gradients; see the class for what is checked and what is reused."""
        if not self._free.acquire(blocking=False):
            raise RuntimeError("this run is in use: prepare one for each thread, mlp.prepare(run.graph)")
        try:
            return self._quiet.run(self._pass, values)
        finally:
            self._free.release()

    def _pass(self, values: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
        self._bind(values)
        if self._unknown and not self._ran:
            value_and_grad(self.graph, self._bound)  # array by array: in the slab, what is not written is old numbers
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

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled."""
        raise TypeError(
            "run: expected no copy and no pickle of a Run, whose arrays lie in a buffer of its own; take its graph, "
            "and prepare one from that for each process, mlp.prepare(run.graph)"
        )

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
        if type(values) is not dict or values.keys() != self._bound.keys():
            check_names(self.graph, values, self.graph.given)
        for name, bound in self._bound.items():
            array = values[name]
            if array is not bound:
                check_array(self.graph, name, array)
                if not has_unit_stride(array):
                    received = f"strides {array.strides}" if array.flags.aligned else "one at an odd address"
                    raise ValueError(
                        f"{name}: expected an array whose rows or columns are contiguous in memory, and aligned, "
                        f"received {received}; pass {name}.copy()"
                    )
                if array.base is self._slab:
                    raise ValueError(f"{name}: expected an array that this run does not write to; pass {name}.copy()")
                self._bound[name] = array
                view = read_only(array)
                for arguments, position in self._places[name]:
                    arguments[position] = view


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
    if steps.kind(step.variable) != "parameters" or not step.final or step.instalment != step.writes[0]:
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
