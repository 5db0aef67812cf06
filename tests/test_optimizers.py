"""The update rules against a few lines of textbook, and what they take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlp import adam, memory, network, sgd
from mlp.ops import Array
from mlp.optimizers import OPTIMIZERS

SETTINGS = {
    "sgd": {"lr": 0.1},
    "momentum": {"lr": 0.1, "momentum": 0.7},
    "adam": {"lr": 0.1, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-8},
}


def plain_sgd(w: Array, gradients: list[Array]) -> Array:
    for g in gradients:
        w = w - 0.1 * g
    return w


def plain_momentum(w: Array, gradients: list[Array]) -> Array:
    v = np.zeros_like(w)
    for g in gradients:
        v = 0.7 * v + g
        w = w - 0.1 * v
    return w


def plain_adam(w: Array, gradients: list[Array]) -> Array:
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g**2
        w = w - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    return w


@pytest.mark.parametrize(("name", "plain"), [("sgd", plain_sgd), ("momentum", plain_momentum), ("adam", plain_adam)])
def test_an_optimizer_does_what_the_textbook_does(name: str, plain: Callable[[Array, list[Array]], Array]) -> None:
    rng = np.random.default_rng(0)
    optimizer = OPTIMIZERS[name]
    params = {"W1": rng.standard_normal((4, 3)), "b1": rng.standard_normal((4, 1))}
    begin = {key: array.copy() for key, array in params.items()}
    shapes = {key: array.shape for key, array in params.items()}
    state, work = optimizer.start(shapes, "float64"), optimizer.work(shapes, "float64")
    assert all(len(arrays) == len(optimizer.state) and not np.any(arrays) for arrays in state.values())
    assert [array.size for array in work] == [12] * optimizer.workspace
    history = [{key: rng.standard_normal(shape) for key, shape in shapes.items()} for _ in range(6)]
    objects = dict(params)
    for step, gradients in enumerate(history, 1):
        passed = {key: array.copy() for key, array in gradients.items()}
        optimizer.update(step, params, passed, state, work, **SETTINGS[name])
    for key in params:
        assert params[key] is objects[key]  # in place
        assert np.abs(params[key] - plain(begin[key], [gradients[key] for gradients in history])).max() < 1e-12


def test_training_with_momentum_is_those_steps() -> None:
    graph = network([3, 4, 2], activation="tanh", weight_decay=0.1)
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((3, 8)), rng.standard_normal((2, 8))
    start = graph.init(0)
    plain = sgd(graph, start, (X, Y), lr=0.1, epochs=5, batch_size=8)
    none = sgd(graph, start, (X, Y), lr=0.1, epochs=5, batch_size=8, momentum=0)
    some = sgd(graph, start, (X, Y), lr=0.1, epochs=5, batch_size=8, momentum=0.7)
    assert none.J == plain.J and some.J[:2] == plain.J[:2] and some.J[2] != plain.J[2]
    # By hand: the first two steps with their velocity.
    from mlp import value_and_grad

    whole, params, velocity = graph.with_batch(8), {k: v.copy() for k, v in start.items()}, {}
    found = []
    for _ in range(5):
        J, gradients = value_and_grad(whole, params | {"x": X, "y": Y})
        found.append(J)
        for name, gradient in gradients.items():
            velocity[name] = 0.7 * velocity.get(name, 0) + gradient
            params[name] = params[name] - 0.1 * velocity[name]
    assert np.allclose(found, some.J, rtol=1e-10)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_momentum_is_a_part(momentum: float) -> None:
    graph = network([3, 4, 2])
    with pytest.raises(ValueError, match="momentum: expected"):
        sgd(graph, graph.init(0), (np.ones((3, 2)), np.ones((2, 2))), lr=1, epochs=1, batch_size=1, momentum=momentum)


def test_state_is_counted() -> None:
    graph = network([30, 40, 20], batch=5, activation="tanh")
    words = 30 * 40 + 40 * 20
    peaks = {name: memory.predict(graph, "residuals", name).events[0].bytes["optimizer"] for name in OPTIMIZERS}
    assert peaks == {"sgd": 0, "momentum": 8 * words, "adam": 16 * words}
    update = memory.predict(graph, "residuals", "adam").events[-1]
    assert (update.phase, update.bytes["workspace"]) == ("update", 8 * 30 * 40)
    assert adam.__doc__ is not None
