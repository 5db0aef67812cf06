"""Every stepper of the built book, in the page where it stands: each stop by mouse or finger and by the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator

from tests.book.conftest import LOOKS, ROOT, Visit, open_page, toc_pages
from tests.everyone import overflow, small_text


def pages_with_steppers() -> list[str]:
    """The pages whose source makes one."""
    sources = {name: next(ROOT.glob(f"{name}.[im]*")).read_text("utf-8") for name in toc_pages()}
    return [name for name, source in sources.items() if "mlp.Stepper(" in source and name.startswith("book/")]


@pytest.fixture(params=[(name, look) for name in pages_with_steppers() for look in LOOKS], ids="-".join)
def visit(request: pytest.FixtureRequest, book: Path, browser: Browser) -> Iterator[Visit]:
    name, look = request.param
    visit = open_page(browser, (book / f"{name}.html").as_uri(), name, look)
    yield visit
    visit.page.close()
    assert visit.trouble == []


def steppers(visit: Visit) -> Iterator[Locator]:
    """Each stepper of the page, brought to the top of the screen."""
    every = visit.page.locator("figure.mlp-view .mlp-stepper").all()
    assert every
    for stepper in every:
        stepper.evaluate("e => e.scrollIntoView()")
        yield stepper


def test_every_stop_is_reached_by_the_mouse(visit: Visit) -> None:
    for stepper in steppers(visit):
        first = stepper.get_by_role("button", name="First", exact=True)
        if first.get_attribute("aria-disabled") == "false":
            first.click()
        count = stepper.locator(".mlp-stops option").count()
        for position in range(1, count + 1):
            assert stepper.locator(".mlp-count").inner_text() == f"{position} of {count}"
            assert overflow(visit.page) <= 0
            assert small_text(visit.page, ".mlp-stepper") == []
            if position < count:
                stepper.get_by_role("button", name="Next", exact=True).click()


@pytest.mark.parametrize(
    "visit",
    [(name, look) for name in pages_with_steppers() for look in ("light", "phone")],
    ids="-".join,
    indirect=True,
)
def test_every_stop_is_reached_by_the_keyboard_alone(visit: Visit) -> None:
    press = visit.page.keyboard.press
    names = [stepper.locator("xpath=ancestor::figure").get_attribute("id") for stepper in steppers(visit)]
    visit.page.evaluate("() => { scrollTo(0, 0); document.activeElement.blur(); }")
    here = "document.activeElement.closest('figure.mlp-view')?.id"
    for name in names:
        for _ in range(400):  # into it, from wherever the reader was before
            press("Tab")
            if visit.page.evaluate(f"{here} === {name!r} && document.activeElement.matches('.mlp-next')"):
                break
        stepper = visit.page.locator(f"#{name} .mlp-stepper")
        count = stepper.locator(".mlp-stops option").count()
        press("Home")
        for position in range(1, count + 1):
            assert stepper.locator(".mlp-count").inner_text() == f"{position} of {count}"
            press("ArrowRight")
        for _ in range(400):  # and out again
            press("Tab")
            if visit.page.evaluate(here) != name:
                break
        assert visit.page.evaluate(here) != name


@pytest.mark.parametrize("visit", [(name, "phone") for name in pages_with_steppers()], ids="-".join, indirect=True)
def test_back_and_next_stay_at_the_bottom_of_a_phones_screen(visit: Visit) -> None:
    for stepper in steppers(visit):
        stepper.evaluate("e => e.querySelectorAll('details.mlp-panel').forEach(d => { d.open = true; })")
        for scrolled in (0, 200):
            stepper.evaluate("(e, by) => { e.scrollIntoView(); scrollBy(0, by); }", scrolled)
            assert stepper.evaluate("e => e.getBoundingClientRect().bottom > innerHeight")
            for name in ("Back", "Next"):
                box = stepper.get_by_role("button", name=name, exact=True).bounding_box()
                assert box is not None and box["height"] >= 44 and 844 - 60 <= box["y"] + box["height"] <= 844


def test_a_page_says_once_how_to_read_the_picture(book: Path) -> None:
    for name in pages_with_steppers():
        text = (book / f"{name}.html").read_text("utf-8")
        assert text.count('class="mlp-legend"') == text.count("A filled corner says") == 1, name
