"""Plans: bit-identical gradients, peaks to the byte, brute force, the binomial formula, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import mlp
from mlp import Equation, Graph, Plan, memory, network, schedule, trace, value_and_grad
from mlp.checkpoint import advances, binomial, chain, cost, every, optimal, sqrt, tradeoffs
from mlp.examples import diamond, running_example
from tests.brute import TanhChain
from tests.cases import random_network, random_values, same_bits


@cache
def chains(count: int) -> list[Graph]:
    """Random networks with at least one hidden layer."""
    found = [random_network(seed) for seed in range(3 * count)]
    return [graph for graph in found if len(graph.parameters) > 1 and "h" in "".join(graph.variables)][:count]


def plans(graph: Graph) -> list[Plan]:
    return [sqrt(graph), every(graph, 2), every(graph, 3), binomial(graph, 1), binomial(graph, 2), binomial(graph, 4)]


def layers_run(plan: Plan) -> list[tuple[str, int]]:
    """The plan layer by layer: a layer runs with its matrix product."""
    whole = chain(plan.graph)
    layer_of = {index: number for number, layer in enumerate(whole.layers) for index in layer}
    starts = {layer[0] for layer in whole.layers}
    return [(phase, layer_of[index]) for phase, index in plan.order if index in starts]


@pytest.mark.parametrize("seed", range(40))
def test_every_plan_gives_the_same_bits_and_its_peak_is_measured(seed: int) -> None:
    graph = chains(40)[seed]
    values = random_values(graph, seed)
    J, gradients = value_and_grad(graph, values)
    best = tradeoffs(graph)
    for plan in [*plans(graph), *(choice.plan for choice in best)]:
        found, parts = mlp.prepare(graph, policy=plan, poison=True)(values)
        assert found == J and all(same_bits(parts[name], gradients[name]) for name in gradients)
        recorded = trace(graph, values, plan)
        assert all(same_bits(recorded[f"dJ/d{name}"], gradients[name]) for name in gradients)
        predicted, measured = memory.predict(graph, plan), memory.measure(graph, values, plan)
        assert predicted.events == measured.events
        assert predicted.breakdown == measured.breakdown
        assert predicted.reserved == measured.reserved
    for choice in best:
        assert memory.predict(graph, choice.plan).peak == choice.peak
        assert cost(graph, choice.plan).extra_flops == choice.extra_flops
    for plan in plans(graph):
        paid = cost(graph, plan)
        assert any(choice.peak <= paid.peak and choice.extra_flops <= paid.extra_flops for choice in best)


@cache
def uneven(seed: int) -> tuple[list[int], int, bool]:
    rng = np.random.default_rng(seed)
    hidden = int(rng.integers(1, 8 if seed % 8 else 11))
    same = [int(rng.integers(1, 9))] * hidden
    widths = same if seed % 3 == 0 else [int(width) for width in rng.integers(1, 9, hidden)]
    return [int(rng.integers(1, 9)), *widths, int(rng.integers(1, 9))], int(rng.integers(1, 7)), bool(seed % 2)


@pytest.mark.parametrize("seed", [*range(32), -1, -2])
def test_the_best_plans_are_those_of_brute_force_at_every_budget(seed: int) -> None:
    ten = {-1: ([5, *[6] * 10, 3], 5, True), -2: ([3, 9, 2, 8, 3, 7, 4, 9, 2, 8, 6, 4], 4, True)}
    widths, batch, decay = ten[seed] if seed < 0 else uneven(seed)
    graph = network(widths, batch=batch, activation="tanh", weight_decay=0.1 * decay)
    brute = TanhChain(widths, batch, decay)
    best = tradeoffs(graph)
    assert brute.least_work(best[0].peak - 1) is None
    for choice, after in zip(best, [*best[1:], None], strict=True):
        assert brute.least_work(choice.peak) == choice.extra_flops
        if after is not None:
            assert brute.least_work(after.peak - 1) == choice.extra_flops > after.extra_flops
    assert best[-1].extra_flops == 0


@pytest.mark.parametrize("hidden", [11, 12, 13])
def test_longer_uniform_chains_agree_with_brute_force_too(hidden: int) -> None:
    widths = [3, *[5] * hidden, 2]
    best = tradeoffs(network(widths, batch=4, activation="tanh", weight_decay=0.1))
    brute = TanhChain(widths, 4, decay=True)
    for choice in best[:: max(1, len(best) // 4)]:
        assert brute.least_work(choice.peak) == choice.extra_flops


def test_optimal_takes_the_best_plan_within_its_budget() -> None:
    graph = network([3, *[6] * 8, 2], batch=7, activation="gelu", bias=True, weight_decay=0.1)
    for optimizer in (None, "adam"):
        best = tradeoffs(graph, optimizer)
        assert [choice.peak for choice in best] == sorted(choice.peak for choice in best)
        for choice in best:
            assert memory.predict(graph, choice.plan, optimizer).peak == choice.peak
            for budget in (choice.peak, choice.peak + 1):
                assert cost(graph, optimal(graph, budget, optimizer)).extra_flops == choice.extra_flops
    assert not [step for step in schedule(graph, optimal(graph, 10**9)) if step.again]


# --- binomial -------------------------------------------------------------------------------------------------------


@cache
def fewest(layers: int, snapshots: int) -> int:
    """By dynamic programming: advance m layers, take a snapshot, reverse what is beyond, then what is before."""
    if layers == 1:
        return 0
    if snapshots == 1:
        return layers * (layers - 1) // 2
    return min(m + fewest(layers - m, snapshots - 1) + fewest(m, snapshots) for m in range(1, layers))


def test_advances_are_those_of_dynamic_programming() -> None:
    for layers in range(1, 41):
        for snapshots in range(1, 9):
            assert advances(layers, snapshots) == fewest(layers, snapshots)
    assert (advances(100, 13), advances(100, 5), advances(10, 3)) == (185, 316, 15)


@pytest.mark.parametrize(("layers", "snapshots"), [(2, 1), (5, 2), (10, 3), (17, 4), (100, 5), (100, 13), (30, 30)])
def test_a_binomial_plan_runs_as_often_as_the_formula_says(layers: int, snapshots: int) -> None:
    graph = network([2] * (layers + 1), activation="tanh")
    run = layers_run(binomial(graph, snapshots))
    forward = [layer for phase, layer in run if phase == "forward"]
    assert len(forward) - layers == advances(layers, snapshots)  # each layer runs once just before it goes back
    assert [layer for phase, layer in run if phase == "backward"] == list(reversed(range(layers)))


@pytest.mark.parametrize(("layers", "snapshots"), [(5, 2), (10, 3), (17, 4), (40, 5)])
def test_a_binomial_plan_never_holds_more_snapshots_than_it_may(layers: int, snapshots: int) -> None:
    graph = network([2] * (layers + 1), activation="tanh")
    run = layers_run(binomial(graph, snapshots))
    most = 0
    for position in range(len(run)):
        held = {0}  # layer 0 reads the network's input
        for layer in range(1, layers):
            made = [k for k in range(position) if run[k] == ("forward", layer - 1)]
            if made:
                again = next((k for k in range(position, len(run)) if run[k] == ("forward", layer - 1)), len(run))
                reads = [k for k in range(position, again) if run[k] == ("forward", layer)]
                if reads and made[-1] < position and reads[0] > position:
                    held.add(layer)
        most = max(most, len(held))
    assert most <= snapshots


# --- segments -------------------------------------------------------------------------------------------------------


def test_a_segment_is_run_again_but_for_its_last_value() -> None:
    graph = network([2] * 8, activation="tanh")
    run = layers_run(every(graph, 3))
    assert [layer for phase, layer in run if phase == "forward"] == [*range(7), 3, 4, 0, 1]
    assert every(graph, 1).order == tuple((step[0], step[1]) for step in every(graph, 1).order)
    assert not [step for step in schedule(graph, every(graph, 1)) if step.again]
    assert not [step for step in schedule(graph, every(graph, 100)) if step.again]


def test_with_gelu_the_last_layer_of_a_segment_makes_its_z_again() -> None:
    graph = network([2] * 8, activation="gelu")
    again = [step.equation.output for step in schedule(graph, every(graph, 3)) if step.again]
    assert again == ["z4", "h4", "z5", "h5", "z6", "z1", "h1", "z2", "h2", "z3"]


def test_sqrt_holds_about_two_roots_of_the_layers() -> None:
    for layers in (16, 64, 256):
        graph = network([8] * (layers + 1), batch=64, activation="tanh")
        kept = {policy if isinstance(policy, str) else policy.name: memory.predict(graph, policy)
                for policy in ("residuals", sqrt(graph))}  # fmt: skip
        value = 8 * 64 * 8
        most = max(event.bytes["kept"] for event in kept["sqrt"].events)
        assert most < (2 * layers**0.5 + 4) * value
        assert max(event.bytes["kept"] for event in kept["residuals"].events) > (layers - 1) * value
        assert 0.5 < cost(graph, sqrt(graph)).extra < 1


# --- what is refused ------------------------------------------------------------------------------------------------


def test_a_budget_below_the_least_is_refused_with_the_least_and_its_plan() -> None:
    graph = network([3, *[6] * 6, 2], batch=7, activation="tanh", weight_decay=0.1)
    least = tradeoffs(graph)[0]
    with pytest.raises(ValueError, match=rf"budget: expected at least {least.peak:,} bytes, .*'{least.plan.name}'"):
        optimal(graph, least.peak - 1)
    assert memory.predict(graph, optimal(graph, least.peak)).peak == least.peak


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda g: binomial(g, 0), ValueError, "snapshots: expected a whole number >= 1, received 0"),
        (lambda g: binomial(g, 2.0), TypeError, "snapshots: expected a whole number"),
        (lambda g: every(g, 0), ValueError, "k: expected a whole number >= 1, received 0"),
        (lambda g: optimal(g, 1e9), TypeError, "budget: expected a whole number"),
        (lambda g: optimal(g, -1), ValueError, "budget: expected a whole number"),
        (lambda g: advances(0, 3), ValueError, "layers: expected a whole number"),
        (lambda g: sqrt(3), TypeError, "graph: expected an mlp.Graph"),
        (lambda g: sqrt(network([3, 2])), ValueError, "graph: expected a chain of layers"),
        (lambda g: memory.predict(g.with_batch(2), sqrt(g)), ValueError, "policy: expected a plan for"),
        (lambda g: memory.predict(running_example()[0], sqrt(g)), ValueError, "policy: expected a plan for"),
        (lambda g: mlp.prepare(g, policy="predict"), ValueError, "policy: expected one of residuals, keep_all"),
        (lambda g: schedule(g, "everything"), ValueError, "policy: expected one of keep_all, residuals, predict"),
    ],
)
def test_what_does_not_fit_is_refused(make, error, message) -> None:  # type: ignore[no-untyped-def]
    graph = network([3, 4, 5, 2], activation="tanh")
    with pytest.raises(error, match=message):
        make(graph)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda order: order[1:], r"expected 'z1' to be computed before entry 0, forward of 'h1"),
        (lambda order: [turn for turn in order if turn[0] == "forward"], r"expected backward to run equations"),
        (lambda order: [*order[:-1], ("backward", 99)], r"expected backward to run equations"),
        (lambda order: [("sideways", 0), *order], r"received \('sideways', 0\)"),
        (lambda order: [*order[:2], order[2], *order[3:], ("forward", 99)], r"received \('forward', 99\)"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(change, message) -> None:  # type: ignore[no-untyped-def]
    graph = network([3, 4, 5, 2], activation="tanh")
    plan = Plan("mine", graph, tuple(change(list(every(graph, 1).order))))
    with pytest.raises(ValueError, match=rf"plan 'mine': .*{message}"):
        schedule(graph, plan)


@pytest.mark.parametrize("order", [(1, 2), (("forward", "0"),), (("forward", 0.0),), (("forward",),), "forward", None])
def test_a_plan_of_something_else_is_refused(order: Any) -> None:
    graph = network([3, 4, 2])
    with pytest.raises(TypeError, match=r"plan 'mine': expected pairs .* received"):
        schedule(graph, Plan("mine", graph, order))


@pytest.mark.parametrize("frozen", [1, 3, 5])
def test_layers_that_backward_does_not_come_to_are_no_layers_of_their_own(frozen: int) -> None:
    whole = network([5, 4, 6, 3, 5, 4, 6, 2], 3, "sigmoid")
    fixed = {f"W{layer}" for layer in range(1, frozen + 1)}
    given = [replace(v, role="input") if v.name in fixed else v for v in map(whole.variables.get, whole.given) if v]
    weights = tuple(name for name in whole.parameters if name not in fixed)
    equations = [e if e.op != "l2" else replace(e, inputs=weights) for e in whole.equations]
    graph = Graph(given, equations)
    assert chain(graph).values == tuple(f"h{layer}" for layer in range(frozen + 1, 7))
    choices = tradeoffs(graph)
    for choice in choices:
        found = cost(graph, choice.plan)
        assert (found.peak, found.extra_flops) == (choice.peak, choice.extra_flops)
    assert cost(graph, optimal(graph, memory.predict(graph, "residuals").peak)).extra_flops == 0


def test_a_graph_is_cut_only_where_one_value_goes_on() -> None:
    assert chain(running_example()[0]).values == chain(diamond()[0]).values == ("h",)
    plain = network([3, 4, 5, 6, 2], activation="tanh")
    late = Equation("l2", ("h1",), "r", {"weight_decay": 0.5})  # h1 is still needed when h2 and h3 go on
    given = [plain.variables[name] for name in plain.given]
    graph = Graph(given, [*plain.equations[:-1], late, Equation("add", ("L", "s", "r"), "J")])
    assert chain(plain).values == ("h1", "h2", "h3")
    assert chain(graph).values == ("h1",)


def test_a_deep_chain_is_cut_at_every_layer() -> None:
    whole = chain(network([4] * 12, activation="gelu", bias=True))
    assert whole.values == tuple(f"h{k}" for k in range(1, 11))
    assert [len(layer) for layer in whole.layers] == [3] * 10 + [5]
