"""Every view of a graph in a page, with arrays larger than the arguments that a function can take."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from mlp import network, value_and_grad
from mlp.graph import Graph
from mlp.ops import Array
from mlp.text import number
from mlp.views import bundle
from mlp.views.chain_rule import ChainRule
from mlp.views.one_weight import OneWeight
from mlp.views.stepper import Stepper
from mlp.views.view import View
from tests.views.pages import OpenView, Pages, tampered

WIDTHS = (784, 256, 10)  # the book's own example: W⁽¹⁾ has 200,704 entries


def example(widths: tuple[int, ...]) -> tuple[Graph, dict[str, Array]]:
    """A network that tells digits apart, with an example."""
    graph = network(list(widths), activation="relu", loss="cross_entropy", weight_decay=1e-4)
    rng = np.random.default_rng(0)
    label = np.zeros((widths[-1], 1))
    label[1] = 1.0
    return graph, graph.init(0) | {"x": rng.random((widths[0], 1)).round(3), "y": label}


def all_of(stepper: OpenView, J: float, slope: float) -> None:
    """Every stop, with everything open, and what is shown of the largest array."""
    stepper.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    stepper.settle()
    count = stepper.page.locator(".mlp-stops option").count()
    for place in range(count):
        stepper.find(".mlp-stops").select_option(str(place))
    assert stepper.find(".mlp-count").inner_text() == f"{count} of {count}"
    assert f"from {number(J, 5)} to " in stepper.find(".mlp-outlook").inner_text()
    assert re.search(r"W⁽¹⁾ \d+×\d+, read from −", stepper.find(".mlp-panel-numbers").inner_text())


def one_slope(view: OpenView, J: float, slope: float) -> None:
    """J, and the slope of the steepest weight."""
    assert view.find(".mlp-objective").inner_text() == f"J = {number(J, 5)}"
    assert view.find(".mlp-slope data").inner_text() == number(slope)
    view.button("One backward pass").click()
    assert f": {number(slope)}." in view.find(".mlp-verdict").inner_text()


def all_ways(view: OpenView, J: float, slope: float) -> None:
    """Every way of a cotangent, in its three stages; the shortcut is there even where no table can be."""
    for way in view.find("select").locator("option").all():
        view.find("select").select_option(way.get_attribute("value"))
        for stage in view.root.get_by_role("radio").all():
            stage.check()
        assert "no Jacobian at all" in view.find(".mlp-words").inner_text()
        assert view.find(".mlp-folding .mlp-array").count() == 1


@pytest.mark.parametrize(("made", "looked"), [(Stepper, all_of), (OneWeight, one_slope), (ChainRule, all_ways)])
def test_a_view_of_a_large_network_is_alive(
    pages: Pages, made: type[View], looked: Callable[[OpenView, float, float], None]
) -> None:
    graph, values = example(WIDTHS)
    J, gradients = value_and_grad(graph, values)
    slopes = np.concatenate([gradient.ravel() for gradient in gradients.values()])
    view = pages.open(OpenView, [made(graph, values).island()])
    assert view.page.locator(".mlp-message").count() == 0
    looked(view, J, float(slopes[np.abs(slopes).argmax()]))


def test_every_view_of_a_graph_is_tried() -> None:
    assert {made for made in View.__subclasses__() if made.__module__.startswith("mlp.")} == {
        Stepper,
        OneWeight,
        ChainRule,
    }


@pytest.mark.parametrize("fault", ["new Array(-1)", "null.what", "(function f() { f(); })()"])
def test_a_fault_of_the_page_is_not_told_as_a_sentence_of_the_book(pages: Pages, fault: str) -> None:
    """A native error says what it is; only what the views themselves refuse is shown as it stands."""
    graph, values = example((3, 4, 2))
    island = Stepper(graph, values).island()
    view = pages.open(OpenView, [island])
    said = view.page.evaluate(
        f"""() => {{
          {bundle.fragments()}
          const place = document.createElement("div");
          const state = document.querySelector('figure script[type="application/json"]').textContent;
          const model = {{ get: (trait) => {{ if (trait === "values") {fault}; return JSON.parse(state)[trait]; }} }};
          renderView(model, place);
          return place.textContent;
        }}"""
    )
    told = r"The data of this view is damaged, or too much for this page \((Range|Type)Error: .+\)\."
    assert re.fullmatch(f"{told} It stays a picture here\\.", said), said
    refused = tampered(island, lambda told: told["values"].update(x=[[1.0]]))
    view = pages.open(OpenView, [refused])
    assert "numbers: expected shape (3, 1), received [[1]]. It stays" in view.page.locator(".mlp-message").inner_text()
