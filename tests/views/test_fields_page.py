"""Number fields of every view, typed key by key: nothing else writes into them, and nothing complains too early."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page

from mlp.examples import running_example
from mlp.views import bundle
from mlp.views.chain_rule import ChainRule
from mlp.views.memory import MemoryView
from mlp.views.one_weight import OneWeight
from mlp.views.state import nested
from mlp.views.stepper import Stepper
from mlp.views.view import Island, View
from tests.views.pages import OpenView, Pages

GRAPH, VALUES = running_example()

# --- with a kernel that answers -------------------------------------------------------------------------------------

# As an anywidget in JupyterLab: Python takes over what is sent, and what it makes of it comes back, later.
LIVE = """async told => {
  const base = islandModel(told);
  const answered = async () => {
    const sent = base.get("values");
    const answer = await python(sent);
    if (JSON.stringify(answer) !== JSON.stringify(sent)) base.set("values", answer);
    window.answers = (window.answers ?? 0) + 1;
  };
  document.body.innerHTML = '<div id="place"></div>';
  renderView({ ...base, save_changes: answered }, document.getElementById("place"));
  document.querySelectorAll("details").forEach(d => { d.open = true; });
}"""


def live(page: Page, view: View) -> None:
    """Show a view in a page, with its own Python object as the kernel's side."""

    def python(values: dict[str, Any]) -> dict[str, Any]:
        view.values = values
        return view.values

    page.expose_function("python", python)
    told = {"state": json.loads(view.state), **view._now(), "svg": getattr(view, "svg", "")}
    page.evaluate(f"told => {{ {bundle.fragments()} return ({LIVE})(told); }}", told)


ENTRY = "W⁽²⁾ row 2, column 1"
SINGLE = GRAPH.with_dtype("float32")
SINGLES = {name: array.astype("float32") for name, array in VALUES.items()}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stepper(SINGLE, SINGLES, step=2),
        lambda: OneWeight(SINGLE, SINGLES),
        lambda: ChainRule(SINGLE, SINGLES),
    ],
    ids=["stepper", "one weight", "chain rule"],
)
def test_a_number_typed_key_by_key_in_float32_is_the_number_that_was_typed(
    browser: Browser, make: Callable[[], View]
) -> None:
    page, view = browser.new_page(), make()
    live(page, view)
    field = page.get_by_label(ENTRY, exact=True).and_(page.locator("input[type=text]")).first
    rng = np.random.default_rng(1)
    texts = ["0.123", "−1.7", "0,3", "0.123456789012", "1e-3", *(f"{x:.5g}" for x in rng.normal(size=3))]
    for text in texts:
        field.focus()
        page.keyboard.press("ControlOrMeta+a")
        for count, key in enumerate(text, 1):
            page.keyboard.type(key)
            page.wait_for_timeout(20)  # Python answers
            assert field.input_value() == text[:count]
        typed = np.float32(text.replace("−", "-").replace(",", "."))
        field.blur()
        page.wait_for_timeout(50)
        assert np.float32(view.values["W2"][1][0]) == typed
        assert view.values["W2"][1][0] == float(str(typed))  # as NumPy prints it
        assert np.float32(field.input_value().replace("−", "-")) == pytest.approx(typed, rel=1e-5)
        field.focus()
        assert float(field.input_value().replace("−", "-")) == float(str(typed))  # all its digits
    assert page.evaluate("window.answers") >= sum(map(len, texts)) - 20
    page.close()


def test_single_precision_is_told_in_the_shortest_decimals_that_read_back() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view("float32")
    every = np.concatenate([bits[np.isfinite(bits)], np.float32([0.1, -0.0, 1, 16777216, 1e-45])]).reshape(-1, 1)
    told = nested(every)
    assert (np.array(told).astype("float32") == every).all()
    assert [repr(entry) for [entry] in told] == [repr(float(str(entry))) for [entry] in every]
    assert nested(np.float32(0.1) * np.ones((), "float32")) == 0.1
    assert nested(np.array([[0.1]])) == [[0.1]]


# --- what is not finished is no error -------------------------------------------------------------------------------


