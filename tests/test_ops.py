"""Every row of the rule table: shapes, values, VJPs, what a rule may read and write, and numbers at the edge."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal, localcontext
from functools import partial

import numpy as np
import pytest
from hypothesis import given

from mlp import check_vjp
from mlp.ops import ACTIVATIONS, LOSSES, OPS, OWN, Array, Op, not_one_hot
from tests.cases import FORMULAS, SEEDS, SIZES, examples, one_hot, same_bits

# name: inputs that fit, for sizes m, d, n; the value, written once more in plain NumPy (activations: in `cases`)
Make = Callable[[np.random.Generator, int, int, int], list[Array]]
INPUTS: dict[str, Make] = {
    "matmul": lambda rng, m, d, n: [rng.standard_normal((m, d)), rng.standard_normal((d, n))],
    "bias": lambda rng, m, d, n: [rng.standard_normal((m, n)), rng.standard_normal((m, 1))],
    "squared_error": lambda rng, m, d, n: [rng.standard_normal((m, n)), rng.standard_normal((m, n))],
    "cross_entropy": lambda rng, m, d, n: [2 * rng.standard_normal((max(m, 2), n)), one_hot(rng, max(m, 2), n)],
    "l2": lambda rng, m, d, n: [rng.standard_normal(shape) for shape in ((m, d), (d, n), (m, 1))],
    "add": lambda rng, m, d, n: [rng.standard_normal((m, n)) for _ in range(d)],
}
INPUTS |= {
    name: (lambda rng, m, d, n: [rng.choice([-1.0, 1.0], (m, n)) * rng.uniform(0.1, 2, (m, n))])  # off the corner
    if OPS[name].corner
    else (lambda rng, m, d, n: [2 * rng.standard_normal((m, n))])
    for name in ACTIVATIONS
}
ATTRS = {"l2": {"weight_decay": 0.3}}
VALUE: dict[str, Callable[..., Array]] = {
    "matmul": lambda W, x: W @ x,
    "bias": lambda a, b: a + b @ np.ones((1, a.shape[1])),
    "squared_error": lambda o, y: ((o - y) ** 2).sum() / (2 * o.shape[1]),
    "cross_entropy": lambda o, y: -(y * np.log(np.exp(o) / np.exp(o).sum(axis=0))).sum() / o.shape[1],
    "l2": lambda *W: 0.15 * sum((w**2).sum() for w in W),
    "add": lambda *terms: sum(terms),
}
VALUE |= {name: partial(formula, np) for name, formula in FORMULAS.items()}
RULES = [
    pytest.param(op.name, k, id=f"{op.name}-{k}")
    for op in OPS.values()
    for k in range(3 if op.name == "l2" else 1 if op.variadic else len(op.vjps))
    if op.vjp(k) is not None
]
DTYPES = ("float64", "float32")


def frozen(array: Array) -> Array:
    """A copy that nobody can write into."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def forward(op: Op, inputs: Sequence[Array], fill: float = np.nan) -> Array:
    """Run the rule on inputs that cannot be written, into an array and workspace full of ``fill``."""
    dtype, shapes = inputs[0].dtype, [array.shape for array in inputs]
    out = np.full(op.infer_shape(*shapes), fill, dtype)
    work = [np.full(shape, fill, dtype) for shape in op.workspace(*shapes)]
    op.forward(out, *map(frozen, inputs), *work, **ATTRS.get(op.name, {}))
    return out


def backward(op: Op, inputs: Sequence[Array], argnum: int, delta: Array, fill: float = np.nan) -> Array:
    """Run one VJP on only what it says it saves, none of which can be written."""
    vjp = op.vjp(argnum)
    assert vjp is not None
    sources: dict[int | str, Array] = {OWN: inputs[argnum], "out": forward(op, inputs)} | dict(enumerate(inputs))
    saved = [frozen(sources[what]) for what in vjp.saves]
    out = np.full_like(inputs[argnum], fill)
    work = [np.full(shape, fill, delta.dtype) for shape in vjp.workspace(delta.shape, *(s.shape for s in saved))]
    vjp.rule(out, frozen(delta), *saved, *work, **ATTRS.get(op.name, {}))
    return out


