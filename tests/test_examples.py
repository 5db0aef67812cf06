"""The running example, the diamond and the five examples, with the numbers that every page repeats."""

from __future__ import annotations

import numpy as np
import pytest

from mlp import trace, value_and_grad
from mlp.examples import diamond, running_example


def rows(array: np.ndarray) -> list[list[float]]:
    return np.round(array, 12).tolist()


def column(array: np.ndarray) -> list[float]:
    return np.round(array, 12)[:, 0].tolist()


# --- one example ----------------------------------------------------------------------------------------------------


def test_forward_numbers_of_the_running_example() -> None:
    t = trace(*running_example())
    assert [column(t[name]) for name in "zho"] == [[3, 2, -2, 1], [3, 2, 0, 1], [1, -1]]
    assert [float(t[name]) for name in "LsJ"] == [2.5, 1.0, 3.5]


def test_backward_numbers_of_the_running_example() -> None:
    t = trace(*running_example())
    assert column(t["dJ/do"]) == [1, -2]
    assert column(t["dJ/dh"]) == [1, -1, -3, 2]
    assert column(t["dJ/dz"]) == [1, -1, 0, 2]
    assert rows(t["dJ/dW2"]) == [[2.9, 2.1, -0.1, 1.2], [-6.1, -3.9, 0.1, -2]]
    assert rows(t["dJ/dW1"]) == [[1.1, 2.1, -1], [-0.9, -1.9, 1.1], [0.1, -0.1, 0.1], [2, 4.1, -1.9]]


@pytest.mark.parametrize(("eta", "J"), [(0.01, 2.5496), (0.05, 1.0109), (0.1, 2.8739), (0.2, 14.0127)])
def test_the_objective_falls_and_rises_again_with_the_learning_rate(eta: float, J: float) -> None:
    graph, values = running_example()
    _, grads = value_and_grad(graph, values)
    stepped = values | {name: values[name] - eta * grads[name] for name in grads}
    assert value_and_grad(graph, stepped)[0] == pytest.approx(J, abs=5e-5)


def test_the_dead_unit_has_the_largest_cotangent_and_receives_only_the_decay() -> None:
    graph, values = running_example()
    t = trace(graph, values)
    dead = 2
    assert np.abs(t["dJ/dh"]).argmax() == dead
    assert t["h"][dead, 0] == t["dJ/dz"][dead, 0] == 0
    np.testing.assert_array_equal(t["dJ/dW1"][dead], 0.1 * values["W1"][dead])


def test_weights_receive_the_decay_first_and_the_layer_makes_them_final() -> None:
    graph, values = running_example()
    steps = [step for step in trace(graph, values) if step.variable == "W1" and step.phase == "backward"]
    assert [step.equation.op for step in steps] == ["l2", "matmul"]
    assert [step.final for step in steps] == [(), ("W1",)]
    assert rows(steps[0].contributions["W1"]) == rows(0.1 * values["W1"])
    assert rows(steps[1].contributions["W1"]) == [[1, 2, -1], [-1, -2, 1], [0, 0, 0], [2, 4, -2]]


def test_everybody_but_the_weights_receives_one_instalment_and_waits_for_nobody() -> None:
    t = trace(*running_example())
    assert {step.variable for step in t if not step.final} == {"W1", "W2"}


# --- the diamond ----------------------------------------------------------------------------------------------------


def test_numbers_of_the_diamond() -> None:
    t = trace(*diamond())
    assert [float(t[name]) for name in ("L", "s", "r", "J")] == [2.5, 1.0, 3.5, 7.0]
    assert column(t["dJ/dh"]) == [2.5, 0, -3, 2.5]
    assert column(t["dJ/dz"]) == [2.5, 0, 0, 2.5]


def test_h_receives_two_instalments_and_those_of_unit_2_cancel() -> None:
    steps = [step for step in trace(*diamond()) if step.variable == "h" and step.phase == "backward"]
    assert [step.equation.op for step in steps] == ["l2", "matmul"]
    assert [column(step.contributions["h"]) for step in steps] == [[1.5, 1, 0, 0.5], [1, -1, -3, 2]]
    assert [step.final for step in steps] == [(), ("h",)]


def test_z_waits_until_h_is_final() -> None:
    t = trace(*diamond())
    last_for_h = max(step.index for step in t if step.variable == "h")
    assert min(step.index for step in t if step.variable == "z" and step.phase == "backward") > last_for_h


def test_shapes_of_the_diamond_are_inferred() -> None:
    graph, _ = diamond()
    assert [graph.variables[name].shape for name in ("z", "h", "o", "L", "s", "r", "J")] == [
        (4, 1),
        (4, 1),
        (2, 1),
        (),
        (),
        (),
        (),
    ]


# --- five examples --------------------------------------------------------------------------------------------------


def test_the_first_of_five_examples_is_the_running_one() -> None:
    one, five = running_example(1)[1], running_example(5)[1]
    assert all(np.array_equal(five[name][:, :1], one[name]) for name in "xy")
    assert all(np.array_equal(five[name], one[name]) for name in ("W1", "W2"))


def test_forward_numbers_of_five_examples() -> None:
    t = trace(*running_example(5))
    assert rows(t["z"]) == [[3, 1, 3, -1, -1], [2, 2, 4, -2, 1], [-2, -2, 2, 2, 3], [1, 3, 2, -3, 1]]
    assert rows(t["o"]) == [[1, 7, 3, -2, 0], [-1, 1, 3, 2, 4]]
    assert [float(t[name]) for name in "LsJ"] == [6.5, 1.0, 7.5]


def test_no_unit_of_the_five_examples_is_at_a_corner() -> None:
    assert (trace(*running_example(5))["z"] != 0).all()


def test_gradients_of_five_examples() -> None:
    t = trace(*running_example(5))
    assert rows(t["dJ/do"]) == [[0.2, 1.2, 0.4, -0.4, 0.2], [-0.4, 0.2, 0.2, 0.4, 0.6]]
    assert rows(t["dJ/dW2"]) == [[2.9, 4.7, 0.5, 5.0], [-0.5, 1.1, 3.1, 1.2]]
    assert rows(t["dJ/dW1"]) == [[0.5, -2.9, -2.2], [-0.3, 2.3, 3.9], [0.5, -2.3, -0.1], [-0.4, 6.1, 3.7]]


def test_gradients_of_five_examples_in_closed_form() -> None:
    graph, v = running_example(5)
    n, decay = 5, 0.1
    Z = v["W1"] @ v["x"]
    H = np.maximum(Z, 0)
    delta_o = (v["W2"] @ H - v["y"]) / n  # 1/n enters here, once; the decay is never scaled by n
    delta_z = (v["W2"].T @ delta_o) * (Z > 0)
    _, grads = value_and_grad(graph, v)
    np.testing.assert_allclose(grads["W2"], delta_o @ H.T + decay * v["W2"], rtol=0, atol=1e-14)
    np.testing.assert_allclose(grads["W1"], delta_z @ v["x"].T + decay * v["W1"], rtol=0, atol=1e-14)


@pytest.mark.parametrize("batch", [0, 6, -1])
def test_there_are_one_to_five_examples(batch: int) -> None:
    with pytest.raises(ValueError, match=f"batch: expected 1 to 5 examples, received {batch}"):
        running_example(batch)


def test_every_call_gives_new_arrays() -> None:
    running_example()[1]["W1"][:] = 0
    assert running_example()[1]["W1"].any()
