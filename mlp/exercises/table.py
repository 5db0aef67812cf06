"""The exercises that have a check in Jupyter: one row each, with its cases, what is expected, and the mistakes by name.

What is expected comes from the engine wherever it knows the answer; the mistakes are written out. Sizes differ pairwise
in each case, no chapter has them, and none is 1 or 2, so nothing fits by accident: 2/n is not 1, and 2/(nq) is not 1/n.
No two mistakes of an exercise give the same results in all cases.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from mlp.check import evaluate, pull_back
from mlp.engine import Trace, trace, value_and_grad
from mlp.exercises.judge import Both, Code, Parts, Value
from mlp.graph import Equation, Graph, Variable
from mlp.networks import network
from mlp.ops import OPS, Array
from mlp.steps import schedule

Args = dict[str, Any]
Cases = Callable[[], Iterator[Args]]

SIZES = ((5, 7, 3, 6), (6, 3, 7, 5), (8, 5, 6, 3), (3, 8, 5, 7))  # d, m, q, n

Mistake = tuple[str, Callable[..., Parts]]
Choices = tuple[tuple[str, Any], ...]  # words, and what is computed in place of the right thing


def _cases(make: Callable[..., Args]) -> Cases:
    """A case for each of the sizes, with random numbers of its own."""

    def cases() -> Iterator[Args]:
        for seed, (d, m, q, n) in enumerate(SIZES):
            yield make(np.random.default_rng(seed), d, m, q, n)

    return cases


def _given(*names: str) -> Cases:
    """Cases that have these of the network's variables, in their order, with random numbers."""

    def make(rng: np.random.Generator, d: int, m: int, q: int, n: int) -> Args:
        shapes = {"x": (d, n), "y": (q, n), "W1": (m, d), "W2": (q, m), "b1": (m, 1), "b2": (q, 1)}
        shapes |= {"z": (m, n), "h": (m, n), "o": (q, n), "delta": (q, n)}
        arrays: Args = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        arrays["h"] = np.tanh(arrays["h"])
        numbers = {"lam": 0.05 + rng.uniform(), "mu": 0.3 + rng.uniform(), "lr": 0.1 + rng.uniform()}
        return {name: (arrays | numbers)[name] for name in names}

    return _cases(make)


def _run(x: Array, y: Array, lam: float, activation: str, **params: Array) -> Trace:
    """The engine's own run of the network with one hidden layer."""
    widths = [x.shape[0], params["W1"].shape[0], params["W2"].shape[0]]
    graph = network(widths, x.shape[1], activation, weight_decay=lam, bias="b1" in params)
    return trace(graph, {"x": x, "y": y, **params})


def _vjp(op: str, inputs: Sequence[Array], out: Array, delta: Array, argnum: int) -> Array:
    """One VJP by its rule in the table."""
    return pull_back(OPS[op], inputs, out, delta, argnum)


