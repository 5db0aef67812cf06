"""The stepper in a page opened from disk, with no kernel: every stop reached, every number right, everyone served."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from statistics import quantiles
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from mlp import network, trace, value_and_grad
from mlp.draw import to_svg
from mlp.draw.labels import unicode_name
from mlp.engine import Trace
from mlp.examples import diamond, running_example
from mlp.graph import Graph
from mlp.ops import ACTIVATIONS, Array
from mlp.text import number
from mlp.views import bundle
from mlp.views.state import PANELS, Stop, stops
from mlp.views.stepper import Stepper
from tests.cases import random_values
from tests.everyone import barriers, overflow, violations
from tests.views.pages import LOOKS, OpenView, Pages, tampered
from tests.views.shipped import minified

GRAPH, VALUES = running_example()
WALK = stops(GRAPH)
Values = dict[str, Array]


class Visit(OpenView):
    """A stepper in a page."""

    outermost = ".mlp-stepper"

    @property
    def count(self) -> str:
        return str(self.find(".mlp-count").inner_text())

    def go(self, step: int) -> None:
        """To a stop, by the list of stops."""
        self.find(".mlp-stops").select_option(str(step))

    def open_all(self) -> None:
        self.page.evaluate("document.querySelectorAll('.mlp-stepper details').forEach(d => { d.open = true; })")
        self.settle()

    def tables(self, panel: str = "numbers") -> dict[str, list[str]]:
        """The tables of a panel: from caption to entries as text, row by row."""
        return self.page.evaluate(  # type: ignore[no-any-return]
            """panel => Object.fromEntries([...document.querySelector(`.mlp-panel-${panel}`).querySelectorAll("table")]
              .map(t => [t.caption.textContent,
                [...t.querySelectorAll("tbody td")].map(c => c.querySelector("input")?.value ?? c.textContent)]))""",
            panel,
        )

    def entry(self, name: str, row: int, column: int) -> Any:
        label = f"{unicode_name(name)} row {row}, column {column}"
        return self.root.get_by_label(label, exact=True)

    def reason(self, control: Any) -> str:
        """Why a field's content was refused, as it is said where the field stands."""
        complaint = self.page.locator(f"#{control.get_attribute('aria-describedby')}")
        assert complaint.get_attribute("role") == "alert"
        return str(complaint.text_content())

    @property
    def changes(self) -> str:
        return str(self.find(".mlp-changes").text_content())


Opens = Callable[..., Visit]


@pytest.fixture
def opens(pages: Pages) -> Opens:
    def make(
        *islands: str, look: str = "light", address: str = "", motion: str = "no-preference", touch: bool = False
    ) -> Visit:
        shown = islands or [Stepper(GRAPH, VALUES).island()]
        screen = {"has_touch": touch, "is_mobile": touch, "reduced_motion": motion}
        return pages.open(Visit, shown, look, address=address, **screen)

    return make


@pytest.fixture
def visit(opens: Opens) -> Visit:
    return opens()


def objective(values: Values, graph: Graph = GRAPH) -> float:
    return value_and_grad(graph, values)[0]


def with_entry(name: str, row: int, column: int, entry: float, values: Values = VALUES) -> Values:
    changed = {key: array.copy() for key, array in values.items()}
    changed[name][row - 1, column - 1] = entry
    return changed


# --- every stop, by every way ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["light", "phone"])
def test_every_stop_is_reached_by_the_mouse(opens: Opens, look: str) -> None:
    visit = opens(look=look)
    for position, stop in enumerate(WALK, 1):
        assert visit.count == f"{position} of {len(WALK)}"
        assert visit.find(".mlp-words").inner_text() == stop.words
        assert visit.find(".mlp-phase[aria-current]").inner_text().endswith(stop.phase)
        if position < len(WALK):
            visit.button("Next").click()
    assert visit.button("Next").get_attribute("aria-disabled") == "true"
    visit.button("Back").click()
    assert visit.count == f"{len(WALK) - 1} of {len(WALK)}"
    visit.button("First").click()
    assert visit.count == f"1 of {len(WALK)}"
    visit.button("Last").click()
    assert visit.count == f"{len(WALK)} of {len(WALK)}"


@pytest.mark.parametrize("look", ["light", "phone"])
def test_every_stop_is_reached_by_the_keyboard_alone(opens: Opens, look: str) -> None:
    visit = opens(look=look)
    press = visit.page.keyboard.press
    for _ in range(60):
        press("Tab")
        if visit.page.evaluate("document.activeElement.matches('.mlp-next')"):
            break
    for position in range(1, len(WALK) + 1):
        assert visit.count == f"{position} of {len(WALK)}"
        press("ArrowRight")
    for key, count in {"Home": 1, "End": len(WALK), "ArrowLeft": len(WALK) - 1}.items():
        press(key)
        assert visit.count == f"{count} of {len(WALK)}"
    press("Home")
    press("Enter")  # on Next
    assert visit.count == f"2 of {len(WALK)}"


def test_keys_are_the_steppers_only_while_it_has_the_focus(visit: Visit) -> None:
    visit.page.locator("#elsewhere").focus()
    for key in ("ArrowRight", "End", "Home", " "):
        visit.page.keyboard.press(key)
    assert visit.count == f"1 of {len(WALK)}"
    visit.find("td > input").focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("End")
    assert visit.count == f"1 of {len(WALK)}"
    visit.page.locator("h1").click()
    visit.page.keyboard.press("ArrowRight")
    assert visit.count == f"1 of {len(WALK)}"


def test_scrubber_and_list_name_their_stops(visit: Visit) -> None:
    scrubber = visit.find(".mlp-scrubber")
    scrubber.focus()
    visit.page.keyboard.press("ArrowRight")
    assert visit.count == f"2 of {len(WALK)}"
    assert scrubber.get_attribute("aria-valuetext") == f"2 of {len(WALK)}, forward: {WALK[1].title}"
    visit.go(9)
    assert scrubber.get_attribute("aria-valuetext") == f"10 of {len(WALK)}, backward: {WALK[9].title}"


def test_each_stop_is_announced_in_words_with_what_it_makes(opens: Opens) -> None:
    graph, values = diamond()
    visit, walk, made = opens(Stepper(graph, values).island()), stops(graph), {}
    for position, stop in enumerate(walk):
        visit.go(position)
        start = f"Stop {position + 1} of {len(walk)}, {stop.phase}. {stop.words}"
        assert visit.said.startswith(start)
        made[stop.id] = visit.said.removeprefix(start).strip()
    assert made["z"] == "z is 3, 2, −2, 1." and made["J"] == "J is 7."
    assert made["dJ-dh"] == "∂J/∂h so far is 1.5, 1, 0, 0.5." and made["dJ-dh~2"] == "∂J/∂h is 2.5, 0, −3, 2.5."
    assert made["dJ-dW1"] == ""  # twelve numbers are for the table
    assert made["update"].startswith("This update takes J from 7 to ")


def test_a_stop_that_is_broken_on_purpose_is_announced_so(visit: Visit) -> None:
    visit.open_all()
    visit.find("[data-mistake=overwrite]").click()
    visit.go(9)
    assert visit.said.endswith("Final. Broken on purpose: what was there is replaced, not added to.")


def test_a_change_is_announced_once_it_is_written(visit: Visit) -> None:
    field = visit.entry("W1", 1, 1)
    field.fill("1.5")
    visit.page.wait_for_function("document.querySelector('.mlp-stepper > [role=status]').textContent.includes('Your')")
    assert visit.said == f"Your numbers: J = {number(objective(with_entry('W1', 1, 1, 1.5)), 5)}; the book's give 3.5."
    field.fill("1")
    visit.page.wait_for_function("document.querySelector('.mlp-stepper > [role=status]').textContent.includes('The')")
    assert visit.said == "The book's numbers."
    field.fill("3")
    visit.button("Next").click()  # what was still to be said is old now
    visit.page.wait_for_timeout(800)
    assert visit.said.startswith(f"Stop 2 of {len(WALK)}")


