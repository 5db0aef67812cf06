"""The engine: the source text's gradients, an outside oracle, one schedule for everybody, and values that cannot be."""

from __future__ import annotations

import re
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import assume, given

import mlp
from mlp import Equation, Graph, Run, Step, Trace, Variable, network, predict, prepare, schedule, trace, value_and_grad
from mlp.examples import diamond, running_example
from mlp.memory import measure
from mlp.ops import ACTIVATIONS, LOSSES, OPS, OWN, Array, Op, Vjp
from mlp.steps import POLICIES, cotangent_name
from tests.cases import (
    FORMULAS,
    OWN_TABLE,
    SEEDS,
    examples,
    little_recursion,
    random_graph,
    random_network,
    random_values,
    same_bits,
    small_values,
)

Values = dict[str, Array]


def any_graph(seed: int) -> tuple[Graph, Values]:
    """A random network, or a random graph that no network makes, with values."""
    if seed % 2:
        graph = random_graph(seed)
        return graph, small_values(graph, seed)
    graph = random_network(seed)
    return graph, random_values(graph, seed)


def assert_close(actual: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float) -> None:
    """Each array, relative to the largest entry of all."""
    size = max(1.0, *(float(np.abs(array).max()) for array in expected.values()))
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].shape == array.shape, name
        assert float(np.abs(actual[name] - array).max()) <= tolerance * size, name


def assert_same(a: Mapping[str, Array], b: Mapping[str, Array]) -> None:
    """Equal to the bit."""
    assert a.keys() == b.keys()
    assert [name for name in a if not same_bits(a[name], b[name])] == []


# --- the source text, in closed form --------------------------------------------------------------------------------

ACTIVATE = {name: partial(formula, anp) for name, formula in FORMULAS.items()}
DERIVATIVE = {name: autograd.elementwise_grad(formula) for name, formula in ACTIVATE.items()}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_two_gradients_of_the_source_text(activation: str) -> None:
    d, m, q, lam = 5, 7, 3, 0.3
    graph = network([d, m, q], activation=activation, weight_decay=lam)
    values = random_values(graph, seed=1)
    x, y, W1, W2 = (values[name] for name in ("x", "y", "W1", "W2"))
    t = trace(graph, values)
    z, h, o = t["z"], t["h"], t["o"]
    phi_prime = np.diag(DERIVATIVE[activation](z)[:, 0])  # ∂h/∂z, m × m

    dL_do = o - y  # as a column
    dL_dh = W2.T @ dL_do
    dL_dz = phi_prime @ dL_dh
    dJ_dW2 = dL_do @ h.T + lam * W2  # ∂J/∂W2 = ∂L/∂o hᵀ + λ W2
    dJ_dW1 = dL_dz @ x.T + lam * W1  # ∂J/∂W1 = ∂L/∂z xᵀ + λ W1

    _, grads = value_and_grad(graph, values)
    np.testing.assert_allclose(grads["W2"], dJ_dW2, rtol=0, atol=1e-12)
    np.testing.assert_allclose(grads["W1"], dJ_dW1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_column_of_gradients_with_biases_and_a_batch(activation: str, loss: str) -> None:
    d, m, q, n, lam = 5, 7, 3, 4, 0.3
    graph = network([d, m, q], batch=n, activation=activation, loss=loss, weight_decay=lam, bias=True)
    values = random_values(graph, seed=2)
    X, Y, W1, W2, b1 = (values[name] for name in ("x", "y", "W1", "W2", "b1"))
    t = trace(graph, values)
    Z, H, O, ones = t["z"], t["h"], t["o"], np.ones((n, 1))
    np.testing.assert_allclose(Z, W1 @ X + b1 @ ones.T, rtol=0, atol=1e-12)

    delta_o = (O - Y if loss == "squared_error" else np.exp(O) / np.exp(O).sum(axis=0) - Y) / n
    delta_z = (W2.T @ delta_o) * DERIVATIVE[activation](Z)
    expected = {
        "W1": delta_z @ X.T + lam * W1,
        "b1": delta_z @ ones,
        "W2": delta_o @ H.T + lam * W2,
        "b2": delta_o @ ones,
    }
    assert_close(value_and_grad(graph, values)[1], expected, 1e-12)


# --- an outside oracle ----------------------------------------------------------------------------------------------


def log_sum_exp(o: Array) -> Array:
    top = anp.max(o, axis=0)
    return top + anp.log(anp.sum(anp.exp(o - top), axis=0))


LOSS = {
    "squared_error": lambda o, y: anp.mean(anp.sum((o - y) ** 2, axis=0)) / 2,
    "cross_entropy": lambda o, y: anp.mean(log_sum_exp(o) - anp.sum(o * y, axis=0)),
}


def network_by_autograd(
    values: Values, depth: int, activation: str, loss: str, weight_decay: float, bias: bool
) -> tuple[float, Values]:
    """The network once more, knowing nothing of graphs."""

    def objective(params: Values) -> float:
        h = values["x"]
        for layer in range(1, depth + 1):
            h = anp.dot(params[f"W{layer}"], h)
            if bias:
                h = h + params[f"b{layer}"]
            if layer < depth:
                h = ACTIVATE[activation](h)
        decay = sum(anp.sum(params[f"W{layer}"] ** 2) for layer in range(1, depth + 1))
        return LOSS[loss](h, values["y"]) + weight_decay / 2 * decay

    params = {name: array for name, array in values.items() if name[0] in "Wb"}
    J, grads = autograd.value_and_grad(objective)(params)
    return float(J), grads


# every activation, loss, bias with every depth; batch and widths run along
NETWORKS = [
    (activation, loss, bias, depth, 1 + (depth + 2 * bias + 3 * k) % 7)
    for k, activation in enumerate(ACTIVATIONS)
    for loss in LOSSES
    for bias in (False, True)
    for depth in range(1, 9)
]


def test_the_selection_has_every_batch_with_every_activation_and_every_loss() -> None:
    assert {(a, n) for a, _, _, _, n in NETWORKS} == {(a, n) for a in ACTIVATIONS for n in range(1, 8)}
    assert {(loss, n) for _, loss, _, _, n in NETWORKS} == {(loss, n) for loss in LOSSES for n in range(1, 8)}


@pytest.mark.parametrize(("activation", "loss", "bias", "depth", "batch"), NETWORKS)
def test_a_network_agrees_with_autograd(activation: str, loss: str, bias: bool, depth: int, batch: int) -> None:
    widths = [3 + (2 * layer) % 5 + layer % 2 for layer in range(depth + 1)]
    graph = network(widths, batch, activation, loss, weight_decay=0.1, bias=bias)
    values = random_values(graph, seed=depth)
    J, grads = value_and_grad(graph, values)
    J_outside, grads_outside = network_by_autograd(values, depth, activation, loss, 0.1, bias)
    assert pytest.approx(J_outside, rel=1e-10) == J
    assert_close(grads, grads_outside, 1e-10)


OUTSIDE: dict[str, Callable[..., Array]] = {
    **ACTIVATE,
    **LOSS,
    "matmul": anp.dot,
    "bias": lambda a, b: a + b,
    "add": lambda *terms: sum(terms),
    "l2": lambda *arrays, weight_decay: weight_decay / 2 * sum(anp.sum(array**2) for array in arrays),
    "softplus": lambda z: anp.log(1 + anp.exp(z)),
}


def graph_by_autograd(graph: Graph, values: Values) -> tuple[float, Values]:
    """Any graph, its equations read by autograd."""

    def objective(params: Values) -> float:
        known = values | {name: params[name] for name in graph.parameters}
        for e in graph.equations:
            known[e.output] = OUTSIDE[e.op](*(known[name] for name in e.inputs), **e.attrs)
        return known[graph.objective or ""]

    J, grads = autograd.value_and_grad(objective)({name: values[name] for name in graph.parameters})
    return float(J), grads


@examples(100)
@given(seed=SEEDS)
def test_any_graph_agrees_with_autograd(seed: int) -> None:
    graph = random_graph(seed)
    values = small_values(graph, seed)
    J, grads = value_and_grad(graph, values)
    J_outside, grads_outside = graph_by_autograd(graph, values)
    assert pytest.approx(J_outside, rel=1e-10) == J
    assert_close(grads, grads_outside, 1e-10)


@examples(60)
@given(seed=SEEDS)
def test_the_whole_gradient_agrees_with_differences_along_a_random_direction(seed: int) -> None:
    graph, values = any_graph(seed)
    assume(all(equation.op != "relu" for equation in graph.equations))  # a step may cross a corner: see test_check
    rng, h = np.random.default_rng(seed), 1e-5
    direction = {name: np.asarray(rng.standard_normal(values[name].shape)) for name in graph.parameters}
    J, grads = value_and_grad(graph, values)
    along = sum(float((grads[name] * direction[name]).sum()) for name in grads)
    above, below = (
        value_and_grad(graph, values | {name: values[name] + sign * h * direction[name] for name in direction})[0]
        for sign in (1, -1)
    )
    assert along == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=1e-6 * max(1, abs(J)))