def inputs_of(name: str, seed: int, m: int, d: int, n: int, dtype: str = "float64") -> list[Array]:
    return [array.astype(dtype) for array in INPUTS[name](np.random.default_rng(seed), m, d, n)]


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_row_is_tested() -> None:
    """A new activation needs its formula in `tests/cases.py`; another operator, inputs and a value here."""
    assert set(INPUTS) == set(VALUE) == set(OPS)
    assert set(FORMULAS) == set(ACTIVATIONS)


def test_a_row_goes_by_its_own_name() -> None:
    assert all(name == op.name for name, op in OPS.items())


def test_activations_and_losses_are_rows() -> None:
    assert {*ACTIVATIONS, *LOSSES} <= set(OPS)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        OPS["relu"] = OPS["tanh"]  # type: ignore[index]


def test_relu_tanh_and_sigmoid_go_back_from_h_alone_and_gelu_needs_z() -> None:
    assert [OPS[name].saves for name in ("relu", "tanh", "sigmoid")] == [{"out"}] * 3
    assert OPS["gelu"].saves == {0}


@pytest.mark.parametrize("name", OPS)
def test_every_rule_has_its_formula_in_tex(name: str) -> None:
    op, symbols = OPS[name], dict.fromkeys(OPS[name].attrs, r"\lambda")
    names = [rf"\mathbf{{A{k}}}" for k in range(len(inputs_of(name, 0, 2, 3, 4)))]
    value = op.tex(*names, **symbols)
    back = [vjp.tex(r"\delta", *names[: len(vjp.saves)], **symbols) for vjp in op.vjps if vjp]
    assert all(part in value for part in (*names, *symbols.values()))
    assert all(r"\delta" in formula for formula in back)
    assert all(formula.count("{") == formula.count("}") for formula in (value, *back))


# --- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPS)
@examples(25)
@given(seed=SEEDS, m=SIZES, d=SIZES, n=SIZES)
def test_the_shape_rule_gives_the_shape_of_the_value(name: str, seed: int, m: int, d: int, n: int) -> None:
    inputs = inputs_of(name, seed, m, d, n)
    assert OPS[name].infer_shape(*(array.shape for array in inputs)) == np.shape(VALUE[name](*inputs))


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("matmul", [(4, 3), (4, 2)]),
        ("matmul", [(4, 3), (1, 2)]),  # one row would broadcast elsewhere
        ("matmul", [(4, 3), ()]),
        ("matmul", [(), (3, 2)]),
        ("bias", [(4, 2), (2, 1)]),
        ("bias", [(4, 2), (4, 2)]),
        ("bias", [(4, 2), (1, 1)]),
        ("bias", [(4, 1), (1, 4)]),
        ("bias", [(4, 2), ()]),
        ("bias", [(), ()]),
        ("squared_error", [(2, 5), (2, 1)]),
        ("squared_error", [(2, 5), (5, 2)]),
        ("squared_error", [(2, 5), (1, 5)]),
        ("squared_error", [(), ()]),
        ("cross_entropy", [(3, 5), (3, 1)]),
        ("cross_entropy", [(3, 5), (1, 5)]),
        ("cross_entropy", [(), ()]),
        ("add", [(3, 2), (3, 1)]),
        ("add", [(3, 2), (3, 2), ()]),
        ("add", [(3, 2), (2, 3)]),
    ],
)
def test_shapes_that_do_not_fit_are_refused_and_named(name: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        OPS[name].infer_shape(*shapes)
    assert str(shapes[-1]) in str(caught.value)


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPS)
@examples(25)
@given(seed=SEEDS, m=SIZES, d=SIZES, n=SIZES)
def test_forward_is_what_plain_numpy_says(name: str, dtype: str, seed: int, m: int, d: int, n: int) -> None:
    inputs = inputs_of(name, seed, m, d, n, dtype)
    expected = VALUE[name](*(array.astype("float64") for array in inputs))
    np.testing.assert_allclose(forward(OPS[name], inputs), expected, rtol=0, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPS)
