"""Which kinds of matrix kernels NumPy's library can run here, beside the one that it picks by itself.

Run as a script, prints the kind that runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from itertools import islice

# OpenBLAS is built with kernels for many processors, and takes the ones that this variable names.
VARIABLE = "OPENBLAS_CORETYPE"
KINDS = ("Haswell", "Sandybridge", "SkylakeX", "Nehalem", "NEOVERSEN1", "ARMV8", "CORTEXA57")

REPORT = """
import numpy as np
from threadpoolctl import threadpool_info
a = np.ones((64, 64))
assert ((a @ a) == 64).all()
print(next((pool.get("architecture", "") for pool in threadpool_info() if pool["user_api"] == "blas"), ""))
"""


def running(kind: str | None = None) -> str:
    """The kernels that run when they are asked for; "" where the processor or the library has none of this kind."""
    environment = {**os.environ, **({VARIABLE: kind} if kind else {})}
    command = [sys.executable, "-c", REPORT]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


@cache
def others() -> tuple[str, ...]:
    """Two kinds beside the machine's own, or as many as there are."""
    own = running().lower()
    found = (kind for kind in KINDS if kind.lower() != own and running(kind).lower() == kind.lower())
    return tuple(islice(found, 2))


if __name__ == "__main__":
    print(running() or "unknown kernels", "and beside them", ", ".join(others()) or "none")