# --- one schedule: the same bits everywhere -------------------------------------------------------------------------


@examples(60)
@given(seed=SEEDS)
def test_prepare_value_and_grad_and_every_trace_give_the_same_bits(seed: int) -> None:
    graph, values = any_graph(seed)
    J, grads = value_and_grad(graph, values)
    for run in (prepare(graph), prepare(graph, poison=True), prepare(graph, keep=list(graph.variables), poison=True)):
        for _ in range(2):
            J_run, grads_run = run(values)
            assert J_run == J
            assert_same(grads_run, grads)
    for policy in ("keep_all", "residuals"):
        t = trace(graph, values, policy)
        assert float(t["J"]) == J
        assert_same({name: t[cotangent_name(graph, name)] for name in graph.parameters}, grads)


@examples(60)
@given(seed=SEEDS)
def test_predict_is_the_forward_half_of_the_trace(seed: int) -> None:
    graph, values = any_graph(seed)
    o = predict(graph, values)
    assert all(same_bits(o, trace(graph, values, policy)[graph.output or ""]) for policy in POLICIES)


def test_kept_values_are_those_of_the_trace() -> None:
    graph, values = any_graph(4)
    run = prepare(graph, keep=list(graph.variables), poison=True)
    run(values)
    t = trace(graph, values)
    assert_same({name: run[name] for name in graph.variables}, {name: t[name] for name in graph.variables})


def test_a_run_gives_back_only_what_it_was_told_to_keep() -> None:
    run = prepare(running_example()[0], keep=("L",))
    run(running_example()[1])
    assert float(run["L"]) == 2.5
    with pytest.raises(KeyError, match="'z': expected one of those to keep, L"):
        run["z"]


def test_keeping_a_stranger_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keep: expected one of x, W1.*received 'q'"):
        prepare(running_example()[0], keep=["q"])


def test_arrays_may_alternate() -> None:
    graph, values = running_example(5)
    run, other = prepare(graph), values | {"x": values["x"][:, ::-1].copy(), "W2": -values["W2"]}
    for bound in (values, other, values, values | {"W2": -values["W2"]}, other):
        J, grads = run(bound)
        assert value_and_grad(graph, bound)[0] == J
        assert_same(grads, value_and_grad(graph, bound)[1])


def test_entries_changed_in_place_are_seen_by_the_next_call() -> None:
    graph, values = running_example()
    run = prepare(graph)
    run(values)
    values["W1"] -= 0.01
    assert run(values)[0] == value_and_grad(graph, values)[0]


@pytest.mark.parametrize("layout", ["fortran", "padded", "read-only"])
def test_layouts_that_blas_reads_in_place_run_to_the_same_bits(layout: str) -> None:
    graph = network([5, 7, 3], batch=4, activation="tanh", weight_decay=0.1)
    values = random_values(graph)
    laid = {name: lay_out(array, layout) for name, array in values.items()}
    J, grads = value_and_grad(graph, laid)
    J_run, grads_run = prepare(graph)(laid)
    assert J_run == J
    assert_same(grads_run, grads)
    assert_close(grads, value_and_grad(graph, values)[1], 1e-14)


@pytest.mark.parametrize("layout", ["strided", "reversed", "one column", "one row", "overlapping", "misaligned"])
def test_other_layouts_are_copied_by_value_and_grad_and_refused_by_run(layout: str) -> None:
    graph = network([5, 7, 3], batch=4, activation="tanh", weight_decay=0.1)
    values = random_values(graph)
    x = lay_out(values["x"], layout)
    plain, laid = values | {"x": x.copy()}, values | {"x": x}
    assert value_and_grad(graph, laid)[0] == value_and_grad(graph, plain)[0]
    assert_same(value_and_grad(graph, laid)[1], value_and_grad(graph, plain)[1])
    with pytest.raises(
        ValueError, match=r"x: expected an array whose rows or columns are contiguous.*; pass x.copy\(\)$"
    ):
        prepare(graph)(laid)


