"""The chain-rule view in a page opened from disk: every factor and every stage, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlp import network, trace
from mlp.examples import running_example, scalar_chain, two_paths
from mlp.text import bytes_text, number
from mlp.views.chain_rule import ChainRule, fold, operator_ways
from tests.cases import random_values
from tests.everyone import barriers
from tests.views.pages import LOOKS, OpenView, Pages, tampered


class Visit(OpenView):
    """A chain-rule view in a page."""

    outermost = ".mlp-chain-rule"

    def button(self, name: str | re.Pattern[str]) -> Any:
        return self.root.get_by_role("button", name=name)

    def radio(self, name: str) -> Any:
        return self.root.get_by_role("radio", name=name)

    def field(self, name: str) -> Any:
        return self.root.get_by_role("textbox", name=name, exact=True)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(f".mlp-chain-rule {selector}").all_text_contents()]

    def table(self, caption: str) -> list[str]:
        """The entries of the table whose caption begins so."""
        return self.page.evaluate(  # type: ignore[no-any-return]
            """caption => {
              const tables = [...document.querySelectorAll(".mlp-chain-rule table")];
              const found = tables.find(table => table.caption?.textContent.startsWith(caption));
              return [...found.querySelectorAll("tbody td")].map(cell => cell.textContent);
            }""",
            caption,
        )


Opens = Callable[..., Visit]


@pytest.fixture
def opens(pages: Pages) -> Opens:
    def make(*islands: str, look: str = "light") -> Visit:
        return pages.open(Visit, islands, look)

    return make


def paths(**options: Any) -> str:
    return ChainRule(*two_paths(), scene="paths", **options).island()


def operator(**options: Any) -> str:
    return ChainRule(*running_example(), **options).island()


# --- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["light", "phone"])
def test_factors_multiply_one_after_the_other(opens: Opens, look: str) -> None:
    visit = opens(ChainRule(*scalar_chain(), scene="paths").island(), look=look)
    products = [1]
    for factor, slope in enumerate([1, 4, 0.25, 2], 1):
        products.append(products[-1] * slope)
        visit.button("Next factor").click()
        assert visit.find("output").inner_text() == f"{factor} of 4 factors"
        shown = [number(product) for product in products] + ["·"] * (4 - factor)
        assert visit.texts(".mlp-reached strong") == shown
    assert visit.said == ("∂L/∂W⁽¹⁾ = 2, along the only path. The backward pass has 2; nudging W⁽¹⁾ gives 2.")
    visit.button("Back").click()
    assert visit.said == "∂h/∂z is 0.25, so along path 1 ∂L/∂z is 1."


def test_products_of_two_paths_add_up(opens: Opens) -> None:
    visit = opens(paths())
    assert len(visit.texts(".mlp-path")) == 2
    for _ in range(5):
        visit.button("Next factor").click()
    assert visit.button("Next factor").get_attribute("aria-disabled") == "true"
    assert visit.said == "∂J/∂W⁽¹⁾ = 2 + 1 = 3. The backward pass has 3; nudging W⁽¹⁾ gives 3."
    visit.find("select").select_option("h")
    assert visit.find("output").inner_text() == "3 of 3 factors"
    assert visit.said.startswith("∂J/∂h = 4 + 2 = 6.")


def test_paths_are_walked_by_the_keyboard_alone(opens: Opens) -> None:
    visit = opens(paths())
    press = visit.page.keyboard.press
    for _ in range(3):
        press("Tab")
    assert "Next factor" in visit.page.evaluate("document.activeElement.textContent")
    for _ in range(5):
        press("Enter")
    assert visit.said.startswith("∂J/∂W⁽¹⁾ = 2 + 1 = 3.")
    press("Shift+Tab")
    press(" ")
    assert visit.find("output").inner_text() == "4 of 5 factors"


@pytest.mark.parametrize("w", [-1.5, 0.3, 2.0])
def test_another_number_gives_other_factors(opens: Opens, w: float) -> None:
    visit = opens(paths(stage=5))
    visit.find("summary").click()
    visit.field("W⁽¹⁾ row 1, column 1").fill(str(w))
    graph, values = two_paths()
    run = trace(graph, values | {"W1": np.array([[w]])})
    assert f"The backward pass has {number(run['dJ/dW1'].item())}" in visit.said
    products = [float(text.replace("−", "-")) for text in visit.texts(".mlp-path > li:last-child .mlp-reached strong")]
    assert sum(products) == pytest.approx(run["dJ/dW1"].item(), rel=1e-3)
    visit.button("Reset").click()
    assert visit.said.startswith("The book's numbers are back. ∂J/∂W⁽¹⁾ = 2 + 1 = 3.")


@pytest.mark.parametrize("text", ["", "abc", "1e400", "1e200"])
def test_bad_numbers_are_refused_where_they_stand(opens: Opens, text: str) -> None:
    visit = opens(paths(stage=5))
    visit.find("summary").click()
    field = visit.field("W⁽²⁾ row 1, column 1")
    visit.enter(field, text)
    assert field.get_attribute("aria-invalid") == "true"
    assert "It stays 4." in visit.find(".mlp-complaint").text_content()
    assert visit.said.startswith("∂J/∂W⁽¹⁾ = 2 + 1 = 3.")
    field.blur()
    assert field.input_value() == "4"


# --- one operator ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["light", "phone"])
def test_all_stages_of_all_operators_give_what_python_gives(opens: Opens, look: str) -> None:
    graph, values = running_example(batch=2)
    visit = opens(ChainRule(graph, values).island(), look=look)
    for way in operator_ways(graph):
        visit.find("select").select_option(way)
        matrix, _, result = fold(graph, values, *way.split("/"))
        for stage in ("Jacobian × cotangent", "Without the zeros", "The shortcut"):
            visit.radio(stage).check()
            made = visit.page.locator(".mlp-chain-rule .mlp-folding .mlp-is-cotangent table").last
            assert made.locator("tbody td").all_text_contents() == [number(float(entry)) for entry in result.flat]
        costs = visit.table("What each stage takes")
        filled = int(np.count_nonzero(matrix))
        assert costs[:6] == [
            bytes_text(matrix.nbytes), f"{matrix.size:,}", "✓ equal", bytes_text(filled * 8), f"{filled:,}", "✓ equal"
        ]  # fmt: skip
        assert costs[6] == "0 B"


def test_the_heat_map_is_a_table_with_its_numbers(opens: Opens) -> None:
    visit = opens(operator(chosen="h/z"))
    matrix = fold(*running_example(), "h", "z")[0]
    assert visit.table("∂h/∂z, 4 by 4") == [number(float(entry), 3) for entry in matrix.flat]
    assert visit.texts(".mlp-heat th[scope=row]") == ["h₁", "h₂", "h₃", "h₄"]
    visit.radio("Without the zeros").check()
    kept = visit.table("∂h/∂z, 4 by 4")
    assert [text for text in kept if text != "0, left out"] == ["1", "1", "1"]
    told = "3 of 16 entries are not 0 with these numbers. The others are multiplied, added, and change nothing."
    assert visit.said == told


def test_the_table_and_the_cotangent_are_told_apart(opens: Opens) -> None:
    visit = opens(operator(chosen="o/W2"))
    visit.find("select").select_option("s/W1")
    assert visit.said == (
        "The table has one row for s and a column for each of the 12 entries of W⁽¹⁾. Its transpose times the "
        "cotangent ∂J/∂s, which has the shape of s, is an instalment to ∂J/∂W⁽¹⁾. Matrices are read row by row."
    )
    visit.radio("The shortcut").check()
    assert visit.said.endswith(
        "Stage 2 has 10, as it also leaves out zeros that only these numbers bring; the engine does not look for them."
    )
    visit.find("select").select_option("L/o")
    assert visit.said.startswith("The table has one row for L and a column for each of the 2 entries of o.")
    assert visit.said.endswith("is ∂J/∂o.")


def test_stages_are_chosen_by_the_keyboard_alone(opens: Opens) -> None:
    visit = opens(operator(chosen="o/W2"))
    press = visit.page.keyboard.press
    press("Tab")
    press("Tab")
    for words in ("6 of 16 entries", "What the engine computes", "The table has a row for each"):
        press("ArrowRight")
        assert visit.said.startswith(words)


def test_softmax_has_a_full_jacobian(opens: Opens) -> None:
    graph = network([3, 4, 3], 1, "tanh", "cross_entropy")
    values = random_values(graph, 2)
    visit = opens(ChainRule(graph, values, chosen="L/o").island())
    assert len(visit.table("∂L/∂o, 1 by 3")) == 3
    assert visit.texts(".mlp-costs td")[2] == "✓ equal"


def test_a_large_jacobian_is_shown_by_its_corner_and_a_larger_one_not_made(opens: Opens) -> None:
    graph = network([40, 30, 20], 2, "tanh")
    visit = opens(ChainRule(graph, random_values(graph, 0), chosen="o/W2").island())
    assert len(visit.table("∂o/∂W⁽²⁾, 40 by 600")) == 16 * 16
    assert "the first 16 rows and 16 columns" in visit.find(".mlp-folding").inner_text()
    visit.find("select").select_option("z/W1")
    for stage in (0, 1, 2):
        visit.page.locator(".mlp-stages input").nth(stage).check()
    assert visit.texts(".mlp-costs td")[:3] == [bytes_text(60 * 1200 * 8), "72,000", "✓ equal"]
    huge = network([200, 100, 3], 2, "tanh")
    visit = opens(ChainRule(huge, random_values(huge, 0), chosen="z/W1").island())
    assert visit.said.startswith("∂z/∂W⁽¹⁾ would have 200 × 20000 entries, 32 MB: too many to make here.")
    assert visit.texts(".mlp-costs td")[:3] == ["32 MB", "4,000,000", "not made"]
    visit.radio("The shortcut").check()
    assert visit.said.startswith("What the engine computes")


# --- what else can happen -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(chosen="nothing"),
        lambda told: told.update(version=99),
        lambda told: told.update(values={}),
        lambda told: told.pop("ways"),
    ],
)
def test_a_damaged_state_leaves_a_message_and_the_picture(opens: Opens, change: Callable[[Any], Any]) -> None:
    visit = opens(tampered(operator(), change))
    assert "It stays a picture here." in visit.page.locator(".mlp-message").inner_text()


@pytest.mark.parametrize("look", list(LOOKS))
def test_nobody_is_kept_out_in_any_scene_or_stage(opens: Opens, look: str) -> None:
    visit = opens(paths(name="two"), operator(name="one", chosen="o/W2"), look=look)
    page = visit.page
    for summary in page.locator(".mlp-chain-rule summary").all():
        summary.click()
    for stage in range(6):
        for radio in page.locator(".mlp-stages input").nth(stage % 3).all():
            radio.check()
        assert barriers(page, "main") == []
        if stage < 5:
            visit.button("Next factor").click()
    small = page.evaluate(
        """() => [...document.querySelectorAll(".mlp-chain-rule :is(button, select, summary, label)")]
          .filter(node => node.checkVisibility() && node.getBoundingClientRect().height < 24)
          .map(node => node.outerHTML)"""
    )
    assert small == []


def test_names_from_outside_are_text(opens: Opens) -> None:
    def rename(told: dict[str, Any]) -> None:
        told["rules"] = {way: ["mtext", "<img src=x onerror=alert(1)>"] for way in told["rules"]}

    visit = opens(tampered(operator(stage=2, chosen="o/W2"), rename))
    assert visit.page.locator("img[src=x]").count() == 0
    assert re.search("<img", visit.find(".mlp-rule").inner_text())
