"""What depth costs: time and memory of everything that `mlp` does to a network of 50 to 1,000 layers of width 16."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import mlp
from benchmarks.cases import ACTIVATION, SEED
from benchmarks.clock import rounded, sample, spread
from benchmarks.machine import machine
from benchmarks.quiet import Quiet
from mlp.ops import Array

WIDTH, NARROW, BATCH = 16, 2, 32
DEPTHS = (50, 100, 200, 500, 1000)
ROUNDS, QUICK_ROUNDS = 9, 2
PATIENCE, QUICK_PATIENCE = 0.3, 0.0  # seconds


def network(depth: int, width: int = WIDTH) -> tuple[mlp.Graph, dict[str, Array]]:
    """A network of ``depth`` layers in float64, so that what fades on the long way is still an ordinary number."""
    graph = mlp.network([width] * (depth + 1), BATCH, ACTIVATION)
    x, y = np.random.default_rng(SEED).standard_normal((2, width, BATCH))
    return graph, {**graph.init(SEED), "x": x, "y": y}


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds and bytes at each depth.

    Parameters
    ----------
    quick : bool
        Fewer rounds.
    say : callable
        Receives a line now and then.
    """
    from mlp import draw

    networks = {depth: network(depth) for depth in DEPTHS}
    runs = {depth: mlp.prepare(graph) for depth, (graph, _) in networks.items()}
    narrow = {depth: network(depth, NARROW) for depth in DEPTHS}
    narrow_runs = {depth: mlp.prepare(graph) for depth, (graph, _) in narrow.items()}
    activities: dict[str, Callable[[mlp.Graph, dict[str, Array]], Any]] = {
        "step": lambda graph, values: runs[len(graph.parameters)](values),
        "narrow step": lambda graph, _: narrow_runs[len(graph.parameters)](narrow[len(graph.parameters)][1]),
        "prepare": lambda graph, values: prepared(graph, values),
        "trace": mlp.trace,
        "predict": mlp.predict,
        "network": lambda graph, values: network(len(graph.parameters)),
        "to_svg": lambda graph, values: draw.to_svg(graph),
    }
    taken: dict[str, dict[int, list[float]]] = {name: {depth: [] for depth in DEPTHS} for name in activities}
    quiet = Quiet(QUICK_PATIENCE if quick else PATIENCE)
    for turn in range(1 + (QUICK_ROUNDS if quick else ROUNDS)):
        for name, act in activities.items():
            for depth, arguments in networks.items():
                gc.collect()
                quiet.wait()
                took = sample(partial(act, *arguments), max(1, 1000 // depth) if "step" in name else 1)
                if turn:  # the first one warms up
                    taken[name][depth].append(took)
    seconds = {name: [spread(times[depth]) for depth in DEPTHS] for name, times in taken.items()}
    memory = {
        name: [allocated(partial(activities[name], *arguments)) for arguments in networks.values()]
        for name in ("prepare", "trace", "predict")
    }
    steady = {
        "seconds": {name: steadiness([s["median"] for s in spreads]) for name, spreads in seconds.items()},
        "bytes": {name: steadiness(peaks) for name, peaks in memory.items()},
    }
    for kind, found in steady.items():
        say(f"{kind} per layer, largest by smallest: " + ", ".join(f"{name} {r:.2f}" for name, r in found.items()))
    return {
        "machine": machine(),
        "quiet": quiet.report(),
        "width": WIDTH,
        "narrow": NARROW,
        "batch": BATCH,
        "depths": list(DEPTHS),
        "seconds": seconds,
        "bytes": memory,
        "steadiness": steady,
    }


def prepared(graph: mlp.Graph, values: dict[str, Array]) -> object:
    """Prepare and run once."""
    run = mlp.prepare(graph)
    return run, run(values)


def allocated(act: Callable[[], Any]) -> int:
    """Bytes: the most that is allocated at one time, as tracemalloc counts it: arrays and Python's objects."""
    gc.collect()
    tracemalloc.start()
    kept = act()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del kept
    return peak


def steadiness(costs: Sequence[float]) -> float:
    """The largest cost of a layer, over all depths, in parts of the smallest."""
    per_layer = [cost / depth for cost, depth in zip(costs, DEPTHS, strict=True)]
    return rounded(max(per_layer) / min(per_layer))
