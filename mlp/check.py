"""Checking gradients by means that know nothing of the chain rule: nudge an entry, run forward, see what J does.

`check_gradients` checks a graph, `check_vjp` one rule of one operator, `step_errors` shows how the size of the nudge
decides what such a check is worth.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, nan, prod
from typing import NamedTuple

import numpy as np

from mlp.engine import trace, value_and_grad
from mlp.graph import Graph
from mlp.inputs import generator, listed, non_negative, one_of, positive, positive_int
from mlp.ops import OPS, Array, Op
from mlp.prepared import prepare
from mlp.tangents import EPSILON, arrives
from mlp.values import is_finite

STEP = 1e-5  # best for centred differences in float64: smaller loses digits in the subtraction, larger bends with J
SCALES = (1, 1 / 8, 8, 1 / 64, 64, 1 / 512, 512, 1 / 4096)  # tried in turn: the best nudge depends on how much J bends
SMALLER = tuple(8.0**-k for k in range(5, 12))  # tried after these where all of them cross a corner
TOLERANCE = 1e-6
DOUBT = 10  # a disagreement within so many times the difference's own uncertainty is no evidence
SURE = 1000  # one of so many times the uncertainty needs no better nudge
SHARP = (
    1e-4  # a difference whose uncertainty, so many times, is a larger part of it than this cannot vouch for anything
)
DUST = 1e-12  # where J does not change by a bit, a gradient below this is the rounding of one that is 0
ROUNDING = 1e-3  # how far a float32 gradient may be from the float64 one, as a part of the largest entry of all
AMPLIFIED = (
    100  # a float32 gradient that is further off is wrong, unless this times the rounding of its values explains it
)

CORNER = "every nudge crosses a corner"
SMALL = "too small beside J"
RESTLESS = "differences do not settle"
OVERFLOW = "J overflows beside it"


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

    What could not be measured is never agreement: a parameter is right, wrong or not measured, and `ok` asks that all
    are right. The mapping has NaN for a parameter that is not measured.

    Attributes
    ----------
    errors : mapping of str to float
        The largest over the measured entries; NaN for a parameter that is not measured.
    worst : mapping of str to tuple
        The index of the entry with that error, for parameters of which something was measured.
    checked : mapping of str to (int, int)
        How many entries were measured, of how many.
    tolerance : float
        What counts as equal.
    verdicts : mapping of str to str
        ``"right"``, ``"wrong"`` or ``"not measured"``. Entries on which J does not depend, with a gradient of 0, are
        right, but they do not make a parameter right whose other entries are not measured.
    corners : tuple of Corner
        Entries at which J has two slopes: the gradient is a choice there, and was checked on both sides instead.
    reasons : mapping of str to mapping of str to int
        For each parameter, why entries were not measured, and how many.
    rounding : mapping of str to float
        For a float32 graph: how far each gradient is from that in float64, as a part of the largest entry of all; NaN
        where the rounding of float32 itself moves the gradient so far.
    """

    errors: Mapping[str, float]
    worst: Mapping[str, tuple[int, ...]]
    checked: Mapping[str, tuple[int, int]]
    tolerance: float
    verdicts: Mapping[str, str]
    corners: tuple[Corner, ...] = ()
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rounding: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every parameter was measured and is right, and float32 is near float64."""
        right = all(verdict == "right" for verdict in self.verdicts.values())
        return right and all(distance <= ROUNDING for distance in self.rounding.values())

    @property
    def unmeasured(self) -> dict[str, int]:
        """How many of each parameter's entries were looked at and could not be measured."""
        return {name: sum(counts.values()) for name, counts in self.reasons.items()}

    def __getitem__(self, name: str) -> float:
        """The relative error of one parameter's gradient, NaN if it is not measured."""
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
        """A line a parameter, and one for each reason why entries were not measured; in letters of any console."""
        lines = []
        for name, error in self.errors.items():
            verdict, (count, size) = self.verdicts[name], self.checked[name]
            if verdict != "not measured":
                said = "ok" if verdict == "right" else f"WRONG at {self.worst[name]}"
                lines.append(f"{name}: relative error {error:.1e} over {count} of {size} entries, {said}")
            elif count:
                lines.append(f"{name}: {count} of {size} entries are 0, and J does not depend on them")
            mark = "NOT MEASURED" if verdict == "not measured" else "not measured"
            lines += [f"{name}: {n} of {size} entries {mark}: {reason}" for reason, n in self.reasons[name].items()]
        for name, distance in self.rounding.items():
            if distance <= ROUNDING:
                lines.append(f"{name}: in float32, off by {distance:.1e} of the largest gradient, ok")
            elif distance > ROUNDING:
                lines.append(f"{name}: in float32, off by {distance:.1e} of the largest gradient, WRONG")
            else:
                lines.append(f"{name}: in float32, NOT MEASURED: rounding alone moves the gradient too far")
        for c in self.corners:
            where = f"{c.parameter}[{', '.join(map(str, c.index))}]"
            left, right, gradient = (f"{slope + 0.0:.4g}" for slope in (c.left, c.right, c.gradient))
            lines.append(f"{where}: corner, two slopes {left} and {right}; the gradient is {gradient}")
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

    Beside a corner, such as that of relu, the nudges stay on the side where the entry is. Where J's last digits hide
    what a nudge does, or no nudge is small enough, the entry is not measured, and the report says why.

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
        At most so many entries of each parameter, drawn at random where there are more: five forward passes each, and
        more where an entry is hard to measure.
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
        raise ValueError(f"step: too small; 1 + step == 1 in float64, received {step}; {STEP} is a good one")
    _, own = value_and_grad(graph, values)  # checks the values
    nudged = _Nudged(graph, values, nudge, bound)
    errors: dict[str, float] = {}
    worst: dict[str, tuple[int, ...]] = {}
    checked: dict[str, tuple[int, int]] = {}
    verdicts: dict[str, str] = {}
    reasons: dict[str, dict[str, int]] = {}
    corners: list[Corner] = []
    for name in graph.parameters:
        shape = graph.variables[name].shape
        size = prod(shape)
        chosen = sorted(rng.choice(size, limit, replace=False)) if size > limit else range(size)
        entries = [tuple(int(k) for k in np.unravel_index(place, shape)) if shape else () for place in chosen]
        found = {}
        for index in entries:
            found[index], corner = nudged.check(name, index)
            corners += [corner] if corner else []
        known = {index: finding.error for index, finding in found.items() if not finding.reason}
        reasons[name] = dict(Counter(finding.reason for finding in found.values() if finding.reason))
        checked[name] = len(known), size
        if known:
            worst[name] = max(known, key=lambda index: known[index])
        if known and known[worst[name]] > bound:
            verdicts[name] = "wrong"
        elif not reasons[name] or any(finding.slope for finding in found.values() if not finding.reason):
            verdicts[name] = "right"
        else:
            verdicts[name] = "not measured"
        errors[name] = nan if verdicts[name] == "not measured" else known[worst[name]]
    rounding = _rounding(graph, values, own, rng) if graph.dtype == "float32" else {}
    return GradientReport(errors, worst, checked, bound, verdicts, tuple(corners), reasons, rounding)


