"""Checkpoints: keep a few values, forget the others, compute them again when backward needs them.

A plan is an order of equations that the engine runs like any other schedule, so its gradients are the same bits and its
bytes are counted by `mlp.memory` like any others. Plans here are for chains: graphs in which one value carries
everything from layer to layer. The layers run forward, some more than once, and each goes back once; an array that is
read again before it is written again is kept until then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb, isqrt
from typing import Any

from mlp.checkpoint.chains import Chain, Cost, LayerTurn, chain, cost
from mlp.checkpoint.layers import measured
from mlp.checkpoint.options import Walk
from mlp.checkpoint.persistent import persistent
from mlp.checkpoint.search import searched
from mlp.graph import Graph
from mlp.inputs import counted, positive_int
from mlp.memory import predict
from mlp.steps import Plan
from mlp.text import bytes_text

__all__ = ["Chain", "Choice", "Cost", "advances", "binomial", "chain", "cost", "every", "optimal", "sqrt", "tradeoffs"]

EXACT, BITS = 10, 12  # of a chain whose orders are all searched: layers at most, and arrays that could be kept

# --- every k-th layer -----------------------------------------------------------------------------------------------


def every(graph: Graph, k: int) -> Plan:
    """Keep the value of every k-th layer; compute the others again, one segment of k layers at a time.

    Parameters
    ----------
    graph : Graph
        A chain.
    k : int
        Layers in a segment, ≥ 1. With k = 1 nothing is forgotten that a rule reads.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError, ValueError
        For no chain, or a k that is no whole number ≥ 1.
    """
    length = positive_int(k, "k")
    whole = chain(graph)
    tail = len(whole) - 1
    turns: list[LayerTurn] = [("forward", layer, None) for layer in range(len(whole))]
    for start in reversed(range(0, len(whole), length)):
        segment = range(start, min(start + length, len(whole)))
        if segment[-1] != tail:  # the last segment has just run; the value of a segment's last layer was kept
            turns += [("forward", layer, None) for layer in segment[:-1]]
            turns.append(("forward", segment[-1], whole.needs(segment[-1]).refill))
        turns += [("backward", layer, None) for layer in reversed(segment)]
    return whole.plan(f"every {length}", turns)


def sqrt(graph: Graph) -> Plan:
    """Segments of about √K layers (Chen et al., 2016): memory for about 2√K values instead of K, for one more forward.

    Parameters
    ----------
    graph : Graph
        A chain.

    Returns
    -------
    Plan
    """
    count = len(chain(graph))
    return _renamed(every(graph, isqrt(count - 1) + 1), "sqrt")


def _renamed(plan: Plan, name: str) -> Plan:
    return Plan(name, plan.graph, plan.order)


# --- binomial -------------------------------------------------------------------------------------------------------


def advances(layers: int, snapshots: int) -> int:
    """The fewest runs of layers that only move forward, to take ``layers`` layers back with ``snapshots`` snapshots.

    ``r l − C(s + r, s + 1)`` for l layers and s snapshots, the start among them, with the smallest r such that
    ``C(s + r, s) ≥ l`` (Griewank and Walther, 2000). The run of each layer just before it goes back is not counted.

    Parameters
    ----------
    layers, snapshots : int
        Each ≥ 1.

    Returns
    -------
    int

    Examples
    --------
    >>> advances(10, 3), advances(100, 13), advances(100, 5)
    (15, 185, 316)
    """
    length, held = positive_int(layers, "layers"), positive_int(snapshots, "snapshots")
    r = 0
    while comb(held + r, held) < length:
        r += 1
    return r * length - comb(held + r, held + 1)


def binomial(graph: Graph, snapshots: int) -> Plan:
    """Take a chain back with a fixed number of snapshots and as few runs as possible (Griewank and Walther, 2000).

    Each layer runs once more just before it goes back; before that, layers run `advances` times in all.

    Parameters
    ----------
    graph : Graph
        A chain. Its layers count, the tail among them.
    snapshots : int
        Values that may be held at a time, ≥ 1; the network's input is one of them.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError, ValueError
        For no chain, or a number of snapshots that is no whole number ≥ 1.
    """
    held = positive_int(snapshots, "snapshots")
    whole = chain(graph)
    turns: list[LayerTurn] = []
    todo = [(0, len(whole), held)]  # take the layers from the first to before the second back
    while todo:
        first, end, free = todo.pop()
        if end - first == 1:
            turns += [("forward", first, None), ("backward", first, None)]
            continue
        middle = first + _split(end - first, free)
        turns += [("forward", layer, None) for layer in range(first, middle)]
        todo += [(first, middle, free), (middle, end, max(free - 1, 1))]
    return whole.plan(f"binomial {held}", turns)


def _split(layers: int, snapshots: int) -> int:
    """How far to advance before the next snapshot; to the last layer, where there is none left."""
    if snapshots == 1:
        return layers - 1
    total = [m + advances(layers - m, snapshots - 1) + advances(m, snapshots) for m in range(1, layers)]
    return 1 + total.index(min(total))


# --- as little extra work as a budget allows ------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """A plan that no other beats in both: a peak in bytes, and floating-point operations done again."""

    plan: Plan
    peak: int
    extra_flops: int


def tradeoffs(graph: Graph, optimizer: str | None = None) -> list[Choice]:
    """All that can be had, from the least memory to the least work: each plan does the least work at its peak.

    For a chain of up to 10 layers before the tail (6, where their rules read more than one value, as gelu's do), the
    least among all orders, found by searching them. For a longer one, the least among orders in which a value that is
    kept stays until backward has passed it, found by dynamic programming (Beaumont et al., 2019: persistent schedules).

    Parameters
    ----------
    graph : Graph
        A chain.
    optimizer : str, optional
        As for `mlp.memory.predict`: its state is part of every peak.

    Returns
    -------
    list of Choice
        The peaks rise, the work falls.
    """
    whole = chain(graph)
    outside = predict(graph, "residuals", optimizer)
    always = sum(outside.events[0].bytes[kind] for kind in ("parameters", "inputs", "optimizer"))
    floor = outside.events[-1].total if optimizer else 0  # the update's own bytes, whatever the plan
    choices: list[Choice] = []
    sizes = measured(whole)
    bits = sum(1 + (layer.inside > 0) for layer in sizes.layers)
    is_short = len(sizes.layers) <= EXACT and bits <= BITS
    for option in searched(sizes) if is_short else persistent(sizes):
        peak = max(always + option.peak, floor)
        plan = whole.plan(f"optimal {bytes_text(peak)}", _turns(whole, option.walk))
        if choices and choices[-1].peak == peak:
            choices.pop()
        choices.append(Choice(plan, peak, option.flops))
    return choices


def optimal(graph: Graph, budget: int, optimizer: str | None = None) -> Plan:
    """Find the plan that does the least work again within a budget of bytes; see `tradeoffs`.

    Parameters
    ----------
    graph : Graph
        A chain.
    budget : int
        Bytes: the peak of the whole pass, the caller's arrays among them, is at most this.
    optimizer : str, optional
        As for `mlp.memory.predict`: its state is part of the peak.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError
        For a budget that is no whole number.
    ValueError
        For no chain, or a budget below the least possible, with that least and the plan that reaches it.
    """
    limit = positive_int(budget, "budget")
    choices = tradeoffs(graph, optimizer)
    within = [choice for choice in choices if choice.peak <= limit]
    if not within:
        least = choices[0]
        raise ValueError(
            f"budget: expected at least {least.peak:,} bytes, which the plan {least.plan.name!r} reaches with "
            f"{counted(least.extra_flops, 'operation')} done again, received {limit:,}"
        )
    return within[-1].plan


def _turns(whole: Chain, walk: Walk) -> Iterator[LayerTurn]:
    """A walk, unrolled."""
    todo: list[tuple[int, Any]] = [(0, item) for item in reversed(walk)]
    while todo:
        start, (what, inner) = todo.pop()
        if not isinstance(what, str):
            todo += [(start + what, item) for item in reversed(inner)]
            continue
        layer = start + inner
        if what in ("run", "tail"):
            yield "forward", layer, None
        elif what in ("tape", "refill"):
            yield "forward", layer, whole.needs(layer).tape if what == "tape" else whole.needs(layer).refill
        if what in ("back", "tail"):
            yield "backward", layer, None
