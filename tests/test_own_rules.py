"""Derivatives along a direction through rules of one's own: right, or refused by name at the values in use."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp import Equation, Graph, Variable, hvp, jvp, value_and_grad
from mlp.ops import OPS, Array, Op, Vjp
from mlp.tangents import WAY_OUT
from tests.cases import SEEDS, SOFTPLUS, examples

Values = dict[str, Array]
Formula = Callable[..., Any]


def rule(formula: Formula) -> Callable[..., None]:
    """A rule that writes what a formula gives."""

    def write(out: Array, *arrays: Array) -> None:
        out[...] = formula(*arrays)

    return write


def elementwise(name: str, forward: Formula, slope: Formula, corner: bool = False) -> Op:
    vjp = Vjp(rule(lambda delta, z: delta * slope(z)), lambda delta, z: rf"{delta} \odot f'({z})", saves=(0,))
    return Op(name, "f", lambda z: f"f({z})", lambda z: z, rule(forward), (vjp,), corner=corner)


def sigma(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def stable_sigma(z: Array) -> Array:
    """As people write it, with an absolute value: right for real numbers only."""
    e = np.exp(-np.abs(z))
    return np.where(z > 0, 1, e) / (1 + e)


def analytic_softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.maximum(z, -z)))


def real_softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sign(z: Array) -> Array:
    return np.where(z > 0, 1.0, np.where(z < 0, -1.0, 0.0))


def leaky(z: Array) -> Array:
    return np.where(z > 0, z, 0.1 * z)


def normalised(z: Array) -> Array:
    centred = z - z.mean(axis=0)
    return centred / np.sqrt((centred * centred).mean(axis=0) + 0.1)


def normalised_vjp(delta: Array, z: Array) -> Array:
    centred = z - z.mean(axis=0)
    spread = np.sqrt((centred * centred).mean(axis=0) + 0.1)
    h = centred / spread
    return (delta - delta.mean(axis=0) - h * (delta * h).mean(axis=0)) / spread


def layer_norm(name: str, forward: Formula, gained: bool) -> Op:
    """With a gain that grows from row to row the Jacobian is not symmetric, and no VJP gives a tangent."""

    def gain(z: Array) -> Array:
        return np.arange(1.0, 1 + len(z))[:, None] if gained else np.ones((len(z), 1))

    vjp = Vjp(rule(lambda delta, z: normalised_vjp(delta * gain(z), z)), lambda delta, z: delta, saves=(0,))
    return Op(name, "n", lambda z: f"n({z})", lambda z: z, rule(lambda z: gain(z) * forward(z)), (vjp,))


def by_std(z: Array) -> Array:
    return (z - z.mean(axis=0)) / np.sqrt(np.std(z, axis=0) ** 2 + 0.1)


def loss(name: str, forward: Formula, slope: Formula) -> Op:
    """Binary cross-entropy on logits, with its own idea of softplus; 0 or 1 as a target."""
    vjps = (Vjp(rule(lambda delta, o, y: delta * (slope(o) - y)), lambda delta, o, y: delta, saves=(0, 1)), None)
    formula = rule(lambda o, y: np.sum(forward(o) - y * o))
    return Op(name, "BCE", lambda o, y: f"BCE({o}, {y})", lambda o, y: (), formula, vjps)


PRODUCT = Op(
    "product",
    "⊙",
    lambda a, b: rf"{a} \odot {b}",
    lambda a, b: a,
    rule(lambda a, b: a * b),
    tuple(Vjp(rule(lambda delta, b: delta * b), lambda delta, b: delta, saves=(1 - k,)) for k in (0, 1)),
)

# Whatever jvp and hvp must get right: rules by analytic functions and comparisons.
RIGHT = {
    op.name: op
    for op in (
        elementwise("softplus", analytic_softplus, sigma),
        elementwise("square", lambda z: z * z, lambda z: 2 * z),
        elementwise("leaky", leaky, lambda z: np.where(z > 0, 1.0, 0.1), corner=True),
        elementwise("sine", np.sin, np.cos),
        layer_norm("layer_norm", normalised, gained=False),
        layer_norm("gained_norm", normalised, gained=True),
        PRODUCT,
        loss("bce", analytic_softplus, sigma),
    )
}
# Wrong for complex numbers forward, with VJPs that are analytic: the VJP gives the tangent.
REAL_FORWARD = {
    op.name: op
    for op in (
        elementwise("softplus", real_softplus, sigma),
        elementwise("absolute", np.abs, sign, corner=True),
        elementwise("logaddexp", lambda z: np.logaddexp(z, 0), sigma),
        layer_norm("layer_norm", by_std, gained=False),
        loss("bce", real_softplus, sigma),
    )
}


def graph_with(op: Op, rows: int, columns: int) -> Graph:
    """z = W x, then the operator, and two more equations to J."""
    given = [
        Variable("x", (3, columns)),
        Variable("y", (rows, columns), role="target"),
        Variable("W", (rows, 3), role="parameter"),
    ]
    equations = [Equation("matmul", ("W", "x"), "z")]
    if op.name == "bce":
        equations.append(Equation("bce", ("z", "y"), "L"))
    else:
        equations += [
            Equation(op.name, ("z",) * len(op.vjps), "h"),
            Equation("tanh", ("h",), "o"),
            Equation("squared_error", ("o", "y"), "L"),
        ]
    equations += [Equation("l2", ("W",), "s", {"weight_decay": 0.3}), Equation("add", ("L", "s"), "J")]
    return Graph(given, equations, objective="J", table=dict(OPS) | {op.name: op})


def case(op: Op, seed: int, scale: float = 1.0) -> tuple[Graph, Values, Values]:
    rng = np.random.default_rng(seed)
    graph = graph_with(op, int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    values = {name: scale * rng.standard_normal(graph.variables[name].shape) for name in graph.given}
    values["y"] = rng.integers(2, size=values["y"].shape).astype("float64")
    return graph, values, {"W": rng.standard_normal(values["W"].shape)}


def slopes_agree(graph: Graph, values: Values, direction: Values) -> None:
    _, gradients = value_and_grad(graph, values)
    _, tangent = jvp(graph, values, direction)
    products = gradients["W"] * direction["W"]
    assert float(tangent) == pytest.approx(products.sum(), abs=1e-12 * max(1.0, np.abs(products).sum()))


def curves_agree(graph: Graph, values: Values, direction: Values) -> None:
    h = 1e-6
    moved = [value_and_grad(graph, values | {"W": values["W"] + e * direction["W"]})[1]["W"] for e in (h, -h)]
    expected = (moved[0] - moved[1]) / (2 * h)
    found = hvp(graph, values, direction)["W"]
    np.testing.assert_allclose(found, expected, atol=1e-6 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", RIGHT)
@examples(25)
@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 5.0]))
def test_rules_that_are_right_keep_working_everywhere(name: str, seed: int, scale: float) -> None:
    graph, values, direction = case(RIGHT[name], seed, scale)
    slopes_agree(graph, values, direction)
    curves_agree(graph, values, direction)


@pytest.mark.parametrize("name", REAL_FORWARD)
@examples(25)
@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 5.0]))
def test_a_forward_rule_for_real_numbers_takes_its_tangent_from_its_vjp(name: str, seed: int, scale: float) -> None:
    graph, values, direction = case(REAL_FORWARD[name], seed, scale)
    slopes_agree(graph, values, direction)
    curves_agree(graph, values, direction)


def test_the_three_numbers_that_were_wrong() -> None:
    """jvp said 0.472 for 0.367 (softplus) and 0 for −1.01 (abs): complex numbers lose what an absolute value takes."""
    for name, derivative in (("softplus", lambda z: sigma(z)), ("absolute", np.sign)):
        given = [Variable("z", (2, 3), role="parameter")]
        equations = [Equation(name, ("z",), "h"), Equation("l2", ("h",), "J", {"weight_decay": 1.0})]
        graph = Graph(given, equations, table=dict(OPS) | {name: REAL_FORWARD[name]})
        z, direction = (np.random.default_rng(k).standard_normal((2, 3)) for k in (0, 1))
        _, tangent = jvp(graph, {"z": z}, {"z": direction}, of="h")
        np.testing.assert_allclose(tangent, derivative(z) * direction, rtol=1e-14)


@pytest.mark.parametrize("z", [0.0, -0.0, 5e-324, 1e-300, -1e-17, 1e-13, -1e-9, 1e-6])
@pytest.mark.parametrize("name", ["leaky", "absolute", "softplus"])
def test_at_a_corner_and_beside_it_the_slope_is_the_gradients(name: str, z: float) -> None:
    op = RIGHT.get(name) or REAL_FORWARD[name]
    given = [Variable("z", (1, 2), role="parameter")]
    equations = [Equation(name, ("z",), "h"), Equation("l2", ("h",), "J", {"weight_decay": 1.0})]
    graph = Graph(given, equations, table=dict(OPS) | {name: op})
    point, ones = np.array([[z, 0.7]]), np.ones((1, 2))
    back = np.empty((1, 2))
    op.vjps[0].rule(back, ones, point)  # type: ignore[union-attr]
    for direction in (ones, -ones):
        _, tangent = jvp(graph, {"z": point}, {"z": direction}, of="h")
        np.testing.assert_allclose(tangent, back * direction, rtol=1e-14)
        assert np.isfinite(hvp(graph, {"z": point}, {"z": direction})["z"]).all()


# --- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_a_vjp_for_real_numbers_is_refused_by_hvp_and_named_and_its_analytic_form_is_taken(seed: int) -> None:
    graph, values, direction = case(elementwise("softplus", real_softplus, stable_sigma), seed)
    slopes_agree(graph, values, direction)
    with pytest.raises(
        ValueError, match=r"'h = softplus\(z\)': expected VJP 0 of softplus to have a tangent"
    ) as raised:
        hvp(graph, values, direction)
    received = re.search(
        r"received (\S+) by complex numbers at \(\d, \d\), where differences say (\S+);", str(raised.value)
    )
    assert received and abs(float(received[1]) / float(received[2]) - 1) > 1e-4
    assert "for np.abs(a) np.maximum(a, -a)" in str(raised.value)

    def as_advised(z: Array) -> Array:
        e = np.exp(-np.maximum(z, -z))
        return np.where(z > 0, 1, e) / (1 + e)

    graph, values, direction = case(elementwise("softplus", real_softplus, as_advised), seed)
    curves_agree(graph, values, direction)


@pytest.mark.parametrize("below", [0.0, -2.0])
def test_a_rule_that_is_wrong_in_one_region_is_refused_when_values_are_there(below: float) -> None:
    """One entry of 60 is enough; where all are on the right side, the rule works."""

    def slope(z: Array) -> Array:
        return np.where(z < below, np.exp(-np.abs(z)), np.exp(z))

    op = elementwise("mixed", lambda z: np.where(z < 60, np.exp(z), 0), slope)
    given = [Variable("z", (6, 10), role="parameter")]
    equations = [Equation("mixed", ("z",), "h"), Equation("l2", ("h",), "J", {"weight_decay": 1.0})]
    graph = Graph(given, equations, table=dict(OPS) | {"mixed": op})
    rng = np.random.default_rng(0)
    z, direction = below + 0.1 + rng.random((6, 10)), rng.standard_normal((6, 10))
    for _ in range(10):
        found = hvp(graph, {"z": z}, {"z": direction})["z"]
        np.testing.assert_allclose(found, 2 * np.exp(2 * z) * direction, rtol=1e-12)
        there = z.copy()
        index = tuple(int(k) for k in rng.integers((6, 10)))
        there[index] = below - 0.1 - rng.random()
        with pytest.raises(ValueError, match=re.escape(f"at {index}, where differences say")):
            hvp(graph, {"z": there}, {"z": direction})


@pytest.mark.parametrize("seed", range(8))
def test_a_forward_rule_that_no_vjp_can_stand_in_for_is_refused_by_jvp(seed: int) -> None:
    graph, values, direction = case(layer_norm("norm", by_std, gained=True), seed + 20)
    if graph.variables["z"].shape[0] == 1:
        return
    with pytest.raises(
        ValueError, match=r"'h = norm\(z\)': expected the forward rule of norm, where z moves,"
    ) as raised:
        jvp(graph, values, direction)
    assert "by its VJP" in str(raised.value) and "by complex numbers" in str(raised.value)
    graph, values, direction = case(layer_norm("norm", normalised, gained=True), seed + 20)
    slopes_agree(graph, values, direction)


def test_a_rule_that_takes_no_complex_numbers_is_refused_and_what_is_said_instead_helps() -> None:
    graph, values, direction = case(SOFTPLUS, 3)
    slopes_agree(graph, values, direction)  # by its VJP
    with pytest.raises(TypeError, match=r"'h = softplus\(z\)': expected rules that take complex numbers") as raised:
        hvp(graph, values, direction)
    form = re.search(r"for np\.logaddexp\(a, 0\) (.*)$", str(raised.value))
    assert form

    def as_advised(z: Array) -> Array:
        return eval(form[1], {"np": np, "a": z})  # type: ignore[no-any-return]

    z = np.linspace(-800, 800, 41)
    np.testing.assert_allclose(as_advised(z), np.logaddexp(z, 0), rtol=1e-15)
    graph, values, direction = case(elementwise("softplus", as_advised, lambda z: np.exp(-as_advised(-z))), 3)
    slopes_agree(graph, values, direction)
    curves_agree(graph, values, direction)


def test_the_ways_out_are_right_for_real_and_for_complex_numbers() -> None:
    a = np.array([[-2.0, 0.5, 3.0]])
    carried = a + 1j * 2.0**-200
    for expression, value, slope in (
        ("np.maximum(a, -a)", np.abs(a), np.sign(a)),
        ("np.sqrt(np.sum(a * a))", np.linalg.norm(a), a.sum() / np.linalg.norm(a)),
    ):
        assert expression in WAY_OUT
        np.testing.assert_allclose(eval(expression), value, rtol=1e-15)
        found = eval(expression, {"np": np, "a": carried})
        np.testing.assert_allclose(np.imag(found) * 2.0**200, slope, rtol=1e-14)


@examples(25)
@given(seed=SEEDS)
def test_a_vjp_that_is_wrong_does_not_reach_a_tangent(seed: int) -> None:
    """The forward rule is analytic and right, so jvp is right, though the gradient is not."""
    right, wrong = (elementwise("sine", np.sin, lambda z, f=factor: f * np.cos(z)) for factor in (1.0, 1.01))
    graph, values, direction = case(right, seed)
    spoilt, _, _ = case(wrong, seed)
    expected, found = jvp(graph, values, direction)[1], jvp(spoilt, values, direction)[1]
    assert float(found) == pytest.approx(float(expected), rel=1e-12, abs=1e-14)


def test_a_row_of_the_book_under_the_same_name_with_another_rule_is_ones_own() -> None:
    mine = elementwise("tanh", np.abs, np.sign)
    graph = Graph(
        [Variable("z", (2, 3), role="parameter")],
        [Equation("tanh", ("z",), "h"), Equation("l2", ("h",), "J", {"weight_decay": 1.0})],
        table=dict(OPS) | {"tanh": mine},
    )
    z = np.random.default_rng(0).standard_normal((2, 3))
    np.testing.assert_array_equal(jvp(graph, {"z": z}, {"z": z}, of="h")[1], np.abs(z))
