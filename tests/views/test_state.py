"""What a view is told: the stops, their words and formulas, the slots for numbers, lifetimes, and safe JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import mlp
from mlp import Equation, Graph, Variable, network, schedule
from mlp.examples import diamond, running_example
from mlp.views.state import PANELS, code, ledger, math_tree, state, stops, to_json
from tests.cases import OWN_TABLE, SEEDS, examples, random_graph, random_network, random_values, small_values


def told(graph: Graph, values: dict[str, Any]) -> dict[str, Any]:
    return state(graph, values, view="stepper", show=PANELS, name="stepper", lr=0.05)


def texts(tree: list[Any] | str) -> list[str]:
    """All text of a formula, in order."""
    if isinstance(tree, str):
        return [tree]
    if tree[0] in ("mi", "mo", "mn", "mtext", "mspace") and len(tree) == 2 and isinstance(tree[1], str):
        return [tree[1]]
    return [text for child in tree[1:] for text in texts(child)]


def test_the_running_example_takes_fourteen_stops() -> None:
    walk = stops(running_example()[0])
    assert [stop.id for stop in walk] == (
        "z h o L s J back-J back-s dJ-do dJ-dW2 dJ-dh dJ-dz dJ-dW1 update".split()  # noqa: SIM905
    )
    assert [stop.phase for stop in walk] == ["forward"] * 6 + ["backward"] * 7 + ["update"]


def test_a_stop_says_what_the_book_says_of_it() -> None:
    walk = {stop.id: stop for stop in stops(running_example()[0])}
    assert walk["dJ-dW2"].words == (
        "Gradient of W⁽²⁾: ∂J/∂o times h transposed, 2 by 4, added to what is there. Final."
    )
    assert "Not final" in walk["back-s"].words
    assert walk["z"].words == "W⁽¹⁾ times x gives z, 4 by 1."


def test_the_diamond_stops_twice_at_h() -> None:
    ids = [stop.id for stop in stops(diamond()[0])]
    assert [i for i in ids if i.startswith("dJ-dh")] == ["dJ-dh", "dJ-dh~2"]


@examples(60)
@given(seed=SEEDS)
def test_every_step_belongs_to_one_stop_and_every_slot_to_something(seed: int) -> None:
    graph = random_graph(seed) if seed % 2 else random_network(seed)
    steps, walk = schedule(graph, "keep_all"), stops(graph)
    assert [index for stop in walk for index in stop.steps] == list(range(len(steps)))
    assert len({stop.id for stop in walk}) == len(walk)
    known = {*graph.variables, *(f"dJ/d{name}".replace("dJ", f"d{graph.objective}") for name in graph.variables), "lr"}
    known |= {f"instalment {step.index}" for step in steps} | {f"new {name}" for name in graph.parameters}
    known |= {f"{attr} of {e.output}" for e in graph.equations for attr in e.attrs}
    for stop in walk:
        assert known.issuperset(stop.slots)
        places = {text for text in texts(math_tree(stop.numbers)) if text.startswith("@")}
        assert places <= {f"@{k}" for k in range(len(stop.slots))}
        assert f"@{len(stop.slots) - 1}" in places  # the result, at the end
        assert stop.words.endswith(".")


def test_an_operator_of_ones_own_is_told_too() -> None:
    plain = network([3, 4, 2])
    equations = [Equation("softplus", ("z",), "h") if e.op == "relu" else e for e in plain.equations]
    graph = Graph([plain.variables[name] for name in plain.given], equations, table=OWN_TABLE)
    words = " ".join(stop.words for stop in stops(graph))
    assert "Softplus of z gives h" in words and "the slope of softplus" in words


@examples(30)
@given(seed=SEEDS)
def test_the_ledger_adds_up_to_what_the_engine_holds(seed: int) -> None:
    graph = random_graph(seed) if seed % 2 else random_network(seed)
    values = small_values(graph, seed) if seed % 2 else random_values(graph, seed)
    run, entries = mlp.trace(graph, values, "residuals"), ledger(graph)
    for index in range(len(run)):
        alive = sum(entry["bytes"] for entry in entries if entry["born"] <= index <= entry["freed"])
        assert alive == run.bytes(index)


def test_the_code_of_a_step_is_its_rule() -> None:
    steps = {f"{step.equation.op} {step.argnum}": step for step in schedule(running_example()[0])}
    graph = running_example()[0]
    assert code(graph, steps["matmul 0"]).endswith("np.dot(delta, x.T, out=out)")
    assert '"""' not in code(graph, steps["l2 0"])


def test_the_state_of_the_running_example_is_small() -> None:
    graph, values = running_example()
    size = len(to_json(told(graph, values))) + len(mlp.draw.to_svg(graph, direction="both"))
    assert size < 60_000


def test_nothing_in_the_json_can_become_markup() -> None:
    graph, values = running_example()
    hostile = "</script><img src=x onerror=alert(1)>&amp;"
    text = to_json(told(graph, values) | {"name": hostile})
    assert not set("<>&") & set(text)
    assert json.loads(text)["name"] == hostile


def test_numbers_that_are_not_finite_never_get_into_a_state() -> None:
    graph, values = running_example()
    with pytest.raises(ValueError, match="x: expected finite numbers"):
        told(graph, values | {"x": np.full((3, 1), np.nan)})
    with pytest.raises(ValueError):
        to_json({"J": float("nan")})


def test_a_graph_without_an_objective_cannot_be_stepped() -> None:
    graph = Graph([Variable("x", (3, 1)), Variable("W", (2, 3))], [Equation("matmul", ("W", "x"), "z")])
    with pytest.raises(ValueError, match="objective: expected"):
        told(graph, {"x": np.ones((3, 1)), "W": np.ones((2, 3))})
