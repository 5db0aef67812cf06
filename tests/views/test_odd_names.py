"""Variables called as anything is called: the text, the state, the drawing and the page take each for what it is."""

from __future__ import annotations

import keyword
import string
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace

import ipywidgets
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

import mlp
from mlp import Equation, Graph, trace
from mlp.draw import to_svg
from mlp.draw.labels import unicode_name
from mlp.examples import diamond, running_example
from mlp.ops import Array
from mlp.text import tuple_of
from mlp.views.state import stops, words_of
from mlp.views.stepper import Stepper
from tests.views.pages import OpenView, Pages

NAMES = [
    *string.ascii_letters,
    *("lr", "update", "new", "instalment", "of", "weight_decay", "learning", "rate", "half", "cotangent", "gradient"),
    *("constructor", "__proto__", "toString", "hasOwnProperty", "values", "steps", "dJ", "eta", "nan", "inf", "work"),
    *("layer", "back", "final", "the", "adding", "sum", "loss", "None", "if", "Θ", "ŷ", "b1", "a_b", "_", "x0"),
    *keyword.softkwlist[:1],
]
Values = dict[str, Array]


def renamed(graph: Graph, values: Values, names: dict[str, str]) -> tuple[Graph, Values]:
    """The same graph, its variables called otherwise."""
    variables = [replace(v, name=names[v.name], tex="") for v in graph.variables.values()]
    equations = [Equation(e.op, [names[n] for n in e.inputs], names[e.output], e.attrs) for e in graph.equations]
    other = Graph(variables, equations, names[str(graph.objective)], names[str(graph.output)])
    return other, {names[name]: array for name, array in values.items()}


