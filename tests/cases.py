"""What the tests of the core share: random networks and graphs, equality to the bit, and one operator of one's own."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from mlp import Equation, Graph, Variable, network
from mlp.ops import ACTIVATIONS, LOSSES, OPS, Array, Op, Vjp

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 7)


# Every activation once more, as a formula of z and of the module that computes it: NumPy, or autograd in its place.
FORMULAS: dict[str, Callable[[Any, Array], Array]] = {
    "identity": lambda xp, z: z,
    "relu": lambda xp, z: xp.where(z > 0, z, 0.0),
    "tanh": lambda xp, z: xp.sinh(z) / xp.cosh(z),
    "sigmoid": lambda xp, z: 1 / (1 + xp.exp(-z)),
    "gelu": lambda xp, z: 0.5 * z * (1 + xp.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z))),
}


def examples(count: int) -> settings:
    """The same examples on every machine: a test that passed passes again."""
    return settings(max_examples=count, deadline=None, derandomize=True)


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays agree in dtype, shape and every bit, the sign of zero included."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@contextmanager
def little_recursion() -> Iterator[None]:
    """Barely more stack than is in use: whatever recurses over a deep graph fails."""
    frame, depth = sys._getframe(), 0
    while frame:
        frame, depth = frame.f_back, depth + 1
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 60)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def one_hot(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """Random labels."""
    return np.eye(rows)[:, rng.integers(rows, size=columns)].copy()


def random_values(graph: Graph, seed: int = 0, scale: float = 1.0) -> dict[str, Array]:
    """An array for everything that the caller brings: parameters as `init` draws them, biases too, one-hot labels."""
    rng = np.random.default_rng(seed)
    values = graph.init(seed)
    labels = {e.inputs[1] for e in graph.equations if e.op == "cross_entropy"}
    for name in graph.given:
        shape = graph.variables[name].shape
        if name in labels:
            values[name] = one_hot(rng, *shape).astype(graph.dtype)
        elif name in graph.inputs or name.startswith("b"):
            values[name] = np.asarray(scale * rng.standard_normal(shape)).astype(graph.dtype)
    return values


def random_network(seed: int, dtype: str = "float64") -> Graph:
    """Any activation, loss, bias, depth 1–8, batch 1–7, widths 1–6; two outputs at least for cross-entropy."""
    rng = np.random.default_rng(seed)
    widths = [int(width) for width in rng.integers(1, 7, rng.integers(2, 10))]
    batch, activation, loss = int(rng.integers(1, 8)), str(rng.choice(ACTIVATIONS)), str(rng.choice(LOSSES))
    widths[-1] = max(widths[-1], 1 + (loss == "cross_entropy"))
    return network(
        widths,
        batch,
        activation,
        loss,
        weight_decay=float(rng.choice([0.0, 0.1, 2.0])),
        bias=bool(rng.integers(2)),
        dtype=dtype,
    )


def random_graph(seed: int) -> Graph:
    """A graph that no `network` makes: fan-out, one variable read twice by an equation, dead ends, sums."""
    rng = np.random.default_rng(seed)
    m, n = (int(size) for size in rng.integers(1, 5, 2))
    columns, squares, biases = ["x", "P0", "P1"], ["W0", "W1"], ["b0"]
    given = [Variable("x", (m, n)), Variable("y", (m, n), role="target"), Variable("b0", (m, 1), role="parameter")]
    given += [Variable(name, (m, n), role="parameter") for name in columns[1:]]
    given += [Variable(name, (m, m), role="parameter") for name in squares]
    equations = []
    for index in range(int(rng.integers(1, 12))):
        name, kind = f"v{index}", rng.choice(["add", "activation", "matmul", "bias", "twice", "square"])
        pick = lambda among: str(rng.choice(among))  # noqa: E731
        if kind == "square":
            squares.append(f"S{index}")
            square = pick(squares[:-1])
            equations.append(Equation("matmul", (square, square), f"S{index}"))
            continue
        one = pick(columns)
        equations.append(
            {
                "add": Equation("add", [pick(columns) for _ in range(rng.integers(1, 5))], name),
                "activation": Equation(str(rng.choice(["identity", "tanh", "sigmoid", "gelu"])), (one,), name),
                "matmul": Equation("matmul", (pick(squares), one), name),
                "bias": Equation("bias", (one, pick(biases)), name),
                "twice": Equation("add", (one, one), name),
            }[str(kind)]
        )
        columns.append(name)
    parameters = tuple(v.name for v in given if v.role == "parameter")
    some = tuple(str(name) for name in rng.choice(columns, 3))
    equations += [
        Equation("squared_error", (columns[-1], "y"), "L"),
        Equation("l2", (*parameters, *some), "s", {"weight_decay": 0.3}),
        Equation("add", ("L", "s", "L"), "J"),
    ]
    return Graph(given, equations, objective="J", output=equations[-4].output)


def small_values(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Values for `random_graph`, small enough for squares of squares."""
    return {name: 0.5 * array for name, array in random_values(graph, seed).items()}


def softplus(out: Array, z: Array) -> None:
    """log(1 + exp(z))."""
    np.logaddexp(z, 0, out=out)


def softplus_vjp(out: Array, delta: Array, z: Array) -> None:
    """delta · sigmoid(z)."""
    np.multiply(z, -1, out=out)
    np.logaddexp(out, 0, out=out)
    np.multiply(out, -1, out=out)
    np.exp(out, out=out)
    np.multiply(out, delta, out=out)


SOFTPLUS = Op(
    "softplus",
    "sp",
    lambda z: rf"\operatorname{{softplus}}({z})",
    lambda z: z,
    softplus,
    (Vjp(softplus_vjp, lambda delta, z: rf"{delta} \odot \sigma({z})", saves=(0,)),),
)
OWN_TABLE = dict(OPS) | {"softplus": SOFTPLUS}
