"""Training: minibatches as a hand loop takes them, the same bits from the same seed, divergence with its history."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mlp import Equation, Graph, History, Variable, adam, network, predict, sgd, value_and_grad
from mlp.data import Examples, digits
from mlp.examples import running_example
from mlp.ops import OPS, Array
from mlp.train import DivergenceError
from mlp.values import one_hot
from tests.cases import random_values, same_bits

Values = dict[str, Array]
Trainer = Callable[..., History]
both = pytest.mark.parametrize("train", [sgd, adam])


def problem(dtype: str = "float64", count: int = 7) -> tuple[Graph, Values, tuple[Array, Array]]:
    """A small network, parameters to start from, and seven examples: two minibatches of three, and one of one."""
    graph = network([3, 5, 2], activation="tanh", weight_decay=0.1, bias=True, dtype=dtype)
    values = random_values(graph.with_batch(count), seed=3)
    return graph, {name: values[name] for name in graph.parameters}, (values["x"], values["y"])


def test_sgd_is_the_loop_that_one_would_write_by_hand() -> None:
    graph, params, (X, Y) = problem()
    history = sgd(graph, params, (X, Y), lr=0.1, epochs=3, batch_size=3, seed=5)
    by_hand, J, rng = {name: array.copy() for name, array in params.items()}, [], np.random.default_rng(5)
    for _ in range(3):
        order = rng.permutation(7)
        for start in (0, 3, 6):
            chosen = order[start : start + 3]  # the last minibatch has one example, and is averaged over one
            batch = {"x": np.ascontiguousarray(X[:, chosen]), "y": np.ascontiguousarray(Y[:, chosen])}
            value, grads = value_and_grad(graph.with_batch(len(chosen)), by_hand | batch)
            J.append(value)
            by_hand = {name: by_hand[name] - 0.1 * grads[name] for name in by_hand}
    np.testing.assert_allclose(history.J, J, rtol=1e-13)
    assert history.sizes == [3, 3, 1] * 3
    for name in params:
        np.testing.assert_allclose(history.params[name], by_hand[name], rtol=0, atol=1e-14)


def test_adam_is_the_algorithm_of_the_paper() -> None:
    graph, params, (X, Y) = problem()
    history = adam(graph, params, (X, Y), lr=0.01, epochs=4, batch_size=7, beta1=0.8, beta2=0.95, epsilon=1e-6)
    theta = {name: array.copy() for name, array in params.items()}
    m, v = ({name: np.zeros_like(array) for name, array in params.items()} for _ in range(2))
    rng = np.random.default_rng(0)
    for t in range(1, 5):
        order = rng.permutation(7)
        batch = {"x": np.ascontiguousarray(X[:, order]), "y": np.ascontiguousarray(Y[:, order])}
        _, g = value_and_grad(graph.with_batch(7), theta | batch)
        for name in theta:
            m[name] = 0.8 * m[name] + 0.2 * g[name]
            v[name] = 0.95 * v[name] + 0.05 * g[name] ** 2
            m_hat, v_hat = m[name] / (1 - 0.8**t), v[name] / (1 - 0.95**t)
            theta[name] = theta[name] - 0.01 * m_hat / (np.sqrt(v_hat) + 1e-6)
    for name in params:
        np.testing.assert_allclose(history.params[name], theta[name], rtol=0, atol=1e-13)


@both
def test_training_leaves_the_callers_arrays_alone(train: Trainer) -> None:
    graph, params, data = problem()
    before = [array.copy() for array in (*params.values(), *data)]
    history = train(graph, params, data, lr=0.1, epochs=2, batch_size=3)
    assert all(same_bits(a, b) for a, b in zip(before, (*params.values(), *data), strict=True))
    assert not any(np.shares_memory(history.params[name], params[name]) for name in params)


@both
def test_the_same_seed_gives_the_same_bits(train: Trainer) -> None:
    graph, params, data = problem()
    runs = [train(graph, params, data, lr=0.1, epochs=2, batch_size=3, seed=seed) for seed in (1, 1, 2)]
    assert runs[0].J == runs[1].J != runs[2].J
    assert all(same_bits(runs[0].params[name], runs[1].params[name]) for name in params)


@both
def test_a_generator_is_a_seed(train: Trainer) -> None:
    graph, params, data = problem()
    runs = [train(graph, params, data, lr=0.1, epochs=2, batch_size=3, seed=s) for s in (1, np.random.default_rng(1))]
    assert runs[0].J == runs[1].J


@both
def test_the_batch_of_the_graph_does_not_matter(train: Trainer) -> None:
    graph, params, data = problem()
    runs = [train(graph.with_batch(n), params, data, lr=0.1, epochs=1, batch_size=3) for n in (1, 4)]
    assert runs[0].J == runs[1].J


@both
def test_float32_stays_float32(train: Trainer) -> None:
    graph, params, data = problem("float32")
    history = train(graph, params, data, lr=np.float64(0.1), epochs=2, batch_size=3)
    assert {array.dtype for array in history.params.values()} == {np.dtype("float32")}


def test_betas_of_numpy_change_no_bit() -> None:
    graph, params, data = problem("float32")
    plain = adam(graph, params, data, epochs=2, batch_size=3)
    fancy = adam(graph, params, data, epochs=2, batch_size=3, beta1=np.float64(0.9), beta2=np.float64(0.999))
    assert all(same_bits(plain.params[name], fancy.params[name]) for name in params)


@both
def test_arrays_in_any_layout_train_alike(train: Trainer) -> None:
    graph, params, (X, Y) = problem()
    plain = train(graph, params, (X, Y), lr=0.1, epochs=2, batch_size=3)
    wide = np.zeros((6, 14))
    wide[::2, ::2] = X
    odd = {name: np.asfortranarray(array) for name, array in params.items()}
    other = train(graph, odd, [wide[::2, ::2], np.asfortranarray(Y)], lr=0.1, epochs=2, batch_size=3)
    assert plain.J == other.J
    assert all(same_bits(plain.params[name], np.ascontiguousarray(other.params[name])) for name in params)


# --- the history ----------------------------------------------------------------------------------------------------


def test_the_history_has_an_entry_a_step_and_j_is_l_plus_s() -> None:
    graph, params, data = problem()
    history = sgd(graph, params, data, lr=0.1, epochs=4, batch_size=3)
    assert len(history.J) == len(history.L) == len(history.s) == len(history.sizes) == 12
    assert history.steps_per_epoch == 3
    assert [a + b for a, b in zip(history.L, history.s, strict=True)] == history.J


def test_by_epoch_weighs_a_minibatch_by_its_examples() -> None:
    graph, params, data = problem()
    history = sgd(graph, params, data, lr=0.1, epochs=2, batch_size=3)
    expected = [(3 * a + 3 * b + c) / 7 for a, b, c in (history.L[:3], history.L[3:])]
    assert history.by_epoch("L") == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", ["q", "params", "sizes", "", None])
def test_by_epoch_knows_three_names(name: str) -> None:
    graph, params, data = problem()
    with pytest.raises(ValueError, match="name: expected one of J, L, s, received"):
        sgd(graph, params, data, lr=0.1, epochs=1, batch_size=3).by_epoch(name)


def test_a_graph_without_l_and_s_has_a_history_of_j() -> None:
    graph, values = running_example()
    equations = [*graph.equations[:3], *[type(e)(e.op, e.inputs, "J") for e in graph.equations if e.output == "L"]]
    bare = Graph([graph.variables[name] for name in graph.given], equations)
    params = {name: values[name] for name in ("W1", "W2")}
    history = sgd(bare, params, (values["x"], values["y"]), lr=0.01, epochs=3, batch_size=1)
    assert (len(history.J), history.L, history.s) == (3, [], [])


@both
def test_evaluate_sees_a_copy_of_the_parameters_after_every_epoch(train: Trainer) -> None:
    graph, params, data = problem()
    seen: list[Values] = []

    def evaluate(now: Values) -> int:
        seen.append({name: array.copy() for name, array in now.items()})
        for array in now.values():
            array[:] = np.nan  # spoils a copy, not the training
        return len(seen)

    history = train(graph, params, data, lr=0.1, epochs=3, batch_size=3, evaluate=evaluate)
    assert history.evaluations == [1, 2, 3]
    assert all(same_bits(seen[-1][name], history.params[name]) for name in params)
    assert history.J == train(graph, params, data, lr=0.1, epochs=3, batch_size=3).J


def test_progress_is_a_line_an_epoch() -> None:
    graph, params, data = problem()
    lines: list[str] = []
    sgd(graph, params, data, lr=0.1, epochs=2, batch_size=3, evaluate=lambda now: 0.5, progress=lines.append)
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(f"{name} " in lines[0] for name in ("J", "L", "s", "evaluation"))


# --- divergence -----------------------------------------------------------------------------------------------------


def test_divergence_stops_with_the_step_the_last_finite_j_and_the_history() -> None:
    graph, params, data = problem()
    graph = network([3, 5, 2], activation="identity", bias=True)
    with pytest.raises(DivergenceError, match="training diverged at step") as caught:
        sgd(graph, params, data, lr=10.0, epochs=2000, batch_size=3)
    history = caught.value.history
    assert 0 < len(history.J) < 3000
    assert np.isfinite(history.J).all()
    assert len(history.J) == len(history.L) == len(history.sizes)
    assert f"at step {len(history.J)}:" in str(caught.value)
    assert f"the last finite J was {history.J[-1]:.6g}" in str(caught.value)
    assert "smaller lr" in str(caught.value)
    assert isinstance(caught.value, FloatingPointError)


def test_divergence_is_an_error_and_no_warning_besides() -> None:
    """As in a reader's session, where warnings are shown and raise nothing."""
    graph, params, data = problem()
    graph = network([3, 5, 2], activation="identity", bias=True, weight_decay=0.1)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with pytest.raises(DivergenceError):
            sgd(graph, params, data, lr=10.0, epochs=2000, batch_size=7)
    assert [str(warning.message) for warning in shown] == []


