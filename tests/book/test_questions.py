"""The exercises of the built book: how many there are, and every question in the page answered, rightly and wrongly."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser

from tests.book.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


def exercises(path: Path) -> list[str]:
    """The titles of a page's exercises."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    pool = re.findall(r"^\(ex-[\w-]+\)=\n### (.+)$", text, re.MULTILINE)
    return pool + re.findall(r"^\*\*\d+\. ([^*]+?)\.?\*\*", text.partition("## Exercises")[2], re.MULTILINE)


def questions(path: Path) -> list[str]:
    """The cells that ask something."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code" and "mlp.Question." in cell.source]


REFUSED, UNMOVED = ("Choose one first.", "Choose first: tick what applies."), "Move the steps first."
ASKING = [path for path in NOTEBOOKS if questions(path)]


def test_there_are_enough_exercises_and_most_are_checked() -> None:
    assert sum(len(exercises(path)) for path in NOTEBOOKS) >= 50
    assert sum(len(questions(path)) for path in NOTEBOOKS) >= 30


def test_no_two_questions_have_the_same_name() -> None:
    names = [re.findall(r'name="(ask-[\w-]+)"', source) for path in NOTEBOOKS for source in questions(path)]
    assert all(len(found) == 1 for found in names)
    assert len({found[0] for found in names}) == len(names)


def written(field: dict[str, Any], answer: list[float]) -> str:
    """An answer as a reader would write it."""
    return f"({', '.join(map(str, answer))})" if field.get("shape") else str(answer[0])


def fill(view: Any, told: dict[str, Any], changed: int | None = None, answer: list[float] | None = None) -> None:
    """Fill in the right answers, with one that is changed."""
    for k, field in enumerate(told["fields"]):
        view.locator("input").nth(k).fill(written(field, answer if k == changed and answer else field["answer"]))


def put_in_order(view: Any, told: dict[str, Any]) -> None:
    """Move every step up to where it may stand."""
    left, order = set(range(len(told["steps"]))), []
    while left:
        order.append(min(k for k in left if left.isdisjoint(told["needs"][k])))
        left.remove(order[-1])
    for place, k in enumerate(order):
        while view.locator(".mlp-step").all_inner_texts().index(told["steps"][k]) > place:
            view.get_by_role("button", name=f"Move {told['steps'][k]} up", exact=True).click()


def tick(view: Any, told: dict[str, Any], wrong: int | None = None) -> None:
    """The right options, but for one."""
    for k, option in enumerate(told["options"]):
        if told["several"]:
            view.locator("input").nth(k).set_checked(option["right"] != (k == wrong))
        elif k == wrong or (wrong is None and option["right"]):
            view.locator("input").nth(k).check()


def check(view: Any) -> str:
    view.get_by_role("button", name="Check", exact=True).click()
    return str(view.locator(".mlp-answered").inner_text())


def attempts(view: Any, told: dict[str, Any]) -> list[tuple[str, str]]:
    """Every wrong answer that has a reason, and the right one last: what is said, and what should be."""
    found = []
    if told["kind"] == "fields":
        for k, field in enumerate(told["fields"]):
            for value, words in field["wrong"]:
                fill(view, told, k, value)
                found.append((check(view), words))
            fill(view, told, k, [3 * size + 1 for size in field["answer"]] or [5, 5])
            found.append((check(view), field["other"]))
        fill(view, told)
    elif told["kind"] == "choices":
        found.append((check(view), REFUSED[told["several"]]))
        for k, option in enumerate(told["options"]):
            if told["several"] or not option["right"]:
                tick(view, told, k)
                first = check(view)
                if told["several"] and any(box.is_checked() for box in view.locator("input").all()):
                    assert "1 of the" in first, told["name"]
                    first = check(view)
                    found.append((first, option["why"]))
                elif not told["several"]:
                    found.append((first, option["why"]))
        tick(view, told)
    else:
        found.append((check(view), UNMOVED))
        view.get_by_role("button", name=re.compile("^Move .* down")).first.click()
        check(view)
        found.append((check(view), "later here."))
        put_in_order(view, told)
    return [*found, (check(view), "✓ Right.")]


@pytest.mark.parametrize("path", ASKING, ids=lambda path: path.stem)
def test_every_question_of_a_page_is_answered_with_its_reasons(path: Path, book: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto((book / "book" / f"{path.stem}.html").as_uri())
    figures = page.locator('figure[data-view="question"]')
    assert figures.count() == len(questions(path))
    for figure in figures.all():
        told = json.loads(figure.locator('script[type="application/json"]').text_content() or "")["state"]
        view = figure.locator(".mlp-question")
        assert view.locator("legend").inner_text() == told["ask"]
        for said, words in attempts(view, told):
            assert words in said, f"{told['name']}: {said!r}"
            if words not in (*REFUSED, UNMOVED):
                assert said.startswith("✓ Right." if words == "✓ Right." else "✗ Not yet.")
    page.close()
    assert trouble == []
