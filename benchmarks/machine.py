"""What the figures were measured on: processor, threads, versions, and the kernels that the matrix libraries picked."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import mlp

THREADS = 2
# Variables that change what a matrix library does. None is set here, but for a row that says so.
VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")


def restrict() -> None:
    """Give this process, and those it starts, the first two processors, so that every library uses two threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_info(key: str) -> str:
    """A line of /proc/cpuinfo, or nothing where there is none."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def has_wide_vectors() -> bool:
    """Whether the processor has 512-bit vector instructions (AVX-512)."""
    return "avx512f" in cpu_info("flags").split()


def machine() -> dict[str, Any]:
    """Where and when a part was measured."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": cpu_info("model name") or platform.processor() or platform.machine(),
        "vector_instructions": "AVX-512" if has_wide_vectors() else "not known to have AVX-512",
        "cores": os.cpu_count(),
        "used": processors(),
        "load": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "mlp": mlp.__version__,
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def libraries(packages: Sequence[str]) -> dict[str, Any]:
    """Versions of some packages, and how the libraries that this process has loaded compute.

    Returns
    -------
    dict
        ``versions``; ``blas``, a list of matrix libraries with version, kernels and threads; for PyTorch also what it
        says itself.
    """
    from threadpoolctl import threadpool_info

    found = {
        "versions": {package: metadata.version(package) for package in packages},
        "blas": [
            {"library": p["internal_api"], "version": p["version"], "kernels": p.get("architecture"),
             "threads": p["num_threads"]}
            for p in threadpool_info()
            if p["user_api"] == "blas"
        ],
    }  # fmt: skip
    if "torch" in sys.modules:
        import torch

        found["torch"] = {"kernels": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
    return found
