"""The book's first page: a question to commit to, one weight to slide, and what all slopes cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

import mlp
from mlp.text import number
from tests.book.conftest import LOOKS, Visit, open_page


def prose_of(visit: Visit) -> str:
    """The page's text on one line, with plain apostrophes."""
    return re.sub(r"\s+", " ", visit.page.locator("article").inner_text()).replace("’", "'")


@pytest.fixture(params=list(LOOKS))
def visit(request: pytest.FixtureRequest, book: Path, browser: Browser) -> Iterator[Visit]:
    visit = open_page(browser, (book / "book" / "index.html").as_uri(), "book/index", request.param)
    yield visit
    assert visit.trouble == []
    visit.page.close()


def test_the_question_and_the_slider_are_on_the_first_screen(visit: Visit) -> None:
    view, height = visit.page.locator(".mlp-one-weight"), visit.page.viewport_size["height"]
    for control in (view.get_by_role("button", name="Up", exact=True), view.get_by_role("slider")):
        box = control.bounding_box()
        assert box is not None and box["y"] + box["height"] <= height


def test_the_reader_commits_slides_nudges_and_goes_backward(visit: Visit) -> None:
    view = visit.page.locator(".mlp-one-weight")
    graph, values = mlp.examples.running_example()
    J, gradients = mlp.value_and_grad(graph, values)
    slope = gradients["W2"][1, 0]
    assert view.locator(".mlp-objective").inner_text() == f"J = {number(J)}"
    assert not view.locator(".mlp-slope").is_visible()
    view.get_by_role("button", name="Up", exact=True).click()
    assert view.locator(".mlp-words").inner_text().startswith("You said up: right.")
    assert float(str(view.locator(".mlp-slope data").get_attribute("value"))) == pytest.approx(slope, abs=1e-10)
    view.get_by_role("button", name="Nudge every weight").click()
    visit.page.wait_for_function("() => document.querySelector('.mlp-passes strong').textContent === '40'")
    view.get_by_role("button", name="One backward pass").click()
    assert view.locator(".mlp-passes strong").all_inner_texts() == ["40", "1"]
    assert "The two agree on all 20 slopes" in view.locator(".mlp-verdict").inner_text()
    assert view.get_by_role("slider").get_attribute("aria-label") == "Slide W⁽²⁾ row 2, column 1"
    visit.page.get_by_role("slider").press("ArrowRight")
    assert view.locator(".mlp-objective").inner_text() != f"J = {number(J)}"


def test_in_the_corner_too_the_page_says_what_the_view_says(visit: Visit) -> None:
    """The text sends the reader there: nothing in it may be false then."""
    view = visit.page.locator(".mlp-one-weight")
    prose = prose_of(visit)
    assert "Choose row 4, column 3 of" in prose and "slide it to 2. Reset brings" in prose
    view.get_by_role("radio", name=re.compile("^W⁽¹⁾ row 4, column 3:")).click()
    view.locator(".mlp-mover .mlp-setting input").fill("2")
    assert view.locator(".mlp-words").inner_text().startswith("A corner: J has two slopes here")
    view.get_by_role("button", name="Nudge every weight").click()
    visit.page.wait_for_function("() => document.querySelector('.mlp-passes strong').textContent === '40'")
    view.get_by_role("button", name="One backward pass").click()
    verdict = view.locator(".mlp-verdict").inner_text()
    graph, values = mlp.examples.running_example()
    values["W1"][3, 2] = 2
    _, gradients = mlp.value_and_grad(graph, values)
    assert "agree on 17 of 20 slopes" in verdict and "At 3 weights J has a corner" in verdict
    steepest = max(gradients, key=lambda name: float(np.abs(gradients[name]).max()))
    row, column = np.unravel_index(int(np.abs(gradients[steepest]).argmax()), gradients[steepest].shape)
    assert f"row {row + 1}, column {column + 1}: {number(gradients[steepest][row, column])}." in verdict
    # What is said of all weights, and of the steepest, is said of the book's numbers.
    for claim in ("it agrees with nudging for all 20 weights", "framed at first has the steepest slope"):
        before = prose.split(claim)[0].rsplit(". ", 1)[-1].rsplit("? ", 1)[-1]
        assert "ith the book's numbers" in before, claim


def test_the_prose_says_what_the_view_says(visit: Visit) -> None:
    graph, values = mlp.examples.running_example()
    J, gradients = mlp.value_and_grad(graph, values)
    prose = prose_of(visit)
    assert f"With the book's numbers it is {number(gradients['W2'][1, 0])}: raise the weight by 0.01" in prose
    raised = values["W2"].copy()
    raised[1, 0] += 0.01
    after, _ = mlp.value_and_grad(graph, {**values, "W2": raised})
    assert f"It does fall by {number(J - after, 3)}." in prose
    assert "For 20 weights it takes 40, and" in prose
