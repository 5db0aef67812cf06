"""What the prose says of numbers, orders and names, where it does not take them from a run: computed here."""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import nbformat
import numpy as np
import pytest

import mlp
from mlp import checkpoint, memory
from mlp.views.state import stops
from tests.book.conftest import ROOT
from tests.book.test_sources import PAGES, markdown
from tests.cases import random_network, random_values


def told(path: Path) -> str:
    """The text of a page with its captions and alt texts, on one line."""
    about = []
    if path.suffix == ".ipynb":
        about = [json.dumps(c.metadata, ensure_ascii=False) for c in nbformat.read(path, as_version=4).cells]
    return re.sub(r"\s+", " ", "\n".join([markdown(path), *about]))


def page(name: str) -> str:
    return told(next(path for path in PAGES if path.stem == name))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_text_names_steps_by_what_they_write(path: Path) -> None:
    """Numbers of steps and stops are for traces and views; a number in the text is one that nobody keeps right."""
    assert re.findall(r"\b[Ss]t(?:ep|op)s? (?:\d+|\{glue:text\}`\w+`)(?! steps)", told(path)) == []
    assert re.findall(r"\b(?:first|second|third|fourth|last) column `", told(path)) == []


def test_the_words_of_a_walk_are_found_in_the_trace() -> None:
    """A stop is found in the trace by what it writes; the step of a picture has the trace's number."""
    for graph in (mlp.examples.running_example()[0], mlp.examples.diamond()[0]):
        steps = mlp.schedule(graph)
        for stop in stops(graph):
            made = {steps[index].writes[0].replace("/", "-") for index in stop.steps}
            assert stop.id.split("~")[0] in made or stop.id.startswith(("back-", "update"))
        for step in steps:
            assert mlp.draw.picture(graph, step).title.startswith(f"Step {step.index}, {step.phase}: ")


def test_forward_counts_what_exists() -> None:
    """Chapter Forward, figure fig-forward-kept: 4 + 4 in both cases, 4 + 2 in prediction."""
    graph, values = mlp.examples.running_example()
    counted = {}
    for policy in ("keep_all", "predict"):
        run = mlp.trace(graph, values, policy)
        steps = [step.index for step in run if step.phase == "forward"]
        counted[policy] = [sum(run[n].size for n in run.alive(i) if n not in values) for i in steps]
    assert "$4 + 4$ exist in both cases" in page("forward") and "prediction holds $\\mathbf{h}$ and" in page("forward")
    assert counted["predict"][:3] == [4, 4 + 4, 4 + 2] and counted["keep_all"][:3] == [4, 4 + 4, 4 + 4 + 2]


def test_a_wrong_transpose_goes_unnoticed_as_soon_as_d_is_m() -> None:
    assert "If $d = m$, then" in page("forward")
    x = np.ones((3, 5))
    for d, m, fits in ((3, 3, True), (3, 4, False)):
        W1 = np.ones((m, d))
        assert ((W1.T.shape[1] == x.shape[0]) and (W1.T @ x).shape == (W1 @ x).shape) is fits


def test_the_graph_has_nine_other_variables_and_five_orders() -> None:
    graph = mlp.examples.running_example()[0]
    assert "Which of the nine other variables" in page("graph") and len(graph.variables) == 10

    def is_order(equations: tuple[mlp.Equation, ...]) -> bool:
        known = set(graph.given)
        for equation in equations:
            if not known.issuperset(equation.inputs):
                return False
            known.add(equation.output)
        return True

    arrangements = list(permutations(graph.equations))
    assert (len(arrangements), sum(map(is_order, arrangements))) == (720, 5)


@pytest.mark.parametrize("seed", range(8))
def test_weight_decay_is_the_regulariser_under_gradient_descent_alone(seed: int) -> None:
    """Glossary: W ← (1 − ηλ)W − η ∂L/∂W; with Adam, decay beside the update (AdamW) leads elsewhere."""
    assert r"(1 - \eta\lambda)\mathbf{W} - \eta\,\partial L/\partial\mathbf{W}" in page("glossary")
    widths, lr, decay, n = [3, 4, 5], 0.05, 0.3, 6
    with_s, without = (mlp.network(widths, n, "tanh", weight_decay=strength) for strength in (decay, 0.0))
    values = random_values(with_s, seed)
    params = {name: values[name] for name in with_s.parameters}
    data = values["x"], values["y"]
    once = {"lr": lr, "epochs": 1, "batch_size": n}
    _, of_L = mlp.value_and_grad(without, values)
    stepped = mlp.sgd(with_s, params, data, **once).params
    for name, W in params.items():
        np.testing.assert_allclose(stepped[name], (1 - lr * decay) * W - lr * of_L[name], rtol=1e-12, atol=1e-14)
    in_the_gradient = mlp.adam(with_s, params, data, **once).params
    beside = mlp.adam(without, params, data, **once).params
    for name, W in params.items():
        assert np.abs(in_the_gradient[name] - (beside[name] - lr * decay * W)).max() > 1e-3


