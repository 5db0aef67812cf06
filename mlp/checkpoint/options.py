"""Ways to take a chain forward and back, and which of them are worth having."""

from collections.abc import Iterable
from typing import Any, NamedTuple

# Pairs: what is done ("run", "tape", "refill", "back" or "tail") and a layer; or a layer, and a walk that begins there.
Walk = tuple[Any, ...]


class Option(NamedTuple):
    """One way to take some layers back: operations done again, bytes at most, and the walk."""

    flops: int
    peak: int
    walk: Walk


def undominated(options: Iterable[Option]) -> list[Option]:
    """Those that no other beats in both, peaks rising."""
    found: list[Option] = []
    for option in sorted(options, key=lambda option: (option.peak, option.flops)):
        if not found or option.flops < found[-1].flops:
            found.append(option)
    return found
