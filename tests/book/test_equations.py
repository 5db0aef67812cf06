"""Every equation of the book that states a gradient is evaluated, and compared with the engine.

Equations in whole matrices are read from the chapter and run as they are printed (`formulas.evaluate`). Those in
indices are written out here as loops, and their TeX is quoted: who changes the one must look at the other. All sizes
differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import mlp
from mlp import Equation, Graph, Variable
from mlp.ops import Array
from tests.book.formulas import Display, displays, evaluate, name_of, statements, tokens

DISPLAYS = displays()
LABELLED = {display.label: display for display in DISPLAYS if display.label}
N, D, M, Q = 6, 3, 4, 5
SIZES = {"n": N, "d": D, "m": M, "q": Q}

PHI: Mapping[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "gelu": lambda z: z / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
}


def slope(activation: str, z: Array) -> Array:
    """φ' at z, by centred differences: nothing that the engine's rules know."""
    return (PHI[activation](z + 1e-6) - PHI[activation](z - 1e-6)) / 2e-6


def values_of(graph: Graph, seed: int, loss: str = "squared_error") -> dict[str, Array]:
    """Random values; for cross-entropy one-hot targets."""
    rng = np.random.default_rng(seed)
    values = {name: rng.standard_normal(graph.variables[name].shape) for name in graph.given}
    if loss == "cross_entropy":
        values["y"] = np.eye(Q)[:, rng.integers(Q, size=N)]
    return values


def curvature(activation: str, z: Array) -> Array:
    """φ'' at z, by five values of φ."""
    weights = {-2: -1, -1: 16, 0: -30, 1: 16, 2: -1}
    return sum(weight * PHI[activation](z + 2e-3 * k) for k, weight in weights.items()) / (12 * 2e-3**2)


def what_the_engine_knows(activation: str, loss: str = "squared_error", bias: bool = False) -> dict[str, Array]:
    """Every value and cotangent of a network with one hidden layer, by the names that the formulas use."""
    decay = 0.3
    graph = mlp.network([D, M, Q], N, activation=activation, loss=loss, weight_decay=decay, bias=bias)
    asked = [replace(v, role="parameter") if v.name == "x" else v for v in graph.variables.values()]
    graph = Graph(asked, graph.equations)  # ∂L/∂x too
    values = values_of(graph, seed=sum(map(ord, activation)), loss=loss)
    trace = mlp.trace(graph, values)
    known = {name: trace[name] for name in graph.variables}
    for name in graph.variables:
        if graph.needs_gradient(name):
            known[f"dJ/d{name}"] = trace[f"dJ/d{name}"]
    # The only way of o, h, z and x to J leads through L, and at the rate 1.
    known |= {f"dL/d{name}": known[f"dJ/d{name}"] for name in "ohzx"}
    e = np.exp(known["o"])
    known |= {"p": e / e.sum(axis=0), "phi'": slope(activation, known["z"]), "delta_o": known["dL/do"]}
    known |= {"delta_z": known["dL/dz"], "1": np.ones((N, 1)), r"\lambda": decay, r"\tfrac{1}{n}": 1 / N}
    return known


def compare(tex: str, known: Mapping[str, Array]) -> int:
    """Evaluate all sides of all statements of an equation; how many there were."""
    count = 0
    for sides, shape in statements(tex):
        first, *others = (evaluate(side, known) for side in sides)
        for side, other in zip(sides[1:], others, strict=True):
            assert np.shape(first) == np.shape(other), f"{sides[0]} is {np.shape(first)}, {side} is {np.shape(other)}"
            np.testing.assert_allclose(other, first, rtol=1e-6, atol=1e-8, err_msg=f"{sides[0]} = {side}")
            count += 1
        if shape:
            wanted = tuple(SIZES[letter] for letter in shape.strip("()").split(", "))
            assert np.shape(first) == wanted, f"{sides[0]}: the chapter says {shape}"
    return count


# --- in whole matrices: read and run as printed ---------------------------------------------------------------------

# label: how many statements it has, the loss, and whether there is a bias
PRINTED = {
    "eq-backward-loss": (1, "squared_error", False),
    "eq-backward-all": (5, "squared_error", False),
    "eq-backward-first": (1, "squared_error", False),
    "eq-training-p-minus-y": (1, "cross_entropy", False),
    "eq-backward-bias": (1, "squared_error", True),
    "eq-notation-columns": (9, "squared_error", True),
    "eq-exercises-bias": (6, "squared_error", True),
}
TWICE = {"eq-modes-twice"}


@pytest.mark.parametrize("activation", PHI)
@pytest.mark.parametrize("label", PRINTED)
def test_equations_in_whole_matrices(label: str, activation: str) -> None:
    count, loss, bias = PRINTED[label]
    assert compare(LABELLED[label].tex, what_the_engine_knows(activation, loss, bias)) == count


def transposed(known: Mapping[str, Array], *names: str) -> dict[str, Array]:
    """The same numbers the other way round: the variables of these names and their cotangents."""
    turned = {key for key in known for name in names if key == name or key.endswith(f"/d{name}")}
    return {key: value.T if key in turned else value for key, value in known.items()}


@pytest.mark.parametrize("activation", PHI)
def test_the_other_conventions(activation: str) -> None:
    """With rows as examples all columns lie down; only one of the two conventions turns the weights as well."""
    known = what_the_engine_knows(activation, bias=True)
    rows = transposed(known, *"xyzho", "b1", "b2", "phi'", "delta_o", "delta_z")
    assert compare(LABELLED["eq-notation-pytorch"].tex, rows) == 9
    assert compare(LABELLED["eq-notation-rows"].tex, transposed(rows, "W1", "W2")) == 9


def test_the_regulariser() -> None:
    known = what_the_engine_knows("tanh")
    graph = Graph([Variable("W", (M, D), role="parameter")], [Equation("l2", ("W",), "s", {"weight_decay": 0.3})])
    for name in ("W1", "W2"):
        W = known[name][:M, :D]
        _, grads = mlp.value_and_grad(graph, {"W": W})
        assert compare(LABELLED["eq-backward-decay"].tex, known | {"W": W, "ds/dW": grads["W"]}) == 1


@pytest.mark.parametrize("activation", PHI)
def test_elementwise_functions_fold(activation: str) -> None:
    """For one example, as a diagonal matrix needs a column."""
    known = what_the_engine_knows(activation)
    column = {key: value[:, 1:2] for key, value in known.items() if key in ("dJ/dz", "phi'")}
    assert compare(LABELLED["eq-chain-phi"].tex, {**column, "delta": known["dJ/dh"][:, 1:2]}) == 2


# --- in indices: written out here -----------------------------------------------------------------------------------


def test_difference() -> None:
    graph = mlp.network([D, M, Q], N, activation="tanh", weight_decay=0.3)
    values = values_of(graph, seed=1)
    _, grads = mlp.value_and_grad(graph, values)

    def J(name: str, j: int, k: int, nudge: float) -> float:
        moved = values[name].copy()
        moved[j, k] += nudge
        return mlp.value_and_grad(graph, {**values, name: moved})[0]

    for name in ("W1", "W2"):
        for j, k in np.ndindex(*values[name].shape):
            epsilon = 1e-5
            quotient = (J(name, j, k, epsilon) - J(name, j, k, -epsilon)) / (2 * epsilon)
            assert quotient == pytest.approx(grads[name][j, k], rel=1e-6, abs=1e-9)


def scalars(two_ways: bool) -> tuple[dict[str, float], mlp.Trace, dict[str, float]]:
    """A chain of scalars: local derivatives by hand, the engine's cotangents, and the numbers."""
    rng = np.random.default_rng(2)
    graph, values = (mlp.examples.two_paths if two_ways else mlp.examples.scalar_chain)()
    values = {name: rng.standard_normal((1, 1)) for name in values}
    trace = mlp.trace(graph, values)
    number = {name: float(trace[name].item()) for name in graph.variables}
    local = {
        "L/o": number["o"] - number["y"],
        "o/h": number["W2"],
        "h/z": float(slope("sigmoid", np.array(number["z"]))),
        "z/w1": number["x"],
        "J/L": 1.0,
        "J/r": 1.0,
        "r/h": 4.0 * number["h"],
    }
    return local, trace, number


