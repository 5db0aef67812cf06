"""What is said of an answer: right, unfinished, or wrong in a way that has a name.

An exercise is a question with cases, what is expected in each, and wrong answers that people give, each with its words.
A mistake is named only if it explains the results of all cases. If none does, the report says where the results are
wrong and, if it is the same factor in all entries, by which; it names no cause.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import fill
from traceback import extract_tb, walk_tb
from typing import Any

import numpy as np

from mlp.inputs import listed
from mlp.ops import Array
from mlp.text import number, printed

Parts = dict[str, Any]
WIDTH = 74  # columns, as the book's code has
RELATIVE = 1e-7  # in float64 the same formula in another order is off by 1e-15, a centred difference by 1e-10
LARGEST = 1e300  # a number, not an infinite one, nor a whole number that no float can hold
NEAR = 1e-5  # more than what float32 rounds, less than a centred difference of a common nudge is off by
FACTORS = {2.0: "twice", 0.5: "half of"}


@dataclass(frozen=True, eq=False)
class Both:
    """Two mistakes at once, each of which can be made alone."""

    together: Callable[..., Parts]
    alone: tuple[Callable[..., Parts], Callable[..., Parts]]

    def __call__(self, **args: Any) -> Parts:
        """The results that the two change together."""
        return self.together(**args)


@dataclass(frozen=True)
class Found:
    """One case that ran: its arguments, the results that are expected and those received, and what the latter are.

    ``kinds`` has, for a result that is no array of its own or no float64, the words that say so.
    """

    args: dict[str, Any]
    expected: Parts
    received: Parts
    kinds: dict[str, str]
    _made: dict[Callable[..., Parts], Parts] = field(default_factory=dict)

    def of(self, wrong: Callable[..., Parts]) -> Parts:
        """The results that a mistake changes, as arrays; computed once."""
        if wrong not in self._made:
            with np.errstate(all="ignore"):
                self._made[wrong] = {part: np.asarray(value, "float64") for part, value in wrong(**self.args).items()}
        return self._made[wrong]

    def is_explained(self, wrong: Callable[..., Parts]) -> bool:
        """Whether a mistake, with all else right, gives exactly these results."""
        parts = self.expected | self.of(wrong)
        return all(close(self.received[part], value) for part, value in parts.items()) and self.is_possible(wrong)

    def is_given(self, wrong: Callable[..., Parts], part: str, turned: bool) -> bool:
        """Whether a mistake gives exactly this one result, or its transpose."""
        value = self.of(wrong).get(part)
        if value is None or (turned and value.ndim != 2):
            return False
        return close(self.received[part], value.T if turned else value) and self.is_possible(wrong)

    def is_possible(self, wrong: Callable[..., Parts]) -> bool:
        """Whether no result is right that one of two mistakes would change: they may not undo each other."""
        changed = (
            part
            for one in (wrong.alone if isinstance(wrong, Both) else ())
            for part, value in self.of(one).items()
            if not close(value, self.expected[part])
        )
        return not any(close(self.received[part], self.expected[part]) for part in changed)


@dataclass(frozen=True)
class Report:
    """What `check` found.

    Attributes
    ----------
    name : str
        The exercise.
    ok : bool
        Whether the answer is right.
    lines : tuple of str
        The findings, which the report shows and prints.
    """

    name: str
    ok: bool
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """The verdict and the findings, in lines that fit a page."""
        head, *more = self.lines
        lines = [f"{'✓' if self.ok else '✗'} {self.name}: {head}", *(f"  {line}" for line in more)]
        return printed("\n".join(fill(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False) for line in lines))

    def __repr__(self) -> str:
        """As `print` shows it."""
        return str(self)

    def _repr_html_(self) -> str:
        """For pages and notebooks: paragraphs, whose lines break where the screen ends."""
        head, *more = self.lines
        marked = [f"{'✓' if self.ok else '✗'} <strong>{escape(self.name)}</strong>: {escape(head)}", *map(escape, more)]
        return f'<div class="mlp-report">{"".join(f"<p>{line}</p>" for line in marked)}</div>'


@dataclass(frozen=True)
class Code:
    """An exercise whose answer is a function.

    Attributes
    ----------
    statement : str
        What is asked, in a sentence.
    call : str
        How the function is called and what it gives: ``"f(x, W1, W2) -> z, h, o"``.
    cases : callable
        Gives the arguments of each call, by name and in order; made anew each time.
    expected : callable
        From the arguments to the right results by name.
    mistakes : tuple
        Pairs of words and a function as ``expected``, which may give only the results that are then different.
    audit : callable, optional
        ``audit(args)`` is called after each call whose results are right, and gives what else is wrong, or None.
    raising : mapping
        From the name of an exception to what it tells here.
    exact : callable, optional
        As ``expected``, where that is an approximation: what it approximates. Whatever is as close to it is right too.
    """

    statement: str
    call: str
    cases: Callable[[], Iterable[dict[str, Any]]]
    expected: Callable[..., Parts]
    mistakes: tuple[tuple[str, Callable[..., Parts]], ...]
    audit: Callable[[dict[str, Any]], str | None] | None = None
    raising: Mapping[str, str] = field(default_factory=dict)
    exact: Callable[..., Parts] | None = None

    @property
    def form(self) -> str:
        """What an answer looks like."""
        return f"a function {self.call}"

    @property
    def parameters(self) -> str:
        """The names of the arguments, as they are written in the call."""
        return self.call[self.call.index("(") + 1 : self.call.index(")")]

    def judge(self, name: str, answer: object) -> Report:
        """Run the answer on all cases, and say what is wrong."""
        if not callable(answer):
            results = isinstance(answer, np.ndarray | tuple | list)  # somebody has called the function
            kind = {np.ndarray: "one array", tuple: "a tuple", list: "a list"}.get(type(answer), f"{answer!r:.40}")
            hint = ("Hand over the function itself, by its name, without calling it.",) if results else ()
            return Report(name, False, (f"expected a function {self.call}, received {kind}", *hint))
        complaint = self._arguments(answer)
        if complaint:
            return Report(name, False, (complaint,))
        found: list[Found] = []
        complaints: list[str] = []
        for args in self.cases():
            case, complaints = self._run(answer, args)
            if complaints:
                complaints.append(f"It was called with {shown(args)}.")
                break
            found.append(case)
        if complaints and len(found) == 1:  # one case says too little of why it is wrong
            return Report(name, False, tuple(complaints))
        for case in found:
            lines = self._differences(found, case)
            more = self.audit(case.args) if self.audit and not lines else None
            if lines or more:
                return Report(
                    name, False, (*lines, *([more] if more else []), f"It was called with {shown(case.args)}.")
                )
        if complaints:
            return Report(name, False, tuple(complaints))
        return Report(name, True, (f"right in all {len(found)} cases." if len(found) > 1 else "right.",))

    def _arguments(self, answer: Callable[..., Any]) -> str | None:
        wanted = self.parameters.split(", ")
        try:
            signature = inspect.signature(answer)
        except (TypeError, ValueError):  # some built-in functions have none
            return None
        try:
            signature.bind(*wanted)
        except TypeError:
            own = ", ".join(signature.parameters) or "nothing"
            return f"expected a function of {len(wanted)} arguments ({self.parameters}), yours takes {own}"
        own = ", ".join(signature.parameters)
        if own != self.parameters and sorted(signature.parameters) == sorted(wanted):
            return f"expected the arguments in the order {self.parameters}, yours takes them as {own}"
        return None

    def _run(self, answer: Callable[..., Any], args: dict[str, Any]) -> tuple[Found, list[str]]:
        """The case; or what makes its results no answer at all."""
        given = {key: _copied(value) for key, value in args.items()}
        expected = {part: np.asarray(value, "float64") for part, value in self.expected(**args).items()}
        nothing = Found(args, expected, {}, {})
        try:
            with np.errstate(all="ignore"):
                result = answer(*given.values())
        except NotImplementedError:
            return nothing, ["not finished yet: it raises NotImplementedError."]
        except Exception as error:
            kind = type(error).__name__
            hint = [self.raising[kind]] if kind in self.raising else []
            return nothing, [f"your function raised {kind}{_place_of(error)}: {_brief(error)}", *hint]
        changed = [key for key, value in args.items() if not _same(value, given[key])]
        if changed:
            return nothing, [
                f"your function changes {listed(changed)} in place: compute with a copy, or make a new array."
            ]
        if result is None or result is ...:
            return nothing, ["your function returns nothing: is `return` missing?"]
        parts, complaints = self._named(result, list(expected))
        arrays, wrong = self._arrays(parts)
        return Found(args, expected, arrays, _kinds(given, parts)), complaints or wrong

    def _named(self, result: Any, names: Sequence[str]) -> tuple[Parts, list[str]]:
        """The results by name; or why there are not as many as are asked for."""
        if len(names) == 1:
            parts = {names[0]: result}
        elif isinstance(result, Mapping):
            if set(result) != set(names):
                return {}, [f"expected {listed(names)}, received a dict of {listed(result)}."]
            parts = {part: result[part] for part in names}
        elif isinstance(result, tuple | list) and len(result) == len(names):
            parts = dict(zip(names, result, strict=True))
        else:
            size = f"{len(result)} things" if isinstance(result, tuple | list) else f"one {type(result).__name__}"
            return {}, [f"expected {len(names)} things, {listed(names)}; received {size}."]
        return parts, []

    def _arrays(self, parts: Parts) -> tuple[Parts, list[str]]:
        """The results as float64; or which of them are no numbers."""
        arrays, wrong = {}, []
        for part, value in parts.items():
            try:
                array = _numbers(value)
            except OverflowError:
                wrong.append(f"{part}: expected a number of reasonable size, received one that no float can hold.")
                continue
            if array is None:
                kind = f"{value.dtype} numbers" if isinstance(value, np.ndarray) else type(value).__name__
                wrong.append(f"{part}: expected numbers, received {kind}.")
                continue
            arrays[part] = array
            if not np.isfinite(arrays[part]).all():
                what = "NaN" if np.isnan(arrays[part]).any() else "an infinite number"
                wrong.append(f"{part}: expected finite numbers, received {what}.")
                if "nan" in self.raising:
                    wrong.append(self.raising["nan"])
        return arrays, wrong

    def _is_right(self, part: str, case: Found) -> bool:
        received, expected = case.received[part], case.expected[part]
        if close(received, expected):
            return True
        if self.exact is None or received.shape != expected.shape:
            return False
        exact = self.exact(**case.args)[part]
        return bool(np.abs(received - exact).max() <= np.abs(expected - exact).max())

    def _differences(self, found: list[Found], case: Found) -> list[str]:
        """What is wrong with the results of one case, in words; nothing where all are right."""
        wrong = [part for part in case.expected if not self._is_right(part, case)]
        if not wrong:
            return []
        whole = self._whole(found)
        orders = {_order(other.expected, other.received) for other in found}
        if whole is None and len(orders) == 1 and (order := orders.pop()):
            return [order]
        by_words: dict[str, list[str]] = {}
        for part in wrong:
            having = [other for other in found if part in other.expected]  # some lists are longer in one case
            named = self._part(part, found) if len(having) == len(found) else None
            words = whole or named or case.kinds.get(part) or _generic(part, having, case)
            told = _sizes(case.received[part], case.expected[part].shape) + words
            by_words.setdefault(told, []).append(part)
        return [f"{', '.join(parts)}: {words}" for words, parts in by_words.items()]

    def _whole(self, found: list[Found]) -> str | None:
        """The words of the mistake that explains all results of all cases."""
        explaining = (words for words, wrong in self.mistakes if all(case.is_explained(wrong) for case in found))
        return next(explaining, None)

    def _part(self, part: str, found: list[Found]) -> str | None:
        """The words of the mistake that gives this one result, in all cases, perhaps transposed."""
        for turned in (False, True):
            if turned and all(close(case.received[part].T, case.expected[part]) for case in found):
                return "it is transposed."
            for words, wrong in self.mistakes:
                if all(case.is_given(wrong, part, turned) for case in found):
                    return f"it is transposed; besides, {words}" if turned else words
        return None


@dataclass(frozen=True)
class Value:
    """An exercise whose answer is a number, a shape, a word, an order or a set.

    Attributes
    ----------
    statement : str
        What is asked, in a sentence.
    form : str
        What an answer looks like: ``"a set of names"``.
    expected : object
        The right answer: a number, a string, a tuple, or a set.
    mistakes : tuple
        Pairs of words and a wrong answer. For a set, words and one name that does not belong to it.
    hint : str
        What is said of any other wrong answer: where to look, and not what is right.
    """

    statement: str
    form: str
    expected: Any
    mistakes: tuple[tuple[str, Any], ...]
    hint: str

    def judge(self, name: str, answer: object) -> Report:
        """Compare; a set is judged name by name."""
        if isinstance(self.expected, frozenset):
            return self._judge_set(name, answer)
        if isinstance(answer, np.ndarray) and answer.ndim == 0:
            answer = answer.item()
        plain = answer
        if isinstance(self.expected, tuple) and isinstance(answer, list | np.ndarray):
            plain = tuple(np.asarray(answer).tolist()) if isinstance(answer, np.ndarray) else tuple(answer)
        if isinstance(self.expected, str) and isinstance(answer, str):
            plain = answer.strip().lower()
        if not self._fits(plain) or (isinstance(answer, np.ndarray) and answer.ndim > 1):
            received = f"an array of shape {answer.shape}" if isinstance(answer, np.ndarray) else f"{answer!r:.60}"
            return Report(name, False, (f"expected {self.form}, received {received}",))
        if self._equal(plain, self.expected):
            return Report(name, True, ("right.",))
        for words, wrong in self.mistakes:
            if self._equal(plain, wrong):
                return Report(name, False, (words,))
        if isinstance(plain, tuple) and len(plain) != len(self.expected):
            entries = f"expected {len(self.expected)} entries, received {len(plain)}."
            return Report(name, False, (entries, self.hint))
        return Report(name, False, (f"{answer!r:.60} is not right.", self.hint))

    def _fits(self, answer: object) -> bool:
        if isinstance(self.expected, int | float):
            is_number = isinstance(answer, int | float | np.integer | np.floating) and not isinstance(answer, bool)
            return is_number and -LARGEST < answer < LARGEST  # type: ignore[operator]
        if isinstance(answer, tuple) and any(isinstance(entry, np.ndarray) for entry in answer):
            return False
        return isinstance(answer, type(self.expected))

    def _equal(self, answer: Any, other: Any) -> bool:
        if isinstance(self.expected, int | float):
            return close(np.asarray(answer, "float64"), np.asarray(other, "float64"))
        return bool(answer == other)

    def _judge_set(self, name: str, answer: object) -> Report:
        names = isinstance(answer, set | frozenset | list | tuple) and all(isinstance(name, str) for name in answer)
        if not isinstance(answer, set | frozenset | list | tuple) or not names:
            return Report(name, False, (f"expected {self.form}, received {answer!r:.60}",))
        reasons = {wrong: words for words, wrong in self.mistakes}
        known = sorted({*self.expected, *reasons})
        members = list(dict.fromkeys(answer))
        if not members:  # what is missing would be the whole answer
            return Report(name, False, (f"nothing is chosen yet: choose among {listed(known)}.", self.hint))
        unknown = [member for member in members if member not in known]
        if unknown:
            return Report(name, False, (f"there is no {listed(unknown)} here: choose among {listed(known)}.",))
        lines = [f"{member} does not belong: {reasons[member]}" for member in members if member not in self.expected]
        missing = len(self.expected.difference(members))
        if missing:
            lines += [f"{missing} of {len(self.expected)} {'is' if missing == 1 else 'are'} missing.", self.hint]
        return Report(name, not lines, tuple(lines) or ("right.",))


def _numbers(value: Any) -> Array | None:
    """A result as float64; None where it is no array of real numbers. Too large a whole number overflows."""
    try:
        array = np.asarray(value)
        return None if value is None or array.dtype.kind not in "fiubO" else array.astype("float64")
    except OverflowError:
        raise
    except Exception:  # whatever an object of the reader's own says when it is asked for its numbers
        return None


def close(answer: Array, expected: Array) -> bool:
    """Whether two arrays have one shape and the same numbers, up to rounding."""
    if answer.shape != expected.shape:
        return False
    size = float(np.abs(expected).max(initial=0.0))
    return bool(size < np.inf and np.abs(answer - expected).max(initial=0.0) <= RELATIVE * max(size, 1e-3))


def _kinds(given: Mapping[str, Any], parts: Parts) -> dict[str, str]:
    """For each result that is no array of its own, or has fewer digits than float64, what it is instead."""
    found: dict[str, str] = {}
    for part, value in parts.items():
        others = [other for other in parts if other != part and _overlap(value, parts[other])]
        if others:
            names = ", ".join(name for name in parts if name in (part, *others))
            found[part] = (
                f"{names} are one array: an assignment such as `b = a` copies nothing, so what changes one of them "
                "changes the others. Make a new array, by an expression or by copy()."
            )
        arguments = [name for name, argument in given.items() if _overlap(value, argument)]
        if arguments and not others:
            found[part] = f"it is the argument {arguments[0]} itself, or a part of it: nothing was computed."
        dtype = str(getattr(value, "dtype", ""))
        if dtype in ("float32", "float16") and part not in found:
            found[part] = f"it is {dtype}, which has too few digits to be compared: compute in float64."
    return found


def _overlap(one: Any, other: Any) -> bool:
    """Whether to change one is to change the other."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(np.shares_memory(one, other))
    return isinstance(one, list) and one is other


