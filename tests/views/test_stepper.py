"""The stepper as Python sees it: a widget with traits, an inert island, a text."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import traitlets

import mlp
from mlp.examples import diamond, running_example
from mlp.graph import Graph
from mlp.networks import network
from mlp.ops import ACTIVATIONS, LOSSES, Array
from mlp.text import number
from mlp.views import bundle
from mlp.views.explore import numbers_for
from mlp.views.state import stops
from mlp.views.stepper import RATES, Stepper, falling_rate
from tests.views.shipped import mlpbook


class Elements(HTMLParser):
    """The elements of a piece of HTML, and the text of its one script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags[-1][0] == "script":
            self.script += data


def test_a_stepper_is_an_ipywidget_and_more() -> None:
    view = mlp.Stepper(*running_example())
    data, _ = view._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}


def test_the_island_is_inert() -> None:
    island = Elements(Stepper(*running_example()).island())
    assert [tag for tag, _ in island.tags] == ["figure", "img", "figcaption", "span", "script"]
    assert island.tags[0][1] == {"class": "mlp-view", "data-view": "stepper", "id": "stepper"}
    assert "W⁽¹⁾ and x feed" in str(island.tags[1][1]["alt"])
    assert str(island.tags[1][1]["src"]).startswith("data:image/svg+xml;base64,")
    assert island.tags[4][1] == {"type": "application/json"}


def test_the_island_holds_what_the_widget_holds() -> None:
    graph, values = running_example()
    view = Stepper(graph, values, name="diamond-1", show=("graph", "memory"), step=3)
    told = json.loads(Elements(view.island()).script)
    assert told["state"]["step"] == 3
    assert told["state"]["show"] == ["graph", "memory"]
    assert told["state"]["values"]["W1"] == values["W1"].tolist()
    ET.fromstring(told["svg"])


def test_a_page_says_once_how_to_read_the_picture(tmp_path: Path) -> None:
    class App:
        outdir = tmp_path

        def add_js_file(self, name: str, **more: str) -> None:
            pass

        add_css_file = add_js_file

    graph, values = running_example()
    islands = [Stepper(graph, values, name=name).island() for name in ("one", "two", "three")]
    context = {"body": "<p>between</p>".join(islands)}
    mlpbook().wake_islands(App(), "page", "page.html", context, None)
    body = context["body"]
    assert body.count("A filled corner says") == 1 < body.count("Forward, backward and update") == 3
    assert body.index("A filled corner says") < body.index('id="two"')
    assert body.count("<p>between</p>") == 2 and body.count("<figcaption>") == body.count("</figcaption>") == 3


def test_the_caption_stays_true_when_numbers_change() -> None:
    """It is not written again when a reader edits them: so it says which numbers it is about."""
    graph, values = running_example()
    view = Stepper(graph, values)
    assert "With the numbers it begins with, J = 3.5." in view.island() and "Here" not in view.island()
    view.values = values | {"x": np.array([[4.0], [2.0], [-1.0]])}
    J, _ = mlp.value_and_grad(graph, view.arrays())
    assert f"With the numbers it begins with, J = {number(J)}." in view.island()


def test_the_text_walks_all_the_way() -> None:
    lines = Stepper(*running_example()).text().splitlines()
    assert len(lines) == 14
    assert lines[0] == "1 of 14, forward. W⁽¹⁾ times x gives z, 4 by 1. (3, 2, −2, 1)"
    assert lines[11].endswith("Final. (1, −1, 0, 2)")


def test_step_and_values_can_be_set_and_observed() -> None:
    graph, values = running_example()
    view = Stepper(graph, values)
    seen: list[object] = []
    view.observe(lambda change: seen.append(change["new"]), ["step"])
    view.step = 9
    view.values = values | {"x": np.array([[4.0], [2.0], [-1.0]])}
    assert seen == [9]
    assert view.values["x"] == [[4.0], [2.0], [-1.0]]
    J, _ = mlp.value_and_grad(graph, view.arrays())
    assert J != 3.5


@pytest.mark.parametrize("step", [-1, 14])
def test_a_stop_that_is_not_there_is_refused(step: int) -> None:
    view = Stepper(*running_example())
    with pytest.raises(ValueError, match=f"step: expected a stop from 0 to 13, received {step}"):
        view.step = step
    assert view.step == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": [[np.nan], [2.0], [-1.0]]}, "x: expected finite numbers"),
        ({"x": [[1.0], [2.0]]}, r"x: expected a float64 array of shape \(3, 1\)"),
        ({"x": [[1.0, 2.0], [3.0]]}, r"x: expected numbers of shape \(3, 1\), .*received \[\[1.0, 2.0\], \[3.0\]\]"),
        ({"x": "hello"}, r"x: expected numbers of shape \(3, 1\), .*received 'hello'"),
        ({"x": [["1"], ["2"], ["3"]]}, "x: expected numbers"),
        ({"x": None}, "x: expected numbers of shape .*received None"),
        ({"x": [[1j], [2], [3]]}, "x: expected numbers"),
        ({"x": [[1e200], [2.0], [3.0]]}, "L: expected finite numbers"),
        ({"q": [[1.0]]}, "values: expected x, W1, W2, y, received q"),
    ],
)
def test_values_that_do_not_fit_are_refused_and_the_last_good_ones_stay(change: dict, said: str) -> None:
    view = Stepper(*running_example())
    before = view.values
    with pytest.raises((ValueError, FloatingPointError, traitlets.TraitError), match=said):
        view.values = {**before, **change}
    assert view.values == before
    with pytest.raises(ValueError, match="received a mapping with missing W1, W2, y; to change some, set "):
        view.values = {"x": before["x"]}
    assert view.values == before


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"show": ("graph", "colour")}, ValueError, "show: expected one of graph, formula, .*received 'colour'"),
        ({"show": "graph"}, TypeError, "show: expected a list of panels"),
        ({"name": '"><b>'}, ValueError, "name: expected a letter"),
        ({"lr": 0}, ValueError, "lr: expected a finite number > 0"),
        ({"step": 20}, ValueError, "step: expected a stop from 0 to 13"),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Stepper(*running_example(), **options)


