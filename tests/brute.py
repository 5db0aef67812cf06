"""Brute force over every schedule of a tanh chain: what the plans of `mlp.checkpoint` are held against.

Bytes are counted here from the widths alone, step by step, as the chapter defines them; nothing of the package is used.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import pairwise

State = tuple[frozenset[int], int, "int | None"]  # values that exist; how far forward came; next layer to go back
ITEM = 8


class TanhChain:
    """A network with squared error and no bias, in float64: layer l's value has ``widths[l]`` rows and n columns."""

    def __init__(self, widths: list[int], n: int, decay: bool) -> None:
        self.hidden = len(widths) - 2
        self.decay = decay
        self.h = [ITEM * n * width for width in widths]
        pairs = list(pairwise(widths))
        self.W = [0] + [ITEM * above * below for below, above in pairs]
        self.caller = sum(self.W) + self.h[0] + self.h[-1]
        self.work = [0] + [2 * above * below * n + above * n for below, above in pairs]

    def results(self, p: int) -> int:
        """J, and the gradients that exist while layer p goes back."""
        return ITEM + sum(self.W if self.decay else self.W[p + 1 :])

    def moves(self, state: State) -> Iterator[tuple[int, int, State]]:
        """What can be done next: operations done again, the most bytes meanwhile, the state after it."""
        values, reached, p = state
        held = sum(self.h[layer] for layer in values)
        base = self.caller + held
        if p is not None:
            base += self.results(p) + self.h[p]  # and the cotangent of layer p's value
        for layer in values:
            yield 0, 0, (values - {layer}, reached, p)
        for layer in range(1, (self.hidden if p is None else p) + 1):
            if layer in values or (layer > 1 and layer - 1 not in values):
                continue
            work = 0 if layer == reached + 1 else self.work[layer]
            z = h = self.h[layer]
            after = (values | {layer}, max(reached, layer), p)
            yield work, base + z + h, after
            if layer > 1:  # the input forgotten as soon as z is made from it
                yield work, max(base + z, base - self.h[layer - 1] + z + h), (after[0] - {layer - 1}, *after[1:])
        if p is None and reached == self.hidden and self.hidden in values:
            yield from self._tail(values, base)
        if p and p in values and (p == 1 or p - 1 in values):
            yield from self._back(values, reached, p, base)

    def _tail(self, values: frozenset[int], base: int) -> Iterator[tuple[int, int, State]]:
        o, top, scalar = self.h[-1], self.h[self.hidden], ITEM
        for keep in (True, False):
            peaks = [o, o + o + scalar, o + 2 * scalar, o + 3 * scalar]  # o; L and o − y; s; J
            peaks += [o + 3 * scalar, o + 4 * scalar]  # dJ/dL beside dJ/dJ; dJ/ds
            gradients = 0
            if self.decay:
                gradients = sum(self.W)
                peaks += [o + 3 * scalar + gradients, 2 * o + 2 * scalar + gradients]  # λW; dJ/do
                peaks.append(o + scalar + gradients + self.W[-1])  # the instalment of the last weights
            else:
                peaks.append(2 * o + 2 * scalar)
                gradients = self.W[-1]
                peaks.append(o + scalar + gradients)
            forgotten = 0 if keep else top
            peaks.append(o + scalar + gradients + top - forgotten)  # the cotangent of the last hidden value
            yield 0, base + max(peaks), (values if keep else values - {self.hidden}, self.hidden, self.hidden)

    def _back(self, values: frozenset[int], reached: int, p: int, base: int) -> Iterator[tuple[int, int, State]]:
        below = self.h[p - 1] if p > 1 else 0
        for keep in (True, False) if p > 1 else (True,):
            peaks = [base + self.h[p]]  # dJ/dz beside dJ/dh
            rest = base - self.h[p]  # h is done with; dJ/dz is there, dJ/dh is not
            peaks.append(rest + self.W[p])  # the gradient, or its instalment
            rest += 0 if self.decay else self.W[p]
            peaks.append(rest + (below if keep else 0))
            left = values - {p} if keep else values - {p, p - 1}
            yield 0, max(peaks), (left, reached, p - 1)

    def least_work(self, budget: int) -> int | None:
        """The fewest operations done again within a budget of bytes, by Dijkstra's algorithm; None if impossible."""
        start: State = (frozenset(), 0, None)
        best = {start: 0}
        queue: list[tuple[int, int, State]] = [(0, 0, start)]  # the second number is the order of arrival
        arrived = 0
        while queue:
            work, _, state = heapq.heappop(queue)
            if work > best[state]:
                continue
            if state[2] == 0:
                return work
            for more, peak, after in self.moves(state):
                if peak <= budget and work + more < best.get(after, work + more + 1):
                    best[after] = work + more
                    arrived += 1
                    heapq.heappush(queue, (work + more, arrived, after))
        return None
