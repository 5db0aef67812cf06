"""How long `import` takes, of each package in a fresh interpreter, in turn."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

from benchmarks.clock import spread
from benchmarks.machine import machine
from benchmarks.quiet import Quiet
from benchmarks.worker import ROOT

MODULES = ("numpy", "mlp", "micrograd.engine", "autograd.numpy", "torch", "jax.numpy")
ROUNDS, QUICK_ROUNDS = 21, 3
PATIENCE, QUICK_PATIENCE = 3.0, 0.0  # seconds
TIMED = "from time import perf_counter as now; start = now(); import {}; print(now() - start)"


def measure(python: str, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds that each import takes; bytecode and files are in the caches, as they are from the second time on.

    Parameters
    ----------
    python : str
        The interpreter that has all of the packages.
    quick : bool
        Fewer rounds.
    say : callable
        Receives a line now and then.
    """
    taken: dict[str, list[float]] = {module: [] for module in MODULES}
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # or source would be compiled again each time
    quiet = Quiet(QUICK_PATIENCE if quick else PATIENCE)
    for turn in range(1 + (QUICK_ROUNDS if quick else ROUNDS)):
        quiet.wait()
        for module, times in taken.items():
            result = subprocess.run(
                [python, "-c", TIMED.format(module)],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            if turn:  # the first one fills the cache
                times.append(float(result.stdout))
    mine = spread([ours / theirs for ours, theirs in zip(taken["mlp"], taken["numpy"], strict=True)])
    say(f"import mlp takes {mine['median']:.2f} of import numpy")
    return {
        "machine": machine(),
        "quiet": quiet.report(),
        "seconds": {module: spread(times) for module, times in taken.items()},
        "ratio": mine,
    }
