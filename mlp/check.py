"""Checking gradients by means that know nothing of the chain rule: nudge an entry, run forward, see what J does.

`check_gradients` checks a graph, `check_vjp` one rule of one operator, `step_errors` shows how the size of the nudge
decides what such a check is worth.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, prod
from typing import NamedTuple

import numpy as np

from mlp.engine import trace, value_and_grad
from mlp.graph import Graph
from mlp.inputs import generator, listed, non_negative, one_of, positive, positive_int
from mlp.ops import OPS, Array, Op
from mlp.prepared import prepare
from mlp.text import number
from mlp.values import is_finite

STEP = 1e-5  # best for centred differences in float64: smaller loses digits in the subtraction, larger bends with J
SCALES = (1, 1 / 8, 8, 1 / 64, 64, 1 / 512, 512, 1 / 4096)  # tried in turn: the best nudge depends on how much J bends
TOLERANCE = 1e-6
DOUBT = 10  # a disagreement within so many times the difference's own uncertainty is no evidence
DUST = 1e-12  # where J does not change by a bit, a gradient below this is the rounding of one that is 0
ROUNDING = 1e-3  # how far a float32 gradient may be from the float64 one, as a part of the largest entry of all


@dataclass(frozen=True)
class Corner:
    """An entry at which J has two slopes, to the left and to the right, such as a relu at exactly 0."""

    parameter: str
    index: tuple[int, ...]
    left: float
    right: float
    gradient: float


@dataclass(frozen=True)
class GradientReport(Mapping[str, float]):
    """The relative error of each parameter's gradient against centred differences: ``report["W1"]``.

    Attributes
    ----------
    errors : mapping of str to float
        The largest over the checked entries.
    worst : mapping of str to tuple
        The index of the entry with that error.
    checked : mapping of str to (int, int)
        How many entries were checked, of how many.
    tolerance : float
        What counts as equal.
    corners : tuple of Corner
        Entries at which J has two slopes: the gradient is a choice there, and was checked on both sides instead.
    unmeasured : mapping of str to int
        Entries whose differences were too uncertain to tell right from wrong, left out of the errors.
    rounding : mapping of str to float
        For a float32 graph: how far each gradient is from that in float64, as a part of the largest entry of all.
    """

    errors: Mapping[str, float]
    worst: Mapping[str, tuple[int, ...]]
    checked: Mapping[str, tuple[int, int]]
    tolerance: float
    corners: tuple[Corner, ...] = ()
    unmeasured: Mapping[str, int] = field(default_factory=dict)
    rounding: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every error is within the tolerance, something was measured, and float32 is near float64."""
        within = all(error <= self.tolerance for error in self.errors.values())
        measured = not self.checked or sum(self.unmeasured.values()) < sum(count for count, _ in self.checked.values())
        return within and measured and all(distance <= ROUNDING for distance in self.rounding.values())

    def __getitem__(self, name: str) -> float:
        """The relative error of one parameter's gradient."""
        return self.errors[name]

    def __iter__(self) -> Iterator[str]:
        """The parameters."""
        return iter(self.errors)

    def __len__(self) -> int:
        """How many parameters."""
        return len(self.errors)

    def __repr__(self) -> str:
        """As `print` shows it."""
        return str(self)

    def __str__(self) -> str:
        """A line a parameter."""
        lines = []
        for name, error in self.errors.items():
            verdict = "ok" if error <= self.tolerance else f"WRONG at {self.worst[name]}"
            count, size = self.checked[name]
            lines.append(f"{name}: relative error {error:.1e} over {count} of {size} entries, {verdict}")
            if self.unmeasured.get(name):
                lines.append(f"{name}: {self.unmeasured[name]} of these are too small beside J to be measured")
        for name, distance in self.rounding.items():
            verdict = "ok" if distance <= ROUNDING else "WRONG"
            lines.append(f"{name}: in float32, off by {distance:.1e} of the largest gradient, {verdict}")
        for c in self.corners:
            where = f"{c.parameter}[{', '.join(map(str, c.index))}]"
            slopes = f"two slopes {number(c.left)} and {number(c.right)}"
            lines.append(f"{where}: corner, {slopes}; the gradient is {number(c.gradient)}")
        return "\n".join(lines) or "no parameters, nothing to check"


