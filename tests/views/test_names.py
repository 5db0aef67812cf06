"""Names of views in a page: each has its own, in a page of one's own and in the book."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlp
from mlp.examples import running_example
from mlp.views import bundle
from tests.views.shipped import mlpbook


def views(rng: np.random.Generator) -> list[Any]:
    """Some views, in any order, with names among few, so that some share one."""
    makers = [
        lambda name: mlp.Stepper(*running_example(), name=name),
        lambda name: mlp.OneWeight(*running_example(), name=name),
        lambda name: mlp.MemoryView(2, 3, 4, name=name),
        lambda name: mlp.Question.numbers(f"How many < {rng.integers(9)}?", {"n": 1}, name=name),
        lambda name: mlp.Question.choice("Which?", {"a": "", "b": "no"}, "a", name=name),
    ]
    return [makers[int(k)](f"view{rng.integers(5)}") for k in rng.integers(len(makers), size=4)]


def names(islands: list[str]) -> list[str]:
    return [str(re.search(r' id="([^"]*)"', island)[1]) for island in islands]  # type: ignore[index]


@pytest.mark.parametrize("seed", range(12))
def test_two_of_one_name_are_refused_with_both_named(seed: int) -> None:
    islands = [view.island() for view in views(np.random.default_rng(seed))]
    parts = [part for island in islands for part in ("<p>between</p>", island)]
    used = names(islands)
    twice = sorted({name for name in used if used.count(name) > 1}, key=used.index)
    said = bundle.names_used_twice("\n".join(parts))
    assert [re.search(r"received '(\w+)'", sentence)[1] for sentence in said] == twice  # type: ignore[index]
    if not twice:
        assert bundle.page("A page", *parts).count('class="mlp-view"') == 4
        return
    for name, sentence in zip(twice, said, strict=True):
        assert sentence.count(" and for ") == used.count(name) - 1
    with pytest.raises(ValueError, match=f"^islands: expected a name of its own for each view, received '{twice[0]}'"):
        bundle.page("A page", *parts)


def test_both_places_are_named_and_what_is_said_helps() -> None:
    first, third = (mlp.Question.numbers(ask, {"n": 1}) for ask in ("How many weights?", "How many biases?"))
    second = mlp.Stepper(*running_example(), name="walk")
    with pytest.raises(ValueError, match="name of its own") as raised:
        bundle.page("A page", first.island(), second.island(), third.island())
    assert "'question' for question 'How many weights?' and for question 'How many biases?'" in str(raised.value)
    passed = re.search(r"pass name='(.*)'$", str(raised.value))
    assert passed
    again = mlp.Question.numbers("How many biases?", {"n": 1}, name=passed[1])
    assert "How many biases?" in bundle.page("A page", first.island(), second.island(), again.island())
    with pytest.raises(ValueError, match="for stepper, view 1 of the page and for stepper, view 3 of the page"):
        bundle.page("A page", second.island(), first.island(), second.island())


@pytest.mark.parametrize("same", [True, False])
def test_the_build_is_warned_and_so_fails(same: bool, tmp_path: Path) -> None:
    class App:
        outdir = tmp_path

        def add_js_file(self, name: str, **more: str) -> None:
            pass

        add_css_file = add_js_file

    islands = [mlp.Stepper(*running_example(), name="walk" if same else f"walk-{k}").island() for k in (1, 2)]
    logger = logging.getLogger("sphinx.mlpbook")
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(f"{record.levelname} {record.getMessage()}")  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        mlpbook().wake_islands(App(), "page", "page.html", {"body": "<p>between</p>".join(islands)}, None)
    finally:
        logger.removeHandler(handler)
    assert len(heard) == same and all("received 'walk' for stepper, view 1" in line for line in heard)