# Every view with number fields, and fields of every kind in it; whether numbers there may have a sign.
MADE: dict[str, tuple[Callable[[], Island], list[tuple[str, bool]]]] = {
    "stepper": (
        lambda: Stepper(GRAPH, VALUES, step=2),
        [(f"input[aria-label='{ENTRY}']", True), (".mlp-more .mlp-setting input >> nth=0", False)],
    ),
    "update": (
        lambda: Stepper(GRAPH, VALUES, step=13),
        [(".mlp-update input", False), ("input[aria-label='x row 1, column 1']", True)],
    ),
    "one weight": (lambda: OneWeight(GRAPH, VALUES), [(".mlp-mover input[type=text]", True)]),
    "chain rule": (lambda: ChainRule(GRAPH, VALUES), [(f"input[aria-label='{ENTRY}']", True)]),
    "memory": (lambda: MemoryView(), [("input[aria-label='budget, MB']", False)]),
}
FIELDS = [(make, field, signed) for make, fields in MADE.values() for field, signed in fields]
IDS = [f"{name} {k}" for name, (_, fields) in MADE.items() for k in range(len(fields))]


def numbers(signed: bool, seed: int) -> list[str]:
    """Small numbers as people write them."""
    rng = np.random.default_rng(seed)
    found = ["0.05", ".5", "0,125", "2e-1", "1E+0", "0.0003"]
    for size in rng.uniform(0.001, 3, 2):
        found += [f"{size:.3g}", f"{size:.2e}", f"{size:.4f}".replace(".", ",")]
    signs = ["", "-", "−", "+"] if signed else ["", "+"]
    return [str(rng.choice(signs)) + text for text in found]


def typed(visit: OpenView, field: Locator, text: str) -> None:
    """Write it key by key; whatever is complained of on the way fails."""
    field.focus()
    visit.page.keyboard.press("ControlOrMeta+a")
    visit.page.keyboard.press("Backspace")
    assert alerts(visit) == []
    for count, key in enumerate(text, 1):
        visit.page.keyboard.type(key)
        assert alerts(visit) == [], text[:count]
        assert field.get_attribute("aria-invalid") is None, text[:count]
        assert field.input_value() == text[:count]


def alerts(visit: OpenView) -> list[str]:
    return visit.page.evaluate(  # type: ignore[no-any-return]
        "[...document.querySelectorAll('[role=alert]')].map(e => e.textContent).filter(Boolean)"
    )


@pytest.mark.parametrize(("make", "selector", "signed"), FIELDS, ids=IDS)
def test_a_number_is_complained_of_when_it_is_finished_and_not_before(
    pages: Pages, make: Callable[[], Island], selector: str, signed: bool
) -> None:
    visit = pages.open(OpenView, [make().island()])
    visit.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    visit.settle()
    field = visit.find(selector)
    for text in numbers(signed, len(selector)):
        typed(visit, field, text)
        field.blur()
        assert alerts(visit) == []
        good = field.input_value()
        assert float(good.replace("−", "-")) == pytest.approx(float(re.sub("−", "-", text).replace(",", ".")), rel=1e-5)
    for text in ("-", "2e", "2e-", ".", "+", ""):
        typed(visit, field, "2")
        typed(visit, field, text)
        field.press("Enter")
        said = "The field is empty" if not text else f"“{text}” is no number"
        assert [said in alert and "It stays 2." in alert for alert in alerts(visit)] == [True]
        assert field.get_attribute("aria-invalid") == "true"
        if text:
            typed(visit, field, text)  # what was said is taken back
        field.blur()
        assert len(alerts(visit)) == 1 and said in alerts(visit)[0]
        assert field.input_value() == "2" and field.get_attribute("aria-invalid") is None
    for text in ("abc", "1.2.3", "2ee", "1e400", "<b>"):
        field.fill(text)  # no key can save it: it is said at once
        assert len(alerts(visit)) == 1 and field.get_attribute("aria-invalid") == "true", text
        field.fill("2")
        assert alerts(visit) == []


def test_a_rate_of_zero_is_refused_when_the_field_is_left(pages: Pages) -> None:
    """0 is a number, and the beginning of 0.05: it is not refused while it is written."""
    visit = pages.open(OpenView, [Stepper(GRAPH, VALUES, step=13).island()])
    rate = visit.find(".mlp-update input")
    typed(visit, rate, "0.0")
    rate.blur()
    assert alerts(visit) == ["learning rate η: A learning rate has to be more than 0. It stays 0.01."]
    assert rate.input_value() == "0.01"


def test_every_field_for_a_number_is_of_the_kind_that_is_tried_here() -> None:
    """Fields are made in one place, and each view that has some is above; questions are answered when they are sent."""
    folder = files("mlp.views") / "js"
    made = {name for name in bundle.FRAGMENTS if "numberField(" in (folder / name).read_text("utf-8")}
    assert made == {"kit.js", "stepper.js", "one_weight.js", "chain_rule.js", "memory.js"}
