"""One contender in a process of its own: it waits until it is asked for a burst of calls, and answers with times.

`Worker` is the driver's end of the pipe. The process is `python -m benchmarks.worker NAME`; requests and answers are
pickled, and whatever a library prints goes to the error stream.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.clock import calls_per_sample, sample
from benchmarks.contenders import CONTENDERS, Contender, Result, Step

ROOT = Path(__file__).parents[1]


class Server:
    """The process's end: one step at a time, built when its case comes and dropped for the next one."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.step: Step | None = None

    def build(self, case_name: str) -> Result:
        """Build the step of a case, take it once, and hand over what it computes."""
        case = next(case for case in CASES if case.name == case_name)
        self.step = None  # first make room
        self.step = self.contender.build(case, case.values())
        return self.step.read(self.step.take())

    def estimate(self, warm_up: float) -> float:
        """Call for ``warm_up`` seconds; how long a call took in the end."""
        assert self.step is not None
        call, spent, number = self.step.take, 0.0, 1
        while True:
            took = sample(call, number)
            spent += took * number
            if spent >= warm_up:
                return took
            number = calls_per_sample(took)

    def burst(self, samples: int, number: int) -> list[float]:
        """Seconds a call, for each sample of ``number`` calls. The one before the first is not counted."""
        assert self.step is not None
        call = self.step.take
        return [sample(call, number) for _ in range(samples + 1)][1:]

    def describe(self) -> dict[str, Any]:
        """Versions, threads, and the kernels that the matrix library has picked."""
        from benchmarks.machine import libraries

        return libraries(self.contender.packages)


class Worker:
    """The driver's end: ``worker.burst(…)`` is `Server.burst` in the other process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def __getattr__(self, method: str) -> Any:
        """Call a method of the other end."""

        def ask(*arguments: Any) -> Any:
            assert self.process.stdin is not None and self.process.stdout is not None
            pickle.dump((method, arguments), self.process.stdin)
            self.process.stdin.flush()
            return pickle.load(self.process.stdout)

        return ask


@contextmanager
def worker(python: str, name: str, environment: Mapping[str, str]) -> Iterator[Worker]:
    """Start a contender's process, and end it with the block.

    Parameters
    ----------
    python : str
        The interpreter that has the contender's packages.
    name : str
        A key of `CONTENDERS`.
    environment : mapping of str to str
        Variables for this process alone, besides those that are set anyway.
    """
    process = subprocess.Popen(
        [python, "-m", "benchmarks.worker", name],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        yield Worker(process)
        assert process.stdin is not None
        process.stdin.close()


def serve(name: str) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    server = Server(CONTENDERS[name])
    while True:
        try:
            method, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(getattr(server, method)(*arguments), answers)
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
