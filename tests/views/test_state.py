"""What a view is told: the stops, their words and formulas, the slots for numbers, lifetimes, and safe JSON."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from latex2mathml.converter import convert

import mlp
from mlp import Equation, Graph, Variable, network, schedule
from mlp.draw.labels import unicode_name
from mlp.examples import diamond, running_example
from mlp.views.state import PANELS, Stop, code, ledger, math_tree, state, stops, to_json
from tests.cases import OWN_TABLE, SEEDS, examples, random_graph, random_network, random_values, small_values

LEAVES = ("mi", "mo", "mn", "mtext", "mspace")


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
    assert walk["back-J"].words.startswith("Cotangent of L: ∂J/∂J, which is 1, unchanged, a number. Final.")


@pytest.mark.parametrize("graph", [running_example()[0], diamond()[0]])
def test_the_first_instalment_is_set_and_later_ones_are_added(graph: Graph) -> None:
    seen: set[str] = set()
    steps = schedule(graph, "keep_all")
    for stop in stops(graph):
        if stop.phase != "backward":
            continue
        names = [steps[index].variable for index in stop.steps]
        rows = zip(names, stop.formula.split(r" \qquad "), stop.numbers.split(r" \qquad "), strict=True)
        for name, formula, numbers in rows:
            assert ("+=" in formula) == (name in seen), (stop.id, name)
            assert ("added to" in numbers) == (name in seen), (stop.id, name)
            assert ("added to what is there" in stop.words) == (name in seen), (stop.id, name)
            seen.add(name)
    assert seen >= set(graph.parameters)


def test_no_sentence_gives_a_variable_another_name() -> None:
    """A capital at a sentence's beginning would make a matrix of a column."""
    walk = {stop.id: stop for stop in stops(network([3, 4, 2], activation="tanh", loss="cross_entropy", bias=True))}
    assert walk["z"].words == "Adding b⁽¹⁾ to every column of a⁽¹⁾ gives z, 4 by 1."
    assert walk["h"].words == "Tanh of each entry of z gives h, 4 by 1."
    subtracted = "the softmax of o, with y subtracted, divided by the number of examples"
    assert walk["dJ-do"].words == f"Cotangent of o: {subtracted}, 2 by 1. Final."
    known = {unicode_name(name) for name in network([3, 4, 2], bias=True).variables}
    for stop in walk.values():
        assert {word for word in re.findall(r"\w+⁽[¹²]⁾", stop.words)} <= known, stop.words


def test_a_regulariser_that_is_off_is_told_as_the_share_that_it_would_pay() -> None:
    """λ can be changed in the page, where nothing of this is made again."""
    off, on = (stops(network([3, 4, 2], weight_decay=rate)) for rate in (0.0, 0.1))
    assert off == on


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
    known = {
        *graph.variables,
        *(f"dJ/d{name}".replace("dJ", f"d{graph.objective}") for name in graph.variables),
        "learning rate",
    }
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
    equations = [Equation("swell", ("z",), "h") if e.op == "relu" else e for e in plain.equations]
    table = OWN_TABLE | {"swell": replace(OWN_TABLE["softplus"], name="swell")}
    graph = Graph([plain.variables[name] for name in plain.given], equations, table=table)
    words = " ".join(stop.words for stop in stops(graph))
    assert "Swell of z gives h" in words and "the slope of swell" in words


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
    assert code(graph, steps["matmul 0"]).endswith("matmul(out, delta, x.T)")
    assert '"""' not in code(graph, steps["l2 0"])


def test_the_state_of_the_running_example_is_small() -> None:
    graph, values = running_example()
    size = len(to_json(told(graph, values))) + len(mlp.draw.to_svg(graph, direction="both"))
    assert size < 60_000


def walk_of(depth: int, **options: Any) -> tuple[Graph, tuple[Stop, ...]]:
    graph = network([4, *[3] * (depth - 1), 2], batch=2, **options)
    return graph, stops(graph)


def test_a_deep_network_stops_once_a_layer_each_way() -> None:
    _, at_every_step = walk_of(20)
    assert "dJ-dz7" in [stop.id for stop in at_every_step]
    graph, walk = walk_of(60, activation="tanh", bias=True)
    forward = [f"layer-{k}" for k in range(1, 61)] + ["L", "s", "J"]
    backward = ["back-J", "back-s", "dJ-do", *[f"back-layer-{k}" for k in range(60, 0, -1)]]
    assert [stop.id for stop in walk] == [*forward, *backward, "update"]
    assert walk[1].words == "Layer 2: from h⁽¹⁾ to h⁽²⁾, 3 by 2, by way of a⁽²⁾ and z⁽²⁾."
    last = walk[-2].words
    assert last.startswith("Back through layer 1: ∂J/∂h⁽¹⁾ gives ∂J/∂z⁽¹⁾, ∂J/∂a⁽¹⁾, ∂J/∂b⁽¹⁾") and "All final" in last
    steps = schedule(graph, "keep_all")
    assert [index for stop in walk for index in stop.steps] == list(range(len(steps)))


