"""What callers bring: every way out that an error names is taken, and helps."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlp
from mlp import Graph, network, one_hot, sgd, value_and_grad
from mlp.values import check_array
from tests.cases import SEEDS, examples, random_values

Values = dict[str, Any]
WAY_OUT = re.compile(r"; (?:if they count from 1, )?pass (?P<passed>.+?)(?=; graph|$)")
OTHER_BATCH = re.compile(r"; graph\.with_batch\((\d+)\) takes as many examples$")


def follow(message: str, label: str, array: object, graph: Graph) -> tuple[object, Graph]:
    """What the message says, done: the array that it says to pass, and the graph that it says to take."""
    passed, batch = WAY_OUT.search(message), OTHER_BATCH.search(message)
    assert passed or batch, f"no way out: {message}"
    if passed:
        array = eval(passed["passed"], {"np": np, "mlp": mlp, label: array})
    return array, graph.with_batch(int(batch[1])) if batch else graph


# --- one_hot --------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[np.ndarray], object]] = {
    "ints": lambda labels: labels,
    "small ints": lambda labels: labels.astype("uint8"),
    "floats": lambda labels: labels.astype("float64"),
    "a row": lambda labels: labels[None],
    "a column": lambda labels: labels[:, None],
    "a row of floats": lambda labels: labels[None].astype("float32"),
    "a list": lambda labels: labels.tolist(),
    "a list of lists": lambda labels: labels[:, None].tolist(),
    "a tuple": lambda labels: tuple(labels.tolist()),
}


@pytest.mark.parametrize("form", FORMS)
@examples(20)
@given(seed=SEEDS, q=st.integers(2, 9), n=st.integers(1, 12), dtype=st.sampled_from(["float64", "float32"]))
def test_labels_become_columns_however_they_are_brought(form: str, seed: int, q: int, n: int, dtype: str) -> None:
    labels = np.random.default_rng(seed).integers(q, size=n)
    columns = one_hot(FORMS[form](labels), q, dtype)
    assert columns.dtype == dtype and columns.shape == (q, n)
    assert (columns == (np.arange(q)[:, None] == labels)).all()


def test_true_and_false_are_labels() -> None:
    assert one_hot(np.array([0.5, -2.0, 3.0]) > 0, 2).tolist() == [[0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("labels", "q", "error", "said"),
    [
        ([0, 3], 3, ValueError, "labels: expected whole numbers from 0 to 2, received 3 for example 1$"),
        ([0, -1], 3, ValueError, "received -1 for example 1$"),
        ([[0.0], [1.5]], 3, ValueError, "received 1.5 for example 1$"),
        ([0, np.nan], 3, ValueError, "received nan for example 1$"),
        ([0, np.inf], 3, ValueError, "received inf for example 1$"),
        (np.zeros((2, 3)), 3, ValueError, r"in shape \(n,\), \(1, n\) or \(n, 1\), received shape \(2, 3\)$"),
        ([], 3, ValueError, r"received shape \(0,\)$"),
        (2, 3, ValueError, r"received shape \(\)$"),
        ([[0, 1], [2]], 3, ValueError, "one for each example, received list$"),
        ([1j], 3, TypeError, "received dtype complex128$"),
        ([None], 3, TypeError, "received dtype object$"),
        ([0], 1, ValueError, "q: expected at least 2 classes, received 1$"),
        ([0], 2.0, TypeError, "q: expected a whole number >= 1, received 2.0$"),
    ],
)
def test_what_is_no_label_is_named(labels: object, q: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        one_hot(labels, q)


@pytest.mark.parametrize("labels", [[1, 2, 3], np.array([3, 1, 2]), np.array([[1.0, 3.0]]), ["cat", "dog", "cat"]])
def test_what_is_said_of_labels_that_count_from_one_or_are_words_does_help(labels: object) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        one_hot(labels, 3)
    passed, _ = follow(str(raised.value), "labels", labels, network([1, 1]))
    assert (one_hot(passed, 3).sum(axis=0) == 1).all()


# --- arrays as people bring them ------------------------------------------------------------------------------------

SIZES = {"d": 3, "q": 2, "n": 7}
LABELS = np.array([0, 1, 1, 0, 1, 0, 0])
X = np.random.default_rng(0).standard_normal((SIZES["d"], SIZES["n"]))
AS_BROUGHT: dict[str, tuple[str, Any]] = {
    **{f"labels as {form}": ("y", brought(LABELS)) for form, brought in FORMS.items()},
    "labels as truths": ("y", LABELS == 1),
    "labels as words": ("y", np.array(["no", "yes"])[LABELS]),
    "labels as a list of words": ("y", np.array(["no", "yes"])[LABELS].tolist()),
    "one-hot rows": ("y", one_hot(LABELS, 2).T),
    "one-hot rows of ints": ("y", one_hot(LABELS, 2).T.astype(int)),
    "one-hot columns of ints": ("y", one_hot(LABELS, 2).astype(int)),
    "one-hot columns as a list": ("y", one_hot(LABELS, 2).tolist()),
    "rows": ("x", X.T),
    "rows of float32": ("x", X.T.astype("float32")),
    "a list of rows": ("x", X.T.tolist()),
    "a list of columns": ("x", X.tolist()),
    "numbers as text": ("x", X.astype(str)),
    "masked": ("x", np.ma.masked_array(X)),
    "big-endian": ("x", X.astype(">f8")),
    "rows of whole numbers": ("x", (10 * X.T).astype(int)),
}


@pytest.mark.parametrize("batch", [1, SIZES["n"], 5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("brought", AS_BROUGHT)
def test_what_is_said_of_an_array_does_help_whatever_the_batch(brought: str, dtype: str, batch: int) -> None:
    graph = network([SIZES["d"], 4, SIZES["q"]], batch, loss="cross_entropy", dtype=dtype)
    name, array = AS_BROUGHT[brought]
    values = graph.init(0) | {"x": X.astype(dtype), "y": one_hot(LABELS, 2, dtype)}
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected") as raised:
        check_array(graph, name, array)
    passed, other = follow(str(raised.value), name, array, graph)
    value_and_grad(other, values | {name: passed})


@pytest.mark.parametrize("train", [mlp.sgd, mlp.adam])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("brought", AS_BROUGHT)
def test_what_is_said_of_data_does_help_without_another_graph(brought: str, dtype: str, train: Any) -> None:
    graph = network([SIZES["d"], 4, SIZES["q"]], loss="cross_entropy", dtype=dtype)
    label, array = {"x": "X", "y": "Y"}[AS_BROUGHT[brought][0]], AS_BROUGHT[brought][1]
    data: Values = {"X": X.astype(dtype), "Y": one_hot(LABELS, 2, dtype)} | {label: array}
    with pytest.raises((TypeError, ValueError), match=f"^{label}: expected") as raised:
        train(graph, graph.init(0), (data["X"], data["Y"]), lr=0.1, epochs=1, batch_size=3)
    data[label], same = follow(str(raised.value), label, array, graph)
    assert same is graph
    assert len(train(graph, graph.init(0), (data["X"], data["Y"]), lr=0.1, epochs=1, batch_size=3).J) == 3


@examples(200)
@given(seed=SEEDS, rows=st.integers(1, 6), q=st.integers(2, 4), batch=st.integers(1, 6), data=st.data())
def test_no_way_out_leads_astray(seed: int, rows: int, q: int, batch: int, data: st.DataObject) -> None:
    """Arrays of any small shape and kind in place of any variable: where something is said, it works."""
    loss = data.draw(st.sampled_from(["squared_error", "cross_entropy"]))
    graph = network([rows, 4, q], batch, loss=loss, bias=True)
    name = data.draw(st.sampled_from(graph.given))
    shape = tuple(data.draw(st.lists(st.integers(1, 6), max_size=3)))
    kind = data.draw(st.sampled_from(["float64", "float32", "int64", "bool", "str", "complex128", "list"]))
    numbers = np.random.default_rng(seed).integers(2, size=shape)
    array = numbers.tolist() if kind == "list" else np.asarray(numbers.astype(kind))
    try:
        check_array(graph, name, array)
    except (TypeError, ValueError) as error:
        message = str(error)
        if "; " in message:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                passed, other = follow(message, name, array, graph)
            assert message.startswith(f"{name}: expected")
            value_and_grad(other, random_values(other) | {name: passed})


def test_a_square_of_rows_is_not_told_apart_from_columns() -> None:
    """(3, 3) may be either: it is taken as it is, and 3 examples are what differs."""
    graph = network([3, 4, 2])
    with pytest.raises(ValueError, match=r"received shape \(3, 3\); graph.with_batch\(3\) takes as many examples$"):
        value_and_grad(graph, random_values(graph) | {"x": np.ones((3, 3))})


def test_one_target_in_a_line_of_numbers_is_a_row() -> None:
    graph = network([3, 4, 1])
    data = X, np.arange(7.0)
    with pytest.raises(ValueError, match=r"Y: expected .*\(1, 7\), received shape \(7,\); pass Y.reshape\(1, -1\)$"):
        sgd(graph, graph.init(0), data, lr=0.1, epochs=1, batch_size=3)


# --- cross-entropy with one output ----------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [[1, 1], [3, 1], [3, 4, 1], [3, 4, 5, 1]])
@pytest.mark.parametrize("batch", [1, 7])
def test_cross_entropy_with_one_output_is_refused_and_the_way_out_helps(widths: list[int], batch: int) -> None:
    with pytest.raises(ValueError, match="expected at least 2 outputs, one for each class, received 1") as raised:
        network(widths, batch, loss="cross_entropy")
    outputs = re.search(r"make (\d) outputs, and pass y = (mlp\.one_hot\(labels, \d\))$", str(raised.value))
    assert outputs
    graph = network([*widths[:-1], int(outputs[1])], 7, loss="cross_entropy")
    y = eval(outputs[2], {"mlp": mlp, "labels": LABELS})
    J, gradients = value_and_grad(graph, random_values(graph) | {"y": y})
    assert J > 0 and all(gradient.any() for gradient in gradients.values())


def test_a_stepper_with_one_output_offers_no_cross_entropy() -> None:
    graph = network([3, 4, 1])
    assert "cross_entropy" not in mlp.Stepper(graph, random_values(graph)).state