def test_along_a_path() -> None:
    local, engine, _ = scalars(two_ways=False)
    assert local["L/o"] * local["o/h"] * local["h/z"] * local["z/w1"] == pytest.approx(engine["dL/dW1"].item())


def test_over_two_paths() -> None:
    local, engine, _ = scalars(two_ways=True)
    both = local["J/L"] * local["L/o"] * local["o/h"] + local["J/r"] * local["r/h"]
    assert both == pytest.approx(engine["dJ/dh"].item())


def test_over_all_readers() -> None:
    """a is read by three equations, whose outputs are o1, o2, o3."""
    rng = np.random.default_rng(3)
    given = [Variable("a", (M, N), role="parameter"), Variable("y", (M, N), role="target")]
    equations = [
        Equation("squared_error", ("a", "y"), "o1"),
        Equation("l2", ("a",), "o2", {"weight_decay": 0.3}),
        Equation("l2", ("a",), "o3", {"weight_decay": 0.7}),
        Equation("add", ("o1", "o2", "o3"), "J"),
    ]
    values = {name: rng.standard_normal((M, N)) for name in "ay"}
    graph = Graph(given, equations)
    _, grads = mlp.value_and_grad(graph, values)
    total = sum(1.0 * mlp.jacobian(graph, values, f"o{i}", "a").reshape(M, N) for i in (1, 2, 3))
    np.testing.assert_allclose(total, grads["a"], rtol=1e-9)


