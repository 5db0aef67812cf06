"""Questions in a page opened from disk: every kind answered, by mouse and by keyboard, every wrong answer told why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

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
    {"bytes": {8 * 64 * 64: "These are numbers; each has 8 bytes.", ...: "Count the numbers first."}},
    right="Eight bytes for each number.",
    name="bytes",
)
FORM = "(rows, columns), or () for a single number"
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
        ("262,144", "bytes: “262,144” may be 262144 or 262.144: write it without a comma."),
        ("8 × 64 × 64 × 8", "✓ Right."),
        ("2^18", "✓ Right."),
        ("262 144", "✓ Right."),
        (" 2.62144e5 ", "✓ Right."),
        ("32768", "✗ Not yet.\nbytes: These are numbers; each has 8 bytes."),
        ("5", "✗ Not yet.\nbytes: 5 is too small. Count the numbers first."),
        ("", "bytes: The field is empty: write a number."),
        ("many", "bytes: “many” is no number."),
        ("-262144", "✗ Not yet.\nbytes: −262144 has the wrong sign. Count"),
        ("262144,5", "✗ Not yet.\nbytes: 262144.5 is too large. Count"),
    ],
)
def test_a_number_is_read_as_people_write_it(opens: Opens, text: str, said: str) -> None:
    visit = opens(NUMBER.island())
    visit.fill("bytes", text)
    assert visit.check().startswith(said)


def typed(value: float, style: str) -> str:
    """A number as somebody types it."""
    whole, _, part = f"{value:.3f}".partition(".")
    groups = f"{int(whole):,}"
    return {
        "point": f"{whole}.{part}",
        "comma": f"{whole},{part}",
        "spaces": f"{groups.replace(',', ' ')},{part}",
        "British": f"{groups}.{part}",
        "German": f"{groups.replace(',', '.')},{part}",
        "Swiss": f"{groups.replace(',', '’')}.{part}",
        "e": f"{value:.12e}",
        "fraction": f"{whole}{part}/1000",
        "power": f"{whole}{part}·10⁻³",
        "product": f"{whole}.{part} × 2^3 / 8",
        "sum": f"{whole} + {part}/10**3",
    }[style]


@pytest.fixture
def reads(browser: Browser) -> Callable[..., Any]:
    """The page's reader of numbers."""
    page = browser.new_page()
    page.add_script_tag(content=(Path(bundle.__file__).parent / "js" / "kit.js").read_text("utf-8"))
    return lambda text, whole=False: page.evaluate("([text, whole]) => readNumber(text, whole)", [text, whole])


def test_no_number_is_misread_however_it_is_typed(reads: Callable[..., Any]) -> None:
    """Every style and size: the number itself, or a question where a comma can be two things; never another number."""
    rng = np.random.default_rng(0)
    styles = ["point", "comma", "spaces", "British", "German", "Swiss", "e", "fraction", "power", "product", "sum"]
    asked = 0
    for _ in range(150):
        value = round(float(10 ** rng.uniform(-3, 8)), 3)
        style, minus = str(rng.choice(styles)), str(rng.choice(["", "-", "−", "–"]))
        text = typed(value, style)
        told = reads(f"{minus}({text})" if minus and style == "sum" else minus + text)
        if style in ("comma", "German", "spaces") and 1 <= value < 1000:
            assert "write it without a comma" in told["reason"], text
            asked += 1
        else:
            assert told["number"] == pytest.approx(-value if minus else value, rel=1e-12), (text, told)
    assert asked


@pytest.mark.parametrize(
    ("text", "number", "whole"),
    [
        ("0,125", 0.125, 0.125),
        ("-0,250", -0.25, -0.25),
        ("1,000", "may be 1000 or 1.000", 1000),
        ("262,144", "may be 262144 or 262.144", 262144),
        ("1,0000", 1, 1),
        ("1234,567", 1234.567, 1234.567),
        ("1,625,312", 1625312, 1625312),
        ("1/4", 0.25, 0.25),
        ("8*64*64*8", 262144, 262144),
        ("2·(784 + 10)·256·4", 1626112, 1626112),
        ("½", 0.5, 0.5),
        ("-2^2", -4, -4),
        ("1,5e3", 1500, 1500),
        ("２５", 25, 25),
        ("1,000 000", "may be", None),
        ("1,000 x 2", "may be", 2000),
        ("8x64 X 64", 32768, 32768),
        ("10x5", 50, 50),
        ("2 x 1 000", 2000, 2000),
        ("1 000x2", 2000, 2000),
        ("1 000 + 1_000'", "is no number", None),
        ("1\u202f234\u202f567,5", 1234567.5, 1234567.5),
    ],
)
def test_commas_fractions_and_products(reads: Callable[..., Any], text: str, number: Any, whole: float | None) -> None:
    told = reads(text)
    assert number in told["reason"] if isinstance(number, str) else told == {"number": number}
    assert "is no number" in reads(text, True)["reason"] if whole is None else reads(text, True) == {"number": whole}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "alert(1)",
            "constructor",
            "NaN",
            "Infinity",
            "1,2,3",
            "1.2.3",
            "12 34",
            "1½",
            "3)",
            "()",
            "5e",
            "-",
            "1/",
            "0/0",
        ),
        *("0x10", "0X1F", "2*0x10", "00x10", "0b1", "1 234.5 678", "1 234'567", "1234 567", "0 125", "1e-1 000"),
        *("01,000", "01,5", "00,125", "1.000 000", "1 000 00", "1,5 000", "5x", "1.x5", "2x.5"),
        *("(" * 190, "(" * 100_000, "[]", "1;2", "`1`", "1 2", "e5"),
    ],
)
def test_what_is_no_number_is_refused_in_words(reads: Callable[..., Any], text: str) -> None:
    told = reads(text)
    assert set(told) == {"reason"}
    assert "is no number." in told["reason"] or "is too long for a number." in told["reason"]


