"""The engine: one schedule, run forward and then in reverse.

`schedule` turns a graph into a list of Steps: each equation once, in order; then each VJP once, in reverse order.
`value_and_grad`, `prepare`, `predict` and `trace` all run that list, so they cannot disagree. What a rule computes is
in `ops`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite, prod
from types import MappingProxyType
from typing import overload

import numpy as np

from mlp.graph import Equation, Graph
from mlp.inputs import listed, one_of
from mlp.ops import OWN, Array, Shape

POLICIES = ("keep_all", "residuals", "predict")
Call = tuple[Callable[..., None], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Step:
    """One equation run forward, or one of its VJPs run backward.

    Arrays go by name: a variable's value by the variable's own, its cotangent by `cotangent_name`: ``"dJ/dz"``.

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
    workspace : mapping of str to tuple
        Shapes of the arrays that exist during this step only.
    calls : tuple
        What is executed: pairs of a rule and the names of the arrays that it is called with.
    instalment : str
        Backward, the array that holds what this step contributes: the cotangent itself, where it is the first.
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
    contributions: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    final: tuple[str, ...] = ()
    born: tuple[str, ...] = ()
    freed: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The variable that the step is about: whose value it computes, or whose cotangent it adds to."""
        return self.equation.output if self.argnum is None else self.equation.inputs[self.argnum]


def cotangent_name(graph: Graph, name: str) -> str:
    """The name of the array that holds the derivative of the objective with respect to a variable: ``"dJ/dz"``."""
    return f"d{graph.objective}/d{name}"


# --- the schedule ---------------------------------------------------------------------------------------------------


def schedule(graph: Graph, policy: str = "residuals") -> tuple[Step, ...]:
    """All steps of one pass, in order, with the lifetime of every array.

    Parameters
    ----------
    graph : Graph
    policy : str
        Until when a value is kept. ``"residuals"``: until the last rule that reads it. ``"keep_all"``: every value
        until backward ends, as D2L 5.3 says. ``"predict"``: forward only, and only what ``graph.output`` depends on.

    Returns
    -------
    tuple of Step
        One for each equation forward, then one for each VJP on the way from the objective to the parameters. What the
        caller brings, and what the caller receives, is never freed.
    """
    check_graph(graph)
    one_of(policy, POLICIES, "policy")
    if policy == "predict":
        needed = graph.ancestors(_output(graph))
        steps = [_forward(graph, equation) for equation in graph.equations if equation.output in needed]
    else:
        steps = [_forward(graph, equation) for equation in graph.equations]
        if graph.objective is not None:
            steps += _backward(graph)
    return _with_lifetimes(graph, steps, policy)


def _forward(graph: Graph, equation: Equation) -> Step:
    """The step that computes one equation."""
    op = graph.table[equation.op]
    shapes = [graph.variables[name].shape for name in equation.inputs]
    workspace = _workspace(equation.output, op.workspace(*shapes))
    rule = partial(op.forward, **equation.attrs) if equation.attrs else op.forward
    call = rule, (equation.output, *equation.inputs, *workspace)
    writes = (equation.output,)
    return Step(0, "forward", equation, None, equation.inputs, writes, (call,), workspace, final=writes)


def _workspace(name: str, shapes: Sequence[Shape]) -> Mapping[str, Shape]:
    """Names for the arrays that a rule needs while it makes ``name``."""
    return MappingProxyType({f"work {k} of {name}": shape for k, shape in enumerate(shapes)})


def _backward(graph: Graph) -> list[Step]:
    """One step for each VJP, last equation first. The first instalment is written, the others are added."""
    assert graph.objective is not None
    owed = {name: 0 for name in graph.variables}  # instalments still to come
    going_back = [e for e in reversed(graph.equations) if graph.needs_gradient(e.output)]
    for equation in going_back:
        for name in equation.inputs:
            owed[name] += graph.needs_gradient(name)
    steps: list[Step] = []
    started: set[str] = set()
    for equation in going_back:
        for argnum, name in enumerate(equation.inputs):
            if graph.needs_gradient(name):
                owed[name] -= 1
                final = (name,) if owed[name] == 0 else ()
                steps.append(_vjp(graph, equation, argnum, first=name not in started, final=final))
                started.add(name)
    if steps:
        seed: Call = _seed, (cotangent_name(graph, graph.objective),)
        steps[0] = replace(steps[0], calls=(seed, *steps[0].calls))
    return steps


def _vjp(graph: Graph, equation: Equation, argnum: int, first: bool, final: tuple[str, ...]) -> Step:
    """The step that carries the cotangent of an equation's output back to one of its inputs."""
    name, output = equation.inputs[argnum], equation.output
    vjp = graph.table[equation.op].vjp(argnum)
    assert vjp is not None  # the graph has checked that every way to the objective has derivatives
    named = {OWN: name, "out": output}
    saved = [equation.inputs[what] if isinstance(what, int) else named[what] for what in vjp.saves]
    delta, total = cotangent_name(graph, output), cotangent_name(graph, name)
    shapes = [graph.variables[source].shape for source in (output, *saved)]
    workspace = _workspace(total, vjp.workspace(*shapes))
    rule = partial(vjp.rule, **equation.attrs) if equation.attrs else vjp.rule
    reads = (delta, *saved)
    instalment = total if first else f"instalment of {total}"
    calls: tuple[Call, ...] = ((rule, (instalment, *reads, *workspace)),)
    if not first:
        calls += ((_accumulate, (total, instalment)),)
        workspace = MappingProxyType({**workspace, instalment: graph.variables[name].shape})
    return Step(0, "backward", equation, argnum, reads, (total,), calls, workspace, instalment, final=final)