def _rounding(
    graph: Graph, values: Mapping[str, Array], own: Mapping[str, Array], rng: np.random.Generator
) -> dict[str, float]:
    """How far float32 gradients are from those in float64; NaN where as much comes of rounding the values alone."""
    double = graph.with_dtype("float64")
    given = {name: np.array(values[name], "float64") for name in graph.given}
    _, exact = value_and_grad(double, given)
    largest = max((float(np.abs(gradient).max()) for gradient in exact.values()), default=0.0) or 1.0

    def apart(others: Mapping[str, Array]) -> dict[str, float]:
        return {name: float(np.abs(others[name] - gradient).max()) / largest for name, gradient in exact.items()}

    distances = apart(own)
    if all(distance <= ROUNDING for distance in distances.values()):
        return distances
    # Is it the rule, or what float32 does to any numbers? It may round to the other side of a corner, or to 0.
    wide, narrow = trace(double, given), trace(graph, values)
    is_across = any((np.sign(wide[name]) != np.sign(narrow[name])).any() for name in _kinked(graph))
    arrays = (wide[step.writes[0]] for step in wide if step.final)
    is_lost = any(((array != 0) & (np.abs(array) < np.finfo(np.float32).tiny)).any() for array in arrays)
    if is_across or is_lost:
        return {name: nan if distance > ROUNDING else distance for name, distance in distances.items()}
    fixed = {e.inputs[k] for e in graph.equations for k in graph.table[e.op].requires}
    amplified = dict.fromkeys(exact, 0.0)
    for _ in range(3):
        half_a_digit = {name: np.finfo(np.float32).eps / 2 * rng.uniform(-1, 1, a.shape) for name, a in given.items()}
        moved = {name: a if name in fixed else np.asarray(a * (1 + half_a_digit[name])) for name, a in given.items()}
        for name, distance in apart(value_and_grad(double, moved)[1]).items():
            amplified[name] = max(amplified[name], distance)
    if fixed:  # labels of 1: beside them a difference such as p - y is known to a digit of 1, however small it is
        digit = float(np.finfo(np.float32).eps) / largest
        amplified = {name: max(distance, digit) for name, distance in amplified.items()}
    is_rounding = {name: ROUNDING < distance <= AMPLIFIED * amplified[name] for name, distance in distances.items()}
    return {name: nan if is_rounding[name] else distance for name, distance in distances.items()}