def test_forward_reads_neither_its_result_nor_its_workspace_before_writing_them(name: str, dtype: str) -> None:
    inputs = inputs_of(name, 1, 4, 3, 5, dtype)
    assert same_bits(forward(OPS[name], inputs, fill=np.nan), forward(OPS[name], inputs, fill=7))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "argnum"), RULES)
def test_a_vjp_reads_neither_its_result_nor_its_workspace_before_writing_them(
    name: str, argnum: int, dtype: str
) -> None:
    inputs = inputs_of(name, 1, 4, 3, 5, dtype)
    delta = np.asarray(np.random.default_rng(2).standard_normal(forward(OPS[name], inputs).shape)).astype(dtype)
    filled = [backward(OPS[name], inputs, argnum, delta, fill) for fill in (np.nan, 7)]
    assert same_bits(*filled)


# --- VJPs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "argnum"), RULES)
@examples(40)
@given(seed=SEEDS, m=SIZES, d=SIZES, n=SIZES)
def test_the_vjp_agrees_with_differences_along_a_random_direction(
    name: str, argnum: int, seed: int, m: int, d: int, n: int
) -> None:
    inputs = inputs_of(name, seed, m, d, n)
    assert check_vjp(name, inputs, min(argnum, len(inputs) - 1), ATTRS.get(name), seed=seed) <= 1e-6


@pytest.mark.parametrize(("name", "argnum"), RULES)
def test_a_vjp_wrong_by_a_thousandth_is_caught(name: str, argnum: int) -> None:
    op, inputs = OPS[name], inputs_of(name, 3, 4, 3, 5)
    assert check_vjp(scaled(op, argnum, 1.001), inputs, argnum, ATTRS.get(name)) > 5e-4


@pytest.mark.parametrize(("name", "argnum"), RULES)
@examples(15)
@given(seed=SEEDS, m=SIZES, d=SIZES, n=SIZES)
def test_the_vjp_in_float32_is_that_in_float64_but_for_rounding(
    name: str, argnum: int, seed: int, m: int, d: int, n: int
) -> None:
    single = inputs_of(name, seed, m, d, n, "float32")
    argnum = min(argnum, len(single) - 1)
    double = [array.astype("float64") for array in single]
    delta = np.asarray(np.random.default_rng(seed).standard_normal(forward(OPS[name], single).shape)).astype("float32")
    result = backward(OPS[name], single, argnum, delta)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, backward(OPS[name], double, argnum, delta.astype("float64")), atol=2e-5)


def scaled(op: Op, argnum: int, factor: float) -> Op:
    """The same operator with one VJP wrong by a factor."""
    place = 0 if op.variadic else argnum
    right = op.vjps[place]
    assert right is not None

    def wrong(out: Array, *arguments: Array, **attrs: float) -> None:
        right.rule(out, *arguments, **attrs)
        np.multiply(out, factor, out=out)

    return replace(op, vjps=(*op.vjps[:place], replace(right, rule=wrong), *op.vjps[place + 1 :]))


def test_the_slope_of_relu_at_zero_is_zero() -> None:
    z = np.array([[-1.0, -0.0, 0.0, 5e-324, 1.0]])
    assert backward(OPS["relu"], [z], 0, np.ones((1, 5))).tolist() == [[0, 0, 0, 1, 1]]


# --- numbers at the edge --------------------------------------------------------------------------------------------

HUGE = {"float64": (1e4, 1e300, 1.7e308), "float32": (1e4, 1e38, 3.4e38)}