def check_gradients(
    graph: Graph,
    values: Mapping[str, Array],
    *,
    step: float = STEP,
    tolerance: float = TOLERANCE,
    max_entries: int = 500,
    seed: int = 0,
) -> GradientReport:
    """Compare every parameter's gradient with centred differences (J(w + h) − J(w − h)) / 2h.

    In float32, differences are worth three digits at best. A float32 graph is therefore checked in float64, at the same
    values and with the same rules; then its own gradients need only be near those.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        As for `value_and_grad`.
    step : float
        h, as a part of ``max(1, |w|)``.
    tolerance : float
        Relative.
    max_entries : int
        At most so many entries of each parameter, drawn at random where there are more: five forward passes each.
    seed : int
        For that draw.

    Returns
    -------
    GradientReport
        Behaves as a mapping from parameter to relative error; ``report.ok``, ``print(report)``.
    """
    limit = positive_int(max_entries, "max_entries")
    nudge, bound, rng = positive(step, "step"), positive(tolerance, "tolerance"), generator(seed)
    if 1 + nudge == 1:
        raise ValueError(f"step: expected enough to change a weight of 1, received {step}")
    _, own = value_and_grad(graph, values)  # checks the values
    nudged = _Nudged(graph, values, nudge, bound)
    errors: dict[str, float] = {}
    worst: dict[str, tuple[int, ...]] = {}
    checked: dict[str, tuple[int, int]] = {}
    unmeasured: dict[str, int] = {}
    corners: list[Corner] = []
    for name in graph.parameters:
        shape = graph.variables[name].shape
        size = prod(shape)
        chosen = sorted(rng.choice(size, limit, replace=False)) if size > limit else range(size)
        entries = [tuple(int(k) for k in np.unravel_index(place, shape)) if shape else () for place in chosen]
        errors[name], worst[name], checked[name], unmeasured[name] = 0.0, entries[0], (len(entries), size), 0
        for index in entries:
            error, corner = nudged.check(name, index)
            if corner is not None:
                corners.append(corner)
            if error is None:
                unmeasured[name] += 1
            elif error > errors[name]:
                errors[name], worst[name] = error, index
    rounding = {}
    if graph.dtype == "float32":
        _, exact = nudged.run(nudged.values)
        largest = max((float(np.abs(gradient).max()) for gradient in exact.values()), default=0.0) or 1.0
        rounding = {name: float(np.abs(own[name] - gradient).max()) / largest for name, gradient in exact.items()}
    return GradientReport(errors, worst, checked, bound, tuple(corners), unmeasured, rounding)


class _Difference(NamedTuple):
    """A slope found by nudging, and how far two sizes of nudge disagree about it."""

    slope: float
    doubt: float