def from_bytes(array: Array, offset: int) -> Array:
    """As a file format gives it: read from bytes, at an odd address."""
    return np.frombuffer(b"\0" * offset + array.tobytes(), array.dtype, array.size, offset).reshape(array.shape)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    **{f"at byte {offset}": partial(from_bytes, offset=offset) for offset in (1, 2, 3, 5, 7)},
    **{
        layout: lambda array, layout=layout: lay_out(array, layout)
        for layout in ("reversed", "overlapping", "misaligned")
    },
    "strided": lambda array: np.repeat(np.repeat(array, 2, axis=0), 2, axis=1)[::2, ::2],
    "rows repeated": lambda array: np.broadcast_to(array[:1], array.shape),
    "columns repeated": lambda array: np.broadcast_to(array[:, :1], array.shape),
    "of a record": lambda array: np.rec.fromarrays([array, array], names="a,b")["a"].view(np.ndarray),
    "backwards": lambda array: array[::-1, ::-1],
    "every second": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["x", "W1", "b2", "y"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_said_of_a_layout_does_help(layout: str, name: str, dtype: str) -> None:
    graph = network([5, 7, 3], batch=4, bias=True, dtype=dtype)
    values = random_values(graph)
    values[name] = array = LAYOUTS[layout](values[name])
    assert value_and_grad(graph, values)[0] == value_and_grad(graph, values | {name: array.copy()})[0]
    run = prepare(graph)
    try:
        run(values)
        return  # a single column may be repeated, and is no worse for it
    except ValueError as error:
        said = re.search(
            rf"^{name}: expected an array whose .*, received (strides .*|one at .*); pass (.*)$", str(error)
        )
        assert said and said[1].startswith("one at") == (not array.flags.aligned)
        values[name] = eval(said[2], {name: array})
    assert run(values)[0] == value_and_grad(graph, values)[0]


# --- threads --------------------------------------------------------------------------------------------------------


def slow_graph(wait: Callable[[], object]) -> Graph:
    """A network whose activation waits."""

    def forward(out: Array, z: Array) -> None:
        wait()
        np.tanh(z, out=out)

    graph = network([3, 4, 2], 5, "tanh")
    table = dict(OPS) | {"tanh": replace(OPS["tanh"], forward=forward)}
    return Graph(graph.variables.values(), graph.equations, "J", "o", table)


def test_a_run_in_use_is_refused_to_other_threads_and_works_again() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert go_on.wait(60)

    graph = slow_graph(wait)
    values = random_values(graph)
    run = prepare(graph)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(run, values)
        assert inside.wait(60)
        others = [pool.submit(run, values) for _ in range(3)]
        for other in others:
            with pytest.raises(RuntimeError, match=r"^this run is in use: prepare one for each thread") as raised:
                other.result(60)
        go_on.set()
        J, gradients = first.result(60)
    expected, right = value_and_grad(graph, values)
    assert expected == J
    assert_same(gradients, right)
    assert run(values)[0] == expected
    way_out = re.search(r"mlp\.prepare\(run\.graph\)$", str(raised.value))
    assert way_out

    def work(seed: int) -> bool:
        mine, numbers = eval(way_out[0], {"mlp": mlp, "run": run}), random_values(graph, seed)
        return all(mine(numbers)[0] == value_and_grad(graph, numbers)[0] for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_one_run_in_many_threads_gives_right_numbers_or_says_that_it_is_in_use() -> None:
    graph = network([30, 40, 20], 50, "tanh")
    run, values = prepare(graph), random_values(graph)
    expected = value_and_grad(graph, values)[0]

    def work(_: int) -> float | str:
        try:
            return run(values)[0]
        except RuntimeError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(200)))
    assert expected in found
    assert all(expected == J or str(J).startswith("this run is in use") for J in found)
    assert run(values)[0] == expected


def test_a_run_that_failed_is_free_again_and_none_calls_itself() -> None:
    graph, values = running_example()
    run = prepare(graph)
    for _ in range(2):
        with pytest.raises(ValueError, match="missing x"):
            run({name: array for name, array in values.items() if name != "x"})
    assert run(values)[0] == 3.5
    calls: list[Run] = []
    itself = slow_graph(lambda: calls[0](random_values(itself)) if calls else None)
    calls.append(prepare(itself))
    with pytest.raises(RuntimeError, match="this run is in use"):
        calls[0](random_values(itself))


def lay_out(array: Array, layout: str) -> Array:
    """An array of this shape, elsewhere in memory."""
    rows, columns = array.shape
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "padded":
        wide = np.zeros((rows, columns + 3))
        wide[:, :columns] = array
        return wide[:, :columns]
    if layout == "strided":
        wide = np.zeros((2 * rows, 2 * columns))
        wide[::2, ::2] = array
        return wide[::2, ::2]
    if layout == "reversed":
        return array[::-1, ::-1].copy()[::-1, ::-1]
    if layout == "one column":
        return np.broadcast_to(array[:, :1], array.shape)
    if layout == "one row":
        return np.broadcast_to(array[:1], array.shape)
    if layout == "overlapping":
        return np.lib.stride_tricks.sliding_window_view(array.ravel(), columns)[:rows]
    if layout == "misaligned":
        odd = np.frombuffer(bytearray(array.nbytes + 1), np.uint8)[1:].view(array.dtype).reshape(array.shape)
        odd[:] = array
        return odd
    copy = array.copy()
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize("seed", range(10))
def test_what_the_caller_brings_is_never_changed(seed: int) -> None:
    graph, values = any_graph(seed)
    before = {name: array.copy() for name, array in values.items()}
    value_and_grad(graph, values)
    prepare(graph, poison=True)(values)
    for policy in POLICIES:
        trace(graph, values, policy)
    predict(graph, values)
    assert_same(values, before)


def test_gradients_of_value_and_grad_are_the_callers_to_keep() -> None:
    graph, values = running_example()
    _, first = value_and_grad(graph, values)
    kept = {name: array.copy() for name, array in first.items()}
    _, second = value_and_grad(graph, values | {"W1": 2 * values["W1"]})
    assert_same(first, kept)
    assert not any(np.shares_memory(a, b) for a in first.values() for b in [*second.values(), *values.values()])


def test_gradients_of_a_run_are_reused() -> None:
    graph, values = running_example()
    run = prepare(graph)
    _, first = run(values)
    _, second = run(values | {"W1": 2 * values["W1"]})
    assert all(first[name] is second[name] for name in graph.parameters)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_run_allocates_nothing_in_the_steady_state(activation: str, loss: str, weight_decay: float) -> None:
    graph = network([70, 50, 40, 30], 60, activation, loss, weight_decay, bias=True)
    values = random_values(graph, 1)
    run = prepare(graph)
    for _ in range(20):
        run(values)
    grown, most = [], []
    tracemalloc.start()
    try:
        for _ in range(3):  # what is made in the background of the interpreter is not made each time
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            for _ in range(100):
                run(values)
            after, peak = tracemalloc.get_traced_memory()
            grown.append(after - before)
            most.append(peak - before)
    finally:
        tracemalloc.stop()
    smallest_matrix = 30 * 60 * 8
    assert min(grown) < 10_000
    assert min(most) < smallest_matrix  # not even for the time of a step


def test_the_slab_grows_with_depth_by_the_same_for_each_layer() -> None:
    reserved = {depth: prepare(network([16] * (depth + 1), 4, "tanh")).reserved for depth in (50, 100, 200, 400)}
    per_layer = [(reserved[2 * depth] - reserved[depth]) / depth for depth in (50, 100, 200)]
    assert max(per_layer) < 1.01 * min(per_layer)
    assert reserved[400] / 400 < 1.2 * reserved[50] / 50


def test_a_large_gradient_that_overflows_is_found_by_its_factors() -> None:
    graph = network([300, 200, 2], 2, "identity", "squared_error", dtype="float32")
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(graph.variables[name].shape).astype("float32") for name in graph.given}
    values["x"] *= np.float32(1e25)
    values["W1"] *= np.float32(1e-25)
    values["W2"] *= np.float32(1e15)
    values["y"] *= np.float32(1e15)
    run = prepare(graph)
    with pytest.raises(FloatingPointError, match="dJ/dW1: expected finite numbers"):
        run(values)
    values["x"] *= np.float32(1e-25)
    values["W1"] *= np.float32(1e25)
    J, grads = run(values)
    assert np.isfinite(J) and all(np.isfinite(gradient).all() for gradient in grads.values())