def edge(dtype: str) -> Array:
    """A row of very large numbers and the zeros, rising."""
    return np.array([[*(-h for h in reversed(HUGE[dtype])), -0.0, 0.0, *HUGE[dtype]]], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "limits"), [("sigmoid", (0, 0.5, 1)), ("tanh", (-1, 0, 1)), ("relu", (0, 0, None)), ("gelu", (0, 0, None))]
)
def test_activations_reach_their_limits_without_a_warning(
    name: str, limits: tuple[float, float, float | None], dtype: str
) -> None:
    z = edge(dtype)
    low, middle, high = limits
    top = [high] * 3 if high is not None else z[0, -3:].tolist()
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert forward(OPS[name], [z])[0].tolist() == [low] * 3 + [middle] * 2 + top


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "slope"), [("sigmoid", 0), ("tanh", 0), ("relu", 1), ("gelu", 1)])
def test_slopes_of_activations_reach_their_limits_without_a_warning(name: str, slope: float, dtype: str) -> None:
    z = edge(dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        slopes = backward(OPS[name], [z], 0, np.ones_like(z))[0]
    assert slopes[:3].tolist() == [0, 0, 0]
    assert slopes[-3:].tolist() == [slope] * 3


def exact_sigmoid(z: float) -> tuple[Decimal, Decimal]:
    """Value and slope with fifty digits."""
    e = Decimal(-z).exp()
    return 1 / (1 + e), e / (1 + e) ** 2


def exact_gelu(z: float) -> tuple[Decimal, Decimal]:
    """Value and slope with fifty digits."""
    u, slope = Decimal(z), Decimal(8 / math.pi).sqrt()  # 2√(2/π)
    gate, bend = exact_sigmoid(slope * (u + Decimal("0.044715") * u**3))  # type: ignore[arg-type]
    return u * gate, gate + u * bend * slope * (1 + 3 * Decimal("0.044715") * u**2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "exact", "flat"), [("sigmoid", exact_sigmoid, 760.0), ("gelu", exact_gelu, 21.9)], ids=["sigmoid", "gelu"]
)
def test_tails_keep_their_digits(
    name: str, exact: Callable[[float], tuple[Decimal, Decimal]], flat: float, dtype: str
) -> None:
    """Value and slope for z < 0, down to where they are no normal numbers any more, and beyond."""
    rng = np.random.default_rng(7)
    z = np.concatenate([[-17.0, -30.0, -37.0, -40.0], -np.exp(rng.uniform(-3, math.log(flat), 300))]).astype(dtype)
    z = z[None] if name == "sigmoid" else z[None][:, np.abs(z + 0.75) > 0.1]  # at −0.75 gelu's slope is 0
    info = np.finfo(dtype)
    with localcontext() as context, np.errstate(over="raise", invalid="raise", divide="raise"):
        context.prec = 50
        rows = forward(OPS[name], [z]), backward(OPS[name], [z], 0, np.ones_like(z))
        for k, entry in enumerate(z[0].tolist()):
            steep = 0.0 if name == "sigmoid" else float(-abs(exact(entry)[0]).ln())  # how exp magnifies rounding
            for found, right in zip(rows, exact(entry), strict=True):
                error = abs(Decimal(float(found[0, k])) - right)
                bound = Decimal((6 + 5 * steep) * float(info.eps)) * abs(right)
                assert error <= bound + Decimal(50 * float(info.tiny)), (entry, found[0, k], right)


def test_the_tail_of_the_sigmoid_by_numbers() -> None:
    z = np.array([[-30.0, -37.0, -40.0]])
    expected = [9.357622968839299e-14, 8.533047625744065e-17, 4.248354255291589e-18]
    np.testing.assert_allclose(forward(OPS["sigmoid"], [z])[0], expected, rtol=1e-15)
    single = forward(OPS["sigmoid"], [np.array([[-17.0]], "float32")])
    np.testing.assert_allclose(single, 4.1399375473943306e-08, rtol=2e-7)


