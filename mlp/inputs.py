"""What callers may pass: the checks that every module makes alike, and how a complaint is worded.

Each says what the argument is called, what was expected and what was received.
"""

from collections.abc import Iterable
from math import isfinite
from numbers import Real

import numpy as np


def listed(names: Iterable[object], most: int = 10) -> str:
    """Names for a message: all of them, or the first few and how many more."""
    words = [str(name) for name in names]
    return ", ".join(words[:most] + [f"... ({len(words) - most} more)"] * (len(words) > most)) or "none"


def counted(count: int, what: str, many: str | None = None) -> str:
    """So many of something, in words: one of them is singular.

    >>> counted(1, "step"), counted(1200, "step"), counted(0, "entry", "entries")
    ('1 step', '1,200 steps', '0 entries')
    """
    return f"{count:,} {what if count == 1 else many or f'{what}s'}"


def one_of(value: object, allowed: Iterable[str], what: str) -> None:
    """Check a choice by name."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{what}: expected one of {listed(allowed)}, received {value!r}")


def positive_int(value: object, what: str) -> int:
    """Check a count that must be a whole number ≥ 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{what}: expected a whole number >= 1, received {value!r}")
    if value < 1:
        raise ValueError(f"{what}: expected a whole number >= 1, received {value}")
    return int(value)


def positive(value: object, what: str) -> float:
    """Check a finite number > 0."""
    number = finite(value, f"{what}: expected a finite number > 0")
    if number <= 0:
        raise ValueError(f"{what}: expected a finite number > 0, received {value!r}")
    return number


def non_negative(value: object, what: str) -> float:
    """Check a finite number ≥ 0."""
    number = finite(value, f"{what}: expected a finite number >= 0")
    if number < 0:
        raise ValueError(f"{what}: expected a finite number >= 0, received {value!r}")
    return number


def finite(value: object, expected: str) -> float:
    """Check a finite number; ``expected`` is how the complaint begins."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{expected}, received {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise ValueError(f"{expected}, received {str(value)[:20]}")
    return number


def generator(seed: object) -> "np.random.Generator":
    """Make a random generator from a seed, or pass one on; nothing is drawn that could not be drawn again."""
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed: expected an int or a numpy Generator, received {seed!r}")
    if seed < 0:
        raise ValueError(f"seed: expected an int >= 0, received {seed}")
    return np.random.default_rng(int(seed))