def test_a_run_warns_nobody_and_leaves_the_callers_settings_alone() -> None:
    graph, values = running_example()
    huge = {**values, "W1": 1e300 * values["W1"], "W2": 1e300 * values["W2"]}
    with np.errstate(all="raise"):
        before = np.geterr()
        run = prepare(graph)
        assert np.geterr() == before
        with pytest.raises(FloatingPointError, match=r"^[zhoLs]: expected finite numbers, received inf or NaN from"):
            run(huge)  # reported by name, and not in NumPy's words
        assert np.geterr() == before
        assert run(values)[0] == 3.5


def test_factors_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(Run, "_watch", lambda run, array: seen.append(array.shape))
    graph = network([200, 150, 10], 30, "tanh", weight_decay=0.0)
    prepare(graph)(random_values(graph, 0))
    assert seen == [(150, 30), (200, 30)], "the cotangent of z and x, for the gradient of W1"


def test_an_instalment_of_nothing_is_not_added_but_told() -> None:
    graph, values = running_example()
    free = network([3, 4, 2], 1, "relu", "squared_error", weight_decay=0)
    t, u = trace(graph, values), trace(free, values)
    assert [(step.equation.op, step.argnum) for step in t] == [(step.equation.op, step.argnum) for step in u]
    assert not u[8].contributions["W1"].any()
    assert not u[8].calls and "dJ/dW1" not in u[8].born
    assert "dJ/dW1" in u[14].born
    assert np.array_equal(u["dJ/dW1"], u[14].contributions["W1"])
    assert_close(value_and_grad(free, values)[1], {n: t[f"dJ/d{n}"] - 0.1 * values[n] for n in ("W1", "W2")}, 1e-12)


def test_an_instalment_that_is_the_same_in_every_call_does_not_hide_one_that_is_not() -> None:
    k = Variable("k", (), role="parameter")
    graph = Graph([k], [Equation("tanh", ("k",), "t"), Equation("add", ("k", "k", "t"), "J")])
    run = prepare(graph)
    for entry in (0.5, -1.0):
        J, grads = run({"k": np.array(entry)})
        assert 2 * entry + np.tanh(entry) == J
        assert float(grads["k"]) == pytest.approx(3 - np.tanh(entry) ** 2)


@pytest.mark.parametrize("read", [("W", "W"), ("z", "h"), ("h", "z", "W")])
def test_an_objective_that_is_nothing_has_gradients_of_nothing(read: tuple[str, ...]) -> None:
    given = [Variable("x", (2, 3)), Variable("W", (4, 2), role="parameter")]
    equations = [Equation("matmul", ("W", "x"), "z"), Equation("tanh", ("z",), "h")]
    graph = Graph(given, [*equations, Equation("l2", read, "J", {"weight_decay": 0.0})])
    values = random_values(graph, 1)
    J, grads = value_and_grad(graph, values)
    assert J == 0 and not grads["W"].any()
    assert prepare(graph)(values)[0] == 0
    t = trace(graph, values)
    assert float(t["dJ/dJ"]) == 1 and not t["dJ/dW"].any()


def test_taking_a_gradient_out_of_a_runs_dict_does_not_hurt_the_run() -> None:
    graph, values = running_example()
    run = prepare(graph)
    run(values)[1].clear()
    assert run(values)[1].keys() == {"W1", "W2"}


def test_what_predict_returns_is_the_callers_to_keep() -> None:
    graph, values = running_example()
    first = predict(graph, values)
    predict(graph, values | {"x": -values["x"]})[:] = 0
    assert first[:, 0].tolist() == [1, -1]


@pytest.mark.parametrize("seed", range(12))
def test_float32_stays_float32(seed: int) -> None:
    graph = random_network(seed, "float32")
    values = random_values(graph, seed)
    J, grads = value_and_grad(graph, values)
    t = trace(graph, values)
    assert type(J) is float
    assert {array.dtype for array in grads.values()} == {np.dtype("float32")}
    assert predict(graph, values).dtype == np.float32
    assert {t[name].dtype for name in graph.variables} == {np.dtype("float32")}
    double = {name: array.astype("float64") for name, array in values.items()}
    assert_close(grads, value_and_grad(graph.with_dtype("float64"), double)[1], 1e-4)


def test_prediction_needs_no_targets() -> None:
    graph, values = running_example()
    assert predict(graph, {name: values[name] for name in ("x", "W1", "W2")})[:, 0].tolist() == [1, -1]


def test_two_layers_of_the_batch_are_the_same_as_two_batches() -> None:
    graph, values = running_example(5)
    each = [predict(graph.with_batch(1), values | {"x": values["x"][:, [j]].copy()}) for j in range(5)]
    np.testing.assert_array_equal(np.hstack([*each]), predict(graph, values))


def test_a_graph_without_parameters_has_an_objective_and_no_gradient() -> None:
    graph = Graph([Variable("x", (2, 1))], [Equation("l2", ("x",), "J", {"weight_decay": 2.0})])
    values = {"x": np.array([[3.0], [4.0]])}
    assert value_and_grad(graph, values) == (25.0, {})
    assert prepare(graph)(values) == (25.0, {})


def test_a_scalar_may_be_a_parameter() -> None:
    graph = Graph([Variable("a", (), role="parameter")], [Equation("l2", ("a", "a"), "J", {"weight_decay": 1.0})])
    J, grads = value_and_grad(graph, {"a": np.array(3.0)})
    assert (J, float(grads["a"])) == (9.0, 6.0)


# --- invariants of the schedule -------------------------------------------------------------------------------------


@examples(80)
@given(seed=SEEDS)
def test_steps_follow_the_equations_and_then_go_back(seed: int) -> None:
    graph, _ = any_graph(seed)
    steps = schedule(graph)
    forward = [step for step in steps if step.phase == "forward"]
    assert [step.index for step in steps] == list(range(len(steps)))
    assert tuple(step.equation for step in forward) == graph.equations
    assert all(step.argnum is None for step in forward)
    backward = steps[len(forward) :]
    assert all(step.phase == "backward" for step in backward)
    position = {equation.output: index for index, equation in enumerate(graph.equations)}
    order = [position[step.equation.output] for step in backward]
    assert order == sorted(order, reverse=True)


@examples(80)
@given(seed=SEEDS)
def test_there_is_one_step_back_for_each_way_from_a_parameter_to_the_objective(seed: int) -> None:
    graph, _ = any_graph(seed)
    reaching = {name for name in graph.variables if graph.objective in graph.descendants(name)}
    reached = set().union(*(graph.descendants(name) for name in graph.parameters))
    ways = sorted(
        (e.output, k)
        for e in graph.equations
        for k, name in enumerate(e.inputs)
        if e.output in reaching & reached and name in reaching & reached
    )
    backward = [step for step in schedule(graph) if step.phase == "backward"]
    assert sorted((step.equation.output, step.argnum) for step in backward) == ways