def test_an_update_that_changes_nothing_or_too_much_says_so(visit: Visit) -> None:
    visit.open_all()
    visit.go(13)
    rate = visit.find(".mlp-update input")
    rate.fill("1e300")
    assert visit.find(".mlp-outlook").inner_text() == "This update would take J beyond what a float64 holds."
    visit.button("Update, and step again").click()
    assert "finite" in visit.reason(rate) and visit.count == f"14 of {len(WALK)}"
    visit.button("Reset").click()
    visit.find(".mlp-more").get_by_label("λ in s").fill("0")
    for row in (1, 2):
        for column in range(1, 5):
            visit.entry("W2", row, column).fill("0")
    for row in range(1, 5):
        for column in range(1, 4):
            visit.entry("W1", row, column).fill("0")
    assert visit.find(".mlp-outlook").inner_text() == "This update takes J from 0.5 to 0.5, no change."


def test_play_walks_by_itself_and_announces_phases_only(opens: Opens) -> None:
    visit = opens(motion="reduce")
    assert visit.count == f"1 of {len(WALK)}"  # never by itself
    visit.go(4)
    visit.page.clock.install()
    visit.button("Play").click()
    said = []
    for _ in range(3):
        visit.page.clock.run_for(1800)
        said.append((visit.count, visit.said))
    assert said[0] == (f"6 of {len(WALK)}", f"Stop 5 of {len(WALK)}, forward. {WALK[4].words} s is 1.")
    assert said[1] == (f"7 of {len(WALK)}", "Backward.")
    assert said[2] == (f"8 of {len(WALK)}", "Backward.")
    visit.button("Pause").click()
    assert visit.said.startswith(f"Stop 8 of {len(WALK)}, backward.")
    visit.page.clock.run_for(10_000)
    assert visit.count == f"8 of {len(WALK)}"


def test_space_plays_where_no_control_has_the_focus(visit: Visit) -> None:
    visit.find(".mlp-words").click()
    visit.page.keyboard.press(" ")
    assert visit.button("Pause").count() == 1
    visit.page.keyboard.press(" ")
    assert visit.button("Play").count() == 1
    visit.find(".mlp-scrubber").focus()  # where it means nothing else
    visit.page.keyboard.press(" ")
    assert visit.button("Pause").count() == 1
    visit.page.keyboard.press(" ")
    visit.entry("W1", 1, 1).focus()
    visit.page.keyboard.press(" ")
    assert visit.button("Play").count() == 1


def test_a_node_leads_to_the_step_that_made_it(visit: Visit) -> None:
    visit.go(9)
    visit.find(".mlp-node[data-variable=z]").click()
    assert visit.count == f"{1 + [stop.id for stop in WALK].index('dJ-dz')} of {len(WALK)}"
    visit.go(5)
    visit.find(".mlp-node[data-variable=h]").focus()
    card = visit.find(".mlp-card")
    assert "Made by h = relu(z). Read by o = W⁽²⁾ h." in card.inner_text()
    assert card.locator("td").all_inner_texts()[-4:] == ["3", "2", "0", "1"]
    visit.page.keyboard.press("Enter")
    assert visit.count == f"2 of {len(WALK)}"
    assert visit.find(".mlp-node[data-variable=h]").get_attribute("aria-label") == "h, 4×1, 3, 2, 0, 1"
    visit.button("Close").click()
    assert not card.is_visible()


def test_the_graph_lights_what_the_step_uses(opens: Opens) -> None:
    visit = opens(Stepper(*diamond()).island())
    walk = stops(diamond()[0])
    visit.go([stop.id for stop in walk].index("dJ-dh"))
    classes = visit.find(".mlp-node[data-variable=h]").get_attribute("class").split()
    assert {"mlp-current", "mlp-filled", "mlp-pending"} <= set(classes)
    assert "not final yet" in visit.find(".mlp-node[data-variable=h]").get_attribute("aria-label")
    lit = visit.page.evaluate("[...document.querySelectorAll('.mlp-edge.mlp-current')].map(e => e.dataset.equation)")
    assert sorted(lit) == ["5", "5"]
    visit.go([stop.id for stop in walk].index("dJ-dh~2"))
    assert "mlp-pending" not in visit.find(".mlp-node[data-variable=h]").get_attribute("class").split()


def cone(visit: Visit) -> set[str]:
    """The squares that are lit as one cone."""
    lit = "[...document.querySelectorAll('.mlp-node.mlp-cone[data-variable]')].map(n => n.dataset.variable)"
    faded = "document.querySelectorAll('.mlp-node.mlp-faded').length > 0"
    names = set(visit.page.evaluate(lit))
    assert visit.page.evaluate(faded) == (bool(names) and names != set(GRAPH.variables))
    return names


@pytest.mark.parametrize("name", list(GRAPH.variables))
def test_a_chosen_node_lights_what_depends_on_it_and_what_it_depends_on(visit: Visit, name: str) -> None:
    node = visit.find(f".mlp-node[data-variable={name}]")
    assert cone(visit) == set()
    node.focus()
    assert cone(visit) == GRAPH.descendants(name)
    card = visit.find(".mlp-card")
    others = [unicode_name(other) for other in GRAPH.variables if other in GRAPH.descendants(name) - {name}]
    listed = " and ".join(filter(None, [", ".join(others[:-1]), *others[-1:]]))
    depend = "depend" if len(others) > 1 else "depends"
    own = unicode_name(name)
    said = f"On {own} {depend} {listed}, and nothing else." if others else f"Nothing depends on {own}."
    assert said in card.inner_text()
    for other in GRAPH.variables:
        label = visit.find(f".mlp-node[data-variable={other}]").get_attribute("aria-label")
        assert label.endswith(f", depends on {own}") == (other in GRAPH.descendants(name) - {name})
    card.get_by_label("Light up").select_option("up")
    assert cone(visit) == GRAPH.ancestors(name)
    lit = visit.page.evaluate(
        "[...document.querySelectorAll('.mlp-node.mlp-cone[data-equation]')].map(n => +n.dataset.equation)"
    )
    assert lit == [k for k, equation in enumerate(GRAPH.equations) if equation.output in GRAPH.ancestors(name)]
    visit.page.keyboard.press("Escape")
    assert cone(visit) == set()


def test_an_edit_lights_what_it_can_reach_and_says_what_it_reached(opens: Opens) -> None:
    visit = opens(Stepper(GRAPH, VALUES, show=("graph",)).island())
    visit.find(".mlp-node[data-variable=W2]").focus()
    entry = visit.entry("W2", 1, 2)
    entry.fill("1.5")
    assert cone(visit) == GRAPH.descendants("W2")
    assert "A change of W⁽²⁾ can reach o, L, s and J; this one did." in visit.changes
    entry.press("Tab")
    visit.page.keyboard.press("7")  # the third unit is silent
    assert visit.entry("W2", 1, 3).input_value() == "7"
    assert "this one reached s and J." in visit.changes
    visit.button("Next").click()
    assert "can reach" not in visit.changes and cone(visit) == GRAPH.descendants("W2")  # as the card asks
    visit.button("Reset").click()
    assert visit.entry("W2", 1, 3).input_value() == "−1"


# --- the numbers ----------------------------------------------------------------------------------------------------


def expected(graph: Graph, run: Trace, stop: Stop) -> dict[str, Array]:
    """What a stop reads and writes, by the beginning of its caption."""
    found: dict[str, Array] = {}
    sums: dict[str, Array] = {}
    for step in run:
        for name, share in step.contributions.items():
            sums[name] = sums[name] + share if name in sums else share
        if step.index not in stop.steps:
            continue
        if step.phase == "forward":
            found |= {unicode_name(name): run[name] for name in (*step.reads, step.writes[0])}
            continue
        slope = f"∂{graph.objective}/∂{unicode_name(step.variable)}"
        if step.writes[0] not in step.born:
            found[f"{slope}, this instalment"] = step.contributions[step.variable]
        found[slope] = sums[step.variable]
        found |= {unicode_name(name): run[name] for name in step.reads if name in graph.variables}
    return found


@pytest.mark.parametrize(
    ("graph", "values"), [running_example(), running_example(5), running_example(2, "tanh"), diamond()]
)
def test_every_stop_shows_the_numbers_of_the_trace(opens: Opens, graph: Graph, values: Values) -> None:
    visit, run = opens(Stepper(graph, values).island()), trace(graph, values)
    for position, stop in enumerate(stops(graph)[:-1]):
        visit.go(position)
        shown = visit.tables()
        for name, array in expected(graph, run, stop).items():
            caption = next(c for c in shown if c.startswith(f"{name} "))
            given = name in map(unicode_name, graph.given)
            written = [f"{entry:g}".replace("-", "−") if given else number(entry) for entry in array.ravel()]
            assert shown[caption] == written, (stop.id, name)