class _Nudged:
    """J, run forward in float64 with one entry of one parameter moved; and the gradients that are on trial."""

    def __init__(self, graph: Graph, values: Mapping[str, Array], step: float, tolerance: float) -> None:
        double = graph.with_dtype("float64")
        self.values = {name: np.array(values[name], "float64", order="C") for name in graph.given}
        self.run = prepare(double)
        self._step, self._tolerance = step, tolerance
        self._objective = str(graph.objective)
        # For the nudges, the same network with nothing to differentiate: its run is the forward pass alone.
        kinked = {e.inputs[0] for e in graph.equations if graph.table[e.op].corner}
        self._kinked = tuple(name for name in graph.variables if name in kinked)
        frozen = (replace(v, role="input") if v.role == "parameter" else v for v in double.variables.values())
        forward = Graph(frozen, double.equations, double.objective, double.output, double.table)
        self._forward = prepare(forward, keep=self._kinked)
        _, gradients = self.run(self.values)
        self._gradients = {name: gradient.copy() for name, gradient in gradients.items()}

    def check(self, name: str, index: tuple[int, ...]) -> tuple[float | None, Corner | None]:
        """The relative error at one entry, None if it cannot be measured; and the corner, if it is at one."""
        w, exact = float(self.values[name][index]), float(self._gradients[name][index])
        reach = self._step * max(1.0, abs(w))
        (J, here), (J_above, above), (J_below, below) = (self._at(name, index, v) for v in (w, w + reach, w - reach))
        moved = [(a != b) | (a != c) for a, b, c in zip(here, above, below, strict=True)]
        if not any((side[change] == 0).any() for side, change in zip(here, moved, strict=True)):
            return self._error(name, index, w, exact), None
        # The entry holds an activation at its corner. There the gradient is a choice, here that of φ'(0) = 0, and no
        # difference can judge it: check the rules to the left and to the right of it.
        corner = Corner(name, index, (J - J_below) / reach, (J_above - J) / reach, exact)
        beside = []
        for there in (w - 64 * reach, w + 64 * reach):
            array = self.values[name]
            array[index] = there
            _, gradients = self.run(self.values)
            gradient = float(gradients[name][index])
            array[index] = w
            beside.append(self._error(name, index, there, gradient))
        return max((error for error in beside if error is not None), default=None), corner

    def _error(self, name: str, index: tuple[int, ...], w: float, exact: float) -> float | None:
        """The relative error of ``exact`` against the most certain difference at w; None if that is no evidence."""
        best: _Difference | None = None
        for scale in SCALES:
            found = self._difference(name, index, w, self._step * scale * max(1.0, abs(w)))
            if found is None:
                continue
            if _relative(exact, found.slope) <= self._tolerance:
                return _relative(exact, found.slope)
            if best is None or found.doubt < best.doubt:
                best = found
        if best is None or abs(exact - best.slope) <= DOUBT * best.doubt:
            return None
        if best.slope == 0 and abs(exact) < DUST:
            return None
        return _relative(exact, best.slope)

    def _difference(self, name: str, index: tuple[int, ...], w: float, h: float) -> _Difference | None:
        """Centred differences with 2h and h, put together so that what bends J cancels; None across corners.

        The weights 4/3 and −1/3 are Richardson's extrapolation.
        """
        if not w - h < w < w + h:
            return None
        _, here = self._at(name, index, w)
        slopes = []
        largest = 0.0
        for reach in (2 * h, h):
            above, below = w + reach, w - reach
            (J_above, sides_above), (J_below, sides_below) = (self._at(name, index, v) for v in (above, below))
            if any((a != b).any() or (a != c).any() for a, b, c in zip(here, sides_above, sides_below, strict=True)):
                return None
            slopes.append((J_above - J_below) / (above - below))
            largest = max(largest, abs(J_above), abs(J_below))
        wide, narrow = slopes
        rounding = np.finfo(np.float64).eps * largest / h  # what the subtraction costs even where the two agree by luck
        return _Difference((4 * narrow - wide) / 3, float(max(abs(narrow - wide), rounding)))

    def _at(self, name: str, index: tuple[int, ...], w: float) -> tuple[float, list[Array]]:
        """J with the entry set to w, and on which side of their corners the activations are."""
        array = self.values[name]
        old, array[index] = array[index], w
        try:
            J, _ = self._forward(self.values)
            return J, [np.sign(self._forward[kinked]) for kinked in self._kinked]
        finally:
            array[index] = old


def _relative(a: float, b: float) -> float:
    return abs(a - b) / (max(abs(a), abs(b)) or 1.0)