@pytest.mark.parametrize("policy", POLICIES)
@examples(60)
@given(seed=SEEDS)
def test_arrays_are_born_once_read_while_alive_and_freed_once(policy: str, seed: int) -> None:
    graph, _ = any_graph(seed)
    alive, was = set(graph.given), set(graph.given)
    for step in schedule(graph, policy):
        assert was.isdisjoint(step.born)
        alive |= set(step.born)
        was |= set(step.born)
        assert alive.issuperset(step.reads)
        assert alive.issuperset(step.writes if step.calls else ())  # an instalment of 0 makes no array
        assert alive.issuperset(step.freed)
        assert set(step.freed).isdisjoint(graph.given)
        alive -= set(step.freed)
    results = {graph.output} if policy == "predict" else {"J", *(cotangent_name(graph, p) for p in graph.parameters)}
    assert alive == set(graph.given) | results


@examples(80)
@given(seed=SEEDS)
def test_with_residuals_an_array_is_freed_by_its_last_reader(seed: int) -> None:
    graph, _ = any_graph(seed)
    steps = schedule(graph, "residuals")
    for index, step in enumerate(steps):
        for name in step.freed:
            assert name in (*step.reads, *step.writes)
            assert not any(name in (*later.reads, *later.writes) for later in steps[index + 1 :])


@examples(40)
@given(seed=SEEDS)
def test_with_keep_all_every_value_is_kept_until_backward_ends(seed: int) -> None:
    graph, _ = any_graph(seed)
    steps = schedule(graph, "keep_all")
    freed = [name for step in steps[:-1] for name in step.freed]
    assert [name for name in freed if name in graph.variables] == []


@examples(80)
@given(seed=SEEDS)
def test_instalments_sum_to_the_cotangent_and_the_last_one_is_final(seed: int) -> None:
    graph, values = any_graph(seed)
    t = trace(graph, values)
    instalments: dict[str, list[Array]] = {}
    complete: set[str] = set()
    for step in t:
        if step.phase == "forward":
            assert step.final == step.writes
            assert not step.contributions
            continue
        assert list(step.contributions) == [step.variable]
        assert step.equation.output == graph.objective or step.equation.output in complete  # δ is final when it is read
        assert step.variable not in complete
        complete |= set(step.final)
        instalments.setdefault(step.variable, []).append(step.contributions[step.variable])
    assert complete == instalments.keys()
    for name, parts in instalments.items():
        total = parts[0].copy()
        for part in parts[1:]:
            total = total + part
        # The sign of zero apart: where λ is 0 the regulariser's instalment is known to vanish, and is not added.
        assert same_bits(np.asarray(total) + 0.0, t[cotangent_name(graph, name)] + 0.0)


def test_the_seed_of_backward_is_one() -> None:
    t = trace(*running_example())
    assert [float(t[name]) for name in ("dJ/dJ", "dJ/dL", "dJ/ds")] == [1, 1, 1]


@pytest.mark.parametrize("policy", POLICIES)
@examples(60)
@given(seed=SEEDS)
def test_alive_and_bytes_agree_with_a_recount(policy: str, seed: int) -> None:
    graph, values = any_graph(seed)
    t = trace(graph, values, policy)
    for index, (names, count) in enumerate(recount(t)):
        assert sorted(t.alive(index)) == sorted(names)
        assert t.bytes(index) == count


def recount(t: Trace) -> list[tuple[set[str], int]]:
    """What exists during each step: from the first to the last step that touches it, and what has no owner here."""
    graph, steps = t.graph, list(t)
    shapes = {name: variable.shape for name, variable in graph.variables.items()}
    shapes |= {f"dJ/d{name}": shape for name, shape in shapes.items()}
    touched: dict[str, list[int]] = {}
    for step in steps:
        for name in (*step.reads, *(step.writes if step.calls else ())):
            touched.setdefault(name, []).append(step.index)
    end = len(steps) - 1
    spans = {name: (min(at), max(at)) for name, at in touched.items()}
    for name, (first, _) in list(spans.items()):
        returned = name == graph.output if t.policy == "predict" else name == "J" or name[4:] in graph.parameters
        if returned or (t.policy == "keep_all" and name in graph.variables):
            spans[name] = first, end
    needed = graph.given if t.policy != "predict" else graph.ancestors(graph.output or "") & set(graph.given)
    spans |= {name: (0, end) for name in needed}
    rows = []
    for step in steps:
        names = {name for name, (first, last) in spans.items() if first <= step.index <= last}
        entries = sum(int(np.prod(shapes[name])) for name in names)
        work = sum(int(np.prod(shape)) for shape in workspace(graph, step, shapes))
        rows.append((names, (entries + work) * np.dtype(graph.dtype).itemsize))
    return rows


