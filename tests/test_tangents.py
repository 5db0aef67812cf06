"""Derivatives along a direction: against gradient and differences, against an outside oracle, in closed form."""

from __future__ import annotations

from collections.abc import Callable

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given

import mlp
from mlp import Equation, Graph, Variable, hvp, jvp, network, value_and_grad
from mlp.ops import ACTIVATIONS, LOSSES, OPS, Array, Op, Vjp
from tests.cases import (
    SEEDS,
    SOFTPLUS,
    examples,
    little_recursion,
    random_graph,
    random_network,
    random_values,
    small_values,
)
from tests.test_engine import ACTIVATE, LOSS

Values = dict[str, Array]


def directions(graph: Graph, seed: int, roles: tuple[str, ...] = ("parameter",)) -> Values:
    rng = np.random.default_rng([seed, 1])
    chosen = [v for name in graph.given if (v := graph.variables[name]).role in roles]
    return {v.name: np.asarray(rng.standard_normal(v.shape), graph.dtype) for v in chosen}


def inner(a: Values, b: Values) -> float:
    return sum(float((a[name] * b[name]).sum()) for name in b)


def assert_near(found: Values, expected: Values, tolerance: float) -> None:
    """Entry by entry, as a part of the largest entry of all."""
    assert found.keys() == expected.keys()
    largest = max(1.0, *(float(np.abs(array).max()) for array in expected.values()))
    for name, array in expected.items():
        assert found[name].shape == array.shape and found[name].dtype == array.dtype
        assert np.abs(found[name] - array).max() <= tolerance * largest, name


# --- forward mode ---------------------------------------------------------------------------------------------------


