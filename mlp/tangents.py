"""Derivatives along a direction: of any value (forward mode), and of the gradient (a Hessian-vector product).

Every number carries its rate of change along the direction, its tangent, in its imaginary part: ``a + iεb``, with an ε
so small that its square is nothing beside 1. Then ``(a + iεb)(c + iεd) = ac + iε(ad + bc)`` is the product rule,
``tanh(a + iεb) = tanh(a) + iεb tanh'(a)`` the chain rule: the rules of `ops` compute both parts as they are (Martins et
al., 2003). Nothing is subtracted, so no digits are lost: unlike a difference, the result is exact but for rounding. The
schedules are the engine's own.

Rules of one's own may be made otherwise: what an absolute value does to complex numbers is no derivative. So their
tangents are compared with differences at the values in use, and refused where those say otherwise.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mlp.engine import execute
from mlp.graph import Graph
from mlp.inputs import one_of
from mlp.ops import OPS, Array, Op
from mlp.steps import Schedule, Step, check_graph, cotangent_name, objective_name, schedule
from mlp.values import check_array, checked, is_finite

EPSILON = 2.0**-200  # a power of two, so that scaling by it costs no digit; its square is far below the last bit of 1
NUDGES = tuple(10.0**-k for k in range(4, 13))  # of differences: as parts of the largest entry of what is nudged
TELLING = 1e-3  # a difference tells right from wrong if its doubt is at most this part of the slope
WAY_OUT = (
    "write it with what takes complex numbers as it takes real ones: for np.abs(a) np.maximum(a, -a), for a norm "
    "np.sqrt(np.sum(a * a)), for np.logaddexp(a, 0) np.maximum(a, 0) + np.log1p(np.exp(-np.maximum(a, -a)))"
)


def jvp(
    graph: Graph, values: Mapping[str, Array], direction: Mapping[str, Array], of: str | None = None
) -> tuple[Array, Array]:
    """A value and its derivative along a direction, by one forward pass: a Jacobian-vector product.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        As for `value_and_grad`; only what ``of`` depends on is needed.
    direction : mapping of str to ndarray
        For some of the parameters and inputs, an array of their shape and of the graph's dtype: how fast each entry
        moves. All others stand still.
    of : str, optional
        The variable that is looked at; by default the objective.

    Returns
    -------
    value, tangent : ndarray
        Both of the variable's shape and of the graph's dtype.

    Raises
    ------
    TypeError, ValueError
        For values or directions that do not fit; for a rule of one's own that cannot take complex numbers, or whose
        tangent is wrong.
    FloatingPointError
        When something overflows.

    Notes
    -----
    For a rule of one's own the tangent is made from its VJP where that can be: for an elementwise operator, and where
    the output is one number. Elsewhere its forward rule must be made of analytic functions and comparisons. Either is
    compared with differences of the forward rule, at the values in use, and refused where it is wrong. Where an
    activation is at its corner, its slope is 0 here as in the gradient. The pass runs in complex128, so a product costs
    four real ones, and arrays take 16 bytes an entry.
    """
    check_graph(graph)
    name = objective_name(graph) if of is None else of
    one_of(name, graph.variables, "of")
    if graph.maker(name) is None:
        raise ValueError(f"of: expected a variable that an equation defines, received {name!r}, which is given")
    only = Graph(graph.variables.values(), graph.equations, graph.objective, name, graph.table)
    arrays, size = _run(schedule(only, "predict"), values, direction)
    return _parts(arrays[name], size, graph.dtype, name)


def hvp(graph: Graph, values: Mapping[str, Array], direction: Mapping[str, Array]) -> dict[str, Array]:
    """The derivative of the whole gradient along a direction: the Hessian of J times a vector (Pearlmutter, 1994).

    One forward and one backward pass, in which every value and every cotangent carries its tangent. The Hessian itself,
    with as many rows and columns as there are parameters, is never formed.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to ndarray
        As for `value_and_grad`.
    direction : mapping of str to ndarray
        As for `jvp`. Along parameters it is the vector; along an input, the result says how the gradient changes
        with it.

    Returns
    -------
    dict of str to ndarray
        One array for each parameter, of its shape and of the graph's dtype.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As `jvp`.

    Notes
    -----
    VJPs of one's own must be made of analytic functions and comparisons; their tangents are compared with differences
    as well. relu has no curvature: its Hessian knows nothing of the corner.
    """
    objective_name(graph)
    arrays, size = _run(schedule(graph), values, direction)
    names = {parameter: cotangent_name(graph, parameter) for parameter in graph.parameters}
    return {parameter: _parts(arrays[name], size, graph.dtype, name)[1] for parameter, name in names.items()}


def arrives(graph: Graph, values: Mapping[str, Array], direction: Mapping[str, Array]) -> bool:
    """Whether anything of a change along a direction arrives at the objective, as the forward rules alone have it.

    For checks, in which VJPs are on trial and cannot be witnesses. Raises as `jvp`.
    """
    name = objective_name(graph)
    only = Graph(graph.variables.values(), graph.equations, graph.objective, name, graph.table)
    arrays, _ = _run(schedule(only, "predict"), values, direction, by_vjps=False)
    return bool(arrays[name].imag != 0)


def _run(
    steps: Schedule, values: Mapping[str, Array], direction: Mapping[str, Array], by_vjps: bool = True
) -> tuple[dict[str, Array], int]:
    """Run a schedule on numbers that carry tangents: the arrays that are left, and by which power of 2 those are less.

    A direction as long as 2²⁰⁰ would not be small beside 1 any more, so all are brought to one size.
    """
    graph = steps.graph
    if not isinstance(direction, Mapping):
        raise TypeError(f"direction: expected a dict of arrays by name, received {type(direction).__name__}")
    arrays: dict[str, Array] = {}
    for name, array in checked(graph, values, steps.needed).items():
        arrays[name] = array.astype("complex128")
    movable = [name for name in graph.given if graph.variables[name].role != "target"]
    for name, array in direction.items():
        one_of(name, movable, "direction")
        check_array(graph, name, array, label=f"direction[{name!r}]")
    size = int(np.frexp(max((float(np.abs(array).max()) for array in direction.values()), default=0.0))[1])
    for name, array in direction.items():
        if name in arrays:
            arrays[name].imag = EPSILON * np.ldexp(
                array.astype("float64"), -size
            )  # float32 would hold nothing as small
    if any(_is_own(graph, step) for step in steps):
        for _ in execute(steps, checked(graph, values, steps.needed)):
            pass  # on real numbers first: what is wrong there is said as by any pass
        steps = _carried(steps, by_vjps)
    index = 0
    try:
        for step in execute(steps, arrays, "complex128"):
            index = step.index + 1
            if step.phase == "forward" and graph.table[step.equation.op].corner and not _is_own(graph, step):
                made = arrays[step.writes[0]]
                made.imag[made.real == 0] = 0  # at the corner too, where the book's slope is 0
    except TypeError as error:
        equation = steps[index].equation
        received = f"expected rules that take complex numbers, received {error}; {WAY_OUT}"
        raise TypeError(f"'{equation}': {received}") from error
    return arrays, size


# --- rules of one's own ---------------------------------------------------------------------------------------------


def _is_own(graph: Graph, step: Step) -> bool:
    """Whether the step runs a rule that is not of the book's table, and so may do anything with complex numbers."""
    return graph.table[step.equation.op] != OPS.get(step.equation.op)