def workspace(graph: Graph, step: Step, shapes: dict[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """What the rule asks for, and room for an instalment that is not the first."""
    op, e = graph.table[step.equation.op], step.equation
    if step.argnum is None:
        return list(op.workspace(*(shapes[name] for name in e.inputs)))
    asked = op.vjp(step.argnum).workspace(*(shapes[name] for name in step.reads))  # type: ignore[union-attr]
    alone = step.writes[0] in step.born or not step.calls
    return [*asked, *([] if alone else [shapes[step.variable]])]


@examples(80)
@given(seed=SEEDS)
def test_a_rule_that_gets_only_what_it_declares_gives_the_same_bits(seed: int) -> None:
    graph, values = any_graph(seed)
    t = trace(graph, values, "residuals")
    for step in t:
        if step.argnum is None:
            continue
        e, vjp = step.equation, graph.table[step.equation.op].vjp(step.argnum)
        assert vjp is not None
        declared = [{OWN: step.variable, "out": e.output}.get(s) or e.inputs[int(s)] for s in vjp.saves]
        delta = cotangent_name(graph, e.output)
        assert step.reads == (delta, *declared)
        arrays = [t[name].copy() for name in step.reads]
        for array in arrays:
            array.flags.writeable = False
        out = np.full_like(step.contributions[step.variable], np.nan)
        work = [np.full(shape, np.nan) for shape in vjp.workspace(*(array.shape for array in arrays))]
        vjp.rule(out, *arrays, *work, **e.attrs)
        assert same_bits(out, step.contributions[step.variable])


def test_a_rule_that_reads_what_was_freed_is_found_out() -> None:
    """The sentinel of the one above: relu's rule with a residual that it does not declare."""
    relu, kept = OWN_TABLE["relu"], []

    def keeping(out: Array, z: Array) -> None:
        relu.forward(out, z)
        kept.append(out)

    def cheating(out: Array, delta: Array) -> None:
        np.multiply(delta, kept[-1] > 0, out=out)

    vjp = replace(relu.vjps[0], rule=cheating, saves=())  # type: ignore[type-var]
    plain, values = running_example()
    given = [plain.variables[name] for name in plain.given]
    graph = Graph(given, plain.equations, table=OWN_TABLE | {"relu": replace(relu, forward=keeping, vjps=(vjp,))})
    assert np.abs(value_and_grad(graph, values)[1]["W1"] - value_and_grad(plain, values)[1]["W1"]).max() > 0.1
    assert np.abs(prepare(graph, poison=True)(values)[1]["W1"] - value_and_grad(plain, values)[1]["W1"]).max() > 0.1


@pytest.mark.parametrize("policy", ["all", "", None, 3])
def test_an_unknown_policy_is_refused(policy: str) -> None:
    with pytest.raises(ValueError, match="policy: expected one of keep_all, residuals, predict, received"):
        schedule(running_example()[0], policy)


# --- what a trace records -------------------------------------------------------------------------------------------


def test_a_trace_is_a_sequence_of_steps_and_a_book_of_arrays() -> None:
    t = trace(*running_example())
    assert len(t) == 15
    assert isinstance(t[3], Step)
    assert [step.index for step in t[-2:]] == [13, 14]
    assert t["z"].shape == t["dJ/dz"].shape == (4, 1)
    with pytest.raises(KeyError, match="'dJ/dx': expected one of x, W1"):
        t["dJ/dx"]
    with pytest.raises(IndexError):
        t[15]
    with pytest.raises(IndexError):
        t.bytes(15)
    with pytest.raises(IndexError):
        t.alive(15)


def test_a_trace_records_copies() -> None:
    graph, values = running_example()
    t = trace(graph, values)
    values["x"][:] = 0
    assert t["x"][:, 0].tolist() == [1, 2, -1]


def test_a_trace_says_what_happens_in_words() -> None:
    lines = str(trace(*diamond())).splitlines()
    assert lines[0] == "  0 forward  z = matmul(W1, x)"
    assert lines[10] == " 10 backward dJ/dh = l2_vjp0(dJ/dr, h)  not final"
    assert lines[15] == " 15 backward dJ/dh += matmul_vjp1(dJ/do, W2)"


def test_residuals_free_z_before_backward_where_relu_asks_h() -> None:
    graph, values = running_example()
    freed = {name: step for step in trace(graph, values, "residuals") for name in step.freed}
    assert freed["z"].phase == "forward"
    assert freed["h"].phase == "backward"


# --- a new operator is one row --------------------------------------------------------------------------------------


def softplus_graph() -> tuple[Graph, Values]:
    plain = network([3, 5, 2], batch=4, activation="tanh", weight_decay=0.1)
    equations = [Equation("softplus", e.inputs, e.output) if e.op == "tanh" else e for e in plain.equations]
    graph = Graph([plain.variables[name] for name in plain.given], equations, table=OWN_TABLE)
    return graph, random_values(graph)


def test_a_new_operator_runs_with_nothing_else_touched() -> None:
    graph, values = softplus_graph()
    J, grads = value_and_grad(graph, values)
    J_outside, outside = graph_by_autograd(graph, values)
    assert pytest.approx(J_outside, rel=1e-12) == J
    assert_close(grads, outside, 1e-12)
    assert_same(prepare(graph, poison=True)(values)[1], grads)


def test_a_new_operator_is_traced_and_keeps_what_its_rule_reads() -> None:
    graph, values = softplus_graph()
    t = trace(graph, values, "residuals")
    freed = {name: step for step in t for name in step.freed}
    assert freed["z"].equation.op == "softplus"
    assert freed["z"].phase == "backward"
    np.testing.assert_allclose(t["h"], np.log(1 + np.exp(t["z"])), rtol=1e-14)


def test_a_new_operator_follows_to_other_batches_and_dtypes() -> None:
    graph, _ = softplus_graph()
    single = graph.with_batch(2).with_dtype("float32")
    assert value_and_grad(single, random_values(single))[1]["W1"].dtype == np.float32


# --- deep -----------------------------------------------------------------------------------------------------------


def test_five_thousand_layers_run_and_trace_without_recursion() -> None:
    graph = network([1] * 5001, batch=2, activation="tanh")
    values = {name: np.ones(graph.variables[name].shape) for name in graph.given}
    with little_recursion():
        J, grads = value_and_grad(graph, values)
        J_run, grads_run = prepare(graph)(values)
        t = trace(graph, values)
        assert J == J_run == float(t["J"])
        assert_same(grads, grads_run)
        assert len(t) == len(graph.equations) + 2 + 5000 + 1 + 2 * 5000 - 1 + 4999
        assert max(t.bytes(index) for index in range(len(t))) > 10000 * 2 * 8
        assert len(t.alive(10000)) > 10000
        assert predict(graph, values).shape == (1, 2)


# --- rules that do not write ----------------------------------------------------------------------------------------


def returning(out: Array, z: Array) -> Array:
    return np.exp(z)  # as a function would; a rule writes


def rebinding(out: Array, z: Array) -> None:
    out = np.exp(z)  # noqa: F841  a name of its own


def half(out: Array, z: Array) -> None:
    out[:2] = np.exp(z[:2])


def doing_nothing(out: Array, *arrays: Array) -> None:
    pass


def writing(out: Array, z: Array) -> None:
    out[...] = np.exp(z)


def writing_vjp(out: Array, delta: Array, h: Array) -> None:
    out[...] = delta * h


CALLS: dict[str, Callable[[Graph, Values], object]] = {
    "value_and_grad": value_and_grad,
    "run": lambda graph, values: prepare(graph)(values),
    "trace": trace,
    "measure": measure,
    "sgd": lambda graph, values: mlp.sgd(
        graph, {"W": values["W"]}, (values["x"], values["y"]), lr=0.1, epochs=1, batch_size=2
    ),
    "jvp": lambda graph, values: mlp.jvp(graph, values, {"W": values["W"]}),
    "hvp": lambda graph, values: mlp.hvp(graph, values, {"W": values["W"]}),
}


def graph_of(forward: Callable[..., object], vjp: Callable[..., object]) -> Graph:
    """z = W x and h = f(z) twice, so that a cotangent comes in instalments too."""
    given = [Variable("x", (3, 2)), Variable("y", (4, 2), role="target"), Variable("W", (4, 3), role="parameter")]
    equations = [
        Equation("matmul", ("W", "x"), "z"),
        Equation("f", ("z",), "h"),
        Equation("add", ("h", "z"), "o"),
        Equation("squared_error", ("o", "y"), "J"),
    ]
    op = Op("f", "f", lambda z: f"f({z})", lambda z: z, forward, (Vjp(vjp, lambda delta, h: delta, saves=("out",)),))
    return Graph(given, equations, table=dict(OPS) | {"f": op})


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("forward", "vjp", "said"),
    [
        (
            returning,
            writing_vjp,
            r"^h: step 1, forward, of 'h = f\(z\)', wrote nothing: a rule writes its result into `out`",
        ),
        (rebinding, writing_vjp, r"^h: step 1, forward, of 'h = f\(z\)', wrote nothing"),
        (doing_nothing, writing_vjp, r"^h: step 1, forward, of 'h = f\(z\)', wrote nothing"),
        (half, writing_vjp, r"^h: step 1, forward, of 'h = f\(z\)', wrote 4 of 8 entries"),
        (writing, doing_nothing, r"^dJ/dz: step \d, backward, of 'h = f\(z\)', wrote nothing"),
        (writing, half, r"^dJ/dz: step \d, backward, of 'h = f\(z\)', wrote 4 of 8 entries"),
    ],
)
def test_a_rule_that_does_not_write_is_told_so_and_one_that_does_works(
    forward: Callable[..., object], vjp: Callable[..., object], said: str, call: str
) -> None:
    values = random_values(graph_of(writing, writing_vjp), 1)
    if call == "jvp" and forward is writing:
        return  # it goes forward only
    if vjp is half:
        vjp = lambda out, delta, h: half(out, delta * h)  # noqa: E731
    with pytest.raises(ValueError, match=said) as raised:
        CALLS[call](graph_of(forward, vjp), values)
    assert "as in out[...] = result" in str(raised.value)
    CALLS[call](graph_of(writing, writing_vjp), values)


def test_what_overflows_has_been_written() -> None:
    graph = graph_of(writing, writing_vjp)
    values = {name: 1e3 * np.abs(array) for name, array in random_values(graph, 1).items()}
    with pytest.raises(FloatingPointError, match=r"^h: expected finite numbers, received inf or NaN from step 1"):
        value_and_grad(graph, values)


# --- values that cannot be ------------------------------------------------------------------------------------------

FIT = np.arange(15.0).reshape(3, 5) / 10
ENTRIES = [
    ("list", FIT.tolist(), TypeError, r"received list; pass np.asarray\(x, 'float64'\)"),
    ("none", None, TypeError, "received NoneType"),
    ("number", 1.0, TypeError, "received float$"),
    ("integers", FIT.astype("int64"), TypeError, r"received dtype int64; pass x.astype\('float64'\)"),
    ("booleans", FIT > 0, TypeError, "received dtype bool"),
    ("complex", FIT.astype("complex128"), TypeError, "received dtype complex128"),
    ("objects", FIT.astype("object"), TypeError, "received dtype object"),
    ("strings", FIT.astype("str"), TypeError, "received dtype <U32"),
    ("float32", FIT.astype("float32"), TypeError, "received dtype float32"),
    ("float16", FIT.astype("float16"), TypeError, "received dtype float16"),
    ("big-endian", FIT.astype(">f8"), TypeError, "received dtype >f8"),
    ("masked", np.ma.masked_array(FIT), TypeError, "received MaskedArray"),
    ("record", np.recarray((3, 5), dtype=[("a", "f8")]), TypeError, "received recarray"),
    ("transposed", FIT.T, ValueError, r"received shape \(5, 3\)"),
    ("one column", FIT[:, :1], ValueError, r"received shape \(3, 1\)"),
    ("one row", FIT[:1], ValueError, r"received shape \(1, 5\)"),
    ("flat", FIT.ravel(), ValueError, r"received shape \(15,\)"),
    ("one-dimensional", FIT[0], ValueError, r"received shape \(5,\)"),
    ("zero-dimensional", np.array(1.0), ValueError, r"received shape \(\)"),
    ("three-dimensional", FIT[None], ValueError, r"received shape \(1, 3, 5\)"),
    ("empty", FIT[:, :0], ValueError, r"received shape \(3, 0\)"),
    ("nan", np.where(FIT == 0.7, np.nan, FIT), ValueError, r"received nan at \(1, 2\)"),
    ("inf", np.where(FIT == 0.7, np.inf, FIT), ValueError, r"received inf at \(1, 2\)"),
    ("minus inf", np.where(FIT == 0.7, -np.inf, FIT), ValueError, r"received -inf at \(1, 2\)"),
]
CONSUMERS: dict[str, Callable[[Graph, Values], object]] = {
    "value_and_grad": value_and_grad,
    "run": lambda graph, values: prepare(graph)(values),
    "predict": predict,
    "trace": trace,
}


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize(("array", "error", "said"), [pytest.param(*entry[1:], id=entry[0]) for entry in ENTRIES])
def test_an_array_that_does_not_fit_is_named(consumer: str, array: object, error: type[Exception], said: str) -> None:
    graph, values = running_example(5)
    with pytest.raises(error, match=f"^x: expected .*{said}"):
        CONSUMERS[consumer](graph, values | {"x": array})  # type: ignore[dict-item]


def test_a_matrix_of_numpy_is_refused() -> None:
    graph, values = running_example(5)
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix(values["x"])
    with pytest.raises(TypeError, match=r"x: expected a float64 array.*received matrix"):
        value_and_grad(graph, values | {"x": matrix})


@pytest.mark.parametrize("name", ["x", "y", "W1", "W2"])
def test_a_non_finite_number_is_found_wherever_it_is(name: str) -> None:
    graph, values = running_example(5)
    values[name][1, 2] = np.nan
    with pytest.raises(ValueError, match=rf"^{name}: expected finite numbers, received nan at \(1, 2\)"):
        value_and_grad(graph, values)


@pytest.mark.parametrize("call", [value_and_grad, lambda graph, values: prepare(graph)(values), trace])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": None}, "values: expected x, W1, W2, y; received a mapping with missing y"),
        ({"W1": None, "x": None}, "with missing x, W1"),
        ({"foo": FIT}, "with unknown foo"),
        ({"z": FIT}, "with unknown z"),
        ({3: FIT}, "with unknown 3"),
        ({"w1": FIT, "W1": None}, "with missing W1, unknown w1"),
    ],
)
def test_missing_and_unknown_names_are_listed(
    call: Callable[[Graph, Values], object], change: dict[str, Array | None], said: str
) -> None:
    graph, values = running_example()
    changed = {name: array for name, array in (values | change).items() if array is not None}
    with pytest.raises(ValueError, match=said):
        call(graph, changed)


