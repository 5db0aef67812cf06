"""The spelling of everything that a reader reads, by a dictionary and the book's own list of words, words.txt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from spellchecker import SpellChecker

from tests.book.words import all_words, words_of

LIST = Path(__file__).with_name("words.txt")
OWN = LIST.read_text("utf-8").split()
# The dictionary is American, the book is British: what the list has in British must not stand elsewhere in American.
AMERICAN = [(r"our", "or"), (r"is(e|ed|er|ers|es|ing|ation|ations)$", r"iz\1"), (r"tre(d?)$", r"ter\1")]


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    return all_words()


@pytest.fixture(scope="module")
def dictionary() -> SpellChecker:
    return SpellChecker()


def is_known(word: str, dictionary: SpellChecker) -> bool:
    """Whether it is an English word, one of the list's, or too short to tell."""
    return len(word) < 3 or word.lower() in dictionary or word in OWN or word.lower() in OWN


def test_every_word_is_known(found: dict[str, set[str]], dictionary: SpellChecker) -> None:
    unknown = {word: sorted(files) for word, files in found.items() if not is_known(word, dictionary)}
    assert unknown == {}, f"a mistake, or a word for {LIST.name} (names with a capital, everything else without)"


def test_the_list_is_sorted_and_all_of_it_is_needed(found: dict[str, set[str]], dictionary: SpellChecker) -> None:
    assert sorted(set(OWN), key=str.lower) == OWN
    used = {*found, *(word.lower() for word in found)}
    assert [word for word in OWN if word not in used] == [], "nobody uses these words any more"
    assert [word for word in OWN if word.lower() in dictionary] == [], "the dictionary knows these words"


def test_words_are_spelt_in_one_way(found: dict[str, set[str]]) -> None:
    twins = {re.sub(british, american, word) for word in OWN for british, american in AMERICAN} - set(OWN)
    assert {"color", "regularizer", "minimized"} <= twins
    assert {word: sorted(files) for word, files in found.items() if word.lower() in twins} == {}


def test_mistakes_are_seen(dictionary: SpellChecker) -> None:
    text = "A gradiant of $\\mathbf{W}$, see {ref}`sec-wrng`: `wrng` and {term}`pullbak <VJP>`, an activaton’s slope.\n"
    text += "```{margin}\nAn asside.\n```\nThen `code` again.\n"
    wrong = [word for word in words_of(text) if not is_known(word, dictionary)]
    assert wrong == ["gradiant", "pullbak", "activaton", "asside"]