def test_what_is_not_final_in_a_layer_is_said() -> None:
    """Two layers with one weight: after the later one's stop it is owed the earlier one's share."""
    plain = network([3] * 25)
    shared = [
        replace(e, inputs=("W3", e.inputs[1])) if e.op == "matmul" and e.inputs[0] == "W4" else e
        for e in plain.equations
    ]
    shared = [replace(e, inputs=tuple(n for n in e.inputs if n != "W4")) if e.op == "l2" else e for e in shared]
    graph = Graph([plain.variables[name] for name in plain.given if name != "W4"], shared)
    words = {stop.id: stop.words for stop in stops(graph)}
    assert words["back-layer-4"].endswith("Not final: ∂J/∂W⁽³⁾.") and words["back-layer-3"].endswith("All final.")


@pytest.mark.parametrize("depth", [61, 300])
def test_layers_beyond_sixty_share_stops(depth: int) -> None:
    graph, walk = walk_of(depth)
    assert len(walk) <= 130 and len({stop.id for stop in walk}) == len(walk)
    assert [index for stop in walk for index in stop.steps] == list(range(len(schedule(graph))))
    assert walk[0].title == f"layers 1 to {-(-depth // 60)}"


def test_the_state_grows_with_the_layers_and_no_faster() -> None:
    rng = np.random.default_rng(0)
    sizes = {}
    for depth in (60, 300):
        graph = network([8] * (depth + 1), batch=4, activation="tanh")
        values = graph.init(0) | {name: rng.normal(size=(8, 4)) for name in graph.inputs}
        sizes[depth] = len(to_json(told(graph, values)))
    assert sizes[300] < 700_000 and sizes[300] < 5 * sizes[60]


def plain_tree(element: ET.Element) -> list[Any] | str:
    """A formula as latex2mathml has it, each leaf as [tag, text]."""
    tag, children = element.tag.rsplit("}", 1)[-1], [plain_tree(child) for child in element]
    if tag == "mrow" and len(children) == 1:
        return children[0]
    return [tag, *children] if children else [tag, element.text or element.get("width", "")]


def spelled(tree: list[Any] | str) -> list[Any]:
    """As the view reads a tree: a text that is no list says by itself which leaf it is."""
    if isinstance(tree, str):
        return ["mn" if re.fullmatch(r"[\d.]+", tree) else "mi" if tree[:1].isalpha() else "mo", tree]
    return (
        tree
        if len(tree) == 2 and isinstance(tree[1], str) and tree[0] in LEAVES
        else [tree[0], *map(spelled, tree[1:])]
    )


@pytest.mark.parametrize("make", [running_example, diamond, lambda: (network([2] * 26, bias=True), {})])
def test_formulas_converted_by_their_form_are_those_converted_one_by_one(make: Any) -> None:
    for stop in stops(make()[0]):
        for tex in filter(None, (stop.formula, stop.numbers)):
            assert spelled(math_tree(tex)) == plain_tree(ET.fromstring(convert(tex)))


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


def test_an_operator_that_the_page_has_no_rules_for_is_refused() -> None:
    plain, values = running_example(activation="tanh")
    given = [plain.variables[name] for name in plain.given]
    other = [Equation("softplus", e.inputs, e.output) if e.op == "tanh" else e for e in plain.equations]
    steeper = OWN_TABLE | {"tanh": replace(OWN_TABLE["tanh"], gain=2.0)}  # an operator of that name, but not that one
    for op, graph in (
        ("softplus", Graph(given, other, table=OWN_TABLE)),
        ("tanh", Graph(given, plain.equations, table=steeper)),
    ):
        for view in (mlp.Stepper, mlp.OneWeight, mlp.ChainRule):
            with pytest.raises(ValueError, match=rf"graph: expected operators of mlp\.ops\.OPS.* '{op}' in 'h = {op}"):
                view(graph, values)
    assert mlp.Stepper(Graph(given, plain.equations, table=OWN_TABLE), values).step == 0


def test_a_graph_without_an_objective_cannot_be_stepped() -> None:
    graph = Graph([Variable("x", (3, 1)), Variable("W", (2, 3))], [Equation("matmul", ("W", "x"), "z")])
    with pytest.raises(ValueError, match="objective: expected"):
        told(graph, {"x": np.ones((3, 1)), "W": np.ones((2, 3))})
