"""What chapters say of random numbers holds for other seeds than theirs: their cells are run with seeds of the test's.

The cells that a page leaves out assert what its words, captions and descriptions say, so a sentence that is true of the
chapter's seeds alone fails here. No built page is needed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import myst_nb
import nbformat
import numpy as np
import pytest

import mlp
from mlp.text import number, span
from tests.book.conftest import ROOT

CHAPTERS = ("depth", "training", "beyond")
COUNTS = {5: "five", 8: "eight"}


def cells(chapter: str) -> list[Any]:
    found: list[Any] = nbformat.read(ROOT / "book" / f"{chapter}.ipynb", as_version=4).cells
    return found


def with_seeds(source: str, seeds: range) -> str:
    """The cell with other seeds, if it is the one that says which."""
    return re.sub(r"^SEEDS = range\(\d+\)$", f"SEEDS = {seeds!r}", source, flags=re.MULTILINE)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """No windows; what is glued, by name."""
    glued: dict[str, str] = {}
    monkeypatch.setattr(myst_nb, "glue", lambda name, text, display=True: glued.update({name: text}))
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    with mpl.rc_context(fname=ROOT / "book" / "matplotlibrc"):
        mpl.use("agg")
        yield glued
    plt.close("all")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_said_holds_for_other_seeds(chapter: str, quiet: dict[str, str]) -> None:
    seeds = range(100, 105)
    sources = [cell.source for cell in cells(chapter) if cell.cell_type == "code"]
    namespace: dict[str, Any] = {}
    for source in sources:
        exec(compile(with_seeds(source, seeds), f"{chapter}.ipynb", "exec"), namespace)
    assert namespace["SEEDS"] == seeds
    prose = "\n".join(cell.source for cell in cells(chapter) if cell.cell_type == "markdown")
    assert set(re.findall(r"\{glue:text\}`(\w+)`", prose)) <= set(quiet), "a number of the text that no cell makes"
    for text in quiet.values():
        assert not re.search(r"nan|inf(?!inite)|None", text), text


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_as_many_seeds_as_the_words_say(chapter: str) -> None:
    """Five at least, and captions and text give their number."""
    count = int(
        *re.findall(r"^SEEDS = range\((\d+)\)$", "\n".join(cell.source for cell in cells(chapter)), re.MULTILINE)
    )
    assert count >= 5
    for cell in cells(chapter):
        words = str(cell.metadata.get("mystnb", {})) + (cell.source if cell.cell_type == "markdown" else "")
        for said in re.findall(r"\b(\w+) (?:seeds|runs)\b", words):
            assert said not in COUNTS.values() or said == COUNTS[count], f"{cell.id}: {said}, and there are {count}"


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_may_vary_between_machines_says_why(path: Any) -> None:
    """A cell with the tag gives its reason, and what it makes is read by no cell without one."""
    made: set[str] = set()
    for cell in nbformat.read(path, as_version=4).cells:
        reason = cell.metadata.get("mlp", {}).get("varies")
        assert ("varies" in cell.metadata.get("tags", [])) == (reason is not None), f"{cell.id}: the tag and the reason"
        if cell.cell_type == "code":
            names = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)]
            assigned = {node.id for node in names if isinstance(node.ctx, ast.Store)}
            used = {node.id for node in names} - assigned
            if reason and reason != "rounding":
                assert len(reason.split()) >= 4, f"{cell.id}: a reason in words"
            assert reason or not used & made, f"{cell.id}: reads {used & made}, which may vary"
            made = made | assigned if reason else made - assigned


def test_a_range_is_written_as_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        values = rng.standard_normal(5) * 10.0 ** rng.integers(-3, 6)
        low, _, high = span(values, 3).partition(" to ")
        assert (low, high) == (number(min(values), 3), number(max(values), 3))
    assert span([2.001, 1.999], 2) == "2"
    assert span([0.031, 0.04], 1, lambda value, digits: f"{100 * value:.{digits}f} %") == "3.1 % to 4.0 %"


# --- statements of these chapters that need no seeds, or all ---------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_from_zero_only_the_last_bias_moves(activation: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((3, 7)), rng.standard_normal((2, 7))
    for bias, moves in ((False, set()), (True, {"b2"})):
        network = mlp.network([3, 4, 2], 7, activation, weight_decay=0.1, bias=bias)
        zeros = {name: np.zeros_like(value) for name, value in network.init(0).items()}
        _, gradients = mlp.value_and_grad(network, {**zeros, "x": x, "y": y})
        assert {name for name, gradient in gradients.items() if gradient.any()} == moves
    trained = mlp.sgd(network, zeros, (x, y), lr=0.5, epochs=100, batch_size=7).params
    np.testing.assert_allclose(trained["b2"], y.mean(axis=1, keepdims=True), rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_regulariser_is_a_decay_in_plain_descent_only(seed: int) -> None:
    """eq-training-decay, for one step of each optimiser."""
    eta, decay = 0.05, 0.3
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((3, 7)), rng.standard_normal((2, 7))
    network = mlp.network([3, 4, 2], 7, "tanh", weight_decay=decay)
    start = {name: rng.standard_normal(value.shape) for name, value in network.init(0).items()}
    plain = mlp.network([3, 4, 2], 7, "tanh")
    _, of_loss = mlp.value_and_grad(plain, {**start, "x": data[0], "y": data[1]})

    def after(optimiser: Any) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = optimiser(network, start, data, lr=eta, epochs=1, batch_size=7).params
        return found

    by_sgd, by_adam = after(mlp.sgd), after(mlp.adam)
    for name, W in start.items():
        decayed = (1 - eta * decay) * W - eta * of_loss[name]
        np.testing.assert_allclose(by_sgd[name], decayed, rtol=1e-12, atol=1e-14)
        apart = mlp.adam(plain, start, data, lr=eta, epochs=1, batch_size=7).params[name] - eta * decay * W
        assert not np.allclose(by_adam[name], apart, rtol=1e-3, atol=1e-3), "Adam's λW is no decay"


@pytest.mark.parametrize("seed", range(5))
def test_the_bubble_needs_machines_that_take_equally_long(seed: int) -> None:
    """eq-beyond-bubble holds for equal costs, and is too small for any others."""
    rng = np.random.default_rng(seed)
    m, k = int(rng.integers(2, 7)), int(rng.integers(1, 20))
    formula = (m - 1) / (m - 1 + k)
    for costs, equal in ((np.full(m, rng.uniform(1, 5)), True), (rng.uniform(1, 5, m), False)):
        end = np.zeros((m + 1, k + 1))  # when machine i has done micro-batch j, forward
        for i, j in np.ndindex(m, k):
            end[i + 1, j + 1] = max(end[i, j + 1], end[i + 1, j]) + costs[i]
        forward = end[m, k]
        # Backward takes twice as long, and is the same picture in reverse.
        idle = 1 - 3 * k * costs.mean() / (3 * forward)
        assert np.isclose(idle, formula) if equal else idle > formula


def test_loss_scaling_must_end_in_float32() -> None:
    """In float16 the quotient is too small again."""
    for value in (1.5e-8, 1e-9, 2.9e-8):
        scaled = np.float16(1024 * value)
        assert np.float16(value) == 0 != scaled
        assert scaled / np.float16(1024) == 0
        assert np.isclose(np.float32(scaled) / 1024, value, rtol=0.05)
