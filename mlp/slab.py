"""Where arrays lie in one slab of memory, so that those which never exist at the same time share their place.

This is register allocation with arrays for registers: lifetimes in, addresses out. Largest first, each array goes to
the lowest gap that is free during all of its life (Pisarchyk and Lee, 2020, "greedy by size"). All sizes are multiples
of one item's, so no item lies across a boundary.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlp.inputs import listed

if TYPE_CHECKING:
    from mlp.steps import Lifetime

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
SMALL = 1024  # bytes: below, alignment would cost more than it gains
FEW = 500  # arrays: up to here a second order is tried


def place(lives: Sequence["Lifetime"], order: Sequence[int] | None = None) -> tuple[list[int], int]:
    """Give every array an address.

    No order of placing is the best for all sets of arrays, and to find the best one is NP-hard (Garey and Johnson,
    1979, problem SR2).

    Parameters
    ----------
    lives : sequence of Lifetime
        The arrays, with the steps from which to which each exists, and their bytes.
    order : sequence of int, optional
        In which order the arrays are placed, each place in ``lives`` once. Without it, the largest first; of few arrays
        also the longest-lived first, if that takes less.

    Returns
    -------
    offsets : list of int
        For each array the byte where it begins. Two arrays that exist during the same step do not overlap.
    size : int
        Bytes of the whole slab.

    Raises
    ------
    ValueError
        For an order that does not have each array once.
    """
    if order is not None:
        if sorted(order) != list(range(len(lives))):
            raise ValueError(f"order: expected each of range({len(lives)}) once, received {listed(order)}")
        return _in_order(lives, order)
    offsets, size = _in_order(lives, sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].first)))
    if len(lives) <= FEW:  # cheap to try, and small networks have few arrays to fill gaps with
        longest = sorted(range(len(lives)), key=lambda i: (lives[i].first - lives[i].last, -lives[i].nbytes))
        return min((offsets, size), _in_order(lives, longest), key=lambda placed: placed[1])
    return offsets, size


def _in_order(lives: Sequence["Lifetime"], order: Sequence[int]) -> tuple[list[int], int]:
    """One after the other, each to the lowest gap."""
    offsets = [0] * len(lives)
    # What is placed, in order of address: where it begins and ends, and when it exists.
    begins, ends, first, last = (np.empty(len(lives), np.int64) for _ in range(4))
    for count, index in enumerate(order):
        life = lives[index]
        beside = (first[:count] <= life.last) & (last[:count] >= life.first)
        offset = _lowest_gap(begins[:count][beside], ends[:count][beside], life.nbytes)
        at = int(np.searchsorted(begins[:count], offset))
        for column, entry in ((begins, offset), (ends, offset + life.nbytes), (first, life.first), (last, life.last)):
            column[at + 1 : count + 1] = column[at:count].copy()
            column[at] = entry
        offsets[index] = offset
    return offsets, int(ends.max(initial=0))


def _lowest_gap(begins: "np.ndarray", ends: "np.ndarray", nbytes: int) -> int:
    """The lowest address with ``nbytes`` free, beside arrays that begin and end at these addresses."""
    step = _alignment(nbytes)
    starts = np.concatenate(([0], np.maximum.accumulate(ends)))
    starts = -(-starts // step) * step
    fits = starts[:-1] + nbytes <= begins
    return int(starts[int(np.argmax(fits)) if fits.any() else -1])


def _alignment(nbytes: int) -> int:
    """A cache line for what has many; small arrays lie side by side."""
    return ALIGNMENT if nbytes >= SMALL else 1