def _order(expected: Parts, received: Parts) -> str | None:
    """What is said of right results in another order than they are asked for."""
    own: list[str] = []
    for value in received.values():
        fitting = (part for part in expected if part not in own and close(value, expected[part]))
        part = next(fitting, None)
        if part is None:
            return None
        own.append(part)
    wanted = list(expected)
    return None if own == wanted else f"the results are right, in another order: {', '.join(wanted)} are asked for."


def _sizes(answer: Array, shape: tuple[int, ...]) -> str:
    """How a wrong shape is told."""
    if answer.shape == shape:
        return ""
    return (
        f"has shape {answer.shape}, expected {shape}: " if shape else f"has shape {answer.shape}, expected a number: "
    )


def _generic(part: str, found: list[Found], case: Found) -> str:
    """What any result can be in all cases, transposed, negated or scaled; or else where it is wrong in this one."""
    answer, expected = case.received[part], case.expected[part]
    if answer.shape != expected.shape:
        if expected.ndim == 2 and answer.shape == expected.shape[::-1]:
            return "that is the shape of the transpose, and the numbers are not right either."
        if not expected.shape:
            return "one number is asked for: add up, or take the mean."
        if answer.size == expected.size > 1 and close(answer.reshape(expected.shape), expected):
            return "the numbers are right; keep both axes (in sums, keepdims=True)."
        return "no one-dimensional arrays here: a column is (m, 1)." if answer.ndim == 1 else "compare the sizes."
    place = np.unravel_index(int(np.abs(answer - expected).argmax()), expected.shape)
    received, wanted = _apart(float(answer[place]), float(expected[place]))
    pairs = [(other.received[part], other.expected[part]) for other in found]
    if all(
        one.shape == other.shape and np.abs(one - other).max() <= NEAR * np.abs(other).max() for one, other in pairs
    ):
        where = f"received {received}, expected {wanted}"
        return f"it is right to a few digits only ({where}), as after float32: compute all of it in float64."
    if not any(one.any() for one, _ in pairs):
        return "it is 0 throughout."
    telling = [other for other in found if other.expected[part].any() or other.received[part].any()]  # 0 is any times 0
    factors = [_factor(other.received[part], other.expected[part]) for other in telling]
    known = _scaled([float(factor or 0) for factor in factors], telling, expected.size == 1) if all(factors) else None
    if known:
        return known
    wrong = ~np.isclose(answer, expected, rtol=RELATIVE, atol=RELATIVE * max(float(np.abs(expected).max()), 1e-3))
    if expected.size == 1:
        return f"received {received}, expected {wanted}."
    where = f"[{', '.join(map(str, place))}]"
    counted = f"{int(wrong.sum())} of {answer.size} entries are" if wrong.sum() > 1 else "1 entry is"
    return (
        f"{counted} not right; the farthest off is {where}, counted from 0 as in NumPy: {received}, expected {wanted}."
    )