def test_two_views_of_one_page_can_have_names() -> None:
    ids = {re.findall(r'id="([^"]+)"', Stepper(*diamond(), name=name).island())[0] for name in ("one", "two")}
    assert ids == {"one", "two"}


def test_the_script_asks_for_nothing() -> None:
    script = bundle.page_script()
    for word in ("import(", "import ", "eval(", "innerHTML", "http://cdn", "https://"):
        assert word not in script, word


def test_no_views_style_reaches_into_another_view() -> None:
    """A class that a view's own sheet styles wherever it stands is in no other view's script."""
    folder = files("mlp.views") / "js"
    scripts = {name: (folder / name).read_text("utf-8") for name in bundle.FRAGMENTS}
    used = {name: set(re.findall(r"\bmlp-[a-z-]*[a-z]", text)) for name, text in scripts.items()}
    for sheet in bundle.STYLES[1:]:
        own = set(re.findall(r"^\.(mlp-[\w-]+)", (folder / sheet).read_text("utf-8"), re.MULTILINE)) - {"mlp-ui"}
        assert own
        for script in used.keys() - {sheet.replace(".css", ".js"), "kit.js"}:
            assert not own & used[script], (sheet, script)


@pytest.mark.parametrize("place", range(len(stops(running_example()[0]))))
def test_it_begins_at_a_stop_by_its_name(place: int) -> None:
    graph, values = running_example()
    assert Stepper(graph, values, step=stops(graph)[place].id).step == place == Stepper(graph, values, step=place).step


def test_a_name_that_no_stop_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"step: expected one of z, h, o, L, s, J, back-J, .*received 'dJ-dx'"):
        Stepper(*running_example(), step="dJ-dx")
    assert Stepper(*running_example(), step="back-J").step == 6


def heights(graph: Graph, values: dict[str, Array], rate: float) -> list[float]:
    """J before and after each of ten updates; infinity where one leads beyond all numbers."""
    found = []
    for _ in range(11):
        try:
            J, gradients = mlp.value_and_grad(graph, values)
        except (FloatingPointError, ValueError):
            return [*found, float("inf")]
        found.append(J)
        values = values | {
            name: values[name] - values[name].dtype.type(rate) * slope for name, slope in gradients.items()
        }
    return found


def falls(found: list[float], dtype: str) -> bool:
    room = 8 * float(np.finfo(dtype).eps)
    return all(after <= before + room * abs(before) for before, after in pairwise(found))


@pytest.mark.parametrize("seed", range(24))
def test_a_walk_begins_at_a_rate_at_which_j_falls(seed: int) -> None:
    """For any network: the largest of the rates that are tried, and at 0.01 itself wherever that is one."""
    rng = np.random.default_rng(seed)
    dtype = str(rng.choice(["float64", "float32"]))
    depth, width = int(rng.integers(1, 7)), int(rng.integers(1, 9))
    graph = network(
        [3, *[width] * (depth - 1), 2],
        batch=int(rng.integers(1, 6)),
        activation=str(rng.choice(ACTIVATIONS)),
        loss=str(rng.choice(LOSSES)),
        weight_decay=0.1,
        bias=bool(rng.integers(2)),
        dtype=dtype,
    )
    values = {name: array.astype(dtype) for name, array in numbers_for(graph).items()}
    rate = json.loads(Stepper(graph, values).state)["lr"]
    assert rate == falling_rate(graph, values) and rate in RATES
    assert falls(heights(graph, values, rate), dtype)
    larger = RATES[: RATES.index(rate)]
    assert not any(falls(heights(graph, values, other), dtype) for other in larger)


def test_the_running_example_walks_at_a_hundredth() -> None:
    assert json.loads(Stepper(*running_example()).state)["lr"] == 0.01
    assert json.loads(Stepper(*diamond()).state)["lr"] == 0.01
    assert json.loads(Stepper(*running_example(), lr=0.05).state)["lr"] == 0.05
    found = heights(*running_example(), 0.01)
    assert found[:2] == pytest.approx([3.5, 2.5496], rel=1e-4) and falls(found, "float64")
    assert not falls(heights(*running_example(), 0.05), "float64")  # as it used to be


def test_where_j_cannot_fall_the_usual_rate_stays() -> None:
    graph, values = running_example()
    nothing = values | {name: np.zeros_like(values[name]) for name in ("W1", "W2", "y")}
    assert falling_rate(graph, nothing) == 0.01