def _softmax(o: Array, axis: int = 0) -> Array:
    e: Array = np.exp(o - o.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _sum(array: Array, axis: int = 1) -> Array:
    return np.asarray(array.sum(axis=axis, keepdims=True))


def _departures(make: Callable[..., Callable[..., Parts]], **places: Choices) -> tuple[Mistake, ...]:
    """All mistakes that are made at one of these places, then those that are made at two."""
    single = [(words, {place: wrong}, make(**{place: wrong})) for place in places for words, wrong in places[place]]
    double = [
        (f"{first.rstrip('.')}; besides, {second}", Both(make(**one, **other), (alone, also)))
        for (first, one, alone), (second, other, also) in combinations(single, 2)
        if one.keys() != other.keys()
    ]
    return (*((words, wrong) for words, _, wrong in single), *double)


# --- forward --------------------------------------------------------------------------------------------------------


def _forward(x: Array, W1: Array, W2: Array) -> Parts:
    run = _run(x, np.zeros((W2.shape[0], x.shape[1])), 0.0, "relu", W1=W1, W2=W2)
    return {"z": run["z"], "h": run["h"], "o": run["o"]}


def _hidden(phi: Callable[[Array], Array]) -> Callable[..., Parts]:
    """Forward with another function in place of relu."""
    return lambda x, W1, W2: {"h": phi(W1 @ x), "o": W2 @ phi(W1 @ x)}


def _relu(z: Array) -> Array:
    return np.asarray(np.maximum(z, 0))


FORWARD = Code(
    "Compute z = W1 x, h = relu(z) and o = W2 h, for examples that are the columns of x.",
    "f(x, W1, W2) -> z, h, o",
    _given("x", "W1", "W2"),
    _forward,
    (
        ("there is no activation: h is z itself.", _hidden(lambda z: z)),
        ("the output has no activation: o is W2 h itself.", lambda x, W1, W2: {"o": _relu(W2 @ _relu(W1 @ x))}),
        ("it is computed from z; the next layer reads h.", lambda x, W1, W2: {"o": W2 @ (W1 @ x)}),
        ("relu makes negative entries 0; it does not change their sign.", _hidden(np.abs)),
        ("relu keeps the positive entries; yours keeps the negative ones.", _hidden(lambda z: np.minimum(z, 0))),
        ("that is where relu is open, 0 or 1, not its value.", _hidden(lambda z: (z > 0) * 1.0)),
        ("that is tanh, not relu.", _hidden(np.tanh)),
    ),
)


def _objective(o: Array, y: Array, W1: Array, W2: Array, lam: float) -> Parts:
    q, n = o.shape
    given = [Variable("o", (q, n), "float64", "input"), Variable("y", (q, n), "float64", "target")]
    given += [Variable(name, W.shape, "float64", "parameter") for name, W in (("W1", W1), ("W2", W2))]
    equations = [
        Equation("squared_error", ("o", "y"), "L"),
        Equation("l2", ("W1", "W2"), "s", {"weight_decay": lam}),
        Equation("add", ("L", "s"), "J"),
    ]
    run = trace(Graph(given, equations), {"o": o, "y": y, "W1": W1, "W2": W2})
    return {name: run[name] for name in ("L", "s", "J")}


def _objective_with(loss: Any = None, decay: Any = None, whole: Any = None) -> Callable[..., Parts]:
    """The objective with L, s or J by another formula; only what differs."""

    def wrong(o: Array, y: Array, W1: Array, W2: Array, lam: float) -> Parts:
        right = _objective(o, y, W1, W2, lam)
        L = float(right["L"]) if loss is None else float(loss(o, y))
        s = float(right["s"]) if decay is None else float(decay(W1, W2, lam, o.shape[1]))
        J = L + s if whole is None else whole(L, s, lam)
        return ({} if loss is None else {"L": L}) | ({} if decay is None else {"s": s}) | {"J": J}

    return wrong


def _norm(W: Array) -> float:
    return float(np.sqrt((W**2).sum()))


def _squares(*arrays: Array) -> float:
    return float(sum((array**2).sum() for array in arrays))


OBJECTIVE = Code(
    "Compute L, the mean over the examples of ½‖o − y‖², then s = (λ/2)(‖W1‖² + ‖W2‖²), and J = L + s.",
    "f(o, y, W1, W2, lam) -> L, s, J",
    _given("o", "y", "W1", "W2", "lam"),
    _objective,
    _departures(
        _objective_with,
        loss=(
            ("½ is missing in the loss.", lambda o, y: _squares(o - y) / o.shape[1]),
            (
                "the loss is summed over the examples; it is their mean.",
                lambda o, y: _squares(o - y) / 2,
            ),
            (
                "½ is missing in the loss, and it is summed over the examples; it is their mean.",
                lambda o, y: _squares(o - y),
            ),
            (
                "that is half the mean over all entries; sum over the rows of an example, then take the mean over the "
                "examples.",
                lambda o, y: _squares(o - y) / (2 * o.size),
            ),
            (
                "that is the mean over all entries, and without ½, as PyTorch's MSELoss has it.",
                lambda o, y: _squares(o - y) / o.size,
            ),
            (
                "it is divided by the number of rows; the examples are the columns.",
                lambda o, y: _squares(o - y) / (2 * len(o)),
            ),
            (
                "the norm of o − y is not squared.",
                lambda o, y: np.sqrt(((o - y) ** 2).sum(axis=0)).sum() / (2 * o.shape[1]),
            ),
            ("the absolute values are summed, not the squares.", lambda o, y: np.abs(o - y).sum() / (2 * o.shape[1])),
            ("y is missing: the error is o − y.", lambda o, y: _squares(o) / (2 * o.shape[1])),
        ),
        decay=(
            ("½ is missing in the regulariser.", lambda W1, W2, lam, n: lam * _squares(W1, W2)),
            ("λ is missing in the regulariser.", lambda W1, W2, lam, n: _squares(W1, W2) / 2),
            (
                "λ is divided by n: the regulariser is no mean over examples.",
                lambda W1, W2, lam, n: lam / (2 * n) * _squares(W1, W2),
            ),
            ("the norms are not squared.", lambda W1, W2, lam, n: lam / 2 * (_norm(W1) + _norm(W2))),
            ("only W1 is there; s is over all weights.", lambda W1, W2, lam, n: lam / 2 * _squares(W1)),
            ("only W2 is there; s is over all weights.", lambda W1, W2, lam, n: lam / 2 * _squares(W2)),
            (
                "the absolute values are summed, not the squares.",
                lambda W1, W2, lam, n: lam / 2 * (np.abs(W1).sum() + np.abs(W2).sum()),
            ),
            (
                "the mean of the squares is taken; a squared norm is their sum.",
                lambda W1, W2, lam, n: lam / 2 * ((W1**2).mean() + (W2**2).mean()),
            ),
        ),
        whole=(
            ("λ is in s already: J = L + s.", lambda L, s, lam: L + lam * s),
            ("s is missing: J = L + s.", lambda L, s, lam: L),
            ("s is subtracted: J = L + s.", lambda L, s, lam: L - s),
        ),
    ),
)


# --- backward -------------------------------------------------------------------------------------------------------


def _grad_W2(h: Array, o: Array, y: Array, W2: Array, lam: float) -> Parts:
    given = [Variable("h", h.shape, "float64", "input"), Variable("c", o.shape, "float64", "input")]
    given += [Variable("y", y.shape, "float64", "target"), Variable("W2", W2.shape, "float64", "parameter")]
    equations = [
        Equation("matmul", ("W2", "h"), "p"),
        Equation("add", ("p", "c"), "o"),  # so that o is the given one
        Equation("squared_error", ("o", "y"), "L"),
        Equation("l2", ("W2",), "s", {"weight_decay": lam}),
        Equation("add", ("L", "s"), "J"),
    ]
    values = {"h": h, "c": o - W2 @ h, "y": y, "W2": W2}
    return {"∂J/∂W2": value_and_grad(Graph(given, equations), values)[1]["W2"]}


Slope = Callable[[Array, Array], Array]


def _right_slope(z: Array, h: Array) -> Array:
    return np.asarray(1 - h * h)


def _right_outer(delta: Array, before: Array) -> Array:
    return np.asarray(delta @ before.T)


def _network_with(
    x: Array,
    y: Array,
    W1: Array,
    W2: Array,
    lam: float,
    b1: Array | float = 0.0,
    b2: Array | float = 0.0,
    *,
    slope: Slope = _right_slope,
    share: Callable[..., float] = lambda n, **sizes: 1 / n,
    decay: Callable[[float, int], float] = lambda lam, n: lam,
    error: Callable[[Array, Array], Array] = lambda o, y: o - y,
    outer: Callable[[Array, Array], Array] = _right_outer,
    through: Array | None = None,
) -> dict[str, Array]:
    """All gradients of the network with tanh, by formulas, and with one of them changed; and the cotangents of z and o.

    Examples are columns. ``through`` is what the cotangent goes back through in place of W2.
    """
    (d, n), (q, m) = x.shape, W2.shape
    z = W1 @ x + b1
    h = np.tanh(z)
    delta_o = error(W2 @ h + b2, y) * share(n=n, d=d, m=m, q=q)
    delta_z = (W2 if through is None else through).T @ delta_o * slope(z, h)
    return {
        "W1": outer(delta_z, x) + decay(lam, n) * W1,
        "W2": outer(delta_o, h) + decay(lam, n) * W2,
        "z": delta_z,
        "o": delta_o,
    }


AT_H = "φ' is taken at h, not at z: for tanh it is 1 − h², and that is φ'(z) already."
NO_SLOPE = "φ' is missing: the cotangent of z is that of h, times φ'(z), entry by entry."

SLOPES: Choices = (
    (NO_SLOPE, lambda z, h: np.ones_like(h)),
    (AT_H, lambda z, h: 1 - np.tanh(h) ** 2),
    ("φ' is 1 − h², not 1 − z².", lambda z, h: 1 - z * z),
    ("the square is missing: φ'(z) = 1 − h².", lambda z, h: 1 - h),
    ("that is the slope of the sigmoid, h(1 − h); tanh has 1 − h².", lambda z, h: h * (1 - h)),
    ("that is the slope of relu; tanh has 1 − h².", lambda z, h: (z > 0) * 1.0),
    ("δ is multiplied by h itself, not by the slope 1 − h².", lambda z, h: h),
)


def _shares(other: str, examples: str) -> Choices:
    """Wrong factors of o − y, where the right one is 1/n; ``other`` is the axis that is not that of the examples."""
    rows = f"it is divided by the number of {other}; the examples are the {examples}."
    return (
        ("1/n is missing: L is a mean over the examples.", lambda **sizes: 1.0),
        ("2 is too much: the ½ in the loss cancels the 2 that the square gives.", lambda n, **sizes: 2 / n),
        (
            "that is the factor of PyTorch's MSELoss, 2/(nq): a mean over all entries, without ½. Here it is 1/n.",
            lambda n, q, **sizes: 2 / (n * q),
        ),
        ("1/n is missing, and 2 is too much: the ½ in the loss cancels it.", lambda **sizes: 2.0),
        ("½ is too much: the 2 that the square gives cancels it.", lambda n, **sizes: 1 / (2 * n)),
        (
            "it is divided by the number of all entries, nq: L is a mean over the n examples.",
            lambda n, q, **sizes: 1 / (n * q),
        ),
        (rows, lambda q, **sizes: 1 / q),
        (rows, lambda m, **sizes: 1 / m),
        (rows, lambda d, **sizes: 1 / d),
        ("1/n comes in twice: it is in δ already.", lambda n, **sizes: 1 / n**2),
    )


ERRORS: Choices = (
    ("the loss's derivative is o − y, not y − o.", lambda o, y: y - o),
    ("y is missing: the error is o − y.", lambda o, y: o),
    ("that is the sign of o − y, the derivative of an absolute value.", lambda o, y: np.sign(o - y)),
    ("the error is squared: the derivative of ½(o − y)² is o − y.", lambda o, y: (o - y) ** 2),
)


def _decays(W: str) -> Choices:
    """Wrong factors of a weight in its gradient, where the right one is λ."""
    return (
        (f"λ{W} is missing: {W} reaches J through the regulariser too.", lambda lam, n: 0.0),
        ("λ is divided by n: only the loss is a mean over the examples.", lambda lam, n: lam / n),
        (f"the regulariser gives λ{W}, not 2λ{W}: s has a ½.", lambda lam, n: 2 * lam),
        (f"the regulariser gives λ{W}, not (λ/2){W}: the square gives a 2.", lambda lam, n: lam / 2),
        (f"λ is missing: the regulariser gives λ{W}.", lambda lam, n: 1.0),
        (f"λ{W} is subtracted: s is added to J, so λ{W} is added.", lambda lam, n: -lam),
    )


OUTERS: Choices = (
    ("only the first example is in it: add up all columns.", lambda delta, before: delta[:, :1] @ before[:, :1].T),
    (
        "the means over the examples are multiplied: multiply first, for each example, then add up.",
        lambda delta, before: _sum(delta) @ _sum(before).T / delta.shape[1],
    ),
)
DOWNHILL = "all of it has the wrong sign: a gradient points uphill; the minus belongs to the step, −η∂J/∂W."


def _downhill(expected: Callable[..., Parts]) -> Mistake:
    return DOWNHILL, lambda **args: {part: -value for part, value in expected(**args).items()}


def _grad_W2_with(**wrong: Any) -> Callable[..., Parts]:
    error = wrong.pop("error", lambda o, y: o - y)

    def other(h: Array, o: Array, y: Array, W2: Array, lam: float) -> Parts:
        # The last layer alone: a network whose hidden layer is one that gives h, with d as large as m.
        x, shift = np.arctanh(h), o - W2 @ h
        run = _network_with(x, y, np.eye(len(h)), W2, lam, error=lambda o, y: error(o + shift, y), **wrong)
        return {"∂J/∂W2": run["W2"]}

    return other


GRAD_W2 = Code(
    "Compute ∂J/∂W2 from h (m, n), o and y (q, n) and W2 (q, m). L is the mean of ½‖o − y‖² over n examples.",
    "f(h, o, y, W2, lam) -> ∂J/∂W2",
    _given("h", "o", "y", "W2", "lam"),
    _grad_W2,
    (
        _downhill(_grad_W2),
        (
            "that is h δᵀ: the row is the output, δ hᵀ.",
            lambda h, o, y, W2, lam: {"∂J/∂W2": h @ (o - y).T / h.shape[1] + lam * W2.T},
        ),
        *_departures(
            _grad_W2_with,
            share=_shares("rows", "columns")[:-2] + _shares("rows", "columns")[-1:],
            decay=_decays("W2"),
            error=ERRORS,
            outer=OUTERS,
        ),
    ),
)


def _grad_W1(x: Array, y: Array, W1: Array, W2: Array, lam: float) -> Parts:
    return {"∂J/∂W1": _run(x, y, lam, "tanh", W1=W1, W2=W2)["dJ/dW1"]}


def _grad_W1_with(**wrong: Any) -> Callable[..., Parts]:
    return lambda x, y, W1, W2, lam: {"∂J/∂W1": _network_with(x, y, W1, W2, lam, **wrong)["W1"]}


GRAD_W1 = Code(
    "Compute ∂J/∂W1 of the network with φ = tanh. L is the mean of ½‖o − y‖² over n examples, and "
    "s = (λ/2)(‖W1‖² + ‖W2‖²).",
    "f(x, y, W1, W2, lam) -> ∂J/∂W1",
    _given("x", "y", "W1", "W2", "lam"),
    _grad_W1,
    (
        _downhill(_grad_W1),
        (
            "that is δ hᵀ: W1 was multiplied by x, so it is δ xᵀ.",
            lambda x, y, W1, W2, lam: {"∂J/∂W1": _run(x, y, lam, "tanh", W1=W1, W2=W2)["dJ/dz"] @ np.tanh(W1 @ x).T},
        ),
        *_departures(
            _grad_W1_with,
            slope=SLOPES,
            share=_shares("rows", "columns"),
            decay=_decays("W1"),
            error=ERRORS,
            outer=OUTERS,
        ),
    ),
)


def _bias(x: Array, y: Array, W1: Array, b1: Array, W2: Array, b2: Array, lam: float) -> Parts:
    run = _run(x, y, lam, "tanh", W1=W1, b1=b1, W2=W2, b2=b2)
    return {f"∂J/∂{name}": run[f"dJ/d{name}"] for name in ("W1", "b1", "W2", "b2")}


def _bias_with(
    change: Callable[[Array, Array, float], Any] = lambda delta, b, lam: _sum(delta), **wrong: Any
) -> Callable[..., Parts]:
    """All four gradients; ``change`` makes a bias's of the cotangent that reaches it."""

    def other(x: Array, y: Array, W1: Array, b1: Array, W2: Array, b2: Array, lam: float) -> Parts:
        run = _network_with(x, y, W1, W2, lam, b1, b2, **wrong)
        weights = {"∂J/∂W1": run["W1"], "∂J/∂W2": run["W2"]} if wrong else {}
        return weights | {"∂J/∂b1": change(run["z"], b1, lam), "∂J/∂b2": change(run["o"], b2, lam)}

    return other


BACKWARD_BIAS = Code(
    "Compute all four gradients of the network with biases: z = W1 x + b1, h = tanh(z), o = W2 h + b2. L is the mean "
    "of ½‖o − y‖² over n examples; λ covers the weights only.",
    "f(x, y, W1, b1, W2, b2, lam) -> ∂J/∂W1, ∂J/∂b1, ∂J/∂W2, ∂J/∂b2",
    _given("x", "y", "W1", "b1", "W2", "b2", "lam"),
    _bias,
    (
        _downhill(_bias),
        *_departures(
            _bias_with,
            change=(
                (
                    "the sum runs over axis 0, the units; a bias is copied to every example, so sum over the columns, "
                    "axis 1.",
                    lambda delta, b, lam: _sum(delta, 0),
                ),
                (
                    "the sum over the examples is missing: forward copies a bias to every column.",
                    lambda delta, b, lam: delta,
                ),
                (
                    "that is the mean over the columns: 1/n is in δ already, so it comes in twice.",
                    lambda delta, b, lam: _sum(delta) / delta.shape[1],
                ),
                (
                    "λb is added: s is over the weights, not over the biases.",
                    lambda delta, b, lam: _sum(delta) + lam * b,
                ),
                (
                    "the sum runs over units and examples; each unit has a bias, so sum over the columns, axis 1.",
                    lambda delta, b, lam: delta.sum(),
                ),
                ("only the first example is in it: add up all columns.", lambda delta, b, lam: delta[:, :1]),
            ),
            slope=SLOPES,
            share=_shares("rows", "columns"),
            decay=_decays("W"),
            error=ERRORS,
        ),
    ),
)


def _cross_entropy_cases() -> Iterator[Args]:
    for seed, (_, m, _, n) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        o = rng.normal(size=(m, n)) * 2
        yield {"o": o, "y": np.eye(m)[:, rng.integers(0, m, n)]}
    o = np.array([[1000.0, -1.0], [998.0, 2.0], [0.0, 800.0]])
    yield {"o": o, "y": np.eye(3)[:, [0, 1]]}


def _cross_entropy(o: Array, y: Array) -> Parts:
    loss = evaluate(OPS["cross_entropy"], [o, y])
    return {"∂L/∂o": _vjp("cross_entropy", [o, y], loss, np.ones(()), 0)}


def _p_minus_y(change: Callable[[Array, Array, int], Array]) -> Callable[..., Parts]:
    return lambda o, y: {"∂L/∂o": change(_softmax(o), y, o.shape[1])}


SOFTMAX = Code(
    "Compute ∂L/∂o of the mean over n examples of −Σ y log p, where p = softmax(o) in each column and y is one-hot.",
    "f(o, y) -> ∂L/∂o",
    _cross_entropy_cases,
    _cross_entropy,
    (
        ("1/n is missing: L is a mean over the examples.", _p_minus_y(lambda p, y, n: p - y)),
        (
            "it is divided by the number of all entries: L is a mean over the n examples.",
            _p_minus_y(lambda p, y, n: (p - y) / p.size),
        ),
        (
            "it is divided by the number of classes, the rows; the examples are the columns.",
            _p_minus_y(lambda p, y, n: (p - y) / len(p)),
        ),
        (
            "the examples are averaged away: each has a column of its own.",
            _p_minus_y(lambda p, y, n: (p - y).mean(axis=1, keepdims=True)),
        ),
        (
            "softmax runs along the rows; an example is a column, so axis 0 adds up to 1.",
            lambda o, y: {"∂L/∂o": (_softmax(o, 1) - y) / o.shape[1]},
        ),
        (
            "softmax runs over all examples at once; each column adds up to 1 on its own.",
            lambda o, y: {"∂L/∂o": (np.exp(o - o.max()) / np.exp(o - o.max()).sum() - y) / o.shape[1]},
        ),
        ("that is ∂L/∂p: it has to go back through softmax too.", _p_minus_y(lambda p, y, n: -y / p / n)),
        (
            "softmax is taken as elementwise, with slope p(1 − p): each p depends on all of o.",
            _p_minus_y(lambda p, y, n: -y / p * p * (1 - p) / n),
        ),
        (
            "p − y is all there is; p(1 − p) belongs to the sigmoid with another loss.",
            _p_minus_y(lambda p, y, n: (p - y) * p * (1 - p) / n),
        ),
        ("softmax is missing: that is o − y.", lambda o, y: {"∂L/∂o": (o - y) / o.shape[1]}),
        ("the sign is wrong: it is p − y, not y − p.", _p_minus_y(lambda p, y, n: (y - p) / n)),
        ("both the sign and 1/n are missing: it is (p − y)/n.", _p_minus_y(lambda p, y, n: y - p)),
        ("y is missing: that is p.", _p_minus_y(lambda p, y, n: p / n)),
        ("2 is too much: there is no square in this loss.", _p_minus_y(lambda p, y, n: 2 * (p - y) / n)),
    ),
    raising={"nan": "exp of a large number overflows: subtract each column's largest entry from it first."},
)


def _row_cases() -> Iterator[Args]:
    for seed, (d, m, q, n) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        sizes = {"X": (n, d), "Y": (n, q), "W1": (d, m), "W2": (m, q)}
        yield {name: rng.normal(size=size) for name, size in sizes.items()} | {"lam": 0.05 + rng.uniform()}


def _rows(X: Array, Y: Array, W1: Array, W2: Array, lam: float) -> Parts:
    run = _run(X.T, Y.T, lam, "tanh", W1=W1.T, W2=W2.T)
    return {f"∂J/∂{name}": run[f"dJ/d{name}"].T for name in ("W1", "W2")}


def _rows_with(**wrong: Any) -> Callable[..., Parts]:
    def other(X: Array, Y: Array, W1: Array, W2: Array, lam: float) -> Parts:
        run = _network_with(X.T, Y.T, W1.T, W2.T, lam, **wrong)
        return {"∂J/∂W1": run["W1"].T, "∂J/∂W2": run["W2"].T}

    return other


ROWS = Code(
    "Rows are examples: X is (n, d), Z = X W1 with W1 (d, m), H = tanh(Z), O = H W2 with W2 (m, q). L is the mean of "
    "½‖o − y‖² over n examples, and s = (λ/2)(‖W1‖² + ‖W2‖²). Compute both gradients.",
    "f(X, Y, W1, W2, lam) -> ∂J/∂W1, ∂J/∂W2",
    _row_cases,
    _rows,
    (
        _downhill(_rows),
        *_departures(
            _rows_with,
            slope=SLOPES,
            share=_shares("columns", "rows"),
            decay=_decays("W"),
            error=ERRORS,
        ),
    ),
)


# --- single rules ---------------------------------------------------------------------------------------------------


def _tanh_cases() -> Iterator[Args]:
    for seed, (d, _, _, n) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        yield {"h": np.tanh(rng.normal(size=(d, n))), "delta": rng.normal(size=(d, n))}


def _tanh_with(slope: Callable[[Array], Array]) -> Callable[..., Parts]:
    return lambda h, delta: {"∂J/∂z": delta * slope(h)}


TANH = Code(
    "Take δ = ∂J/∂h back through h = tanh(z), reading h and not z.",
    "f(h, delta) -> ∂J/∂z",
    _tanh_cases,
    lambda h, delta: {"∂J/∂z": _vjp("tanh", [np.arctanh(h)], h, delta, 0)},
    (
        (AT_H, _tanh_with(lambda h: 1 - np.tanh(h) ** 2)),
        ("δ is missing: that is φ' alone.", lambda h, delta: {"∂J/∂z": 1 - h * h}),
        ("that is the slope of the sigmoid, h(1 − h); tanh has 1 − h².", _tanh_with(lambda h: h * (1 - h))),
        ("the square is missing: φ'(z) = 1 − h².", _tanh_with(lambda h: 1 - h)),
        ("δ is multiplied by h itself, not by the slope.", _tanh_with(lambda h: h)),
        ("δ is divided by the slope: multiply.", _tanh_with(lambda h: 1 / (1 - h * h))),
        (
            "that is a matrix product (@); each entry has a slope of its own, so multiply entry by entry (*).",
            lambda h, delta: {"∂J/∂z": delta @ (1 - h * h).T},
        ),
        ("that is relu's slope; h > 0 decides nothing for tanh.", _tanh_with(lambda h: (h > 0) * 1.0)),
    ),
)


def _relu_cases() -> Iterator[Args]:
    for seed, (d, _, _, n) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(d, n))
        z[seed % d, 0] = 0.0
        yield {"z": z, "delta": rng.normal(size=(d, n))}