def _seed(cotangent: Array) -> None:
    """Backward starts from ∂J/∂J = 1."""
    cotangent[()] = 1


def _accumulate(total: Array, instalment: Array) -> None:
    """A variable with several readers receives its cotangent in instalments: the one write in place."""
    np.add(total, instalment, out=total)


def _with_lifetimes(graph: Graph, steps: list[Step], policy: str) -> tuple[Step, ...]:
    """Number the steps, and say with which each array is born and after which it is freed."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        for name in (*step.reads, *step.writes):
            first.setdefault(name, index)
            last[name] = index
    for name in [n for n in first if n in graph.variables and graph.variables[n].role != "intermediate"]:
        del first[name], last[name]  # the caller's
    results = {graph.output if policy == "predict" else graph.objective}
    results |= {cotangent_name(graph, name) for name in graph.parameters}
    if policy == "keep_all":
        last |= {name: len(steps) - 1 for name in last if name in graph.variables}
    born: list[list[str]] = [[] for _ in steps]
    freed: list[list[str]] = [[] for _ in steps]
    for name, index in first.items():
        born[index].append(name)
        if name not in results:
            freed[last[name]].append(name)
    return tuple(
        replace(step, index=index, born=tuple(born[index]), freed=tuple(freed[index]))
        for index, step in enumerate(steps)
    )


def _shapes(graph: Graph) -> dict[str, Shape]:
    """The shape of every array that a schedule can name, but for workspace: values, and cotangents alike."""
    values = {name: variable.shape for name, variable in graph.variables.items()}
    return values | {cotangent_name(graph, name): shape for name, shape in values.items()}


def check_graph(graph: object) -> None:
    """Complain of swapped arguments before anything else does."""
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected an mlp.Graph, received {type(graph).__name__}")


def _objective(graph: Graph) -> str:
    check_graph(graph)
    if graph.objective is None:
        raise ValueError("objective: expected a graph that ends in a scalar, received one without an objective")
    return graph.objective


def _needed(graph: Graph, policy: str) -> tuple[str, ...]:
    """What the caller must bring: for prediction, only what the output depends on."""
    check_graph(graph)
    if policy != "predict":
        return graph.given
    ancestors = graph.ancestors(_output(graph))
    return tuple(name for name in graph.given if name in ancestors)


def _output(graph: Graph) -> str:
    if graph.output is None:
        raise ValueError(
            "output: expected a graph that names its output, as Graph(..., output='o'), received one without"
        )
    return graph.output


# --- running it, one array at a time --------------------------------------------------------------------------------


def _execute(graph: Graph, steps: Sequence[Step], arrays: dict[str, Array]) -> Iterator[Step]:
    """Run the steps on ``arrays``: each adds what is born, is yielded when done, and then drops what is freed.

    What is born is NaN until it is written, and what is freed is NaN again: a rule that does not write what it
    should, or reads what it should not, cannot go unnoticed.
    """
    shapes = _shapes(graph)
    for step in steps:
        for name in step.born:
            arrays[name] = np.full(shapes[name], np.nan, graph.dtype)
        for name, shape in step.workspace.items():
            arrays[name] = np.full(shape, np.nan, graph.dtype)
        with np.errstate(all="ignore"):  # what is not finite is reported by name, below
            for rule, names in step.calls:
                rule(*[arrays[name] for name in names])
        if not is_finite(arrays[step.writes[0]]):
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
    objective = _objective(graph)
    arrays = _checked(graph, values, graph.given)
    for _ in _execute(graph, schedule(graph), arrays):
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
    arrays = _checked(graph, values, _needed(graph, "predict"))
    for _ in _execute(graph, schedule(graph, "predict"), arrays):
        pass
    return arrays[_output(graph)]


class Trace(Sequence[Step]):
    """A recorded run: its steps in order, and a copy of every array as it was when complete.

    ``t[3]`` is a step, ``t["z"]`` a value and ``t["dJ/dz"]`` a cotangent. Copies are not part of the ledger of `alive`
    and `bytes`, so a view can show what the engine has long freed.
    """

    def __init__(self, graph: Graph, policy: str, steps: Sequence[Step], recorded: Mapping[str, Array]) -> None:
        self.graph = graph
        self.policy = policy
        self._steps = tuple(steps)
        self._recorded = dict(recorded)
        self._bytes: list[int] = []
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
        now = dict.fromkeys(_needed(self.graph, self.policy))
        for step in self._steps[: range(len(self))[index]]:
            now |= dict.fromkeys(step.born)
            for name in step.freed:
                del now[name]
        return *now, *self._steps[index].born

    def bytes(self, index: int) -> int:
        """Bytes of all arrays that exist while step ``index`` runs: inputs, output and workspace together."""
        if not self._bytes:
            itemsize = np.dtype(self.graph.dtype).itemsize
            size = {name: prod(shape) * itemsize for name, shape in _shapes(self.graph).items()}
            now = sum(size[name] for name in _needed(self.graph, self.policy))
            for step in self._steps:
                now += sum(size[name] for name in step.born)
                self._bytes.append(now + sum(prod(shape) * itemsize for shape in step.workspace.values()))
                now -= sum(size[name] for name in step.freed)
        return self._bytes[index]

    def __repr__(self) -> str:
        """One line; ``print`` shows the steps."""
        return f"<Trace: {len(self)} steps, policy {self.policy}>"

    def __str__(self) -> str:
        """A line a step: what is computed, from what, and what is complete."""
        lines = []
        for step in self._steps:
            target = step.writes[0]
            sign = "=" if step.phase == "forward" or target in step.born else "+="
            rule = step.equation.op if step.argnum is None else f"{step.equation.op}_vjp{step.argnum}"
            done = "" if step.final else "  not final"
            lines.append(f"{step.index:3d} {step.phase:8s} {target} {sign} {rule}({', '.join(step.reads)}){done}")
        return "\n".join(lines)


def trace(graph: Graph, values: Mapping[str, Array], policy: str = "keep_all") -> Trace:
    """Run as `value_and_grad` does, step by step, and record everything.

    Parameters
    ----------
    graph, values
        As for `value_and_grad`; as for `predict` under the policy ``"predict"``.
    policy : str
        When arrays are freed, see `schedule`. It changes no number.
    """
    steps = schedule(graph, policy)
    arrays = _checked(graph, values, _needed(graph, policy))
    recorded = {name: array.copy() for name, array in arrays.items()}
    run: list[Step] = []
    for step in _execute(graph, steps, arrays):
        if step.phase == "backward":
            part = arrays[step.instalment].copy()
            part.flags.writeable = False
            step = replace(step, contributions=MappingProxyType({step.variable: part}))
            if step.equation.output == graph.objective:
                recorded[step.reads[0]] = arrays[step.reads[0]].copy()
        if step.final:
            recorded[step.writes[0]] = arrays[step.writes[0]].copy()
        run.append(step)
    return Trace(graph, policy, run, recorded)


# --- running it fast ------------------------------------------------------------------------------------------------


class Run:
    """A pass prepared once: the schedule as a flat list of (rule, arrays), called again and again.

    ``J, grads = run(values)`` gives the same bits as `value_and_grad`. The arrays in ``grads`` are reused: the next
    call overwrites them, so copy what is to be kept, and what is to be passed in again. A value array that it has not
    seen is checked in full and bound; it must have contiguous rows or columns. One that is passed again is not scanned
    again, even if its entries have changed since. Every call checks that J and the gradients are finite. Not
    re-entrant: one call at a time.
    """

    def __init__(self, graph: Graph, keep: Sequence[str] = (), poison: bool = False) -> None:
        self.graph = graph
        self._objective = str(_objective(graph))
        self._arrays: dict[str, Array] = {}
        self._bound: dict[str, Array] = dict.fromkeys(graph.given, np.empty(0))  # nobody's array: the first call binds
        self._places: dict[str, list[tuple[list[Array], int]]] = {name: [] for name in graph.given}
        self._calls: list[tuple[Callable[..., None], list[Array]]] = []
        if isinstance(keep, str) or not isinstance(keep, Sequence):
            raise TypeError(f"keep: expected a list of names, received {keep!r}")
        self._keep = tuple(keep)
        for name in self._keep:
            one_of(name, graph.variables, "keep")
        self._ran = False
        shapes = _shapes(graph)
        for step in schedule(graph):
            for name in step.born:
                self._arrays[name] = np.full(shapes[name], np.nan, graph.dtype)
            for name, shape in step.workspace.items():
                self._arrays[name] = np.full(shape, np.nan, graph.dtype)
            for rule, names in step.calls:
                arguments = [self._bound[name] if name in self._bound else self._arrays[name] for name in names]
                self._calls.append((rule, arguments))
                for position, name in enumerate(names):
                    if name in self._places:
                        self._places[name].append((arguments, position))
            if poison:
                for name in (*step.freed, *step.workspace):
                    if name not in keep:
                        self._calls.append((_fill_nan, [self._arrays[name]]))
        self._grads = {name: self._arrays[cotangent_name(graph, name)] for name in graph.parameters}
        self._own = {id(array) for array in self._arrays.values()}

    def __call__(self, values: Mapping[str, Array]) -> tuple[float, dict[str, Array]]:
        """The objective and the gradients; see the class for what is checked and what is reused."""
        self._bind(values)
        with np.errstate(all="ignore"):
            for rule, arguments in self._calls:
                rule(*arguments)
            J = float(self._arrays[self._objective])
            total = J  # not finite if any term is not
            for gradient in self._grads.values():
                total += np.add.reduce(gradient, axis=None)
        if not isfinite(total):
            self._explain()
        self._ran = True
        return J, dict(self._grads)

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
        return self._bound[name] if name in self._bound else self._arrays[name]

    def _bind(self, values: Mapping[str, Array]) -> None:
        """Check every array that was not seen before, and put it where the rules read it."""
        if not isinstance(values, Mapping) or values.keys() != self._bound.keys():
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
                if id(array) in self._own or id(array.base) in self._own:
                    raise ValueError(f"{name}: expected an array that this run does not write to; pass {name}.copy()")
                self._bound[name] = array
                for arguments, position in self._places[name]:
                    arguments[position] = _read_only(array)


def prepare(graph: Graph, keep: Sequence[str] = (), poison: bool = False) -> Run:
    """Prepare a graph for many calls with the same shapes.

    Parameters
    ----------
    graph : Graph
    keep : sequence of str
        Variables whose values stay readable after a call as ``run[name]``, such as ``("L", "s")``.
    poison : bool
        Overwrite every buffer with NaN when it is freed. No number changes; it shows that no rule reads what is freed.

    Returns
    -------
    Run
        ``J, grads = run(values)``; see `Run` for what is reused from call to call.
    """
    return Run(graph, keep, poison)


def _fill_nan(array: Array) -> None:
    array.fill(np.nan)


# --- what callers bring ---------------------------------------------------------------------------------------------


def _checked(graph: Graph, values: Mapping[str, Array], needed: Sequence[str]) -> dict[str, Array]:
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
