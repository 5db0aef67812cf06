"""How time is taken: samples of many calls, their median and quartiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from mlp.ops import Array

SAMPLE = 5e-4  # seconds that a sample lasts at least, so that reading the clock costs nothing beside it


def sample(call: Callable[[], Any], number: int) -> float:
    """Seconds that one of ``number`` calls in a row takes."""
    start = perf_counter()
    for _ in range(number):
        call()
    return (perf_counter() - start) / number


def seconds(call: Callable[[], Any], repeats: int = 5) -> float:
    """A quick estimate of the seconds that a call takes: the best of a few samples."""
    number = calls_per_sample(sample(call, 1))
    return min(sample(call, number) for _ in range(repeats))


def calls_per_sample(estimate: float) -> int:
    """How many calls of ``estimate`` seconds make a sample."""
    return max(1, round(SAMPLE / estimate))


def spread(values: Sequence[float] | Array) -> dict[str, float]:
    """The least value, the quartiles and the median, to four digits."""
    names = ("least", "q1", "median", "q3")
    return {name: rounded(value) for name, value in zip(names, np.quantile(values, [0, 0.25, 0.5, 0.75]), strict=True)}


def rounded(value: float, digits: int = 4) -> float:
    """A number to a few significant digits, as it is written down."""
    return float(f"{value:.{digits}g}")
