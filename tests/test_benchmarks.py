"""The benchmarks' harness, without a clock: who computes what, who is refused, and what the committed figures hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import depth, memory, report, startup, step, sweeps, targets
from benchmarks.book import change
from benchmarks.cases import CASES, TOLERANCE, Case, disagreement, layers
from benchmarks.clock import calls_per_sample, rounded, sample, spread
from benchmarks.contenders import CONTENDERS, Contender, Result, Step, operands
from benchmarks.quiet import Quiet, idle_share
from benchmarks.worker import Server, worker
from mlp.ops import Array

ROOT = Path(__file__).parents[1]
SMALL = [case for case in CASES if case.widths[0] < 512]  # the others take seconds
HERE = ("mlp", "mlp-fresh", "products", "numpy", "autograd")  # need nothing that the tests do not have


def named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))  # type: ignore[no-any-return]


# --- who computes what ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_a_contender_computes_the_same_step(case: Case, name: str) -> None:
    built = CONTENDERS[name].build(case, case.values())
    reference = case.reference()
    for _ in range(2):  # a second step starts from nothing
        J, gradients = built.read(built.take())
        assert disagreement((J, gradients), reference) <= TOLERANCE
        assert {gradient.dtype for gradient in gradients.values()} == {np.dtype("float32")}
        assert (J is None) == (name == "products")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_everybody_is_given_the_same_numbers_in_float32(case: Case) -> None:
    first, second = case.values(), case.values()
    assert {array.dtype for array in first.values()} == {np.dtype("float32")}
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert first.keys() == {"x", "y", *layers(case)}


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_the_bound_is_all_products_of_the_step_and_nothing_else(case: Case) -> None:
    """Forward, weights' gradients, cotangents of all but the input: 3K − 1 products of the expected sizes."""
    products = list(operands(case, case.values()))
    sizes = [(a.shape[0], a.shape[1], b.shape[1]) for _, a, b in products]
    pairs = list(zip(case.widths, case.widths[1:], strict=False))
    n = case.batch
    expected = [(m, d, n) for d, m in pairs] + [(m, n, d) for d, m in pairs] + [(d, m, n) for d, m in pairs[1:]]
    assert sorted(sizes) == sorted(expected)
    assert "dJ/dx" not in [name for name, _, _ in products]


def test_the_products_forward_are_the_values_of_the_trace() -> None:
    case = named("4-8-2, batch 16")
    values = case.values()
    found = {name: a @ b for name, a, b in operands(case, values)}
    np.testing.assert_array_equal(found["z"], values["W1"] @ values["x"])
    np.testing.assert_allclose(found["o"], values["W2"] @ np.tanh(found["z"]), rtol=1e-5)


# --- who is refused -------------------------------------------------------------------------------------------------


def one_weight(change_it: Callable[[Array], Array]) -> Callable[[Result], Result]:
    """Change the first weight's gradient and leave the rest."""
    return lambda result: (result[0], {**result[1], "W1": change_it(result[1]["W1"])})


def one_entry(gradient: Array) -> Array:
    gradient = gradient.copy()
    place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
    gradient[place] *= 1.001
    return gradient


WRONG: dict[str, Callable[[Result], Result]] = {
    "gradient off by 0.1 %": one_weight(lambda gradient: gradient * 1.001),
    "one entry off by 0.1 %": one_weight(one_entry),
    "gradient transposed": one_weight(np.transpose),
    "not a number": one_weight(lambda gradient: gradient * np.nan),
    "J off by 0.1 %": lambda result: (None if result[0] is None else result[0] * 1.001, result[1]),
    "J not a number": lambda result: (float("nan"), result[1]),
    "a gradient missing": lambda result: (result[0], {"W1": result[1]["W1"]}),
}


def spoilt(contender: Contender, mistake: Callable[[Result], Result]) -> Contender:
    """The contender with a mistake in what it computes."""

    def build(case: Case, values: dict[str, Array]) -> Step:
        right = contender.build(case, values)
        return Step(right.take, lambda result: mistake(right.read(result)))

    return replace(contender, build=build)