def _apart(one: float, other: float, digits: int = 6) -> tuple[str, str]:
    """Two numbers with so many digits that they are not written alike, if they differ at all."""
    while digits < 17 and number(one, digits) == number(other, digits):
        digits += 1
    return number(one, digits), number(other, digits)


def _factor(answer: Array, expected: Array) -> float | None:
    """By which one number an answer is what is expected, in all entries; None if there is none, or it is 0."""
    largest = np.unravel_index(int(np.abs(expected).argmax()), expected.shape)
    if answer.shape != expected.shape or not expected[largest]:
        return None
    factor = float(answer[largest] / expected[largest])
    return factor if factor and close(answer, factor * expected) else None


def _scaled(factors: list[float], found: list[Found], is_number: bool) -> str | None:
    """How a result is told that is right but for a factor in each case; a number always is, so it needs a known one."""
    if is_number and len(found) == 1:
        return None
    if max(factors) - min(factors) <= RELATIVE * max(map(abs, factors)):
        if abs(factors[0] + 1) < 1e-6:
            return "it has the wrong sign."
        known = next((words for value, words in FACTORS.items() if abs(factors[0] - value) < 1e-6), None)
        what = known or f"{_apart(factors[0], 1.0, 4)[0]} times"
        every = "every case" if is_number else "every entry and case"
        return f"it is {what} what it should be, in {every}: look for a factor too many, or one forgotten."
    for name in _quantities(found[0].args) if len(found) > 1 else ():
        sizes = [_quantities(case.args).get(name, 0.0) for case in found]
        for power, words in ((1, "multiplied"), (-1, "divided")):
            if all(size and abs(f * size**-power - 1) < 1e-6 for f, size in zip(factors, sizes, strict=True)):
                return f"it is what it should be, {words} by {name}: look for where that comes in, or should."
    if is_number:
        return None
    told = ", ".join(number(factor) for factor in factors)
    return f"in each case all entries are off by one factor, {told}: compare these with what the cases are called with."


