"""Waiting for a quiet moment: what other programs do to the machine should not be in the figures.

Whether a moment is quiet is asked before a measurement, never after it, so no figure is chosen for its value.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

STAT = Path("/proc/stat")
# Threads of a matrix library keep spinning for some 30 ms after its last product; a look that is longer sees them end.
LOOK = 0.06  # seconds
IDLE = 0.75  # of the processors' time during a look


class Quiet:
    """Waits until the processors have been idle for a moment.

    Parameters
    ----------
    patience : float
        Seconds after which a measurement begins all the same. At least one look is taken.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.asked = self.disturbed = 0

    def wait(self) -> None:
        """Return in a quiet moment, or when patience has come to an end."""
        self.asked += 1
        start = time.perf_counter()
        while idle_share(LOOK) < IDLE:
            if time.perf_counter() - start > self.patience:
                self.disturbed += 1
                return

    def report(self) -> dict[str, Any]:
        """How often it was asked, and how often the moment was not quiet after all."""
        return {"asked": self.asked, "disturbed": self.disturbed}


def idle_share(seconds: float) -> float:
    """Of the processors' time during the next ``seconds``, the share in which they did nothing; 1 where nobody says."""
    before = idle_time()
    time.sleep(seconds)
    after = idle_time()
    return 1.0 if before is None or after is None else (after - before) / (seconds * (os.cpu_count() or 1))


def idle_time() -> float | None:
    """Seconds that all processors together have been idle since the start; None where the system does not say."""
    if not STAT.exists():
        return None
    idle, waiting = STAT.read_text().split("\n", 1)[0].split()[4:6]
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")
