"""What the tests of the built book share: where it is, which pages it has, and how a reader opens them from disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"

# name: width, height, colour scheme
LOOKS = {"light": (1280, 900, "light"), "dark": (1280, 900, "dark"), "phone": (390, 844, "light")}


def toc_pages() -> list[str]:
    """The pages of the book in order, as _toc.yml names them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


@dataclass
class Visit:
    """A page as a reader has it: opened from disk, settled, with everything that went wrong on the way."""

    name: str
    look: str
    page: Page
    trouble: list[str] = field(default_factory=list)


def open_page(browser: Browser, address: str, name: str, look: str) -> Visit:
    """Open one page of the book and wait until its mathematics is typeset."""
    width, height, scheme = LOOKS[look]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    visit = Visit(name, look, page)

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            visit.trouble.append(f"console: {message.text}")

    def on_request(request: Request) -> None:
        if not request.url.startswith((HTML.as_uri() + "/", "data:", "blob:")):
            visit.trouble.append(f"outside the book: {request.url}")

    page.on("console", on_console)
    page.on("request", on_request)
    page.on("pageerror", lambda error: visit.trouble.append(f"page error: {error}"))
    page.on("requestfailed", lambda request: visit.trouble.append(f"failed: {request.url}"))
    page.goto(address, wait_until="load")
    page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")
    page.wait_for_timeout(200)
    return visit


@pytest.fixture(scope="session")
def book() -> Path:
    """The built book; `make test` builds it before the tests run."""
    if not (HTML / "index.html").exists():
        pytest.fail(f"the book is not built: no {HTML / 'index.html'}; run `make book`", pytrace=False)
    return HTML