RELU = Code(
    "Take δ = ∂J/∂h back through h = relu(z). Where z is 0, the slope is chosen to be 0.",
    "f(z, delta) -> ∂J/∂z",
    _relu_cases,
    lambda z, delta: {"∂J/∂z": _vjp("relu", [z], _relu(z), delta, 0)},
    (
        ("where z is 0, the slope is 1 in yours; this book chooses 0.", lambda z, delta: {"∂J/∂z": delta * (z >= 0)}),
        (
            "where z is 0, the slope is ½ in yours; this book chooses 0.",
            lambda z, delta: {"∂J/∂z": delta * np.heaviside(z, 0.5)},
        ),
        ("δ is multiplied by relu(z); it passes unchanged where z > 0.", lambda z, delta: {"∂J/∂z": delta * _relu(z)}),
        ("relu is applied to δ; what decides is the sign of z, not of δ.", lambda z, delta: {"∂J/∂z": _relu(delta)}),
        ("δ is missing: that is φ' alone.", lambda z, delta: {"∂J/∂z": (z > 0) * 1.0}),
        (
            "that is relu itself, the way forward: take δ where z > 0, and 0 elsewhere.",
            lambda z, delta: {"∂J/∂z": _relu(z)},
        ),
        (
            "the sign of z is −1 where z is negative; relu's slope is 0 there.",
            lambda z, delta: {"∂J/∂z": delta * np.sign(z)},
        ),
        ("δ passes everywhere: it has to stop where z is negative.", lambda z, delta: {"∂J/∂z": delta}),
        ("it passes where z is negative: turn the condition around.", lambda z, delta: {"∂J/∂z": delta * (z < 0)}),
    ),
)


