"""The checker, checked: it finds a rule wrong by a thousandth and lets every right one pass."""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import product
from subprocess import run

import numpy as np
import pytest
from hypothesis import given

from mlp import Equation, Graph, Variable, check_gradients, check_vjp, jacobian, network, value_and_grad
from mlp.check import GradientReport, step_errors
from mlp.examples import diamond, running_example
from mlp.ops import ACTIVATIONS, LOSSES, OPS, Array, Op, Vjp
from tests.cases import OWN_TABLE, SEEDS, examples, one_hot, random_graph, random_network, random_values, small_values
from tests.planted import ENTRIES, PLACES, network_at, said, survey, table
from tests.test_ops import ATTRS, RULES, inputs_of, scaled

Values = dict[str, Array]

# --- right rules pass -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_running_example_is_right(activation: str, batch: int) -> None:
    report = check_gradients(*running_example(batch, activation))
    assert report.ok
    assert max(report.values()) < 1e-7
    assert report.checked == {"W1": (12, 12), "W2": (8, 8)}


def test_the_diamond_is_right() -> None:
    assert check_gradients(*diamond()).ok


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@examples(60)
@given(seed=SEEDS)
def test_no_network_is_called_wrong(dtype: str, seed: int) -> None:
    graph = random_network(seed, dtype)
    rng = np.random.default_rng(seed)
    values = random_values(graph, seed, scale=float(10.0 ** rng.integers(-3, 4)))
    values |= {name: (rng.choice([0.1, 1, 3]) * values[name]).astype(dtype) for name in graph.parameters}
    report = check_gradients(graph, values, max_entries=10, seed=seed)
    assert said(report) != "wrong", str(report)


@examples(40)
@given(seed=SEEDS)
def test_no_graph_is_called_wrong(seed: int) -> None:
    graph = random_graph(seed)
    report = check_gradients(graph, small_values(graph, seed), max_entries=10)
    assert report.ok, str(report)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_large_or_a_small_objective_is_no_mistake(scale: float, dtype: str) -> None:
    graph = network([3, 4, 2], batch=5, activation="relu", weight_decay=0.1, bias=True, dtype=dtype)
    values = random_values(graph)
    values["y"] *= np.float32(scale)
    assert check_gradients(graph, values).ok


def test_inputs_in_the_thousands_bend_j_within_a_nudge_and_are_no_mistake() -> None:
    graph = network([3, 4, 2], batch=5, activation="tanh")
    values = random_values(graph, scale=1e4)
    values["W1"] /= 1e4
    assert check_gradients(graph, values).ok


def test_a_large_matrix_is_checked_at_some_entries() -> None:
    graph = network([30, 40, 2], activation="tanh")
    report = check_gradients(graph, random_values(graph), max_entries=7)
    assert report.ok
    assert report.checked == {"W1": (7, 1200), "W2": (7, 80)}


def test_of_a_large_matrix_no_list_of_entries_is_made() -> None:
    graph = network([1000, 700])
    values = random_values(graph, 2)
    tracemalloc.start()
    try:
        assert check_gradients(graph, values, max_entries=1).checked == {"W1": (1, 700_000)}
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * 700_000 * 8  # bytes: a few arrays of its size


def test_the_values_are_left_as_they_were() -> None:
    graph, values = running_example(5)
    before = {name: array.copy() for name, array in values.items()}
    check_gradients(graph, values)
    assert all(np.array_equal(values[name], before[name]) for name in values)


def test_an_operator_of_ones_own_is_checked() -> None:
    plain = network([3, 5, 2], batch=4, activation="tanh")
    equations = [Equation("softplus", e.inputs, e.output) if e.op == "tanh" else e for e in plain.equations]
    graph = Graph([plain.variables[name] for name in plain.given], equations, table=OWN_TABLE)
    assert check_gradients(graph, random_values(graph)).ok
    assert check_vjp(OWN_TABLE["softplus"], [random_values(graph)["x"]], 0) < 1e-6


# --- wrong rules do not ---------------------------------------------------------------------------------------------