def step_errors(
    graph: Graph, values: Mapping[str, Array], parameter: str, index: tuple[int, ...], steps: Sequence[float]
) -> list[float]:
    """The error of the centred difference at one entry, for each size of nudge: the U-shaped curve.

    Large nudges bend with J, small ones lose digits in the subtraction.

    Parameters
    ----------
    graph, values
        As for `value_and_grad`; the differences are taken in the graph's own dtype.
    parameter : str
    index : tuple of int
        The entry.
    steps : sequence of float
        Nudges h > 0, as they are added to the entry.

    Returns
    -------
    list of float
        ``|difference − gradient|``, one for each nudge.
    """
    one_of(parameter, graph.parameters, "parameter")
    shape = graph.variables[parameter].shape
    if not isinstance(index, tuple) or len(index) != len(shape) or not all(map(_is_place, index, shape)):
        raise ValueError(f"index: expected that of an entry of {parameter}, shape {shape}, received {index!r}")
    if not isinstance(steps, Sequence | np.ndarray):
        raise TypeError(f"steps: expected a list of numbers > 0, received {steps!r}")
    steps = [positive(h, "steps") for h in steps]
    _, grads = value_and_grad(graph, values)
    run = prepare(graph)
    nudged = {name: np.array(values[name], order="C") for name in graph.given}
    array = nudged[parameter]
    w, exact = array[index], float(grads[parameter][index])
    errors = []
    for h in steps:
        J = []
        for signed in (h, -h):
            array[index] = w + array.dtype.type(signed)
            J.append(run(nudged)[0])
        array[index] = w
        errors.append(abs((J[0] - J[1]) / (2 * h) - exact))
    return errors


def evaluate(op: Op, inputs: Sequence[Array], **attrs: float) -> Array:
    """Run one operator's forward rule by itself: its value, in a new array, NaN where the rule does not write."""
    shapes = [array.shape for array in inputs]
    wanted = op.infer_shape(*shapes), *op.workspace(*shapes)
    out, *work = (np.full(shape, np.nan, inputs[0].dtype) for shape in wanted)
    op.forward(out, *inputs, *work, **attrs)
    return out


def pull_back(op: Op, inputs: Sequence[Array], out: Array, delta: Array, argnum: int, **attrs: float) -> Array:
    """Run one VJP by itself: what the cotangent ``delta`` of ``out`` pays to input ``argnum``, in a new array."""
    vjp = op.vjp(argnum)
    assert vjp is not None  # as the caller has seen
    saved = vjp.residuals(inputs, out, argnum)
    wanted = inputs[argnum].shape, *vjp.workspace(delta.shape, *(array.shape for array in saved))
    instalment, *work = (np.full(shape, np.nan, delta.dtype) for shape in wanted)
    vjp.rule(instalment, delta, *saved, *work, **attrs)
    return instalment


def _is_place(k: object, size: int) -> bool:
    return isinstance(k, int | np.integer) and not isinstance(k, bool) and 0 <= int(k) < size