def _matmul(W: Array, h: Array, delta: Array) -> Parts:
    return {"∂J/∂W": _vjp("matmul", [W, h], W @ h, delta, 0), "∂J/∂h": _vjp("matmul", [W, h], W @ h, delta, 1)}


def _matmul_cases() -> Iterator[Args]:
    for seed, (_, m, q, n) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        yield {name: rng.normal(size=size) for name, size in (("W", (q, m)), ("h", (m, n)), ("delta", (q, n)))}


MATMUL = Code(
    "Take δ = ∂J/∂o, of shape (q, n), back through o = W h to both inputs: W is (q, m), h is (m, n).",
    "f(W, h, delta) -> ∂J/∂W, ∂J/∂h",
    _matmul_cases,
    _matmul,
    (
        (
            "it is divided by n; 1/n enters once, in the loss, and is in δ already.",
            lambda W, h, delta: {"∂J/∂W": delta @ h.T / h.shape[1], "∂J/∂h": W.T @ delta / h.shape[1]},
        ),
        (
            "only the first example is in it: add up all columns.",
            lambda W, h, delta: {"∂J/∂W": delta[:, :1] @ h[:, :1].T},
        ),
        ("that is h δᵀ: the row is the output, δ hᵀ.", lambda W, h, delta: {"∂J/∂W": h @ delta.T}),
        ("that is δᵀ W: with columns as examples it is Wᵀ δ.", lambda W, h, delta: {"∂J/∂h": delta.T @ W}),
        (
            "the sum over the examples is too much: every column of h has its own.",
            lambda W, h, delta: {"∂J/∂h": _sum(W.T @ delta)},
        ),
        (
            "δ is missing: that is the Jacobian's entry, not a product with it.",
            lambda W, h, delta: {"∂J/∂W": np.ones((len(W), 1)) @ _sum(h).T},
        ),
    ),
)


def _diamond(W2: Array, h: Array, delta: Array, mu: float) -> Parts:
    penalty = Graph(
        [Variable("h", h.shape, "float64", "parameter")], [Equation("l2", ("h",), "r", {"weight_decay": mu})]
    )
    total = value_and_grad(penalty, {"h": h})[1]["h"] + _vjp("matmul", [W2, h], W2 @ h, delta, 1)
    return {"∂J/∂h": total, "∂J/∂z": _vjp("tanh", [np.arctanh(h)], h, total, 0)}


def _diamond_with(total: Callable[..., Array], early: Callable[..., Array] | None = None) -> Callable[..., Parts]:
    def wrong(W2: Array, h: Array, delta: Array, mu: float) -> Parts:
        whole = total(W2, h, delta, mu)
        passed = whole if early is None else early(W2, h, delta, mu)
        return {"∂J/∂h": whole, "∂J/∂z": passed * (1 - h * h)}

    return wrong


def _layer_share(W2: Array, h: Array, delta: Array, mu: float) -> Array:
    return np.asarray(W2.T @ delta)


def _penalty_share(W2: Array, h: Array, delta: Array, mu: float) -> Array:
    return mu * h


def _both_shares(W2: Array, h: Array, delta: Array, mu: float) -> Array:
    return np.asarray(W2.T @ delta + mu * h)


DIAMOND = Code(
    "h = tanh(z) has two readers: o = W2 h, whose cotangent is δ, and r = (μ/2)‖h‖², which is added to J. "
    "Compute ∂J/∂h and ∂J/∂z.",
    "f(W2, h, delta, mu) -> ∂J/∂h, ∂J/∂z",
    _given("W2", "h", "delta", "mu"),
    _diamond,
    (
        ("only the layer's instalment is there; r reads h too and owes μh.", _diamond_with(_layer_share)),
        (
            "only r's instalment is there: it has overwritten the layer's, W2ᵀδ (= in place of +=).",
            _diamond_with(_penalty_share),
        ),
        (
            "it was passed on before the second instalment was in: r's μh is not in it.",
            _diamond_with(_both_shares, _layer_share),
        ),
        (
            "it was passed on before the second instalment was in: the layer's W2ᵀδ is not in it.",
            _diamond_with(_both_shares, _penalty_share),
        ),
        (NO_SLOPE, lambda W2, h, delta, mu: {"∂J/∂z": _both_shares(W2, h, delta, mu)}),
        (AT_H, lambda W2, h, delta, mu: {"∂J/∂z": _both_shares(W2, h, delta, mu) * (1 - np.tanh(h) ** 2)}),
        (
            "effects over several paths add up; yours are multiplied.",
            _diamond_with(lambda W2, h, delta, mu: W2.T @ delta * mu * h),
        ),
        (
            "r = (μ/2)‖h‖² gives μh, not (μ/2)h: the square gives a 2.",
            _diamond_with(lambda W2, h, delta, mu: W2.T @ delta + mu / 2 * h),
        ),
        (
            "r = (μ/2)‖h‖² gives μh: h is missing.",
            _diamond_with(lambda W2, h, delta, mu: W2.T @ delta + mu),
        ),
        (
            "r = (μ/2)‖h‖² gives μh: the square's 2 and the ½ cancel.",
            _diamond_with(lambda W2, h, delta, mu: W2.T @ delta + 2 * mu * h),
        ),
    ),
)


def _columns() -> Iterator[Args]:
    for seed, (_, m, _, _) in enumerate(SIZES):
        yield {"z": np.random.default_rng(seed).normal(size=(m, 1))}