def cases() -> Iterator[pytest.param]:
    """Each name is in each role sometimes."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        graph, values = (running_example, diamond)[seed % 2]()
        chosen = rng.choice(len(NAMES), len(graph.variables), replace=False)
        names = {name: NAMES[k] for name, k in zip(graph.variables, chosen, strict=True)}
        yield pytest.param(*renamed(graph, values, names), graph, values, names, id=str(seed))


CASES = list(cases())


def test_every_name_has_its_turn() -> None:
    assert {name for case in CASES for name in case.values[4].values()} == set(NAMES)


@pytest.mark.parametrize(("graph", "values", "plain", "plain_values", "names"), CASES)
def test_a_name_is_never_taken_for_anything_else(
    graph: Graph, values: Values, plain: Graph, plain_values: Values, names: dict[str, str]
) -> None:
    walk, before = stops(graph), stops(plain)
    assert len({stop.id for stop in walk}) == len(walk)
    for stop, old in zip(walk, before, strict=True):
        special = [slot for slot in old.slots if slot not in plain.variables and "/" not in slot]
        assert not graph.variables.keys() & {slot for slot in stop.slots if " " in slot}
        assert len(stop.slots) == len(old.slots)
        for slot, was in zip(stop.slots, old.slots, strict=True):
            if was in special:
                assert " " in slot  # no identifier
            else:
                assert slot == names.get(was) or "/" in slot
    root = ET.fromstring(to_svg(graph, direction="both"))
    assert {e.get("data-variable") for e in root.iter() if e.get("data-variable")} == set(graph.variables)


@pytest.mark.parametrize(("graph", "values", "plain", "plain_values", "names"), CASES)
def test_the_text_has_the_same_numbers_and_names_as_they_are_written(
    graph: Graph, values: Values, plain: Graph, plain_values: Values, names: dict[str, str]
) -> None:
    lines, before = (Stepper(g, v).text().splitlines() for g, v in ((graph, values), (plain, plain_values)))
    for line, old in zip(lines, before, strict=True):
        assert line[line.rindex(".") :].count("(") == old[old.rindex(".") :].count("(")
        assert line.partition(" ")[0] == old.partition(" ")[0]
    for step in (step for step in trace(graph, values) if step.equation.op == "matmul" and step.phase == "forward"):
        W, x = (unicode_name(name) for name in step.equation.inputs)
        made = unicode_name(step.equation.output)
        assert any(f", forward. {W} times {x} gives {made}, " in line for line in lines)
        assert words_of(graph, step.equation, None) == f"{W} times {x}"


@pytest.mark.parametrize("example", [running_example, diamond])
def test_a_cotangent_that_is_not_final_is_told_as_it_is_then(example) -> None:  # type: ignore[no-untyped-def]
    """Stop 8 of the running example: the regulariser has paid λW, and nothing else has come."""
    graph, values = example()
    run, lines = trace(graph, values), Stepper(graph, values).text().splitlines()
    for line, stop in zip(lines, stops(graph), strict=True):
        told = []
        for step in (run[index] for index in stop.steps):
            until = [s for s in run[: step.index + 1] if s.phase == "backward" and s.variable == step.variable]
            parts = [s.contributions[step.variable] for s in until]
            told.append(sum(parts[1:], parts[0]) if step.phase == "backward" else run[step.variable])
            if step.final:
                np.testing.assert_array_equal(told[-1], run[step.writes[0]])
        assert line.endswith("; ".join(map(tuple_of, told)))
    eighth = next(line for line in lines if "Gradient of W⁽¹⁾" in line and "Not final" in line)
    assert f" {tuple_of(0.1 * values['W1'])}; {tuple_of(0.1 * values['W2'])}" in eighth


def test_the_sentence_begins_with_the_name_as_it_is() -> None:
    names = {"W1": "a", "x": "lr", "z": "z", "h": "h", "W2": "lr2", "o": "o", "y": "y", "L": "L", "s": "s", "J": "J"}
    graph, values = renamed(*running_example(), names)
    text = Stepper(graph, values).text()
    assert "forward. a times lr gives z" in text and "forward. lr⁽²⁾ times h gives o" in text
    assert "forward. Relu of each entry of z" in text


# --- in the page ----------------------------------------------------------------------------------------------------

IN_PAGE = [
    {"W1": "lr", "x": "a", "z": "update", "h": "new", "W2": "half", "o": "constructor"},
    {"W1": "a", "x": "lr", "z": "instalment", "h": "__proto__", "W2": "rate", "o": "learning"},
    {"W1": "eta", "x": "update", "z": "lr", "h": "of", "W2": "toString", "o": "b", "s": "d", "J": "e"},
]


@pytest.fixture(scope="module")
def plain_numbers(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    graph, values = running_example()
    names = {name: {"W1": "V", "W2": "U"}.get(name, name) for name in graph.variables}  # a superscript is a number too
    return numbers_of(Pages(browser, tmp_path_factory.mktemp("plain")), *renamed(graph, values, names))


def numbers_of(pages: Pages, graph: Graph, values: Values) -> list[list[str]]:
    """All numbers of the formula, stop by stop, as a page shows them."""
    visit = pages.open(OpenView, [Stepper(graph, values).island()], "light")
    page: Page = visit.page
    found = []
    for place in range(len(stops(graph))):
        page.locator(".mlp-stepper .mlp-stops").select_option(str(place))
        visit.settle()
        numbers = "[...document.querySelectorAll('.mlp-formula')[1].querySelectorAll('mn')].map(e => e.textContent)"
        found.append(page.evaluate(numbers))
    assert not visit.trouble
    return found


@pytest.mark.parametrize("names", IN_PAGE)
def test_the_page_fills_each_slot_with_its_own_numbers(
    pages: Pages, plain_numbers: list[list[str]], names: dict[str, str]
) -> None:
    graph, values = running_example()
    assert all(plain_numbers)
    every = {name: names.get(name, name) for name in graph.variables}
    assert numbers_of(pages, *renamed(graph, values, every)) == plain_numbers


# --- explore --------------------------------------------------------------------------------------------------------


def test_after_many_changes_one_stepper_is_alive() -> None:
    from ipywidgets.widgets import widget

    box = mlp.explore(width=4)
    shown = box.stepper
    before = len(widget._instances)
    for width in (1, 2, 3, 5, 6, 7, 8, 1, 2, 3):
        box._controls["width"].value = width
    assert box.stepper is not shown and shown.comm is None and box.stepper.comm is not None
    assert len(widget._instances) <= before
    assert isinstance(box.children[0], ipywidgets.Box) and box.children[1] is box.stepper
