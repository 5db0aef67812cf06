"""The command: measure some parts or all, and write `results.json` and `results.md`.

python -m benchmarks --python .venv-bench/bin/python [--quick] [PART ...]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter

from benchmarks import book, depth, memory, startup, step, sweeps, targets
from benchmarks.machine import restrict
from benchmarks.report import report
from benchmarks.worker import ROOT

PARTS = ("step", "memory", "startup", "depth", "sweeps", "book")
RESULTS = ROOT / "benchmarks"
REHEARSAL = ROOT / "_build" / "benchmarks"


def main() -> None:
    """Measure, part by part, and write after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What a step of mlp costs, side by side.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all without one")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the contenders' packages")
    parser.add_argument("--quick", action="store_true", help=f"a rehearsal, written to {REHEARSAL.relative_to(ROOT)}")
    asked = parser.parse_args()
    unknown = sorted(set(asked.parts) - set(PARTS))
    if unknown:
        parser.error(f"PART: expected some of {', '.join(PARTS)}, received {', '.join(unknown)}")
    folder = REHEARSAL if asked.quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    restrict()
    start = perf_counter()

    def say(line: str) -> None:
        print(f"{perf_counter() - start:4.0f} s  {line}", flush=True)

    python = str(Path(asked.python).absolute())
    measures = {
        "step": lambda: step.measure(python, asked.quick, say),
        "memory": lambda: memory.measure(python, asked.quick, say),
        "startup": lambda: startup.measure(python, asked.quick, say),
        "depth": lambda: depth.measure(asked.quick, say),
        "sweeps": lambda: sweeps.measure(asked.quick, say),
        "book": lambda: book.measure(asked.quick, say),
    }
    judges = {
        "step": targets.of_step,
        "memory": targets.of_memory,
        "startup": targets.of_startup,
        "depth": targets.of_depth,
    }
    path = folder / "results.json"
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for part in asked.parts or PARTS:
        found = measures[part]()
        if part in judges:
            found["targets"] = judges[part](found)
        results[part] = found
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
        (folder / "results.md").write_text(report(results), "utf-8")
    missed = [t for part in asked.parts or PARTS for t in results[part].get("targets", []) if not t["met"]]
    for t in missed:
        print(f"missed: {t['what']}: {t['measured']:g}, at most {t['bound']:g}")
    print(f"{path.relative_to(ROOT)} and results.md, in {perf_counter() - start:.0f} s; {len(missed)} targets missed")


if __name__ == "__main__":
    main()