def test_divergence_at_the_first_step_says_that_no_j_was_finite() -> None:
    graph, params, (X, Y) = problem()
    with pytest.raises(DivergenceError, match="at step 0: expected a finite objective; no J was finite"):
        sgd(graph, params, (X, 1e200 * Y), lr=0.1, epochs=1, batch_size=3)


@both
def test_an_overflow_in_the_very_last_update_is_divergence_too(train: Trainer) -> None:
    graph, params, (X, Y) = problem()
    calls: list[Values] = []
    with pytest.raises(DivergenceError, match=r"in the update: overflow") as caught:
        train(graph, params, (X, 1e150 * Y), lr=1.7e308, epochs=1, batch_size=7, evaluate=calls.append)
    assert len(caught.value.history.J) == 1
    assert calls == []  # nobody is shown parameters that are not numbers


def test_an_error_of_evaluate_is_its_own() -> None:
    graph, params, data = problem()

    def evaluate(now: Values) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        sgd(graph, params, data, lr=0.1, epochs=1, batch_size=3, evaluate=evaluate)


# --- arguments that cannot be ---------------------------------------------------------------------------------------

GRAPH, PARAMS, (X7, Y7) = problem()
LABELS = network([3, 5, 2], loss="cross_entropy", bias=True)


@both
@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"lr": 0}, ValueError, "lr: expected a finite number > 0, received 0"),
        ({"lr": np.float32(0)}, ValueError, "lr: expected a finite number > 0"),
        ({"lr": -0.1}, ValueError, r"lr: expected a finite number > 0, received -0\.1"),
        ({"lr": np.nan}, ValueError, "lr: expected a finite number > 0, received nan"),
        ({"lr": np.inf}, ValueError, "lr: expected a finite number > 0, received inf"),
        ({"lr": "0.1"}, TypeError, r"lr: expected a finite number > 0, received '0\.1'"),
        ({"lr": None}, TypeError, "lr: expected a finite number > 0, received None"),
        ({"lr": True}, TypeError, "lr: expected a finite number > 0, received True"),
        ({"epochs": 0}, ValueError, "epochs: expected a whole number >= 1, received 0"),
        ({"epochs": 1.5}, TypeError, r"epochs: expected a whole number >= 1, received 1\.5"),
        ({"batch_size": 0}, ValueError, "batch_size: expected a whole number >= 1, received 0"),
        ({"batch_size": -3}, ValueError, "batch_size: expected a whole number >= 1, received -3"),
        ({"batch_size": 3.0}, TypeError, r"batch_size: expected a whole number >= 1, received 3\.0"),
        ({"batch_size": 8}, ValueError, "batch_size: expected at most 7 examples, received 8"),
        ({"seed": 1.5}, TypeError, r"seed: expected an int or a numpy Generator, received 1\.5"),
        ({"seed": None}, TypeError, "seed: expected an int or a numpy Generator, received None"),
        ({"seed": True}, TypeError, "seed: expected an int or a numpy Generator, received True"),
        ({"seed": -1}, ValueError, "seed: expected an int >= 0, received -1"),
        ({"evaluate": 3}, TypeError, "evaluate: expected a function or None, received 3"),
        ({"progress": "yes"}, TypeError, "progress: expected a function or None, received 'yes'"),
        ({"params": None}, ValueError, "params: expected W1, b1, W2, b2, received NoneType"),
        ({"params": {}}, ValueError, "params: expected W1, b1, W2, b2, received none"),
        ({"params": PARAMS | {"x": X7}}, ValueError, "params: expected W1, b1, W2, b2, received .*x"),
        ({"params": PARAMS | {"W1": PARAMS["W1"].T}}, ValueError, r"W1: .*\(5, 3\), received shape \(3, 5\)"),
        ({"params": PARAMS | {"W1": np.nan * PARAMS["W1"]}}, ValueError, r"W1: .*received nan at \(0, 0\)"),
        ({"params": PARAMS | {"W1": PARAMS["W1"].tolist()}}, TypeError, "W1: expected a float64 array.*list"),
        ({"data": None}, TypeError, r"data: expected a pair \(X, Y\), received NoneType"),
        ({"data": X7}, TypeError, r"data: expected a pair \(X, Y\), received ndarray"),
        ({"data": (X7,)}, TypeError, r"data: expected a pair \(X, Y\), received 1 part"),
        ({"data": (X7, Y7, Y7)}, TypeError, r"data: expected a pair \(X, Y\), received 3 parts"),
        ({"data": (X7, [0, 1, 1, 0, 1, 0, 1])}, TypeError, "Y: expected a float64 array.*received list"),
        ({"data": (X7, np.array([0, 1, 1, 0, 1, 0, 1]))}, TypeError, r"Y: .*shape \(7,\); pass mlp.one_hot\(Y, 2\)"),
        ({"data": (X7, Y7[:, :3])}, ValueError, "data: expected as many columns in Y as in X, 7, received 3"),
        (
            {"data": (X7.T.copy(), Y7.T.copy())},
            ValueError,
            r"X: expected .*\(3, 7\), received shape \(7, 3\); an example is a column; pass X.T$",
        ),
        ({"data": (X7[:2], Y7)}, ValueError, r"X: expected .*\(3, 7\), received shape \(2, 7\)"),
        ({"data": (X7, Y7[:1])}, ValueError, r"Y: expected .*\(2, 7\), received shape \(1, 7\)"),
        ({"data": (X7[:, :0], Y7[:, :0])}, ValueError, r"X: expected .*received shape \(3, 0\)$"),
        ({"data": (X7.astype("float32"), Y7)}, TypeError, "X: expected a float64 array.*received dtype float32"),
        ({"data": (X7, np.nan * Y7)}, ValueError, r"Y: expected finite numbers, received nan at \(0, 0\)"),
        ({"graph": LABELS}, ValueError, "Y: expected one-hot columns"),
        ({"graph": LABELS, "data": (X7, np.ones((2, 7)))}, ValueError, r"Y: expected one-hot.*column 0 = \(1, 1\)"),
        (
            {"graph": Graph([Variable("x", (3, 1))], []), "params": {}},
            ValueError,
            r"graph: expected one input and one target, received \['x'\] and \[\]",
        ),
    ],
)
def test_an_argument_that_cannot_be_is_named(
    train: Trainer, changed: dict[str, object], error: type[Exception], said: str
) -> None:
    arguments: dict[str, object] = {"graph": GRAPH, "params": PARAMS, "data": (X7, Y7)}
    arguments |= {"lr": 0.1, "epochs": 1, "batch_size": 3}
    with pytest.raises(error, match=said):
        train(**(arguments | changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"beta1": 1.0}, r"beta1: expected a number in \[0, 1\), received 1"),
        ({"beta2": 1.5}, r"beta2: expected a number in \[0, 1\), received 1.5"),
        ({"beta1": -0.1}, "beta1: expected a finite number >= 0, received -0.1"),
        ({"beta2": "0.9"}, "beta2: expected a finite number >= 0, received '0.9'"),
        ({"epsilon": 0}, "epsilon: expected a finite number > 0, received 0"),
    ],
)
def test_numbers_of_adam_that_cannot_be_are_named(changed: dict[str, float], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        adam(GRAPH, PARAMS, (X7, Y7), epochs=1, batch_size=3, **changed)


# --- real data ------------------------------------------------------------------------------------------------------


def accuracy(graph: Graph, params: Values, test: Examples) -> float:
    o = predict(graph.with_batch(test.X.shape[1]), params | {"x": test.X})
    return float((o.argmax(axis=0) == test.labels).mean())


@pytest.mark.parametrize(("train", "lr"), [(sgd, 0.2), (adam, 0.003)])
def test_digits_are_learnt_and_to_the_same_bits_again(train: Trainer, lr: float) -> None:
    learn, test = digits()
    graph = network([64, 48, 10], activation="relu", loss="cross_entropy", weight_decay=1e-4, bias=True)
    histories = [train(graph, graph.init(seed=0), learn, lr=lr, epochs=30, batch_size=32, seed=0) for _ in range(2)]
    assert accuracy(graph, histories[0].params, test) >= 0.96
    assert histories[0].J == histories[1].J
    assert all(same_bits(histories[0].params[name], histories[1].params[name]) for name in graph.parameters)


def test_labels_of_another_shape_do_not_pass_for_examples() -> None:
    learn, _ = digits()
    graph = network([64, 10], loss="cross_entropy")
    with pytest.raises(ValueError, match=r"Y: expected a float64 array of shape \(10, 1437\)"):
        sgd(graph, graph.init(0), (learn.X, one_hot(np.arange(1437) % 9, 9)), lr=0.1, epochs=1, batch_size=9)


def test_labels_as_whole_numbers_come_with_the_way_out() -> None:
    learn, _ = digits()
    graph = network([64, 10], loss="cross_entropy")
    options = {"lr": 0.1, "epochs": 1, "batch_size": 32}
    with pytest.raises(TypeError, match=r"Y: expected .* shape \(1437,\); pass mlp.one_hot\(Y, 10\)$"):
        sgd(graph, graph.init(0), (learn.X, learn.labels), **options)
    sgd(graph, graph.init(0), (learn.X, one_hot(learn.labels, 10)), **options)
    with pytest.raises(ValueError, match=r"X: expected .*received shape \(64,\); pass X.reshape\(-1, 1\)$"):
        sgd(graph, graph.init(0), (learn.X[:, 0], learn.Y), **options)


# --- errors that are not divergence, and divergence that travels ----------------------------------------------------


def test_divergence_can_be_pickled() -> None:
    graph, params, (X, Y) = problem()
    with pytest.raises(DivergenceError) as caught:
        sgd(graph, params, (X, 1e150 * Y), lr=1e300, epochs=2, batch_size=7)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.history.J == caught.value.history.J


def test_a_bug_in_a_rule_is_not_called_divergence() -> None:
    def bug(out: Array, z: Array) -> None:
        raise ValueError("a bug in my rule")

    table = dict(OPS) | {"tanh": replace(OPS["tanh"], forward=bug)}
    graph, params, data = problem()
    mine = Graph([graph.variables[name] for name in graph.given], graph.equations, table=table)
    with pytest.raises(ValueError, match=r"^a bug in my rule$"):
        sgd(mine, params, data, lr=0.1, epochs=1, batch_size=3)


def test_only_scalars_are_recorded() -> None:
    graph = Graph(
        [Variable("x", (3, 2)), Variable("y", (4, 2), role="target"), Variable("W", (4, 3), role="parameter")],
        [Equation("matmul", ("W", "x"), "s"), Equation("squared_error", ("s", "y"), "J")],
    )
    rng = np.random.default_rng(0)
    data = rng.standard_normal((3, 6)), rng.standard_normal((4, 6))
    history = sgd(graph, graph.init(0), data, lr=0.1, epochs=1, batch_size=2)
    assert history.s == [] and len(history.J) == 3


@both
def test_what_evaluate_does_to_the_data_does_not_reach_training(train: Trainer) -> None:
    graph, params, (X, Y) = problem()
    plain = train(graph, params, (X, Y), lr=0.01, epochs=3, batch_size=3)
    spoilt = np.asfortranarray(X)

    def spoil(now: Values) -> None:
        spoilt[:] = 0

    assert train(graph, params, (spoilt, Y), lr=0.01, epochs=3, batch_size=3, evaluate=spoil).J == plain.J


def test_adam_says_when_a_squared_gradient_overflows() -> None:
    graph = network([1, 1], dtype="float32")
    data = np.full((1, 4), 1e10, "float32"), np.full((1, 4), 1e12, "float32")
    with pytest.raises(DivergenceError, match="in the update: overflow"):
        adam(graph, {"W1": np.zeros((1, 1), "float32")}, data, epochs=1, batch_size=4)


def test_an_epsilon_that_vanishes_in_float32_is_refused() -> None:
    graph, params, data = problem("float32")
    with pytest.raises(ValueError, match="epsilon: expected a number that is not 0 in float32, received 1e-60"):
        adam(graph, params, data, epochs=1, batch_size=3, epsilon=1e-60)


def test_a_history_shows_itself_in_a_line() -> None:
    graph, params, data = problem()
    assert len(repr(sgd(graph, params, data, lr=0.1, epochs=50, batch_size=3))) < 80
