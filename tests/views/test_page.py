"""A view as a page of its own: one file from disk, which asks for nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import mlp
from mlp.examples import running_example

VIEWS = {
    "mlp-stepper": lambda: mlp.Stepper(*running_example()),
    "mlp-one-weight": lambda: mlp.OneWeight(*running_example()),
    "mlp-chain-rule": lambda: mlp.ChainRule(*running_example()),
    "mlp-memory": lambda: mlp.MemoryView(4, 8, 16),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_of_its_own_is_alive_and_asks_for_nothing(
    browser: Browser, tmp_path: Path, theme: str, width: int
) -> None:
    path = tmp_path / "walk.html"
    path.write_text(VIEWS["mlp-stepper"]().page("A walk & more"), "utf-8")
    page = browser.new_page(color_scheme=theme, viewport={"width": width, "height": 800})  # type: ignore[arg-type]
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    assert page.title() == page.locator("h1").inner_text() == "A walk & more"
    stepper = page.locator(".mlp-stepper")
    stepper.get_by_role("button", name="Next", exact=True).click()
    assert stepper.locator(".mlp-count").inner_text() == "2 of 14"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 30)"}[theme]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert trouble == []
    page.close()


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_makes_one(browser: Browser, tmp_path: Path, name: str) -> None:
    path = tmp_path / "view.html"
    path.write_text(VIEWS[name]().page("A view"), "utf-8")
    page = browser.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(path.as_uri())
    page.locator(f".{name}").wait_for()
    assert page.locator("figure.mlp-view > img").count() == 0 and trouble == []
    page.close()


def test_nothing_in_a_page_ends_its_script_early() -> None:
    """Two scripts of the page, and the island's state."""
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_endtag = tags.append  # type: ignore[method-assign]
    parser.feed(VIEWS["mlp-stepper"]().page("</script><b>"))
    assert tags.count("script") == 3 and tags[-1] == "html" and "b" not in tags


def test_a_title_is_a_text() -> None:
    with pytest.raises(TypeError, match="title: expected a text, received None"):
        VIEWS["mlp-stepper"]().page(None)