def graph_around(name: str, table: dict[str, Op], dtype: str) -> tuple[Graph, Values]:
    """The one operator, all its inputs parameters, and its size as the objective."""
    op, inputs = table[name], inputs_of(name, 3, 4, 3, 5, dtype)
    variables = [
        Variable(f"p{k}", array.shape, dtype, "parameter" if op.vjp(k) else "target") for k, array in enumerate(inputs)
    ]
    names = [variable.name for variable in variables]
    equations = [Equation(name, names, "out", ATTRS.get(name, {}))]
    if op.infer_shape(*(array.shape for array in inputs)) != ():
        equations.append(Equation("l2", ["out"], "J", {"weight_decay": 1}))
    return Graph(variables, equations, table=table), dict(zip(names, inputs, strict=True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPS)
def test_each_operator_alone_is_right(name: str, dtype: str) -> None:
    assert check_gradients(*graph_around(name, dict(OPS), dtype)).ok


@pytest.mark.parametrize("factor", [1.001, 0.999])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "argnum"), RULES)
def test_a_rule_wrong_by_a_thousandth_is_found_at_its_input(name: str, argnum: int, dtype: str, factor: float) -> None:
    graph, values = graph_around(name, dict(OPS) | {name: scaled(OPS[name], argnum, factor)}, dtype)
    report = check_gradients(graph, values)
    assert not report.ok
    assert report[f"p{argnum}"] > report.tolerance
    assert "WRONG at" in str(report)


RULES_OF_A_NETWORK = [
    *((activation, 0, activation, "squared_error") for activation in ACTIVATIONS),
    *((loss, 0, "tanh", loss) for loss in LOSSES),
    *((name, argnum, "relu", "cross_entropy") for name in ("matmul", "bias") for argnum in (0, 1)),
    ("l2", 0, "gelu", "cross_entropy"),
    ("add", 0, "sigmoid", "squared_error"),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "argnum", "activation", "loss"), RULES_OF_A_NETWORK)
def test_a_rule_wrong_by_a_thousandth_is_found_in_a_deep_network(
    name: str, argnum: int, activation: str, loss: str, dtype: str
) -> None:
    plain = network([5, 7, 6, 3], 4, activation, loss, weight_decay=0.1, bias=True, dtype=dtype)
    given = [plain.variables[variable] for variable in plain.given]
    graph = Graph(given, plain.equations, table=dict(OPS) | {name: scaled(OPS[name], argnum, 1.001)})
    values = random_values(graph, seed=1)
    assert check_gradients(plain, values).ok
    assert not check_gradients(graph, values).ok


def test_a_rule_that_is_wrong_in_float32_only_is_found() -> None:
    right = OPS["tanh"].vjps[0]
    assert right is not None

    def sloppy(out: Array, delta: Array, h: Array) -> None:
        right.rule(out, delta, h)
        if out.dtype == np.float32:
            np.multiply(out, 1.01, out=out)

    table = dict(OPS) | {"tanh": replace(OPS["tanh"], vjps=(replace(right, rule=sloppy),))}
    plain = network([5, 7, 3], 4, "tanh", dtype="float32")
    graph = Graph([plain.variables[name] for name in plain.given], plain.equations, table=table)
    report = check_gradients(graph, random_values(graph))
    assert not report.ok
    assert "WRONG" in str(report)


def test_an_instalment_that_replaces_instead_of_adding_is_found() -> None:
    """The diamond with = for +=: as if the regularisers had no way back."""
    plain, values = diamond()
    silent = scaled(OPS["l2"], 0, 0.0)
    graph = Graph([plain.variables[name] for name in plain.given], plain.equations, table=dict(OPS) | {"l2": silent})
    assert not check_gradients(graph, values).ok


# --- corners --------------------------------------------------------------------------------------------------------


def test_edits_of_the_running_example_that_hit_a_corner_are_named_and_not_called_wrong() -> None:
    graph, values = running_example()
    hits = 0
    for (i, j), sign in product(np.ndindex(4, 3), (1, -1)):
        edited = values | {"W1": values["W1"].copy()}
        edited["W1"][i, j] += sign
        report = check_gradients(graph, edited)
        assert report.ok, str(report)
        at_corner = (edited["W1"] @ edited["x"] == 0).any()
        hits += at_corner
        assert bool(report.corners) == at_corner
        assert ("corner, two slopes" in str(report)) == at_corner
    assert hits == 4


