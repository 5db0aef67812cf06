"""Copies and pickles of everything that the package makes; what cannot be copied says what to do instead."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import mlp
from mlp import Equation, Graph, Variable, checkpoint, jvp, memory, network, prepare, schedule, trace, value_and_grad
from mlp.frozen import Frozen
from mlp.ops import OPS, Op, Vjp
from tests.cases import (
    OWN_TABLE,
    SOFTPLUS,
    random_graph,
    random_network,
    random_values,
    same_bits,
    softplus,
    softplus_vjp,
)


def tex(z: str) -> str:
    return f"softplus({z})"


def tex_vjp(delta: str, z: str) -> str:
    return f"{delta} softplus'({z})"


def same(z: tuple[int, ...]) -> tuple[int, ...]:
    return z


# An operator of one's own whose functions all have a name in this module: it can be pickled.
NAMED = Op("softplus", "sp", tex, same, softplus, (Vjp(softplus_vjp, tex_vjp, saves=(0,)),))


def own_graph(op: Op) -> Graph:
    given = [Variable("x", (3, 2)), Variable("y", (4, 2), role="target"), Variable("W", (4, 3), role="parameter")]
    equations = [
        Equation("matmul", ("W", "x"), "z"),
        Equation("softplus", ("z",), "o"),
        Equation("squared_error", ("o", "y"), "L"),
        Equation("l2", ("W",), "s", {"weight_decay": 0.1}, {"weight_decay": r"\mu"}),
        Equation("add", ("L", "s"), "J"),
    ]
    return Graph(given, equations, table=dict(OPS) | {"softplus": op})


GRAPHS = {
    "a network": network([3, 4, 2], 5, bias=True, weight_decay=0.1),
    "one's own table": own_graph(NAMED),
    "fan-out": random_graph(5),
    "deep": network([2] * 9, 3, "tanh"),
    "float32": random_network(3, "float32"),
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": lambda thing, protocol=protocol: pickle.loads(pickle.dumps(thing, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


def everything(graph: Graph) -> dict[str, Any]:
    values = random_values(graph, 1)
    made: dict[str, Any] = {
        "graph": graph,
        "variable": graph.variables[graph.given[0]],
        "equation": graph.equations[-2],
        "step": schedule(graph)[-1],
        "traced step": trace(graph, values)[-1],
        "trace": trace(graph, values),
        "table": graph.table,
        "row": graph.table[graph.equations[0].op],
        "report": mlp.check_gradients(graph, values),
        **{f"schedule {policy}": schedule(graph, policy) for policy in ("keep_all", "residuals")},
        **{f"timeline {policy}": memory.predict(graph, policy, "adam") for policy in ("keep_all", "residuals")},
        "measured": memory.measure(graph, values, optimizer="momentum"),
    }
    if graph is GRAPHS["deep"]:
        plan = checkpoint.every(graph, 3)
        made |= {"plan": plan, "schedule of a plan": schedule(graph, plan), "chain": checkpoint.chain(graph)}
        made |= {"timeline of a plan": memory.predict(graph, plan), "trace of a plan": trace(graph, values, plan)}
    return made


def alike(a: Any, b: Any) -> bool:
    """Whether two things say the same; arrays to the bit, functions by themselves, objects by what they hold."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return same_bits(a, b)
    if isinstance(a, partial):
        return a.func is b.func and alike([a.args, a.keywords], [b.args, b.keywords])
    if isinstance(a, Graph):
        return a == b
    if is_dataclass(a):
        return all(alike(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, mlp.Schedule | mlp.Trace):
        return alike(vars(a), vars(b))
    return bool(a == b)


CASES = [(graph, name) for graph in GRAPHS for name in everything(GRAPHS[graph])]


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    return {name: everything(graph) for name, graph in GRAPHS.items()}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize(("graph", "name"), CASES)
def test_a_copy_says_the_same(made: dict[str, dict[str, Any]], graph: str, name: str, how: str) -> None:
    thing = made[graph][name]
    again = COPIES[how](thing)
    assert alike(thing, again) and str(thing) == str(again)
    if isinstance(thing, mlp.memory.Timeline):
        assert again.breakdown == thing.breakdown and again.reserved == thing.reserved
        assert [again.held(k) for k in range(len(again.events))] == [thing.held(k) for k in range(len(thing.events))]


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", GRAPHS)
def test_a_copy_of_a_graph_computes_the_same_bits(name: str, how: str) -> None:
    graph = GRAPHS[name]
    values = random_values(graph, 2)
    again = COPIES[how](graph)
    J, gradients = value_and_grad(graph, values)
    J_again, found = value_and_grad(again, values)
    assert J == J_again == prepare(again)(values)[0]
    assert all(same_bits(gradients[parameter], found[parameter]) for parameter in gradients)


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", GRAPHS)
def test_the_record_of_a_copied_trace_does_not_change(made: dict[str, dict[str, Any]], name: str, how: str) -> None:
    again = COPIES[how](made[name]["trace"])
    parts = [part for step in again for part in step.contributions.values()]
    assert parts and not any(array.flags.writeable for array in (*parts, again["J"]))


@pytest.mark.parametrize("how", COPIES)
def test_a_history_is_copied(how: str) -> None:
    graph = GRAPHS["a network"]
    values = random_values(graph, 1)
    history = mlp.sgd(graph, graph.init(0), (values["x"], values["y"]), lr=0.1, epochs=2, batch_size=2, evaluate=len)
    assert alike(history, COPIES[how](history))


def test_rows_of_the_table_stay_the_rows_of_the_table() -> None:
    for op in OPS.values():
        assert pickle.loads(pickle.dumps(op)) is copy.deepcopy(op) is copy.copy(op) is op
    assert pickle.loads(pickle.dumps(own_graph(NAMED))).table["tanh"] is OPS["tanh"]


def test_one_of_the_same_name_with_another_rule_is_not_taken_for_the_row() -> None:
    mine = replace(NAMED, name="tanh")
    assert pickle.loads(pickle.dumps(mine)) == mine != OPS["tanh"]


@pytest.mark.parametrize("thing", [SOFTPLUS, SOFTPLUS.vjps[0], own_graph(SOFTPLUS)], ids=["op", "vjp", "graph"])
def test_functions_without_a_name_are_refused_and_what_is_said_helps(thing: object) -> None:
    said = r"expected functions that are defined by def at the top of a module, .* received tex = .*<lambda>"
    with pytest.raises(pickle.PicklingError, match=said):
        pickle.dumps(thing)
    assert alike(copy.deepcopy(thing), thing) and alike(copy.copy(thing), thing)
    pickle.dumps(own_graph(NAMED))  # the same operator, by def at the top of a module


def test_a_schedule_trace_or_timeline_with_such_functions_says_so_too() -> None:
    graph = own_graph(replace(SOFTPLUS))
    for thing in (schedule(graph), trace(graph, random_values(graph)), memory.predict(graph)):
        with pytest.raises(pickle.PicklingError, match=r"^(operator|VJP) softplus.*: expected functions that"):
            pickle.dumps(thing)
        assert alike(thing, copy.deepcopy(thing))


@pytest.mark.parametrize("how", COPIES)
def test_a_run_is_refused_and_what_is_said_helps(how: str) -> None:
    graph = GRAPHS["a network"]
    values = random_values(graph, 1)
    run = prepare(graph)
    expected = run(values)[0]
    with pytest.raises(TypeError, match=r"^run: expected no copy and no pickle of a Run") as raised:
        COPIES[how](run)
    way_out = re.search(r"mlp\.prepare\(run\.graph\)$", str(raised.value))
    assert way_out
    run = pickle.loads(pickle.dumps({"graph": run.graph}))  # what travels
    assert eval(way_out[0], {"mlp": mlp, "run": type("", (), run)})(values)[0] == expected


def test_a_frozen_mapping_reads_as_a_dict_and_never_changes() -> None:
    frozen = Frozen({"a": 1, "b": 2})
    assert frozen == {"a": 1, "b": 2} and list(frozen) == ["a", "b"] and frozen | {"c": 3} == {"a": 1, "b": 2, "c": 3}
    for change in (
        lambda: frozen.__setitem__("a", 2),
        lambda: frozen.__delitem__("a"),
        lambda: frozen.update(a=2),
        lambda: frozen.pop("a"),
        lambda: frozen.popitem(),
        lambda: frozen.setdefault("z", 1),
        lambda: frozen.clear(),
        lambda: frozen.__ior__({"a": 2}),
    ):
        with pytest.raises(TypeError, match="this mapping stays as it is") as raised:
            change()
        assert frozen == {"a": 1, "b": 2} and "dict(mapping)" in str(raised.value)
    other = dict(frozen)
    other["a"] = 5
    assert frozen["a"] == 1


def test_a_copied_graph_takes_tangents() -> None:
    graph = copy.deepcopy(own_graph(SOFTPLUS))
    values = random_values(graph)
    direction = {"W": values["W"]}
    assert jvp(graph, values, direction)[1] == jvp(own_graph(SOFTPLUS), values, direction)[1]
    assert OWN_TABLE["softplus"] == SOFTPLUS
