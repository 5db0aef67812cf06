"""The memory view as Python sees it: a widget with its settings as a trait, an inert island, a picture, a text."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

import mlp
from mlp import memory
from mlp.text import bytes_text
from mlp.views.memory import COLUMNS, STACK, MemoryView, described, picture
from tests.views.test_stepper import Elements


def test_a_memory_view_is_an_ipywidget_and_more() -> None:
    data, _ = mlp.MemoryView()._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}


def test_the_island_is_inert_and_holds_what_the_widget_holds() -> None:
    view = MemoryView(name="memory-1", policy="sqrt")
    view.settings = {"batch": 128}
    html = view.island()
    island = Elements(html)
    assert [tag for tag, _ in island.tags] == ["figure", "img", "figcaption", "script"]
    assert island.tags[0][1] == {"class": "mlp-view", "data-view": "memory", "id": "memory-1"}
    assert str(island.tags[1][1]["alt"]).startswith("The peak is ")
    state = json.loads(island.script)["state"]
    assert (state["format"], state["version"], state["view"]) == ("mlp-view", 1, "memory")
    assert (state["settings"]["batch"], state["settings"]["policy"]) == (128, "sqrt")
    assert len(html.encode()) < 60_000


def test_its_bytes_are_those_of_memory_predict() -> None:
    view = MemoryView(5, 40, 64, activation="gelu", bias=True, dtype="float32", optimizer="adam", policy="every")
    view.settings = {"segment": 3}
    graph = mlp.network([40] * 6, 64, activation="gelu", weight_decay=1e-4, bias=True, dtype="float32")
    expected = memory.predict(graph, mlp.checkpoint.every(graph, 3), "adam")
    assert view.timeline().events == expected.events
    assert view.peak == expected.peak


def test_micro_batches_and_machines_take_their_parts_of_the_batch() -> None:
    view = MemoryView(batch=100, micro_batches=4, machines=3)
    assert view.graph().variables["x"].shape == (64, 9)  # 34 examples a machine, 9 a pass
    weights = 8 * 64 * 64 * 8
    assert view.sums() == weights
    assert view.peak == memory.predict(view.graph(), "residuals", "sgd").peak + weights
    view.settings = {"policy": "predict"}
    assert view.sums() == 0


def test_settings_can_be_set_a_few_at_a_time_and_observed() -> None:
    view = MemoryView()
    seen: list[Any] = []
    view.observe(lambda change: seen.append(change["new"]["depth"]), ["settings"])
    view.settings = {"depth": 3}
    view.settings = {**view.settings, "dtype": "float32"}
    assert seen == [3, 3]
    assert (view.settings["depth"], view.settings["width"], view.settings["dtype"]) == (3, 64, "float32")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"depth": 301}, "depth: expected a whole number from 1 to 300, received 301"),
        ({"depth": 0}, "depth: expected a whole number >= 1, received 0"),
        ({"width": 2.5}, r"width: expected a whole number >= 1, received 2\.5"),
        ({"budget": -1}, "budget: expected a whole number >= 1"),
        ({"optimizer": "adagrad"}, "optimizer: expected one of sgd, momentum, adam, received 'adagrad'"),
        ({"policy": "forget"}, "policy: expected one of keep_all, residuals, predict, sqrt, every, received 'forget'"),
        ({"dtype": "float16"}, "dtype: expected one of"),
        ({"weight_decay": -1.0}, "weight_decay: expected a finite number >= 0"),
        ({"bias": 1}, "bias: expected True or False, received 1"),
        ({"batch": 5, "micro_batches": 2, "machines": 3}, "batch: expected at least 6, an example for each of 2 micro"),
        ({"depth": 1, "policy": "sqrt"}, "policy: expected keep_all, residuals, predict for a single layer"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_last_good_settings_stay(change: dict[str, Any], said: str) -> None:
    view = MemoryView()
    before = view.settings
    with pytest.raises((TypeError, ValueError), match=said):
        view.settings = change
    assert view.settings == before
    with pytest.raises((TypeError, ValueError), match=said):
        MemoryView(**change)


def test_an_unknown_setting_and_a_bad_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"settings: expected depth, width, .*, budget, received layers"):
        MemoryView().settings = {"layers": 3}
    with pytest.raises(ValueError, match="name: expected a letter"):
        MemoryView(name='"><b>')


def test_the_text_says_the_peak_the_budget_and_what_is_alive() -> None:
    lines = MemoryView(policy="keep_all", budget=2_000_000).text().splitlines()
    found = memory.predict(MemoryView().graph(), "keep_all", "sgd")
    stop = next(event for event in found.events if event.total > 2_000_000)
    assert lines[0] == "8 layers of width 64, a batch of 256, float64, sgd, policy keep_all."
    assert lines[1].startswith(f"The peak is {bytes_text(found.peak)}, at step {found.peak_event.index}, backward")
    assert f"it is out of memory at step {stop.index}, forward, which writes h⁽" in lines[1]
    assert f"kept {bytes_text(found.peak_event.bytes['kept'])}" in lines[2]
    assert "It fits the budget of 4 MB." in MemoryView().text()
    assert "the update" in MemoryView(8, 512, 16, optimizer="adam", weight_decay=0).text()


@pytest.mark.parametrize("alone", [True, False])
def test_the_pictures_bands_are_the_bytes_of_each_kind(alone: bool) -> None:
    found = MemoryView(4).timeline()
    sums, budget = 100_000, 3_000_000
    svg = ET.fromstring(picture(found, sums, budget, alone=alone))
    assert [node for node in svg.iter() if "id" in node.attrib] == []
    assert {"title", "desc", "path", "text"} <= {node.tag.rsplit("}", 1)[-1] for node in svg.iter()}
    bands = [str(node.get("d")) for node in svg.iter() if node.get("fill-opacity")]
    assert len(bands) == len(STACK)
    floor = None
    for kind, band in zip(STACK, bands, strict=True):
        heights = [float(point.split()[1].rstrip("Z")) for point in re.split("[ML]", band) if point]
        top, low = heights[: len(heights) // 2], heights[: len(heights) // 2 - 1 : -1]
        floor = low[0] if floor is None else floor
        pixel = (floor - 26) / (1.08 * max(found.peak + sums, budget))
        more = sums if kind == "gradients" else 0
        counts = [(event.bytes[kind] + more) * pixel for event in found.events for _ in range(2)]
        assert [under - over for under, over in zip(low, top, strict=True)] == pytest.approx(counts, abs=0.11)


def test_a_deep_networks_picture_is_thinned_and_keeps_the_peak() -> None:
    view = MemoryView(200, policy="every", segment=10)
    found = view.timeline()
    svg = picture(found, 0, view.settings["budget"], alone=True)
    assert len(found.events) > 4 * COLUMNS
    tops = [float(y) for y in re.findall(r"L[\d.]+ ([\d.]+)", svg)]
    assert min(tops) == pytest.approx(26 + (220 - 26) * 0.08 / 1.08, abs=0.11)
    assert len(svg) < 60_000
    assert f"<desc>{described(found, 0, view.settings['budget'])}</desc>" in svg
