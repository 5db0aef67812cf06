"""The chain-rule view in Python: Jacobians, paths, traits, what it refuses, and what it says where there is no page."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from mlp import Equation, Graph, Variable, jacobian, network, predict, trace
from mlp.examples import diamond, running_example, scalar_chain, two_paths
from mlp.ops import ACTIVATIONS, OPS, Array
from mlp.steps import cotangent_name
from mlp.views.chain_rule import ChainRule, fold, operator_ways, scalar_ways
from tests.cases import random_values

Values = dict[str, Array]


def by_differences(graph: Graph, values: Values, output: str, source: str) -> Array:
    """The Jacobian of one equation, by nudging its input and looking at its output alone."""
    run = trace(graph, values)
    equation = graph.maker(output)
    assert equation is not None
    op = graph.table[equation.op]
    shape = graph.variables[output].shape

    def forward(moved: Array) -> Array:
        inputs = [moved if name == source else run[name] for name in equation.inputs]
        out = np.empty(shape)
        work = [np.empty(s) for s in op.workspace(*(array.shape for array in inputs))]
        op.forward(out, *inputs, *work, **equation.attrs)
        return out.reshape(-1)

    columns = []
    for k in range(run[source].size):
        up, down = run[source].copy(), run[source].copy()
        up.reshape(-1)[k] += 1e-6
        down.reshape(-1)[k] -= 1e-6
        columns.append((forward(up) - forward(down)) / 2e-6)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_jacobian_of_every_operator_is_that_of_differences(activation: str, loss: str) -> None:
    graph = network([3, 4, 2], 2, activation, loss, weight_decay=0.1, bias=True)
    values = random_values(graph, 3)
    seen = set()
    for way in operator_ways(graph):
        output, source = way.split("/")
        matrix = jacobian(graph, values, output, source)
        assert np.abs(matrix - by_differences(graph, values, output, source)).max() < 1e-6
        seen.add(graph.maker(output).op)  # type: ignore[union-attr]
    assert seen == {"matmul", "bias", activation, loss, "l2", "add"} <= set(OPS)


def test_a_jacobian_adds_up_where_an_input_is_read_twice_by_one_equation() -> None:
    w = Variable("w", (2, 1), "float64", "parameter")
    equations = [Equation("add", ("w", "w"), "v"), Equation("l2", ("v",), "J", {"weight_decay": 1.0})]
    values = {"w": np.array([[1.0], [3.0]])}
    assert np.array_equal(jacobian(Graph([w], equations), values, "v", "w"), 2 * np.eye(2))


def test_the_jacobian_of_a_product_by_its_matrix_is_mostly_zeros() -> None:
    matrix = jacobian(*running_example(), "o", "W2")
    assert matrix.shape == (2, 8)
    assert np.array_equal(matrix, np.kron(np.eye(2), [[3, 2, 0, 1]]))


@pytest.mark.parametrize(
    ("output", "source", "message"),
    [
        ("x", "W1", r"output: expected a variable that an equation defines, received 'x'"),
        ("o", "W1", r"source: expected one of W2, h, received 'W1'"),
        ("nothing", "W1", r"variable: expected one of"),
    ],
)
def test_a_jacobian_of_nothing_is_refused(output: str, source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jacobian(*running_example(), output, source)


def test_no_jacobian_where_there_is_no_derivative() -> None:
    graph = network([3, 4, 2], loss="cross_entropy")
    with pytest.raises(ValueError, match=r"source: expected an input that cross_entropy has a derivative for"):
        jacobian(graph, random_values(graph, 0), "L", "y")


def test_folding_gives_the_share_that_the_engine_adds() -> None:
    graph, values = running_example(batch=4)
    run = trace(graph, values)
    for way in operator_ways(graph):
        output, source = way.split("/")
        matrix, delta, result = fold(graph, values, output, source)
        assert matrix.shape == (delta.size, result.size)
        share = next(s for s in run if s.argnum is not None and (s.equation.output, s.variable) == (output, source))
        assert np.abs(result - share.contributions[source]).max() < 1e-12


@pytest.mark.parametrize("example", [scalar_chain, two_paths])
def test_products_along_paths_add_up_to_the_gradient(example: Any) -> None:
    graph, values = example()
    run = trace(graph, values)
    for name, paths in scalar_ways(graph).items():
        total = 0.0
        for path in paths:
            edges = [(graph.equations[index].output, graph.equations[index].inputs[argnum]) for index, argnum in path]
            total += float(np.prod([jacobian(graph, values, *edge) for edge in edges]))
        assert total == pytest.approx(run[cotangent_name(graph, name)].item())


def test_every_path_is_found_once() -> None:
    counts = {name: len(paths) for name, paths in scalar_ways(two_paths()[0]).items()}
    assert counts == {"W1": 2, "W2": 1, "z": 2, "h": 2, "o": 1, "L": 1, "r": 1}


def test_the_numbers_of_the_examples_are_friendly() -> None:
    graph, values = scalar_chain()
    run = trace(graph, values)
    assert [run[name].item() for name in ("z", "h", "o", "L")] == [0, 0.5, 2, 0.5]
    assert [run[f"dL/d{name}"].item() for name in ("o", "h", "z", "W1", "W2")] == [1, 4, 1, 2, 0.5]
    assert predict(graph, values).item() == 2
    run = trace(*two_paths())
    assert [run[name].item() for name in ("r", "J", "dJ/dh", "dJ/dW1")] == [0.5, 1, 6, 3]


def test_it_says_the_paths_in_words() -> None:
    assert ChainRule(*two_paths(), scene="paths").text().splitlines() == [
        "∂J/∂L = 1 · ∂L/∂o = 1 · ∂o/∂h = 4 · ∂h/∂z = 0.25 · ∂z/∂W⁽¹⁾ = 2: product 2.",
        "∂J/∂r = 1 · ∂r/∂h = 2 · ∂h/∂z = 0.25 · ∂z/∂W⁽¹⁾ = 2: product 1.",
        "∂J/∂W⁽¹⁾ over 2 paths: 3; the backward pass has 3.",
    ]


def test_it_says_the_operator_in_words() -> None:
    text = ChainRule(*running_example(), chosen="o/W2").text()
    assert "2 outputs by 8 inputs, 128 B" in text
    assert "Without its zeros: 6 numbers, 48 B." in text
    assert "matmul_vjp_left(δ, h) = (3, 2, 0, 1, −6, −4, 0, −2)." in text


def test_traits_are_set_and_refused() -> None:
    view = ChainRule(*running_example(), chosen="h/z")
    view.stage = 2
    view.chosen = "o/h"
    view.values = {**view.values, "x": [[1.0], [0.0], [0.0]]}
    assert json.loads(re.findall(r"<script[^>]*>(.*)</script>", view.island())[0])["state"]["chosen"] == "o/h"
    for trait, wrong, message in [
        ("stage", 3, r"stage: expected 0 to 2, received 3"),
        ("chosen", "W1", r"chosen: expected one of"),
        ("values", {"q": [[1.0]]}, r"values: expected"),
    ]:
        with pytest.raises(Exception, match=message):
            setattr(view, trait, wrong)
    assert (view.stage, view.chosen) == (2, "o/h")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChainRule(*running_example(), scene="all"), r"scene: expected one of paths, operator, received 'all'"),
        (lambda: ChainRule(*running_example(), scene="paths"), r"expected single numbers in the scene 'paths'"),
        (lambda: ChainRule(*running_example(), chosen="o/W1"), r"chosen: expected one of"),
        (lambda: ChainRule(*running_example(), stage=-1), r"stage: expected 0 to 2, received -1"),
        (lambda: ChainRule(*running_example(), name="a b"), r"name: expected a letter"),
        (lambda: ChainRule(3, {}), r"graph: expected an mlp.Graph"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_is_refused(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_too_many_paths_are_refused() -> None:
    given = Variable("w", (1, 1), "float64", "parameter")
    equations = [Equation("add", (f"v{k}" if k else "w",) * 2, f"v{k + 1}") for k in range(6)]
    graph = Graph([given], [*equations, Equation("l2", ("v6",), "J", {"weight_decay": 1.0})])
    with pytest.raises(ValueError, match=r"expected at most 24 paths"):
        ChainRule(graph, {"w": np.ones((1, 1))}, scene="paths")


def test_a_share_is_no_gradient_where_a_variable_has_two_readers() -> None:
    graph, values = diamond()
    assert {"o/h", "r/h"} <= set(operator_ways(graph))
    shares = [fold(graph, values, output, "h")[2] for output in ("o", "r")]
    assert np.array_equal(sum(shares), trace(graph, values)["dJ/dh"])
    assert [share[1, 0] for share in shares] == [-1, 1]
