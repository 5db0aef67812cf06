"""Exploring structure: each control makes a new graph and a new stepper, and a page still gets an island."""

from __future__ import annotations

import pytest
import traitlets

import mlp
from mlp.ops import ACTIVATIONS, LOSSES
from mlp.views.explore import numbers_for


def test_it_begins_with_the_running_example() -> None:
    box = mlp.explore()
    graph, values = mlp.examples.running_example()
    assert box.graph == graph
    assert all((box.stepper.arrays()[name] == values[name]).all() for name in values)


@pytest.mark.parametrize(
    ("control", "value", "expected"),
    [
        ("depth", 4, lambda graph: "W4" in graph.parameters and "W5" not in graph.parameters),
        ("width", 6, lambda graph: graph.variables["W1"].shape == (6, 3)),
        ("batch", 3, lambda graph: graph.batch == 3),
        ("activation", "tanh", lambda graph: any(e.op == "tanh" for e in graph.equations)),
        ("loss", "cross_entropy", lambda graph: any(e.op == "cross_entropy" for e in graph.equations)),
        ("bias", True, lambda graph: "b1" in graph.parameters),
    ],
)
def test_a_control_rebuilds_the_graph_and_its_view(control: str, value: object, expected) -> None:
    box = mlp.explore()
    before = box.stepper
    box._controls[control].value = value
    assert expected(box.graph)
    assert box.stepper is not before and box.stepper.graph is box.graph
    assert box.children[-1] is box.stepper


def test_the_graph_and_its_stepper_can_be_observed_and_not_set() -> None:
    box, seen = mlp.explore(), []
    box.observe(lambda change: seen.append((change["name"], box.stepper.graph is box.graph)), ["graph", "stepper"])
    box._controls["width"].value = 2
    assert sorted(seen) == [("graph", True), ("stepper", True)]
    for name in ("graph", "stepper"):
        with pytest.raises(traitlets.TraitError, match=f'"{name}" trait is read-only'):
            setattr(box, name, getattr(mlp.explore(), name))


def test_a_page_gets_the_island_of_its_stepper() -> None:
    box = mlp.explore(depth=3)
    data, _ = box._repr_mimebundle_()
    assert data["text/html"] == box.stepper.island()
    assert "application/vnd.jupyter.widget-view+json" in data


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_numbers_fit_every_network_that_can_be_chosen(activation: str, loss: str) -> None:
    for depth in range(1, 7):
        for batch in (1, 5):
            widths = [3, *[5] * (depth - 1), 2]
            graph = mlp.network(widths, batch=batch, activation=activation, loss=loss, bias=depth % 2 == 0)
            assert mlp.value_and_grad(graph, numbers_for(graph))[0] >= 0


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"depth": 0}, ValueError, "depth: expected a whole number from 1 to 6, received 0"),
        ({"width": 4.5}, TypeError, r"width: expected a whole number from 1 to 8, received 4.5"),
        ({"batch": 9}, ValueError, "batch: expected a whole number from 1 to 5, received 9"),
        ({"activation": "swish"}, ValueError, "activation: expected one of"),
        ({"weight_decay": -1}, ValueError, "weight_decay: expected a finite number >= 0"),
    ],
)
def test_what_cannot_be_explored_is_named(options: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        mlp.explore(**options)