DIAGONAL = "that is its diagonal only: the Jacobian is a matrix (m, m)."

AS_DIAG = Code(
    "Write the Jacobian of h = tanh(z), for one example z (m, 1): the matrix with which Jᵀδ is δ ⊙ φ'(z).",
    "f(z) -> Jacobian",
    _columns,
    lambda z: {"Jacobian": np.diag(_vjp("tanh", [z], np.tanh(z), np.ones_like(z), 0).ravel())},
    (
        (DIAGONAL, lambda z: {"Jacobian": 1 - np.tanh(z) ** 2}),
        (DIAGONAL, lambda z: {"Jacobian": 1 - np.tanh(z.ravel()) ** 2}),
        (
            "np.diag takes the diagonal out of a matrix, and z is one, (m, 1): ravel() it first.",
            lambda z: {"Jacobian": np.diag(1 - np.tanh(z) ** 2)},
        ),
        (
            "that is the outer product of φ'(z) with itself; zⱼ has no effect on hᵢ, so off the diagonal there is 0.",
            lambda z: {"Jacobian": (1 - np.tanh(z) ** 2) @ (1 - np.tanh(z) ** 2).T},
        ),
        ("its diagonal holds φ(z); it has to be φ'(z).", lambda z: {"Jacobian": np.diag(np.tanh(z).ravel())}),
        (
            "its diagonal holds φ' at h: with tanh it shows.",
            lambda z: {"Jacobian": np.diag(1 - np.tanh(np.tanh(z)).ravel() ** 2)},
        ),
        (
            "all its columns are φ'(z); zⱼ has no effect on hᵢ, so off the diagonal there is 0.",
            lambda z: {"Jacobian": (1 - np.tanh(z) ** 2) * np.ones((1, len(z)))},
        ),
        (
            "all its rows are φ'(z); zⱼ has no effect on hᵢ, so off the diagonal there is 0.",
            lambda z: {"Jacobian": (1 - np.tanh(z) ** 2).T * np.ones((len(z), 1))},
        ),
    ),
)


def _softmax_jacobian(z: Array) -> Parts:
    p = _softmax(z)
    return {"Jacobian": np.diag(p.ravel()) - p @ p.T}


SOFTMAX_JACOBIAN = Code(
    "Write the Jacobian of p = softmax(z), for one example z (m, 1): in row i and column j the derivative of pᵢ with "
    "respect to zⱼ.",
    "f(z) -> Jacobian",
    _columns,
    _softmax_jacobian,
    (
        (
            "softmax is not elementwise: each pᵢ falls when another zⱼ rises, by pᵢpⱼ.",
            lambda z: {"Jacobian": np.diag((_softmax(z) * (1 - _softmax(z))).ravel())},
        ),
        (DIAGONAL, lambda z: {"Jacobian": _softmax(z) * (1 - _softmax(z))}),
        (DIAGONAL, lambda z: {"Jacobian": (_softmax(z) * (1 - _softmax(z))).ravel()}),
        (
            "the 1 of 1 − pⱼ belongs to the diagonal only: elsewhere the entry is −pᵢpⱼ.",
            lambda z: {"Jacobian": _softmax(z) @ (1 - _softmax(z)).T},
        ),
        (
            "np.diag takes the diagonal out of a matrix, and p is one, (m, 1): ravel() it first.",
            lambda z: {"Jacobian": np.diag(_softmax(z)) - _softmax(z) @ _softmax(z).T},
        ),
        (
            "p², a column, is taken from every column of diag(p); p pᵀ is a matrix.",
            lambda z: {"Jacobian": np.diag(_softmax(z).ravel()) - _softmax(z) ** 2},
        ),
        (
            "−p pᵀ is missing: the sum below the fraction moves too.",
            lambda z: {"Jacobian": np.diag(_softmax(z).ravel())},
        ),
        ("diag(p) is missing: pᵢ rises with its own zᵢ.", lambda z: {"Jacobian": -_softmax(z) @ _softmax(z).T}),
        (
            "the product is p pᵀ, a matrix; pᵀp is a number.",
            lambda z: {"Jacobian": np.diag(_softmax(z).ravel()) - _softmax(z).T @ _softmax(z)},
        ),
        (
            "it is diag(p) − p pᵀ: off the diagonal the entries are negative.",
            lambda z: {"Jacobian": np.diag(_softmax(z).ravel()) + _softmax(z) @ _softmax(z).T},
        ),
    ),
)


def _long_way_cases() -> Iterator[Args]:
    for seed, count in enumerate((6, 9, 5)):
        rng = np.random.default_rng(seed)
        yield {"x": 0.5 + seed / 8, "w": [round(float(w), 2) for w in rng.uniform(0.6, 1.6, count)]}


def _values(x: float, w: Sequence[float]) -> list[float]:
    values = [x]
    for weight in w:
        values.append(float(np.tanh(weight * values[-1])))
    return values


def _long_way(x: float, w: Sequence[float]) -> Parts:
    values = [np.array([[value]]) for value in _values(x, w)]
    delta = np.ones((1, 1))
    for weight, before, after in zip(reversed(w), reversed(values[:-1]), reversed(values[1:]), strict=True):
        W = np.array([[weight]])
        delta = _vjp("matmul", [W, before], W @ before, _vjp("tanh", [W @ before], after, delta, 0), 1)
    return {"slope": float(delta[0, 0])}


def _factors(factor: Callable[[float, float], float]) -> Callable[..., Parts]:
    """The product of a factor for each layer, of its weight and its value."""
    return lambda x, w: {"slope": np.prod([factor(a, h) for a, h in zip(w, _values(x, w)[1:], strict=True)])}


LONG_WAY = Code(
    "A chain one unit wide: h is x at first, and each layer makes it tanh(w h), with its own w. Give the derivative of "
    "the last h with respect to x.",
    "f(x, w) -> slope",
    _long_way_cases,
    _long_way,
    (
        ("φ' is missing: a layer's factor is w φ'(z), not w alone.", _factors(lambda w, h: w)),
        ("the weights are missing: a layer's factor is w φ'(z), not φ'(z) alone.", _factors(lambda w, h: 1 - h * h)),
        (AT_H, _factors(lambda w, h: w * (1 - np.tanh(h) ** 2))),
        (
            "φ' is taken at the layer's input: its own value belongs there, 1 − h² with h after the layer.",
            lambda x, w: {"slope": np.prod([a * (1 - h * h) for a, h in zip(w, _values(x, w)[:-1], strict=True)])},
        ),
        (
            "along a path factors multiply; yours are added.",
            lambda x, w: {"slope": sum(a * (1 - h * h) for a, h in zip(w, _values(x, w)[1:], strict=True))},
        ),
        ("the last layer's factor is missing.", lambda x, w: _long_way(x, w[:-1])),
        ("that is the last value itself.", lambda x, w: {"slope": _values(x, w)[-1]}),
    ),
)


# --- checks and training --------------------------------------------------------------------------------------------


class _Objective:
    """A bent function of a matrix, for nudging, and its slopes."""

    def __call__(self, W: Array) -> float:
        return float((W**3).sum() + (W @ W.T).sum())

    def slopes(self, W: Array) -> Array:
        """All of them, exactly."""
        return np.asarray(3 * W**2 + 2 * W.sum(axis=0))


def _difference_cases() -> Iterator[Args]:
    for seed, (d, m, _, _) in enumerate(SIZES):
        yield {"J": _Objective(), "W": np.random.default_rng(seed).normal(size=(m, d)), "eps": 0.01}


def _nudged(rule: Callable[[Callable[[float], float], float], float]) -> Callable[..., Parts]:
    """A slope for each entry, from J as a function of how far the entry is moved."""

    def slopes(J: Callable[[Array], float], W: Array, eps: float) -> Parts:
        result = np.empty_like(W)
        for index in np.ndindex(W.shape):

            def at(move: float, index: tuple[int, ...] = index) -> float:
                moved = W.copy()
                moved[index] += move
                return J(moved)

            result[index] = rule(at, eps)
        return {"slopes": result}

    return slopes


def _left_moved(J: Callable[[Array], float], W: Array, eps: float) -> Parts:
    """Entries stay where they were nudged to, with no way back."""
    moved, result = W.copy(), np.empty_like(W)
    for index in np.ndindex(W.shape):
        moved[index] += eps
        above = J(moved)
        moved[index] -= 2 * eps
        result[index] = (above - J(moved)) / (2 * eps)
    return {"slopes": result}


