"""Every page of the built book, opened from disk in a real browser: wide and light, wide and dark, and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.book.conftest import LOOKS, Visit, open_page, toc_pages
from tests.everyone import overflow, violations


@pytest.fixture(scope="module", params=[(name, look) for name in toc_pages() for look in LOOKS], ids="-".join)
def visit(request: pytest.FixtureRequest, book: Path, browser: Browser) -> Iterator[Visit]:
    name, look = request.param
    visit = open_page(browser, (book / f"{name}.html").as_uri(), name, look)
    yield visit
    visit.page.close()


def test_nothing_goes_wrong_and_nothing_outside_is_asked_for(visit: Visit) -> None:
    assert visit.trouble == []


def test_page_is_no_wider_than_the_screen(visit: Visit) -> None:
    assert overflow(visit.page) <= 0


def test_every_formula_is_typeset(visit: Visit) -> None:
    raw = visit.page.evaluate(
        r"""() => {
          const raw = [...document.querySelectorAll(".math")]
            .filter(e => !e.querySelector("mjx-container")).map(e => e.textContent.trim());
          for (const e of document.querySelectorAll("mjx-merror"))
            raw.push(e.getAttribute("data-mjx-error") ?? e.textContent);
          const walk = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
          while (walk.nextNode()) {
            const text = walk.currentNode;
            if (text.parentElement.closest("pre, code, script, mjx-container")) continue;
            if (/\\\(|\\\[|\\begin\{/.test(text.data)) raw.push(text.data.trim());
          }
          return raw;
        }"""
    )
    assert raw == []


def test_every_image_is_there_and_described(visit: Visit) -> None:
    wrong = visit.page.evaluate(
        """() => [...document.querySelectorAll("article img")]
          .filter(i => !i.alt.trim() || !i.complete || i.naturalWidth === 0)
          .map(i => i.outerHTML.slice(0, 200))"""
    )
    assert wrong == []


def test_every_inline_picture_has_a_title(visit: Visit) -> None:
    wrong = visit.page.evaluate(
        """() => [...document.querySelectorAll('article svg[role="img"]:not([aria-hidden="true"])')]
          .filter(svg => !svg.querySelector(":scope > title")?.textContent.trim()
            || (svg.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean).some(
              id => !document.getElementById(id)?.textContent.trim()))
          .map(svg => svg.outerHTML.slice(0, 200))"""
    )
    assert wrong == []


def test_ids_are_unique(visit: Visit) -> None:
    twice = visit.page.evaluate(
        """() => {
          const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
          return [...new Set(ids.filter((id, i) => ids.indexOf(id) !== i))];
        }"""
    )
    assert twice == []


def test_colours_follow_the_scheme(visit: Visit) -> None:
    theme = "dark" if visit.look == "dark" else "light"
    assert visit.page.evaluate("document.documentElement.dataset.theme") == theme


def test_everyone_can_read_it(visit: Visit) -> None:
    assert violations(visit.page) == []


@pytest.mark.parametrize("address", ["genindex.html", "search.html?q=forward", "_modules/mlp/engine.html"])
def test_the_other_pages_work_from_disk(book: Path, browser: Browser, address: str) -> None:
    name, _, query = address.partition("?")
    visit = open_page(browser, (book / name).as_uri() + (f"?{query}" if query else ""), name, "light")
    visit.page.wait_for_timeout(500)
    assert visit.trouble == []
    if query:
        assert visit.page.locator("#search-results li").count() > 0
    test_everyone_can_read_it(visit)
    visit.page.set_viewport_size({"width": 390, "height": 844})
    test_page_is_no_wider_than_the_screen(visit)
    visit.page.close()


def test_code_of_chapters_fits_into_its_column(book: Path, browser: Browser) -> None:
    """From 1200 px on the contents stand beside the text, which then has least room for 74 characters of code."""
    page = browser.new_page(java_script_enabled=False)
    names = [name for name in toc_pages() if "/api" not in name]  # which have the package's own lines
    for name in names:
        page.goto((book / f"{name}.html").as_uri(), wait_until="domcontentloaded")
        for width in (1200, 1240, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            cut = page.locator("div.highlight pre").evaluate_all(
                "all => all.filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth).map(e => e.textContent)"
            )
            assert cut == [], f"{name} at {width} px"
    page.close()


def test_paper_is_light(book: Path, browser: Browser) -> None:
    """A page that is read in the dark is printed as the others are, and is dark again afterwards."""
    visit = open_page(browser, (book / "book" / "memory.html").as_uri(), "memory", "dark")
    theme = "document.documentElement.dataset.theme"
    visit.page.evaluate(f"() => addEventListener('beforeprint', () => {{ window.printed = {theme}; }})")
    assert visit.page.evaluate(theme) == "dark"
    visit.page.pdf()
    assert (visit.page.evaluate("window.printed"), visit.page.evaluate(theme)) == ("light", "dark")
    visit.page.close()


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_the_summary_sheet_is_one_page_of_paper(book: Path, browser: Browser, paper: str) -> None:
    """All of it, in letters that can be read, and nothing but the sheet."""
    visit = open_page(browser, (book / "book" / "summary.html").as_uri(), "summary", "light")
    pages = re.findall(rb"/Type\s*/Page\b", visit.page.pdf(format=paper))
    visit.page.emulate_media(media="print")
    seen = visit.page.evaluate(
        """() => ({
          title: document.querySelector("article h1").getBoundingClientRect().height,
          hidden: [...document.querySelectorAll("article :is(h2, p, li, td, th)")]
            .filter(e => e.textContent.trim() && !e.getClientRects().length).map(e => e.textContent),
          small: [...document.querySelectorAll("article :is(p, li, td, th)")]
            .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).map(e => e.textContent),
          other: [...document.querySelectorAll("nav, header, footer, aside, dialog")]
            .filter(e => e.getBoundingClientRect().height > 0).map(e => e.className),
        })"""
    )
    visit.page.close()
    assert len(pages) == 1
    assert seen["title"] > 0
    assert (seen["hidden"], seen["small"], seen["other"]) == ([], [], [])


# Where every sign of the formulas and graphs is, from the left edge of its formula or graph.
SIGNS = """() => [...document.querySelectorAll("article :is(mjx-container, figure.mlp-graph svg)")].map(whole => {
  const left = whole.getBoundingClientRect().left;
  return [...whole.querySelectorAll("mjx-c, path, text")].map(e => Math.round(e.getBoundingClientRect().left - left));
})"""


@pytest.mark.parametrize("name", ["book/forward", "book/chain-rule"])
def test_formulas_are_left_to_right_in_any_page(book: Path, browser: Browser, name: str) -> None:
    visit = open_page(browser, (book / f"{name}.html").as_uri(), name, "light")
    before = visit.page.evaluate(SIGNS)
    assert len(before) > 20 and sum(map(len, before)) > 200
    visit.page.evaluate("document.documentElement.dir = 'rtl'")
    visit.page.wait_for_timeout(200)
    after = visit.page.evaluate(SIGNS)
    code = visit.page.locator("article pre").first
    assert code.evaluate("e => getComputedStyle(e).direction") == "ltr"
    visit.page.close()
    off = [
        k
        for k, (here, there) in enumerate(zip(before, after, strict=True))
        if max(map(abs, map(int.__sub__, here, there)), default=0) > 1
    ]
    assert off == []


def test_the_first_page_leads_into_the_book(book: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto((book / "index.html").as_uri(), wait_until="commit")
    page.wait_for_url(f"**/{toc_pages()[0]}.html")
    page.close()
