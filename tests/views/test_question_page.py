"""Questions in a page opened from disk: every kind answered, by mouse and by keyboard, every wrong answer told why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mlp.examples import running_example
from mlp.views import bundle
from mlp.views.question import Question
from mlp.views.stepper import Stepper
from tests.everyone import barriers
from tests.views.pages import LOOKS, OpenView, Pages, tampered
from tests.views.shipped import minified

GRAPH, VALUES = running_example()
NUMBER = Question.numbers(
    "How many bytes do 8 weight matrices of 64 × 64 take in float64?",
    {"bytes": 8 * 64 * 64 * 8},
    {"bytes": {8 * 64 * 64: "These are numbers; each has 8 bytes."}},
    right="Eight bytes for each number.",
    name="bytes",
)
DECIMAL = Question.numbers("J and L?", {"J": 3.5, "L": -2.5}, tolerance=0.01, unit="units", name="decimal")
SHAPES = Question.shapes("Which shapes?", {"x": (784, 64), "L": ()}, name="shapes")
KEPT = Question.kept("Which of these must be kept?", GRAPH, right="z may go.", name="kept")
CHOICE = Question.choice("Up or down?", {"up": "", "down": "J falls to the right."}, "up", name="way")
FORWARD = Question.order_of("Put forward in order.", GRAPH, "forward", name="forward")


class Visit(OpenView):
    """A question in a page."""

    outermost = ".mlp-question"

    @property
    def verdict(self) -> str:
        lines = str(self.root.locator(".mlp-answered").inner_text()).splitlines()
        return "\n".join(line for line in lines if line)

    @property
    def status(self) -> str:
        return str(self.root.locator("p[role=status]").text_content())

    def check(self) -> str:
        self.root.get_by_role("button", name="Check", exact=True).click()
        return self.verdict

    def fill(self, label: str, text: str) -> None:
        self.root.get_by_label(label, exact=True).fill(text)

    @property
    def steps(self) -> list[str]:
        return list(self.root.locator(".mlp-step").all_inner_texts())


Opens = Callable[..., Visit]


@pytest.fixture
def opens(pages: Pages) -> Opens:
    def make(*islands: str, look: str = "light", script: bool = True) -> Visit:
        return pages.open(Visit, islands, look, java_script_enabled=script)

    return make


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("262144", "✓ Right.\nEight bytes for each number."),
        ("262,144", "✓ Right."),
        ("262 144", "✓ Right."),
        (" 2.62144e5 ", "✓ Right."),
        ("32768", "✗ Not yet.\nbytes: These are numbers; each has 8 bytes."),
        ("5", "✗ Not yet.\nbytes: 5 is not it."),
        ("", "bytes: The field is empty: write a number."),
        ("many", "bytes: “many” is no number."),
        ("-262,144", "✗ Not yet.\nbytes: −262144 is not it."),
    ],
)
def test_a_number_is_read_as_people_write_it(opens: Opens, text: str, said: str) -> None:
    visit = opens(NUMBER.island())
    visit.fill("bytes", text)
    assert visit.check().startswith(said)


def test_several_numbers_each_have_their_reason_and_a_tolerance(opens: Opens) -> None:
    visit = opens(DECIMAL.island())
    visit.fill("J, units", "3.52")
    visit.fill("L, units", "2.5")
    assert visit.check() == "✗ Not yet.\nL: 2.5 is not it."
    visit.fill("L, units", "−2,51")
    assert visit.verdict == ""  # an answer that changes is not judged any more
    visit.root.get_by_label("L, units", exact=True).press("Enter")
    assert visit.verdict == "✓ Right."


@pytest.mark.parametrize(
    ("x", "scalar", "said"),
    [
        ("(784, 64)", "()", "✓ Right."),
        ("784 × 64", "( )", "✓ Right."),
        ("64, 784", "()", "✗ Not yet.\nx: That is transposed"),
        ("50176", "()", "✗ Not yet.\nx: That is as many numbers, in a row"),
        ("784, 10", "1, 1", "✗ Not yet.\nx: (784, 10) is not it.\nL: That is a matrix with one entry"),
        ("784, 64", "number", "L: Write a shape such as (5, 2), or ()"),
        ("", "()", "x: Write a shape"),
    ],
)
def test_shapes(opens: Opens, x: str, scalar: str, said: str) -> None:
    visit = opens(SHAPES.island())
    visit.fill("x, rows, columns", x)
    visit.fill("L, rows, columns", scalar)
    assert visit.check().startswith(said)


def test_what_is_kept_is_told_variable_by_variable(opens: Opens) -> None:
    visit = opens(KEPT.island())
    for name in ("z", "h", "o"):
        visit.root.get_by_role("checkbox", name=name, exact=True).check()
    assert visit.check().splitlines() == [
        "✗ Not yet.",
        "x is kept: ∂J/∂W⁽¹⁾ is computed from it.",
        "z may go: no step of backward reads it. The VJP of relu asks h instead.",
    ]
    visit.root.get_by_role("checkbox", name="z", exact=True).uncheck()
    visit.root.get_by_role("checkbox", name="x", exact=True).check()
    assert visit.check() == "✓ Right.\nz may go."


def test_one_choice_by_keyboard(opens: Opens) -> None:
    visit = opens(CHOICE.island())
    assert visit.check() == "Choose one first."
    visit.root.get_by_role("radio", name="up").focus()
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    assert visit.verdict == "✗ Not yet.\nJ falls to the right."
    visit.page.keyboard.press("ArrowUp")
    assert visit.verdict == ""
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Space")
    assert visit.verdict == "✓ Right."


def test_an_order_by_keyboard_every_topological_one_is_right(opens: Opens) -> None:
    visit = opens(FORWARD.island())
    assert sorted(visit.steps) == ["J", "L", "h", "o", "s", "z"]
    assert "which comes later here." in visit.check() or "which come later here." in visit.verdict
    for place, name in enumerate(("s", "z", "h", "o", "L", "J")):  # s first: it needs the weights only
        while visit.steps.index(name) > place:
            up = visit.root.get_by_role("button", name=f"Move {name} up", exact=True)
            up.focus()
            visit.page.keyboard.press("Enter")
            assert visit.page.evaluate("document.activeElement.textContent").endswith(f"Move {name} up")
            assert visit.status == f"{name} is now in place {visit.steps.index(name) + 1} of 6."
    assert visit.check() == "✓ Right."
    visit.root.get_by_role("button", name="Move z up", exact=True).click()
    visit.root.get_by_role("button", name="Move z down", exact=True).click()
    visit.root.get_by_role("button", name="Move z down", exact=True).click()
    assert visit.steps == ["s", "h", "z", "o", "L", "J"]
    assert visit.check() == "✗ Not yet.\nh is computed from z, which comes later here."


def test_moving_beyond_the_ends_does_nothing(opens: Opens) -> None:
    visit = opens(FORWARD.island())
    before = visit.steps
    top = visit.root.get_by_role("button", name=f"Move {before[0]} up", exact=True)
    assert top.get_attribute("aria-disabled") == "true"
    top.click(force=True)
    visit.root.get_by_role("button", name=f"Move {before[-1]} down", exact=True).click(force=True)
    assert visit.steps == before


def test_without_a_script_the_question_is_there_in_words(opens: Opens) -> None:
    visit = opens(KEPT.island(), script=False)
    text = visit.page.locator("figure").inner_text()
    assert text.splitlines()[0] == "Which of these must be kept?"
    assert visit.page.locator("figure li").all_inner_texts() == ["x", "z", "h", "o"]


def test_the_verdict_is_a_polite_live_region_and_the_question_a_legend(opens: Opens) -> None:
    visit = opens(CHOICE.island())
    place = visit.root.locator(".mlp-answered")
    assert (place.get_attribute("role"), place.get_attribute("aria-live")) == ("status", "polite")
    assert visit.root.get_by_role("group", name="Up or down?").count() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.update(version=99), "newer version"),
        (lambda told: told.update(kind="essay"), "damaged"),
        (lambda told: told.update(kind="__proto__"), "damaged"),
        (lambda told: told.pop("options"), "damaged"),
    ],
)
def test_a_damaged_question_stays_in_words_and_says_so(
    opens: Opens, change: Callable[[Any], Any], message: str
) -> None:
    visit = opens(tampered(CHOICE.island(), change))
    assert message in visit.page.locator("figure .mlp-message").inner_text()
    assert visit.page.locator("figure .mlp-still").is_visible()


def test_nothing_from_outside_becomes_markup(opens: Opens) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    visit = opens(Question.several(hostile, {hostile: hostile, "b": hostile}, [hostile], right=hostile).island())
    visit.root.get_by_role("checkbox", name="b", exact=True).check()
    assert visit.check().count(hostile) == 2
    visit.root.get_by_role("checkbox", name="b", exact=True).uncheck()
    visit.root.get_by_role("checkbox", name=hostile, exact=True).check()
    assert visit.check() == f"✓ Right.\n{hostile}"
    assert visit.page.locator("figure img").count() == 0


def test_it_shares_a_page_with_others(opens: Opens) -> None:
    visit = opens(NUMBER.island(), Stepper(GRAPH, VALUES).island(), CHOICE.island(), KEPT.island())
    assert visit.page.locator(".mlp-question").count() == 3
    ids = visit.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("look", LOOKS)
def test_everyone_can_use_every_state(opens: Opens, look: str) -> None:
    """axe finds nothing against WCAG A and AA, nothing is wider than the screen, targets are large on a phone."""
    visit = opens(*(q.island() for q in (NUMBER, SHAPES, KEPT, CHOICE, FORWARD)), look=look)
    for state in ("at first", "wrong", "right"):
        if state != "at first":
            visit.page.locator(".mlp-question").nth(0).get_by_label("bytes", exact=True).fill(
                "5" if state == "wrong" else "262144"
            )
            for check in visit.page.get_by_role("button", name="Check", exact=True).all():
                check.click()
        visit.settle()
        assert barriers(visit.page, Visit.outermost) == [], state
    if look.startswith("phone"):
        targets = visit.page.locator(".mlp-question").locator("button, input[type=text], .mlp-option")
        for target in targets.all():
            assert target.bounding_box()["height"] >= 44
            assert target.bounding_box()["width"] >= 44


def test_it_adds_little_to_the_page_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the whole script loses when this view's fragment is left out, whatever stands after it."""
    whole = len(minified(bundle.page_script()).encode())
    monkeypatch.setattr(bundle, "FRAGMENTS", tuple(name for name in bundle.FRAGMENTS if name != "question.js"))
    bundle.fragments.cache_clear()
    without = len(minified(bundle.page_script()).encode())
    bundle.fragments.cache_clear()
    assert 1_000 < whole - without < 5_000
