"""What the chapters say of time: sweeps forward and back, plans that compute again, and the answer of `mlp.memory`.

Chapters take these figures from `results.json`, so that no page depends on what else its builder's machine was doing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import mlp
from benchmarks.cases import SEED
from benchmarks.clock import calls_per_sample, rounded, sample, seconds, spread
from benchmarks.machine import machine
from benchmarks.quiet import Quiet
from mlp import checkpoint, memory
from mlp.ops import Array
from mlp.steps import Plan

WIDTHS, BATCH = (16, 64, 256, 1024), 64
LAYERS, BUDGET, PLACES = 32, 4_000_000, 5  # of the network of chapter "Forget and Recompute", and its plans
DEEPEST = 1000
ROUNDS, QUICK_ROUNDS = 15, 2
PATIENCE, QUICK_PATIENCE = 1.0, 0.0  # seconds

Calls = dict[str, Callable[[], Any]]


def problem(width: int) -> tuple[mlp.Graph, dict[str, Array], dict[str, Array]]:
    """A network of three layers with relu, values for it, and a direction: a speed for each weight."""
    graph = mlp.network([width, width, width, 10], BATCH)
    rng = np.random.default_rng(SEED)
    noise = {name: rng.standard_normal(graph.variables[name].shape) for name in graph.given}
    return graph, {**noise, **graph.init(SEED)}, {name: noise[name] for name in graph.parameters}


def deep(layers: int, batch: int) -> mlp.Graph:
    """A network of ``layers`` layers of 64 units, as in the chapters on memory."""
    return mlp.network([64] * (layers + 1), batch, "tanh", weight_decay=1e-4)


def in_turn(calls: Calls, rounds: int, quiet: Quiet) -> dict[str, list[float]]:
    """Seconds of each call, measured in turns, after a first round that warms up."""
    number = {name: calls_per_sample(seconds(call, 1)) for name, call in calls.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            gc.collect()
            quiet.wait()
            taken[name].append(sample(call, number[name]))
    return taken


def compared(taken: dict[str, list[float]]) -> dict[str, Any]:
    """Seconds of each, and each in parts of the first of the same round."""
    first = next(iter(taken.values()))
    ratios = {name: [own / one for own, one in zip(times, first, strict=True)] for name, times in taken.items()}
    return {
        "seconds": {name: spread(times) for name, times in taken.items()},
        "ratios": {name: spread(found) for name, found in ratios.items()},
    }


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of a gradient, a JVP and a Hessian-vector product, of a step under four plans, and of a prediction.

    Parameters
    ----------
    quick : bool
        Fewer rounds.
    say : callable
        Receives a line now and then.
    """
    quiet, rounds = Quiet(QUICK_PATIENCE if quick else PATIENCE), QUICK_ROUNDS if quick else ROUNDS
    with threadpool_limits(1, "blas"):  # work against work: what two threads make of it is another question
        sweeps = [sweep(width, rounds, quiet) for width in WIDTHS]
        for found in sweeps:
            ratios = ", ".join(f"{name} {ratio['median']:.2f}" for name, ratio in found["ratios"].items())
            say(f"width {found['width']}: {ratios}")
        plans = steps_under_plans(rounds, quiet)
        say("plans: " + ", ".join(f"{name} {ratio['median']:.2f}" for name, ratio in plans["ratios"].items()))
        thousand = deep(DEEPEST, 64)
        asked = in_turn({"predict": lambda: memory.predict(thousand, "residuals")}, rounds, quiet)["predict"]
    return {
        "machine": machine(),
        "quiet": quiet.report(),
        "rounds": rounds,
        "batch": BATCH,
        "sweeps": sweeps,
        "plans": plans,
        "asked": {"layers": DEEPEST, "seconds": spread(asked)},
    }


def sweep(width: int, rounds: int, quiet: Quiet) -> dict[str, Any]:
    """Both ways through a network of this width, and the gradient's own derivative along a direction."""
    graph, values, direction = problem(width)
    calls: Calls = {
        "gradient": partial(mlp.value_and_grad, graph, values),
        "jvp": partial(mlp.jvp, graph, values, direction),
        "hvp": partial(mlp.hvp, graph, values, direction),
    }
    parameters = sum(array.size for array in direction.values())
    return {"width": width, "parameters": parameters, **compared(in_turn(calls, rounds, quiet))}


def steps_under_plans(rounds: int, quiet: Quiet) -> dict[str, Any]:
    """A training step that keeps residuals, and under three plans that compute some of them again."""
    net = deep(LAYERS, 256)
    x, y = np.random.default_rng(SEED).standard_normal((2, 64, 256))
    values = {**net.init(SEED), "x": x, "y": y}
    policies: list[str | Plan] = [
        "residuals",
        checkpoint.optimal(net, BUDGET),
        checkpoint.sqrt(net),
        checkpoint.binomial(net, PLACES),
    ]
    costs = [checkpoint.cost(net, policy) for policy in policies]
    runs: Calls = {
        cost.name: partial(mlp.prepare(net, policy=policy), values)
        for cost, policy in zip(costs, policies, strict=True)
    }
    about = {cost.name: {"peak": cost.peak, "extra": rounded(cost.extra)} for cost in costs}
    return {"layers": LAYERS, "budget": BUDGET, "costs": about, **compared(in_turn(runs, rounds, quiet))}