def test_from_outputs_to_inputs() -> None:
    """With a full Jacobian: the softmax's, which the book writes as J."""
    rng = np.random.default_rng(4)
    z, weights = rng.standard_normal(Q), rng.standard_normal(Q)

    def h(z: Array) -> Array:
        return np.exp(z) / np.exp(z).sum()

    def J(z: Array) -> float:
        return float((weights * np.sin(h(z))).sum())

    table = np.array([(h(z + e) - h(z - e)) / 2e-6 for e in 1e-6 * np.eye(Q)]).T  # rows are outputs
    delta = weights * np.cos(h(z))
    wanted = np.array([(J(z + e) - J(z - e)) / 2e-6 for e in 1e-6 * np.eye(Q)])
    by_entry = [sum(table[i, k] * delta[i] for i in range(Q)) for k in range(Q)]
    np.testing.assert_allclose(by_entry, wanted, atol=1e-8)
    np.testing.assert_allclose(table.T @ delta, wanted, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_tensors_with_more_indices_are_flattened(seed: int) -> None:
    """As the chapter says of `prod`: flatten both, and the table is a matrix; its product is put back into shape."""
    rng = np.random.default_rng(seed)
    X, Y = tuple(rng.integers(1, 4, 4)), tuple(rng.integers(1, 4, 3))
    kernel, x, weights = rng.standard_normal((*Y, *X)), rng.standard_normal(X), rng.standard_normal(Y)

    def f(x: Array) -> Array:
        return np.sin(np.tensordot(kernel, x, axes=x.ndim))

    def slopes(g: Callable[[Array], Array]) -> Array:
        """A column for each entry of x, in order."""
        nudges = 1e-6 * np.eye(x.size).reshape(x.size, *X)
        return np.array([(g(x + e) - g(x - e)).ravel() / 2e-6 for e in nudges]).T

    delta = weights * np.cos(f(x))
    folded = (slopes(f).T @ delta.ravel()).reshape(X)
    wanted = slopes(lambda x: np.array((weights * np.sin(f(x))).sum())).reshape(X)
    np.testing.assert_allclose(folded, wanted, atol=1e-7)


def test_matrix_product_in_indices() -> None:
    """Both long forms, entry by entry with [a = b] as a number, then the short ones as printed."""
    rng = np.random.default_rng(5)
    given = [Variable("W", (Q, M), role="parameter"), Variable("h", (M, N), role="parameter")]
    given.append(Variable("y", (Q, N), role="target"))
    graph = Graph(given, [Equation("matmul", ("W", "h"), "o"), Equation("squared_error", ("o", "y"), "J")])
    values = {variable.name: rng.standard_normal(variable.shape) for variable in given}
    W, h = values["W"], values["h"]
    trace = mlp.trace(graph, values)
    delta, outputs = trace["dJ/do"], list(product(range(Q), range(N)))
    for k, b in np.ndindex(M, N):
        long = sum(delta[i, a] * W[i, k] * (a == b) for i, a in outputs)
        short = sum(W[i, k] * delta[i, b] for i in range(Q))
        assert long == pytest.approx(trace["dJ/dh"][k, b]) == short
    for j, k in np.ndindex(Q, M):
        long = sum(delta[i, a] * (i == j) * h[k, a] for i, a in outputs)
        short = sum(delta[j, a] * h[k, a] for a in range(N))
        assert long == pytest.approx(trace["dJ/dW"][j, k]) == short
    known = {"W": W, "h": h, "delta": delta, "dJ/dh": trace["dJ/dh"], "dJ/dW": trace["dJ/dW"]}
    for label in ("eq-chain-transpose", "eq-chain-outer"):
        assert compare(LABELLED[label].tex.split(r"\text{so}\quad")[-1], known) == 1


@pytest.mark.parametrize("activation", PHI)
def test_tangents(activation: str) -> None:
    """eq-modes-tangents, line by line, against the engine's derivative along the same direction."""
    graph = mlp.network([D, M, Q], N, activation=activation, weight_decay=0.3)
    values = values_of(graph, seed=7)
    rng = np.random.default_rng(8)
    speed = {name: rng.standard_normal(values[name].shape) for name in ("W1", "W2")}
    trace = mlp.trace(graph, values)
    z = speed["W1"] @ values["x"]
    h = slope(activation, trace["z"]) * z
    o = speed["W2"] @ trace["h"] + values["W2"] @ h
    J = 1 / N * ((trace["o"] - values["y"]) * o).sum() + 0.3 * sum((values[W] * speed[W]).sum() for W in speed)
    for name, tangent in {"z": z, "h": h, "o": o, "J": J}.items():
        np.testing.assert_allclose(tangent, mlp.jvp(graph, values, speed, of=name)[1], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", PHI)
def test_twice(activation: str) -> None:
    """eq-modes-twice, as printed: each line's tangent is how the engine's cotangent changes along V."""
    known = what_the_engine_knows(activation)
    graph = mlp.network([D, M, Q], N, activation, weight_decay=0.3)
    values = {name: known[name] for name in graph.given}
    rng = np.random.default_rng(9)
    speed = {name: rng.standard_normal(values[name].shape) for name in ("W1", "W2")}
    ahead, behind = (mlp.trace(graph, values | {W: values[W] + e * speed[W] for W in speed}) for e in (1e-5, -1e-5))
    names = {"z": "z", "h": "h", "o": "o", "delta_o": "dJ/do", "delta_h": "dJ/dh", "delta_z": "dJ/dz"}
    names |= {"G1": "dJ/dW1", "G2": "dJ/dW2"}
    known |= {"delta_h": known["dL/dh"], "G1": known["dJ/dW1"], "G2": known["dJ/dW2"]}
    known |= {"V1": speed["W1"], "V2": speed["W2"], "phi''": curvature(activation, known["z"])}
    known |= {f"dot {name}": (ahead[where] - behind[where]) / 2e-5 for name, where in names.items()}
    assert compare(LABELLED["eq-modes-twice"].tex, known) == 10
    product = mlp.hvp(graph, values, speed)
    for k in "12":
        np.testing.assert_allclose(product[f"W{k}"], known[f"dot G{k}"], rtol=1e-6, atol=1e-8)


def test_softmax_entry_by_entry() -> None:
    o = np.random.default_rng(6).standard_normal(Q)
    p = np.exp(o) / np.exp(o).sum()
    for i, k in product(range(Q), range(Q)):
        e = 1e-6 * (np.arange(Q) == k)
        nudged = (np.exp(o + e)[i] / np.exp(o + e).sum() - np.exp(o - e)[i] / np.exp(o - e).sum()) / 2e-6
        assert p[i] * ((i == k) - p[k]) == pytest.approx(nudged, abs=1e-9)
        S = np.exp(o).sum()
        assert ((i == k) * np.exp(o[i]) * S - np.exp(o[i]) * np.exp(o[k])) / S**2 == pytest.approx(nudged, abs=1e-9)
        assert (i == k) * p[i] - p[i] * p[k] == pytest.approx(nudged, abs=1e-9)


def test_softmax_and_cross_entropy_line_by_line() -> None:
    """For one example; in the last line only, the targets must add up to 1."""
    rng = np.random.default_rng(10)
    o, y = rng.standard_normal(Q), rng.uniform(size=Q)

    def L(o: Array, y: Array) -> float:
        return float(-(y * np.log(np.exp(o) / np.exp(o).sum())).sum())

    p = np.exp(o) / np.exp(o).sum()
    for targets in (y, y / y.sum()):
        for k in range(Q):
            e = 1e-6 * (np.arange(Q) == k)
            nudged = (L(o + e, targets) - L(o - e, targets)) / 2e-6
            first = sum(((i == k) * p[i] - p[i] * p[k]) * -targets[i] / p[i] for i in range(Q))
            assert first == pytest.approx(nudged, abs=1e-8) == -targets[k] + p[k] * targets.sum()
    assert p[k] - targets[k] == pytest.approx(nudged, abs=1e-8)


def deep(widths: list[int], activation: str, batch: int, decay: float = 0.3) -> tuple[mlp.Trace, dict[str, Array]]:
    """A recorded run of a deep network, and h0 = x, the cotangents of the loss alone, and the slopes."""
    graph = mlp.network(widths, batch, activation, weight_decay=decay)
    run = mlp.trace(graph, values_of(graph, seed=len(widths)))
    last = len(widths) - 1
    known = {"h0": run["x"], f"delta{last}": run["dJ/do"]}
    for k in range(1, last):
        known |= {f"h{k}": run[f"h{k}"], f"delta{k}": run[f"dJ/dz{k}"], f"phi'{k}": slope(activation, run[f"z{k}"])}
    return run, known


@pytest.mark.parametrize("activation", PHI)
def test_any_depth(activation: str) -> None:
    """eq-depth-backward, at each layer; eq-depth-product, as a product of matrices; eq-depth-bound, for the whole."""
    run, known = deep([3, 5, 4, 6, 2], activation, batch=7)
    for k in range(1, 5):
        gradient = known[f"delta{k}"] @ known[f"h{k - 1}"].T + 0.3 * run[f"W{k}"]
        np.testing.assert_allclose(run[f"dJ/dW{k}"], gradient, rtol=1e-6, atol=1e-8)
        if k > 1:
            below = (run[f"W{k}"].T @ known[f"delta{k}"]) * known[f"phi'{k - 1}"]
            np.testing.assert_allclose(known[f"delta{k - 1}"], below, rtol=1e-6, atol=1e-8)
    run, known = deep([3, 5, 4, 6, 2], activation, batch=1)
    product = np.eye(5)
    bound = 1.0
    for k in range(1, 4):
        slopes = known[f"phi'{k}"].reshape(-1)
        product = product @ np.diag(slopes) @ run[f"W{k + 1}"].T
        bound *= np.abs(slopes).max() * np.linalg.norm(run[f"W{k + 1}"], 2)
    np.testing.assert_allclose(known["delta1"], product @ known["delta4"], rtol=1e-6, atol=1e-8)
    assert np.linalg.norm(known["delta1"]) <= bound * np.linalg.norm(known["delta4"]) * (1 + 1e-6)


@pytest.mark.parametrize("activation", PHI)
def test_layers_of_one_unit(activation: str) -> None:
    """eq-depth-scalar."""
    run, known = deep([1] * 6, activation, batch=1)
    factors = [run[f"W{k + 1}"] * known[f"phi'{k}"] for k in range(1, 5)]
    np.testing.assert_allclose(known["delta1"], math.prod(factors) * known["delta5"], rtol=1e-4, atol=1e-12)


# What is written out above, as it is printed. A changed formula needs a changed test: change both.
QUOTED = {
    # Its test takes the step: tests/book/test_ranges.py.
    "eq-training-decay": r"\mathbf{W} - \eta\, \frac{\partial J}{\partial\mathbf{W}} = "
    r"(1 - \eta\lambda)\, \mathbf{W} - \eta\, \frac{\partial L}{\partial\mathbf{W}} .",
    "eq-backward-decay": r"\frac{\partial s}{\partial \mathbf{W}} = \lambda \mathbf{W} .",
    "eq-backward-difference": r"\frac{\partial J}{\partial W_{jk}} \approx "
    r"\frac{J(W_{jk} + \varepsilon) - J(W_{jk} - \varepsilon)}{2 \varepsilon}",
    "eq-chain-path": r"\frac{\partial L}{\partial w_1} = \frac{\partial L}{\partial o} \cdot "
    r"\frac{\partial o}{\partial h} \cdot \frac{\partial h}{\partial z} \cdot \frac{\partial z}{\partial w_1} .",
    "eq-chain-two": r"\frac{\partial J}{\partial h} = \frac{\partial J}{\partial L} \cdot "
    r"\frac{\partial L}{\partial o} \cdot \frac{\partial o}{\partial h} + \frac{\partial J}{\partial r} \cdot "
    r"\frac{\partial r}{\partial h} .",
    "eq-chain-sum": r"\frac{\partial J}{\partial a} = \sum_i \frac{\partial J}{\partial u_i} \, "
    r"\frac{\partial u_i}{\partial a} .",
    "eq-chain-vjp": r"\begin{aligned} \frac{\partial J}{\partial z_k} &= \sum_i \frac{\partial h_i}{\partial z_k} "
    r"\frac{\partial J}{\partial h_i} , \\[1ex] \text{or}\quad \frac{\partial J}{\partial \mathbf{z}} &= "
    r"\mathbf{J}^\top \boldsymbol\delta \quad\text{with}\quad \boldsymbol\delta = "
    r"\frac{\partial J}{\partial \mathbf{h}} . \end{aligned}",
    "eq-chain-phi": r"\frac{\partial J}{\partial \mathbf{z}} = \operatorname{diag}(\phi'(\mathbf{z}))\, "
    r"\boldsymbol\delta = \boldsymbol\delta \odot \phi'(\mathbf{z}) .",
    "eq-chain-transpose": r"\begin{aligned} \frac{\partial J}{\partial h_{kb}} &= "
    r"\sum_{i, a} \delta_{ia} W_{ik} [a = b] \\ &= \sum_i W_{ik}\, \delta_{ib} , \\[1ex] "
    r"\text{so}\quad \frac{\partial J}{\partial \mathbf{h}} &= \mathbf{W}^\top \boldsymbol\delta . \end{aligned}",
    "eq-chain-outer": r"\begin{aligned} \frac{\partial J}{\partial W_{jk}} &= "
    r"\sum_{i, a} \delta_{ia} [i = j]\, h_{ka} \\ &= \sum_a \delta_{ja} h_{ka} , \\[1ex] "
    r"\text{so}\quad \frac{\partial J}{\partial \mathbf{W}} &= \boldsymbol\delta\, \mathbf{h}^\top . \end{aligned}",
    "eq-modes-tangents": r"\begin{aligned} \dot{\mathbf{z}} &= \dot{\mathbf{W}}^{(1)} \mathbf{x} & (m, n) \\ "
    r"\dot{\mathbf{h}} &= \phi'(\mathbf{z}) \odot \dot{\mathbf{z}} & (m, n) \\ "
    r"\dot{\mathbf{o}} &= \dot{\mathbf{W}}^{(2)} \mathbf{h} + \mathbf{W}^{(2)} \dot{\mathbf{h}} & (q, n) \\ "
    r"\dot{J} &= \tfrac{1}{n} \textstyle\sum (\mathbf{o} - \mathbf{y}) \odot \dot{\mathbf{o}} + "
    r"\lambda \sum \mathbf{W} \odot \dot{\mathbf{W}} & () \end{aligned}",
    "eq-chain-softmax": r"\frac{\partial p_i}{\partial o_k} = p_i \left( [i = k] - p_k \right) .",
    "eq-exercises-softmax": r"\begin{aligned} \frac{\partial p_i}{\partial z_k} &= "
    r"\frac{[i = k]\, e^{z_i} S - e^{z_i} e^{z_k}}{S^2} \\ &= [i = k]\, p_i - p_i p_k . \end{aligned}",
    "eq-exercises-collapse": r"\begin{aligned} \frac{\partial L}{\partial o_k} &= "
    r"\sum_i \big( [i = k]\, p_i - p_i p_k \big) \left( -\frac{y_i}{p_i} \right) \\ "
    r"&= -y_k + p_k \sum_i y_i \\ &= p_k - y_k . \end{aligned}",
    "eq-depth-backward": r"\begin{aligned} \frac{\partial J}{\partial \mathbf{W}^{(k)}} &= \boldsymbol\delta^{(k)} "
    r"{\mathbf{h}^{(k-1)}}^\top + \lambda \mathbf{W}^{(k)} , \\[1ex] \boldsymbol\delta^{(k-1)} &= "
    r"\big( {\mathbf{W}^{(k)}}^\top \boldsymbol\delta^{(k)} \big) \odot \phi'(\mathbf{z}^{(k-1)}) . \end{aligned}",
    "eq-depth-scalar": r"\delta^{(1)} = w^{(2)} \phi'(z^{(1)}) \cdots w^{(K)} \phi'(z^{(K-1)}) \; \delta^{(K)} .",
    "eq-depth-product": r"\boldsymbol\delta^{(1)} = \mathbf{A}_1 \mathbf{A}_2 \cdots \mathbf{A}_{K-1} \, "
    r"\boldsymbol\delta^{(K)} .",
    "eq-depth-bound": r"\frac{\lVert \boldsymbol\delta^{(1)} \rVert}{\lVert \boldsymbol\delta^{(K)} \rVert} \le "
    r"\prod_{k=1}^{K-1} \max|\phi'| \cdot \lVert \mathbf{W}^{(k+1)} \rVert_2 .",
}
OTHER_CONVENTIONS = {"eq-notation-rows", "eq-notation-pytorch"}
# What states no gradient that could be evaluated, and why.
DEFINITIONS = {
    "eq-chain-prod": "quotes other texts; prod stands for whatever product is right, and the page unfolds it",
}


@pytest.mark.parametrize("label", QUOTED)
def test_what_is_written_out_here_is_what_the_page_says(label: str) -> None:
    assert label in LABELLED, f"{label} is gone: take it out of the table, and its test with it"
    assert " ".join(LABELLED[label].tex.split()) == QUOTED[label], f"{label}: change its test too"


def test_every_gradient_is_evaluated() -> None:
    tables = [set(PRINTED), TWICE, OTHER_CONVENTIONS, set(QUOTED), set(DEFINITIONS)]
    covered = set().union(*tables)
    assert sum(map(len, tables)) == len(covered), "a label stands in two tables"
    stated = {display.label or f"{display.page}: {display.tex}" for display in DISPLAYS if display.has_gradient}
    assert stated - covered == set(), "gradients without a test: evaluate them here (unlabelled: label them)"
    assert covered - stated == set(), "labels that are gone, or state no gradient any more"


def test_no_label_is_used_twice() -> None:
    labels = [display.label for display in DISPLAYS if display.label]
    assert sorted(labels) == sorted(set(labels))


# --- the reader itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        r"\frac{\partial L}{\partial \mathbf{z}}\, \mathbf{x} + \lambda \mathbf{W}^{(1)}",
        r"\frac{\partial L}{\partial \mathbf{z}}\, \mathbf{x}^\top",
        r"\frac{\partial L}{\partial \mathbf{z}}\, \mathbf{x}^\top - \lambda \mathbf{W}^{(1)}",
        r"\frac{\partial L}{\partial \mathbf{h}}\, \mathbf{x}^\top + \lambda \mathbf{W}^{(1)}",
        r"\left({\mathbf{W}^{(2)}}^\top\frac{\partial L}{\partial \mathbf{o}}\right)\phi'(\mathbf{z})\,\mathbf{x}^\top",
        r"\frac{\partial L}{\partial \mathbf{z}} \odot \mathbf{x}^\top",
    ],
)
def test_a_wrong_formula_is_caught(wrong: str) -> None:
    known = what_the_engine_knows("tanh")
    with pytest.raises((AssertionError, ValueError)):
        compare(rf"\frac{{\partial J}}{{\partial \mathbf{{W}}^{{(1)}}}} = {wrong}", known)


@pytest.mark.parametrize("strange", [r"\mathbf{x} \times \mathbf{y}", r"\mathbf{q}", r"(\mathbf{x}", r"\mathbf{x})"])
def test_what_it_does_not_know_it_refuses(strange: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        evaluate(strange, what_the_engine_knows("tanh"))


def test_names_are_read() -> None:
    assert name_of(r"\mathbf{W}^{(1)}") == "W1"
    assert tokens(r"\dot{\mathbf{G}}^{(1)} \phi''(\mathbf{z})") == [("dot", "dot G1"), ("slope", "phi''")]
    assert [name for _, name in tokens(r"{\mathbf{W}^{(2)}}^\top \boldsymbol\delta_o")][1::3] == ["W2", "delta_o"]
    assert Display("", None, r"\frac{\partial J}{\partial x}").has_gradient
    assert not Display("", None, "J = L + s").has_gradient