def _carried(steps: Schedule, by_vjps: bool) -> Schedule:
    """The same schedule, in which each rule of one's own is run on real numbers, with its tangent beside it."""
    graph = steps.graph
    carry: dict[str, Callable[..., None]] = {"forward": partial(_forward, by_vjps), "backward": _backward}

    def carried(step: Step) -> Step:
        if not _is_own(graph, step):
            return step
        made_by = [call for call in step.calls if call[1][1 : 1 + len(step.reads)] == step.reads]
        calls = tuple(
            (partial(carry[step.phase], graph.table[step.equation.op], step, call[0]), call[1])
            if call in made_by
            else call
            for call in step.calls
        )
        return replace(step, calls=calls)

    return Schedule(graph, steps.policy, [carried(step) for step in steps], steps.needed)


def _forward(by_vjps: bool, op: Op, step: Step, rule: Callable[..., None], out: Array, *arrays: Array) -> None:
    """A value, and its tangent: the sum over the inputs that move."""
    values, moves, work = _apart(arrays, len(step.reads))
    value = _written(rule, out.shape, values, work)
    out.real, out.imag = value, 0
    for argnum, move in enumerate(moves):
        speed = _largest(move)
        if not speed:
            continue
        unit = move / speed

        def moved(h: float, argnum: int = argnum, unit: Array = unit) -> Array:
            inputs = [*values[:argnum], values[argnum] + h * unit, *values[argnum + 1 :]]
            return _written(rule, out.shape, inputs, work)

        wrong: list[str] = []
        for how, tangent in _candidates(op, step, rule, values, unit, argnum, value, work, by_vjps):
            found = _contradiction(moved, tangent, _largest(values[argnum]), how)
            if not found:
                out.imag += EPSILON * speed * tangent
                break
            wrong.append(found)
        else:
            _refuse(step, f"the forward rule of {op.name}, where {step.reads[argnum]} moves,", wrong)


