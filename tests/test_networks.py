"""`network`: the source text's names and shapes, any depth, and arguments that cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from mlp import network, predict, trace
from mlp.ops import ACTIVATIONS, LOSSES
from tests.cases import random_values


def test_one_hidden_layer_has_the_names_and_shapes_of_the_source_text() -> None:
    d, m, q, n = 3, 4, 2, 5
    graph = network([d, m, q], batch=n)
    assert {name: variable.shape for name, variable in graph.variables.items()} == {
        "x": (d, n),
        "W1": (m, d),
        "W2": (q, m),
        "y": (q, n),
        "z": (m, n),
        "h": (m, n),
        "o": (q, n),
        "L": (),
        "s": (),
        "J": (),
    }
    assert (graph.objective, graph.output) == ("J", "o")


def test_one_hidden_layer_is_the_equations_of_the_source_text() -> None:
    assert [str(equation) for equation in network([3, 4, 2], activation="tanh", weight_decay=0.1).equations] == [
        "z = matmul(W1, x)",
        "h = tanh(z)",
        "o = matmul(W2, h)",
        "L = squared_error(o, y)",
        "s = l2(W1, W2, weight_decay=0.1)",
        "J = add(L, s)",
    ]


def test_deeper_networks_number_their_layers() -> None:
    outputs = [equation.output for equation in network([3, 4, 5, 2]).equations]
    assert outputs == ["z1", "h1", "z2", "h2", "o", "L", "s", "J"]


def test_without_a_hidden_layer_the_network_is_one_product() -> None:
    assert [equation.op for equation in network([3, 2]).equations] == ["matmul", "squared_error", "l2", "add"]


def test_a_bias_is_a_column_added_in_every_layer() -> None:
    graph = network([3, 4, 2], batch=5, bias=True)
    assert graph.parameters == ("W1", "b1", "W2", "b2")
    assert [graph.variables[name].shape for name in ("b1", "b2")] == [(4, 1), (2, 1)]
    assert [str(e) for e in graph.equations if e.op == "bias"] == ["z = bias(a1, b1)", "o = bias(a2, b2)"]


def test_weight_decay_covers_weights_and_not_biases() -> None:
    decayed = next(equation for equation in network([3, 4, 5, 2], bias=True).equations if equation.op == "l2")
    assert decayed.inputs == ("W1", "W2", "W3")


def test_the_regulariser_is_there_when_it_weighs_nothing() -> None:
    equation = next(equation for equation in network([3, 2]).equations if equation.output == "s")
    assert equation.attrs == {"weight_decay": 0}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_activation_follows_every_layer_but_the_last(activation: str, loss: str) -> None:
    ops = [equation.op for equation in network([3, 4, 5, 2], activation=activation, loss=loss).equations]
    assert ops == ["matmul", activation, "matmul", activation, "matmul", loss, "l2", "add"]


@pytest.mark.parametrize("bias", [False, True])
def test_the_numbers_are_those_of_the_formulas(bias: bool) -> None:
    graph = network([3, 4, 2], batch=5, activation="tanh", weight_decay=0.1, bias=bias)
    v = random_values(graph)
    o = v["W2"] @ np.tanh(v["W1"] @ v["x"] + v.get("b1", 0)) + v.get("b2", 0)
    np.testing.assert_allclose(predict(graph, v), o, rtol=1e-14)
    s = 0.05 * ((v["W1"] ** 2).sum() + (v["W2"] ** 2).sum())
    assert float(trace(graph, v)["J"]) == pytest.approx(((o - v["y"]) ** 2).sum() / 10 + s, rel=1e-14)


@pytest.mark.parametrize("widths", [np.array([3, 4, 2]), (3, 4, 2), [np.int8(3), 4, np.uint64(2)]])
def test_whole_numbers_of_numpy_are_whole_numbers(widths: list[int]) -> None:
    assert network(widths, batch=np.int64(1)) == network([3, 4, 2])
    assert network(widths).to_json() == network([3, 4, 2]).to_json()


def test_a_range_is_a_sequence_of_widths() -> None:
    assert network(range(2, 5)) == network([2, 3, 4])


def test_a_weight_decay_of_numpy_is_a_number() -> None:
    assert network([3, 2], weight_decay=np.float32(0.5)) == network([3, 2], weight_decay=0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"widths": [3]}, ValueError, r"widths: expected at least two.*received \[3\]"),
        ({"widths": []}, ValueError, r"widths: expected at least two.*received \[\]"),
        ({"widths": [3, 0, 2]}, ValueError, r"widths\[1\]: expected a whole number >= 1, received 0"),
        ({"widths": [3, -4, 2]}, ValueError, r"widths\[1\]: expected a whole number >= 1, received -4"),
        ({"widths": [3, 4.5, 2]}, TypeError, r"widths\[1\]: expected a whole number >= 1, received 4.5"),
        ({"widths": [3, 4.0, 2]}, TypeError, r"widths\[1\]: expected a whole number >= 1, received 4.0"),
        ({"widths": [True, 4, 2]}, TypeError, r"widths\[0\]: expected a whole number >= 1, received True"),
        ({"widths": np.array([True, True])}, TypeError, r"widths\[0\].*received True"),
        ({"widths": np.array([3.0, 4.0])}, TypeError, r"widths\[0\].*received 3.0"),
        ({"widths": np.ones((2, 2), int)}, TypeError, r"widths\[0\].*received \[1, 1\]"),
        ({"widths": np.array(3)}, TypeError, r"widths: expected a sequence.*received array\(3\)"),
        ({"widths": ["3", "2"]}, TypeError, r"widths\[0\].*received '3'"),
        ({"widths": "342"}, TypeError, "widths: expected a sequence.*received '342'"),
        ({"widths": 3}, TypeError, "widths: expected a sequence.*received 3"),
        ({"widths": None}, TypeError, "widths: expected a sequence.*received None"),
        ({"widths": {3, 4, 2}}, TypeError, "widths: expected a sequence"),  # a set has no order
        ({"widths": {3: "in", 2: "out"}}, TypeError, "widths: expected a sequence"),
        ({"widths": iter([3, 2])}, TypeError, "widths: expected a sequence"),
        ({"batch": 0}, ValueError, "batch: expected a whole number >= 1, received 0"),
        ({"batch": -1}, ValueError, "batch: expected a whole number >= 1, received -1"),
        ({"batch": 1.0}, TypeError, "batch: expected a whole number >= 1, received 1.0"),
        ({"batch": True}, TypeError, "batch: expected a whole number >= 1, received True"),
        ({"batch": None}, TypeError, "batch: expected a whole number >= 1, received None"),
        ({"activation": "softmax"}, ValueError, "activation: expected one of identity, relu.*received 'softmax'"),
        ({"activation": "ReLU"}, ValueError, "activation: expected one of.*received 'ReLU'"),
        ({"activation": "add"}, ValueError, "activation: expected one of.*received 'add'"),
        ({"activation": None}, ValueError, "activation: expected one of.*received None"),
        ({"activation": np.array(["relu", "tanh"])}, ValueError, "activation: expected one of"),
        ({"loss": "mse"}, ValueError, "loss: expected one of squared_error, cross_entropy, received 'mse'"),
        ({"loss": "l2"}, ValueError, "loss: expected one of.*received 'l2'"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay: expected a finite number >= 0, received -0.1"),
        ({"weight_decay": np.nan}, ValueError, "weight_decay: expected a finite number >= 0, received nan"),
        ({"weight_decay": np.inf}, ValueError, "weight_decay: expected a finite number >= 0, received inf"),
        ({"weight_decay": "0.1"}, TypeError, "weight_decay: expected a finite number >= 0, received '0.1'"),
        ({"weight_decay": True}, TypeError, "weight_decay: expected a finite number >= 0, received True"),
        ({"weight_decay": None}, TypeError, "weight_decay: expected a finite number >= 0, received None"),
        ({"weight_decay": 1j}, TypeError, "weight_decay: expected a finite number >= 0, received 1j"),
        ({"weight_decay": np.array([0.1])}, TypeError, "weight_decay: expected a finite number >= 0"),
        ({"bias": 1}, TypeError, "bias: expected True or False, received 1"),
        ({"bias": "no"}, TypeError, "bias: expected True or False, received 'no'"),
        ({"dtype": "float16"}, ValueError, "dtype: expected one of float32, float64, received 'float16'"),
        ({"dtype": "int64"}, ValueError, "dtype: expected one of float32, float64, received 'int64'"),
        ({"dtype": np.float64}, ValueError, "dtype: expected one of float32, float64, received <class"),
        ({"dtype": np.dtype("float64")}, ValueError, "dtype: expected one of float32, float64, received dtype"),
    ],
)
def test_an_argument_that_cannot_be_is_named(arguments: dict[str, object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        network(**({"widths": [3, 4, 2]} | arguments))  # type: ignore[arg-type]
