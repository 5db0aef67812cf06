"""A Graph: checked when made, never changed, out as JSON and in again, and what it knows of who depends on whom."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given

from mlp import Equation, Graph, Variable, network
from mlp.examples import diamond, running_example
from mlp.ops import OPS
from tests.cases import OWN_TABLE, SEEDS, examples, little_recursion, random_graph, random_network, same_bits

X = Variable("x", (3, 2))
W = Variable("W", (4, 3), role="parameter")
PRODUCT = Equation("matmul", ("W", "x"), "z")
SIZE = Equation("l2", ("z",), "s", {"weight_decay": 1})
LEAKY = replace(OPS["relu"], gain=1.5)


# --- made and checked -----------------------------------------------------------------------------------------------


def test_shapes_of_intermediates_are_inferred() -> None:
    graph = Graph([X, W], [PRODUCT, SIZE])
    assert [graph.variables[name].shape for name in ("z", "s")] == [(4, 2), ()]


def test_a_declared_intermediate_keeps_its_tex() -> None:
    z = Variable("z", (4, 2), role="intermediate", tex=r"\mathbf{u}")
    assert Graph([X, W, z], [PRODUCT]).variables["z"].tex == r"\mathbf{u}"


def test_the_objective_is_the_last_scalar_unless_another_is_named() -> None:
    twice = Equation("add", ("s", "s"), "J")
    assert Graph([X, W], [PRODUCT, SIZE, twice]).objective == "J"
    assert Graph([X, W], [PRODUCT, SIZE, twice], objective="s").objective == "s"


def test_a_graph_that_ends_in_a_matrix_has_no_objective() -> None:
    assert Graph([X, W], [PRODUCT]).objective is None


def variable(name: str, shape: tuple[int, ...], role: str = "input", dtype: str = "float64") -> Variable:
    return Variable(name, shape, dtype, role)


@pytest.mark.parametrize(
    ("variables", "equations", "said"),
    [
        ([X, W], [Equation("matmul", ("x", "W"), "z")], ["z = matmul(x, W)", "x (3, 2)", "W (4, 3)", "2 rows"]),
        ([X, W], [Equation("matmul", ("W", "h"), "z")], ["z = matmul(W, h)", "'h'", "before"]),
        ([X, W], [Equation("relu", ("z",), "h"), PRODUCT], ["h = relu(z)", "'z'", "before"]),
        ([X, W], [PRODUCT, PRODUCT], ["z = matmul(W, x)", "'z'", "new name"]),
        ([X, W], [Equation("matmul", ("W", "x"), "x")], ["'x'", "new name"]),
        ([X, W], [Equation("matmul", ("W", "z"), "z")], ["'z'", "before"]),
        ([X], [Equation("softmax", ("x",), "p")], ["p = softmax(x)", "matmul", "'softmax'"]),
        ([X], [Equation("relu", ("x", "x"), "h")], ["h = relu(x, x)", "1 input", "received 2"]),
        ([X], [Equation("add", (), "h")], ["at least 1 input", "received 0"]),
        ([X, variable("a", (3, 1))], [Equation("add", ("x", "a"), "h")], ["one shape", "(3, 2), (3, 1)"]),
        ([X], [Equation("l2", ("x",), "s")], ["attributes weight_decay", "received none"]),
        ([X], [Equation("relu", ("x",), "h", {"slope": 0.1})], ["attributes none", "received slope"]),
        ([X], [Equation("relu", ("x",), "h", {}, {"slope": "a"})], ["attributes none", "received slope"]),
        ([X, X], [], ["'x'", "once", "twice"]),
        ([], [], ["at least one input or parameter", "received none"]),
        ([variable("z", (2, 2), "intermediate")], [], ["at least one input or parameter"]),
        ([X, variable("q", (2, 2), "intermediate")], [], ["'q'", "an equation that defines it"]),
        ([X, W, variable("z", (2, 4), "intermediate")], [PRODUCT], ["'z' of shape (4, 2)", "received (2, 4)"]),
        ([X, variable("a", (3, 1), dtype="float32")], [], ["one dtype", "float32 and float64"]),
        ([X, W, variable("U", (2, 2), "parameter")], [PRODUCT, SIZE], ["'U'", "reach the objective 's'"]),
        (
            [X, variable("T", (3, 2), "parameter")],
            [Equation("relu", ("x",), "o"), Equation("cross_entropy", ("o", "T"), "L")],
            ["L = cross_entropy(o, T)", "gradient for 'T'", "no derivative", "input 1"],
        ),
    ],
)
def test_a_list_that_is_not_a_graph_is_refused(
    variables: list[Variable], equations: list[Equation], said: list[str]
) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        Graph(variables, equations)
    assert [part for part in said if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"objective": "Q"}, "objective: expected one of x, W, z, s, received 'Q'"),
        ({"objective": "z"}, r"objective 'z': expected a scalar.*received \(4, 2\)"),
        ({"output": "Q"}, "output: expected one of x, W, z, s, received 'Q'"),
        ({"output": "x"}, "output 'x': expected a variable that an equation defines"),
    ],
)
def test_objective_and_output_must_be_there(choice: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Graph([X, W], [PRODUCT, SIZE], **choice)


@pytest.mark.parametrize(
    ("variables", "equations", "said"),
    [
        (["x"], [], "variables: expected mlp.Variable, received 'x'"),
        ([X], [("relu", "x", "h")], "expected mlp.Equation"),
    ],
)
def test_only_variables_and_equations_make_a_graph(variables: list[object], equations: list[object], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Graph(variables, equations)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "1W"}, "variable name: expected an identifier such as 'W1', received '1W'"),
        ({"name": "dJ/dz"}, "variable name"),
        ({"name": ""}, "variable name"),
        ({"name": 3}, "variable name"),
        ({"shape": (3,)}, r"shape of 'v': expected \(\) or \(rows, columns\), received \(3,\)"),
        ({"shape": 3}, "shape of 'v'"),
        ({"shape": (1, 2, 3)}, "shape of 'v'"),
        ({"shape": (3, 0)}, "shape of 'v': expected a whole number >= 1, received 0"),
        ({"shape": (3, -1)}, "shape of 'v'"),
        ({"shape": (3, 1.0)}, "shape of 'v': expected a whole number >= 1, received 1.0"),
        ({"shape": (True, 2)}, "shape of 'v'"),
        ({"dtype": "float16"}, "dtype of 'v': expected one of float32, float64, received 'float16'"),
        ({"dtype": np.dtype("float64")}, "dtype of 'v'"),
        ({"dtype": float}, "dtype of 'v'"),
        ({"role": "weight"}, "role of 'v': expected one of input, target, parameter, intermediate, received 'weight'"),
        ({"tex": 3}, "tex of 'v': expected a string, received 3"),
    ],
)
def test_a_variable_that_cannot_be_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        Variable(**({"name": "v", "shape": (3, 2)} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("inputs", ["Wx", ("W", 3), None, {"W", "x"}])
def test_inputs_of_an_equation_are_names_in_order(inputs: object) -> None:
    with pytest.raises(TypeError, match="equation: expected names"):
        Equation("matmul", inputs, "z")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (-0.1, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        ("0.1", TypeError),
        (True, TypeError),
        (1j, TypeError),
    ],
)
def test_a_number_of_an_equation_is_finite_and_not_negative(number: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="weight_decay of 's': expected a finite number >= 0, received"):
        Equation("l2", ("W",), "s", {"weight_decay": number})  # type: ignore[dict-item]


def test_a_number_of_numpy_becomes_a_plain_one() -> None:
    number = Equation("l2", ("W",), "s", {"weight_decay": np.float32(0.5)}).attrs["weight_decay"]
    assert type(number) is float


# --- never changed --------------------------------------------------------------------------------------------------


def test_a_graph_never_changes() -> None:
    graph, _ = running_example()
    with pytest.raises(AttributeError, match="never changes"):
        graph.objective = "L"
    with pytest.raises(AttributeError, match="never changes"):
        del graph.output
    with pytest.raises(TypeError):
        graph.variables["z"] = X  # type: ignore[index]


def test_what_a_graph_was_made_from_can_change_without_it() -> None:
    numbers = {"weight_decay": 1.0}
    equations = [PRODUCT, Equation("l2", ["z"], "s", numbers)]
    graph = Graph([X, W], equations)
    numbers["weight_decay"] = 5.0
    equations.clear()
    assert [dict(equation.attrs) for equation in graph.equations] == [{}, {"weight_decay": 1.0}]


def test_variables_and_equations_never_change() -> None:
    with pytest.raises(FrozenInstanceError):
        X.shape = (1, 1)  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        PRODUCT.op = "add"  # type: ignore[misc]
    with pytest.raises(TypeError):
        SIZE.attrs["weight_decay"] = 2.0  # type: ignore[index]


# --- equal, hashed, copied, out and in ------------------------------------------------------------------------------


def any_graph(seed: int) -> Graph:
    return random_graph(seed) if seed % 2 else random_network(seed)


@examples(40)
@given(seed=SEEDS)
def test_json_gives_back_an_equal_graph(seed: int) -> None:
    graph = any_graph(seed)
    assert Graph.from_json(graph.to_json()) == graph


def test_json_keeps_the_letter_of_a_number_and_the_objective() -> None:
    graph = Graph.from_json(diamond()[0].to_json())
    assert graph == diamond()[0]
    assert graph.tex(graph.equations[5]) == diamond()[0].tex(diamond()[0].equations[5])


def test_json_is_plain() -> None:
    state = json.loads(running_example()[0].to_json())
    assert [equation["op"] for equation in state["equations"]] == [
        "matmul",
        "relu",
        "matmul",
        "squared_error",
        "l2",
        "add",
    ]
    assert (state["objective"], state["output"], state["dtype"]) == ("J", "o", "float64")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "3", '{"format": 1}', None])
def test_foreign_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"graph JSON: expected what Graph.to_json writes, received"):
        Graph.from_json(text)


def test_json_of_another_format_is_refused() -> None:
    state = json.loads(running_example()[0].to_json()) | {"format": 99}
    with pytest.raises(ValueError, match="expected format 1, received 99"):
        Graph.from_json(json.dumps(state))


def test_damaged_json_is_checked_as_any_graph() -> None:
    state = json.loads(running_example()[0].to_json())
    state["variables"][0]["shape"] = [2, 1]
    with pytest.raises(ValueError, match=r"z = matmul\(W1, x\).*x \(2, 1\)"):
        Graph.from_json(json.dumps(state))


@examples(20)
@given(seed=SEEDS)
def test_pickles_and_copies_are_equal_and_hash_alike(seed: int) -> None:
    graph = any_graph(seed)
    for twin in (pickle.loads(pickle.dumps(graph)), copy.copy(graph), copy.deepcopy(graph)):
        assert twin == graph
        assert hash(twin) == hash(graph)


def test_a_pickled_graph_keeps_its_own_table() -> None:
    graph = Graph([X], [Equation("softplus", ("x",), "h")], table={"softplus": OWN_TABLE["relu"]})
    again = pickle.loads(pickle.dumps(graph))  # a row of the book goes by its name
    assert again == graph and again.table["softplus"] is OWN_TABLE["relu"]


@pytest.mark.parametrize(
    "change",
    [
        {"widths": [3, 5, 2]},
        {"batch": 2},
        {"activation": "tanh"},
        {"loss": "cross_entropy"},
        {"weight_decay": 0.2},
        {"bias": True},
        {"dtype": "float32"},
    ],
)
def test_networks_that_differ_in_anything_are_not_equal(change: dict[str, object]) -> None:
    plain: dict[str, object] = {"widths": [3, 4, 2], "weight_decay": 0.1}
    assert network(**(plain | change)) != network(**plain)  # type: ignore[arg-type]


def test_a_graph_is_not_equal_to_something_else() -> None:
    assert running_example()[0] != "a graph"


# --- who depends on whom --------------------------------------------------------------------------------------------


def test_readers_makers_ancestors_and_descendants_of_the_diamond() -> None:
    graph, _ = diamond()
    assert graph.readers("h") == ((2, 1), (5, 0))
    assert graph.readers("W1") == ((0, 0), (4, 0))
    assert graph.maker("h") == graph.equations[1]
    assert graph.maker("x") is None
    assert graph.ancestors("h") == {"h", "z", "W1", "x"}
    assert graph.descendants("h") == {"h", "o", "L", "r", "J"}


def test_only_what_lies_between_a_parameter_and_the_objective_needs_a_gradient() -> None:
    graph, _ = running_example()
    assert {name for name in graph.variables if graph.needs_gradient(name)} == set(graph.variables) - {"x", "y"}


def test_a_dead_end_needs_no_gradient() -> None:
    graph = Graph([X, W], [PRODUCT, Equation("relu", ("z",), "dead"), SIZE])
    assert not graph.needs_gradient("dead")


@examples(40)
@given(seed=SEEDS)
def test_ancestors_and_descendants_are_each_others_mirror(seed: int) -> None:
    graph = any_graph(seed)
    for name in graph.variables:
        assert graph.descendants(name) == {other for other in graph.variables if name in graph.ancestors(other)}


def test_a_graph_says_its_equations_with_shapes() -> None:
    graph, _ = running_example()
    assert [line.split("  ")[0] for line in str(graph).splitlines()] == [str(e) for e in graph.equations]
    assert str(graph).splitlines()[0].endswith("  (4, 1)")
    assert repr(graph) == "<Graph: 6 equations, 2 parameters, batch 1, float64>"


def test_tex_writes_layers_as_superscripts_and_scalars_thin() -> None:
    graph, _ = running_example()
    assert graph.tex(graph.equations[0]) == r"\mathbf{z} = \mathbf{W}^{(1)} \mathbf{x}"
    assert graph.tex(graph.equations[-1]) == "J = L + s"


# --- the same network, changed --------------------------------------------------------------------------------------


@examples(25)
@given(seed=SEEDS)
def test_with_batch_is_the_network_of_that_batch(seed: int) -> None:
    graph = random_network(seed)
    n = graph.batch or 0
    other = graph.with_batch(n + 2)
    assert other.batch == n + 2
    assert other.parameters == graph.parameters
    assert other.with_batch(n) == graph


def test_with_batch_of_the_running_example() -> None:
    assert running_example(1)[0].with_batch(5) == running_example(5)[0]


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "2", None])
def test_a_batch_that_is_no_count_is_refused(n: object) -> None:
    with pytest.raises((TypeError, ValueError), match="batch: expected a whole number >= 1, received"):
        running_example()[0].with_batch(n)  # type: ignore[arg-type]


def test_with_dtype_changes_every_variable() -> None:
    single = diamond()[0].with_dtype("float32")
    assert {variable.dtype for variable in single.variables.values()} == {"float32"}
    assert single.with_dtype("float64") == diamond()[0]


def test_the_batch_is_none_where_inputs_differ() -> None:
    assert Graph([X, Variable("a", (3, 5))], []).batch is None


# --- initial parameters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "gain"), [("relu", 2), ("gelu", 2), ("tanh", 1), ("sigmoid", 1), ("identity", 1)]
)
def test_weights_start_with_the_size_that_keeps_values_level(activation: str, gain: float) -> None:
    params = network([300, 200, 100], activation=activation, bias=True).init(seed=0)
    assert params["W1"].std() == pytest.approx(np.sqrt(gain / 300), rel=0.02)
    assert params["W2"].std() == pytest.approx(np.sqrt(gain / 200), rel=0.02)
    assert abs(params["W1"].mean()) < 1e-3


def test_biases_start_at_zero() -> None:
    params = network([3, 4, 2], bias=True).init(seed=0)
    assert not params["b1"].any()
    assert not params["b2"].any()


def test_the_same_seed_gives_the_same_bits() -> None:
    graph = network([3, 4, 2])
    twice = graph.init(seed=7), graph.init(seed=np.random.default_rng(7))
    assert all(same_bits(twice[0][name], twice[1][name]) for name in graph.parameters)
    assert not np.array_equal(twice[0]["W1"], graph.init(seed=8)["W1"])


def test_float32_parameters_are_the_float64_ones_rounded() -> None:
    graph = network([3, 4, 2])
    single, double = graph.with_dtype("float32").init(seed=7), graph.init(seed=7)
    assert all(same_bits(single[name], double[name].astype("float32")) for name in graph.parameters)


@pytest.mark.parametrize(
    ("seed", "error"), [(1.0, TypeError), (None, TypeError), (True, TypeError), ("1", TypeError), (-1, ValueError)]
)
def test_a_seed_that_cannot_be_repeated_is_refused(seed: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed: expected an int"):
        running_example()[0].init(seed)  # type: ignore[arg-type]


# --- deep -----------------------------------------------------------------------------------------------------------


def test_five_thousand_layers_are_a_list_not_a_recursion() -> None:
    with little_recursion():
        graph = network([1] * 5001, activation="tanh", bias=True)
        assert len(graph.equations) == 3 * 5000 - 1 + 3
        assert len(graph.ancestors("J")) == len(graph.variables)
        assert len(graph.descendants("x")) > 10000
        assert graph.with_batch(2).batch == 2
        twin = Graph.from_json(graph.to_json())
        assert twin == graph
        assert hash(pickle.loads(pickle.dumps(graph))) == hash(twin)
        assert len(str(graph).splitlines()) == len(graph.equations)


# --- what others would get wrong ------------------------------------------------------------------------------------


def test_computed_labels_are_refused_where_they_would_have_to_be_checked() -> None:
    with pytest.raises(ValueError, match=r"expected a given variable as input 1.*received 't', which is computed"):
        Graph(
            [Variable("o", (3, 2), role="parameter"), Variable("y", (3, 2), role="target")],
            [Equation("identity", ("y",), "t"), Equation("cross_entropy", ("o", "t"), "L")],
        )


def test_text_grows_with_the_number_of_equations_and_no_faster() -> None:
    assert len(str(network([2] * 5001))) < 60 * 15004
    assert str(network([2] * 21).equations[-2]) == "s = l2(W1, W2, ..., W20, weight_decay=0)"


@pytest.mark.parametrize("method", ["ancestors", "descendants", "maker", "readers", "needs_gradient"])
def test_a_misspelt_name_gets_no_answer(method: str) -> None:
    with pytest.raises(ValueError, match=r"variable: expected one of x, W1.*received 'nope'"):
        getattr(running_example()[0], method)("nope")


@pytest.mark.parametrize("tex", [r"\foo", "{"])
def test_a_graph_that_cannot_be_drawn_shows_its_equations(tex: str) -> None:
    graph = Graph([Variable("x", (2, 1), tex=tex), Variable("W", (1, 2), role="parameter")], [PRODUCT])
    assert graph._repr_mimebundle_()["text/plain"].startswith("<Graph: 1 equation,")


def test_rules_are_part_of_what_makes_graphs_equal() -> None:
    graph, _ = running_example()
    other = Graph(graph.variables.values(), graph.equations, table=OWN_TABLE)
    assert graph != other
    assert graph == Graph(graph.variables.values(), graph.equations)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"attrs": None}, TypeError, "attrs of 's': expected a mapping"),
        ({"attrs": {5: 1.0}}, TypeError, "attrs of 's': expected a mapping"),
        ({"symbols": {"weight_decay": 5}}, TypeError, "symbols of 's': expected TeX"),
        ({"attrs": {"weight_decay": 10**400}}, ValueError, "weight_decay of 's': expected a finite number"),
    ],
)
def test_an_equation_says_what_is_wrong_with_it(arguments: dict, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Equation("l2", ("z",), "s", **({"attrs": {"weight_decay": 1.0}} | arguments))


@pytest.mark.parametrize("arguments", [(None, []), ([X, W], None), ([X, W], [PRODUCT], ["z"])])
def test_a_graph_says_what_is_wrong_with_its_lists(arguments: tuple) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^(variables|equations|objective): expected"):
        Graph(*arguments)


@pytest.mark.parametrize("table", [[1], {"relu": np.maximum}])
def test_a_table_holds_operators(table: object) -> None:
    with pytest.raises(TypeError, match=r"table: expected a mapping from names to mlp.ops.Op"):
        Graph([X, W], [PRODUCT], table=table)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["[" * 100000, "null", "3", '{"format": true}', "\x00"])
def test_what_is_not_a_graph_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="graph JSON: expected"):
        Graph.from_json(text)


def test_a_leaky_unit_brings_its_own_gain() -> None:
    graph = network([200, 100, 1])
    leaky = Graph([graph.variables[n] for n in graph.given], graph.equations, table=OPS | {"relu": LEAKY})
    assert leaky.init(0)["W1"].std() == pytest.approx(np.sqrt(1.5 / 200), rel=0.05)
