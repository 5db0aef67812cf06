"""One of something is singular in the page too: views of graphs with sizes of 1, clicked through all their states."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mlp
from mlp import checkpoint
from mlp.examples import scalar_chain
from mlp.views.chain_rule import ChainRule
from mlp.views.memory import MemoryView
from mlp.views.one_weight import OneWeight
from mlp.views.state import PANELS
from mlp.views.stepper import Stepper
from mlp.views.walks import Walks
from tests.cases import random_values
from tests.test_counted import WRONG
from tests.views.pages import OpenView, Pages

# Texts, attributes that are read out, and what stands in folded panels.
SAYS = """() => [document.body.textContent, ...[...document.querySelectorAll("*")].flatMap((node) =>
  ["aria-label", "aria-valuetext", "title", "alt"].map((name) => node.getAttribute(name) ?? ""))].join("\\n")"""
SIZES = [([1, 1], 1), ([1, 1, 1], 1), ([1, 3], 2), ([2, 1, 3], 1)]

Opens = Callable[[str], OpenView]


@pytest.fixture
def opens(pages: Pages) -> Opens:
    return lambda island: pages.open(OpenView, [island], reduced_motion="reduce")


def wrong(visit: OpenView) -> list[str]:
    return [found[0] for found in WRONG.finditer(visit.page.evaluate(SAYS))]


def clicks_through(visit: OpenView, name: str) -> None:
    """Press this button until it can be pressed no more."""
    control = visit.root.get_by_role("button", name=name)
    assert control.get_attribute("aria-disabled") != "true"
    while control.get_attribute("aria-disabled") != "true":
        assert wrong(visit) == []
        control.click()
    assert wrong(visit) == []


@pytest.mark.parametrize(("widths", "batch"), SIZES)
def test_views_of_a_small_graph(opens: Opens, widths: list[int], batch: int) -> None:
    graph = mlp.network(widths, batch, weight_decay=0.1)
    values = random_values(graph, 1)
    visit = opens(Stepper(graph, values, PANELS).island())
    clicks_through(visit, "Next")
    visit = opens(OneWeight(graph, values).island())
    assert wrong(visit) == []
    visit.button("Nudge every weight").click()
    visit.page.wait_for_function("() => document.querySelector('.mlp-way button').textContent.startsWith('Nudge')")
    visit.button("One backward pass").click()
    assert wrong(visit) == []
    for equation in graph.equations:
        for source in dict.fromkeys(equation.inputs):
            if graph.needs_gradient(source):
                for stage in range(3):
                    view = ChainRule(graph, values, chosen=f"{equation.output}/{source}", stage=stage)
                    assert wrong(opens(view.island())) == []


def test_views_of_chains_and_settings(opens: Opens) -> None:
    graph, values = scalar_chain()
    for chosen in ("o", "h", "W1"):
        clicks_through(opens(ChainRule(graph, values, scene="paths", chosen=chosen).island()), "Next factor")
    for policy in ("residuals", "keep_all", "predict"):
        assert wrong(opens(MemoryView(1, 1, 2, policy=policy, budget=1).island())) == []
    assert wrong(opens(MemoryView(2, 1, 2, policy="every", segment=1, machines=2, budget=1).island())) == []
    net = mlp.network([1, 1, 1], activation="tanh")
    assert wrong(opens(Walks(net, {"residuals": "residuals", "every": checkpoint.every(net, 1)}).island())) == []