def test_the_formula_has_symbols_with_shapes_and_then_the_numbers(visit: Visit) -> None:
    visit.go(9)
    symbols, filled = visit.page.evaluate(
        "[...document.querySelectorAll('.mlp-formula')].map(f => f.textContent.replace(/\\s/g, ' '))"
    )
    assert "2×4" in symbols and "4×1" in symbols and "@" not in symbols
    assert "3−20" not in filled and "3−6" not in filled
    numbers = re.sub(r"[^\d.−]+", " ", filled.split(", added to")[0]).split()
    assert numbers == ["1−23201", "320 1−6−40−2".replace(" ", "")]


def test_an_edit_changes_j_as_python_computes_it(visit: Visit) -> None:
    for name, row, column, text, entry in [
        ("W1", 1, 2, "0.5", 0.5),
        ("W1", 1, 2, "−1,5", -1.5),
        ("x", 3, 1, "2e-1", 0.2),
    ]:
        visit.entry(name, row, column).fill(text)
        got = re.search(r"J = (\S+);", visit.changes)
        assert got is not None
        values = with_entry(name, row, column, entry, with_entry("W1", 1, 2, -1.5) if name == "x" else VALUES)
        assert got[1] == number(objective(values), 5)
    visit.go(12)
    run = trace(GRAPH, values)
    shown = next(entries for caption, entries in visit.tables().items() if caption.startswith("∂J/∂W⁽¹⁾ 4×3"))
    assert shown == [number(entry) for entry in run["dJ/dW1"].ravel()]


def test_any_given_entry_can_be_edited_at_any_stop(visit: Visit) -> None:
    visit.open_all()
    for position in range(len(WALK)):
        visit.go(position)
        fields = visit.page.locator(".mlp-panel-numbers td > input").count()
        assert fields == sum(VALUES[name].size for name in GRAPH.given)


def test_weight_decay_and_learning_rate_can_be_edited(visit: Visit) -> None:
    visit.open_all()
    visit.find(".mlp-more").get_by_label("λ in s").fill("0.2")
    assert f"J = {number(4.5, 5)};" in visit.changes
    visit.go(7)
    assert "0.2·W⁽¹⁾" in visit.find(".mlp-panel-rule").inner_text()
    assert "0.2" in visit.page.locator(".mlp-formula").nth(1).inner_text()
    visit.go(13)
    visit.find(".mlp-update input").fill("0.01")
    assert visit.find(".mlp-more").get_by_label("learning rate η").input_value() == "0.01"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The field is empty"),
        ("abc", "“abc” is no number"),
        ("1e400", "too large"),
        ("1e200", "finite"),
        ("<b>1</b>", "“<b>1</b>” is no number"),
        ("NaN", "is no number"),
        ("Infinity", "is no number"),
    ],
)
def test_bad_input_is_refused_where_it_stands(visit: Visit, text: str, reason: str) -> None:
    cell = visit.entry("W1", 1, 1)
    visit.enter(cell, text)
    assert cell.get_attribute("aria-invalid") == "true"
    assert reason in visit.reason(cell) and "It stays 1." in visit.reason(cell)
    assert visit.tables()["z 4×1, written"] == ["3", "2", "−2", "1"]
    cell.blur()
    assert cell.input_value() == "1" and cell.get_attribute("aria-invalid") is None
    cell.fill("2")
    assert visit.reason(cell) == ""
    assert visit.tables()["z 4×1, written"] == ["4", "2", "−2", "1"]


def test_labels_stay_one_hot_and_rates_positive(opens: Opens) -> None:
    graph = network([3, 4, 2], activation="relu", loss="cross_entropy", weight_decay=0.1)
    visit = opens(Stepper(graph, VALUES).island())
    visit.open_all()
    visit.enter(visit.entry("y", 1, 1), "0.5")
    assert "one-hot" in visit.reason(visit.entry("y", 1, 1))
    for label, text, reason in [("λ in s", "-1", "0 or more"), ("learning rate η", "0", "more than 0")]:
        knob = visit.find(".mlp-more").get_by_label(label)
        visit.enter(knob, text)
        assert reason in visit.reason(knob)
    assert not visit.find(".mlp-note").is_visible()


@pytest.mark.parametrize("activation", ["identity", "tanh", "sigmoid", "gelu"])
def test_a_switched_activation_is_told_as_python_tells_it(visit: Visit, activation: str) -> None:
    visit.open_all()
    visit.find(".mlp-more").get_by_label("activation").select_option(activation)
    other, _ = running_example(activation=activation)
    run, walk = trace(other, VALUES), stops(other)
    assert f"J = {number(float(run['J']), 5)};" in visit.changes or activation == "identity"
    for position, stop in enumerate(walk[:-1]):
        visit.go(position)
        assert visit.find(".mlp-words").inner_text() == stop.words
        for name, array in expected(other, run, stop).items():
            if name not in map(unicode_name, other.given):
                shown = visit.tables()
                assert shown[next(c for c in shown if c.startswith(f"{name} "))] == [number(e) for e in array.ravel()]
    visit.go(1)
    symbol = {"sigmoid": "σ", "identity": "id"}.get(activation, activation)
    assert visit.find("[data-equation='1'] .mlp-switched").text_content() == symbol
    assert f"def {activation}(" in visit.find(".mlp-panel-code").inner_text()
    visit.find(".mlp-more").get_by_label("activation").select_option("relu")
    assert visit.find(".mlp-words").inner_text() == WALK[1].words
    assert not visit.find(".mlp-note").is_visible()


def test_a_loss_that_the_labels_do_not_fit_is_refused(opens: Opens) -> None:
    visit = opens(Stepper(*running_example(5)).island())
    visit.open_all()
    loss = visit.find(".mlp-more").get_by_label("loss")
    loss.select_option("cross_entropy")
    assert "one-hot" in visit.find(".mlp-more .mlp-complaint").inner_text()
    assert loss.input_value() == "squared_error"


def test_reset_brings_the_books_numbers_back(visit: Visit) -> None:
    visit.open_all()
    visit.entry("W1", 1, 1).fill("7")
    visit.find(".mlp-more").get_by_label("activation").select_option("tanh")
    visit.find("[data-mistake=overwrite]").click()
    visit.button("Reset").click()
    assert visit.entry("W1", 1, 1).input_value() == "1"
    assert visit.tables()["z 4×1, written"] == ["3", "2", "−2", "1"]
    assert visit.find("[data-mistake=overwrite]").get_attribute("aria-pressed") == "false"
    assert visit.find(".mlp-more").get_by_label("activation").input_value() == "relu"
    assert not visit.find(".mlp-note").is_visible()


@pytest.mark.parametrize(
    ("rate", "after"), [("0.01", "2.5496"), ("0.05", "1.0109"), ("0.1", "2.8739"), ("0.2", "14.013")]
)
def test_an_update_takes_one_step_and_begins_again(visit: Visit, rate: str, after: str) -> None:
    visit.go(13)
    visit.find(".mlp-update input").fill(rate)
    assert f"from 3.5 to {after}" in visit.find(".mlp-outlook").inner_text()
    visit.button("Update, and step again").click()
    assert visit.count == f"1 of {len(WALK)}"
    assert visit.said.startswith(f"Update 1: J from 3.5 to {after}. Stop 1 of {len(WALK)}, forward.")
    assert f"now it is {after}" in visit.changes
    _, grads = value_and_grad(GRAPH, VALUES)
    moved = (VALUES["W1"] - float(rate) * grads["W1"]).ravel()
    shown = [float(text.replace("−", "-")) for text in visit.tables()["W⁽¹⁾ 4×3, given"]]
    np.testing.assert_allclose(shown, moved, rtol=1e-12)
    assert visit.page.evaluate("document.activeElement.matches('.mlp-next')")


def test_beside_an_entry_stand_its_curve_its_gradient_and_its_difference(visit: Visit) -> None:
    visit.entry("W1", 1, 1).focus()
    lens = visit.find(".mlp-lens")
    assert "W⁽¹⁾ row 1, column 1 = 1" in lens.inner_text()
    facts = visit.page.evaluate("[...document.querySelectorAll('.mlp-lens td')].map(c => c.textContent)")
    assert facts == ["1.1", "1.1"]
    assert lens.locator("svg title").count() == 1 and lens.locator("svg .mlp-tangent").count() == 1
    lens.get_by_role("slider").press("ArrowRight")
    assert "= 1.1" in lens.inner_text()
    assert visit.entry("W1", 1, 1).input_value() == "1.1"
    visit.button("change the sign").click()
    assert visit.entry("W1", 1, 1).input_value() == "−1.1"
    assert f"J = {number(objective(with_entry('W1', 1, 1, -1.1)), 5)};" in visit.changes


