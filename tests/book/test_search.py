"""The search of the built book, from disk: words that learners know lead where they should, and none stops it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

# A word, and the pages (or the entries of the glossary) that may come first.
LEADS = {
    "zero_grad": "glossary#term-zero_grad",
    "retain_graph": "glossary#term-retain_graph",
    "requires_grad": "glossary#term-requires_grad",
    "no_grad": "glossary#term-no_grad",
    "detach": "glossary#term-detach",
    "neuron": "glossary#term-neuron",
    "neurons": "glossary",
    "kink": "glossary#term-kink",
    "autodiff": "glossary#term-autodiff",
    "autograd": "glossary#term-autograd",
    "backprop": "glossary#term-backprop",
    "backpropagation": "backward",
    "dead relu": "glossary#term-dead-relu",
    "1797": "glossary#term-1797",
    "bfloat16": "glossary#term-bfloat16",
    "skip connection": "glossary#term-skip-connection",
    "gradient accumulation": "glossary#term-gradient-accumulation",
    "gradient checkpointing": "glossary#term-gradient-checkpointing",
    "exploding gradient": "glossary#term-exploding-gradient",
    "vanishing gradient": "glossary#term-vanishing-gradient",
    "chain rule": "glossary#term-chain-rule",
    "Jacobian": "glossary#term-Jacobian",
    "learning rate": "glossary#term-learning-rate",
    "softmax": "glossary#term-softmax",
    "weight decay": "glossary#term-weight-decay",
    "computational graph": "glossary#term-computational-graph",
    "out of memory": "training memory",
    "loss.backward": "summary memory glossary",
    "adam": "api-passes#mlp.adam",
}
# Every name that a plain object of JavaScript has without being given it; a reader's words are looked up in lower case.
OF_OBJECTS = [
    *("constructor", "__proto__", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString"),
    *("toString", "valueOf", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
]


@pytest.fixture(scope="module")
def page(book: Path, browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("file:") else trouble.append(request.url))
    yield page
    page.close()
    assert trouble == []


def search(page: Page, book: Path, words: str) -> list[str]:
    """Where the results lead, in their order; the page says how many there are."""
    page.goto(f"{(book / 'search.html').as_uri()}?q={quote(words)}")
    page.wait_for_function("document.querySelector('.search-summary')?.innerText")
    said = page.locator(".search-summary").inner_text()
    links = page.locator("ul.search > li > a")
    found = [str(link.get_attribute("href")) for link in links.all()]
    assert "undefined" not in " ".join([*found, *links.all_inner_texts()])
    number = re.search(r"found (\d+) page", said)
    assert int(number[1]) == len(found) if number else "did not match any documents" in said and found == []
    return found


@pytest.mark.parametrize("words", LEADS)
def test_a_learners_word_leads_where_it_should(page: Page, book: Path, words: str) -> None:
    first, *_ = search(page, book, words)
    path, _, anchor = first.removeprefix("book/").partition("#")
    here = path.removesuffix(".html")
    assert here in LEADS[words].split() or f"{here}#{anchor}" in LEADS[words].split(), first
    text = (book / first.partition("#")[0]).read_text("utf-8")
    assert not anchor or f'id="{anchor}"' in text


@pytest.mark.parametrize("words", OF_OBJECTS)
def test_a_name_that_objects_have_by_themselves_finds_nothing(page: Page, book: Path, words: str) -> None:
    for asked in (words, words.lower(), f"{words} relu", f"-{words}"):
        found = search(page, book, asked)
        assert found == [] or "relu" in asked


def test_no_words_stop_the_search(page: Page, book: Path) -> None:
    rng = np.random.default_rng(0)
    signs = list("abcdeWx0189 _.-+*/\\()[]{}<>&%'\"#?=φη∂⁽²⁾")
    for _ in range(25):
        words = "".join(rng.choice(signs, size=int(rng.integers(1, 12)))).strip()
        if words:
            search(page, book, words)
