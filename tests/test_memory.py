"""Bytes: predicted and measured alike, seen by tracemalloc too, and freed for good."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from mlp import Graph, Plan, Variable, checkpoint, memory, network, prepare, schedule, value_and_grad
from mlp.examples import diamond, running_example
from mlp.memory import KINDS
from mlp.ops import ACTIVATIONS, LOSSES, OPS, Array, Op
from mlp.optimizers import OPTIMIZERS
from tests.cases import OWN_TABLE, random_graph, random_network, random_values, same_bits, small_values

Values = dict[str, Array]


def policies(graph: Graph) -> Iterator[str | Plan]:
    yield from ("predict", "residuals", "keep_all")
    try:
        checkpoint.chain(graph)
    except ValueError:
        return
    yield from (checkpoint.sqrt(graph), checkpoint.every(graph, 2), checkpoint.binomial(graph, 2))


def made(event: memory.Event) -> int:
    """What the engine made: all but what the caller brought and what the optimizer keeps."""
    return event.total - sum(event.bytes[kind] for kind in ("parameters", "inputs", "optimizer"))


# --- predicted and measured -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(220))
def test_what_is_predicted_is_what_is_measured(seed: int) -> None:
    graph = random_network(seed, "float32" if seed % 3 == 0 else "float64")
    values = random_values(graph, seed)
    optimizers = [None, *OPTIMIZERS]
    for number, policy in enumerate(policies(graph)):
        optimizer = None if policy == "predict" else optimizers[(seed + number) % 4]
        predicted = memory.predict(graph, policy, optimizer)
        measured = memory.measure(graph, values, policy, optimizer)
        assert predicted.events == measured.events
        assert predicted.breakdown == measured.breakdown
        assert (predicted.peak, predicted.reserved) == (measured.peak, measured.reserved)
        assert sum(held.nbytes for held in predicted.breakdown) == predicted.peak
        assert predicted.peak_event.total == max(event.total for event in measured.events)


@pytest.mark.parametrize("seed", range(60))
def test_it_is_so_for_graphs_that_no_network_makes(seed: int) -> None:
    graph = random_graph(seed)
    values = small_values(graph, seed)
    for policy in ("residuals", "keep_all"):
        predicted, measured = (memory.predict(graph, policy, "adam"), memory.measure(graph, values, policy, "adam"))
        assert predicted.events == measured.events
        for event in predicted.events:
            assert predicted.held(event.index) == measured.held(event.index)
            assert sum(held.nbytes for held in predicted.held(event.index)) == event.total


def test_it_is_so_for_the_diamond_and_for_an_operator_of_ones_own() -> None:
    graph, values = diamond()
    own = Graph(
        [graph.variables[name] for name in graph.given],
        [replace(e, op="softplus") if e.op == "relu" else e for e in graph.equations],
        table=OWN_TABLE,
    )
    for g in (graph, own):
        for policy in ("residuals", "keep_all", "predict"):
            assert memory.predict(g, policy).events == memory.measure(g, values, policy).events


def test_the_running_example_by_hand() -> None:
    graph, values = running_example()
    events = memory.measure(graph, values).events
    assert [event.what for event in events[:6]] == ["z", "h", "o", "L", "s", "J"]
    # x, y: 40 bytes; W1, W2: 160. z and h: 32 each, o: 16, a number: 8.
    assert [event.total - 200 for event in events[:6]] == [32, 64, 48, 16 + 32 + 8 + 16, 16 + 32 + 16, 16 + 32 + 24]
    assert list(events[0].bytes) == list(KINDS)
    assert memory.measure(graph, values, "keep_all").events[5].total - 200 == 32 + 32 + 16 + 24


def test_the_callers_values_are_not_changed() -> None:
    graph, values = running_example()
    before = {name: array.copy() for name, array in values.items()}
    for optimizer in OPTIMIZERS:
        memory.measure(graph, values, "residuals", optimizer)
    assert all(same_bits(values[name], before[name]) for name in values)


@pytest.mark.parametrize("policy", ["residuals", "keep_all", "predict", "sqrt"])
def test_tracemalloc_sees_the_same_bytes(policy: str) -> None:
    graph = network([300, *[400] * 6, 200], batch=800, activation="tanh", weight_decay=0.1)
    values = random_values(graph, 0)
    chosen: Any = checkpoint.sqrt(graph) if policy == "sqrt" else policy
    expected = max(made(event) for event in memory.predict(graph, chosen).events)
    assert expected > 4_000_000
    schedule(graph, chosen)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        memory.measure(graph, values, chosen)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert abs(most - before - expected) < max(0.02 * expected, 64_000)


def test_value_and_grad_takes_what_residuals_predict() -> None:
    graph = network([300, *[400] * 6, 200], batch=500, activation="gelu", bias=True)
    values = random_values(graph, 0)
    expected = max(made(event) for event in memory.predict(graph).events)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        value_and_grad(graph, values)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert abs(most - before - expected) < max(0.02 * expected, 64_000)


# --- freed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_freed_buffers_full_of_nan_change_no_bit(seed: int) -> None:
    graph = random_graph(seed) if seed % 2 else random_network(seed)
    values = small_values(graph, seed) if seed % 2 else random_values(graph, seed)
    J, gradients = value_and_grad(graph, values)
    for policy in policies(graph):
        if policy == "predict":
            continue
        run = prepare(graph, policy=policy, poison=True)
        for _ in range(2):
            found, parts = run(values)
            assert found == J and all(same_bits(parts[name], gradients[name]) for name in gradients)


def shapes_of(op: Op) -> list[tuple[int, ...]]:
    """Inputs of a million bytes or more."""
    if op.name == "matmul":
        return [(400, 350), (350, 450)]
    if op.name == "bias":
        return [(400, 350), (400, 1)]
    return [(400, 350)] * (2 if op.variadic else len(op.vjps))


def allocated(op: Op) -> int:
    """The most bytes that a rule of an operator takes beyond the arrays that it is given."""
    rng = np.random.default_rng(0)
    shapes = shapes_of(op)
    inputs = [rng.standard_normal(shape) for shape in shapes]
    if op.requires:
        inputs[1] = np.eye(400)[:, rng.integers(400, size=350)].copy()
    attrs = dict.fromkeys(op.attrs, 0.5)
    value = np.empty(op.infer_shape(*shapes))
    calls = [(op.forward, [value, *inputs, *map(np.empty, op.workspace(*shapes))])]
    for argnum in range(len(inputs)):
        vjp = op.vjp(argnum)
        if vjp is not None:
            named = {"out": value, "own": inputs[argnum]}
            saved = [inputs[what] if isinstance(what, int) else named[what] for what in vjp.saves]
            delta = rng.standard_normal(value.shape) if value.shape else np.array(1.0)
            work = map(np.empty, vjp.workspace(delta.shape, *(array.shape for array in saved)))
            calls.append((vjp.rule, [np.empty_like(inputs[argnum]), delta, *saved, *work]))
    most = 0
    for rule, arguments in calls:
        rule(*arguments, **attrs)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            rule(*arguments, **attrs)
            most = max(most, tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
    return most


@pytest.mark.parametrize("name", OPS)
def test_no_rule_makes_an_array_that_it_has_not_declared(name: str) -> None:
    assert allocated(OPS[name]) < 20_000


def test_a_rule_that_does_is_caught() -> None:
    def careless(out: Array, delta: Array, h: Array) -> None:
        np.multiply(delta, 1 - h * h, out=out)

    tanh = OPS["tanh"]
    assert tanh.vjps[0] is not None
    wrong = replace(tanh, vjps=(replace(tanh.vjps[0], rule=careless),))
    assert allocated(wrong) > 1_000_000


# --- what the policies are for --------------------------------------------------------------------------------------


def at_the_start_of_backward(graph: Graph, policy: str) -> int:
    events = memory.predict(graph, policy).events
    return next(event for event in events if event.phase == "backward").bytes["kept"]


@pytest.mark.parametrize("hidden", [3, 5, 20])
def test_residuals_keep_at_most_three_fifths_for_tanh(hidden: int) -> None:
    for activation, share in (("tanh", 0.6), ("relu", 0.6), ("sigmoid", 0.6)):
        graph = network([8, *[32] * hidden, 4], batch=16, activation=activation)
        assert at_the_start_of_backward(graph, "residuals") <= share * at_the_start_of_backward(graph, "keep_all")
    gelu = network([8, *[32] * hidden, 4], batch=16, activation="gelu")  # its rule needs z
    assert at_the_start_of_backward(gelu, "residuals") > 0.9 * at_the_start_of_backward(gelu, "keep_all")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_prediction_keeps_two_layers_values_at_most(activation: str, bias: bool) -> None:
    graph = network([20] * 12, batch=30, activation=activation, bias=bias)
    layer = 20 * 30 * 8
    assert max(event.bytes["kept"] for event in memory.predict(graph, "predict").events) == 2 * layer


def test_a_thousand_layers_take_no_more_work_for_each_than_a_hundred() -> None:
    counts = {}
    for depth in (100, 1000):
        timeline = memory.predict(network([16] * (depth + 1), batch=4, activation="tanh", weight_decay=0.1))
        counts[depth] = len(timeline.events), timeline.peak
    (few, small), (many, large) = counts[100], counts[1000]
    assert (many - few) / 900 == pytest.approx(few / 100, rel=0.1)
    assert (large - small) / 900 == pytest.approx(small / 100, rel=0.1)


@pytest.mark.parametrize("loss", LOSSES)
def test_micro_batches_give_the_whole_batchs_gradient(loss: str) -> None:
    graph = network([5, 7, 6, 3], batch=12, activation="tanh", loss=loss, weight_decay=0.1, bias=True)
    values = random_values(graph, 1)
    J, gradients = value_and_grad(graph, values)
    part = graph.with_batch(4)
    run, total, summed = prepare(part), 0.0, {name: np.zeros_like(values[name]) for name in graph.parameters}
    for start in (0, 4, 8):
        columns = {name: np.ascontiguousarray(values[name][:, start : start + 4]) for name in graph.inputs}
        one, grads = run({**{name: values[name] for name in graph.parameters}, **columns})
        total += one / 3
        for name, gradient in grads.items():
            summed[name] += gradient / 3
    assert total == pytest.approx(J, rel=1e-12)
    assert all(np.abs(summed[name] - gradients[name]).max() < 1e-12 for name in gradients)
    assert memory.predict(part).peak < memory.predict(graph).peak


def test_a_sweep_is_its_predictions() -> None:
    def build(batch: int) -> Graph:
        return network([6, 8, 8, 4], batch=batch, activation="tanh")

    found = memory.sweep(build, [1, 5, 25], ("predict", "residuals", checkpoint.sqrt), "adam")
    assert list(found) == ["predict", "residuals", "sqrt"]
    assert found["residuals"] == [memory.predict(build(n), "residuals", "adam").peak for n in (1, 5, 25)]
    assert found["predict"] == [memory.predict(build(n), "predict").peak for n in (1, 5, 25)]
    assert found["sqrt"] == [memory.predict(build(n), checkpoint.sqrt(build(n)), "adam").peak for n in (1, 5, 25)]


# --- words and refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policies", "error", "message"),
    [
        ("residuals", TypeError, "policies: expected a list such as"),
        (["residuals", "residuals"], ValueError, "a name of its own for each, received residuals, residuals"),
        (
            [lambda g: checkpoint.every(g, 2), lambda g: checkpoint.every(g, 3)],
            ValueError,
            "received <lambda>, <lambda>",
        ),
    ],
)
def test_a_sweep_keeps_its_policies_apart(policies: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        memory.sweep(lambda depth: network([3] * (depth + 1)), [3, 4], policies)


def test_a_sweep_takes_a_function_without_a_name() -> None:
    policy: Any = partial(checkpoint.every, k=2)
    (peaks,) = memory.sweep(lambda depth: network([3] * (depth + 1)), [3, 4], [policy]).values()
    assert peaks == [memory.predict(g, checkpoint.every(g, 2)).peak for g in (network([3] * 4), network([3] * 5))]


def test_what_is_measured_of_a_deep_network_takes_no_more_for_each_layer() -> None:
    took = []
    for depth in (60, 240):
        graph = network([2] * (depth + 1), 1, "tanh")
        values = random_values(graph)
        schedule(graph)
        tracemalloc.start()
        try:
            found = memory.measure(graph, values)
            took.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert sum(held.nbytes for held in found.held(depth)) == found.events[depth].total
    assert took[1] < 6 * took[0]


def test_an_update_that_overflows_is_measured_without_a_warning() -> None:
    graph = network([3, 2], 1, dtype="float32")
    sizes = {"x": 1e10, "W1": 1e5, "y": 1.0}  # the gradient is some 1e25, its square more than float32 holds
    values = {name: np.full(graph.variables[name].shape, size, "float32") for name, size in sizes.items()}
    assert memory.measure(graph, values, optimizer="adam").peak == memory.predict(graph, optimizer="adam").peak


def test_a_timeline_says_its_peak_and_who_needs_what() -> None:
    graph, values = running_example()
    timeline = memory.predict(graph)
    assert repr(timeline) == "<Timeline: residuals, peak 496 B at step 14, backward, dJ/dW1>"
    lines = str(timeline).splitlines()
    assert len(lines) == 16 and lines[-1].endswith("496  peak") and lines[0].split() == [
        "step", "phase", "writes", *KINDS, "total"
    ]  # fmt: skip
    needed = {held.array: held.needed_by for held in memory.measure(graph, values, "residuals", "adam").held(6)}
    assert needed["W1"] == "the caller"
    assert needed["h"] == "relu_vjp0 of h = relu(z), step 13"
    assert needed["J"] == "the caller, as a result"
    assert needed["state mean of W1"] == "the next update"
    assert {held.array: held.needed_by for held in memory.predict(graph, "keep_all").held(14)}["z"] == "the policy"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("everything",), ValueError, "policy: expected one of keep_all, residuals, predict, received 'everything'"),
        (("residuals", "rmsprop"), ValueError, "optimizer: expected one of sgd, momentum, adam, received 'rmsprop'"),
        (("predict", "adam"), ValueError, "optimizer: expected None under the policy 'predict'"),
        ((3,), ValueError, "policy: expected one of"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
    graph, values = running_example()
    with pytest.raises(error, match=message):
        memory.predict(graph, *arguments)
    with pytest.raises(error, match=message):
        memory.measure(graph, values, *arguments)


def test_no_graph_is_no_graph() -> None:
    with pytest.raises(TypeError, match=r"graph: expected an mlp.Graph, received dict"):
        memory.predict({})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="missing x"):
        memory.measure(running_example()[0], {})


def test_of_a_graph_that_computes_nothing_there_is_nothing_to_say() -> None:
    graph = Graph([Variable("x", (2, 3))], [])
    with pytest.raises(ValueError, match="graph: expected at least one equation to run"):
        memory.predict(graph)
    with pytest.raises(ValueError, match="graph: expected at least one equation to run"):
        memory.measure(graph, {"x": np.ones((2, 3))})
