"""The time of one training step, without the update: every contender on every case, in turn.

The machine's noise should hit all alike, so each has a process of its own and they are asked one after the other for a
short burst of calls, round by round. Before anything is timed, all must have computed the same gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from math import prod
from typing import Any

import numpy as np

from benchmarks.cases import ACTIVATION, CASES, SEED, TOLERANCE, Case, Gradients, disagreement
from benchmarks.clock import calls_per_sample, rounded, spread
from benchmarks.contenders import CONTENDERS, Result
from benchmarks.machine import has_wide_vectors, machine
from benchmarks.quiet import Quiet
from benchmarks.worker import Worker, worker

ROUNDS, BURST, WARM_UP, PATIENCE = 12, 0.15, 0.3, 0.3  # the last three in seconds
QUICK_ROUNDS, QUICK_BURST, QUICK_WARM_UP, QUICK_PATIENCE = 3, 0.03, 0.05, 0.0
# Who computes with NumPy's matrix library; it may misjudge the processor and leave its wide vectors unused.
WITH_NUMPY = ("mlp", "mlp-fresh", "products", "numpy")
WIDE_KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids")
WIDE = {"OPENBLAS_CORETYPE": "SkylakeX"}


class DisagreementError(RuntimeError):
    """A contender computes something else than the others."""


def check(case: Case, label: str, result: Result, reference: tuple[float, Gradients]) -> float:
    """How far a contender is from the reference.

    Raises
    ------
    DisagreementError
        If that is further than float32 explains.
    """
    error = disagreement(result, reference)
    if error > TOLERANCE:
        raise DisagreementError(
            f"{label}, {case.name}: expected J and gradients within {TOLERANCE:g} of the float64 reference, "
            f"received a difference of {error:.2g}"
        )
    return error


def fits(case: Case, name: str) -> bool:
    """Whether a contender can finish the case, and knows its loss."""
    multiplications = case.batch * sum(map(prod, zip(case.widths, case.widths[1:], strict=False)))
    return multiplications <= CONTENDERS[name].largest


def measure(python: str, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """All cases.

    Parameters
    ----------
    python : str
        The interpreter that has every contender's packages.
    quick : bool
        Fewer and shorter bursts: a rehearsal.
    say : callable
        Receives a line now and then.
    """
    quiet = Quiet(QUICK_PATIENCE if quick else PATIENCE)
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        about: dict[str, dict[str, Any]] = {}

        def start(key: str, name: str, environment: Mapping[str, str]) -> None:
            workers[key] = stack.enter_context(worker(python, name, environment))
            label = ", ".join([CONTENDERS[name].label, *(f"{k}={v}" for k, v in environment.items())])
            about[key] = {"label": label, "contender": name, "environment": dict(environment)}

        for name in CONTENDERS:
            start(name, name, {})
        kernels = {blas["kernels"] for blas in workers["mlp"].describe()["blas"]}
        if has_wide_vectors() and not kernels & set(WIDE_KERNELS):
            for name in WITH_NUMPY:
                start(f"{name}+wide", name, WIDE)
        cases = [measure_case(case, workers, about, quiet, quick, say) for case in CASES]
        for key in workers:
            about[key] |= workers[key].describe()
    return {
        "machine": machine(),
        "quiet": quiet.report(),
        "quick": quick,
        "rounds": QUICK_ROUNDS if quick else ROUNDS,
        "seed": SEED,
        "tolerance": TOLERANCE,
        "activation": ACTIVATION,
        "contenders": about,
        "cases": cases,
    }


def measure_case(
    case: Case,
    workers: Mapping[str, Worker],
    about: Mapping[str, Mapping[str, Any]],
    quiet: Quiet,
    quick: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """One case: check everybody, warm up, then round by round a burst of everybody."""
    rounds, burst, warm_up = (QUICK_ROUNDS, QUICK_BURST, QUICK_WARM_UP) if quick else (ROUNDS, BURST, WARM_UP)
    reference = case.reference()
    running = {key: w for key, w in workers.items() if fits(case, about[key]["contender"])}
    errors = {key: check(case, about[key]["label"], w.build(case.name), reference) for key, w in running.items()}
    plan: dict[str, tuple[int, int]] = {}
    for key, w in running.items():
        quiet.wait()
        estimate = w.estimate(warm_up)
        number = calls_per_sample(estimate)
        plan[key] = max(1, round(burst / (estimate * number))), number
    taken: dict[str, list[list[float]]] = {key: [] for key in running}
    for turn in range(rounds):
        # Everybody follows everybody else in some round: nobody always inherits the same one's warm or cold caches.
        order = list(running)
        np.random.default_rng(SEED + turn).shuffle(order)
        for key in order:
            quiet.wait()
            taken[key].append(running[key].burst(*plan[key]))
    say(f"{case.name}: " + ", ".join(f"{key} {np.median(np.concatenate(t)) * 1e6:.0f} µs" for key, t in taken.items()))
    return {
        "name": case.name,
        "widths": list(case.widths),
        "batch": case.batch,
        "loss": case.loss,
        "weight_decay": case.weight_decay,
        "units": case.units,
        "bounds": dict(case.bounds),
        "seconds": {
            key: {**spread(np.concatenate(t)), "calls": rounds * prod(plan[key]), "error": rounded(errors[key], 2)}
            for key, t in taken.items()
        },
        "ratios": {
            mine: {key: ratio(taken[mine], t) for key, t in taken.items() if key != mine}
            for mine in taken
            if about[mine]["contender"] == "mlp"
        },
    }


def ratio(mine: list[list[float]], theirs: list[list[float]]) -> dict[str, float]:
    """My time in parts of theirs: the median in each round, compared within the round."""
    return spread([float(np.median(a) / np.median(b)) for a, b in zip(mine, theirs, strict=True)])