def test_a_slope_beyond_all_numbers_leaves_the_curve(opens: Opens) -> None:
    """An update in mid-pass can take a gradient to infinity while J is still a number."""
    visit = opens(Stepper(GRAPH, VALUES, show=PANELS, name="beyond").island())
    visit.open_all()
    visit.entry("W1", 1, 1).fill("1e120")
    visit.button("update in mid-pass").click()
    visit.entry("W1", 1, 1).focus()
    lens = visit.find(".mlp-lens")
    assert lens.locator("svg .mlp-curve").count() == 1
    assert "NaN" not in lens.locator("svg").evaluate("e => e.outerHTML")
    assert "They disagree" in lens.inner_text()


def test_a_corner_is_called_a_corner(visit: Visit) -> None:
    visit.entry("W1", 4, 3).fill("2")  # then z₄ = 0
    assert visit.tables()["z 4×1, written"][3] == "0"
    assert "A corner: two slopes" in visit.find(".mlp-lens").inner_text()
    assert "φ′(0) = 0" in visit.find(".mlp-lens").inner_text()


def test_instalments_say_what_is_still_owed(visit: Visit) -> None:
    visit.open_all()
    rule = visit.find(".mlp-panel-rule")
    assert "∂J/∂x is not computed: nobody asked for it." in rule.inner_text()
    visit.go(7)
    told = "0.1·W⁽¹⁾. Not final: 1 of 2 instalments is in; z = W⁽¹⁾ x still owes one (stop 13)."
    assert f"∂J/∂W⁽¹⁾ so far: {told}" in rule.inner_text()
    visit.go(12)
    assert "Final: all 2 instalments are in." in rule.inner_text()


def test_the_ledger_says_what_is_kept_and_why(visit: Visit) -> None:
    visit.open_all()
    visit.go(3)
    memory = visit.find(".mlp-panel-memory")
    bars = {"later": "dotted", "kept": "solid", "freed": "dashed"}  # three kinds, each with its own outline
    for state, outline in bars.items():
        bar = memory.locator(f".mlp-life.mlp-{state}").first
        assert bar.is_visible() and bar.evaluate("b => getComputedStyle(b).borderTopStyle") == outline
    rows = {row.split("\t")[0].split()[0]: row for row in memory.locator("tbody tr").all_inner_texts()}
    assert "freed: after stop 2: relu's backward asks h instead" in rows["z"]
    assert "kept: stop 10 multiplies by it and stop 12 asks where it was positive" in rows["h"]
    for position, stop in enumerate(WALK[:-1]):
        visit.go(position)
        alive = trace(GRAPH, VALUES, "residuals").bytes(stop.steps[-1])
        assert memory.locator("p").first.inner_text().startswith(f"{alive:,} bytes")


def test_what_nudging_cannot_tell_is_not_called_right(opens: Opens) -> None:
    graph = network([2] * 21, activation="sigmoid", weight_decay=0.0)
    visit = opens(Stepper(graph, random_values(graph)).island())
    visit.find(".mlp-panel-check summary").click()
    visit.page.wait_for_function(
        "!/Checking|so far/.test(document.querySelector('.mlp-panel-check').textContent)", timeout=20_000
    )
    verdict = visit.find(".mlp-verdict")
    assert verdict.inner_text().startswith("– Not measured: ")
    assert "No other gradient is found wrong" in verdict.inner_text()
    assert "mlp-wrong" not in (verdict.get_attribute("class") or "")
    first = visit.page.locator(".mlp-panel-check tbody tr").last.inner_text()
    assert "– not measured; too small beside J" in first
    assert "✓" not in first


def test_beside_a_corner_a_mistake_is_found(opens: Opens) -> None:
    values = VALUES | {"x": np.ones((3, 1)), "W1": np.full((4, 3), -1e-9 / 3)}
    visit = opens(Stepper(network([3, 4, 2], weight_decay=0.0), values).island())
    visit.open_all()
    assert "Every gradient agrees" in visit.find(".mlp-verdict").inner_text()
    visit.find("[data-mistake=drop_phi]").click()
    assert visit.find(".mlp-verdict").inner_text().startswith("✗ ∂J/∂z is wrong: it says ")


@pytest.mark.parametrize(
    ("mistake", "guilty", "graph"),
    [
        ("overwrite", "W2", GRAPH),
        ("drop_phi", "z", GRAPH),
        ("update_mid_pass", "h", GRAPH),
        ("hasty_order", "z", diamond()[0]),
    ],
)
def test_a_broken_rule_turns_the_guilty_node_red(opens: Opens, mistake: str, guilty: str, graph: Graph) -> None:
    visit = opens(Stepper(graph, VALUES).island())
    visit.open_all()
    assert "Every gradient agrees" in visit.find(".mlp-verdict").inner_text()
    visit.find(f"[data-mistake={mistake}]").click()
    assert visit.find(f"[data-mistake={mistake}]").get_attribute("aria-pressed") == "true"
    assert visit.find(".mlp-verdict").inner_text().startswith(f"✗ ∂J/∂{unicode_name(guilty)} is wrong")
    red = visit.page.evaluate("[...document.querySelectorAll('.mlp-guilty')].map(n => n.dataset.variable)")
    assert red == [guilty]
    visit.find(f"[data-mistake={mistake}]").click()
    assert "Every gradient agrees" in visit.find(".mlp-verdict").inner_text()


def test_a_broken_rule_is_confessed_where_its_formula_stands(opens: Opens) -> None:
    graph, values = diamond()
    visit, walk = opens(Stepper(graph, values).island()), [stop.id for stop in stops(graph)]
    visit.open_all()
    false = {
        "overwrite": {"dJ-dW2", "dJ-dh~2", "dJ-dW1"},
        "drop_phi": {"dJ-dz"},
        "update_mid_pass": {"dJ-dW2", "dJ-dh~2", "dJ-dW1"},
        "hasty_order": {"dJ-dz"},
    }
    for mistake, expected_stops in false.items():
        visit.find(f"[data-mistake={mistake}]").click()
        confessed = set()
        for position, stop in enumerate(walk):
            visit.go(position)
            if visit.find(".mlp-broken").is_visible():
                confessed.add(stop)
        assert confessed == expected_stops, mistake


def test_a_wrong_order_does_no_harm_without_a_second_reader(visit: Visit) -> None:
    visit.open_all()
    visit.find("[data-mistake=hasty_order]").click(force=True)
    assert visit.find("[data-mistake=hasty_order]").get_attribute("aria-pressed") == "false"
    assert "Every gradient agrees" in visit.find(".mlp-verdict").inner_text()


# --- addresses, memory of the browser, damage -----------------------------------------------------------------------


def test_the_address_names_a_stop_and_follows_without_history(opens: Opens) -> None:
    visit = opens(address="#stepper:dJ-dW2")
    assert visit.count == f"10 of {len(WALK)}"
    before = visit.page.evaluate("history.length")
    visit.button("Next").click()
    visit.page.wait_for_function("location.hash === '#stepper:dJ-dh'")  # once the reader rests
    assert visit.page.evaluate("history.length") == before
    visit.page.evaluate("location.hash = '#stepper:back-s'")
    visit.settle()
    assert visit.count == f"8 of {len(WALK)}"
    visit.page.evaluate("location.hash = '#stepper:nowhere'")
    visit.page.evaluate("location.hash = '#%E0%A4%A'")
    visit.settle()
    assert visit.count == f"8 of {len(WALK)}"