def test_a_tangent_of_the_sigmoid_is_exact_on_both_sides() -> None:
    z = np.array([[-300.0, -100.0, -40.0, -1.0, 0.0, 1.0, 20.0, 36.0, 50.0]])
    carried = z.astype("complex128")
    carried.imag = 2.0**-200
    tangent = forward(OPS["sigmoid"], [carried]).imag / 2.0**-200
    e = np.exp(-np.abs(z))
    np.testing.assert_allclose(tangent, e / (1 + e) ** 2, rtol=1e-15)


def exact_cross_entropy(o: Array, y: Array) -> tuple[float, Array]:
    """Loss and gradient with fifty digits."""
    with localcontext() as context:
        context.prec = 50
        n, total, gradient = o.shape[1], Decimal(0), np.empty(o.shape)
        for j in range(n):
            logits = [Decimal(float(entry)) for entry in o[:, j]]
            exps = [(logit - max(logits)).exp() for logit in logits]
            total += sum(exps).ln() + max(logits) - logits[int(y[:, j].argmax())]
            gradient[:, j] = [
                float((e / sum(exps) - Decimal(int(hot))) / n) for e, hot in zip(exps, y[:, j], strict=True)
            ]
        return float(total / n), gradient


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0, 1e4])
def test_cross_entropy_is_right_for_small_and_huge_logits(scale: float, dtype: str) -> None:
    rng = np.random.default_rng(0)
    o, y = (scale * rng.choice([-1, 1, 0.5], (4, 30))).astype(dtype), one_hot(rng, 4, 30).astype(dtype)
    loss, gradient = exact_cross_entropy(o, y)
    eps = np.finfo(dtype).eps
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_allclose(forward(OPS["cross_entropy"], [o, y]), loss, rtol=10 * eps)
        result = backward(OPS["cross_entropy"], [o, y], 0, np.ones((), dtype))
    np.testing.assert_allclose(result, gradient, rtol=0, atol=2 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_a_hopeless_and_of_a_perfect_answer(dtype: str) -> None:
    o = np.array([[1e4, 1e4, 1e4], [-1e4, -1e4, 1e4]], dtype)
    y = np.array([[0, 1, 1], [1, 0, 0]], dtype)
    losses = [float(forward(OPS["cross_entropy"], [o[:, [j]], y[:, [j]]])) for j in range(3)]
    assert losses == [20000, 0, pytest.approx(math.log(2), rel=1e-6)]


def test_the_gradient_of_cross_entropy_sums_to_zero_in_every_column() -> None:
    o, y = inputs_of("cross_entropy", 5, 6, 1, 7)
    assert np.abs(backward(OPS["cross_entropy"], [o, y], 0, np.ones(())).sum(axis=0)).max() < 1e-16


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_the_mean_over_its_columns(loss: str) -> None:
    o, y = inputs_of(loss, 6, 3, 1, 5)
    each = [float(forward(OPS[loss], [o[:, [j]].copy(), y[:, [j]].copy()])) for j in range(5)]
    assert float(forward(OPS[loss], [o, y])) == pytest.approx(np.mean(each), rel=1e-14)


@pytest.mark.parametrize(
    ("column", "good"),
    [
        ((0, 1, 0), True),
        ((0, 0, 1), True),
        ((0, 0, 0), False),
        ((1, 0, 1), False),
        ((0, 1, 1e-300), False),
        ((0, 1, -1), False),
        ((0, -1, 0), False),
        ((0, 0.5, 0.5), False),
        ((0, 2, 0), False),
        ((0, 1 + 2**-52, 0), False),
    ],
)
def test_labels_are_one_hot_or_not(column: tuple[float, ...], good: bool) -> None:
    y = np.array([[1, 0, 0], column], dtype=float).T
    assert (not_one_hot(y) is None) == good
    assert good or "column 1" in str(not_one_hot(y))


def test_labels_are_looked_at_in_little_more_than_a_byte_each() -> None:
    y = one_hot(np.random.default_rng(0), 500, 1000)
    tracemalloc.start()
    try:
        assert not_one_hot(y) is None
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1.5 * y.size
