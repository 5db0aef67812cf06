"""The comparison of what chapters say, by itself. Takes no time."""

from __future__ import annotations

import pytest

from tests.everywhere.notebooks import Said, differences, same_but_for_rounding


def cells(text: str, varies: str = "") -> list[Said]:
    """One cell that printed a text."""
    return [Said(0, varies, (("stdout", text),))]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("off by 8e-17", "off by 1e-16", True),
        ("off by 8e-17", "off by 0", True),
        ("off by 8e-17", "off by 1e-3", False),
        ("W1: 2.9 and 1e-12", "W1: 2.9 and 3e-12", True),
        ("W1: 2.9 and 1e-12", "W1: 2.8 and 1e-12", False),
        ("W1: 1e-12", "W2: 1e-12", False),
        ("1e-12", "1e-12 and 1e-12", False),
        ("−1e−15", "2e-16", True),
    ],
)
def test_only_numbers_of_the_size_of_rounding_may_differ(first: str, second: str, same: bool) -> None:
    assert same_but_for_rounding(first, second) is same
    assert (differences(cells(first, "rounding"), cells(second, "rounding")) == []) is same
    assert differences(cells(first), cells(second)) != []


def test_a_text_that_is_missing_is_a_difference() -> None:
    assert differences(cells("1"), [Said(0, "", ())]) == ["cell 0: 1 outputs, and 0"]
