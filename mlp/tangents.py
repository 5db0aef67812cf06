"""Derivatives along a direction: of any value (forward mode), and of the gradient (a Hessian-vector product).

Every number carries its rate of change along the direction, its tangent, in its imaginary part: ``a + iεb``, with an ε
so small that its square is nothing beside 1. Then ``(a + iεb)(c + iεd) = ac + iε(ad + bc)`` is the product rule,
``tanh(a + iεb) = tanh(a) + iεb tanh'(a)`` the chain rule: the rules of `ops` compute both parts as they are (Martins et
al., 2003). Nothing is subtracted, so no digits are lost: unlike a difference, the result is exact but for rounding. The
schedules are the engine's own.
"""

from collections.abc import Mapping

import numpy as np

from mlp.engine import execute
from mlp.graph import Graph
from mlp.inputs import one_of
from mlp.ops import Array
from mlp.steps import Schedule, check_graph, cotangent_name, objective_name, schedule
from mlp.values import check_array, checked, is_finite

EPSILON = 2.0**-200  # a power of two, so that scaling by it costs no digit; its square is far below the last bit of 1


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
        For values or directions that do not fit; for an operator whose rule cannot take complex numbers.
    FloatingPointError
        When something overflows.

    Notes
    -----
    A rule of one's own must be made of analytic functions and comparisons: one that takes an absolute value or a
    conjugate gives a wrong tangent. Where an activation is at its corner, its slope is 0 here as in the gradient. The
    pass runs in complex128, so a product costs four real ones, and arrays take 16 bytes an entry.
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
    What is said of rules in `jvp` holds for VJPs too. relu has no curvature: its Hessian knows nothing of the corner.
    """
    objective_name(graph)
    arrays, size = _run(schedule(graph), values, direction)
    names = {parameter: cotangent_name(graph, parameter) for parameter in graph.parameters}
    return {parameter: _parts(arrays[name], size, graph.dtype, name)[1] for parameter, name in names.items()}


def _run(steps: Schedule, values: Mapping[str, Array], direction: Mapping[str, Array]) -> tuple[dict[str, Array], int]:
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
    index = 0
    try:
        for step in execute(steps, arrays, "complex128"):
            index = step.index + 1
            if step.phase == "forward" and graph.table[step.equation.op].corner:
                made = arrays[step.writes[0]]
                made.imag[made.real == 0] = 0  # at the corner too, where the book's slope is 0
    except TypeError as error:
        equation = steps[index].equation
        raise TypeError(f"'{equation}': expected rules that take complex numbers, received {error}") from error
    return arrays, size


def _parts(array: Array, size: int, dtype: str, name: str) -> tuple[Array, Array]:
    """The value and the tangent, apart."""
    with np.errstate(over="ignore"):  # said below
        value, tangent = np.array(array.real, dtype), np.array(np.ldexp(array.imag / EPSILON, size), dtype)
    if not is_finite(tangent):
        raise FloatingPointError(f"tangent of {name}: expected finite numbers, received inf or NaN")
    return value, tangent