def check_vjp(
    op: Op | str,
    inputs: Sequence[Array],
    argnum: int,
    attrs: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    step: float = STEP,
) -> float:
    """The relative error of one VJP by random projection: ⟨δ, J v⟩ by differences against ⟨Jᵀ δ, v⟩ by the rule.

    The rule gets what it says it saves, and nothing else.

    Parameters
    ----------
    op : Op or str
        A row of the rule table, or its name.
    inputs : sequence of ndarray
        float64; away from corners by more than the nudge.
    argnum : int
        Which input.
    attrs : mapping of str to float, optional
        The operator's numbers.
    seed : int
        For the two random directions.
    step : float
        The nudge along ``v``, as a part of the largest entry of the input, or of 1.

    Returns
    -------
    float
        The difference of the two numbers, as a part of the larger.

    Raises
    ------
    TypeError, ValueError
        For an operator, inputs, argument number or attributes that do not fit.
    """
    if not isinstance(op, Op):
        one_of(op, tuple(OPS), "op")
        op = OPS[op]
    if not isinstance(inputs, Sequence):
        raise TypeError(f"inputs: expected a list of arrays, received {type(inputs).__name__}")
    if not isinstance(attrs, Mapping | None):
        raise TypeError(f"attrs: expected a mapping from names to numbers, received {attrs!r}")
    numbers = {name: non_negative(value, f"attrs[{name!r}]") for name, value in (attrs or {}).items()}
    if numbers.keys() != op.attrs.keys():
        raise ValueError(f"attrs: expected {listed(op.attrs)}, received {listed(numbers)}")
    if len(inputs) < 1 or (len(inputs) != len(op.vjps) and not op.variadic):
        expected = "at least 1" if op.variadic else len(op.vjps)
        raise ValueError(f"inputs: {op.name} expected {expected}, received {len(inputs)}")
    if not _is_place(argnum, len(inputs)):
        raise ValueError(f"argnum: expected one of 0 to {len(inputs) - 1}, received {argnum!r}")
    if op.vjp(argnum) is None:
        raise ValueError(f"argnum: {op.name} has no derivative with respect to its input {argnum}")
    for position, array in enumerate(inputs):
        if type(array) is not np.ndarray or array.dtype != np.float64:
            received = f"dtype {array.dtype}" if type(array) is np.ndarray else type(array).__name__
            raise TypeError(f"inputs[{position}]: expected a float64 array, received {received}")
        if array.ndim not in (0, 2) or not array.size:
            raise ValueError(f"inputs[{position}]: expected shape () or (rows, columns), received {array.shape}")
        if not is_finite(array):
            raise ValueError(f"inputs[{position}]: expected finite numbers, received inf or NaN")
        check = op.requires.get(position)
        wrong = check(array) if check else None
        if wrong:
            raise ValueError(f"inputs[{position}]: expected {wrong}")
    try:
        op.infer_shape(*(array.shape for array in inputs))
    except ValueError as error:
        raise ValueError(f"inputs: {op.name} {error}") from None
    step = positive(step, "step") * max(1.0, float(np.abs(inputs[argnum]).max()))
    rng = generator(seed)
    direction = rng.standard_normal(inputs[argnum].shape)
    out = evaluate(op, inputs, **numbers)
    delta = np.asarray(rng.standard_normal(out.shape))
    back = pull_back(op, inputs, out, delta, argnum, **numbers)
    moved = (inputs[argnum] + sign * step * direction for sign in (1, -1))
    above, below = (evaluate(op, [*inputs[:argnum], array, *inputs[argnum + 1 :]], **numbers) for array in moved)
    by_differences = float(np.sum(delta * (above - below)) / (2 * step))
    by_rule = float(np.sum(back * direction))
    if not isfinite(by_rule):
        raise FloatingPointError(f"{op.name}: expected its rule {argnum} to write finite numbers, received {by_rule}")
    return _relative(by_rule, by_differences)


def jacobian(graph: Graph, values: Mapping[str, Array], output: str, source: str) -> Array:
    """The full Jacobian of one equation, which nobody forms: a row for each output, found from its VJPs.

    Row k is what the VJPs make of a cotangent that is 1 at entry k and 0 elsewhere.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        As for `mlp.value_and_grad`.
    output : str
        The variable that the equation defines.
    source : str
        One of its inputs.

    Returns
    -------
    ndarray, shape (entries of output, entries of source)
        Both counted row by row: entry [k, l] is ∂output[k] / ∂source[l], through this equation alone.

    Raises
    ------
    TypeError, ValueError
        For values that do not fit, an output that no equation defines, a source that the equation does not read or has
        no derivative with respect to.
    """
    recorded = trace(graph, values)
    equation = graph.maker(output)
    if equation is None:
        raise ValueError(f"output: expected a variable that an equation defines, received {output!r}, which is given")
    one_of(source, equation.inputs, "source")
    op = graph.table[equation.op]
    inputs, out = [recorded[name] for name in equation.inputs], recorded[output]
    rows = np.zeros((out.size, recorded[source].size), graph.dtype)
    for argnum, name in enumerate(equation.inputs):
        if name != source:
            continue
        if op.vjp(argnum) is None:
            raise ValueError(f"source: expected an input that {equation.op} has a derivative for, received {source!r}")
        for k, row in enumerate(rows):
            delta = np.zeros(out.shape, graph.dtype)
            delta.reshape(-1)[k] = 1
            row += pull_back(op, inputs, out, delta, argnum, **equation.attrs).reshape(-1)
    return rows