def _kinked(graph: Graph) -> tuple[str, ...]:
    """The variables that an operator with a corner reads."""
    kinked = {e.inputs[0] for e in graph.equations if graph.table[e.op].corner}
    return tuple(name for name in graph.variables if name in kinked)


class _Finding(NamedTuple):
    """What differences say of one entry: its gradient's relative error and the slope, or why neither is known."""

    error: float = nan
    slope: float = nan
    reason: str = ""


class _Difference(NamedTuple):
    """A slope found by nudging by h, how far two sizes of nudge disagree about it, and what J's digits allow."""

    slope: float
    doubt: float
    rounding: float
    h: float


class _Point(NamedTuple):
    """J with an entry set to w, and on which side of their corners the activations are."""

    w: float
    J: float
    sides: list[Array]

    def is_beside(self, other: "_Point") -> bool:
        """Whether no activation crosses its corner on the way."""
        return isfinite(other.J) and all((a == b).all() for a, b in zip(self.sides, other.sides, strict=True))


class _Nudged:
    """J, run forward in float64 with one entry of one parameter moved; and the gradients that are on trial."""

    def __init__(self, graph: Graph, values: Mapping[str, Array], step: float, tolerance: float) -> None:
        self._graph = graph.with_dtype("float64")
        self.values = {name: np.array(values[name], "float64", order="C") for name in graph.given}
        self._run = prepare(self._graph)
        self._step, self._tolerance = step, tolerance
        # For the nudges, the same network with nothing to differentiate: its run is the forward pass alone.
        self._kinked = _kinked(graph)
        given = self._graph.variables.values()
        frozen = (replace(v, role="input") if v.role == "parameter" else v for v in given)
        forward = Graph(frozen, graph.equations, graph.objective, graph.output, graph.table)
        self._forward = prepare(forward, keep=self._kinked)
        _, gradients = self._run(self.values)
        self._gradients = {name: gradient.copy() for name, gradient in gradients.items()}
        self._still: dict[str, bool] = {}
        # Probabilities add up to 1: of labels' losses J has no digit that is smaller beside 1, however small it is.
        self._least = float(any(graph.table[e.op].requires for e in graph.equations))

    def check(self, name: str, index: tuple[int, ...]) -> tuple[_Finding, Corner | None]:
        """What differences say of one entry; and the corner, if it is at one."""
        w, exact = float(self.values[name][index]), float(self._gradients[name][index])
        reach = self._step * max(1.0, abs(w))
        here, above, below = (self._at(name, index, v) for v in (w, w + reach, w - reach))
        if not self._is_corner(here, above, below):
            return self._judge(name, index, here, exact, exact == 0 and self._are_zero(name)), None
        # The entry holds an activation at its corner. There the gradient is a choice, here that of φ'(0) = 0, and no
        # difference can judge it: check the rules to the left and to the right of it.
        corner = Corner(name, index, (here.J - below.J) / reach, (above.J - here.J) / reach, exact)
        findings = []
        array = self.values[name]
        for there in (w - 64 * reach, w + 64 * reach):
            array[index] = there
            try:
                _, gradients = self._run(self.values)
                point = self._at(name, index, there)
                findings.append(self._judge(name, index, point, float(gradients[name][index])))
            except FloatingPointError:
                findings.append(_Finding(reason=OVERFLOW))
            finally:
                array[index] = w
        # Wrong on one side is wrong; right is right on both.
        return max(findings, key=lambda side: (side.error > self._tolerance, bool(side.reason), side.error)), corner

    def _is_corner(self, here: _Point, *moved: _Point) -> bool:
        """Whether an activation that is exactly at its corner leaves it."""
        there = [point for point in moved if isfinite(point.J)]
        return any(((side == 0) & (point.sides[k] != 0)).any() for point in there for k, side in enumerate(here.sides))

    def _judge(self, name: str, index: tuple[int, ...], here: _Point, exact: float, is_still: bool = False) -> _Finding:
        """The relative error of ``exact`` against the most certain difference at a point, or why there is none."""
        best: _Difference | None = None
        reason = CORNER
        for scale in SCALES + SMALLER:
            if best and scale in SMALLER:
                break
            found, obstacle = self._difference(name, index, here, self._step * scale * max(1.0, abs(here.w)))
            if found is None:
                reason = obstacle or reason
                continue
            if exact == found.slope == 0 and (is_still or self._stands_still(name, index)):
                return _Finding(0.0, 0.0)
            if _relative(exact, found.slope) <= self._tolerance and DOUBT * found.doubt <= SHARP * abs(found.slope):
                return _Finding(_relative(exact, found.slope), found.slope)
            if best is None or found.doubt < best.doubt:
                best = found
            if abs(exact - best.slope) > SURE * best.doubt:
                break
        if best is None:
            return _Finding(reason=reason)
        if self._is_evidence(name, index, here, exact, best):
            return _Finding(_relative(exact, best.slope), best.slope)
        if exact == 0 and (is_still or self._stands_still(name, index)):
            return _Finding(0.0, 0.0)
        is_small = DOUBT * best.rounding > SHARP * max(abs(exact), abs(best.slope))
        return _Finding(reason=SMALL if is_small else RESTLESS)

    def _is_evidence(self, name: str, index: tuple[int, ...], here: _Point, exact: float, best: _Difference) -> bool:
        """Whether a gradient is surely not the slope: differences by nudges of about that size say the same."""
        apart = abs(exact - best.slope)
        if _relative(exact, best.slope) <= self._tolerance or apart <= DOUBT * best.doubt:
            return False
        if best.slope == 0 and abs(exact) < DUST:
            return False
        for part in (3, 5, 6, 7, 9):
            again, _ = self._difference(name, index, here, best.h * part / 8)
            if again is None or apart <= DOUBT * abs(again.slope - best.slope):
                return False
        return True

    def _difference(self, name: str, index: tuple[int, ...], here: _Point, h: float) -> tuple[_Difference | None, str]:
        """Two differences, put together so that what bends J cancels (Richardson's extrapolation); or what hinders.

        Centred, with nudges of h and 2h. Where a corner is near on one side, nudges go to the other side only, by h, 2h
        and 4h.
        """
        w = here.w
        if not w - h < w < w + h:
            return None, ""
        bend = 0.0  # what is left of two slopes where no operator says that it has a corner
        near = {k: self._at(name, index, w + k * h) for k in (-2, -1, 1, 2)}
        free = [side for side in (1, -1) if here.is_beside(near[side]) and here.is_beside(near[2 * side])]
        if len(free) == 2:
            points, cost = list(near.values()), 1
            narrow, wide = ((near[k].J - near[-k].J) / (near[k].w - near[-k].w) for k in (1, 2))
            bend = abs(2 * (near[1].J - 2 * here.J + near[-1].J) - (near[2].J - 2 * here.J + near[-2].J) / 2) / (4 * h)
        elif free and here.is_beside(far := self._at(name, index, w + 4 * free[0] * h)):
            points, cost = [here, near[free[0]], near[2 * free[0]], far], 4
            one, two, four = ((point.J - here.J) / (point.w - w) for point in points[1:])
            narrow, wide = 2 * one - two, 2 * two - four
        else:
            return None, CORNER if all(isfinite(point.J) for point in near.values()) else OVERFLOW
        # What the subtraction costs even where the two agree by luck.
        rounding = cost * float(np.finfo(np.float64).eps) * max(self._least, *(abs(point.J) for point in points)) / h
        return _Difference((4 * narrow - wide) / 3, max(abs(narrow - wide), rounding, bend), rounding, h), ""

    def _at(self, name: str, index: tuple[int, ...], w: float) -> _Point:
        """J with the entry set to w, NaN where that overflows, and the sides of corners."""
        array = self.values[name]
        old, array[index] = array[index], w
        try:
            J, _ = self._forward(self.values)
            return _Point(w, J, [np.sign(self._forward[kinked]) for kinked in self._kinked])
        except FloatingPointError:
            return _Point(w, nan, [])
        finally:
            array[index] = old

    def _are_zero(self, name: str) -> bool:
        """Whether J depends on none of the entries of a parameter whose gradient is 0: asked once for all of them."""
        if name not in self._still:
            self._still[name] = self._stands_still(name, self._gradients[name] == 0)
        return self._still[name]

    def _stands_still(self, name: str, entries: Array | tuple[int, ...]) -> bool:
        """Whether J does not depend on some entries at all: of a tangent along them, nothing arrives, however small.

        That J does not change by a bit proves nothing, for its last digits may hide what a nudge does.
        """
        direction = np.zeros(self.values[name].shape)
        direction[entries] = np.random.default_rng(0).uniform(1, 2, direction[entries].shape)
        try:
            return not arrives(self._graph, self.values, {name: direction})
        except (TypeError, ValueError, FloatingPointError):  # of rules that take no complex numbers
            return False


