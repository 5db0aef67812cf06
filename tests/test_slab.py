"""Addresses: nothing that exists at the same time overlaps, and little is wasted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlp
from mlp import memory, schedule
from mlp.prepared import places
from mlp.slab import ALIGNMENT, SMALL, place
from mlp.steps import Lifetime
from tests.cases import SEEDS, examples, random_graph, random_network

LIVES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 8), st.integers(1, 3000)).map(
        lambda t: Lifetime("a", t[0], t[0] + t[1], t[2])
    ),
    max_size=40,
)


def check(lives: list[Lifetime] | tuple[Lifetime, ...], offsets: list[int], size: int) -> None:
    for k, (life, offset) in enumerate(zip(lives, offsets, strict=True)):
        assert offset >= 0 and offset + life.nbytes <= size
        assert life.nbytes < SMALL or offset % ALIGNMENT == 0
        for other, at in zip(lives[:k], offsets[:k], strict=True):
            together = life.first <= other.last and other.first <= life.last
            assert not together or offset + life.nbytes <= at or at + other.nbytes <= offset


@examples(200)
@given(lives=LIVES)
def test_nothing_that_exists_together_overlaps(lives: list[Lifetime]) -> None:
    offsets, size = place(lives)
    check(lives, offsets, size)
    assert size == max((offset + life.nbytes for offset, life in zip(offsets, lives, strict=True)), default=0)


@examples(200)
@given(lives=LIVES, data=st.data())
def test_any_order_of_placing_is_valid(lives: list[Lifetime], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(lives))))
    check(lives, *place(lives, order))


@pytest.mark.parametrize("order", [[0], [0, 0], [0, 2], [0, 1, 2], [1, -1]])
def test_an_order_has_each_array_once(order: list[int]) -> None:
    lives = [Lifetime("a", 0, 1, 640), Lifetime("b", 2, 3, 640)]
    with pytest.raises(ValueError, match=r"^order: expected each of range\(2\) once, received "):
        place(lives, order)
    assert place(lives, [1, 0]) == ([0, 0], 640)


def test_for_the_books_network_there_is_a_better_packing_than_ours() -> None:
    """Chapter Memory: it wastes nothing, and only the two largest arrays are placed the other way round."""
    lives = schedule(mlp.network([64, 128, 32, 96, 16, 64], 128, "tanh", weight_decay=1e-4), "residuals").lifetimes()
    alive = max(sum(life.nbytes for life in lives if life.first <= t <= life.last) for t in range(len(lives)))
    order = sorted(range(len(lives)), key=lambda k: -lives[k].nbytes)
    order[:2] = order[1::-1]
    assert [lives[k].array for k in order[:2]] == ["h1", "z1"]
    offsets, size = place(lives, order)
    check(lives, offsets, size)
    assert size == alive == 602_120 < place(lives)[1]


def test_what_never_meets_shares_its_place() -> None:
    lives = [Lifetime("a", 0, 1, 640), Lifetime("b", 2, 3, 640), Lifetime("c", 3, 4, 64)]
    assert place(lives) == ([0, 0, 640], 704)


@examples(60)
@given(seed=SEEDS)
def test_a_graphs_arrays_do_not_overlap(seed: int) -> None:
    graph = random_graph(seed) if seed % 2 else random_network(seed)
    for policy in ("residuals", "keep_all"):
        steps = schedule(graph, policy)
        offsets, size = places(steps)
        check(steps.lifetimes(), offsets, size)


@pytest.mark.parametrize("seed", range(200))
def test_the_slab_is_hardly_larger_than_what_is_alive(seed: int) -> None:
    graph = random_network(seed, "float32" if seed % 3 == 0 else "float64")
    for policy in ("residuals", "keep_all", "predict"):
        timeline = memory.predict(graph, policy)
        made = max(event.total - event.bytes["parameters"] - event.bytes["inputs"] for event in timeline.events)
        assert timeline.reserved <= 1.3 * made
    assert mlp.prepare(graph).reserved == memory.predict(graph).reserved


def test_a_prepared_run_holds_one_slab_and_nothing_else() -> None:
    run = mlp.prepare(mlp.network([30, 40, 20], batch=50, bias=True))
    assert isinstance(run._slab, np.ndarray)
    assert run.reserved <= run._slab.nbytes < run.reserved + 2 * ALIGNMENT