def test_several_numbers_each_have_their_reason_and_a_tolerance(opens: Opens) -> None:
    visit = opens(DECIMAL.island())
    visit.fill("J, units", "3.52")
    visit.fill("L, units", "2.5")
    assert visit.check() == "✗ Not yet.\nL: 2.5 has the wrong sign."
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
        ("784, 10", "1, 1", "✗ Not yet.\nx: (784, 10): the columns are not right.\nL: That is a matrix"),
        (
            "(10, 64)",
            "1",
            "✗ Not yet.\nx: (10, 64): the rows are not right.\nL: That is a row with one entry",
        ),
        (
            "(10, 10)",
            "(3,)",
            "✗ Not yet.\nx: (10, 10): the rows and the columns are not right.\nL: (3): it should be",
        ),
        (
            "(784)",
            "()",
            "✗ Not yet.\nx: (784): it should have rows and columns.",
        ),
        ("784 64 1", "()", "✗ Not yet.\nx: (784, 64, 1): it should have rows and columns."),
        ("()", "()", "✗ Not yet.\nx: (): it should have rows and columns."),
        ("784, 64", "number", "L: Write a shape such as (5, 2), or ()"),
        ("784, 64", "", "L: Write a shape such as (5, 2), or ()"),
        ("", "()", "x: Write a shape"),
        ("784.5, 64", "()", "x: Write a shape"),
        ("-784, 64", "()", "x: Write a shape"),
        ("784,064", "()", "x: Write a shape"),
        ("0, 64", "()", "x: Write a shape"),
        ("(1,000, 3)", "()", "x: Write a shape"),
        ("1 000, 3", "()", "x: Write a shape"),
        ("1,000×3", "()", "x: Write a shape"),
        ("(1,234, 3)", "()", "x: Write a shape"),
        ("1 234, 3", "()", "x: Write a shape"),
        ("3 × 1,234", "()", "x: Write a shape"),
        ("0x10", "()", "x: Write a shape"),
        ("784x64", "()", "✓ Right."),
        ("(10,256)", "()", "✗ Not yet.\nx: (10, 256): the rows and the columns are not right."),
    ],
)
def test_shapes(opens: Opens, x: str, scalar: str, said: str) -> None:
    visit = opens(SHAPES.island())
    visit.fill(f"x, {FORM}", x)
    visit.fill(f"L, {FORM}", scalar)
    assert visit.check().startswith(said)


def test_what_is_kept_is_not_given_away(opens: Opens) -> None:
    """Nothing ticked is no answer; the first wrong one is told how many are wrong, each later one a reason besides."""
    visit = opens(KEPT.island())
    boxes = {name: visit.root.get_by_role("checkbox", name=name, exact=True) for name in "xzho"}
    for _ in range(3):
        assert visit.check() == "Choose first: tick what applies."
    for name in "zho":
        boxes[name].check()
    counted = "2 of the 4 are wrong: ticked and should not be, or the other way round."
    assert visit.check().splitlines() == ["✗ Not yet.", counted]
    boxes["z"].uncheck()
    boxes["x"].check()
    boxes["o"].uncheck()
    assert visit.check().splitlines() == [
        "✗ Not yet.",
        "1 of the 4 is wrong: ticked and should not be, or the other way round.",
        "o is kept: ∂J/∂o is computed from it.",
    ]
    boxes["x"].uncheck()
    boxes["h"].uncheck()
    assert visit.check() == "Choose first: tick what applies."
    for name in "xho":
        boxes[name].check()
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
    assert visit.check() == "Move the steps first."
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
    assert visit.check() == "✗ Not yet.\n1 of the 6 steps comes too early."
    assert (
        visit.check() == "✗ Not yet.\n1 of the 6 steps comes too early.\nh is computed from z, which comes later here."
    )


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
    visit.check()
    assert visit.check().count(hostile) == 1
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


def test_it_adds_little_to_the_page_script() -> None:
    """What the script of a page with a stepper gains by a question beside it."""
    views = frozenset({"stepper"})
    without, whole = (len(minified(bundle.page_script(some)).encode()) for some in (views, views | {"question"}))
    assert 1_000 < whole - without < 5_000
