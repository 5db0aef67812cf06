"""The book's running example and its diamond: numbers short enough to follow by hand.

They are the same on every page, in every test and in every picture.
"""

import numpy as np

from mlp.graph import Equation, Graph, Variable
from mlp.networks import network
from mlp.ops import Array

X = ((1, -1, 2, 1, 0), (2, 2, 1, -2, -1), (-1, 1, 1, -1, 2))
Y = ((0, 1, 1, 0, -1), (1, 0, 2, 0, 1))
W1 = ((1, 1, 0), (1, 1, 1), (1, -1, 1), (0, 1, 1))
W2 = ((-1, 1, -1, 2), (-1, 1, 1, 0))


def running_example(batch: int = 1, activation: str = "relu") -> tuple[Graph, dict[str, Array]]:
    """The network 3-4-2 with squared error and λ = 0.1, and its values.

    Parameters
    ----------
    batch : int
        From 1 to 5 examples; the first is always x = (1, 2, −1), y = (0, 1).
    activation : str
        As for `mlp.network`.

    Returns
    -------
    graph : Graph
    values : dict of str to ndarray
        x (3, batch), y (2, batch), W1 (4, 3), W2 (2, 4), float64; new arrays at each call.
    """
    if not 1 <= batch <= len(X[0]):
        raise ValueError(f"batch: expected 1 to {len(X[0])} examples, received {batch!r}")
    graph = network([3, 4, 2], batch=batch, activation=activation, weight_decay=0.1)
    numbers = {"x": [row[:batch] for row in X], "y": [row[:batch] for row in Y], "W1": W1, "W2": W2}
    return graph, {name: np.array(rows, dtype=np.float64) for name, rows in numbers.items()}


def scalar_chain() -> tuple[Graph, dict[str, Array]]:
    """One unit of everything: x → z → h → o → L with a sigmoid, in numbers whose factors are 1, 4, ¼ and 2.

    Returns
    -------
    graph, values
        All variables of shape (1, 1) but L; z = 0, h = ½, o = 2, L = ½.
    """
    given = [Variable(name, (1, 1), "float64", role) for name, role in zip("xy", ("input", "target"), strict=True)]
    given += [Variable(name, (1, 1), "float64", "parameter") for name in ("W1", "W2")]
    equations = [
        Equation("matmul", ("W1", "x"), "z"),
        Equation("sigmoid", ("z",), "h"),
        Equation("matmul", ("W2", "h"), "o"),
        Equation("squared_error", ("o", "y"), "L"),
    ]
    numbers = {"x": 2.0, "y": 1.0, "W1": 0.0, "W2": 4.0}
    return Graph(given, equations), {name: np.array([[number]]) for name, number in numbers.items()}


def two_paths() -> tuple[Graph, dict[str, Array]]:
    """The scalar chain with r = (μ/2) h², μ = 4, added: now h reaches J in two ways.

    Returns
    -------
    graph, values
        As for `scalar_chain`; r = ½, J = 1.
    """
    chain, values = scalar_chain()
    equations = [
        *chain.equations,
        Equation("l2", ("h",), "r", {"weight_decay": 4.0}, {"weight_decay": r"\mu"}),
        Equation("add", ("L", "r"), "J"),
    ]
    return Graph([chain.variables[name] for name in chain.given], equations), values


def diamond() -> tuple[Graph, dict[str, Array]]:
    """The running example with r = (μ/2) ‖h‖², μ = 0.5, added to J: now h has two readers.

    Returns
    -------
    graph, values
        As for `running_example` with one example.
    """
    plain, values = running_example()
    equations = [
        *plain.equations[:-1],
        Equation("l2", ("h",), "r", {"weight_decay": 0.5}, {"weight_decay": r"\mu"}),
        Equation("add", ("L", "s", "r"), "J"),
    ]
    given: list[Variable] = [plain.variables[name] for name in plain.given]
    return Graph(given, equations), values