DIFFERENCES = Code(
    "Find all slopes of J(W) by centred differences: move one entry at a time up and down by eps.",
    "f(J, W, eps) -> slopes",
    _difference_cases,
    _nudged(lambda at, eps: (at(eps) - at(-eps)) / (2 * eps)),
    (
        (
            "only upwards: the error of a one-sided difference is of order ε, that of a centred one of order ε².",
            _nudged(lambda at, eps: (at(eps) - at(0)) / eps),
        ),
        (
            "only downwards: the error of a one-sided difference is of order ε, that of a centred one of order ε².",
            _nudged(lambda at, eps: (at(0) - at(-eps)) / eps),
        ),
        ("it is divided by ε; from −ε to ε are 2ε.", _nudged(lambda at, eps: (at(eps) - at(-eps)) / eps)),
        ("it is not divided by 2ε: that is a difference, not a slope.", _nudged(lambda at, eps: at(eps) - at(-eps))),
        ("an entry is not put back before the next one is moved.", _left_moved),
        ("it has the wrong sign: up minus down.", _nudged(lambda at, eps: (at(-eps) - at(eps)) / (2 * eps))),
    ),
    exact=lambda J, W, eps: {"slopes": J.slopes(W)},
)


def _share_cases() -> Iterator[Args]:
    for seed, (d, m, _, n) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        sizes = [n + 1, 2 * n + 3, n + 5][: 2 + seed % 2]
        shares = [rng.normal(size=(m, d)) for _ in sizes]
        yield {"shares": shares, "sizes": sizes, "W": rng.normal(size=(m, d)), "lam": 0.1 + rng.uniform()}


def _accumulated(
    weigh: Callable[[Sequence[Array], Sequence[int]], Array], decay: bool | int = 1
) -> Callable[..., Parts]:
    def total(shares: Sequence[Array], sizes: Sequence[int], W: Array, lam: float) -> Parts:
        times = len(sizes) if decay == 2 else 1 / sum(sizes) if decay == 3 else decay
        return {"∂J/∂W": weigh(shares, sizes) + times * lam * W}

    return total


def _weighted(shares: Sequence[Array], sizes: Sequence[int]) -> Array:
    return np.asarray(sum(size * share for size, share in zip(sizes, shares, strict=True)) / sum(sizes))


ACCUMULATION = Code(
    "A batch is run in parts. shares[i] is ∂L/∂W of the mean loss of part i, which has sizes[i] examples. "
    "Give ∂J/∂W of the whole batch, λW included.",
    "f(shares, sizes, W, lam) -> ∂J/∂W",
    _share_cases,
    _accumulated(_weighted),
    (
        (
            "the parts are not equally large: weigh each with its share of the examples.",
            _accumulated(lambda shares, sizes: np.mean(shares, axis=0)),
        ),
        (
            "the parts' gradients are added: each is a mean already, so weigh it with sizes[i] / Σ sizes.",
            _accumulated(lambda shares, sizes: np.sum(shares, axis=0)),
        ),
        ("only the last part is there (= in place of +=).", _accumulated(lambda shares, sizes: shares[-1])),
        (
            "it is not divided by the number of all examples.",
            _accumulated(lambda shares, sizes: _weighted(shares, sizes) * sum(sizes)),
        ),
        ("λW is added once for each part: it belongs to J once.", _accumulated(_weighted, 2)),
        ("λW is missing.", _accumulated(_weighted, 0)),
        ("λ is divided by n: only the loss is a mean over the examples.", _accumulated(_weighted, 3)),
    ),
)


def _updated(x: Array, y: Array, W1: Array, W2: Array, lam: float, lr: float) -> Parts:
    run = _run(x, y, lam, "tanh", W1=W1, W2=W2)
    return {"W1": W1 - lr * run["dJ/dW1"], "W2": W2 - lr * run["dJ/dW2"]}


def _update_with(
    move: Callable[[Array, Array, float], Array] = lambda W, gradient, lr: W - lr * gradient,
    order: str = "together",
    **wrong: Any,
) -> Callable[..., Parts]:
    """A step with another gradient, another move, or one weight moved too early."""

    def other(x: Array, y: Array, W1: Array, W2: Array, lam: float, lr: float) -> Parts:
        new = move(W2, _network_with(x, y, W1, W2, lam, **wrong)["W2"], lr)
        if order == "first":
            gradient = _network_with(x, y, W1, new, lam, **wrong)["W1"]
        else:
            gradient = _network_with(x, y, W1, W2, lam, through=new if order == "mid" else None, **wrong)["W1"]
        return {"W1": move(W1, gradient, lr), "W2": new}

    return other


UPDATE = Code(
    "Take one step of gradient descent with the rate lr on the network with tanh: forward, backward, update.",
    "f(x, y, W1, W2, lam, lr) -> W1, W2",
    _given("x", "y", "W1", "W2", "lam", "lr"),
    _updated,
    (
        (
            "that is the weight before the step.",
            lambda x, y, W1, W2, lam, lr: {"W1": W1, "W2": W2},
        ),
        *_departures(
            _update_with,
            order=(
                ("W2 was updated in the middle of the pass: δ went back through the new W2.", "mid"),
                (
                    "W2 was updated first, and W1 has the gradient at the new W2: take all gradients at one place.",
                    "first",
                ),
            ),
            move=(
                ("it goes up: a step of descent is −lr times the gradient.", lambda W, gradient, lr: W + lr * gradient),
                ("the rate is missing.", lambda W, gradient, lr: W - gradient),
                ("the gradient is divided by the rate.", lambda W, gradient, lr: W - gradient / lr),
                ("that is the gradient, not the weight after the step.", lambda W, gradient, lr: gradient),
                ("that is the step alone: it is added to the weight.", lambda W, gradient, lr: -lr * gradient),
            ),
            decay=tuple((f"in the gradient, {words}", wrong) for words, wrong in _decays("W")),
            share=tuple((f"in the gradient, {words}", wrong) for words, wrong in _shares("rows", "columns")),
            slope=tuple((f"in the gradient, {words}", wrong) for words, wrong in SLOPES),
            error=tuple((f"in the gradient, {words}", wrong) for words, wrong in ERRORS),
        ),
    ),
)


class _Quartic:
    """The gradient of ¼ Σ w⁴ + ½ (a · w)²; its Hessian takes v to 3 w² v + a (a · v)."""

    def __init__(self, a: Array) -> None:
        self.a = a

    def __call__(self, w: Array) -> Array:
        return np.asarray(w**3 + self.a * float((self.a * w).sum()))

    def times(self, w: Array, v: Array) -> Array:
        """The Hessian at w times v, exactly."""
        return np.asarray(3 * w * w * v + self.a * float((self.a * v).sum()))


def _hessian_cases() -> Iterator[Args]:
    for seed, (d, m, _, _) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        w, v, a = rng.normal(size=(3, m, d))
        yield {"gradient": _Quartic(a), "w": w, "v": v, "eps": 0.01}


def _hessian(gradient: Callable[[Array], Array], w: Array, v: Array, eps: float) -> Parts:
    return {"Hv": (gradient(w + eps * v) - gradient(w - eps * v)) / (2 * eps)}


HESSIAN = Code(
    "gradient(w) gives ∂J/∂w. Approximate the product of the Hessian with v by a centred difference of two gradients, "
    "with step eps.",
    "f(gradient, w, v, eps) -> Hv",
    _hessian_cases,
    _hessian,
    (
        (
            "only forwards: the error is of order ε, that of a centred difference of order ε².",
            lambda gradient, w, v, eps: {"Hv": (gradient(w + eps * v) - gradient(w)) / eps},
        ),
        ("it is not divided by 2ε.", lambda gradient, w, v, eps: {"Hv": gradient(w + eps * v) - gradient(w - eps * v)}),
        ("that is the gradient at v: nudge w along v.", lambda gradient, w, v, eps: {"Hv": gradient(v)}),
        (
            "that is the slope of J along v, a number: subtract whole gradients.",
            lambda gradient, w, v, eps: {"Hv": (gradient(w) * v).sum()},
        ),
        (
            "every entry of w is nudged alike: nudge along v.",
            lambda gradient, w, v, eps: {"Hv": (gradient(w + eps) - gradient(w - eps)) / (2 * eps)},
        ),
        (
            "it is multiplied by v once more: nudging along v has done that.",
            lambda gradient, w, v, eps: {"Hv": (gradient(w + eps * v) - gradient(w - eps * v)) / (2 * eps) * v},
        ),
        (
            "v is made to length 1: the product is with v as it is.",
            lambda gradient, w, v, eps: {"Hv": _hessian(gradient, w, v / _norm(v), eps)["Hv"]},
        ),
        (
            "it is divided by ε; from −ε to ε are 2ε.",
            lambda gradient, w, v, eps: {"Hv": 2 * _hessian(gradient, w, v, eps)["Hv"]},
        ),
        (
            "only backwards: the error is of order ε, that of a centred difference of order ε².",
            lambda gradient, w, v, eps: {"Hv": (gradient(w) - gradient(w - eps * v)) / eps},
        ),
    ),
    exact=lambda gradient, w, v, eps: {"Hv": gradient.times(w, v)},
)


# --- evaluators, memory, checkpoints --------------------------------------------------------------------------------

Sums = list[tuple[str, str, str]]
TWICE: Sums = [("b", "a", "a"), ("c", "b", "b")]


