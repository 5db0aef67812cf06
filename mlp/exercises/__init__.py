"""Checks for the book's exercises, which say what is wrong with an answer, and not only that it is.

`check` runs a function of yours on shapes that no chapter has, and compares what it gives with the engine's results;
if they differ, with what common mistakes give.
"""

from mlp.exercises.judge import Report
from mlp.exercises.table import EXERCISES
from mlp.inputs import listed

__all__ = ["Report", "check", "names"]


def names() -> tuple[str, ...]:
    """The names of all exercises that have a check.

    Returns
    -------
    tuple of str
    """
    return tuple(EXERCISES)


def check(name: str, answer: object = ...) -> Report:
    """Check an answer, and name the mistake if it is wrong.

    Parameters
    ----------
    name : str
        The exercise, one of `names`.
    answer : object
        What the exercise asks for: mostly a function of your own, sometimes a number, a string, a tuple or a set.
        Without it, or with ``...``, the exercise says what it asks for.

    Returns
    -------
    Report
        ``report.ok`` says whether it is right; shown or printed, it says what is wrong.

    Raises
    ------
    ValueError
        If there is no exercise of that name. A wrong answer raises nothing.
    """
    if not isinstance(name, str) or name not in EXERCISES:
        raise ValueError(f"name: expected one of {listed(EXERCISES, len(EXERCISES))}, received {name!r}")
    exercise = EXERCISES[name]
    if answer is ...:
        return Report(name, False, ("not answered yet.", exercise.statement, f"The answer: {exercise.form}"))
    return exercise.judge(name, answer)