def test_a_run_that_has_run_still_refuses_bad_values_and_then_runs_on() -> None:
    graph, values = running_example()
    run = prepare(graph)
    J, _ = run(values)
    for bad in ({"x": values["x"].astype(int)}, {"y": values["y"] * np.nan}, {"foo": values["x"]}):
        with pytest.raises((TypeError, ValueError), match="expected"):
            run(values | bad)
    assert run(values)[0] == J


@pytest.mark.parametrize("values", [None, [], "x", 3])
def test_values_are_a_dict(values: object) -> None:
    graph, _ = running_example()
    for call in CONSUMERS.values():
        with pytest.raises(TypeError, match="values: expected a dict of arrays by name, received"):
            call(graph, values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ((1, 1), r"received column 1 = \(1, 1\)"),
        ((0, 0), r"received column 1 = \(0, 0\)"),
        ((0.5, 0.5), r"received column 1 = \(0.5, 0.5\)"),
        ((2, -1), r"received column 1 = \(2, -1\)"),
        ((1, 1e-9), r"received column 1 = \(1, 1e-09\)"),
    ],
)
def test_labels_that_are_not_one_hot_are_refused(column: tuple[float, float], said: str) -> None:
    graph = network([3, 4, 2], batch=3, loss="cross_entropy")
    values = random_values(graph)
    values["y"][:, 1] = column
    for call in (value_and_grad, CONSUMERS["run"], trace):
        with pytest.raises(ValueError, match=f"y: expected one-hot columns.*{said}"):
            call(graph, values)


def test_labels_as_whole_numbers_are_refused() -> None:
    graph = network([3, 4, 2], batch=3, loss="cross_entropy")
    labels = np.array([0, 1, 1])
    with pytest.raises(
        TypeError, match=r"y: expected a float64 array of shape \(2, 3\), received dtype int64"
    ) as raised:
        value_and_grad(graph, random_values(graph) | {"y": labels})
    assert str(raised.value).endswith("; pass mlp.one_hot(y, 2)")