def test_a_corner_says_both_slopes_and_which_one_the_book_uses() -> None:
    graph, values = running_example()
    values["W1"][3] = [-2, 1, 0]  # z of unit 3 is 0, its cotangent 1
    corner = check_gradients(graph, values).corners[0]
    decay = 0.1 * values["W1"][corner.index]
    assert corner.parameter == "W1"
    assert corner.gradient == pytest.approx(decay)
    assert {round(corner.left, 3), round(corner.right, 3)} >= {round(decay, 3)}


def test_a_relu_of_a_parameter_itself_has_its_corner_at_zero() -> None:
    graph = Graph(
        [Variable("W", (2, 2), role="parameter"), Variable("y", (2, 2), role="target")],
        [Equation("relu", ("W",), "h"), Equation("squared_error", ("h", "y"), "J")],
    )
    report = check_gradients(graph, {"W": np.array([[1.0, -1.0], [0.0, 2.0]]), "y": np.ones((2, 2))})
    assert report.ok
    assert [corner.index for corner in report.corners] == [(1, 0)]


def test_a_wrong_rule_next_to_a_corner_is_still_wrong() -> None:
    graph, values = running_example()
    values["W1"][3] = [-2, 1, 0]
    table = dict(OPS) | {"relu": scaled(OPS["relu"], 0, 1.001)}
    wrong = Graph([graph.variables[name] for name in graph.given], graph.equations, table=table)
    assert not check_gradients(wrong, values).ok


# --- the report -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0.0, 5.0, 10.0, 15.0, 17.0, 20.0, 25.0, 40.0])
def test_a_sure_answer_in_float32_is_not_called_wrong(margin: float) -> None:
    """With a large margin p is 1 in float32, and p - y is 0 where float64 has some digits left."""
    g = network([1, 3], 2, loss="cross_entropy", dtype="float32")
    values = {"x": np.ones((1, 2)), "W1": np.array([[margin], [0.0], [0.0]]), "y": np.eye(3)[:, [0, 0]]}
    report = check_gradients(g, {name: array.astype("float32") for name, array in values.items()})
    assert "WRONG" not in str(report)


@pytest.mark.parametrize("size", [5, 10, 13, 14, 16, 20, 30, 40])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu"])
def test_a_rule_that_stops_everything_is_no_witness_for_itself(activation: str, sign: int, size: float) -> None:
    """Where an activation is flat, J does not move by a bit; a VJP that writes 0 must not be called right for that."""

    def nothing(out: Array, *read: Array) -> None:
        out.fill(0)

    op = OPS[activation]
    stopped = {**OPS, activation: replace(op, vjps=(replace(op.vjps[0], rule=nothing),))}
    g = network([1, 2, 1], 1, activation)
    z = sign * np.array([[1.0], [0.9]]) * size
    values = {"x": np.ones((1, 1)), "y": np.zeros((1, 1)), "W1": z, "W2": np.array([[1.0, 0.5]])}
    true = check_gradients(g, values)
    report = check_gradients(Graph(g.variables.values(), g.equations, table=stopped), values)
    assert "wrong" not in true.verdicts.values()
    if gradient := float(np.abs(value_and_grad(g, values)[1]["W1"]).max()):
        assert report.verdicts["W1"] != "right" and not report.ok, gradient


def test_a_report_is_a_mapping_from_parameter_to_error() -> None:
    report = check_gradients(*running_example())
    assert isinstance(report, GradientReport)
    assert list(report) == ["W1", "W2"]
    assert len(report) == 2
    assert dict(report) == report.errors


