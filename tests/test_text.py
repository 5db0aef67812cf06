"""What is printed: numbers and signs, and consoles that have no other characters than ASCII."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlp.text import plain, printed

ROOT = Path(__file__).parents[1]
ENCODINGS = ["ascii", "cp1252", "cp437", "cp932", "latin-1", "utf-8"]

# Everything in the package that shows itself, of a graph whose names are Greek, by print and as progress.
ALL_THAT_IS_PRINTED = """
import sys
from pathlib import Path
import numpy as np
import mlp
from mlp import Equation, Graph, Variable, checkpoint, draw, exercises, memory

graph, values = mlp.examples.running_example()
diverged, log = None, Path(sys.argv[1])
given = [Variable("ξ", (3, 2)), Variable("ŷ", (4, 2), role="target"), Variable("Θ", (4, 3), role="parameter")]
greek = Graph(given, [Equation("matmul", ("Θ", "ξ"), "o"), Equation("squared_error", ("o", "ŷ"), "J")])
numbers = {name: np.ones(greek.variables[name].shape) for name in greek.given}
deep = mlp.network([2] * 22, 3)
data = np.ones((3, 5)), np.ones((2, 5))
evaluate = lambda params: -0.5
history = mlp.sgd(graph, graph.init(0), data, lr=0.01, epochs=2, batch_size=2, evaluate=evaluate, progress=print)
with log.open("w", encoding=sys.stdout.encoding) as file:
    write = lambda line: print(line, file=file)
    mlp.adam(graph, graph.init(0), data, epochs=2, batch_size=2, evaluate=evaluate, progress=write)
    print(history, mlp.History({}), file=file)
try:
    mlp.sgd(graph, graph.init(0), data, lr=1e200, epochs=9, batch_size=2)
except mlp.DivergenceError as error:
    diverged = error
print(history, repr(history), diverged, diverged.history)
large = deep.init(0) | {"x": np.ones((2, 3)), "y": np.ones((2, 3))}
for one, arrays in ((graph, values), (greek, numbers), (deep, large)):
    print(one, repr(one), mlp.schedule(one), mlp.trace(one, arrays), repr(mlp.trace(one, arrays)))
    timeline = memory.predict(one)
    print(timeline, repr(timeline), mlp.prepare(one), *map(str, one.equations[:3]))
    print(draw.picture(one), memory.measure(one, arrays))
print(mlp.check_gradients(graph, values))
for plan in (checkpoint.sqrt(deep), checkpoint.every(deep, 3)):
    print(plan, memory.predict(deep, plan))
for name in exercises.names():
    for answer in (None, 3, lambda *args: args, "x"):
        print(exercises.check(name, answer))
for view in (mlp.Stepper(graph, values), mlp.OneWeight(graph, values), mlp.ChainRule(graph, values),
             mlp.MemoryView(), mlp.Walks(deep, {"√K": checkpoint.sqrt(deep)}),
             mlp.Question.choice("∂J/∂ŷ?", {"½": "", "λ": "−1"}, "½", name="q")):
    print(view.text())
for attempt in (lambda: mlp.network([0]), lambda: mlp.network([3, 2], weight_decay=-1), lambda: graph.init(-1),
                lambda: mlp.predict(graph, {}), lambda: mlp.prepare(deep, keep=["?"]),
                lambda: mlp.network([2, 1], loss="cross_entropy"),
                lambda: Graph(deep.variables.values(), [Equation("tanh", tuple(deep.parameters), "z")])):
    try:
        attempt()
    except (TypeError, ValueError) as error:
        print(error)
print("the end")
"""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_report_stops_a_run_whatever_the_console(encoding: str, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    run = subprocess.run(
        [sys.executable, "-c", ALL_THAT_IS_PRINTED, str(log)],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stderr.decode("ascii", "replace")[-2000:]
    said = run.stdout.decode(encoding)
    assert said.rstrip().endswith("the end")
    assert ("−" in said) == (encoding in ("utf-8",)) or encoding == "cp932"
    assert "evaluation -0.5" in said and "->" in log.read_text("ascii")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("J 3.5 → −1", "J 3.5 -> -1"),
        ("‖W⁽¹⁾‖²", "||W(^1)||^2"),
        ("½ ∂J/∂z", "1/2 dJ/dz"),
        ("✓ ŷ", r"[ok] \u0177"),
    ],
)
def test_signs_have_stand_ins_where_there_is_ascii_alone(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Console:
        encoding = "ascii"

        def write(self, text: str) -> int:
            return len(text)

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stdout", Console())
    found = printed(text)
    monkeypatch.undo()
    assert found == expected and printed(text) == text


def test_without_standard_output_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    found = printed("−1 → ŷ")
    monkeypatch.undo()
    assert found == "−1 → ŷ"


def test_what_can_be_shown_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Console:
        encoding = "cp1252"

    monkeypatch.setattr(sys, "stdout", Console())
    found = printed("½ · − …")
    monkeypatch.undo()
    assert found == "½ · - …"
    assert plain("é −") == "é -"


# Modules whose words go to a console only: nothing there but ASCII, in any string that is no docstring.
CONSOLE = [
    *("check", "data", "engine", "graph", "inputs", "memory", "networks", "optimizers", "prepared", "slab", "steps"),
    *("tangents", "values", "extras", "checkpoint", "examples"),
]


def strings(path: Path) -> Iterator[str]:
    """All strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


@pytest.mark.parametrize("module", CONSOLE)
def test_errors_are_written_in_ascii(module: str) -> None:
    place = ROOT / "mlp" / module
    paths = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    assert paths and [text for path in paths for text in strings(path) if not text.isascii()] == []
