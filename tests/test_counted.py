"""One of something is singular: in every text that is made with numbers, for sizes of 1 as for others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

import mlp
from mlp import checkpoint, memory
from mlp.examples import scalar_chain, two_paths
from mlp.inputs import counted
from mlp.views.chain_rule import ChainRule
from mlp.views.memory import MemoryView
from mlp.views.one_weight import OneWeight
from mlp.views.stepper import Stepper
from mlp.views.walks import Walks
from tests.cases import random_values

# "1 steps", "1 by 1 inputs"; not "column 1 moves", "1 is", "1 minus".
PLACE, VERB = r"(?<!column )(?<!row )(?<!layer )(?<![\d.,∂/^-])", "is|has|was|as|minus|plus|times|unless|goes"
WRONG = re.compile(rf"{PLACE}\b1 (?!(?:{VERB})\b)[a-z-]+s\b")


def smallest() -> Iterator[mlp.Graph]:
    """Networks in which one size or another is 1, down to a single weight."""
    for widths in ([1, 1], [1, 1, 1], [1, 3], [3, 1], [2, 1, 3]):
        for batch in (1, 2):
            yield mlp.network(widths, batch, weight_decay=0.1)


GRAPHS = list(smallest())


def texts(graph: mlp.Graph) -> Iterator[str]:
    """What the package and its views say of a graph."""
    values = random_values(graph, 1)
    yield from map(repr, (graph, mlp.schedule(graph), mlp.trace(graph, values), memory.predict(graph)))
    yield str(mlp.trace(graph, values))
    yield mlp.draw.picture(graph).description
    for view in (Stepper(graph, values), OneWeight(graph, values)):
        yield from (view.text(), view.island())
    for equation in graph.equations:
        for source in dict.fromkeys(equation.inputs):
            if graph.needs_gradient(source):
                view = ChainRule(graph, values, chosen=f"{equation.output}/{source}")
                yield from (view.text(), view.island())


@pytest.mark.parametrize("graph", GRAPHS, ids=[f"{k}" for k in range(len(GRAPHS))])
def test_no_text_of_a_graph_has_one_of_many(graph: mlp.Graph) -> None:
    assert [found[0] for text in texts(graph) for found in WRONG.finditer(text)] == []


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 2])
def test_no_text_of_settings_has_one_of_many(depth: int, width: int) -> None:
    policies = ["residuals", "keep_all", "predict", *(["sqrt", "every"] if depth > 1 else [])]
    for policy in policies:
        view = MemoryView(depth, width, 2, policy=policy, segment=1, budget=1)
        for text in (view.text(), view.island()):
            assert WRONG.findall(text) == []
    if depth > 1:
        net = mlp.network([width] * (depth + 1), activation="tanh")
        view = Walks(net, {"residuals": "residuals", "every": checkpoint.every(net, 1)})
        assert WRONG.findall(view.text() + view.island()) == []


def test_no_text_of_paths_has_one_of_many() -> None:
    for graph, values in (scalar_chain(), two_paths()):
        for chosen in ("o", "h", "z", "W1", "W2"):
            assert WRONG.findall(ChainRule(graph, values, scene="paths", chosen=chosen).text()) == []


def test_no_refusal_has_one_of_many() -> None:
    X = np.ones((1, 1))
    net = mlp.network([1, 1])
    history = mlp.sgd(net, net.init(0), (X, X), epochs=1, batch_size=1, lr=0.1)
    said = [repr(history)]
    for refused in (
        lambda: mlp.sgd(net, net.init(0), (X, X), lr=0.1, epochs=1, batch_size=2),
        lambda: mlp.sgd(net, net.init(0), (X,), lr=0.1, epochs=1, batch_size=1),
        lambda: MemoryView(2, 2, 1, machines=2),
        lambda: mlp.Graph([mlp.Variable("W", (1, 1)), mlp.Variable("x", (2, 1))], [mlp.Equation("matmul", "Wx", "z")]),
        lambda: checkpoint.optimal(mlp.network([1, 1, 1, 1], activation="tanh"), 1),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            refused()
        said.append(str(caught.value))
    assert [text for text in said if WRONG.search(text)] == []
    assert "<History: 1 step, 1 parameter" in said[0]


@pytest.mark.parametrize("wrong", ["1 steps", "by 1 inputs, 8 B", "takes 1 multiplications.", "1 micro-batches"])
def test_the_pattern_sees_it(wrong: str) -> None:
    assert WRONG.search(wrong)


def test_counted() -> None:
    assert [counted(n, "step") for n in (0, 1, 2, 1000)] == ["0 steps", "1 step", "2 steps", "1,000 steps"]
    assert counted(1, "entry", "entries") == "1 entry" and counted(3, "entry", "entries") == "3 entries"
