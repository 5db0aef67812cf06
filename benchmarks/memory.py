"""The memory of a training step, of `mlp` and of PyTorch, each in a fresh process; and what a hundred steps leave.

The same step is seen twice. *Arrays*: the most bytes of arrays that the step makes and holds at one time. *Process*: by
how much the process's resident memory rises at most, as the system sees it, with all that libraries need besides. Both
are of the process's second step, when libraries have set themselves up. The caller's arrays (weights, inputs, targets)
are counted in neither.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import mlp
from benchmarks.cases import CASES, Case
from benchmarks.clock import spread
from benchmarks.contenders import Values, torch_eager
from benchmarks.machine import machine
from benchmarks.worker import ROOT

PEAK_CASES = (
    "784-256-10, batch 64",
    "784-256-10, batch 64, λ > 0",
    "784-256-10, batch 512",
    "200 × 64, batch 64",
    "8 × 512, batch 256",
    "6 × 1024, batch 1024",
)
STEADY_CASES = ("4-8-2, batch 1", "784-256-10, batch 64", "200 × 64, batch 64")
QUICK_CASES = ("784-256-10, batch 64", "8 × 512, batch 256")
STEPS = 100


def prepared(case: Case, values: Values) -> Any:
    """Prepare and run: all buffers are made, and kept for the next step."""
    run = mlp.prepare(case.graph())
    return run, run(values)


def one_by_one(case: Case, values: Values) -> Any:
    """Each array is made when it is needed, and dropped after its last reader."""
    return mlp.value_and_grad(case.graph(), values)


def torch_step(case: Case, values: Values) -> Any:
    """J and all gradients by PyTorch."""
    return torch_eager(case, values).take()


def measure(python: str, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Peaks of a step, and growth over many.

    Parameters
    ----------
    python : str
        The interpreter that has PyTorch.
    quick : bool
        One process for each figure instead of five.
    say : callable
        Receives a line now and then.
    """
    repeats, chosen = (1, QUICK_CASES) if quick else (5, PEAK_CASES)
    peaks = []
    for case in (case for case in CASES if case.name in chosen):
        given = sum(array.nbytes for array in case.values().values())
        found: dict[str, Any] = {"name": case.name, "given": given, "arrays": {}, "process": {}}
        for subject in SUBJECTS:
            found["arrays"][subject] = fresh(python, "arrays", subject, case.name)
        for _ in range(repeats):
            for subject in SUBJECTS:
                found["process"].setdefault(subject, []).append(fresh(python, "process", subject, case.name))
        if None in found["process"]["mlp"]:
            del found["process"]
        else:
            found["process"] = {subject: spread(rises) for subject, rises in found["process"].items()}
        peaks.append(found)
        say(f"{case.name}: " + ", ".join(f"{s} {b / 1e6:.2f} MB" for s, b in found["arrays"].items()))
    return {
        "machine": machine(),
        "subjects": {subject: label for subject, (label, _, _) in SUBJECTS.items()},
        "peaks": peaks,
        "steps": STEPS,
        "grown": {name: fresh(python, "growth", "mlp", name) for name in STEADY_CASES},
    }


def fresh(python: str, what: str, subject: str, case_name: str) -> Any:
    """One figure from a fresh process."""
    command = [python, "-m", "benchmarks.memory", what, subject, case_name]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


# --- in the fresh process -------------------------------------------------------------------------------------------


def arrays(subject: str, case: Case) -> int:
    """Bytes: the most that the step's own arrays take at one time."""
    return SUBJECTS[subject][2](case, case.values())


def slab(case: Case, values: Values) -> int:
    """What a prepared run holds: tracemalloc's list of the memory that NumPy asked for, and still has."""
    tracemalloc.start()
    kept = prepared(case, values)
    numpy_only = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    held = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([numpy_only]).traces)
    del kept
    return held


def ledger(case: Case, values: Values) -> int:
    """What `mlp.memory.measure` counts when it runs the schedule with one allocation for each array."""
    peak: int = mlp.memory.measure(case.graph(), values).peak
    return peak - sum(array.nbytes for array in values.values())


def torch_record(case: Case, values: Values) -> int:
    """What PyTorch's profiler says of every allocation and release."""
    from torch.profiler import ProfilerActivity, profile

    torch_step(case, values)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = torch_step(case, values)
    events = profiler.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    del kept
    return int(np.cumsum([size for _, size in sorted(changes, key=lambda change: change[0])]).max())


def process(subject: str, case: Case) -> int | None:
    """Bytes by which resident memory rises at most during the step; None where the system does not say (Linux does)."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        return None

    def resident(key: str) -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith(key))
        return int(line.split()[1]) * 1024

    values, step = case.values(), SUBJECTS[subject][1]
    step(case, values)  # what libraries load and set up once, and keep, is not the step's
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # so that the step cannot live on what was freed before
    reset.write_text("5")  # the high-water mark starts anew
    before = resident("VmRSS")
    kept = step(case, values)
    peak = resident("VmHWM") - before
    del kept
    return peak


def growth(subject: str, case: Case) -> int:
    """Bytes that `STEPS` steps of a prepared run, after as many others, leave allocated, as tracemalloc counts them."""
    values, run = case.values(), mlp.prepare(case.graph())
    tracemalloc.start()
    for _ in range(STEPS):  # until Python's own caches of small objects are full
        run(values)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(STEPS):
        run(values)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown


# A label for readers, what a step is, and how its arrays are counted.
SUBJECTS: dict[str, tuple[str, Callable[[Case, Values], Any], Callable[[Case, Values], int]]] = {
    "mlp": ("mlp.prepare, buffers kept", prepared, slab),
    "mlp-once": ("mlp.value_and_grad", one_by_one, ledger),
    "torch": ("PyTorch, eager", torch_step, torch_record),
}
FIGURES: dict[str, Callable[[str, Case], int | None]] = {"arrays": arrays, "process": process, "growth": growth}

if __name__ == "__main__":
    figure, chosen, name = sys.argv[1:]
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints
    result = FIGURES[figure](chosen, next(case for case in CASES if case.name == name))
    json.dump(result, answer)
    answer.close()
