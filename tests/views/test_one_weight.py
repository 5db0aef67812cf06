"""The one-weight view as Python sees it: a widget with traits, an inert island, a picture, a text."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
import traitlets

import mlp
from mlp.engine import value_and_grad
from mlp.examples import diamond, running_example
from mlp.graph import Equation, Graph, Variable
from mlp.views import curve
from mlp.views.one_weight import OneWeight, steepest
from tests.views.test_stepper import Elements

GRAPH, VALUES = running_example()


def test_a_one_weight_view_is_an_ipywidget_and_more() -> None:
    data, _ = mlp.OneWeight(GRAPH, VALUES)._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}


def test_the_island_is_inert_and_small() -> None:
    html = OneWeight(GRAPH, VALUES).island()
    island = Elements(html)
    assert [tag for tag, _ in island.tags] == ["figure", "img", "figcaption", "script"]
    assert island.tags[0][1] == {"class": "mlp-view", "data-view": "one-weight", "id": "one-weight"}
    assert "W⁽²⁾ row 2, column 1 moves: at −1 it is 3.5, with the slope −6.1." in str(island.tags[1][1]["alt"])
    assert str(island.tags[1][1]["src"]).startswith("data:image/svg+xml;base64,")
    assert len(html.encode()) < 60_000


def test_the_island_holds_what_the_widget_holds() -> None:
    view = OneWeight(GRAPH, VALUES, {"name": "W1", "index": (3, 2)}, name="slide-1")
    view.values = VALUES | {"x": np.array([[4.0], [2.0], [-1.0]])}
    told = json.loads(Elements(view.island()).script)
    state = told["state"]
    assert (state["format"], state["version"], state["view"]) == ("mlp-view", 1, "one-weight")
    assert state["chosen"] == {"name": "W1", "index": [3, 2]}
    assert state["values"]["x"] == [[4.0], [2.0], [-1.0]]
    assert state["name"] == "slide-1"


@pytest.mark.parametrize("alone", [True, False])
def test_the_picture_is_svg_with_a_title_and_no_id(alone: bool) -> None:
    svg = ET.fromstring(curve.picture(GRAPH, VALUES, "W1", (0, 0), alone=alone))
    tags = [node.tag.rsplit("}", 1)[-1] for node in svg.iter()]
    assert {"title", "desc", "path", "circle", "text"} <= set(tags)
    assert [node for node in svg.iter() if "id" in node.attrib] == []
    texts = [node.text for node in svg.iter() if node.tag.endswith("text")]
    assert {"J", "−1", "1", "3"} <= set(texts)


def test_the_pictures_curve_goes_through_j() -> None:
    svg = ET.fromstring(curve.picture(GRAPH, VALUES, "W2", (1, 0), alone=True))
    line = next(node.get("d") for node in svg.iter() if node.get("d", "").count("L") == curve.POINTS - 1)
    points = [tuple(map(float, point.split())) for point in str(line)[1:].split("L")]
    heights = [height for _, height in points]
    objective = [
        value_and_grad(GRAPH, curve.moved(VALUES, "W2", (1, 0), w))[0] for w in np.linspace(-3, 1, curve.POINTS)
    ]
    scale, shift = np.polyfit(objective, heights, 1)
    assert scale < 0  # up is more
    np.testing.assert_allclose(heights, scale * np.array(objective) + shift, atol=0.06)  # a tenth of a pixel, rounded


def test_the_slopes_are_those_of_the_gradient() -> None:
    _, gradients = value_and_grad(GRAPH, VALUES)
    for name in GRAPH.parameters:
        for index in np.ndindex(VALUES[name].shape):
            here = curve.slopes(GRAPH, VALUES, name, index)
            assert here.gradient == gradients[name][index]
            assert not here.corner
            assert here.left == pytest.approx(here.gradient, abs=1e-3)
            assert here.right == pytest.approx(here.gradient, abs=1e-3)


def test_a_corner_is_told_with_both_slopes() -> None:
    values = curve.moved(VALUES, "W1", (3, 2), 2.0)  # z₄ = 0
    here = curve.slopes(GRAPH, values, "W1", (3, 2))
    assert here.corner
    assert abs(here.left - here.right) > 0.5
    assert "a corner with two slopes" in OneWeight(GRAPH, values, {"name": "W1", "index": [3, 2]}).text()


def test_the_text_says_the_slope_and_what_all_slopes_cost() -> None:
    lines = OneWeight(GRAPH, VALUES).text().splitlines()
    assert lines[0].endswith("Raise it a little and J falls at 6.1 per unit: to bring J down, raise it.")
    assert "all 20 weights" in lines[1] and "40 forward passes" in lines[1]
    assert lines[2] == "The steepest is at W⁽²⁾ row 2, column 1: −6.1."


@pytest.mark.parametrize(
    ("slope", "said"), [(2.0, "rises at 2 per unit: to bring J down, lower it"), (0.0, "stays where it is")]
)
def test_a_slope_in_words(slope: float, said: str) -> None:
    assert said in curve.told("J", slope)


def test_without_a_choice_it_begins_with_the_steepest() -> None:
    assert OneWeight(GRAPH, VALUES).chosen == {"name": "W2", "index": [1, 0]}
    assert steepest(*diamond())["name"] in diamond()[0].parameters


def test_chosen_and_values_can_be_set_and_observed() -> None:
    view = OneWeight(GRAPH, VALUES)
    seen: list[object] = []
    view.observe(lambda change: seen.append(change["new"]), ["chosen"])
    view.chosen = {"name": "W1", "index": (np.int64(0), 1)}
    assert seen == [{"name": "W1", "index": [0, 1]}]
    view.values = VALUES | {"W1": VALUES["W1"] * 2}
    assert view.values["W1"] == (VALUES["W1"] * 2).tolist()
    assert value_and_grad(GRAPH, view.arrays())[0] != 3.5


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"name": "x", "index": [0, 0]}, "chosen: name: expected one of W1, W2, received 'x'"),
        ({"name": "W1", "index": [4, 0]}, r"index of W1: expected 0 to 3 and 0 to 2, received \[4, 0\]"),
        ({"name": "W1", "index": [-1, 0]}, r"received \[-1, 0\]"),
        ({"name": "W1", "index": [0]}, r"received \[0\]"),
        ({"name": "W1", "index": [0.5, 0]}, r"received \[0.5, 0\]"),
        ({"name": "W1", "index": [True, 0]}, r"received \[True, 0\]"),
        ({"name": "W1", "index": 3}, "received 3"),
        ({"name": "W1"}, "chosen: expected 'name' and 'index', received name"),
        ({}, "received none"),
    ],
)
def test_a_choice_that_is_not_there_is_refused_and_the_last_good_one_stays(choice: dict[str, Any], said: str) -> None:
    view = OneWeight(GRAPH, VALUES)
    with pytest.raises(ValueError, match=said):
        view.chosen = choice
    assert view.chosen == {"name": "W2", "index": [1, 0]}
    with pytest.raises(ValueError, match=said):
        OneWeight(GRAPH, VALUES, choice)


def test_a_choice_is_a_mapping() -> None:
    with pytest.raises(TypeError, match="chosen: expected a mapping with 'name' and 'index', received 'W1'"):
        OneWeight(GRAPH, VALUES, "W1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": [[np.nan], [2.0], [-1.0]]}, "x: expected finite numbers"),
        ({"q": [[1.0]]}, "values: expected x, W1, W2, y, received q"),
    ],
)
def test_values_that_do_not_fit_are_refused(change: dict[str, Any], said: str) -> None:
    view = OneWeight(GRAPH, VALUES)
    before = view.values
    with pytest.raises((ValueError, traitlets.TraitError), match=said):
        view.values = {**before, **change}
    assert view.values == before


def test_a_graph_without_parameters_or_objective_is_refused() -> None:
    x, y = Variable("x", (3, 1)), Variable("y", (3, 1), role="target")
    without = Graph([x, y], [Equation("squared_error", ("x", "y"), "J")])
    with pytest.raises(ValueError, match="graph: expected a parameter"):
        OneWeight(without, {"x": np.ones((3, 1)), "y": np.ones((3, 1))})
    open_ended = Graph([x, Variable("W", (2, 3), role="parameter")], [Equation("matmul", ("W", "x"), "z")])
    with pytest.raises(ValueError, match="objective: expected a graph that ends in a scalar"):
        OneWeight(open_ended, {"x": np.ones((3, 1)), "W": np.ones((2, 3))})
    with pytest.raises(TypeError, match=r"graph: expected an mlp\.Graph, received dict"):
        OneWeight(VALUES, GRAPH)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name: expected a letter"):
        OneWeight(GRAPH, VALUES, name='"><b>')
    with pytest.raises(TypeError, match="ask: expected True or False, received 'yes'"):
        OneWeight(GRAPH, VALUES, ask="yes")  # type: ignore[arg-type]


def test_a_scalar_parameter_has_the_empty_index() -> None:
    given = [Variable("c", (), role="parameter"), Variable("d", (), role="input")]
    graph = Graph(given, [Equation("add", ("c", "d"), "J")])
    view = OneWeight(graph, {"c": np.array(1.0), "d": np.array(2.0)})
    assert view.chosen == {"name": "c", "index": []}
    assert view.text().startswith("J as c moves: at 1 it is 3, with the slope 1.")
    assert "figure" in view.island()


def test_where_j_is_not_finite_the_curve_ends() -> None:
    values = VALUES | {"x": VALUES["x"] * 5e153}
    with pytest.raises(FloatingPointError):
        value_and_grad(GRAPH, curve.moved(values, "W2", (1, 0), -3.0))
    svg = curve.picture(GRAPH, values, "W2", (1, 0), alone=True)
    assert "nan" not in svg and "inf" not in svg
    line = max((node.get("d", "") for node in ET.fromstring(svg).iter()), key=len)
    assert 2 < line.count("L") < curve.POINTS - 1