@pytest.mark.parametrize("mistake", WRONG.values(), ids=WRONG)
def test_a_wrong_contender_ends_the_run(mistake: Callable[[Result], Result]) -> None:
    """Through the same two ends as in a run: built by the server, checked by the driver before anything is timed."""
    case = named("784-256-10, batch 1")
    reference = case.reference()
    right = Server(CONTENDERS["numpy"]).build(case.name)
    assert step.check(case, "plain NumPy", right, reference) <= TOLERANCE
    wrong = Server(spoilt(CONTENDERS["numpy"], mistake)).build(case.name)
    with pytest.raises(step.DisagreementError, match=r"plain NumPy, 784-256-10, batch 1: expected J and gradients"):
        step.check(case, "plain NumPy", wrong, reference)


def test_the_driver_checks_before_it_times() -> None:
    class Wrong:
        """A worker that computes nonsense, and must never be asked for a time."""

        def build(self, name: str) -> Result:
            return 0.0, {}

    about = {"mlp": {"label": "mlp", "contender": "mlp"}}
    with pytest.raises(step.DisagreementError):
        step.measure_case(CASES[0], {"mlp": Wrong()}, about, Quiet(0), True, print)  # type: ignore[dict-item]


def test_micrograd_is_asked_only_for_what_it_can_finish() -> None:
    assert [case.name for case in CASES if step.fits(case, "micrograd")] == [case.name for case in CASES[:4]]
    assert all(step.fits(case, "torch") for case in CASES)


# --- the machinery --------------------------------------------------------------------------------------------------


def test_a_process_of_its_own_answers() -> None:
    case = CASES[0]
    with worker(sys.executable, "numpy", {"OPENBLAS_CORETYPE": "Haswell"}) as process:
        assert disagreement(process.build(case.name), case.reference()) <= TOLERANCE
        assert process.estimate(0.001) > 0
        taken = process.burst(4, 3)
        assert len(taken) == 4
        assert min(taken) > 0
    assert process.process.wait() == 0


def test_a_sample_is_the_mean_of_its_calls() -> None:
    calls = []
    assert sample(lambda: calls.append(1), 7) >= 0
    assert len(calls) == 7
    assert calls_per_sample(1.0) == 1
    assert calls_per_sample(1e-6) == 500


def test_spreads_are_quartiles() -> None:
    assert spread([3.0, 1.0, 2.0, 5.0, 4.0]) == {"least": 1, "q1": 2, "median": 3, "q3": 4}
    assert rounded(0.123456) == 0.1235


def test_ratios_compare_within_a_round() -> None:
    """A machine that is half as quick in the second round changes no ratio."""
    assert step.ratio([[1.0], [2.0]], [[2.0], [4.0]])["median"] == 0.5


def test_steadiness_is_one_where_cost_is_in_proportion() -> None:
    assert depth.steadiness([3.0 * layers for layers in depth.DEPTHS]) == 1
    assert depth.steadiness([3.0 * layers + 50 for layers in depth.DEPTHS]) > 1.2


def test_times_are_compared_within_a_round() -> None:
    found = sweeps.compared({"once": [1.0, 2.0], "twice": [2.0, 4.0]})
    assert found["ratios"]["twice"] == spread([2.0, 2.0])
    assert found["seconds"]["once"]["least"] == 1


def test_sweeps_go_through_what_the_chapters_show() -> None:
    """All of the part, at the smallest width: no time is looked at, but each call is made."""
    found = sweeps.sweep(sweeps.WIDTHS[0], 1, Quiet(0))
    assert found["parameters"] == 2 * 16 * 16 + 16 * 10
    assert found["seconds"].keys() == {"gradient", "jvp", "hvp"}


def test_patience_ends() -> None:
    assert 0 <= idle_share(0.05) < 1.5
    quiet = Quiet(0)
    quiet.wait()
    assert quiet.report()["asked"] == 1


def test_a_chapter_can_be_changed(tmp_path: Path) -> None:
    original = (ROOT / "book" / "forward.ipynb").read_text("utf-8")
    (tmp_path / "a.ipynb").write_text(original, "utf-8")
    change(tmp_path / "a.ipynb")
    changed = (tmp_path / "a.ipynb").read_text("utf-8")
    assert changed != original
    assert json.loads(changed).keys() == json.loads(original).keys()


