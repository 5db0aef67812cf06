"""A question that a page can judge without a kernel: each wrong answer gets its own reason, computed here.

Numbers, shapes, an order of steps, one choice, several. What a graph knows (which values are kept, which step reads
which) is asked of the graph.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import traitlets

from mlp.draw.labels import unicode_cotangent, unicode_name
from mlp.graph import Graph
from mlp.inputs import finite, generator, listed, non_negative, one_of
from mlp.steps import cotangent_name, schedule
from mlp.text import printed
from mlp.views.state import who
from mlp.views.view import Island

Shape = tuple[int, ...]


class Question(Island):
    """A question with an answer that the page judges by itself, and a reason for each wrong answer.

    Made by one of `numbers`, `shapes`, `choice`, `several`, `order`, `kept`, `order_of`. In Jupyter it is a widget; in
    a built page an island that needs no kernel; elsewhere the question in words. Words are plain text, never markup.

    Parameters
    ----------
    ask : str
        The question.
    body : mapping
        What is asked and how it is judged, as the methods above make it.
    right : str
        What is said of the right answer.
    name : str
        Names the question in the page.

    Attributes
    ----------
    verdict : dict
        After an answer: ``{"ok": bool, "reasons": list of str}``. Can be observed.

    Raises
    ------
    TypeError, ValueError
        For a question that could not be answered, with what is wrong with it.
    """

    verdict = traitlets.Dict().tag(sync=True)

    def __init__(self, ask: str, body: Mapping[str, Any], *, right: str = "", name: str = "question") -> None:
        head = who("question", name)
        for what, words in (("ask", ask), ("right", right)):
            if not isinstance(words, str):
                raise TypeError(f"{what}: expected a string, received {words!r}")
        if not ask.strip():
            raise ValueError("ask: expected a question, received an empty string")
        super().__init__({**head, "ask": ask, "right": right, **body})

    @classmethod
    def numbers(
        cls,
        ask: str,
        answers: Mapping[str, float],
        wrong: Mapping[str, Mapping[float, str]] | None = None,
        *,
        unit: str = "",
        tolerance: float = 1e-9,
        right: str = "",
        name: str = "question",
    ) -> "Question":
        """Ask for one number or several.

        Parameters
        ----------
        ask : str
            The question.
        answers : mapping of str to float
            The right number for each label.
        wrong : mapping, optional
            For a label, wrong numbers and what to say of each: ``{"J": {2.5: "That is L alone: add s."}}``. With the
            key ``...``, a hint for any other, which is told besides whether it is too large or too small.
        unit : str
            What stands behind the field.
        tolerance : float
            How far a number may be off, relative to the right one.
        right, name : str
            As for the class.

        Returns
        -------
        Question
        """
        margin = non_negative(tolerance, "tolerance")
        fields = []
        for label, answer in _labelled(answers, "answers").items():
            named, hint = _wrong_of(wrong, label)
            told = [([_number(value, label)], words) for value, words in named.items()]
            fields.append(_field(label, [_number(answer, label)], told, margin, hint) | {"unit": unit})
        _known_labels(wrong, answers)
        return cls(ask, {"kind": "fields", "fields": fields}, right=right, name=name)

    @classmethod
    def shapes(
        cls,
        ask: str,
        answers: Mapping[str, Shape],
        wrong: Mapping[str, Mapping[Shape, str]] | None = None,
        *,
        right: str = "",
        name: str = "question",
    ) -> "Question":
        """Ask for one shape or several, such as ``(4, 3)``; ``()`` is a single number.

        Parameters
        ----------
        ask : str
            The question.
        answers : mapping of str to tuple
            The right shape for each label.
        wrong : mapping, optional
            For a label, wrong shapes and what to say of each, as for `numbers`. That a shape is transposed is said
            without it, and of any other shape what is wrong with it.
        right, name : str
            As for the class.

        Returns
        -------
        Question
        """
        fields = []
        for label, answer in _labelled(answers, "answers").items():
            named, hint = _wrong_of(wrong, label)
            told = [(_shape(shape, label), words) for shape, words in named.items()]
            told += _transposed(_shape(answer, label))
            fields.append(_field(label, _shape(answer, label), told, 0.0, hint) | {"shape": True})
        _known_labels(wrong, answers)
        return cls(ask, {"kind": "fields", "fields": fields}, right=right, name=name)

    @classmethod
    def choice(
        cls, ask: str, options: Mapping[str, str], answer: str, *, right: str = "", name: str = "question"
    ) -> "Question":
        """Ask for one of several answers.

        Parameters
        ----------
        ask : str
            The question.
        options : mapping of str to str
            What can be chosen, and what is said of it when it is.
        answer : str
            The right one.
        right, name : str
            As for the class.

        Returns
        -------
        Question
        """
        one_of(answer, options, "answer")
        return cls(ask, _options(options, {answer}, several=False), right=right, name=name)

    @classmethod
    def several(
        cls, ask: str, options: Mapping[str, str], answers: Iterable[str], *, right: str = "", name: str = "question"
    ) -> "Question":
        """Ask which of several apply: at least one of them.

        To tick nothing is no answer. A first wrong one is told how many are wrong, a later one a reason besides.

        Parameters
        ----------
        ask : str
            The question.
        options : mapping of str to str
            What can be ticked, and why it applies or does not: said when the reader is wrong about it.
        answers : iterable of str
            Those that apply. If none does, give an option "none of these", and that as the answer.
        right, name : str
            As for the class.

        Returns
        -------
        Question
        """
        if isinstance(answers, str) or not isinstance(answers, Iterable):
            raise TypeError(f"answers: expected a list of those that apply, received {answers!r}")
        chosen = set(answers)
        if not chosen:
            raise ValueError(
                "answers: expected at least one that applies, received none: add an option 'none of these'"
            )
        for answer in chosen:
            one_of(answer, options, "answers")
        return cls(ask, _options(options, chosen, several=True), right=right, name=name)

    @classmethod
    def kept(
        cls, ask: str, graph: Graph, names: Sequence[str] = (), *, right: str = "", name: str = "question"
    ) -> "Question":
        """Ask which values must be kept for backward; the answer and the reasons come from the graph's schedule.

        A graph of which nothing is kept has an option "none of these".

        Parameters
        ----------
        ask : str
            The question.
        graph : Graph
            With an objective.
        names : sequence of str
            The variables to choose among; without them, all inputs and intermediates that are no single number.
        right, name : str
            As for the class.

        Returns
        -------
        Question
        """
        readers = _readers(graph)
        names = names or [n for n, v in graph.variables.items() if v.shape and v.role in ("input", "intermediate")]
        for variable in names:
            one_of(variable, graph.variables, "names")
        options = {unicode_name(n): _kept_words(graph, n, readers.get(n, [])) for n in names}
        answers = [unicode_name(n) for n in names if n in readers]
        if not answers:
            answers = ["none of these"]
            options["none of these"] = "No step of backward reads any of them."
        return cls.several(ask, options, answers, right=right, name=name)

    @classmethod
    def order(
        cls, ask: str, needs: Mapping[str, Sequence[str]], *, seed: int = 0, right: str = "", name: str = "question"
    ) -> "Question":
        """Ask for an order in which each step comes after those that it needs; every such order is right.

        Parameters
        ----------
        ask : str
            The question.
        needs : mapping of str to sequence of str
            The steps, and for each the steps that must come before it.
        seed : int
            Shuffles the steps; the first order that is shown is never right.
        right, name : str
            As for the class.

        Returns
        -------
        Question
        """
        steps = list(_labelled(needs, "needs"))
        wanted = []
        for step in steps:
            if isinstance(needs[step], str) or not isinstance(needs[step], Iterable):
                raise TypeError(f"needs of {step!r}: expected a list of steps, received {needs[step]!r}")
            for other in needs[step]:
                one_of(other, steps, f"needs of {step!r}")
            wanted.append([steps.index(other) for other in needs[step]])
        _check_possible(steps, wanted)
        start = _shuffled(wanted, seed)
        return cls(ask, {"kind": "order", "steps": steps, "needs": wanted, "start": start}, right=right, name=name)

    @classmethod
    def order_of(
        cls, ask: str, graph: Graph, phase: str = "forward", *, seed: int = 0, right: str = "", name: str = "question"
    ) -> "Question":
        """Ask for the order of one pass; what needs what comes from the graph's schedule.

        Parameters
        ----------
        ask : str
            The question.
        graph : Graph
            With an objective.
        phase : str
            ``"forward"``: the variables. ``"backward"``: the cotangents of all matrices.
        seed, right, name
            As for `order`.

        Returns
        -------
        Question
        """
        one_of(phase, ("forward", "backward"), "phase")
        needs: dict[str, set[str]] = {}
        for step in schedule(graph):
            if step.phase == phase:
                needs[step.writes[0]] = needs.pop(step.writes[0], set()) | {*step.reads}  # where its last share is
        labels = {name_: unicode_name(name_) for name_ in needs}
        if phase == "backward":
            own = {cotangent_name(graph, v): v for v, variable in graph.variables.items() if variable.shape}
            labels = {d: unicode_cotangent(graph, own[d]) for d in needs if d in own}
        told = {labels[n]: [labels[r] for r in sorted(needs[n]) if r in labels and r != n] for n in labels}
        return cls.order(ask, told, seed=seed, right=right, name=name)

    # --- what front ends get ----------------------------------------------------------------------------------------

    def _choices(self) -> list[str]:
        """What can be chosen, filled in or moved, in words."""
        told = self._told
        if told["kind"] == "fields":
            words = (
                "a shape, (rows, columns), or () for a single number" if told["fields"][0].get("shape") else "a number"
            )
            return [f"{f['label']}: {words}{', in ' + f['unit'] if f.get('unit') else ''}" for f in told["fields"]]
        if told["kind"] == "order":
            return [told["steps"][k] for k in told["start"]]
        return [option["label"] for option in told["options"]]

    def text(self) -> str:
        """The question in words, with what can be chosen."""
        return printed("\n".join([self._told["ask"], *(f"- {choice}" for choice in self._choices())]))

    def _still(self) -> tuple[str, str]:
        choices = "".join(f"<li>{escape(choice)}</li>" for choice in self._choices())
        return f'<div class="mlp-still"><p>{escape(self._told["ask"])}</p><ul>{choices}</ul></div>', ""


# --- what a question is told ----------------------------------------------------------------------------------------


def _labelled(parts: Any, what: str) -> dict[str, Any]:
    if not isinstance(parts, Mapping) or not parts or not all(isinstance(label, str) and label for label in parts):
        raise TypeError(f"{what}: expected a dict with at least one label, received {parts!r}")
    return dict(parts)


def _wrong_of(wrong: Mapping[str, Mapping[Any, str]] | None, label: str) -> tuple[dict[Any, str], str]:
    """The words for each wrong answer to a label, and those for any other."""
    told = wrong or {}
    if not isinstance(told, Mapping) or not isinstance(told.get(label, {}), Mapping):
        raise TypeError(f"wrong: expected words for each wrong answer, by label, received {wrong!r}")
    named = dict(told.get(label, {}))
    hint = named.pop(..., "")
    if not isinstance(hint, str):
        raise TypeError(f"wrong: {label}: expected words for any other answer, received {hint!r}")
    return named, hint


def _known_labels(wrong: Mapping[str, Any] | None, answers: Mapping[str, Any]) -> None:
    unknown = [label for label in wrong or {} if label not in answers]
    if unknown:
        raise ValueError(f"wrong: expected {listed(answers)}, received {listed(unknown)}")


def _number(value: Any, label: str) -> float:
    number = finite(value, f"{label}: expected a finite number")
    return int(number) if number == int(number) else number


def _shape(value: Any, label: str) -> list[float]:
    if not isinstance(value, tuple) or not all(isinstance(size, int | np.integer) and size >= 1 for size in value):
        raise ValueError(f"{label}: expected a shape such as (4, 3), received {value!r}")
    return [int(size) for size in value]


def _field(
    label: str, answer: list[float], wrong: list[tuple[list[float], str]], tolerance: float, hint: str
) -> dict[str, Any]:
    margin = [tolerance * abs(number) for number in answer]
    for value, words in wrong:
        close = len(value) == len(answer) and all(
            abs(a - b) <= m for a, b, m in zip(value, answer, margin, strict=True)
        )
        if close:
            raise ValueError(f"wrong: {label}: {value} is the right answer, within its tolerance")
        if not isinstance(words, str) or not words:
            raise TypeError(f"wrong: {label}: expected words for {value}, received {words!r}")
    field = {"label": label, "answer": answer, "wrong": [list(pair) for pair in wrong], "tolerance": tolerance}
    return field | ({"other": hint} if hint else {})


def _transposed(shape: list[float]) -> list[tuple[list[float], str]]:
    """What is said of a shape turned round, or flattened."""
    if len(shape) != 2:
        return [
            ([1, 1], "That is a matrix with one entry; here it is a single number, of shape ()."),
            ([1], "That is a row with one entry; here it is a single number, of shape ()."),
        ]
    found = [([shape[0] * shape[1]], "That is as many numbers, in a row; here everything has rows and columns.")]
    if shape[0] != shape[1]:
        found.append((shape[::-1], "That is transposed: a column is an example, a row of W is a unit."))
    return found


def _options(options: Mapping[str, str], answers: set[str], *, several: bool) -> dict[str, Any]:
    for label, words in _labelled(options, "options").items():
        if not isinstance(words, str):
            raise TypeError(f"options: {label!r}: expected words, received {words!r}")
        if not words and (several or label not in answers):
            raise ValueError(f"options: {label!r}: expected a reason, received an empty string")
    told = [{"label": label, "right": label in answers, "why": words} for label, words in options.items()]
    return {"kind": "choices", "several": several, "options": told}


def _readers(graph: Graph) -> dict[str, list[str]]:
    """For each variable that backward reads, the cotangents that are computed from it."""
    found: dict[str, list[str]] = {}
    for step in schedule(graph):
        if step.phase == "backward":
            for name in step.reads:
                found.setdefault(name, []).append(unicode_cotangent(graph, step.variable))
    return found


def _kept_words(graph: Graph, name: str, readers: list[str]) -> str:
    """Why a value is kept, or may go."""
    shown = unicode_name(name)
    if readers:
        return f"{shown} is kept: {' and '.join(dict.fromkeys(readers))} {_are(readers)} computed from it."
    instead = [
        f" The VJP of {equation.op} asks {unicode_name(equation.output)} instead."
        for equation in (graph.equations[index] for index, _ in graph.readers(name))
        if any(vjp is not None and "out" in vjp.saves for vjp in graph.table[equation.op].vjps)
    ]
    return f"{shown} may go: no step of backward reads it.{''.join(dict.fromkeys(instead))}"


def _are(readers: list[str]) -> str:
    return "is" if len(set(readers)) == 1 else "are"


def _is_order(order: Sequence[int], needs: list[list[int]]) -> bool:
    place = {step: k for k, step in enumerate(order)}
    return all(place[other] < place[step] for step in order for other in needs[step])


def _check_possible(steps: list[str], needs: list[list[int]]) -> None:
    """There is an order at all, and one that is not right, to begin with."""
    left = set(range(len(steps)))
    while left:
        free = {step for step in left if left.isdisjoint(needs[step])}
        if not free:
            raise ValueError(f"needs: expected steps that can be ordered, received a circle among {listed(steps)}")
        left -= free
    if not any(needs):
        raise ValueError("needs: expected a step that needs another, or every order is right")


def _shuffled(needs: list[list[int]], seed: int) -> list[int]:
    """A first order that is not right."""
    rng = generator(seed)
    while True:
        order = [int(k) for k in rng.permutation(len(needs))]
        if not _is_order(order, needs):
            return order
