"""Random networks in awkward places, with mistakes planted in their rules: what the gradient check says of each.

``python -m tests.planted 1000`` looks at a thousand and prints the counts; the suite looks at the first of them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from mlp import Graph, check_gradients, value_and_grad
from mlp.check import GradientReport
from mlp.ops import ACTIVATIONS, OPS, Array, Op
from tests.cases import random_network, random_values
from tests.test_ops import scaled

PLACES = ("ordinary", "near corners", "at corners", "saturated", "tiny", "large")
SHOWS = 1e-4  # a mistake that moves no entry by so much of its parameter's largest need not be found
ENTRIES = 8  # of each parameter, where a report of all of them is not needed


def dropped(op: Op) -> Op:
    """The activation with φ′ left out of its rule."""
    vjp = op.vjps[0]
    assert vjp is not None

    def rule(out: Array, delta: Array, *rest: Array) -> None:
        np.copyto(out, delta)

    return replace(op, vjps=(replace(vjp, rule=rule),))


def network_at(seed: int) -> tuple[str, Graph, dict[str, Array]]:
    """Any activation, loss, bias, depth, batch and dtype, at values of one of the `PLACES`."""
    rng = np.random.default_rng(seed)
    graph = random_network(seed, str(rng.choice(["float64", "float32"])))
    values = random_values(graph, seed)
    place = PLACES[seed % len(PLACES)]
    weights = [name for name in graph.parameters if name.startswith("W")]
    biases = [name for name in graph.parameters if name.startswith("b")]
    if place == "near corners":
        for name in (*(weights[:1] if rng.integers(2) else weights[:-1]), *biases[:-1]):
            values[name] *= 10.0 ** rng.uniform(-17, -3)
        if rng.integers(2):
            values["x"][:] = 1
    elif place == "at corners":
        for name in weights[:-1] or weights:
            values[name][rng.integers(len(values[name]))] = 0
        for name in biases:
            values[name][:] = 0
    elif place == "saturated":
        values["x"] *= 10.0 ** rng.uniform(1, 3)
        for name in biases:
            values[name] *= 10.0 ** rng.uniform(0, 2)
    elif place == "tiny":
        values["x"] *= 10.0 ** rng.uniform(-9, -3)
    elif place == "large":
        for name in weights:
            values[name] *= 10.0 ** rng.uniform(0, 0.7)
    return place, graph, {name: array.astype(graph.dtype) for name, array in values.items()}


def with_mistake(graph: Graph, seed: int) -> tuple[str, Graph]:
    """The graph with one rule wrong by a thousandth, three times too large, or without φ′."""
    rng = np.random.default_rng([seed, 1])
    names = sorted({equation.op for equation in graph.equations})
    kind = str(rng.choice(["0.1 %", "factor 3", "φ′ dropped"]))
    [activation] = [name for name in names if name in ACTIVATIONS] or [""]
    if kind == "φ′ dropped" and activation:
        name, op = activation, dropped(OPS[activation])
    else:
        kind = "0.1 %" if kind == "0.1 %" else "factor 3"
        name = str(rng.choice(names))
        argnum = int(rng.choice([k for k, vjp in enumerate(OPS[name].vjps) if vjp]))
        op = scaled(OPS[name], argnum, 1.001 if kind == "0.1 %" else 3.0)
    table = dict(OPS) | {name: op}
    return kind, Graph(graph.variables.values(), graph.equations, graph.objective, graph.output, table)


def is_moved(right: Graph, wrong: Graph, values: dict[str, Array]) -> bool:
    """Whether the mistake moves some entry of some gradient by more than `SHOWS` of its parameter's largest."""
    double = {name: array.astype("float64") for name, array in values.items()}
    (_, exact), (_, other) = (value_and_grad(graph.with_dtype("float64"), double) for graph in (right, wrong))
    return any(np.abs(other[name] - exact[name]).max() > SHOWS * np.abs(exact[name]).max() for name in exact)


def said(report: GradientReport) -> str:
    """One word for a whole report: wrong if anything in it is."""
    if "WRONG" in str(report):
        return "wrong"
    return "right" if report.ok else "not measured"


def survey(seeds: Iterable[int]) -> tuple[Counter[tuple[str, str, str]], Counter[str], list[str]]:
    """Check the networks, right and with a mistake that shows: how often each verdict came; entries; false verdicts."""
    counts: Counter[tuple[str, str, str]] = Counter()
    entries: Counter[str] = Counter()
    false: list[str] = []
    for seed in seeds:
        place, graph, values = network_at(seed)
        report = check_gradients(graph, values, max_entries=ENTRIES, seed=seed)
        counts["right rules", place, said(report)] += 1
        for name, (measured, _) in report.checked.items():
            entries["measured"] += measured
            entries.update(report.reasons[name])
        if said(report) == "wrong":
            false.append(f"seed {seed}, {place}, {graph!r}, called wrong:\n{report}")
        kind, wrong = with_mistake(graph, seed)
        try:
            shows = is_moved(graph, wrong, values)
        except FloatingPointError:  # a factor of 3 in each layer
            continue
        if shows:
            report = check_gradients(wrong, values, seed=seed)
            counts[kind, place, said(report)] += 1
            if said(report) == "right":
                false.append(f"seed {seed}, {place}, {kind} in {wrong!r}, called right:\n{report}")
    return counts, entries, false


def table(counts: Counter[tuple[str, str, str]], entries: Counter[str]) -> str:
    """The counts as text."""
    verdicts = ("right", "wrong", "not measured")
    rows = sorted({(kind, place) for kind, place, _ in counts})
    lines = [f"{'':28s}" + "".join(f"{verdict:>14s}" for verdict in verdicts)]
    lines += [
        f"{f'{kind}, {place}':28s}" + "".join(f"{counts[kind, place, v]:14d}" for v in verdicts) for kind, place in rows
    ]
    return "\n".join([*lines, f"entries, right rules: {dict(entries)}"])


if __name__ == "__main__":
    *found, mistakes = survey(range(int(sys.argv[1])))
    print(table(*found), *mistakes, sep="\n\n")
    sys.exit(bool(mistakes))