def test_a_report_reads_as_lines() -> None:
    lines = str(check_gradients(*running_example())).splitlines()
    assert lines[0].startswith("W1: relative error ")
    assert lines[0].endswith("over 12 of 12 entries, ok")


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"step": 0}, ValueError, "step: expected a finite number > 0, received 0"),
        ({"step": -1e-5}, ValueError, "step: expected a finite number > 0, received -1e-05"),
        ({"step": np.nan}, ValueError, "step: expected a finite number > 0, received nan"),
        ({"step": "small"}, TypeError, "step: expected a finite number > 0, received 'small'"),
        ({"step": 1e-30}, ValueError, r"step: too small; 1 \+ step == 1 in float64, received 1e-30; 1e-05 is"),
        ({"tolerance": 0}, ValueError, "tolerance: expected a finite number > 0, received 0"),
        ({"tolerance": np.nan}, ValueError, "tolerance: expected a finite number > 0, received nan"),
        ({"max_entries": 0}, ValueError, "max_entries: expected a whole number >= 1, received 0"),
        ({"max_entries": 2.5}, TypeError, r"max_entries: expected a whole number >= 1, received 2\.5"),
        ({"seed": 0.5}, TypeError, r"seed: expected an int or a numpy Generator, received 0\.5"),
        ({"seed": None}, TypeError, "seed: expected an int or a numpy Generator, received None"),
    ],
)
def test_an_argument_that_cannot_be_is_named(arguments: dict[str, object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_gradients(*running_example(), **arguments)  # type: ignore[arg-type]


def test_values_are_checked_as_everywhere() -> None:
    graph, values = running_example()
    with pytest.raises(ValueError, match=r"x: expected a float64 array of shape \(3, 1\), received shape \(3, 2\)"):
        check_gradients(graph, values | {"x": np.ones((3, 2))})


# --- one rule -------------------------------------------------------------------------------------------------------

MATRIX = np.arange(6.0).reshape(2, 3) + 0.5


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("nope", [MATRIX], 0), ValueError, "op: expected one of matmul, bias.*received 'nope'"),
        ((3, [MATRIX], 0), ValueError, "op: expected one of.*received 3"),
        (("relu", [MATRIX], 1), ValueError, "argnum: expected one of 0 to 0, received 1"),
        (("relu", [MATRIX], -1), ValueError, "argnum: expected one of 0 to 0, received -1"),
        (("relu", [], 0), ValueError, "inputs: relu expected 1, received 0"),
        (("relu", [MATRIX, MATRIX], 0), ValueError, "inputs: relu expected 1, received 2"),
        (("relu", [MATRIX.astype("float32")], 0), TypeError, r"inputs\[0\]: expected a float64 array, received dtype"),
        (("relu", [MATRIX.tolist()], 0), TypeError, r"inputs\[0\]: expected a float64 array, received list"),
        (("matmul", [MATRIX, MATRIX], 0), ValueError, r"expected the second factor to have 3 rows.*\(2, 3\)"),
        (("l2", [MATRIX], 0), ValueError, "attrs: expected weight_decay, received none"),
        (("relu", [MATRIX], 0, {"slope": 1}), ValueError, "attrs: expected none, received slope"),
        (("cross_entropy", [MATRIX, one_hot(np.random.default_rng(0), 2, 3)], 1), ValueError, "no derivative"),
        (("matmul", [MATRIX, MATRIX.T], 0.0), ValueError, r"argnum: expected one of 0 to 1, received 0\.0"),
        (("matmul", [MATRIX, MATRIX], 0), ValueError, "inputs: matmul expected the second factor"),
        (("relu", None, 0), TypeError, "inputs: expected a list of arrays, received NoneType"),
        (
            ("relu", [MATRIX[:0]], 0),
            ValueError,
            r"inputs\[0\]: expected shape \(\) or \(rows, columns\), received \(0, 3\)",
        ),
        (
            ("relu", [MATRIX[0]], 0),
            ValueError,
            r"inputs\[0\]: expected shape \(\) or \(rows, columns\), received \(3,\)",
        ),
        (("l2", [MATRIX], 0, [1.0]), TypeError, r"attrs: expected a mapping from names to numbers, received \[1\.0\]"),
    ],
)
def test_a_rule_that_cannot_be_checked_is_named(
    arguments: tuple[object, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        check_vjp(*arguments)  # type: ignore[arg-type]


# --- the size of the nudge ------------------------------------------------------------------------------------------


def test_the_error_over_the_nudge_is_a_u() -> None:
    graph, values = running_example(activation="tanh")
    errors = step_errors(graph, values, "W1", (0, 0), [1e-1, 1e-5, 1e-11])
    assert errors[1] < 1e-9
    assert errors[0] > 1e4 * errors[1]
    assert errors[2] > 1e4 * errors[1]


def test_float32_wants_a_larger_nudge_than_float64() -> None:
    graph, values = running_example(activation="tanh")
    single = {name: array.astype("float32") for name, array in values.items()}
    small, large = step_errors(graph.with_dtype("float32"), single, "W1", (0, 0), [1e-7, 1e-2])
    assert small > 10 * large


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", (0, 0), [1e-5]), "parameter: expected one of W1, W2, received 'x'"),
        (("W1", (9, 0), [1e-5]), r"index: expected that of an entry of W1, shape \(4, 3\), received \(9, 0\)"),
        (("W1", (0,), [1e-5]), r"index: .*received \(0,\)"),
        (("W1", (-1, 0), [1e-5]), r"index: .*received \(-1, 0\)"),
        (("W1", 0, [1e-5]), "index: .*received 0"),
        (("W1", (0, 0), [0.0]), r"steps: expected a finite number > 0, received 0\.0"),
        (("W1", (0, 0), [np.nan]), "steps: expected a finite number > 0, received nan"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_named(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        step_errors(*running_example(), *arguments)  # type: ignore[arg-type]


def test_a_curve_needs_a_list_of_nudges() -> None:
    with pytest.raises(TypeError, match="steps: expected a list of numbers > 0, received 1e-05"):
        step_errors(*running_example(), "W1", (0, 0), 1e-5)  # type: ignore[arg-type]


# --- blind spots and false alarms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.001, 1.1, 0.0])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-5, 1e-7])
def test_a_wrong_rule_is_found_however_small_the_numbers_are(scale: float, factor: float) -> None:
    graph = network([3, 4, 2], activation="tanh")
    values = graph.init(0) | {"x": np.full((3, 1), scale), "y": np.full((2, 1), scale)}
    assert check_gradients(graph, values).ok
    table = dict(OPS) | {"tanh": scaled(OPS["tanh"], 0, factor)}
    wrong = Graph([graph.variables[name] for name in graph.given], graph.equations, table=table)
    report = check_gradients(wrong, values)
    assert not report.ok
    assert report["W1"] > 5e-4


@examples(40)
@given(seed=SEEDS)
def test_weights_of_zero_under_relu_are_no_mistake(seed: int) -> None:
    graph = network([3, 4, 2], batch=1 + seed % 4, bias=bool(seed % 3))
    values = random_values(graph, seed)
    for name in graph.parameters[:1] if seed % 2 else graph.parameters:
        values[name][:] = 0
    report = check_gradients(graph, values)
    assert all(error <= report.tolerance for error in report.values()), str(report)


def test_a_wrong_relu_is_found_beside_its_corner() -> None:
    graph = network([3, 4, 2], batch=2)
    values = random_values(graph, 1)
    values["W1"][:] = 0  # every unit at its corner, for every example
    table = dict(OPS) | {"matmul": scaled(OPS["matmul"], 0, 1.001)}
    wrong = Graph([graph.variables[name] for name in graph.given], graph.equations, table=table)
    assert not check_gradients(wrong, values).ok


# --- what could not be measured is no agreement ---------------------------------------------------------------------


SURVEYED = range(180)  # `python -m tests.planted 1000` looks at more, and prints the counts


def test_no_planted_mistake_is_called_right_and_no_right_rule_wrong() -> None:
    counts, entries, false = survey(SURVEYED)
    print(f"\n{table(counts, entries)}")
    assert not false, "\n\n".join(false)
    verdicts = {kind: Counter() for kind, _, _ in counts}
    for (kind, _, verdict), count in counts.items():
        verdicts[kind][verdict] += count
    assert len(verdicts) == 4
    assert verdicts["right rules"]["right"] > 0.8 * len(SURVEYED)
    assert all(verdicts[kind]["wrong"] > 0.9 * verdicts[kind].total() for kind in verdicts if kind != "right rules")


def test_of_an_ordinary_network_nearly_everything_is_measured() -> None:
    counts: Counter[str] = Counter()
    for seed in range(0, 240, len(PLACES)):
        place, graph, values = network_at(seed)
        assert place == "ordinary"
        report = check_gradients(graph, values, max_entries=ENTRIES)
        counts["measured"] += sum(count for count, _ in report.checked.values())
        counts["not"] += sum(report.unmeasured.values())
    assert counts["not"] < 0.01 * counts["measured"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("factor", [3.0, 1.001])
@pytest.mark.parametrize("z", [1e-3, 1e-6, 1e-9, 1e-12, 1e-15, -1e-9, -1e-15])
def test_a_rule_is_judged_however_near_a_corner_is(z: float, factor: float, dtype: str) -> None:
    """A nudge to the other side would see the mean of two slopes: nudges stay on the side where z is."""
    plain = network([3, 4, 2], weight_decay=0.0, dtype=dtype)
    values = plain.init(0) | {"x": np.ones((3, 1), dtype), "y": np.zeros((2, 1), dtype)}
    values["W1"][:] = z / 3
    values["W2"] *= 1e3
    report = check_gradients(plain, values)
    assert report.ok, str(report)
    assert report.checked == {"W1": (12, 12), "W2": (8, 8)}
    wrong = check_gradients(with_rule(plain, "relu", factor), values)
    if z > 0:
        assert wrong.verdicts["W1"] == "wrong"
        assert wrong["W1"] == pytest.approx(1 - 1 / factor, rel=1e-3)
    else:  # of a dead unit, the gradient is 0 whatever the factor
        assert wrong.ok


def with_rule(graph: Graph, name: str, factor: float) -> Graph:
    """The graph with one rule that is a factor off."""
    table = dict(OPS) | {name: scaled(OPS[name], 0, factor)}
    return Graph(graph.variables.values(), graph.equations, graph.objective, graph.output, table)


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_through_thirty_sigmoid_layers_nothing_arrives_and_nothing_is_agreed(factor: float) -> None:
    graph = with_rule(network([4] * 31, 1, "sigmoid", weight_decay=0.0), "sigmoid", factor)
    values = random_values(graph)
    values["x"][0] = 0  # entries of gradient 0, on which J surely does not depend, make no parameter right
    report = check_gradients(graph, values)
    assert not report.ok
    assert report.verdicts["W1"] == "not measured"
    assert np.isnan(report["W1"])
    assert report.checked["W1"] == (4, 16)
    assert report.unmeasured["W1"] == 12
    assert "W1: 4 of 16 entries are 0, and J does not depend on them" in str(report)
    assert "W1: 12 of 16 entries NOT MEASURED: too small beside J" in str(report)
    assert report.verdicts["W30"] == "right"  # no sigmoid comes after it


def test_a_gradient_of_zero_where_j_moves_too_little_to_be_seen_is_not_agreed() -> None:
    graph = with_rule(network([4] * 31, 1, "sigmoid", weight_decay=0.0), "sigmoid", 0.0)
    report = check_gradients(graph, random_values(graph), max_entries=2)
    assert report.verdicts["W1"] == "not measured"
    assert report.verdicts["W29"] == "wrong"


def test_dead_units_are_right() -> None:
    graph = network([3, 4, 2], batch=5, weight_decay=0.0, bias=True)
    values = random_values(graph)
    values["b1"][:] = -100
    report = check_gradients(graph, values)
    assert report.ok, str(report)
    assert report["W1"] == 0
    assert report.checked["W1"] == (12, 12)


def around(w: float, size: float) -> tuple[Graph, Values]:
    """J over one weight with a corner at ±size, left and right of w = 0."""
    one = [Variable("w", (1, 1), role="parameter"), Variable("A", (2, 1)), Variable("B", (2, 1))]
    equations = [
        Equation("matmul", ("A", "w"), "a"),
        Equation("add", ("a", "B"), "z"),
        Equation("relu", ("z",), "h"),
        Equation("squared_error", ("h", "y"), "J"),
    ]
    given = {"A": np.array([[1.0], [-1.0]]), "B": np.full((2, 1), size), "y": np.array([[2.0], [1.0]])}
    return Graph([*one, Variable("y", (2, 1), role="target")], equations), {"w": np.array([[w]]), **given}


@pytest.mark.parametrize(("size", "why"), [(1e-13, "too small beside J"), (1e-16, "every nudge crosses a corner")])
def test_between_two_corners_the_report_says_why(size: float, why: str) -> None:
    graph, values = around(0.0, size)
    for factor in (1.0, 1.001):
        report = check_gradients(with_rule(graph, "relu", factor), values)
        assert not report.ok
        assert report.verdicts == {"w": "not measured"}
        assert str(report) == f"w: 1 of 1 entries NOT MEASURED: {why}"


def test_between_two_corners_that_are_a_little_apart_there_is_room() -> None:
    graph, values = around(0.0, 1e-8)
    assert check_gradients(graph, values).ok
    assert check_gradients(with_rule(graph, "relu", 1.001), values).verdicts == {"w": "wrong"}


def test_what_is_too_small_beside_j_is_said() -> None:
    graph = Graph(
        [Variable("a", (), role="parameter"), Variable("b", (), role="parameter")],
        [Equation("l2", ("a",), "p", {"weight_decay": 1}), Equation("add", ("p", "b"), "J")],
    )
    report = check_gradients(graph, {"a": np.array(1e-9), "b": np.array(1e12)})
    assert report.verdicts == {"a": "not measured", "b": "right"}
    assert not report.ok
    assert str(report).startswith("a: 1 of 1 entries NOT MEASURED: too small beside J\nb: relative error ")


def steep(x: float) -> tuple[Graph, Values]:
    """J = ½ (w x − x)² at w = 1."""
    names = {"w": "parameter", "x": "input", "y": "target"}
    graph = Graph(
        [Variable(name, (1, 1), role=role) for name, role in names.items()],
        [Equation("matmul", ("w", "x"), "o"), Equation("squared_error", ("o", "y"), "J")],
    )
    return graph, {"w": np.ones((1, 1)), "x": np.full((1, 1), x), "y": np.full((1, 1), x)}


def test_where_j_overflows_beside_an_entry_that_is_said() -> None:
    report = check_gradients(*steep(1e200))
    assert str(report) == "w: 1 of 1 entries NOT MEASURED: J overflows beside it"
    assert check_gradients(*steep(1e100)).ok


@pytest.mark.parametrize("w", [0.0, 1e-9, 1e-5])
def test_a_corner_that_its_operator_does_not_confess_is_no_mistake(w: float) -> None:
    """An absolute value, as readers write it: without the flag."""

    def absolute(out: Array, z: Array) -> None:
        np.abs(z, out=out)

    def absolute_vjp(out: Array, delta: Array, z: Array) -> None:
        np.sign(z, out=out)
        np.multiply(out, delta, out=out)

    op = replace(OPS["identity"], name="abs", forward=absolute, vjps=(Vjp(absolute_vjp, lambda delta, z: "", (0,)),))
    graph = Graph(
        [Variable("w", (1, 1), role="parameter"), Variable("c", (1, 1)), Variable("y", (1, 1), role="target")],
        [
            Equation("abs", ("w",), "h"),
            Equation("matmul", ("c", "h"), "o"),
            Equation("squared_error", ("o", "y"), "J"),
        ],
        table=dict(OPS) | {"abs": op},
    )
    values = {"w": np.array([[w]]), "c": np.array([[1.0]]), "y": np.array([[3.0]])}
    assert check_gradients(graph, values).verdicts["w"] != "wrong"
    assert check_gradients(graph, values | {"w": np.array([[0.5]])}).ok


def test_float32_that_rounds_to_the_other_side_of_a_corner_is_not_called_wrong() -> None:
    called: Counter[str] = Counter()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        graph = network([30, 4, 2], batch=3, weight_decay=0.0, dtype="float32")
        values = random_values(graph, seed)
        x = values["x"].astype("float64")
        for row in values["W1"]:  # as near to a right angle with an example as float32 can say
            row[:] -= (x[:, 0] * (row @ x[:, 0]) / (x[:, 0] @ x[:, 0])).astype("float32")
        values["y"] += 100 * rng.standard_normal(values["y"].shape).astype("float32")
        report = check_gradients(graph, values, max_entries=5)
        called[said(report)] += 1
        assert said(report) != "wrong", str(report)
        if report.verdicts == {"W1": "right", "W2": "right"} and not report.ok:
            assert "in float32, NOT MEASURED: rounding alone moves the gradient too far" in str(report)
    assert called["not measured"]


def test_float32_that_underflows_is_not_called_wrong() -> None:
    place, graph, values = network_at(775)
    assert (place, graph.dtype) == ("near corners", "float32")  # gradients of 1e-40
    report = check_gradients(graph, values, max_entries=2)
    assert said(report) == "not measured", str(report)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_report_prints_on_any_console(encoding: str) -> None:
    code = """
import numpy as np, mlp
graph, values = mlp.examples.running_example()
values["W1"][3] = [-2, 1, 0]  # a corner, with negative slopes
report = mlp.check_gradients(graph, values)
assert "-" in str(report).partition("corner")[2]
print(report)
graph = mlp.network([3, 4, 2], dtype="float32")
print(mlp.check_gradients(graph, graph.init(0) | {"x": np.ones((3, 1), "f4"), "y": np.ones((2, 1), "f4")}))
deep = mlp.network([8] * 31, activation="sigmoid")
print(mlp.check_gradients(deep, deep.init(0) | {"x": np.ones((8, 1)), "y": np.ones((8, 1))}, max_entries=2))
"""
    done = run([sys.executable, "-c", code], env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert done.stdout.isascii()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vjp_is_not_checked_at_what_is_no_number(bad: float) -> None:
    with pytest.raises(ValueError, match=r"inputs\[0\]: expected finite numbers"):
        check_vjp("tanh", [np.array([[bad]])], 0)
    with pytest.raises(ValueError, match="attrs"):
        check_vjp("l2", [np.ones((2, 1))], 0, {"weight_decay": bad})


@pytest.mark.parametrize(("op", "size"), [("identity", 1e12), ("l2", 1e8), ("tanh", 1e-9)])
def test_a_vjp_is_checked_at_any_size(op: str, size: float) -> None:
    attrs = {"weight_decay": 0.1} if op == "l2" else {}
    assert check_vjp(op, [size * np.arange(1.0, 7).reshape(2, 3)], 0, attrs) < 1e-6


# --- one rule: what cannot be measured is NaN -----------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.0, 3.0])
@pytest.mark.parametrize(("name", "z"), [("tanh", 25.0), ("sigmoid", 45.0), ("relu", 1e-6)])
def test_a_rule_is_not_measured_where_rounding_or_a_corner_hides_what_it_does(
    name: str, z: float, factor: float
) -> None:
    rule = scaled(OPS[name], 0, factor)
    assert np.isnan(check_vjp(rule, [np.full((2, 3), z)], 0))
    error = check_vjp(rule, [np.full((2, 3), 0.5)], 0)
    assert error == pytest.approx(1 - 1 / factor, abs=1e-6)


def test_a_rule_that_is_0_where_the_operator_is_flat_is_right() -> None:
    assert check_vjp("relu", [np.full((2, 3), -1.0)], 0) == 0
    assert check_vjp("l2", [np.ones((2, 3))], 0, {"weight_decay": 0}) == 0


def silent(*arrays: Array) -> None:
    """Write nothing."""


def test_a_rule_that_writes_nothing_is_told_by_name() -> None:
    tanh = OPS["tanh"]
    vjp = tanh.vjps[0]
    assert vjp is not None
    backward = replace(tanh, vjps=(replace(vjp, rule=silent),))
    with pytest.raises(FloatingPointError, match="tanh: expected its rule 0 to write finite numbers"):
        check_vjp(backward, [MATRIX], 0)
    with pytest.raises(FloatingPointError, match="tanh: expected its forward rule to write finite numbers"):
        check_vjp(replace(tanh, forward=silent), [MATRIX], 0)
    graph = Graph(  # h leads nowhere, so no pass runs its rule
        [Variable("w", (2, 3), role="parameter")],
        [Equation("tanh", ("w",), "h"), Equation("l2", ("w",), "J", {"weight_decay": 1})],
        objective="J",
        table=dict(OPS) | {"tanh": backward},
    )
    with pytest.raises(FloatingPointError, match=r"w: expected finite numbers, received inf or NaN from rule 0 of"):
        jacobian(graph, {"w": MATRIX}, "h", "w")