def test_several_steppers_share_a_page(opens: Opens) -> None:
    visit = opens(
        Stepper(GRAPH, VALUES, name="one").island(), Stepper(*diamond(), name="two", step=3).island(), address="#two:L"
    )
    counts = visit.page.locator(".mlp-count").all_inner_texts()
    assert counts == [f"1 of {len(WALK)}", f"4 of {len(stops(diamond()[0]))}"]
    ids = visit.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_what_the_reader_opens_is_remembered(opens: Opens) -> None:
    visit = opens()
    opened = "[...document.querySelectorAll('.mlp-panel[open] > summary')].map(s => s.textContent)"
    assert visit.page.evaluate(opened) == ["Graph", "Formula", "Numbers"]
    visit.find(".mlp-panel-memory summary").click()
    visit.find(".mlp-panel-numbers summary").click()
    visit.settle()
    visit.page.reload()
    assert visit.page.evaluate(opened) == ["Graph", "Formula", "Memory"]
    visit.find(".mlp-panel-numbers summary").click()  # and what is opened again too
    visit.find(".mlp-panel-memory summary").click()
    visit.settle()
    visit.page.reload()
    assert visit.page.evaluate(opened) == ["Graph", "Formula", "Numbers"]


def test_a_browser_that_may_not_remember_shows_the_view_all_the_same(opens: Opens) -> None:
    visit = opens()
    visit.page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    visit.page.reload()
    visit.find(".mlp-panel-memory summary").click()
    visit.button("Next").click()
    assert visit.count == f"2 of {len(WALK)}" and "bytes are alive" in visit.find(".mlp-panel-memory").inner_text()