def _quantities(args: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that a factor may come from: numbers that were handed over, and numbers of rows and columns."""
    found: dict[str, float] = {}
    for name, value in args.items():
        if isinstance(value, int | float):
            found[name] = float(value)
        elif isinstance(value, np.ndarray) and value.ndim == 2:
            found |= {
                f"the number of rows of {name}": value.shape[0],
                f"the number of columns of {name}": value.shape[1],
            }
    return found


def shown(args: Mapping[str, Any]) -> str:
    """Arguments for a message: arrays by their shapes, numbers as they are."""
    return ", ".join(f"{name} {_form(value)}" for name, value in args.items())


def _form(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.shape)
    if callable(value):
        return "(a function)"
    if isinstance(value, list | tuple) and any(isinstance(entry, np.ndarray) for entry in value):
        return f"[{', '.join(_form(entry) for entry in value)}]"
    text = number(value) if isinstance(value, float) else repr(value)
    return f"= {text if len(text) <= 80 else f'{text[:79]}…'}"


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return type(value)(_copied(entry) for entry in value) if isinstance(value, list | tuple) else value


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(np.array_equal(value, other))
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    return value is other or bool(value == other)


def _place_of(error: Exception) -> str:
    """The last line of the reader's own module that was running, if there is one and its source can be found."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)][1:]  # without the call in `Code._run`
    own = [k for k, frame in enumerate(frames) if frame.f_globals is frames[0].f_globals]
    line = (extract_tb(error.__traceback__)[1 + own[-1]].line or "").strip() if own else ""
    return f" in the line `{line if len(line) <= 60 else line[:59] + '…'}`" if line else ""


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    sizes = re.search(r"core dimension 0.*\(size (\d+) is different from (\d+)\)", text)
    if sizes:  # NumPy's own words for this name gufuncs and core dimensions
        return f"in A @ B, A must have as many columns as B has rows; here A has {sizes[2]} columns, B {sizes[1]} rows."
    return text[:160] or "no message"