@pytest.mark.parametrize("seed", range(40))
def test_gradients_that_stay_are_a_sum(seed: int) -> None:
    """Chapter Backpropagation: what adds to what was there follows the sum of all steps so far."""
    graph = random_network(seed)
    values = random_values(graph, seed)
    _, first = mlp.value_and_grad(graph, values)
    moved = {name: W - 0.01 * first[name] if name in first else W for name, W in values.items()}
    _, second = mlp.value_and_grad(graph, moved)
    _, again = mlp.value_and_grad(graph, values)
    for name in first:  # a pass of the engine begins anew
        assert np.array_equal(again[name], first[name]) and second[name] is not first[name]


def test_the_ledger_of_memory_is_as_its_captions_say() -> None:
    """Chapter Memory: the alt texts of fig-memory-ledger, fig-memory-timeline and fig-memory-oom."""
    text = page("memory")
    small = mlp.network([3, 4, 2], 5, "tanh", weight_decay=0.1)
    steps = mlp.schedule(small, "residuals")
    assert len(steps) == 15 and "Two charts of bars over 15 steps" in text
    lives = {life.array: life for life in steps.lifetimes()}
    writes = {array: step.index for step in steps for array in step.writes}
    assert (lives["o"].last, lives["h"].last) == (writes["dJ/do"], writes["dJ/dz"])
    assert lives["z"].last == writes["h"]
    assert "o ends where ∂J/∂o is written, and h where ∂J/∂z is" in text
    large = mlp.network([64] * 9, 256, "tanh", weight_decay=1e-4)
    assert len(mlp.schedule(large)) == 51 and "A stack of areas over 51 steps" in text
    first = next(life for life in mlp.schedule(large, "residuals").lifetimes() if life.array == "h1")
    assert first.first <= 2 and first.last >= 51 - 4
    events = memory.predict(large, "keep_all").events
    assert next(event for event in events if event.total > 2_000_000).what == "h6"
    assert "a cross says that h6 did not fit" in text


def test_batch_normalisation_breaks_micro_batches() -> None:
    """Chapter Memory: the mean of the halves' gradients is the whole's only if no example looks at another."""
    rng = np.random.default_rng(0)
    W, x, y = rng.standard_normal((1, 3)), rng.standard_normal((3, 6)), rng.standard_normal((1, 6))

    def slopes(across: bool, *parts: slice) -> np.ndarray:
        def L(W: np.ndarray) -> float:
            found = []
            for part in parts:
                z = W @ x[:, part]
                z = (z - z.mean()) / z.std() if across else np.tanh(z)
                found.append(((z - y[:, part]) ** 2).mean() / 2)
            return float(np.mean(found))

        nudges = 1e-6 * np.eye(3).reshape(3, 1, 3)
        return np.array([(L(W + e) - L(W - e)) / 2e-6 for e in nudges])

    halves = slice(0, 3), slice(3, 6)
    np.testing.assert_allclose(slopes(False, *halves), slopes(False, slice(0, 6)), atol=1e-8)
    assert np.abs(slopes(True, *halves) - slopes(True, slice(0, 6))).max() > 1e-2


@pytest.mark.parametrize(("layers", "k"), [(64, 8), (48, 6), (36, 6), (27, 3), (60, 10)])
def test_layers_that_run_again(layers: int, k: int) -> None:
    """Chapter Checkpoints, exercise 1: k − 1 of each segment but the last; a framework that wraps segments runs k."""
    net = mlp.network([2] * (layers + 1), activation="tanh")
    segments = layers // k
    again = checkpoint.cost(net, checkpoint.every(net, k)).again // 2  # a product and an activation each
    assert again == (segments - 1) * (k - 1)
    if (layers, k) == (64, 8):
        assert again == 49 and (segments - 1) * k == 56 and "7 * 8 = 56" in cells("checkpoints")


def cells(name: str) -> str:
    notebook = nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def test_two_products_a_layer_on_the_way_back() -> None:
    """First page: the way back takes about as many multiplications as two more forward passes, whatever the size."""
    for widths in ([3, 4, 2], [50, 60, 70, 80], [9] * 40):
        steps = mlp.schedule(mlp.network(widths, 7))
        ways = [
            sum(step.equation.op == "matmul" for step in steps if step.phase == way) for way in ("forward", "backward")
        ]
        assert ways[1] == 2 * ways[0] - 1  # nobody asks for ∂J/∂x


def test_who_is_older() -> None:
    """First page: the sources are there, with their years."""
    bib = (ROOT / "book" / "references.bib").read_text("utf-8")
    years = dict(re.findall(r"@\w+\{(\w+),.*?year = \{(\d+)\}", bib, re.DOTALL))
    cited = re.findall(r"\{cite:\w\}`([\w,]+)`", page("index"))
    assert "older than neural networks" not in page("index")
    for key in ",".join(cited).split(","):
        assert key.endswith(years[key]), key
    assert {"linnainmaa1970", "linnainmaa1976", "kelley1960", "werbos1982", "rumelhart1986"} <= {
        *",".join(cited).split(",")
    }
    assert "{cite:t}`griewank1992`" in page("checkpoints")