def test_a_link_in_the_prose_leads_to_the_stepper_and_its_stop(opens: Opens) -> None:
    space = '<p style="height: 3000px"><a href="#stepper:dJ-dW2">the gradient</a></p>'
    visit = opens(space, Stepper(GRAPH, VALUES).island())
    visit.page.get_by_role("link").click()
    visit.settle()
    assert visit.count == f"10 of {len(WALK)}"
    top = visit.find(".mlp-head").bounding_box()
    assert top is not None and -1 < top["y"] < 100
    visit.page.keyboard.press("ArrowRight")  # the keys are the stepper's now
    assert visit.count == f"11 of {len(WALK)}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.update(version=99), "newer version"),
        (lambda told: told.update(format="other"), "not what this page can show"),
        (lambda told: told.update(view="other"), "no view called"),
        (lambda told: told.pop("graph"), "damaged"),
        (lambda told: told["values"].update(x=[[1.0]]), "expected shape"),
        (lambda told: told["values"].pop("y"), "received"),
    ],
)
def test_a_foreign_or_damaged_state_leaves_the_figure_and_says_so(
    opens: Opens, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    visit = opens(tampered(Stepper(GRAPH, VALUES).island(), change))
    assert message in visit.page.locator("figure .mlp-message").inner_text()
    assert visit.page.locator("figure img").count() == 1
    assert visit.page.locator("figcaption").is_visible()


def test_a_state_that_is_no_json_leaves_the_figure_too(opens: Opens) -> None:
    island = Stepper(GRAPH, VALUES).island()
    visit = opens(re.sub(r'(<script type="application/json">).*(</script>)', r"\1{oops\2", island, flags=re.DOTALL))
    assert "damaged" in visit.page.locator("figure .mlp-message").inner_text()
    assert visit.page.locator("figure img").count() == 1


def test_nothing_from_outside_becomes_markup(opens: Opens) -> None:
    hostile = "<img src=x onerror=alert(1)>"

    def rename(told: dict[str, Any]) -> None:
        text = json.dumps(told).replace('"z"', json.dumps(hostile)).replace("z = W", f"{hostile} = W")
        told.clear()
        told.update(json.loads(text.replace("dJ/dz", f"dJ/d{hostile}")))
        told["stops"][0]["formula"] = ["math", ["script", "alert(1)"], ["mi", hostile], ["annotation-xml", "x"]]

    def inject(svg: str) -> str:
        bad = '<script>alert(1)</script><image href="http://outside.example/x.png"/><a href="javascript:alert(1)"/>'
        bad += '<style>@import url("http://outside.example/x.css")</style><g onclick="alert(1)" class="g"/>'
        bad += '<foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" src="javascript:alert(1)"/></foreignObject>'
        return svg.replace("</svg>", f"{bad}</svg>").replace("<svg ", '<svg onload="alert(1)" ')

    visit = opens(tampered(Stepper(GRAPH, VALUES).island(), rename, inject))
    visit.open_all()
    for position in range(len(WALK)):
        visit.go(position)
    inside = visit.page.locator(".mlp-root")
    assert inside.locator("img, script, iframe, image, a, foreignObject, annotation-xml").count() == 0
    assert (
        visit.page.evaluate("[...document.querySelectorAll('.mlp-root *')].some(e => e.onclick || e.onload)") is False
    )
    assert hostile in visit.find(".mlp-stops").inner_text()


# --- for everyone, on every screen ----------------------------------------------------------------------------------


@pytest.mark.parametrize("look", LOOKS)
def test_everyone_can_use_every_stop(opens: Opens, look: str) -> None:
    """axe finds nothing against WCAG A and AA, nothing is wider than the screen, no label is under 11 px."""
    visit = opens(Stepper(GRAPH, VALUES, show=PANELS).island(), look=look)
    visit.page.set_viewport_size({"width": LOOKS[look][0], "height": 6000})  # all at once, nothing under the bar
    visit.open_all()
    visit.entry("W2", 1, 1).fill("x")
    for position in range(len(WALK)):
        visit.go(position)
        if position == 8:
            visit.find(".mlp-node[data-variable=W1]").focus()
            visit.find("[data-mistake=drop_phi]").click()
        visit.settle()
        assert barriers(visit.page, Visit.outermost) == [], f"stop {position + 1}"


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_everyone_can_use_every_state(opens: Opens, look: str) -> None:
    """Each panel open, each mistake, a card, a sheet, a refusal, an update, another activation, playing."""
    graph, values = diamond()
    visit = opens(Stepper(graph, values).island(), look=look, touch=look.startswith("phone"))
    visit.page.set_viewport_size({"width": LOOKS[look][0], "height": 6000})
    wrong: list[str] = []

    def look_at(state: str) -> None:
        visit.settle()
        wrong.extend(f"{state}: {barrier}" for barrier in barriers(visit.page, Visit.outermost))

    look_at("as it begins")
    for panel in (*PANELS, "check"):
        fold = visit.find(f".mlp-panel-{panel}")
        if fold.get_attribute("open") is None:
            fold.locator("> summary").click()
            look_at(f"{panel} open")
    visit.find(".mlp-more > summary").click()
    look_at("everything to change")
    walk = [stop.id for stop in stops(graph)]
    for mistake, stop in {"overwrite": 12, "drop_phi": 13, "update_mid_pass": 12, "hasty_order": 13}.items():
        visit.find(f"[data-mistake={mistake}]").click()
        visit.go(stop)
        look_at(f"{mistake} at {walk[stop]}")
    visit.find("[data-mistake=hasty_order]").click()
    visit.find(".mlp-panel-numbers td > input").focus()
    look_at("an entry, its curve and its sheet")
    visit.find(".mlp-panel-numbers td > input").fill("x")
    look_at("a refusal")
    if look.startswith("phone"):
        visit.find(".mlp-sheet").get_by_role("textbox").fill("x")
        look_at("a refusal in the sheet")
    visit.go(len(walk) - 1)
    visit.enter(visit.find(".mlp-update input"), "0")
    look_at("an update that is refused")
    visit.find(".mlp-update input").fill("0.05")
    visit.button("Update, and step again").click()
    look_at("after an update")
    visit.find(".mlp-more").get_by_label("activation").select_option("gelu")
    look_at("another activation")
    for name in ("W1", "h", "J"):
        visit.find(f".mlp-node[data-variable={name}]").focus()
        look_at(f"the card of {name}")
    visit.button("Play").click()
    look_at("playing")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("look", ["light", "phone-dark"])
def test_everyone_can_use_an_outline_and_maps(opens: Opens, look: str) -> None:
    for (graph, values), stop in [(deep(30), 40), (wide(), 1)]:
        visit = opens(Stepper(graph, values, show=PANELS).island(), look=look)
        visit.page.set_viewport_size({"width": LOOKS[look][0], "height": 6000})
        visit.go(stop)
        assert barriers(visit.page, Visit.outermost) == []


def test_on_a_phone_back_and_next_stay_at_the_bottom(opens: Opens) -> None:
    visit = opens(look="phone")
    open_panels = visit.page.evaluate(
        "[...document.querySelectorAll('.mlp-panel[open] > summary')].map(s => s.textContent)"
    )
    assert open_panels == ["Graph", "Formula"]
    for name in ("Back", "Next"):
        box = visit.button(name).bounding_box()
        assert box is not None and box["height"] >= 44 and 844 - 60 <= box["y"] + box["height"] <= 844
    visit.open_all()
    visit.page.evaluate("scrollTo(0, 900)")
    box = visit.button("Next").bounding_box()
    assert box is not None and 844 - 60 <= box["y"] + box["height"] <= 844


def test_on_a_phone_all_lives_share_one_axis_of_time(opens: Opens) -> None:
    visit = opens(Stepper(GRAPH, VALUES, show=PANELS, name="axis").island(), look="phone")
    visit.open_all()
    tracks = visit.page.evaluate(
        "[...document.querySelectorAll('.mlp-track')].map(t => { const b = t.getBoundingClientRect();"
        " return [b.left, b.width]; })"
    )
    assert len(tracks) > 20 and all(track == tracks[0] for track in tracks) and tracks[0][1] > 150


def test_what_is_said_of_instalments_looks_like_the_rest(visit: Visit) -> None:
    visit.go(12)
    visit.open_all()
    shown = """s => { const c = getComputedStyle(document.querySelector(s)); return [c.color, c.fontSize]; }"""
    assert visit.page.evaluate(shown, ".mlp-panel-rule p") == visit.page.evaluate(shown, ".mlp-panel-memory p")


def test_on_a_phone_a_number_is_changed_by_a_sheet(opens: Opens) -> None:
    visit = opens(Stepper(GRAPH, VALUES, name="sheet").island(), look="phone", touch=True)
    sheet, numbers = visit.find(".mlp-sheet"), visit.find(".mlp-panel-numbers")
    visit.find(".mlp-panel-numbers summary").tap()
    assert not sheet.is_visible()
    for name, row, column in [("W1", 4, 1), ("x", 3, 1)]:
        entry = numbers.get_by_label(f"{unicode_name(name)} row {row}, column {column}", exact=True)
        assert entry.evaluate("e => e.inputMode") == "none"  # a keyboard would hide the sheet
        entry.tap()
        parts = [sheet.get_by_role("button", name=label) for label in ("less by 0.1", "more by 0.1", "change the sign")]
        parts.append(sheet.get_by_role("textbox"))
        bar = visit.find(".mlp-bar").bounding_box()
        for part in parts:
            box = part.bounding_box()
            assert box is not None and box["width"] >= 44 and box["height"] >= 44
            assert box["y"] + box["height"] <= bar["y"] + 1 <= 844 and box["x"] + box["width"] <= 390
        field, above = entry.bounding_box(), sheet.bounding_box()
        assert field["y"] + field["height"] <= above["y"]  # the entry is not under its sheet
        first = VALUES[name][row - 1, column - 1]
        parts[1].tap()
        parts[1].tap()
        assert entry.input_value() == parts[3].input_value() == f"{first + 0.2:g}".replace("-", "−")
        parts[2].tap()
        assert entry.input_value() == f"{-(first + 0.2):g}".replace("-", "−")
        parts[0].tap()
        changed = with_entry(name, row, column, -(first + 0.2) - 0.1)
        assert f"J = {number(objective(changed), 5)}" in sheet.inner_text()
        good = entry.input_value()
        parts[3].fill("1e400")
        assert "too large" in sheet.locator("[role=alert]").inner_text() and entry.input_value() == good
        parts[3].blur()
        assert parts[3].input_value() == good
        visit.button("Reset").tap()
        assert parts[3].input_value() == f"{first:g}".replace("-", "−")
    visit.button("Next").tap()
    assert not sheet.is_visible()
    visit.find(".mlp-more > summary").tap()
    visit.find(".mlp-more").get_by_label("λ in s").tap()
    sheet.get_by_role("button", name="more by 0.1").tap()
    assert f"J = {number(4.5, 5)}" in sheet.inner_text()
    visit.find(".mlp-more").get_by_label("learning rate η").tap()
    sheet.get_by_role("button", name="change the sign").tap()
    assert "more than 0" in sheet.locator("[role=alert]").inner_text()
    sheet.get_by_role("button", name="Close").tap()
    assert not sheet.is_visible()


def test_a_phone_that_is_turned_gets_its_keyboard_back(opens: Opens) -> None:
    """Where there is room for the fields there is no sheet, and without either nothing could be written."""
    visit = opens(Stepper(GRAPH, VALUES, name="turned").island(), look="phone", touch=True)
    visit.find(".mlp-panel-numbers summary").tap()
    entry = visit.find(".mlp-panel-numbers").get_by_label("x row 1, column 1", exact=True)
    for width, height, mode in [(844, 390, "decimal"), (390, 844, "none"), (844, 390, "decimal")]:
        visit.page.set_viewport_size({"width": width, "height": height})
        visit.settle()
        entry.tap()
        assert entry.evaluate("e => e.inputMode") == mode
        assert visit.find(".mlp-sheet").is_visible() == (mode == "none")


CUT = """() => [...document.querySelectorAll(".mlp-ui input:not([type=range])")]
  .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth).map(e => [e.ariaLabel, e.value])"""


@pytest.mark.parametrize("look", ["light", "phone"])
def test_no_field_cuts_its_number(opens: Opens, look: str) -> None:
    visit = opens(Stepper(GRAPH, VALUES, name="cut").island(), look=look)
    visit.open_all()
    for text in ("−0.995", "−12.3456", "1e-300", "0.1"):
        visit.entry("W1", 1, 1).fill(text)
        assert visit.page.evaluate(CUT) == []
    visit.find(".mlp-more").get_by_label("learning rate η").fill("0.0123456")
    assert visit.page.evaluate(CUT) == []
    for _ in range(3):
        visit.go(13)
        visit.button("Update, and step again").click()
        assert visit.page.evaluate(CUT) == []
        assert visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_field_shows_six_digits_and_all_of_them_to_who_writes_in_it(visit: Visit) -> None:
    entry = visit.entry("W1", 1, 1)
    entry.fill("0.1234567890123")
    visit.find(".mlp-next").focus()
    assert entry.input_value() == "0.123457"
    entry.focus()
    assert entry.input_value() == "0.1234567890123"  # nothing was lost, and nothing is by going there
    visit.find(".mlp-next").focus()
    visit.page.locator("#elsewhere").focus()
    while visit.page.evaluate("document.activeElement.ariaLabel") != "W⁽¹⁾ row 1, column 1":
        visit.page.keyboard.press("Shift+Tab")
    visit.page.keyboard.type("0.1234567890123")  # what was there is replaced, as in every field reached by Tab
    visit.find(".mlp-next").focus()
    assert f"J = {number(objective(with_entry('W1', 1, 1, 0.1234567890123)), 5)};" in visit.changes


def test_forced_colours_leave_what_only_a_background_or_a_clear_border_says(opens: Opens) -> None:
    visit = opens(Stepper(GRAPH, VALUES, show=PANELS, step=8, name="forced").island())
    visit.page.emulate_media(forced_colors="active")
    visit.settle()
    colours = """s => [...document.querySelectorAll(s)].map(e => {
      const c = getComputedStyle(e);
      return [c.backgroundColor, c.backgroundImage, c.borderBottomColor].join(); })"""
    lives = {state: visit.page.evaluate(colours, f".mlp-life.mlp-{state}")[0] for state in ("kept", "later", "freed")}
    assert len(set(lives.values())) == 3
    now, *others = (visit.page.evaluate(colours, s)[0] for s in (".mlp-phase[aria-current]", ".mlp-phase-forward"))
    assert now not in others
    ground, ink = visit.find(".mlp-says").evaluate(
        "e => [getComputedStyle(e.parentNode).backgroundColor, getComputedStyle(e).color]"
    )
    # Letters have a plate of the ground's colour behind them: on a coloured button that would hide them.
    assert visit.find(".mlp-next").evaluate("e => getComputedStyle(e).forcedColorAdjust") == "none"
    lines = visit.page.evaluate(
        "[...document.querySelectorAll('.mlp-stepper .mlp-outline, .mlp-stepper .mlp-label')].filter(e => "
        "e.checkVisibility()).map(e => [getComputedStyle(e).stroke, getComputedStyle(e).fill])"
    )
    assert ground != ink and all(set(line) - {"none", ground} for line in lines)


@pytest.mark.parametrize("size", [(844, 390), (640, 450)], ids=["a phone on its side", "twice as large"])
def test_on_a_low_screen_the_controls_stay_in_sight(opens: Opens, size: tuple[int, int]) -> None:
    visit = opens(Stepper(GRAPH, VALUES, name="low").island())
    visit.page.set_viewport_size({"width": size[0], "height": size[1]})
    visit.page.evaluate("document.querySelector('.mlp-stepper').scrollIntoView()")
    visit.settle()
    box = visit.button("Next").bounding_box()
    assert box is not None and 0 <= box["y"] <= box["y"] + box["height"] <= size[1]
    visit.page.locator("body").press("Tab")
    for _ in range(40):  # and hide nothing that has the focus
        visit.page.keyboard.press("Tab")
        label, is_seen = visit.page.evaluate(
            """() => {
              const e = document.activeElement, {left, top, width, height} = e.getBoundingClientRect();
              const hit = document.elementFromPoint(left + width / 2, top + Math.min(height, 40) / 2);
              const isOwn = e === hit || e.contains(hit) || e.matches(".mlp-node") && hit?.closest(".mlp-graph-box");
              return [e.outerHTML.slice(0, 100), !e.closest(".mlp-stepper") || Boolean(isOwn)];
            }"""
        )
        assert is_seen, label


def test_wider_letters_push_nothing_out_of_sight(opens: Opens) -> None:
    """The spacing of WCAG 1.4.12, on a phone."""
    visit = opens(Stepper(GRAPH, VALUES, step=6, name="spaced").island(), look="phone")
    visit.page.add_style_tag(
        content="* { letter-spacing: .12em !important; word-spacing: .16em !important; line-height: 1.5 !important }"
    )
    visit.settle()
    ends = visit.page.evaluate(
        "[...document.querySelectorAll('.mlp-head, .mlp-head *')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(ends) <= 390 and visit.count == "7 of 14"


@pytest.mark.parametrize("position", [0, 6, 12])
def test_on_a_phone_whatever_has_the_focus_can_be_seen(opens: Opens, position: int) -> None:
    """By the keyboard through everything, all panels open: never off the screen, under the bar or under the sheet."""
    visit = opens(Stepper(GRAPH, VALUES, step=position, name="seen").island(), look="phone")
    visit.open_all()
    seen = 0
    while True:
        visit.page.keyboard.press("Tab")
        label, top, is_inside, is_there = visit.page.evaluate(
            """() => {
              const e = document.activeElement, {left, top, width, height} = e.getBoundingClientRect();
              const hit = document.elementFromPoint(left + width / 2, top + Math.min(height, 40) / 2);
              const own = e === hit || e.contains(hit) || e.matches(".mlp-node") && hit?.closest(".mlp-graph-box");
              const isInside = left >= 0 && left + width <= 391;
              return [e.getAttribute("aria-label") ?? e.textContent, top, isInside, Boolean(own)];
            }"""
        )
        if visit.page.evaluate("!document.activeElement.closest('.mlp-stepper')"):
            break
        seen += 1
        assert is_there and is_inside and 0 <= top < 844, label
    assert seen > 60


def test_on_a_phone_wide_matrices_scroll_inside_their_own_boxes(opens: Opens) -> None:
    graph = network([8, 8, 3], batch=5, activation="tanh", weight_decay=0.1)
    rng = np.random.default_rng(0)
    given = {key: rng.normal(size=graph.variables[key].shape) for key in graph.inputs}
    visit = opens(Stepper(graph, graph.init(0) | given, name="broad").island(), look="phone", touch=True)
    visit.open_all()
    for stop in ("z", "back-s", "dJ-dW1", "update"):
        visit.go([each.id for each in stops(graph)].index(stop))
        visit.settle()
        assert overflow(visit.page) <= 0, stop
        assert [found for found in violations(visit.page) if found.startswith("scrollable-region-focusable")] == []
    wide_box = visit.find(".mlp-panel-numbers .mlp-array.mlp-is-cotangent")
    assert wide_box.get_attribute("role") == "group" and wide_box.get_attribute("aria-label").startswith("∂J/∂")
    wide_box.focus()
    visit.page.keyboard.press("ArrowRight")  # scrolls, and moves no step
    visit.page.wait_for_function(
        "document.querySelector('.mlp-panel-numbers .mlp-array.mlp-is-cotangent').scrollLeft > 0"
    )
    assert visit.find(".mlp-stops").input_value() == str(len(stops(graph)) - 1)


def test_where_there_is_room_the_field_needs_no_sheet(visit: Visit) -> None:
    visit.entry("W1", 1, 1).focus()
    assert visit.entry("W1", 1, 1).evaluate("e => e.inputMode") == "decimal"
    assert not visit.find(".mlp-sheet").is_visible() and visit.find(".mlp-lens .mlp-nudges").is_visible()


def test_a_large_matrix_is_a_map_with_words(opens: Opens) -> None:
    graph, values = wide()
    visit = opens(Stepper(graph, values).island())
    assert visit.find(".mlp-map").locator("td").count() == 108
    words = visit.find(".mlp-array .mlp-caption").first.inner_text()
    assert "W⁽¹⁾ 9×12" in words and f"from {number(values['W1'].min())} to {number(values['W1'].max())}" in words


def wide() -> tuple[Graph, Values]:
    graph = network([12, 9, 2], batch=3)
    rng = np.random.default_rng(0)
    return graph, graph.init(0) | {"x": rng.normal(size=(12, 3)), "y": rng.normal(size=(2, 3))}


def deep(depth: int, width: int = 3) -> tuple[Graph, Values]:
    graph = network([width] * (depth + 1), batch=2, activation="tanh", weight_decay=0.1)
    rng = np.random.default_rng(0)
    return graph, graph.init(0) | {key: rng.normal(size=graph.variables[key].shape) for key in graph.inputs}


def test_a_deep_network_can_be_walked_a_layer_at_a_time(opens: Opens) -> None:
    graph, values = deep(30)
    visit, walk = opens(Stepper(graph, values, show=PANELS).island(), address="#stepper:back-layer-9"), stops(graph)
    assert visit.find(".mlp-words").inner_text().startswith("Back through layer 9: ∂J/∂h⁽⁹⁾ gives ∂J/∂z⁽⁹⁾")
    run = trace(graph, values)
    shown = next(e for caption, e in visit.tables().items() if caption.startswith("∂J/∂W⁽⁹⁾ 3×3"))
    assert shown == [number(entry) for entry in run["dJ/dW9"].ravel()]
    assert visit.find(".mlp-formula").inner_text().count("𝜙") == 1
    assert "these" in visit.find(".mlp-panel-memory .mlp-hint").inner_text()
    for position in range(len(walk)):
        visit.go(position)
        assert visit.find(".mlp-words").inner_text() == walk[position].words
    visit.entry("W1", 1, 1).fill("0.5")
    changed = {**values, "W1": with_entry("W1", 1, 1, 0.5, values)["W1"]}
    assert f"J = {number(objective(changed, graph), 5)};" in visit.changes


def test_a_long_gradient_check_leaves_the_page_responsive(opens: Opens) -> None:
    graph, values = deep(20, 8)
    visit = opens(Stepper(graph, values).island())
    pauses = visit.page.evaluate(
        """async () => {
          const gaps = [];
          let before = performance.now(), isOn = true;
          const beat = () => {
            gaps.push(performance.now() - before);
            before = performance.now();
            isOn && setTimeout(beat);
          };
          document.querySelector(".mlp-panel-check summary").click();
          document.querySelector("[data-mistake=overwrite]").click();
          beat();
          const panel = document.querySelector(".mlp-panel-check");
          do await new Promise(r => setTimeout(r, 5));
          while (panel.textContent.includes("Checking:"));
          isOn = false;
          return gaps.slice(1);
        }"""
    )
    print(f"a deep network is checked in {len(pauses)} pauses, the longest {max(pauses):.0f} ms")
    assert len(pauses) > 3
    assert "∂J/∂W" in visit.find(".mlp-verdict").inner_text() and "is wrong" in visit.find(".mlp-verdict").inner_text()
    assert visit.find(".mlp-panel-check tbody tr").nth(0).is_visible()


def test_a_check_that_takes_too_long_says_how_far_it_came(opens: Opens) -> None:
    visit = opens(Stepper(*deep(300, 8)).island())
    visit.find(".mlp-panel-check summary").click()
    visit.page.wait_for_function(
        "document.querySelector('.mlp-panel-check').textContent.includes('in the time there was')"
    )
    assert visit.find(".mlp-verdict").inner_text() == "So far every gradient agrees with nudging."
    rows = visit.page.locator(".mlp-panel-check tbody tr").count()
    said = visit.find(".mlp-panel-check .mlp-verdict + .mlp-hint").inner_text()
    assert 0 < rows < 900 and f": {rows} of " in said


def test_of_many_arrays_the_first_few_are_shown(opens: Opens) -> None:
    graph = network([3] * 8, batch=1)
    rng = np.random.default_rng(0)
    given = {key: rng.normal(size=graph.variables[key].shape) for key in graph.inputs}
    visit = opens(Stepper(graph, graph.init(0) | given).island())
    visit.go([stop.id for stop in stops(graph)].index("s"))
    assert [caption.split()[0] for caption in visit.tables()] == ["W⁽¹⁾", "W⁽²⁾", "W⁽³⁾", "W⁽⁴⁾", "s"]
    assert "the first 4 of 7" in visit.find(".mlp-panel-numbers .mlp-hint").inner_text()
    visit.open_all()
    assert visit.page.locator(".mlp-panel-numbers td > input").count() == 3 + 3 + 7 * 9


@pytest.mark.parametrize(
    ("name", "graph"),
    [
        ("running example", GRAPH),
        ("depth 20, width 8, batch 4", network([8] * 21, batch=4, activation="tanh")),
    ],
)
def test_two_hundred_steps_in_a_row_arrive_where_they_should(opens: Opens, name: str, graph: Graph) -> None:
    """Prints how long a step takes; no time is asserted, since a busy machine says nothing about the view."""
    rng = np.random.default_rng(0)
    given = {key: rng.normal(size=graph.variables[key].shape) for key in graph.inputs}
    visit = opens(Stepper(graph, VALUES if graph is GRAPH else graph.init(0) | given).island())
    times = visit.page.evaluate(
        """() => {
          const [next, first] = [".mlp-next", ".mlp-first"].map(s => document.querySelector(s));
          const times = [];
          for (let k = 0; k < 200; k++) {
            const start = performance.now();
            (next.getAttribute("aria-disabled") === "true" ? first : next).click();
            document.body.offsetHeight; // laid out
            times.push(performance.now() - start);
          }
          return times;
        }"""
    )
    p95 = quantiles(times, n=20)[-1]
    print(f"{name}: a step takes {np.median(times):.1f} ms in the median, {p95:.1f} ms at the 95th percentile")
    assert visit.find(".mlp-stops").input_value() == str(200 % len(stops(graph)))


@pytest.mark.skipif(sys.platform == "darwin", reason="there the script ships as it is written")
@pytest.mark.parametrize("view", bundle.VIEWS)
def test_the_page_script_stays_small(view: str) -> None:
    size = len(minified(bundle.page_script(frozenset({view, "question"}))).encode())
    print(f"{view}: {size:,} bytes with questions")
    assert size < 100_000


def test_jupyter_can_import_the_script(browser: Browser) -> None:
    """A module is stricter than a page's script: two fragments that declare one name are an error there."""
    page = browser.new_page()
    names = page.evaluate(
        """async source => Object.keys((await import(`data:text/javascript;base64,${source}`)).default)""",
        base64.b64encode(bundle.module().encode()).decode(),
    )
    page.close()
    assert names == ["render"]


@pytest.mark.skipif(sys.platform == "darwin", reason="there the script ships as it is written")
def test_what_is_no_script_is_not_shipped() -> None:
    with pytest.raises(Exception, match="could not be read"):
        minified("const half = ;")


def test_labels_keep_their_colour_beside_other_pictures(opens: Opens) -> None:
    """Every inline picture brings the rules for all pictures again; the stepper's own must still outweigh them."""
    visit = opens(Stepper(GRAPH, VALUES).island(), f"<figure>{to_svg(GRAPH)}</figure>")
    fill = "label => [getComputedStyle(label).fill, getComputedStyle(label).color]"
    label = visit.page.locator('.mlp-stepper [data-variable="o"] .mlp-when-forward .mlp-label').first
    shown, ink = label.evaluate(fill)
    assert shown == ink


# --- one step proves nothing ----------------------------------------------------------------------------------------


def without_slope(graph: Graph) -> Graph:
    """The same network, whose activations pass every cotangent on as it is."""

    def passed(out: Array, delta: Array, *saved: Array) -> None:
        np.copyto(out, delta)

    table = dict(graph.table)
    for name in ACTIVATIONS:
        table[name] = replace(table[name], vjps=tuple(replace(vjp, rule=passed) for vjp in table[name].vjps if vjp))
    return Graph(graph.variables.values(), graph.equations, graph.objective, graph.output, table)


DOUBT = re.compile(
    r"This update takes J from (\S+) to (\S+), down\. The right gradient would take it to (\S+)\. That J falls in one "
    r"step proves nothing: of steps (\S+) long, the right one takes J to (\S+), this one to (\S+)\."
)


@pytest.mark.parametrize("lr", [None, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_a_wrong_gradient_that_lowers_j_is_compared_with_the_right_one(
    opens: Opens, seed: int, lr: float | None
) -> None:
    """Which one wins is computed: at the same rate the wrong one may, of short steps of one length it cannot."""
    rng = np.random.default_rng(seed)
    graph, values = [running_example, lambda: running_example(3, "tanh"), diamond, lambda: running_example(5)][seed]()
    values = {name: array + 0.1 * rng.normal(size=array.shape) * (name != "y") for name, array in values.items()}
    view = Stepper(graph, values, lr=lr, step=len(stops(graph)) - 1)
    rate = json.loads(view.state)["lr"]
    visit = opens(view.island())
    visit.open_all()
    J, right = value_and_grad(graph, values)

    def after(step: dict[str, Array]) -> float:
        return objective(values | {name: values[name] - step[name] for name in step}, graph)

    def of_length(slopes: dict[str, Array], size: float) -> dict[str, Array]:
        norm = np.sqrt(sum(float((slope**2).sum()) for slope in slopes.values()))
        return {name: size / norm * slope for name, slope in slopes.items()}

    doubted = 0
    for mistake in ("overwrite", "drop_phi", "update_mid_pass", "hasty_order"):
        knob = visit.find(f"[data-mistake={mistake}]")
        if knob.get_attribute("aria-disabled") == "true":
            continue
        knob.click()
        said = visit.find(".mlp-outlook").inner_text()
        found = DOUBT.fullmatch(said)
        assert bool(found) == (", down." in said), said
        if found:
            doubted += 1
            begin, _, of_right, size, best, own = (float(text.replace("−", "-")) for text in found.groups())
            assert begin == pytest.approx(J, rel=1e-4)
            assert of_right == pytest.approx(after({name: rate * slope for name, slope in right.items()}), rel=1e-4)
            assert best < own
            shorter, longer = (after(of_length(right, size * part)) for part in (0.94, 1.06))  # it has two digits
            assert min(shorter, longer) - 1e-3 * J <= best <= max(shorter, longer) + 1e-3 * J
        if mistake == "drop_phi":
            wrong = value_and_grad(without_slope(graph), values)[1]
            falls = after({name: rate * slope for name, slope in wrong.items()}) < J
            assert bool(found) == falls
        knob.click()
        assert "proves nothing" not in visit.find(".mlp-outlook").inner_text()
    assert doubted


def test_dropping_the_slope_goes_further_than_the_right_gradient_and_is_doubted(opens: Opens) -> None:
    visit = opens(Stepper(GRAPH, VALUES, lr=0.05, step=len(WALK) - 1).island())
    visit.open_all()
    visit.find("[data-mistake=drop_phi]").click()
    found = DOUBT.fullmatch(visit.find(".mlp-outlook").inner_text())
    assert found is not None and (found[2], found[3]) == ("0.98778", "1.0109")


def test_the_rate_that_a_walk_begins_with_lets_j_fall(visit: Visit) -> None:
    """Ten updates in a row, by the button: after each, J is lower."""
    last = 3.5
    for turn in range(1, 11):
        visit.go(len(WALK) - 1)
        assert ", down." in visit.find(".mlp-outlook").inner_text()
        visit.button("Update, and step again").click()
        now = re.search(rf"{turn} updates? so far: .* now it is (\S+?)\.$", visit.changes)
        assert now is not None and float(now[1]) < last, visit.changes
        last = float(now[1])
        if turn == 1:
            assert now[1] == "2.5496"