def _sum_cases() -> Iterator[Args]:
    yield {"equations": [("b", "a", "a"), ("c", "b", "a"), ("d", "c", "b")]}
    yield {"equations": [*TWICE, ("d", "c", "b"), ("e", "d", "c")]}
    yield {"equations": [("b", "k", "a"), ("c", "b", "k"), ("d", "a", "a"), ("e", "d", "c")]}
    yield {"equations": [(f"u{i + 1}", f"u{i}" if i else "a", "k") for i in range(3000)]}


def _sums(equations: Sums) -> Parts:
    made = {output for output, _, _ in equations}
    leaves = list(dict.fromkeys(name for _, *inputs in equations for name in inputs if name not in made))
    given = [Variable(name, (), "float64", "parameter") for name in leaves]
    graph = Graph(given, [Equation("add", (left, right), output) for output, left, right in equations])
    return {"slope": value_and_grad(graph, {name: np.zeros(()) for name in leaves})[1]["a"]}


def _reverse(equations: Sums, add: bool = True, merge: bool = False) -> float:
    slopes = {equations[-1][0]: 1.0}
    for output, left, right in reversed(equations):
        delta = slopes.get(output, 0.0)
        for name in dict.fromkeys((left, right)) if merge else (left, right):
            slopes[name] = (slopes.get(name, 0.0) if add else 0.0) + delta
    return slopes["a"]


def _hasty(equations: Sums) -> float:
    """Passes on what is there when a variable is first reached, and never comes back."""
    inputs = {output: (left, right) for output, left, right in equations}
    slopes, done, waiting = {equations[-1][0]: 1.0}, set(), [equations[-1][0]]
    while waiting:
        name = waiting.pop()
        if name in done or name not in inputs:
            continue
        done.add(name)
        for below in inputs[name]:
            slopes[below] = slopes.get(below, 0.0) + slopes[name]
            waiting.append(below)
    return slopes["a"]


def _forwards(equations: Sums) -> float:
    slopes = {equations[-1][0]: 1.0}
    for output, left, right in equations:
        for name in (left, right):
            slopes[name] = slopes.get(name, 0.0) + slopes.get(output, 0.0)
    return slopes["a"]


EVALUATOR = Code(
    "equations is a list of sums (output, left, right) in execution order, such as [('b', 'a', 'a'), ('c', 'b', 'b')]. "
    "Give the derivative of the last output with respect to 'a', in one sweep.",
    "f(equations) -> slope",
    _sum_cases,
    _sums,
    (
        (
            "an instalment overwrites the one before it: = in place of +=.",
            lambda equations: {"slope": _reverse(equations, add=False)},
        ),
        (
            "a + a has two arrows from a: its input is counted once.",
            lambda equations: {"slope": _reverse(equations, merge=True)},
        ),
        (
            "a variable passes on what it has when it is first reached, before its last instalment is in.",
            lambda equations: {"slope": _hasty(equations)},
        ),
        (
            "the equations are visited from the first to the last: go back, from the last.",
            lambda equations: {"slope": _forwards(equations)},
        ),
    ),
    raising={
        "RecursionError": "recursion is not enough for 3,000 equations in a row: walk the list backwards in a loop."
    },
)


def _memory_cases() -> Iterator[Args]:
    for widths, n in (([7, 5, 3], 6), ([4, 9, 6, 2], 5), ([11, 8, 7, 3, 2], 13), ([6, 2], 4)):
        yield {"widths": widths, "n": n}


def _kept(widths: Sequence[int], n: int) -> Parts:
    graph = network(widths, n, "tanh")
    steps = schedule(graph)
    last = max(index for index, step in enumerate(steps) if step.phase == "forward")
    kept = [name for name in steps.alive(last) if name[0] in "zh"]
    return {
        "weights": sum(steps.nbytes(name) for name in graph.parameters),
        "kept": sum(steps.nbytes(name) for name in kept),
    }


def _bytes_with(
    kept: Callable[[Sequence[int], int], int], weights: Callable[[Sequence[int]], int] | None = None
) -> Callable[..., Parts]:
    def wrong(widths: Sequence[int], n: int) -> Parts:
        parts: Parts = {"kept": 8 * kept(widths, n)}
        return parts if weights is None else {"weights": 8 * weights(widths)}

    return wrong


def _pairs(widths: Sequence[int]) -> int:
    return sum(a * b for a, b in pairwise(widths))


BYTES = Code(
    "For a network of these widths with tanh, without biases, in float64, on n examples: how many bytes do all weights "
    "take, and how many the values z and h of hidden layers that are kept from forward until backward reads them?",
    "f(widths, n) -> weights, kept",
    _memory_cases,
    _kept,
    (
        (
            "z is counted too: tanh's slope is 1 − h², so z may go.",
            _bytes_with(lambda widths, n: 2 * n * sum(widths[1:-1])),
        ),
        ("n is missing: every example has its own values.", _bytes_with(lambda widths, n: sum(widths[1:-1]))),
        ("x and o are counted too: only hidden layers were asked for.", _bytes_with(lambda widths, n: n * sum(widths))),
        ("o is counted too: only hidden layers were asked for.", _bytes_with(lambda widths, n: n * sum(widths[1:]))),
        ("x is counted too: only hidden layers were asked for.", _bytes_with(lambda widths, n: n * sum(widths[:-1]))),
        (
            "only the last hidden layer is counted: backward needs them all.",
            _bytes_with(lambda widths, n: n * sum(widths[1:-1][-1:])),
        ),
        (
            "biases are counted too; this network has none.",
            _bytes_with(lambda widths, n: 0, lambda widths: _pairs(widths) + sum(widths[1:])),
        ),
        (
            "the gradients are counted too; only the weights were asked for.",
            _bytes_with(lambda widths, n: 0, lambda widths: 2 * _pairs(widths)),
        ),
        (
            "these are numbers, not bytes: a float64 has 8 bytes.",
            lambda widths, n: {name: count / 8 for name, count in _kept(widths, n).items()},
        ),
        (
            "that is float32, 4 bytes a number; here it is float64, 8.",
            lambda widths, n: {name: count / 2 for name, count in _kept(widths, n).items()},
        ),
    ),
)


def _crossing_cases() -> Iterator[Args]:
    for widths, n, k in (([7, 5, 3, 4], 6, 1), ([4, 9, 6, 8, 2], 5, 3), ([11, 8, 7, 3, 2], 13, 2)):
        yield {"widths": widths, "n": n, "k": k}


def _crossing(widths: Sequence[int], n: int, k: int) -> Parts:
    graph = network(widths, n, "tanh")
    value = graph.variables[f"h{k}"].shape
    weights = sum(int(np.prod(graph.variables[name].shape)) for name in graph.parameters)
    return {"layers": 2 * int(np.prod(value)), "batch": 2 * weights}


CROSSING = Code(
    "Two machines train a network of these widths with n examples. How many numbers travel in a step, both ways "
    "together, if the first k layers are on one machine and the rest on the other? And how many if each has the whole "
    "network and half of the examples, and they send each other their gradients?",
    "f(widths, n, k) -> layers, batch",
    _crossing_cases,
    _crossing,
    (
        (
            "only forward is counted; a cotangent of the same shape comes back.",
            lambda widths, n, k: {"layers": n * widths[k]},
        ),
        ("n is missing: every example has its own values at the cut.", lambda widths, n, k: {"layers": 2 * widths[k]}),
        (
            "that is the value before layer k; it is layer k's output that crosses.",
            lambda widths, n, k: {"layers": 2 * n * widths[k - 1]},
        ),
        (
            "that is the value after layer k + 1; it is layer k's output that crosses.",
            lambda widths, n, k: {"layers": 2 * n * widths[k + 1]},
        ),
        (
            "no weight and no gradient of a weight leaves its machine: count the value at the cut and its cotangent.",
            lambda widths, n, k: {"layers": 2 * _pairs(widths)},
        ),
        (
            "these are bytes, 8 a number; numbers were asked for.",
            lambda widths, n, k: {"layers": 16 * n * widths[k], "batch": 16 * _pairs(widths)},
        ),
        (
            "only one way is counted: each sends its gradient to the other.",
            lambda widths, n, k: {"batch": _pairs(widths)},
        ),
        (
            "a gradient has its weight's shape; the examples are summed over before it is sent.",
            lambda widths, n, k: {"batch": 2 * n * _pairs(widths)},
        ),
    ),
)


def _operation_cases() -> Iterator[Args]:
    for K, w, n in ((4, 9, 5), (7, 6, 11), (3, 10, 8)):
        yield {"K": K, "w": w, "n": n}


def _operations(K: int, w: int, n: int) -> Parts:
    """Multiplications, counted in the engine's schedule."""

    def count(parameters: Sequence[str], phases: Sequence[str]) -> int:
        whole = network([w] * (K + 1), n, "tanh")
        given = [whole.variables[name] for name in whole.given]
        frozen = [replace(v, role="input") if v.name in set(whole.parameters) - set(parameters) else v for v in given]
        graph = Graph(frozen, whole.equations)
        products = [step for step in schedule(graph) if step.equation.op == "matmul" and step.phase in phases]
        return sum(w * graph.variables[step.equation.inputs[0]].shape[0] * n for step in products)

    every = network([w] * (K + 1), n).parameters
    return {
        "forward": count(every, ["forward"]),
        "all": count(every, ["forward", "backward"]),
        "first": count(["W1"], ["forward", "backward"]),
    }


