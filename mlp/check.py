"""Checking gradients by means that know nothing of the chain rule: nudge an entry, run forward, see what J does.

`check_gradients` checks a graph, `check_vjp` one rule of one operator, `step_errors` shows how the size of the nudge
decides what such a check is worth.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from mlp.engine import prepare, value_and_grad
from mlp.graph import Graph, generator, one_of, positive, positive_int
from mlp.ops import OPS, OWN, Array, Op

STEP = 1e-5  # best for centred differences in float64: smaller loses digits in the subtraction, larger bends
OTHER_STEPS = (1 / 4, 1 / 64, 1 / 1024, 16)  # tried where the first disagrees: J may bend more, or lose more digits
TOLERANCE = 1e-6
# What an error must be compared with at least, as a part of max(1, |J|): two objectives are subtracted, and the digits
# that this costs must not look like a wrong rule.
FLOOR = 1e-2
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
        Entries with two slopes, left out of the errors where the gradient lies between the two.
    rounding : mapping of str to float
        For a float32 graph: how far each gradient is from that in float64, as a part of the largest entry of all.
    """

    errors: Mapping[str, float]
    worst: Mapping[str, tuple[int, ...]]
    checked: Mapping[str, tuple[int, int]]
    tolerance: float
    corners: tuple[Corner, ...] = ()
    rounding: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every error is within the tolerance, and float32 near float64."""
        within = all(error <= self.tolerance for error in self.errors.values())
        return within and all(distance <= ROUNDING for distance in self.rounding.values())

    def __getitem__(self, name: str) -> float:
        """The relative error of one parameter's gradient."""
        return self.errors[name]

    def __iter__(self) -> Iterator[str]:
        """The parameters."""
        return iter(self.errors)

    def __len__(self) -> int:
        """How many parameters."""
        return len(self.errors)

    def __str__(self) -> str:
        """A line a parameter."""
        lines = []
        for name, error in self.errors.items():
            verdict = "ok" if error <= self.tolerance else f"WRONG at {self.worst[name]}"
            some, all_ = self.checked[name]
            lines.append(f"{name}: relative error {error:.1e} over {some} of {all_} entries, {verdict}")
        for name, distance in self.rounding.items():
            verdict = "ok" if distance <= ROUNDING else "WRONG"
            lines.append(f"{name}: in float32, off by {distance:.1e} of the largest gradient, {verdict}")
        for c in self.corners:
            where = f"{c.parameter}[{', '.join(map(str, c.index))}]"
            lines.append(
                f"{where}: corner, two slopes {c.left:.4g} and {c.right:.4g}; the gradient is {c.gradient:.4g}"
            )
        return "\n".join(lines)


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
        h, as a part of max(1, |w|).
    tolerance : float
        Relative.
    max_entries : int
        At most so many entries of each parameter, drawn at random where there are more: two passes an entry.
    seed : int
        For that draw.

    Returns
    -------
    GradientReport
        Behaves as a mapping from parameter to relative error; ``report.ok``, ``print(report)``.
    """
    limit = positive_int(max_entries, "max_entries")
    nudges = [positive(step, "step") * factor for factor in (1, *OTHER_STEPS)]
    bound = positive(tolerance, "tolerance")
    rng = generator(seed)
    _, own = value_and_grad(graph, values)  # checks the values
    nudged = _Nudged(graph, values)
    J, grads = value_and_grad(nudged.graph, nudged.values)
    floor = FLOOR * max(1.0, abs(J))
    errors: dict[str, float] = {}
    worst: dict[str, tuple[int, ...]] = {}
    checked: dict[str, tuple[int, int]] = {}
    corners: list[Corner] = []
    for name in graph.parameters:
        gradient = grads[name]
        entries = list(np.ndindex(gradient.shape))
        if len(entries) > limit:
            entries = [entries[i] for i in sorted(rng.choice(len(entries), limit, replace=False))]
        errors[name], worst[name], checked[name] = 0.0, entries[0], (len(entries), gradient.size)
        for index in entries:
            exact = float(gradient[index])

            def off(slope: float, exact: float = exact) -> float:
                return abs(exact - slope) / max(abs(exact), abs(slope), floor)

            error, slopes = inf, []
            for nudge in nudges:
                left, right, crossed = nudged.slopes(name, index, nudge)
                low, high = min(left, right), max(left, right)
                slack = bound * floor + 1e-3 * (high - low)  # slopes to one side are good to the nudge only
                if crossed and low - slack <= exact <= high + slack:
                    corners.append(Corner(name, index, left, right, exact))
                    error = 0.0
                elif crossed:
                    error = min(error, max(off(low), off(high)))
                else:
                    slopes.append((left + right) / 2)
                    error = min(error, off(slopes[-1]))
                    if len(slopes) == 2:  # what bends J cancels in this mean of two nudges (Richardson)
                        error = min(error, off((16 * slopes[1] - slopes[0]) / 15))
                if error <= bound:
                    break
            if error > errors[name]:
                errors[name], worst[name] = error, index
    rounding = {}
    if graph.dtype == "float32":
        largest = max(floor, *(float(np.abs(gradient).max()) for gradient in grads.values()))
        rounding = {name: float(np.abs(own[name] - gradient).max()) / largest for name, gradient in grads.items()}
    return GradientReport(errors, worst, checked, bound, tuple(corners), rounding)


class _Nudged:
    """J, run forward in float64 with one entry of one parameter moved."""

    def __init__(self, graph: Graph, values: Mapping[str, Array]) -> None:
        ops = graph.table
        self._kinked = tuple({e.inputs[0] for e in graph.equations if ops[e.op].corner})
        self.graph = graph.with_dtype("float64")
        self.values = {name: np.array(values[name], "float64", order="C") for name in graph.given}
        self._run = prepare(self.graph, keep=self._kinked)

    def at(self, name: str, index: tuple[int, ...], w: float) -> tuple[float, list[Array]]:
        """J with the entry set to w, and on which side of their corners the activations are."""
        array = self.values[name]
        old, array[index] = array[index], w
        try:
            J, _ = self._run(self.values)
            return J, [np.sign(self._run[kinked]) for kinked in self._kinked]
        finally:
            array[index] = old

    def slopes(self, name: str, index: tuple[int, ...], step: float) -> tuple[float, float, bool]:
        """The slope of J to the left, to the right, and whether a corner lies between the two.

        Where the nudge crosses a corner it is made smaller, until only a corner at the entry itself is left.
        """
        w = float(self.values[name][index])
        J, here = self.at(name, index, w)
        for h in (step * max(1.0, abs(w)) / shrink for shrink in (1, 16, 256)):
            above, below = w + h, w - h
            if not below < w < above:
                raise ValueError(f"step: expected enough to change {name}[{index}] = {w:g}, received {step:g}")
            (J_above, sides_above), (J_below, sides_below) = (self.at(name, index, v) for v in (above, below))
            left, right = (J - J_below) / (w - below), (J_above - J) / (above - w)
            crossed = any(
                (a != b).any() or (a != c).any() for a, b, c in zip(here, sides_above, sides_below, strict=True)
            )
            if not crossed:
                break
        return left, right, crossed


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
        |difference − gradient|, one for each nudge.
    """
    one_of(parameter, graph.parameters, "parameter")
    shape = graph.variables[parameter].shape
    if not isinstance(index, tuple) or index not in np.ndindex(shape):
        raise ValueError(f"index: expected that of an entry of {parameter}, shape {shape}, received {index!r}")
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
        float64; away from corners by more than ``step``.
    argnum : int
        Which input.
    attrs : mapping of str to float, optional
        The operator's numbers.
    seed : int
        For the two random directions.
    step : float
        The nudge along ``v``.
    """
    if not isinstance(op, Op):
        one_of(op, tuple(OPS), "op")
        op = OPS[op]
    numbers = dict(attrs or {})
    if numbers.keys() != op.attrs.keys():
        raise ValueError(f"attrs: expected {', '.join(op.attrs) or 'none'}, received {', '.join(numbers) or 'none'}")
    if len(inputs) < 1 or (len(inputs) != len(op.vjps) and not op.variadic):
        expected = "at least 1" if op.variadic else len(op.vjps)
        raise ValueError(f"inputs: {op.name} expected {expected}, received {len(inputs)}")
    if argnum not in range(len(inputs)):
        raise ValueError(f"argnum: expected one of 0 to {len(inputs) - 1}, received {argnum!r}")
    vjp = op.vjp(argnum)
    if vjp is None:
        raise ValueError(f"argnum: {op.name} has no derivative with respect to its input {argnum}")
    step = positive(step, "step")
    for position, array in enumerate(inputs):
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            received = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"inputs[{position}]: expected a float64 array, received {received}")
    rng = generator(seed)
    shapes = [array.shape for array in inputs]

    def forward(moved: Array) -> Array:
        arguments = [moved if k == argnum else array for k, array in enumerate(inputs)]
        out = np.empty(op.infer_shape(*shapes))
        op.forward(out, *arguments, *(np.empty(shape) for shape in op.workspace(*shapes)), **numbers)
        return out

    direction = rng.standard_normal(inputs[argnum].shape)
    out = forward(inputs[argnum])
    delta = np.asarray(rng.standard_normal(out.shape))
    sources = {OWN: inputs[argnum], "out": out}
    saved = [inputs[what] if isinstance(what, int) else sources[what] for what in vjp.saves]
    back = np.full(inputs[argnum].shape, np.nan)
    work = [np.full(shape, np.nan) for shape in vjp.workspace(delta.shape, *(array.shape for array in saved))]
    vjp.rule(back, delta, *saved, *work, **numbers)
    moved = [forward(inputs[argnum] + sign * step * direction) for sign in (1, -1)]
    by_differences = float(np.sum(delta * (moved[0] - moved[1])) / (2 * step))
    by_rule = float(np.sum(back * direction))
    return abs(by_rule - by_differences) / max(abs(by_rule), abs(by_differences), 1e-3)
