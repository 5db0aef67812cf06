"""Walks through a chain under several plans: what is told, what the page shows, and how it is driven."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from mlp import checkpoint, memory, network
from mlp.steps import schedule
from mlp.text import bytes_text
from mlp.views.walks import Walks, runs
from tests.everyone import barriers
from tests.views.pages import LOOKS, OpenView, Pages

TEN = network([8] * 11, 32, "tanh", weight_decay=1e-4)
ROOT = checkpoint.sqrt(TEN)
PLANS = {
    "residuals": "residuals",
    "√K": ROOT,
    "optimal": checkpoint.optimal(TEN, memory.predict(TEN, ROOT).peak),
    "three places": checkpoint.binomial(TEN, 3),
}


@pytest.fixture
def opens(pages: Pages) -> Callable[..., Page]:
    def make(look: str = "light") -> Page:
        return pages.open(OpenView, [Walks(TEN, PLANS).island()], look).page

    return make


def shown(page: Page, phase: str) -> list[str]:
    """What each layer of a row is: now, held, run."""
    nodes = page.locator(f'.mlp-walks [data-phase="{phase}"] li').all()
    return [(node.get_attribute("data-is") or "").strip() for node in nodes]


# --- what is told ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", PLANS)
def test_each_layer_goes_back_once_and_is_forward_before(plan: str) -> None:
    walked = runs(checkpoint.chain(TEN), PLANS[plan])
    back = [run["layer"] for run in walked if run["phase"] == "backward"]
    assert back == list(range(9, -1, -1))
    assert {run["layer"] for run in walked if run["phase"] == "forward"} == set(range(10))
    peak = schedule(TEN, PLANS[plan])
    most = max(peak.bytes(index) for index in range(len(peak)))
    assert most == memory.predict(TEN, PLANS[plan]).peak
    at = [run["words"] for run in walked if "the peak" in run["words"]]
    assert at and all(f"{bytes_text(most)} alive, the peak." in words for words in at)


def test_what_is_held_is_what_the_plan_keeps() -> None:
    whole = checkpoint.chain(TEN)
    everything, root = runs(whole, "residuals"), runs(whole, ROOT)
    turn = next(place for place, run in enumerate(everything) if run["phase"] == "backward")
    assert everything[turn]["held"] == list(range(9))  # the last layer hands its value to the loss at once
    assert sum("again" in run["words"] for run in everything) == 0
    again = [run for run in root if "again" in run["words"]]
    assert len(again) == checkpoint.cost(TEN, ROOT).again // 2  # a product and an activation each
    assert max(len(run["held"]) for run in root) < max(len(run["held"]) for run in everything)
    for run in again:
        assert any(layer < run["layer"] for layer in run["held"]) or run["layer"] < 4


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="plans: expected a mapping"):
        Walks(TEN, [])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="policy"):
        Walks(TEN, {"mine": "nothing"})
    with pytest.raises(ValueError, match="expected a chain of layers"):
        Walks(network([3, 2]), {"mine": "residuals"})
    with pytest.raises(ValueError, match="plans: expected policies that go back, received 'predict'"):
        Walks(TEN, {"best": "residuals", "mine": "predict"})
    view = Walks(TEN, PLANS)
    with pytest.raises(ValueError, match="plan: expected one of residuals, √K"):
        view.plan = "best"
    with pytest.raises(ValueError, match="run: expected 0 to"):
        view.run = -1


def test_text_and_figure_say_what_the_view_shows() -> None:
    view = Walks(TEN, PLANS)
    assert view.text().splitlines()[1].startswith("Run 1 of 20: layer 1 goes forward. Held: h⁽¹⁾; ")
    assert view.island().count("<script") == 1 and "<button" not in view.island()
    assert 'data-view="walks"' in view.island() and "layer 10 goes forward" in view.island()


# --- in the page ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", PLANS)
def test_every_run_of_every_plan_is_shown_as_told(opens: Callable[..., Page], plan: str) -> None:
    page = opens()
    page.get_by_label("plan").select_option(plan)
    done: dict[str, set[int]] = {"forward": set(), "backward": set()}
    walked = runs(checkpoint.chain(TEN), PLANS[plan])
    for place, run in enumerate(walked):
        if place:
            page.get_by_role("button", name="Next").click()
        done[run["phase"]].add(run["layer"])
        assert page.locator(".mlp-words").inner_text() == run["words"]
        for phase in ("forward", "backward"):
            for layer, state in enumerate(shown(page, phase)):
                expected = {"now"} if (phase, layer) == (run["phase"], run["layer"]) else set()
                expected |= {"held"} if phase == "forward" and layer in run["held"] else set()
                expected |= {"run"} if layer in done[phase] else set()
                assert set(state.split()) == expected
    next_, back = (page.get_by_role("button", name=name) for name in ("Next", "Back"))
    assert next_.get_attribute("aria-disabled") == "true"
    next_.click(force=True)
    assert page.locator(".mlp-words").inner_text() == walked[-1]["words"]
    back.click()
    assert page.locator(".mlp-words").inner_text() == walked[-2]["words"]


def test_the_keyboard_is_enough(opens: Callable[..., Page]) -> None:
    page = opens()
    slider = page.get_by_role("slider", name="Run")
    slider.focus()
    page.keyboard.press("End")
    assert page.locator(".mlp-words").inner_text().startswith("Run 20 of 20: layer 1 goes back.")
    page.keyboard.press("ArrowLeft")
    assert slider.get_attribute("aria-valuetext") == page.locator(".mlp-words").inner_text()
    page.keyboard.press("Home")
    assert page.locator(".mlp-words").inner_text().startswith("Run 1 of 20")
    assert page.locator(".mlp-words").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("look", LOOKS)
def test_everyone_can_use_it(opens: Callable[..., Page], look: str) -> None:
    page = opens(look=look)
    states: list[Callable[[], Any]] = [
        lambda: None,
        lambda: page.get_by_label("plan").select_option("√K"),
        lambda: [page.get_by_role("button", name="Next").click() for _ in range(16)],
    ]
    for reach in states:
        reach()
        assert barriers(page, ".mlp-walks") == []
