"""The least work at each peak among all walks whatever, by searching them: for short chains."""

from collections.abc import Callable, Iterator
from functools import cache
from heapq import heappop, heappush
from typing import NamedTuple

from mlp.checkpoint.layers import Sizes
from mlp.checkpoint.options import Option

# Operations done again, bytes at most meanwhile, the turn (None where something is only dropped), the state after it.
Move = tuple[int, int, tuple[str, int] | None, "State"]


class State(NamedTuple):
    """Where a walk is: what exists, as bits by layer, how far forward has come, and how far back (-1: not begun)."""

    values: int
    insides: int
    forward: int
    back: int


def searched(sizes: Sizes) -> list[Option]:
    """All that can be had, whatever the order: the least work, then the least work within less memory, and so on."""
    moves = cache(lambda state: tuple(_moves(sizes, state)))  # the same in every search
    found: list[Option] = []
    limit = sum(layer.keep_peak + layer.value + max(layer.back_peak) for layer in sizes.layers)
    option = _least_work(moves, limit + sum(sizes.tail_peak) + sizes.done)
    while option is not None:
        if found and found[-1].flops == option.flops:
            found.pop()
        found.append(option)
        option = _least_work(moves, option.peak - 1)
    return found[::-1]


def _least_work(moves: Callable[[State], tuple[Move, ...]], limit: int) -> Option | None:
    """The least work within a limit of bytes, by Dijkstra's algorithm over all states; None where it cannot be done."""
    start = State(0, 0, 0, -1)
    best: dict[State, tuple[int, int]] = {start: (0, 0)}
    came: dict[State, tuple[State, tuple[str, int] | None]] = {}
    queue = [((0, 0), start)]
    while queue:
        (flops, peak), state = heappop(queue)
        if best[state] < (flops, peak):
            continue
        if state.back == 0:
            walk: list[tuple[str, int]] = []
            while state != start:
                state, turn = came[state]
                walk += [turn] if turn else []
            return Option(flops, peak, tuple(reversed(walk)))
        for more, reached, turn, after in moves(state):
            reached = max(peak, reached)
            if reached <= limit and (flops + more, reached) < best.get(after, (flops + more + 1, 0)):
                best[after] = flops + more, reached
                came[after] = state, turn
                heappush(queue, (best[after], after))
    return None


def _moves(sizes: Sizes, state: State) -> Iterator[Move]:
    """What can be done next."""
    layers, tail_peak, done = sizes
    values, insides, forward, back = state
    held = sum(layer.value * (values >> i & 1) + layer.inside * (insides >> i & 1) for i, layer in enumerate(layers))
    begun = back >= 0
    if begun:
        done += sum(layer.gradients for layer in layers[back:])
        held += done + layers[back - 1].value  # the cotangent at which backward stands
    for i in range(back if begun else len(layers)):
        layer, bit, before = layers[i], 1 << i, 1 << i >> 1
        if values & bit:
            yield 0, 0, None, state._replace(values=values ^ bit)
        if insides & bit:
            yield 0, 0, None, state._replace(insides=insides ^ bit)
        if i > 0 and not values & before:
            continue
        others = held - layer.source
        if values & bit:
            if layer.inside and not insides & bit:
                peak = others - layer.value + layer.refill_peak
                yield layer.refill_flops, peak, ("refill", i), state._replace(insides=insides | bit)
            continue
        if i > forward:
            continue
        again = layer.flops if i < forward else 0
        ran = state._replace(values=values | bit, forward=max(forward, i + 1))
        yield again, others + layer.hold_peak, ("run", i), ran
        if i > 0:
            yield again, others + layer.pass_peak, ("run", i), ran._replace(values=(values | bit) ^ before)
        if layer.inside and not insides & bit:
            yield again, others + layer.keep_peak, ("run", i), ran._replace(insides=insides | bit)
            if not layer.reads_value and i < forward:
                yield layer.tape_flops, others + layer.tape_peak, ("tape", i), state._replace(insides=insides | bit)
    last = len(layers) - 1
    if not begun and values >> last & 1:
        for kept, peak in enumerate(tail_peak):
            after = State(values if kept else values ^ 1 << last, insides, forward, len(layers))
            yield 0, held - layers[last].value + peak, ("tail", len(layers)), after
    if begun:
        i = back - 1
        layer, bit, before = layers[i], 1 << i, 1 << i >> 1
        whole = (values & bit or not layer.reads_value) and (insides & bit or not layer.inside)
        if whole and (i == 0 or values & before):
            others = held - layer.source - layer.value * layer.reads_value - layer.inside - layer.value
            left = values & ~bit
            for kept, peak in enumerate(layer.back_peak):
                after = State(left if kept else left & ~before, insides & ~bit, forward, back - 1)
                yield 0, others + peak, ("back", i), after
