"""Questions as Python sees them: answers and reasons from the graph, an inert island in words, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import mlp
from mlp.examples import diamond, running_example
from mlp.graph import Equation, Graph, Variable
from mlp.views.question import Question
from tests.views.test_stepper import Elements

GRAPH, VALUES = running_example()


def told(question: Question) -> dict[str, Any]:
    """What the island tells the page."""
    state: dict[str, Any] = json.loads(Elements(question.island()).script)["state"]
    return state


def test_a_question_is_a_widget_an_island_and_a_text() -> None:
    question = mlp.Question.numbers("How much is J?", {"J": 3.5}, name="how-much")
    data, _ = question._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert data["text/plain"] == "How much is J?\n- J: a number"


def test_the_island_is_inert_and_says_the_question_in_words() -> None:
    html = Question.choice("Up or down?", {"up": "", "down": "It falls."}, "up", name="way").island()
    island = Elements(html)
    assert [tag for tag, _ in island.tags] == ["figure", "div", "p", "ul", "li", "li", "script"]
    assert island.tags[0][1] == {"class": "mlp-view", "data-view": "question", "id": "way"}
    assert "<p>Up or down?</p><ul><li>up</li><li>down</li></ul>" in html
    assert len(html.encode()) < 1_000


def test_words_never_become_markup() -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    html = Question.choice(hostile, {hostile: hostile, "b": "c"}, "b").island()
    assert "<img" not in html
    assert html.count("</script>") == 1


def test_kept_is_what_backward_reads() -> None:
    """For relu z may go, for gelu it is kept; the target y is no answer, x is read for W1."""
    state = told(Question.kept("Which?", GRAPH))
    assert [(option["label"], option["right"]) for option in state["options"]] == [
        ("x", True),
        ("z", False),
        ("h", True),
        ("o", True),
    ]
    why = {option["label"]: option["why"] for option in state["options"]}
    assert why["z"] == "z may go: no step of backward reads it. The VJP of relu asks h instead."
    assert why["h"] == "h is kept: ∂J/∂W⁽²⁾ and ∂J/∂z are computed from it."
    assert why["x"] == "x is kept: ∂J/∂W⁽¹⁾ is computed from it."
    gelu = told(Question.kept("Which?", running_example(activation="gelu")[0], ("z", "h")))
    assert [option["right"] for option in gelu["options"]] == [True, True]


@pytest.mark.parametrize(
    "graph", [GRAPH, diamond()[0], mlp.network([3, 5, 4, 2], batch=6, activation="tanh", bias=True)]
)
def test_kept_agrees_with_the_schedule(graph: Graph) -> None:
    steps = mlp.schedule(graph)
    read = {name for step in steps if step.phase == "backward" for name in step.reads}
    names = [name for name, v in graph.variables.items() if v.role == "intermediate"]
    options = told(Question.kept("Which?", graph, names))["options"]
    assert [option["right"] for option in options] == [name in read for name in names]


@pytest.mark.parametrize("phase", ["forward", "backward"])
@pytest.mark.parametrize("graph", [GRAPH, diamond()[0], mlp.network([3, 5, 4, 2], bias=True)])
def test_the_schedules_own_order_is_right_and_the_first_shown_is_not(graph: Graph, phase: str) -> None:
    state = told(Question.order_of("Order?", graph, phase))
    steps, needs, start = state["steps"], state["needs"], state["start"]
    assert sorted(start) == list(range(len(steps)))
    assert all(other < step for step, others in enumerate(needs) for other in others)  # as the schedule has them
    place = {step: k for k, step in enumerate(start)}
    assert any(place[other] > place[step] for step, others in enumerate(needs) for other in others)


def test_the_order_of_backward_is_one_of_cotangents() -> None:
    state = told(Question.order_of("Order?", GRAPH, "backward"))
    assert state["steps"] == ["∂J/∂o", "∂J/∂W⁽²⁾", "∂J/∂h", "∂J/∂z", "∂J/∂W⁽¹⁾"]
    needs = {
        step: {state["steps"][k] for k in others} for step, others in zip(state["steps"], state["needs"], strict=True)
    }
    assert needs["∂J/∂h"] == {"∂J/∂o"}
    assert needs["∂J/∂W⁽¹⁾"] == {"∂J/∂z"}


def test_a_shape_turned_round_has_its_words_without_being_listed() -> None:
    field = told(Question.shapes("Shape?", {"W": (4, 3)}, {"W": {(4, 4): "No."}}))["fields"][0]
    assert field["answer"] == [4, 3]
    assert [value for value, _ in field["wrong"]] == [[4, 4], [12], [3, 4]]
    assert "transposed" in field["wrong"][-1][1]


def test_a_square_shape_is_not_called_transposed() -> None:
    field = told(Question.shapes("Shape?", {"W": (4, 4)}))["fields"][0]
    assert all(value != [4, 4] for value, _ in field["wrong"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Question.numbers("", {"J": 1}), "ask: expected a question"),
        (lambda: Question.numbers(3, {"J": 1}), "ask: expected a string, received 3"),
        (lambda: Question.numbers("?", {}), "answers: expected a dict with at least one label"),
        (lambda: Question.numbers("?", {"J": float("nan")}), "J: expected a finite number"),
        (lambda: Question.numbers("?", {"J": "x"}), "J: expected a finite number, received 'x'"),
        (lambda: Question.numbers("?", {"J": None}), "J: expected a finite number, received None"),
        (lambda: Question.numbers("?", {"J": 10**400}), "J: expected a finite number, received 1000"),
        (lambda: Question.numbers("?", {"J": 1}, {"J": [2]}), "wrong: expected words for each wrong answer"),
        (lambda: Question.numbers("?", {"J": 1}, [2]), "wrong: expected words for each wrong answer"),
        (lambda: Question.several("?", {"a": "x", "b": "y"}, "ab"), "answers: expected a list .* received 'ab'"),
        (lambda: Question.order("?", {"a": None, "b": ["a"]}), "needs of 'a': expected a list of steps, received None"),
        (lambda: Question.order("?", {"a": [], "b": ["a"]}, seed=-1), "seed: expected an int >= 0, received -1"),
        (lambda: Question.numbers("?", {"J": 1}, {"L": {2: "no"}}), "wrong: expected J, received L"),
        (lambda: Question.numbers("?", {"J": 1}, {"J": {1.0: "no"}}), "is the right answer, within its tolerance"),
        (lambda: Question.numbers("?", {"J": 1}, {"J": {2.0: ""}}), "expected words for"),
        (lambda: Question.numbers("?", {"J": 1}, tolerance=-1), "tolerance: expected a finite number >= 0"),
        (lambda: Question.numbers("?", {"J": 1}, name='"><b>'), "name: expected a letter"),
        (lambda: Question.shapes("?", {"W": [4, 3]}), r"W: expected a shape such as \(4, 3\)"),
        (lambda: Question.shapes("?", {"W": (4, 0)}), "W: expected a shape"),
        (lambda: Question.choice("?", {"a": "x", "b": "y"}, "c"), "answer: expected one of a, b, received 'c'"),
        (lambda: Question.choice("?", {"a": "", "b": ""}, "a"), "options: 'b': expected a reason"),
        (lambda: Question.several("?", {"a": "x", "b": ""}, ["a"]), "options: 'b': expected a reason"),
        (lambda: Question.several("?", {"a": 3}, ["a"]), "options: 'a': expected words, received 3"),
        (
            lambda: Question.several("?", {"a": "x"}, []),
            "expected at least one that applies, received none: add an opt",
        ),
        (
            lambda: Question.numbers("?", {"J": 1}, {"J": {...: 3}}),
            "J: expected words for any other answer, received 3",
        ),
        (lambda: Question.kept("?", GRAPH, ["q"]), "names: expected one of"),
        (lambda: Question.order("?", {"a": [], "b": []}), "expected a step that needs another"),
        (lambda: Question.order("?", {"a": ["b"], "b": ["a"]}), "received a circle among a, b"),
        (lambda: Question.order("?", {"a": ["c"]}), "needs of 'a': expected one of a, received 'c'"),
        (lambda: Question.order_of("?", GRAPH, "sideways"), "phase: expected one of forward, backward"),
    ],
)
def test_questions_that_nobody_could_answer_are_refused(make: Callable[[], Question], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        make()


def test_a_scalar_answer_is_the_empty_shape() -> None:
    assert told(Question.shapes("Shape?", {"J": ()}))["fields"][0]["answer"] == []


def test_a_graph_without_backward_keeps_nothing() -> None:
    graph = Graph([Variable("c", (2, 1)), Variable("d", (2, 1))], [Equation("add", ("c", "d"), "e")])
    with pytest.raises(ValueError, match="objective"):
        mlp.schedule(graph) and mlp.value_and_grad(graph, {})
    options = told(Question.kept("Which?", graph))["options"]
    assert [option["label"] for option in options if option["right"]] == ["none of these"]


def test_what_is_advised_where_none_applies_works() -> None:
    """The way out that the refusal names."""
    options = told(Question.several("?", {"a": "x", "none of these": "y"}, ["none of these"]))["options"]
    assert [option["right"] for option in options] == [False, True]


def test_a_hint_for_any_other_answer_is_no_wrong_number() -> None:
    field = told(Question.numbers("?", {"J": 1}, {"J": {2: "No.", ...: "Add s."}}))["fields"][0]
    assert field["wrong"] == [[[2], "No."]] and field["other"] == "Add s."


def test_the_words_say_how_a_scalar_is_written() -> None:
    assert "- L: a shape, (rows, columns), or () for a single number" in Question.shapes("?", {"L": ()}).text()