def test_a_hundred_steps_leave_no_more_than_is_asked() -> None:
    """Not a time: the allocator's count, which is the same on every machine."""
    assert memory.growth("mlp", named("4-8-2, batch 1")) <= targets.GROWN


def test_where_nothing_is_recognised_the_told_library_is_compared_with_jax() -> None:
    ratios = {"torch": {"median": 0.5}, "jax": {"median": 0.7}}
    told = {"torch": {"median": 0.3}, "jax": {"median": 1.1}}
    found = {
        "contenders": {key: {"label": key} for key in ("mlp", "mlp+wide", "torch", "jax")},
        "cases": [{"name": "a", "bounds": {"torch": 0.4, "jax": 1}, "ratios": {"mlp": ratios, "mlp+wide": told}}],
    }
    of_torch, of_jax = targets.of_step(found)
    assert (of_torch["mine"], of_torch["measured"], of_torch["met"]) == ("mlp", 0.5, False)
    assert (of_jax["mine"], of_jax["measured"], of_jax["met"]) == ("mlp+wide", 1.1, False)


# --- the committed figures ------------------------------------------------------------------------------------------


def test_every_part_is_committed_with_its_machine(committed: dict[str, Any]) -> None:
    assert set(committed) == {"step", "memory", "startup", "depth", "sweeps", "book"}
    for part in committed.values():
        assert {"when", "processor", "cores", "used", "python", "environment"} <= part["machine"].keys()


def test_the_committed_run_was_a_whole_one_under_equal_conditions(committed: dict[str, Any]) -> None:
    found = committed["step"]
    assert found["quick"] is False
    assert found["machine"]["environment"] == {}
    for key, contender in found["contenders"].items():
        assert contender["environment"] == (step.WIDE if key.endswith("+wide") else {})
        assert {blas["threads"] for blas in contender["blas"]} == {found["machine"]["used"]}


def test_every_case_has_every_contender_and_agreement(committed: dict[str, Any]) -> None:
    found = committed["step"]
    assert [(c["name"], c["widths"], c["batch"], c["loss"], c["weight_decay"]) for c in found["cases"]] == [
        (case.name, list(case.widths), case.batch, case.loss, case.weight_decay) for case in CASES
    ]
    for entry, case in zip(found["cases"], CASES, strict=True):
        assert entry["bounds"] == dict(case.bounds)
        expected = {key for key, about in found["contenders"].items() if step.fits(case, about["contender"])}
        assert entry["seconds"].keys() == expected
        assert entry["ratios"]["mlp"].keys() == expected - {"mlp"}
        for taken in entry["seconds"].values():
            assert taken["error"] <= TOLERANCE
            assert 0 < taken["least"] <= taken["q1"] <= taken["median"] <= taken["q3"]
            assert isfinite(taken["q3"])


def test_the_other_parts_have_what_the_page_reads(committed: dict[str, Any]) -> None:
    assert [peak["name"] for peak in committed["memory"]["peaks"]] == list(memory.PEAK_CASES)
    assert committed["memory"]["grown"].keys() == set(memory.STEADY_CASES)
    assert committed["startup"]["seconds"].keys() == set(startup.MODULES)
    assert committed["depth"]["depths"] == list(depth.DEPTHS)
    assert committed["depth"]["narrow"] == depth.NARROW
    assert [found["width"] for found in committed["sweeps"]["sweeps"]] == list(sweeps.WIDTHS)
    assert committed["sweeps"]["asked"]["layers"] == sweeps.DEEPEST
    assert {"forward", "backward", "training"} <= {p["name"] for p in committed["book"]["pages"] if p["answers"]}


def test_targets_follow_from_the_figures(committed: dict[str, Any]) -> None:
    for part, judge in (
        ("step", targets.of_step),
        ("memory", targets.of_memory),
        ("startup", targets.of_startup),
        ("depth", targets.of_depth),
    ):
        assert committed[part]["targets"] == judge(committed[part])


def test_the_table_is_that_of_the_figures(committed: dict[str, Any]) -> None:
    assert (ROOT / "benchmarks" / "results.md").read_text("utf-8") == report.report(committed)