@examples(60)
@given(seed=SEEDS)
def test_forward_mode_agrees_with_reverse_mode(seed: int) -> None:
    for graph, values in (
        (g := random_network(seed), random_values(g, seed)),
        (g := random_graph(seed), small_values(g, seed)),
    ):
        J, gradients = value_and_grad(graph, values)
        direction = directions(graph, seed)
        value, tangent = jvp(graph, values, direction)
        assert float(value) == pytest.approx(J, rel=1e-12, abs=1e-12)
        size = sum(float(np.abs(gradients[name] * d).sum()) for name, d in direction.items())
        assert float(tangent) == pytest.approx(inner(gradients, direction), abs=1e-12 * max(size, 1.0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_variable_along_an_input_and_a_weight(activation: str) -> None:
    graph = network([3, 4, 2], batch=5, activation=activation, bias=True)
    values = random_values(graph, 3)
    direction = directions(graph, 3, ("input", "parameter"))
    value, tangent = jvp(graph, values, direction, of="h")
    assert value.shape == tangent.shape == (4, 5)
    h = [
        mlp.trace(graph, values | {name: values[name] + sign * 1e-6 * d for name, d in direction.items()})["h"]
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(value, mlp.trace(graph, values)["h"], atol=1e-15)
    np.testing.assert_allclose(tangent, (h[0] - h[1]) / 2e-6, atol=1e-8)


def test_columns_of_a_jacobian() -> None:
    """One direction gives one column: as many passes as there are inputs, where reverse mode needs one a row."""
    graph, values = mlp.examples.running_example()
    table = mlp.jacobian(graph, values, "o", "W2")
    for column, index in enumerate(np.ndindex(2, 4)):
        direction = np.zeros((2, 4))
        direction[index] = 1
        _, tangent = jvp(graph, values, {"W2": direction}, of="o")
        np.testing.assert_array_equal(tangent.reshape(-1), table[:, column])


def test_what_is_looked_at_decides_what_is_needed() -> None:
    graph, values = mlp.examples.running_example()
    value, tangent = jvp(graph, {"x": values["x"], "W1": values["W1"]}, {"W2": values["W2"]}, of="z")
    assert tangent.shape == (4, 1) and not tangent.any()
    np.testing.assert_array_equal(value, mlp.trace(graph, values)["z"])


# --- second derivatives ---------------------------------------------------------------------------------------------

NETWORKS = [
    (activation, loss, bias, depth)
    for activation in ACTIVATIONS
    for loss in LOSSES
    for bias in (False, True)
    for depth in (1, 2, 4)
]


@pytest.mark.parametrize(("activation", "loss", "bias", "depth"), NETWORKS)
def test_a_hessian_vector_product_agrees_with_autograd(activation: str, loss: str, bias: bool, depth: int) -> None:
    """The network once more, knowing nothing of graphs, differentiated twice by an outside package."""
    widths = [3 + (2 * layer) % 5 + layer % 2 for layer in range(depth + 1)]
    graph = network(widths, 4, activation, loss, weight_decay=0.1, bias=bias)
    values, direction = random_values(graph, depth), directions(graph, depth)
    names = graph.parameters
    ends = np.cumsum([values[name].size for name in names])

    def unpack(flat: Array) -> Values:
        parts = anp.split(flat, ends[:-1])
        return {name: anp.reshape(part, values[name].shape) for name, part in zip(names, parts, strict=True)}

    def objective(flat: Array) -> float:
        p, h = unpack(flat), values["x"]
        for layer in range(1, depth + 1):
            h = anp.dot(p[f"W{layer}"], h)
            h = h + p[f"b{layer}"] if bias else h
            h = ACTIVATE[activation](h) if layer < depth else h
        decay = sum(anp.sum(p[f"W{layer}"] ** 2) for layer in range(1, depth + 1))
        return LOSS[loss](h, values["y"]) + 0.05 * decay

    def flat(arrays: Values) -> Array:
        return np.concatenate([arrays[name].reshape(-1) for name in names])

    outside = autograd.hessian_vector_product(objective)(flat(values), flat(direction))
    assert_near(hvp(graph, values, direction), unpack(outside), 1e-11)


@examples(60)
@given(seed=SEEDS)
def test_the_hessian_is_symmetric_and_is_the_slope_of_the_gradient(seed: int) -> None:
    """On any graph: uᵀHv = vᵀHu, and centred differences of exact gradients, as far as those are worth something."""
    graph = random_graph(seed)
    values = small_values(graph, seed)
    u, v = directions(graph, seed), directions(graph, seed + 1)
    Hu, Hv = hvp(graph, values, u), hvp(graph, values, v)
    size = sum(float(np.abs(u[name] * Hv[name]).sum()) for name in u)
    assert inner(u, Hv) == pytest.approx(inner(v, Hu), abs=1e-12 * max(size, 1.0))
    ahead, behind = (
        value_and_grad(graph, {n: a + sign * 1e-5 * v[n] if n in v else a for n, a in values.items()})[1]
        for sign in (1, -1)
    )
    differences = {name: (ahead[name] - behind[name]) / 2e-5 for name in v}
    assert_near(Hv, differences, 1e-6)


def test_one_layer_in_closed_form() -> None:
    """J = ‖Wx − y‖² / 2n + λ‖W‖² / 2 is a parabola: H V = V x xᵀ / n + λ V, wherever it is asked for."""
    graph = network([3, 2], batch=5, weight_decay=0.3)
    values, direction = random_values(graph, 1), directions(graph, 1)
    V, x = direction["W1"], values["x"]
    assert_near(hvp(graph, values, direction), {"W1": V @ x @ x.T / 5 + 0.3 * V}, 1e-14)


def test_along_an_input() -> None:
    graph = network([3, 4, 2], batch=5, activation="tanh")
    values, direction = random_values(graph, 2), directions(graph, 2, ("input",))
    moved = [value_and_grad(graph, values | {"x": values["x"] + e * direction["x"]})[1] for e in (1e-5, -1e-5)]
    expected = {name: (moved[0][name] - moved[1][name]) / 2e-5 for name in graph.parameters}
    assert_near(hvp(graph, values, direction), expected, 1e-7)


def test_at_a_corner_the_slope_is_the_gradients() -> None:
    """x is such that unit 1 stands at z = 0 exactly, and both ways of moving it give what φ'(0) = 0 gives."""
    graph, values = mlp.examples.running_example()
    values["W1"] = values["W1"].copy()
    values["W1"][0] = 1, 0, 1
    assert mlp.trace(graph, values)["z"][0] == 0
    _, gradients = value_and_grad(graph, values)
    for sign in (1.0, -1.0):
        direction = {"W1": np.zeros((4, 3))}
        direction["W1"][0] = sign, 0, 0
        _, tangent = jvp(graph, values, direction)
        assert float(tangent) == pytest.approx(inner(gradients, direction), abs=1e-15)
        assert hvp(graph, values, direction)["W1"][0] == pytest.approx(0.1 * direction["W1"][0])


def test_a_float32_graph_gets_float32_that_is_right_to_its_last_digits() -> None:
    graph = network([3, 4, 2], batch=5, activation="gelu", dtype="float32")
    values, direction = random_values(graph, 4), directions(graph, 4)
    double = {name: array.astype("float64") for name, array in values.items()}
    exact = hvp(graph.with_dtype("float64"), double, {n: d.astype("float64") for n, d in direction.items()})
    found = hvp(graph, values, direction)
    assert all(found[name].dtype == np.float32 for name in found)
    assert_near(found, {name: array.astype("float32") for name, array in exact.items()}, 1e-7)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu"])
def test_large_values_keep_their_tangents_finite(activation: str) -> None:
    graph = network([2, 3, 2], batch=4, activation=activation)
    values = {name: 300 * array for name, array in random_values(graph, 5).items()}
    _, gradients = value_and_grad(graph, values)
    direction = directions(graph, 5)
    size = sum(float(np.abs(gradients[name] * d).sum()) for name, d in direction.items())
    assert float(jvp(graph, values, direction)[1]) == pytest.approx(inner(gradients, direction), abs=1e-12 * size)
    assert all(np.isfinite(array).all() for array in hvp(graph, values, direction).values())


def test_depth_needs_no_recursion_and_nothing_is_changed() -> None:
    graph = network([2] * 301, batch=3, activation="tanh")
    values, direction = random_values(graph, 6), directions(graph, 6)
    before = {name: array.tobytes() for name, array in (values | direction).items()}
    with little_recursion():
        hvp(graph, values, direction)
    assert before == {name: array.tobytes() for name, array in (values | direction).items()}


def test_nothing_moves_nothing_changes() -> None:
    graph, values = mlp.examples.running_example()
    assert all(not array.any() for array in hvp(graph, values, {}).values())


# --- what does not fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "kind", "message"),
    [
        ([], TypeError, "direction: expected a dict of arrays by name, received list"),
        ({"y": np.ones((2, 1))}, ValueError, "direction: expected one of x, W1, W2, received 'y'"),
        ({"W1": np.ones((3, 4))}, ValueError, r"direction\['W1'\]: expected a float64 array of shape \(4, 3\)"),
        ({"W1": np.ones((4, 3), "float32")}, TypeError, r"direction\['W1'\]: .* received dtype float32"),
        ({"W1": np.full((4, 3), np.inf)}, ValueError, r"direction\['W1'\]: expected finite numbers"),
    ],
)
def test_directions_that_do_not_fit(direction: Values, kind: type[Exception], message: str) -> None:
    graph, values = mlp.examples.running_example()
    for function in (jvp, hvp):
        with pytest.raises(kind, match=message):
            function(graph, values, direction)


def test_what_is_looked_at_must_be_there() -> None:
    graph, values = mlp.examples.running_example()
    with pytest.raises(ValueError, match=r"of: expected one of x, .*, received 'nonsense'"):
        jvp(graph, values, {}, of="nonsense")


def test_what_is_looked_at_is_computed() -> None:
    graph, values = mlp.examples.running_example()
    with pytest.raises(ValueError, match="of: expected a variable that an equation defines, received 'W1'"):
        jvp(graph, values, {}, of="W1")


@pytest.mark.parametrize("power", [-990, -300, 210, 300, 990])
def test_a_direction_may_be_of_any_length(power: int) -> None:
    graph = network([3, 4, 2], 2, "tanh", weight_decay=0.1)
    values = random_values(graph, 3)
    direction = directions(graph, 3)
    scaled = {name: np.ldexp(array, power) for name, array in direction.items()}
    assert np.ldexp(jvp(graph, values, direction)[1], power) == jvp(graph, values, scaled)[1]
    products, far = hvp(graph, values, direction), hvp(graph, values, scaled)
    assert all(np.array_equal(np.ldexp(products[name], power), far[name]) for name in products)


def test_a_tangent_that_is_too_large_is_said() -> None:
    graph, values = mlp.examples.running_example()
    with pytest.raises(FloatingPointError, match="tangent of J: expected finite numbers"):
        jvp(graph, values, {"W1": np.full((4, 3), 1e308)})


def test_a_rule_that_takes_no_complex_numbers_is_named() -> None:
    given_here = [Variable("a", (2, 3), role="parameter")]
    equations = [Equation("softplus", ("a",), "v"), Equation("l2", ("v",), "J", {"weight_decay": 1.0})]
    graph = Graph(given_here, equations, table={**OPS, "softplus": SOFTPLUS})
    with pytest.raises(TypeError, match=r"'v = softplus\(a\)': expected rules that take complex numbers"):
        hvp(graph, {"a": np.ones((2, 3))}, {"a": np.ones((2, 3))})


def test_an_overflow_is_said() -> None:
    graph = network([1, 1], weight_decay=0.1)
    values = {"x": np.full((1, 1), 1e100), "y": np.zeros((1, 1)), "W1": np.full((1, 1), 1e100)}
    with pytest.raises(FloatingPointError, match="L: expected finite numbers"):
        jvp(graph, values, {"W1": np.ones((1, 1))})


# --- rules of one's own, at any scale -------------------------------------------------------------------------------


def own_graph(forward: Callable[[Array], Array], vjp: Callable[[Array, Array], Array], shape: tuple[int, int]) -> Graph:
    """J = ½ ‖f(p)‖² with an operator of one's own."""

    def write(out: Array, p: Array) -> None:
        out[...] = forward(p)

    def write_back(out: Array, delta: Array, p: Array) -> None:
        out[...] = vjp(delta, p)

    back = Vjp(write_back, lambda delta, p: delta, saves=(0,))
    op = Op("own", "f", lambda p: p, lambda p: np.shape(forward(np.ones(p))), write, (back,))
    equations = [Equation("own", ("p",), "h"), Equation("l2", ("h",), "J", {"weight_decay": 1.0})]
    return Graph([Variable("p", shape, role="parameter")], equations, table={**OPS, "own": op})


def norm(p: Array) -> Array:
    return np.sqrt(np.sum(p * p, axis=0, keepdims=True))


# name: forward, VJP, Hessian of J times d in closed form
ANALYTIC: dict[str, tuple[Callable[..., Array], ...]] = {
    "1/p": (lambda p: 1 / p, lambda delta, p: -delta / p**2, lambda p, d: 3 * d / p**4),
    "log": (np.log, lambda delta, p: delta / p, lambda p, d: d * (1 - np.log(p)) / p**2),
    "cube": (lambda p: p**3, lambda delta, p: 3 * p * p * delta, lambda p, d: 15 * p**4 * d),
    "norm of columns": (norm, lambda delta, p: delta * p / norm(p), lambda p, d: d),
}


@pytest.mark.parametrize("scale", [1e-8, 3e-5, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("rule", ANALYTIC)
def test_right_rules_of_ones_own_are_right_at_any_scale(rule: str, scale: float) -> None:
    forward, vjp, hessian = ANALYTIC[rule]
    graph = own_graph(forward, vjp, (3, 2))
    rng = np.random.default_rng(0)
    for _ in range(5):
        p, d = scale * rng.uniform(0.001, 2, (3, 2)), rng.standard_normal((3, 2))
        _, gradients = value_and_grad(graph, {"p": p})
        _, tangent = jvp(graph, {"p": p}, {"p": d})
        assert float(tangent) == pytest.approx(float((gradients["p"] * d).sum()), rel=1e-9)
        np.testing.assert_allclose(hvp(graph, {"p": p}, {"p": d})["p"], hessian(p, d), rtol=1e-6)


# name: forward, VJP; both right for real numbers
OTHERS: dict[str, tuple[Callable[..., Array], ...]] = {
    "mean of |p|²": (
        lambda p: np.mean(np.abs(p) ** 2, axis=1, keepdims=True),
        lambda delta, p: 2 * p * delta / p.shape[1],
    ),
    "|p|² where large": (
        lambda p: np.where(p.real > np.median(p.real), p * p, np.abs(p) ** 2).sum(axis=0, keepdims=True),
        lambda delta, p: 2 * p * delta,
    ),
    "norm by np.linalg": (
        lambda p: np.linalg.norm(p, axis=0, keepdims=True),
        lambda delta, p: delta * p / np.linalg.norm(p, axis=0, keepdims=True),
    ),
}


@pytest.mark.parametrize("scale", [1e-8, 1e-5, 1e-2, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("rule", OTHERS)
def test_rules_that_are_not_analytic_are_refused_at_any_scale(rule: str, scale: float) -> None:
    forward, vjp = OTHERS[rule]
    graph = own_graph(forward, vjp, (3, 4))
    rng = np.random.default_rng(1)
    for _ in range(5):
        p, d = scale * rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
        with pytest.raises(ValueError, match="where differences say"):
            jvp(graph, {"p": p}, {"p": d})


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 1.0, 1e5])
def test_a_vjp_that_is_not_analytic_is_refused_at_any_scale(scale: float) -> None:
    graph = own_graph(lambda p: p**3, lambda delta, p: 3 * np.abs(p) ** 2 * delta, (3, 4))
    rng = np.random.default_rng(2)
    p, d = scale * rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    with pytest.raises(ValueError, match=r"VJP 0 of own.*where differences say"):
        hvp(graph, {"p": p}, {"p": d})