def _relative(a: float, b: float) -> float:
    return abs(a - b) / (max(abs(a), abs(b)) or 1.0)


def step_errors(
    graph: Graph, values: Mapping[str, Array], parameter: str, index: tuple[int, ...], steps: Sequence[float]
) -> list[float]:
    """The error of the centred difference at one entry, for each size of nudge: the U-shaped curve.

    Large nudges bend with J, small ones lose digits in the subtraction. One that crosses a corner finds the mean of two
    slopes. Nothing is made of the errors here: what counts as right is said by `check_gradients`.

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
        float64; away from corners by several times the nudge.
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
        The difference of the two numbers, as a part of the larger. NaN where nothing can be measured: the nudge crosses
        a corner, or what it does is lost in rounding, as where tanh is flat. NaN passes no test such as ``< 1e-6``.

    Raises
    ------
    TypeError, ValueError
        For an operator, inputs, argument number or attributes that do not fit.
    FloatingPointError
        For a rule that does not write finite numbers into all of its result.
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
    moved = [inputs[argnum] + sign * step * direction for sign in (1, -1)]
    above, below = (evaluate(op, [*inputs[:argnum], array, *inputs[argnum + 1 :]], **numbers) for array in moved)
    for array, what in ((above, "forward rule"), (below, "forward rule"), (back, f"rule {argnum}")):
        if not is_finite(array):
            raise FloatingPointError(f"{op.name}: expected its {what} to write finite numbers, received inf or NaN")
    by_differences = float(np.sum(delta * (above - below)) / (2 * step))
    by_rule = float(np.sum(back * direction))
    if op.corner and argnum == 0 and (np.sign(moved[0]) != np.sign(moved[1])).any():
        return nan
    if by_rule == by_differences == 0:
        return 0.0 if _is_flat(op, inputs, argnum, direction, numbers) else nan
    rounding = float(np.finfo(np.float64).eps * np.sum(np.abs(delta * above)) / step)
    if DOUBT * rounding > SHARP * max(abs(by_rule), abs(by_differences)):
        return nan
    return _relative(by_rule, by_differences)


def _is_flat(op: Op, inputs: Sequence[Array], argnum: int, direction: Array, numbers: Mapping[str, float]) -> bool:
    """Whether nothing of a tangent arrives, as on one side of relu; where tanh is 1 to the last bit, something does."""
    tangent = [1j * EPSILON * direction if k == argnum else 0j for k in range(len(inputs))]
    try:
        out = evaluate(op, [array + moving for array, moving in zip(inputs, tangent, strict=True)], **numbers)
    except TypeError:  # a rule that takes no complex numbers
        return False
    return not out.imag.any()


def jacobian(graph: Graph, values: Mapping[str, Array], output: str, source: str) -> Array:
    """The full Jacobian of one equation, which nobody forms: a row for each output, found from its VJPs.

    Row k is what the VJPs make of a cotangent that is 1 at entry k and 0 elsewhere. At a corner it has the slope that
    the rule chooses, φ'(0) = 0.

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
    FloatingPointError
        For a rule that does not write finite numbers.
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
        if not is_finite(rows):
            what = f"rule {argnum} of '{equation}'"
            raise FloatingPointError(f"{source}: expected finite numbers, received inf or NaN from {what}")
    return rows
