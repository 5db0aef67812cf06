"""What chapters declare about numbers that differ between machines, and the comparison itself. Takes no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.everywhere.notebooks import Said, chapters, differences, read, same_but_for_rounding


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


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.stem)
def test_what_may_differ_is_declared_with_a_reason(page: Path) -> None:
    for cell in read(page).cells:
        about = cell.metadata.get("mlp", {})
        assert set(about) <= {"varies"}
        assert ("varies" in about) == ("varies" in cell.metadata.get("tags", []))
        if "varies" in about and about["varies"] != "rounding":
            assert len(about["varies"].split()) >= 4, f"{page.stem}: a reason of some words, not {about['varies']!r}"
