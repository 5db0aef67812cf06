"""The one-weight view in a page opened from disk: every control by mouse and by keyboard, every number right."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mlp import network, value_and_grad
from mlp.draw.labels import unicode_name
from mlp.examples import running_example
from mlp.graph import Graph
from mlp.text import number
from mlp.views import bundle
from mlp.views.one_weight import OneWeight
from mlp.views.stepper import Stepper
from tests.everyone import barriers, overflow
from tests.views.pages import LOOKS, OpenView, Pages, tampered
from tests.views.test_stepper_page import Values, with_entry

GRAPH, VALUES = running_example()
ENTRIES = [(name, *index) for name in GRAPH.parameters for index in np.ndindex(VALUES[name].shape)]


class Visit(OpenView):
    """A one-weight view in a page."""

    outermost = ".mlp-one-weight"

    def radio(self, name: str, row: int, column: int) -> Any:
        """The entry of a matrix that can be chosen, counted from 1."""
        label = re.compile(f"^{re.escape(unicode_name(name))} row {row}, column {column}:")
        return self.root.get_by_role("radio", name=label)

    @property
    def field(self) -> Any:
        return self.find(".mlp-mover .mlp-setting input")

    @property
    def slider(self) -> Any:
        return self.find("input[type=range]")

    @property
    def J(self) -> str:
        return str(self.find(".mlp-objective").inner_text()).removeprefix("J = ")

    @property
    def slope(self) -> float:
        """The slope as the view computed it, with all its digits."""
        return float(self.find(".mlp-slope data").get_attribute("value"))

    @property
    def chosen(self) -> str:
        return str(self.find(".mlp-mover label").inner_text())

    @property
    def words(self) -> str:
        return str(self.find(".mlp-words").inner_text())

    @property
    def said(self) -> str:
        self.page.wait_for_timeout(500)  # until it rests
        return super().said

    @property
    def complaint(self) -> str:
        box = self.page.locator(f"#{self.field.get_attribute('aria-describedby')}")
        assert box.get_attribute("role") == "alert"
        return str(box.text_content())

    @property
    def verdict(self) -> str:
        return str(self.find(".mlp-verdict").text_content())

    def counts(self) -> list[int]:
        return [int(text) for text in self.page.locator(".mlp-one-weight .mlp-passes strong").all_inner_texts()]

    def tables(self, way: int) -> list[list[str]]:
        """What one way has found, a list for each parameter."""
        return self.page.evaluate(  # type: ignore[no-any-return]
            """way => [...document.querySelectorAll(".mlp-way")[way].querySelectorAll("table")]
              .map(table => [...table.querySelectorAll("tbody td")].map(cell => cell.textContent))""",
            way,
        )

    def nudge_all(self) -> None:
        self.button("Nudge every weight").click()
        self.page.wait_for_function("() => document.querySelector('.mlp-way button').textContent.startsWith('Nudge')")


Opens = Callable[..., Visit]


@pytest.fixture
def opens(pages: Pages) -> Opens:
    def make(*islands: str, look: str = "light", motion: str = "reduce") -> Visit:
        return pages.open(Visit, islands or [OneWeight(GRAPH, VALUES).island()], look, reduced_motion=motion)

    return make


@pytest.fixture
def visit(opens: Opens) -> Visit:
    return opens()


def gradients(values: Values = VALUES, graph: Graph = GRAPH) -> dict[str, Any]:
    return value_and_grad(graph, values)[1]


def written(values: Values = VALUES, graph: Graph = GRAPH) -> list[list[str]]:
    """The gradients as a view writes them."""
    return [[number(entry) for entry in gradients(values, graph)[name].ravel()] for name in graph.parameters]


# --- one weight -----------------------------------------------------------------------------------------------------


def test_it_begins_with_the_weight_that_python_chose(visit: Visit) -> None:
    assert visit.chosen == "W⁽²⁾ row 2, column 1"
    assert visit.J == "3.5"
    assert visit.field.input_value() == "−1"
    assert visit.slope == pytest.approx(gradients()["W2"][1, 0], abs=1e-10)
    slope = visit.find(".mlp-slope").inner_text()
    assert slope == "slope −6.1 = the entry (2, 1) of ∂J/∂W⁽²⁾, found by one backward pass"
    assert visit.words == "Raise it a little and J falls at 6.1 per unit: to bring J down, raise it."


@pytest.mark.parametrize("look", ["light", "phone"])
def test_every_weight_is_chosen_by_a_tap_and_its_slope_is_the_gradients_entry(opens: Opens, look: str) -> None:
    visit = opens(look=look)
    for name, row, column in ENTRIES:
        visit.radio(name, row + 1, column + 1).click()
        assert visit.chosen == f"{unicode_name(name)} row {row + 1}, column {column + 1}"
        assert visit.slope == pytest.approx(gradients()[name][row, column], abs=1e-10)
        assert visit.slider.get_attribute("aria-label") == f"Slide {visit.chosen}"
    assert visit.said.startswith("W⁽²⁾ row 2, column 4 is 0, J is 3.5. Raise it a little and J falls at 2 per unit")


def test_every_weight_is_chosen_by_the_keyboard_alone(visit: Visit) -> None:
    press = visit.page.keyboard.press
    for _ in range(20):
        press("Tab")
        if visit.page.evaluate("document.activeElement.type") == "radio":
            break
    assert visit.page.evaluate("document.activeElement.checked")
    seen = [visit.chosen]
    for _ in ENTRIES[1:]:
        press("ArrowRight")
        seen.append(visit.chosen)
    assert len(set(seen)) == len(ENTRIES)
    visit.radio("W1", 1, 2).click()
    for key, chosen in [("ArrowDown", "row 2, column 2"), ("ArrowDown", "row 3, column 2"), ("ArrowUp", "row 2, col")]:
        press(key)
        assert visit.chosen.startswith(f"W⁽¹⁾ {chosen}")
    press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Nudge every weight"


def test_the_slider_moves_j_at_once(visit: Visit) -> None:
    visit.slider.focus()
    w = -1.0
    for key, by in [("ArrowRight", 0.05), ("ArrowRight", 0.05), ("ArrowLeft", -0.05), ("Home", -2.05), ("End", 4.0)]:
        visit.page.keyboard.press(key)
        w += by
        values = with_entry("W2", 2, 1, w)
        assert number(value_and_grad(GRAPH, values)[0], 5) == visit.J
        assert visit.slope == pytest.approx(gradients(values)["W2"][1, 0], abs=1e-10)
        assert float(visit.field.input_value().replace("−", "-")) == pytest.approx(w)
        assert visit.slider.get_attribute("aria-valuetext") == number(w)
        assert visit.radio("W2", 2, 1).get_attribute("aria-label") == f"W⁽²⁾ row 2, column 1: {number(w)}"
    assert "The book's numbers give 3.5." in visit.find(".mlp-top").inner_text()


def test_the_slider_is_dragged_by_the_mouse(visit: Visit) -> None:
    box = visit.slider.bounding_box()
    visit.page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    w = float(visit.field.input_value().replace("−", "-"))
    assert -0.2 < w < 0.2
    assert number(value_and_grad(GRAPH, with_entry("W2", 2, 1, w))[0], 5) == visit.J


def test_the_field_and_its_buttons_move_the_weight(visit: Visit) -> None:
    for text, w in [("0.5", 0.5), ("−1,25", -1.25), ("7", 7.0)]:
        visit.field.fill(text)
        values = with_entry("W2", 2, 1, w)
        assert number(value_and_grad(GRAPH, values)[0], 5) == visit.J
        assert visit.slope == pytest.approx(gradients(values)["W2"][1, 0], abs=1e-10)
    assert visit.find("svg desc").text_content().startswith("J over W⁽²⁾ row 2, column 1 from 5 to 9")
    visit.button("less by 0.1").click()
    assert visit.field.input_value() == "6.9"
    visit.button("more by 0.1").press("Enter")
    visit.button("more by 0.1").press(" ")
    assert visit.field.input_value() == "7.1"


def test_the_curve_has_its_point_and_its_tangent(visit: Visit) -> None:
    def numbers(path: str) -> Any:
        return np.array(re.findall(r"-?[\d.]+", visit.find(path).get_attribute("d")), float).reshape(-1, 2)

    (x0, y0), (x1, y1), _, (x3, y3) = numbers(".mlp-tangent")
    line = numbers(".mlp-curve")
    point = [float(visit.find(".mlp-here").get_attribute(name)) for name in ("cx", "cy")]
    heights = [value_and_grad(GRAPH, with_entry("W2", 2, 1, w))[0] for w in np.linspace(-3, 1, len(line))]
    per_unit, per_J = np.polyfit(np.linspace(-3, 1, len(line)), line[:, 0], 1)[0], np.polyfit(heights, line[:, 1], 1)[0]
    assert [x0, y0] == pytest.approx(point, abs=0.1)
    for x, y in [(x1, y1), (x3, y3)]:
        assert ((y - y0) / per_J) / ((x - x0) / per_unit) == pytest.approx(-6.1, abs=0.05)


def test_a_corner_is_told_and_drawn_with_both_slopes(visit: Visit) -> None:
    visit.radio("W1", 4, 3).click()
    visit.field.fill("2")  # then z₄ = 0
    values = with_entry("W1", 4, 3, 2.0)
    left, right = (
        (value_and_grad(GRAPH, with_entry("W1", 4, 3, 2 + side))[0] - value_and_grad(GRAPH, values)[0]) / side
        for side in (-1e-6, 1e-6)
    )
    assert visit.words.startswith("A corner: J has two slopes here, ")
    told = [float(text.replace("−", "-")) for text in re.findall(r"([−\d.]+) to the (?:left|right)", visit.words)]
    assert told == pytest.approx([left, right], abs=1e-3)
    assert f"The backward pass says {number(gradients(values)['W1'][3, 2])}" in visit.words
    ends = re.findall(r"L([\d.]+) ([\d.]+)", visit.find(".mlp-tangent").get_attribute("d"))
    middle = [float(visit.find(".mlp-here").get_attribute(name)) for name in ("cx", "cy")]
    tilt = [(float(y) - middle[1]) / (float(x) - middle[0]) for x, y in ends]
    assert abs(tilt[0] - tilt[1]) > 0.1


def test_a_slope_of_zero_says_that_j_stays(opens: Opens) -> None:
    graph = network([3, 4, 2], activation="relu", weight_decay=0.0)
    visit = opens(OneWeight(graph, VALUES, {"name": "W1", "index": [2, 0]}).island())  # unit 3 is dead
    assert visit.slope == 0
    assert visit.words == "Raise it a little and J stays where it is."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The field is empty"),
        ("abc", "“abc” is no number"),
        ("1e400", "too large"),
        ("1e200", "expected finite numbers"),
        ("<b>1</b>", "“<b>1</b>” is no number"),
        ("NaN", "is no number"),
    ],
)
def test_bad_input_is_refused_where_it_stands(visit: Visit, text: str, reason: str) -> None:
    visit.enter(visit.field, text)
    assert visit.field.get_attribute("aria-invalid") == "true"
    assert reason in visit.complaint and "It stays −1." in visit.complaint
    assert visit.J == "3.5"
    visit.field.blur()
    assert visit.field.input_value() == "−1"
    visit.field.fill("0")
    assert visit.complaint == "" and visit.J != "3.5"


def test_reset_brings_the_books_numbers_back(visit: Visit) -> None:
    assert visit.button("Reset").get_attribute("aria-disabled") == "true"
    visit.field.fill("9")
    visit.radio("W1", 1, 1).click()
    visit.field.fill("−4")
    visit.button("Reset").press("Enter")
    assert (visit.J, visit.chosen, visit.field.input_value()) == ("3.5", "W⁽¹⁾ row 1, column 1", "1")
    assert visit.radio("W2", 2, 1).get_attribute("aria-label") == "W⁽²⁾ row 2, column 1: −1"
    assert visit.button("Reset").get_attribute("aria-disabled") == "true"
    assert visit.said.startswith("The book's numbers are back.")


def test_sliding_is_said_in_words_once_it_rests(visit: Visit) -> None:
    visit.slider.focus()
    visit.page.keyboard.press("ArrowRight")
    assert visit.find("> [role=status]").text_content() == ""
    J, slope = (
        value_and_grad(GRAPH, with_entry("W2", 2, 1, -0.95))[0],
        gradients(with_entry("W2", 2, 1, -0.95))["W2"][1, 0],
    )
    assert visit.said.startswith(f"W⁽²⁾ row 2, column 1 is −0.95, J is {number(J, 5)}. Raise it a little and J falls")
    assert number(-slope) in visit.said


@pytest.mark.parametrize(
    ("answer", "said"), [("Up", "You said up: right. "), ("Down", "You said down: it is the other way. ")]
)
def test_a_question_hides_the_slope_until_it_is_answered(opens: Opens, answer: str, said: str) -> None:
    visit = opens(OneWeight(GRAPH, VALUES, ask=True).island())
    hidden = [visit.find(part) for part in (".mlp-chart svg", ".mlp-slope", ".mlp-words")]
    assert not any(part.is_visible() for part in hidden)
    assert "Which way should it go, to bring J down?" in visit.find(".mlp-ask").inner_text()
    visit.button(answer).focus()
    visit.page.keyboard.press("Enter")
    assert all(part.is_visible() for part in hidden) and visit.find(".mlp-ask").count() == 0
    assert visit.words == f"{said}Raise it a little and J falls at 6.1 per unit: to bring J down, raise it."
    assert said in visit.said
    visit.page.keyboard.press("ArrowRight")  # the slider has the focus
    assert visit.field.input_value() == "−0.95" and "You said" not in visit.words


def test_moving_the_weight_or_choosing_another_answers_too(opens: Opens) -> None:
    moves: list[Callable[[Visit], Any]] = [
        lambda visit: visit.slider.press("ArrowLeft"),
        lambda visit: visit.field.fill("3"),
        lambda visit: visit.radio("W1", 1, 1).click(),
    ]
    for move in moves:
        visit = opens(OneWeight(GRAPH, VALUES, ask=True).island())
        move(visit)
        assert visit.find(".mlp-slope").is_visible() and visit.find(".mlp-ask").count() == 0


# --- all weights, two ways ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["light", "phone"])
def test_nudging_takes_forty_forward_passes_and_backward_one_pass(opens: Opens, look: str) -> None:
    visit = opens(look=look)
    assert visit.counts() == [0, 0]
    assert visit.tables(0) == visit.tables(1) == [["·"] * 12, ["·"] * 8]
    visit.nudge_all()
    assert visit.counts() == [40, 0]
    assert visit.tables(0) == written()
    assert visit.tables(1) == [["·"] * 12, ["·"] * 8]
    assert visit.verdict == ""
    visit.button("One backward pass").click()
    assert visit.counts() == [40, 1]
    assert visit.tables(1) == written()
    assert visit.verdict.startswith("✓ The two agree on all 20 slopes, to within ")
    assert "The steepest is at W⁽²⁾ row 2, column 1: −6.1. Raise that weight, and J falls fastest." in visit.verdict
    apart = re.search(r"within (\S+?)\.", visit.verdict)
    assert apart is not None and float(apart[1].replace("−", "-")) < 1e-8
    visit.page.mouse.move(0, 0)


def test_both_ways_are_taken_by_the_keyboard_alone(visit: Visit) -> None:
    visit.button("Nudge every weight").focus()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_function("() => document.querySelector('.mlp-passes strong').textContent === '40'")
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press(" ")
    assert visit.counts() == [40, 1]


def test_forty_is_how_often_j_is_really_computed(opens: Opens) -> None:
    """Not the count on the screen but what it counts: the operator that makes J, watched while weights are nudged."""
    visit = opens("")
    visit.page.add_script_tag(content=bundle.fragments())  # its names are the page's here, so that they can be watched
    visit.page.evaluate(
        """html => {
          document.querySelector("main").append(document.createRange().createContextualFragment(html));
          hydrateIslands(document);
          window.times = 0;
          const add = OPS.add.forward;
          OPS.add.forward = (...args) => { times += 1; return add(...args); };
        }""",
        OneWeight(GRAPH, VALUES).island(),
    )
    visit.nudge_all()
    assert visit.counts() == [40, 0]
    assert visit.page.evaluate("times") == 40
    visit.button("One backward pass").click()
    assert visit.page.evaluate("times") == 40


def test_with_motion_the_table_fills_one_after_the_other_and_can_be_stopped(opens: Opens) -> None:
    visit = opens(motion="no-preference")
    visit.page.clock.install(time=0)
    visit.page.clock.pause_at(1000)
    visit.button("Nudge every weight").click()
    assert visit.counts() == [2, 0]
    visit.page.clock.run_for(300)
    (partly, _) = visit.counts()
    assert 2 < partly < 40 and partly % 2 == 0
    assert sum(text != "·" for table in visit.tables(0) for text in table) == partly // 2
    visit.button("Stop").click()
    visit.page.clock.run_for(3000)
    assert visit.counts() == [partly, 0]
    visit.button("Nudge every weight").click()  # from the beginning
    visit.page.clock.run_for(5000)
    assert visit.counts() == [40, 0]


def test_other_numbers_make_both_tables_empty_again(opens: Opens) -> None:
    visit = opens(motion="no-preference")
    visit.button("One backward pass").click()
    visit.button("Nudge every weight").click()
    visit.slider.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.wait_for_timeout(300)
    assert visit.counts() == [0, 0]
    assert visit.tables(0) == visit.tables(1) == [["·"] * 12, ["·"] * 8]
    assert visit.verdict == ""
    visit.button("One backward pass").click()
    assert visit.tables(1) == written(with_entry("W2", 2, 1, -0.95))
    visit.radio("W1", 1, 1).click()  # another choice, the same numbers
    assert visit.counts() == [0, 1]
    assert visit.tables(1) == written(with_entry("W2", 2, 1, -0.95))


def test_the_chosen_entry_is_marked_in_both_tables(visit: Visit) -> None:
    visit.radio("W1", 2, 3).click()
    visit.nudge_all()
    visit.button("One backward pass").click()
    marked = visit.page.locator(".mlp-way .mlp-chosen").all_inner_texts()
    assert marked == ["1.1", "1.1"]


def test_corners_are_left_out_of_the_agreement_and_named(visit: Visit) -> None:
    visit.radio("W1", 4, 3).click()
    visit.field.fill("2")
    visit.nudge_all()
    visit.button("One backward pass").click()
    assert visit.verdict.startswith("✓ The two agree on 17 of 20 slopes")  # x has no 0, so W1's whole row 4 moves z₄
    assert "At 3 weights J has a corner: nudging gives the mean of two slopes" in visit.verdict


def test_what_nudging_cannot_tell_is_not_counted_as_agreement(opens: Opens) -> None:
    values = VALUES | {"y": np.array([[1e6], [-1e6]])}  # beside J = 1e12, the weight decay of a weight is nothing
    visit = opens(OneWeight(GRAPH, values).island())
    visit.nudge_all()
    visit.button("One backward pass").click()
    found = re.match(r"✓ The two agree on (\d+) of 20 slopes, .*– At (\d+) nudging cannot tell: ", visit.verdict)
    assert found, visit.verdict
    assert int(found[1]) + int(found[2]) == 20
    assert int(found[2]) >= 5  # of the dead unit: three weights in, two weights out


# --- other graphs, damage, everyone ---------------------------------------------------------------------------------


def test_biases_and_batches_have_slopes_too(opens: Opens) -> None:
    graph = network([3, 5, 4, 2], batch=3, activation="tanh", loss="cross_entropy", bias=True, weight_decay=0.01)
    rng = np.random.default_rng(0)
    values = graph.init(0) | {"x": rng.normal(size=(3, 3)), "y": np.eye(2)[:, [0, 1, 1]]}
    visit = opens(OneWeight(graph, values, {"name": "b2", "index": [3, 0]}).island())
    assert visit.slope == pytest.approx(gradients(values, graph)["b2"][3, 0], abs=1e-10)
    visit.nudge_all()
    visit.button("One backward pass").click()
    count = sum(values[name].size for name in graph.parameters)
    assert visit.counts() == [2 * count, 1]
    assert visit.tables(1) == written(values, graph)
    assert "✓ The two agree" in visit.verdict


@pytest.mark.parametrize("look", ["light", "phone"])
def test_a_large_network_stays_usable(opens: Opens, look: str) -> None:
    graph = network([20, 30, 10], activation="tanh")
    rng = np.random.default_rng(0)
    values = graph.init(0) | {"x": rng.normal(size=(20, 1)), "y": rng.normal(size=(10, 1))}
    visit = opens(OneWeight(graph, values, {"name": "W1", "index": [0, 0]}).island(), look=look)
    assert overflow(visit.page) <= 0
    visit.radio("W2", 10, 30).click()
    assert visit.slope == pytest.approx(gradients(values, graph)["W2"][9, 29], abs=1e-10)
    visit.page.evaluate(
        """() => {
          window.longest = 0;
          new PerformanceObserver(list => list.getEntries().forEach(e => { longest = Math.max(longest, e.duration); }))
            .observe({ entryTypes: ["longtask"] });
        }"""
    )
    visit.nudge_all()
    visit.button("One backward pass").click()
    print(f"{look}: longest task while 900 weights are nudged: {visit.page.evaluate('longest'):.0f} ms")
    assert visit.counts() == [1800, 1]
    assert "✓ The two agree on all 900 slopes" in visit.verdict
    height = visit.find(".mlp-weights .mlp-array").bounding_box()["height"]
    assert height <= 26 * 16 + 8  # it scrolls in its own box


def test_beyond_what_fits_a_weight_is_chosen_by_row_and_column(opens: Opens) -> None:
    graph = network([50, 40, 3], activation="tanh")
    rng = np.random.default_rng(0)
    values = graph.init(0) | {"x": rng.normal(size=(50, 1)), "y": rng.normal(size=(3, 1))}
    visit = opens(OneWeight(graph, values, {"name": "W1", "index": [39, 49]}).island())
    root = visit.page.locator(".mlp-one-weight")
    assert visit.slope == pytest.approx(gradients(values, graph)["W1"][39, 49], abs=1e-10)
    root.get_by_label("row", exact=True).fill("37")
    root.get_by_label("column", exact=True).fill("50")
    assert visit.chosen == "W⁽¹⁾ row 37, column 50"
    assert visit.slope == pytest.approx(gradients(values, graph)["W1"][36, 49], abs=1e-10)
    visit.enter(root.get_by_label("row", exact=True), "41")
    assert "W⁽¹⁾ is 40×50, counted from 1." in visit.find(".mlp-weights .mlp-complaint").inner_text()
    visit.radio("W2", 1, 1).click()
    assert visit.chosen == "W⁽²⁾ row 1, column 1"
    visit.nudge_all()
    visit.button("One backward pass").click()
    assert visit.counts() == [2 * 2120, 1]
    assert "✓ The two agree on all 2120 slopes" in visit.verdict


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.update(version=99), "newer version"),
        (lambda told: told.update(format="other"), "not what this page can show"),
        (lambda told: told.pop("graph"), "damaged"),
        (lambda told: told["values"].update(x=[[1.0]]), "expected shape"),
        (lambda told: told.update(chosen={"name": "W1", "index": [9, 9]}), "no such weight"),
        (lambda told: told.update(chosen={"name": "__proto__", "index": []}), "no such weight"),
        (lambda told: told.update(chosen=None), "damaged"),
        (lambda told: told.update(chosen={"name": "W1", "index": 3}), "damaged"),
    ],
)
def test_a_foreign_or_damaged_state_leaves_the_figure_and_says_so(
    opens: Opens, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    visit = opens(tampered(OneWeight(GRAPH, VALUES).island(), change))
    assert message in visit.page.locator("figure .mlp-message").inner_text()
    assert visit.page.locator("figure img").count() == 1
    assert visit.page.locator("figcaption").is_visible()


def test_nothing_from_outside_becomes_markup(opens: Opens) -> None:
    hostile = "<img src=x onerror=alert(1)>"

    def rename(told: dict[str, Any]) -> None:
        for variable in told["graph"]["variables"]:
            variable["name"] = hostile if variable["name"] == "W1" else variable["name"]
        for equation in told["graph"]["equations"]:
            equation["inputs"] = [hostile if name == "W1" else name for name in equation["inputs"]]
        told["values"][hostile] = told["values"].pop("W1")
        told["chosen"] = {"name": hostile, "index": [0, 0]}

    visit = opens(tampered(OneWeight(GRAPH, VALUES).island(), rename))
    assert visit.chosen == f"{hostile} row 1, column 1"
    visit.nudge_all()
    assert visit.page.locator(".mlp-root img").count() == 0


def test_it_shares_a_page_with_steppers(opens: Opens) -> None:
    visit = opens(
        OneWeight(GRAPH, VALUES, name="one").island(),
        Stepper(GRAPH, VALUES).island(),
        OneWeight(GRAPH, VALUES, {"name": "W1", "index": [0, 0]}, name="two").island(),
    )
    assert visit.page.locator(".mlp-one-weight").count() == 2
    assert visit.page.locator(".mlp-one-weight :checked").count() == 2
    ids = visit.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("look", LOOKS)
def test_everyone_can_use_every_state(opens: Opens, look: str) -> None:
    """axe finds nothing against WCAG A and AA, nothing is wider than the screen, no label is under 11 px."""
    visit = opens(OneWeight(GRAPH, VALUES, ask=True).island(), look=look)
    states: Sequence[tuple[str, Callable[[], Any]]] = [
        ("at first", lambda: None),
        ("answered", lambda: visit.button("Down").click()),
        ("another weight", lambda: visit.radio("W1", 4, 3).click()),
        ("refused", lambda: visit.field.fill("x")),
        ("a corner", lambda: visit.field.fill("2")),
        ("nudged", visit.nudge_all),
        ("backward", lambda: visit.button("One backward pass").click()),
        ("hovered", lambda: visit.find(".mlp-pick").hover()),
        ("reset", lambda: visit.button("Reset").click()),
    ]
    for state, reach in states:
        reach()
        visit.settle()
        assert barriers(visit.page, Visit.outermost) == [], state


def test_on_a_phone_the_main_controls_are_large_enough(opens: Opens) -> None:
    visit = opens(look="phone")
    for control in (
        visit.field,
        visit.slider,
        visit.button("Reset"),
        visit.button("less by 0.1"),
        visit.button("Nudge every weight"),
        visit.button("One backward pass"),
    ):
        assert control.bounding_box()["height"] >= 44
    box = visit.radio("W1", 1, 1).bounding_box()
    assert box["height"] >= 44 and box["width"] >= 24
    for control in (visit.slider, visit.find(".mlp-slope")):  # with the curve, on the first screen of the view
        box = control.bounding_box()
        assert box["y"] + box["height"] <= 844


@pytest.mark.parametrize("seed", range(6))
def test_the_verdict_holds_in_any_state(opens: Opens, seed: int) -> None:
    """Whole numbers put many units on the corner; what is said of all slopes is counted, and the steepest is named."""
    rng = np.random.default_rng(seed)
    values = {name: rng.integers(-2, 3, array.shape).astype(float) for name, array in VALUES.items()}
    visit = opens(OneWeight(GRAPH, values).island())
    visit.nudge_all()
    visit.button("One backward pass").click()
    verdict, found = visit.verdict, gradients(values)
    z = values["W1"] @ values["x"]
    corners = sum(z[i, 0] == 0 and values["x"][k, 0] != 0 for i, k in np.ndindex(4, 3))
    assert f"on {20 - corners} of 20 slopes" in verdict if corners else "agree on all 20 slopes" in verdict
    told = re.search(r"The steepest is at (W⁽[¹²]⁾) row (\d), column (\d): ([−\d.]+)\. ", verdict)
    assert told
    name, row, column = "W" + "12"["²" in told[1]], int(told[2]) - 1, int(told[3]) - 1
    assert abs(found[name][row, column]) == max(np.abs(gradient).max() for gradient in found.values())
    way = "Lower that weight" if found[name][row, column] > 0 else "Raise that weight"
    assert ("a unit that it moves is at its corner" if name == "W1" and (z == 0).any() else way) in verdict


def test_where_the_steepest_slope_is_at_a_corner_no_move_is_promised(opens: Opens) -> None:
    graph = network([2, 1, 1], weight_decay=1.0)
    values = {"x": np.array([[1.0], [2.0]]), "y": np.array([[100.0]]), "W1": np.array([[2.0, -1.0]])}
    visit = opens(OneWeight(graph, values | {"W2": np.array([[0.1]])}).island())
    visit.nudge_all()
    visit.button("One backward pass").click()
    assert "The steepest is at W⁽¹⁾ row 1, column 1: 2. But a unit that it moves is at its corner" in visit.verdict
    assert "falls fastest" not in visit.verdict and "agree on 1 of 3 slopes" in visit.verdict