OPERATIONS = Code(
    "A network has K layers, all of width w, x and o too, and n examples. Count the multiplications in its matrix "
    "products: forward alone; forward and backward for all gradients; forward and backward for ∂J/∂W1 only. Nobody "
    "asks for ∂J/∂x.",
    "f(K, w, n) -> forward, all, first",
    _operation_cases,
    _operations,
    (
        (
            "backward alone; forward runs first, and counts too.",
            lambda K, w, n: {"all": (2 * K - 1) * w * w * n, "first": K * w * w * n},
        ),
        (
            "∂J/∂x is counted, for which nobody asks.",
            lambda K, w, n: {"all": 3 * K * w * w * n, "first": (2 * K + 1) * w * w * n},
        ),
        (
            "one product a layer going back; there are two, δhᵀ and Wᵀδ.",
            lambda K, w, n: {"all": 2 * K * w * w * n},
        ),
        (
            "the first layer is the last that backward reaches: δ has to come down through all the others.",
            lambda K, w, n: {"first": (K + 1) * w * w * n},
        ),
        (
            "the other layers' products δhᵀ are counted: they pay gradients for which nobody asks.",
            lambda K, w, n: {"first": (3 * K - 1) * w * w * n},
        ),
        (
            "the n examples are missing.",
            lambda K, w, n: {"forward": K * w * w, "all": (3 * K - 1) * w * w, "first": 2 * K * w * w},
        ),
    ),
)


class _Layers:
    """Layers with tanh that count how often they run, and how many of the values that they gave are still held."""

    def __init__(self) -> None:
        self.calls = self.most = 0
        self._given: list[weakref.ref[Array]] = []

    def layer(self, W: Array, h: Array) -> Array:
        """One layer, forward."""
        out: Array = np.tanh(W @ h)
        self.calls += 1
        self._given = [there for there in self._given if there() is not None]
        self._given.append(weakref.ref(out))
        self.most = max(self.most, len(self._given))
        return out

    @staticmethod
    def vjp(W: Array, before: Array, after: Array, delta: Array) -> tuple[Array, Array]:
        """One layer, back: the gradient of its weight, and the cotangent of what it read."""
        back = delta * (1 - after * after)
        return back @ before.T, W.T @ back


def _chain_cases() -> Iterator[Args]:
    for seed, (count, every) in enumerate(((12, 3), (11, 4), (9, 3))):
        rng = np.random.default_rng(seed)
        widths = [2 + (3 * i + seed) % 7 for i in range(count + 1)]
        layers = _Layers()
        yield {
            "layer": layers.layer,
            "vjp": layers.vjp,
            "x": rng.normal(size=(widths[0], 10)),
            "weights": [rng.normal(size=(b, a)) / np.sqrt(a) for a, b in pairwise(widths)],
            "delta": rng.normal(size=(widths[-1], 10)),
            "k": every,
        }


def _chain(layer: Any, vjp: Any, x: Array, weights: Sequence[Array], delta: Array, k: int) -> Parts:
    """The gradients that a run with checkpoints gives too; for the numbers alone, everything may be kept."""
    values = [x]
    for W in weights:
        values.append(np.tanh(W @ values[-1]))
    parts: Parts = {}
    for i in reversed(range(len(weights))):
        parts[f"∂J/∂W{i + 1}"], delta = _Layers.vjp(weights[i], values[i], values[i + 1], delta)
    return dict(reversed(parts.items()))


def _chain_without_delta(layer: Any, vjp: Any, x: Array, weights: Sequence[Array], delta: Array, k: int) -> Parts:
    """Each segment begins with the last cotangent of all."""
    values = [x]
    for W in weights:
        values.append(np.tanh(W @ values[-1]))
    parts: Parts = {}
    for i in range(len(weights)):
        if weights[i].shape[0] == delta.shape[0]:
            parts[f"∂J/∂W{i + 1}"], _ = _Layers.vjp(weights[i], values[i], values[i + 1], delta)
    return parts


def _chain_audit(args: Args) -> str | None:
    layers: _Layers = args["layer"].__self__
    count, k = len(args["weights"]), args["k"]
    limit = -(-count // k) + k
    if layers.calls == 0:
        return (
            "the gradients are right, but `layer` was never called: run the layers with it, so that it can be counted."
        )
    if layers.most > limit:
        everything = layers.most >= count
        what = "everything is kept" if everything else "too much is kept"
        return (
            f"the gradients are right, but {what}: {layers.most} values at once. With a checkpoint every {k} layers, "
            f"{limit} are enough: let go of a segment's values when it has gone back."
        )
    if layers.calls > 2 * count:
        return (
            f"the gradients are right, but layers run {layers.calls} times; {2 * count} are enough: "
            "run a segment again from its own checkpoint, once."
        )
    return None


CHECKPOINTED = Code(
    "A chain of layers: layer(W, h) runs one forward, vjp(W, before, after, delta) takes it back and gives ∂J/∂W and "
    "the cotangent of before. Keep every k-th value, run each segment again when backward comes to it, and give all "
    "∂J/∂W in the order of weights.",
    "f(layer, vjp, x, weights, delta, k) -> gradients",
    _chain_cases,
    _chain,
    (
        (
            "the order is reversed: give the gradients in the order of weights.",
            lambda **args: dict(zip((parts := _chain(**args)), reversed(parts.values()), strict=True)),
        ),
        ("delta is the last layer's: pass on what vjp gives for `before`.", _chain_without_delta),
    ),
    audit=_chain_audit,
)


# --- numbers, shapes, words -----------------------------------------------------------------------------------------

VALUES = {
    "gradient-shape": Value(
        "A network has widths 784, 256, 10 and runs on 64 examples. Which shape has ∂J/∂W1?",
        "a shape, such as (2, 3)",
        network([784, 256, 10], 64).variables["W1"].shape,
        (
            ("it is transposed: W1 is (m, d), and a gradient has its variable's shape.", (784, 256)),
            ("J is a number, so no axis comes from J; and the examples are summed over.", (1, 256, 784)),
            ("no axis is left for the examples: J has summed over them.", (256, 784, 64)),
            ("that is the Jacobian of z by W1; J is a number.", (256, 64, 256, 784)),
            ("that is the shape of z and of its cotangent.", (256, 64)),
            ("that is ∂J/∂W2.", (10, 256)),
            ("that is the shape of J: a number moves, but each entry of W1 moves it at a rate of its own.", ()),
            ("that is as many numbers, in a row; W1 has rows and columns.", (256 * 784,)),
        ),
        "J is one number: ask how many weights W1 has, and how they are arranged.",
    ),
    "twice": Value(
        "b = a + a and c = b + b. What is ∂c/∂a?",
        "a number",
        float(_sums(TWICE)["slope"]),
        (
            ("the first instalment was passed on, and the second never: four paths lead from a to c.", 2),
            ("instalments are overwritten (=), or a + a is counted as one arrow: four paths lead from a to c.", 1),
            ("effects along a path multiply, 2 times 2; count the paths: four.", 3),
        ),
        "Draw b = a + a with two arrows and c = b + b with two, and count the paths from a to c.",
    ),
    "kept-tanh": Value(
        "The source's network with tanh, trained with λ > 0. Which of z, h and o does a VJP of backward read?",
        'a set of names, such as {"x", "y"}',
        frozenset({"h", "o"}),
        (("tanh's slope is a function of its value, so after forward nobody asks for its argument.", "z"),),
        "Go through backward line by line, from the loss to W1, and ask of each VJP what it computes with.",
    ),
}

EXERCISES: dict[str, Code | Value] = {
    "forward": FORWARD,
    "objective": OBJECTIVE,
    "gradient-shape": VALUES["gradient-shape"],
    "matmul-vjp": MATMUL,
    "tanh-vjp": TANH,
    "relu-vjp": RELU,
    "as-diag": AS_DIAG,
    "softmax-jacobian": SOFTMAX_JACOBIAN,
    "softmax-cross-entropy": SOFTMAX,
    "grad-W2": GRAD_W2,
    "grad-W1": GRAD_W1,
    "backward-bias": BACKWARD_BIAS,
    "rows": ROWS,
    "diamond": DIAMOND,
    "long-way": LONG_WAY,
    "twice": VALUES["twice"],
    "evaluator": EVALUATOR,
    "differences": DIFFERENCES,
    "update": UPDATE,
    "accumulation": ACCUMULATION,
    "kept-tanh": VALUES["kept-tanh"],
    "bytes": BYTES,
    "operations": OPERATIONS,
    "checkpointed": CHECKPOINTED,
    "hessian-vector": HESSIAN,
    "crossing": CROSSING,
}