def _candidates(
    op: Op,
    step: Step,
    rule: Callable[..., None],
    values: Sequence[Array],
    move: Array,
    argnum: int,
    value: Array,
    work: Sequence[tuple[int, ...]],
    by_vjps: bool,
) -> Iterator[tuple[str, Array]]:
    """Ways to a tangent: by the VJP, which has the gradient's slope at a corner, where that will do; by ``a + iεb``."""
    vjp = op.vjp(argnum) if by_vjps else None
    if vjp is not None and value.shape in ((), move.shape):
        saved = vjp.residuals(values, value, argnum)
        delta = move if value.shape else np.ones(())
        needed = vjp.workspace(delta.shape, *(array.shape for array in saved))
        back = _written(partial(vjp.rule, **step.equation.attrs), move.shape, [delta, *saved], needed)
        yield "by its VJP", back if value.shape else np.asarray(np.sum(back * move))
    inputs = [array.astype("complex128") for array in values]
    inputs[argnum].imag = EPSILON * move
    yield "by complex numbers", _written(rule, value.shape, inputs, work, "complex128").imag / EPSILON


def _backward(op: Op, step: Step, rule: Callable[..., None], out: Array, *arrays: Array) -> None:
    """An instalment, and its tangent. It is linear in delta; how it changes with what is saved, ``a + iεb`` says."""
    (delta, *saved), (delta_move, *moves), work = _apart(arrays, len(step.reads))
    out.real = _written(rule, out.shape, [delta, *saved], work)
    out.imag = EPSILON * _written(rule, out.shape, [delta_move, *saved], work)
    size, speed = _largest(delta), max(map(_largest, moves), default=0.0)
    if not size * speed:
        return
    unit = delta / size

    def moved(h: float) -> Array:
        there = [array + h * (move / speed) for array, move in zip(saved, moves, strict=True)]
        return _written(rule, out.shape, [unit, *there], work)

    carried = [array + 1j * EPSILON * (move / speed) for array, move in zip(saved, moves, strict=True)]
    tangent = _written(rule, out.shape, [unit + 0j, *carried], work, "complex128").imag / EPSILON
    found = _contradiction(moved, tangent, max(map(_largest, saved)), "by complex numbers")
    if found:
        _refuse(step, f"VJP {step.argnum} of {op.name}", [found])
    out.imag += EPSILON * size * speed * tangent


def _apart(arrays: Sequence[Array], count: int) -> tuple[list[Array], list[Array], list[tuple[int, ...]]]:
    """What a rule reads, and how fast that moves; the shapes of its workspace."""
    read, work = arrays[:count], arrays[count:]
    return [np.array(a.real) for a in read], [np.array(a.imag) / EPSILON for a in read], [a.shape for a in work]


def _written(
    rule: Callable[..., None],
    shape: tuple[int, ...],
    inputs: Sequence[Array],
    work: Sequence[tuple[int, ...]],
    dtype: str = "float64",
) -> Array:
    """What a rule writes, in a new array."""
    out, *workspace = (np.full(shape, np.nan, dtype) for shape in (shape, *work))
    rule(out, *inputs, *workspace)
    return out


def _largest(array: Array) -> float:
    return float(np.abs(array).max())


def _contradiction(moved: Callable[[float], Array], tangent: Array, size: float, how: str) -> str:
    """The first entry at which no difference that tells right from wrong agrees with the tangent; '' if there is none.

    ``moved(h)`` is what the rule writes when h of what moves is added to numbers as large as ``size``. Beside a corner
    only small nudges tell, at one none does.
    """
    here = moved(0)
    size = size or 1.0
    told, right = np.zeros(here.shape, bool), np.zeros(here.shape, bool)
    slopes = np.zeros(here.shape)
    for h in (size * nudge for nudge in NUDGES):
        above, below = moved(h), moved(-h)
        slope = (above - below) / (2 * h)
        steepest = np.maximum(np.abs(slope), np.abs(tangent))
        rounding = np.finfo("float64").eps * (_largest(here) + steepest * size)
        doubt = 10 * (np.abs(above - 2 * here + below) + 4 * rounding) / h
        tells = doubt <= TELLING * steepest
        slopes = np.where(tells & ~told, slope, slopes)
        told |= tells
        right |= tells & (np.abs(slope - tangent) <= doubt + steepest / 1e6)
    wrong = (told & ~right) | ~np.isfinite(tangent)
    if not wrong.any():
        return ""
    index = tuple(int(k) for k in np.argwhere(wrong)[0])
    where = f" at {index}" if index else ""
    return f"{tangent[index]:.4g} {how}{where}, where differences say {slopes[index]:.4g}"


def _refuse(step: Step, rule: str, wrong: Sequence[str]) -> None:
    raise ValueError(
        f"'{step.equation}': expected {rule} to have a tangent that agrees with differences, "
        f"received {' and '.join(wrong)}; {WAY_OUT}"
    )


def _parts(array: Array, size: int, dtype: str, name: str) -> tuple[Array, Array]:
    """The value and the tangent, apart."""
    with np.errstate(over="ignore"):  # said below
        value, tangent = np.array(array.real, dtype), np.array(np.ldexp(array.imag / EPSILON, size), dtype)
    if not is_finite(tangent):
        raise FloatingPointError(f"tangent of {name}: expected finite numbers, received inf or NaN")
    return value, tangent