@pytest.mark.parametrize(
    ("x", "way_out", "helps"),
    [
        (np.ones((3, 5)), "; graph.with_batch(5) takes as many examples", lambda graph, x: (graph.with_batch(5), x)),
        (np.ones((2, 3)), "; an example is a column; pass x.T", lambda graph, x: (graph, x.T)),
        (np.ones((4, 5)), "", None),
        (np.ones((3, 0)), "", None),
        (np.ones(6), "", None),
    ],
)
def test_data_of_another_shape_come_with_the_way_out(x: Array, way_out: str, helps: Callable[..., Any] | None) -> None:
    graph = network([3, 4, 2], batch=2)
    with pytest.raises(ValueError, match=r"x: expected a float64 array of shape \(3, 2\), received shape") as raised:
        predict(graph, graph.init(0) | {"x": x})
    assert str(raised.value).endswith(f"received shape {x.shape}{way_out}")
    if helps:
        other, array = helps(graph, x)
        predict(other, graph.init(0) | {"x": array})


def test_a_vector_in_place_of_a_column_comes_with_the_way_out() -> None:
    graph = network([3, 4, 2])
    with pytest.raises(ValueError, match=r"received shape \(3,\); pass x.reshape\(-1, 1\)$"):
        predict(graph, graph.init(0) | {"x": np.ones(3)})
    with pytest.raises(ValueError, match=r"W1: .*, received shape \(3, 4\)$"):  # which of the two is wrong, who knows
        predict(graph, graph.init(0) | {"x": np.ones((3, 1)), "W1": np.ones((3, 4))})


def test_a_graph_without_objective_has_no_gradient() -> None:
    graph = Graph([Variable("x", (3, 1))], [Equation("relu", ("x",), "h")])
    for call in (value_and_grad, lambda graph, values: prepare(graph)):
        with pytest.raises(ValueError, match="objective: expected a graph that ends in a scalar"):
            call(graph, {"x": np.ones((3, 1))})


def test_a_graph_without_output_cannot_predict() -> None:
    graph = Graph([Variable("x", (3, 1))], [Equation("relu", ("x",), "h")])
    with pytest.raises(ValueError, match="output: expected a graph that names its output"):
        predict(graph, {"x": np.ones((3, 1))})


@pytest.mark.parametrize("call", ["value_and_grad", "run", "trace"])
def test_an_overflow_on_the_way_is_named_and_warns_of_nothing_else(call: str) -> None:
    graph, values = running_example()
    with pytest.raises(
        FloatingPointError, match=r"L: expected finite numbers, received inf or NaN from step 3, forward"
    ):
        CONSUMERS[call](graph, values | {"y": np.full((2, 1), 1e200)})


def test_an_array_spoilt_in_place_after_it_was_bound_is_found_by_its_name() -> None:
    graph, values = running_example()
    run = prepare(graph)
    run(values)
    values["W1"][2, 1] = np.nan
    with pytest.raises(
        FloatingPointError, match=r"W1: expected finite numbers, received nan at \(2, 1\); it was changed"
    ):
        run(values)


def test_subnormal_numbers_are_numbers() -> None:
    graph, values = running_example()
    J, grads = value_and_grad(graph, values | {"x": np.full((3, 1), 5e-324)})
    assert pytest.approx(0.5 + 1.0) == J
    assert all(np.isfinite(array).all() for array in grads.values())


def test_a_run_is_a_run() -> None:
    assert isinstance(prepare(running_example()[0]), Run)


# --- rules that misbehave, and runs that are fed their own arrays ---------------------------------------------------


def with_rule(**changes: object) -> Graph:
    """The running example with an altered relu."""
    graph, _ = running_example()
    table = dict(OPS) | {"relu": replace(OPS["relu"], **changes)}
    return Graph([graph.variables[name] for name in graph.given], graph.equations, table=table)


@pytest.mark.parametrize("call", [value_and_grad, lambda graph, values: prepare(graph)(values), trace])
def test_a_rule_cannot_write_into_what_the_caller_brought(call: Callable[[Graph, Values], object]) -> None:
    def doubles(out: Array, W: Array, x: Array) -> None:
        W *= 2
        np.matmul(W, x, out=out)

    graph, values = running_example()
    table = dict(OPS) | {"matmul": replace(OPS["matmul"], forward=doubles)}
    greedy = Graph([graph.variables[name] for name in graph.given], graph.equations, table=table)
    before = values["W1"].copy()
    with pytest.raises(ValueError, match="read-only"):
        call(greedy, values)
    assert same_bits(values["W1"], before)


def test_a_run_refuses_its_own_arrays() -> None:
    graph, values = running_example(activation="tanh")
    run = prepare(graph, keep=["h"])
    _, grads = run(values)
    with pytest.raises(ValueError, match=r"W1: expected an array that this run does not write to; pass W1.copy\(\)"):
        run(values | grads)
    with pytest.raises(ValueError, match="W1: expected an array that this run does not write to"):
        run(values | {"W1": grads["W1"][:]})
    run(values | {name: gradient.copy() for name, gradient in grads.items()})


def test_a_run_has_no_values_before_it_is_called() -> None:
    run = prepare(running_example()[0], keep=["h", "W1"])
    with pytest.raises(RuntimeError, match="'h': expected a call of the run"):
        run["h"]


def test_an_overflow_in_backward_alone_is_reported_by_all() -> None:
    graph = network([1, 1])
    values = {"W1": np.array([[1e-150]]), "x": np.array([[1e250]]), "y": np.array([[0.0]])}
    for call in (value_and_grad, lambda graph, values: prepare(graph)(values), trace):
        with pytest.raises(FloatingPointError, match="dJ/dW1: expected finite numbers"):
            call(graph, values)


def test_gradients_whose_sum_overflows_are_finite_all_the_same() -> None:
    graph = Graph(
        [Variable("a", (1, 2), role="parameter"), Variable("b", (2, 1))],
        [Equation("matmul", ("a", "b"), "c"), Equation("l2", ("c",), "J", {"weight_decay": 1})],
    )
    values = {"a": np.array([[1e-8, 0.0]]), "b": np.full((2, 1), 1.2e158)}
    J, grads = prepare(graph)(values)
    assert value_and_grad(graph, values)[0] == J
    assert (grads["a"] > 1e308).all() and np.isfinite(grads["a"]).all()


@pytest.mark.parametrize("call", [value_and_grad, predict, trace])
def test_swapped_arguments_are_named(call: Callable[..., object]) -> None:
    graph, values = running_example()
    with pytest.raises(TypeError, match=r"graph: expected an mlp.Graph, received dict"):
        call(values, graph)


def test_an_archive_is_read_once() -> None:
    class Archive(dict[str, Array]):
        reads = 0

        def __getitem__(self, name: str) -> Array:
            Archive.reads += 1
            return super().__getitem__(name)

    graph, values = running_example()
    value_and_grad(graph, Archive(values))
    assert Archive.reads == len(values)


def test_a_record_does_not_change() -> None:
    t = trace(*running_example())
    with pytest.raises(ValueError, match="read-only"):
        t["z"][0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        t[-1].contributions["W1"][0, 0] = 1
    assert "z" in t and "dJ/dz" in t and "nope" not in t and t[3] in t
    assert repr(t) == "<Trace: 15 steps, policy keep_all>"
