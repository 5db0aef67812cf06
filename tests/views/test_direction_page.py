"""Views in a page that is read from right to left: they themselves are not turned round."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlp import Question, network
from mlp.examples import running_example, two_paths
from mlp.views.chain_rule import ChainRule
from mlp.views.memory import MemoryView
from mlp.views.one_weight import OneWeight
from mlp.views.stepper import Stepper
from mlp.views.view import Island
from mlp.views.walks import Walks
from tests.views.pages import OpenView, Pages

ISLANDS: dict[str, Callable[[], Island]] = {
    "stepper": lambda: Stepper(*running_example(), step=9),
    "one weight": lambda: OneWeight(*running_example()),
    "paths": lambda: ChainRule(*two_paths(), "paths", stage=2),
    "operator": lambda: ChainRule(*running_example()),
    "memory": lambda: MemoryView(),
    "walks": lambda: Walks(network([2, 2, 2, 2]), {"all": "residuals"}),
    "numbers": lambda: Question.numbers("How much?", {"J": 3.5}, name="numbers"),
    "order": lambda: Question.order_of("In which order?", network([2, 2]), name="order"),
}

# Where everything in a view is, from the view's own left edge.
PLACES = """() => {
  const root = document.querySelector(".mlp-ui");
  const left = root.getBoundingClientRect().left;
  return [...root.querySelectorAll("*")].filter(e => e.getClientRects().length && !e.closest(".mlp-unseen, option"))
    .map(e => [e.tagName, Math.round(e.getBoundingClientRect().left - left)]);
}"""


@pytest.mark.parametrize("name", ISLANDS)
def test_a_view_is_left_to_right_in_any_page(pages: Pages, name: str) -> None:
    visit = pages.open(OpenView, [ISLANDS[name]().island()])
    visit.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    visit.settle()
    before = visit.page.evaluate(PLACES)
    assert len(before) > 8
    visit.page.evaluate("document.documentElement.dir = 'rtl'")
    visit.settle()
    assert visit.page.evaluate("getComputedStyle(document.querySelector('h1')).direction") == "rtl"
    assert visit.page.evaluate(PLACES) == before
