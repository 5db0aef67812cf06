"""The memory view in a page opened from disk: its account is Python's to the byte, and its controls act on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

import mlp
from mlp import memory, network
from mlp.checkpoint import cost, every
from mlp.graph import Graph
from mlp.ops import ACTIVATIONS, LOSSES
from mlp.optimizers import OPTIMIZERS
from mlp.steps import POLICIES, Plan
from mlp.text import bytes_text
from mlp.views import bundle
from mlp.views.memory import MemoryView
from tests.everyone import barriers
from tests.views.pages import LOOKS, OpenView, Pages, tampered

# --- the account ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script(browser: Browser) -> Iterator[Page]:
    """An empty page with the views' fragments, whose names are the page's here."""
    page = browser.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.add_script_tag(content=bundle.fragments())
    yield page
    page.close()
    assert trouble == []


def any_setting(seed: int) -> dict[str, Any]:
    """Widths, batch and options of a network; a policy, by name or as the length of a segment; an optimizer."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 9)) if seed % 10 else int(rng.integers(20, 60))
    policies: list[Any] = ["predict", "keep_all", "residuals", *([int(rng.integers(1, depth + 1))] * 2 * (depth > 1))]
    policy = policies[int(rng.integers(len(policies)))]
    return {
        "widths": [int(width) for width in rng.integers(2, 90, depth + 1)],
        "batch": int(rng.integers(1, 300)),
        "activation": ACTIVATIONS[seed % len(ACTIVATIONS)],
        "loss": LOSSES[int(rng.integers(2))],
        "weight_decay": float(rng.choice([0.0, 1e-4])),
        "bias": bool(rng.integers(2)),
        "dtype": ("float32", "float64")[int(rng.integers(2))],
        "policy": policy,
        "optimizer": None if policy == "predict" else [None, *OPTIMIZERS][int(rng.integers(4))],
    }


def built(setting: dict[str, Any]) -> tuple[Graph, str | Plan]:
    """The graph, and the policy or the plan."""
    graph = network(**{key: setting[key] for key in setting if key not in ("policy", "optimizer")})
    policy = setting["policy"]
    return graph, policy if isinstance(policy, str) else every(graph, policy)


def account(script: Page, setting: dict[str, Any]) -> dict[str, Any]:
    """What the page's account says of a setting."""
    rule = OPTIMIZERS.get(setting["optimizer"])
    told = setting | {
        "optimizer": [len(rule.state), rule.workspace] if rule else None,
        "itemsize": np.dtype(setting["dtype"]).itemsize,
    }
    return script.evaluate(  # type: ignore[no-any-return]
        """told => {
          const other = told.widths.map((width) => width + 5); // which changes sizes, and nothing else
          const pass = passOf(networkOf(other, 9, told), told.policy);
          const graph = networkOf(told.widths, told.batch, told);
          const events = eventsOf(pass, graph, told.itemsize, told.optimizer);
          return { events: events.map(({ phase, what, bytes }) => [phase, what, ...bytes]),
            totals: events.map(({ total }) => total), peak: peakOf(events).total, at: peakOf(events).index,
            extra: extraOf(pass, graph), kinds: KINDS };
        }""",
        told,
    )


@pytest.mark.parametrize("seed", range(90))
def test_every_event_is_pythons_to_the_byte(script: Page, seed: int) -> None:
    setting = any_setting(seed)
    graph, policy = built(setting)
    expected = memory.predict(graph, policy, setting["optimizer"])
    found = account(script, setting)
    assert found["kinds"] == list(memory.KINDS)
    assert found["events"] == [[event.phase, event.what, *event.bytes.values()] for event in expected.events]
    assert found["totals"] == [event.total for event in expected.events]
    assert (found["peak"], found["at"]) == (expected.peak, expected.peak_event.index)
    assert found["extra"] == pytest.approx(cost(graph, policy).extra, rel=1e-12)


def test_the_settings_reach_every_rule_and_every_policy() -> None:
    """The random settings of the test above are no narrow corner."""
    settings = [any_setting(seed) for seed in range(90)]
    for key, least in [
        ("activation", len(ACTIVATIONS)),
        ("loss", 2),
        ("weight_decay", 2),
        ("bias", 2),
        ("dtype", 2),
        ("optimizer", 4),
    ]:
        assert len({setting[key] for setting in settings}) == least
    assert {"predict", "keep_all", "residuals"} < {setting["policy"] for setting in settings}
    assert sum(isinstance(setting["policy"], int) for setting in settings) >= 20


def test_three_hundred_layers_are_accounted_for_at_once(script: Page) -> None:
    setting = any_setting(0) | {"widths": [64] * 301, "bias": True, "weight_decay": 1e-4, "policy": 18}
    setting |= {"optimizer": "adam"}
    graph, policy = built(setting)
    assert account(script, setting)["peak"] == memory.predict(graph, policy, "adam").peak
    taken = script.evaluate(
        """told => {
          const times = Array.from({ length: 9 }, () => {
            const start = performance.now();
            const graph = networkOf(told.widths, told.batch, told);
            eventsOf(passOf(graph, told.policy), graph, 8, [2, 1]);
            return performance.now() - start;
          });
          return times.sort((a, b) => a - b)[4];
        }""",
        setting,
    )
    print(f"300 layers, in segments of 18: {taken:.1f} ms in the median")


# --- the view -------------------------------------------------------------------------------------------------------

FIRST = {"depth": 16, "width": 128, "batch": 512, "optimizer": "adam", "budget": 12_000_000}


@dataclass
class Visit(OpenView):
    """A memory view in a page."""

    told: dict[str, Any] = field(default_factory=dict)
    outermost: ClassVar[str] = ".mlp-memory"

    def button(self, name: str | re.Pattern[str]) -> Any:
        return self.root.get_by_role("button", name=name)

    def field(self, label: str) -> Any:
        return self.root.get_by_role("textbox", name=label, exact=True)

    def slider(self, label: str) -> Any:
        return self.root.get_by_role("slider", name=label, exact=True)

    def choice(self, label: str) -> Any:
        return self.root.get_by_label(label, exact=True)

    @property
    def peak(self) -> str:
        return str(self.find(".mlp-objective").inner_text())

    @property
    def verdict(self) -> str:
        return str(self.find(".mlp-words").inner_text())

    @property
    def complaint(self) -> str:
        box = self.find(".mlp-complaint")
        assert box.get_attribute("role") == "alert"
        return str(box.text_content())

    @property
    def said(self) -> str:
        self.page.wait_for_timeout(500)
        return super().said

    def column(self, index: int) -> dict[str, str]:
        """Bytes by kind, at the chosen step (0) or at the peak (1), as the table writes them."""
        rows = self.root.locator(".mlp-facts tbody tr").all()
        return {row.locator("th").inner_text().split()[0]: row.locator("td").nth(index).inner_text() for row in rows}

    def ways(self) -> list[tuple[str, str]]:
        return [
            (way.locator("button").inner_text(), way.locator("span").inner_text())
            for way in self.root.locator(".mlp-outs li").all()
            if way.locator("button").count()
        ]

    def more(self) -> None:
        self.find("summary").click()

    def agrees(self, **settings: Any) -> MemoryView:
        """All that is shown is what Python says of these settings."""
        view = MemoryView(**{**self.told, **settings})
        found, sums = view.timeline(), view.sums()
        budget = view.settings["budget"]
        assert self.peak == f"Peak {bytes_text(found.peak + sums)}"
        counts = dict(found.peak_event.bytes)
        counts["gradients"] += sums
        shown = {kind: bytes_text(count) for kind, count in counts.items()} | {"alive": bytes_text(view.peak)}
        assert self.column(1) == shown
        stop = next((event for event in found.events if event.total + sums > budget), None)
        if stop is None:
            assert self.verdict == f"✓ It fits the budget of {bytes_text(budget)}."
            assert not self.find("section").is_visible()
        else:
            assert self.verdict.startswith(f"✗ Out of memory at step {stop.index}, {stop.phase}: ")
            assert self.find(".mlp-out").text_content() == "out of memory here"
        assert self.slider("Look at a step").input_value() == str((stop or found.peak_event).index)
        return view


Opens = Callable[..., Visit]


@pytest.fixture
def opens(pages: Pages) -> Opens:
    def make(*islands: str, look: str = "light", **settings: Any) -> Visit:
        told = {**FIRST, **settings}
        return pages.open(lambda *page: Visit(*page, told), islands or [MemoryView(**told).island()], look)

    return make


@pytest.fixture
def visit(opens: Opens) -> Visit:
    return opens()


def any_settings(seed: int) -> dict[str, Any]:
    """Settings of the view, all of them."""
    rng = np.random.default_rng(seed)
    machines, parts = (int(rng.choice([1, 1, 2, 3])) for _ in range(2))
    depth = int(rng.integers(1, 40))
    policies = POLICIES if depth == 1 else (*POLICIES, "sqrt", "every")
    settings = {
        "depth": depth,
        "width": int(rng.integers(1, 400)),
        "batch": int(rng.integers(machines * parts, 500)),
        "activation": str(rng.choice(ACTIVATIONS)),
        "loss": str(rng.choice(LOSSES)),
        "weight_decay": float(rng.choice([0.0, 0.1])),
        "bias": bool(rng.integers(2)),
        "dtype": str(rng.choice(["float32", "float64"])),
        "optimizer": str(rng.choice(list(OPTIMIZERS))),
        "policy": str(rng.choice(policies)),
        "segment": int(rng.integers(1, 9)),
        "micro_batches": parts,
        "machines": machines,
    }
    return settings | {"budget": int(MemoryView(**settings).peak * rng.uniform(0.5, 1.2))}


@pytest.mark.parametrize("seed", range(12))
def test_what_it_shows_is_what_python_says(opens: Opens, seed: int) -> None:
    opens(**any_settings(seed)).agrees()


def test_it_stops_at_the_named_array_and_step(visit: Visit) -> None:
    view = visit.agrees()
    stop = next(event for event in view.timeline().events if event.total > 12_000_000)
    assert (stop.index, stop.what) == (15, "h8")
    assert visit.verdict == "✗ Out of memory at step 15, forward: no room for h⁽⁸⁾, 524 kB."
    assert visit.find(".mlp-never").bounding_box()["width"] > 300  # what comes after it is not reached


def test_the_table_follows_the_step_that_is_looked_at(visit: Visit) -> None:
    events = visit.agrees().timeline().events
    slider = visit.slider("Look at a step")
    for key, index in [("Home", 0), ("ArrowRight", 1), ("End", len(events) - 1), ("ArrowLeft", len(events) - 2)]:
        slider.press(key)
        shown = {kind: bytes_text(count) for kind, count in events[index].bytes.items()}
        assert visit.column(0) == shown | {"alive": bytes_text(events[index].total)}
        assert f"step {index}, " in str(slider.get_attribute("aria-valuetext"))


def test_every_setting_redraws(visit: Visit) -> None:
    now: dict[str, Any] = {}

    def turned(**some: Any) -> None:
        now.update(some)
        visit.agrees(**now)

    for label, key, number in [("layers", "depth", 9), ("width", "width", 77), ("batch", "batch", 300)]:
        visit.field(label).fill(str(number))
        turned(**{key: number})
    visit.field("budget, MB").fill("2.5")
    turned(budget=2_500_000)
    for key, names in [("policy", ["keep_all", "predict", "sqrt", "every"]), ("optimizer", ["sgd", "momentum"])]:
        for name in names:
            visit.choice(key).select_option(name)
            turned(**{key: name})
    visit.field("k").fill("4")
    turned(segment=4)
    visit.choice("dtype").select_option("float32")
    turned(dtype="float32")
    visit.more()
    visit.choice("activation").select_option("gelu")
    turned(activation="gelu")
    visit.choice("weight decay").uncheck()
    turned(weight_decay=0.0)
    visit.choice("bias").check()
    turned(bias=True)
    visit.field("micro-batches").fill("7")
    turned(micro_batches=7)
    visit.field("machines").fill("5")
    turned(machines=5)


def test_sliders_go_by_the_keyboard(visit: Visit) -> None:
    for label, key, after in [("layers", "depth", 19), ("width", "width", 152), ("batch", "batch", 609)]:
        slider = visit.slider(f"Slide {label}")
        slider.press("ArrowRight")
        visit.agrees(**{key: after})
        assert slider.get_attribute("aria-valuetext") == str(after)
        slider.press("ArrowLeft")
        visit.agrees()
    budget = visit.slider("Slide budget, MB")
    budget.press("ArrowRight")
    visit.agrees(budget=13_000_000)
    assert visit.field("budget, MB").input_value() == "13"
    assert budget.get_attribute("aria-valuetext") == "13 MB"


def test_the_budget_decides(visit: Visit) -> None:
    peak = visit.agrees().peak
    visit.field("budget, MB").fill(str(peak / 1e6))
    visit.agrees(budget=peak)
    assert visit.verdict.startswith("✓")
    visit.field("budget, MB").fill(str((peak - 1) / 1e6))
    visit.agrees(budget=peak - 1)
    assert visit.verdict.startswith("✗")
    visit.field("budget, MB").fill("5")
    assert visit.verdict.startswith("✗ Out of memory at step 0, forward: what was there before it takes 7.34 MB.")


# --- ways out -------------------------------------------------------------------------------------------------------


def test_each_way_out_is_applied_at_a_click_with_its_peak_and_its_cost(opens: Opens) -> None:
    expected: list[tuple[str, dict[str, Any], str]] = [
        ("Smaller batch: 128", {"batch": 128}, "Another gradient, with more noise; 4 times as many steps"),
        (
            "8 micro-batches, each 64 of 512 examples",
            {"micro_batches": 8},
            "The same gradient, in 8 passes with smaller products; 2.1 MB",
        ),
        ("Checkpoint every 4 layers (√K)", {"policy": "sqrt"}, "to the last bit; 56 % of a forward pass"),
        ("Lower precision: float32", {"dtype": "float32"}, "Half of every array; about 7 digits"),
        (
            "4 machines, each 128 of 512 examples",
            {"machines": 4},
            "Each machine holds all parameters, and sends 3.15 MB",
        ),
    ]
    visit = opens()
    assert [label for label, _ in visit.ways()] == [label for label, _, _ in expected]
    for (label, change, cost_text), (_, told) in zip(expected, visit.ways(), strict=True):
        peak = MemoryView(**{**FIRST, **change}).peak
        over = peak - FIRST["budget"]
        assert told.startswith(
            f"Peak {bytes_text(peak)}, {f'✗ still {bytes_text(over)} over' if over > 0 else '✓ fits'}."
        )
        assert cost_text in told
        visit.button(label).click()
        visit.agrees(**change)
        assert visit.page.evaluate("document.activeElement.textContent") == "↶ Undo"  # the focus is not lost
        visit.page.keyboard.press("Enter")
        visit.agrees()
    graph = mlp.network([128] * 17, 512, activation="tanh", weight_decay=1e-4)
    assert cost(graph, mlp.checkpoint.sqrt(graph)).extra == pytest.approx(0.56, abs=0.005)
    weights = 16 * 128 * 128 * 8
    assert bytes_text(weights) == "2.1 MB" and bytes_text(2 * 3 * weights // 4) == "3.15 MB"


@pytest.mark.parametrize("seed", range(8))
def test_a_way_that_says_it_fits_fits_and_is_the_first_that_does(opens: Opens, seed: int) -> None:
    settings = any_settings(seed + 100) | {"policy": "keep_all"}
    budget = settings["budget"] = int(MemoryView(**settings).peak * 0.6)
    visit = opens(**settings)
    ways = dict(visit.ways())
    assert "Keep only what is read again" in ways
    key_of = {"Smaller": "batch", "micro": "micro_batches", "machines": "machines"}
    for label, told in ways.items():
        key = next((key for word, key in key_of.items() if word in label), None)
        if key is None:
            continue
        number = int(re.findall(r"\d+", label)[0])
        assert told.startswith(f"Peak {bytes_text(MemoryView(**{**settings, key: number}).peak)}, ")
        if "✓ fits" in told and number not in (2 * settings[key], -(-settings[key] // 2)):
            before = 2 * number if key == "batch" else number // 2  # a step less would not have been enough
            assert MemoryView(**{**settings, key: before}).peak > budget


def test_ways_add_up_where_none_is_enough(opens: Opens) -> None:
    visit = opens(budget=6_000_000)
    assert "No way out is enough by itself" in visit.find("section").inner_text()
    visit.button("Lower precision: float32").click()
    visit.agrees(budget=6_000_000, dtype="float32")
    assert "Lower precision: it is float32 already." in visit.find("section").inner_text()
    visit.button(re.compile("^Smaller batch")).click()
    visit.agrees(budget=6_000_000, dtype="float32", batch=128)
    assert visit.verdict.startswith("✓")
    visit.button("Undo").click()
    visit.agrees(budget=6_000_000, dtype="float32")
    visit.button("Undo").click()
    visit.agrees(budget=6_000_000)
    assert visit.button("Undo").get_attribute("aria-disabled") == "true"


def test_what_a_way_out_has_changed_can_be_seen(opens: Opens) -> None:
    for way, label in [("micro-batches, each", "micro-batches"), ("machines, each", "machines")]:
        visit = opens()
        assert not visit.field(label).is_visible()
        visit.button(re.compile(way)).click()
        assert visit.field(label).is_visible()
        assert int(visit.field(label).input_value()) > 1


def test_a_way_out_that_helps_nothing_says_so(opens: Opens) -> None:
    """Where parameters are nearly all of it, the sums that micro-batches need take more than they save."""
    settings = {"depth": 4, "width": 512, "batch": 4, "optimizer": "sgd", "budget": 10_000_000}
    visit = opens(**settings)
    worse = next(told for label, told in visit.ways() if "micro-batches" in label)
    peak = MemoryView(**{**FIRST, **settings, "micro_batches": 4}).peak
    assert peak > MemoryView(**{**FIRST, **settings}).peak
    assert worse.startswith(f"Peak {bytes_text(peak)}, ✗ no less than now, ")
    fits = next(told for label, told in visit.ways() if label.startswith("Lower precision"))
    assert "no less than now" not in fits


def test_counts_are_written_as_people_write_them(opens: Opens) -> None:
    visit = opens(depth=3, width=64, batch=16_384, budget=800_000, optimizer="sgd")
    text = visit.find("section").inner_text()
    assert re.search(r"\d{2,} times as many steps", text) and re.search(r"; \d+ % of|; 0\.\d+ % of", text)
    assert "e+" not in text and not re.search(r"\b1 (examples|machines|micro-batches)\b", text)


@pytest.mark.parametrize(
    "count", [0, 9_999, 10_000, 999_499, 999_500, 999_500_000 - 1, 999_500_000, 10**12, 4 * 10**13, 10**15]
)
def test_bytes_are_written_as_python_writes_them(script: Page, count: int) -> None:
    assert script.evaluate("count => bytesText(count)", count) == bytes_text(count)
    assert "e" not in bytes_text(count)


def test_prediction_has_fewer_ways_and_no_optimizer(opens: Opens) -> None:
    visit = opens(policy="predict", budget=3_000_000)
    visit.agrees()
    assert not visit.choice("optimizer").is_visible()
    ways = dict(visit.ways())
    assert not any("gradient" in told for told in ways.values())
    label = next(label for label in ways if "parts, each" in label)
    visit.button(label).click()
    visit.agrees(micro_batches=int(label.split()[0]))


def test_reset_and_undo_go_back(visit: Visit) -> None:
    for number in "123":  # in one field: one change
        visit.field("layers").press_sequentially(number) if number != "1" else visit.field("layers").fill(number)
    visit.agrees(depth=123)
    visit.choice("policy").select_option("keep_all")
    visit.button("Undo").click()
    visit.agrees(depth=123)
    visit.button("Reset").press("Enter")
    visit.agrees()
    assert visit.button("Reset").get_attribute("aria-disabled") == "true"
    visit.button("Undo").click()
    visit.agrees(depth=123)


# --- bad input, damage, everyone ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "text", "reason"),
    [
        ("layers", "0", "Write a whole number from 1 to 300. It stays 16."),
        ("layers", "301", "Write a whole number from 1 to 300."),
        ("width", "2.5", "Write a whole number from 1 to 16,384. It stays 128."),
        ("batch", "-3", "Write a whole number from 1 to 1,048,576."),
        ("batch", "", "The field is empty"),
        ("budget, MB", "0", "Write a number above 0, at most a billion. It stays 12."),
        ("budget, MB", "1e300", "Write a number above 0"),
        ("budget, MB", "<b>", "“<b>” is no number"),
    ],
)
def test_bad_input_is_refused_where_it_stands(visit: Visit, label: str, text: str, reason: str) -> None:
    visit.enter(visit.field(label), text)
    assert visit.field(label).get_attribute("aria-invalid") == "true"
    assert reason in visit.complaint
    visit.agrees()
    visit.field(label).blur()
    assert visit.field(label).get_attribute("aria-invalid") is None
    visit.field("layers").fill("15")
    assert visit.complaint == ""
    visit.agrees(depth=15)


@pytest.mark.parametrize("text", ["16,384", "16 384", "16384"])
def test_thousands_may_be_set_apart(visit: Visit, text: str) -> None:
    """As the reasons themselves write them."""
    visit.field("batch").fill(text)
    assert visit.complaint == ""
    visit.agrees(batch=16_384)
    visit.field("budget, MB").fill("2,5")  # what need not be whole may have a comma for its decimals
    visit.agrees(batch=16_384, budget=2_500_000)


def test_settings_that_do_not_go_together_are_refused(opens: Opens) -> None:
    visit = opens(batch=8, micro_batches=4)
    visit.enter(visit.field("batch"), "3")
    assert "micro-batches times machines, 4 × 1, is more than the batch of 3." in visit.complaint
    visit.more()
    visit.enter(visit.field("machines"), "3")
    assert "micro-batches times machines, 4 × 3, is more than the batch of 8." in visit.complaint
    visit.agrees()
    visit.choice("policy").select_option("sqrt")
    visit.enter(visit.field("layers"), "1")
    assert "A single layer has no value to forget" in visit.complaint
    visit.field("layers").blur()
    visit.choice("policy").select_option("residuals")
    visit.field("layers").fill("1")
    visit.choice("policy").select_option("sqrt")
    assert "A single layer has no value to forget" in visit.complaint
    assert visit.choice("policy").input_value() == "residuals"  # the last that went


def test_what_is_new_is_said_once_it_rests(visit: Visit) -> None:
    visit.field("width").fill("64")
    assert visit.find("> [role=status]").text_content() == ""
    assert visit.said.startswith(f"The peak is {bytes_text(visit.agrees(width=64).peak)}, at step ")
    assert "It fits the budget of 12 MB." in visit.said


def test_three_hundred_layers_redraw_at_once(opens: Opens) -> None:
    visit = opens(depth=300, width=64, batch=256, policy="sqrt", budget=20_000_000)
    visit.agrees()
    taken = visit.page.evaluate(
        """() => {
          const slider = document.querySelectorAll(".mlp-memory .mlp-dial input[type=range]")[2];
          const times = Array.from({ length: 11 }, (_, k) => {
            slider.value = 30 + (k % 2);
            const start = performance.now();
            slider.dispatchEvent(new Event("input"));
            return performance.now() - start;
          });
          return times.sort((a, b) => a - b)[5];
        }"""
    )
    print(f"300 layers, out of memory: {taken:.0f} ms from the slider to the picture, in the median")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.update(version=99), "newer version"),
        (lambda told: told.update(settings={}), "damaged"),
        (lambda told: told["settings"].update(depth=10**9), "damaged"),
        (lambda told: told["settings"].update(policy="__proto__"), "damaged"),
        (lambda told: told.pop("words"), "damaged"),
        (lambda told: told.pop("limits"), "damaged"),
    ],
)
def test_a_foreign_or_damaged_state_leaves_the_figure_and_says_so(
    opens: Opens, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    visit = opens(tampered(MemoryView().island(), change))
    assert message in visit.page.locator("figure .mlp-message").inner_text()
    assert visit.page.locator("figure img").count() == 1


def test_two_share_a_page(opens: Opens) -> None:
    visit = opens(MemoryView(**FIRST, name="one").island(), MemoryView(name="two").island())
    assert visit.page.locator(".mlp-memory").count() == 2
    ids = visit.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("look", LOOKS)
def test_everyone_can_use_every_state(opens: Opens, look: str) -> None:
    """axe finds nothing against WCAG A and AA, nothing is wider than the screen, no label is under 11 px."""
    visit = opens(look=look)
    states: Sequence[tuple[str, Callable[[], Any]]] = [
        ("at first", lambda: None),
        ("more settings", visit.more),
        ("a way out", lambda: visit.button(re.compile("^Checkpoint")).click()),
        ("another", lambda: visit.button("Lower precision: float32").click()),
        ("a step", lambda: visit.slider("Look at a step").press("Home")),
        ("prediction", lambda: visit.choice("policy").select_option("predict")),
        ("segments", lambda: visit.choice("policy").select_option("every")),
        ("refused", lambda: visit.field("layers").fill("x")),
        ("reset", lambda: visit.button("Reset").click()),
    ]
    for state, reach in states:
        reach()
        visit.settle()
        assert barriers(visit.page, Visit.outermost) == [], state


def test_on_a_phone_the_controls_are_large_enough_and_labels_stay_inside(opens: Opens) -> None:
    visit = opens(look="phone")
    controls = [visit.field("layers"), visit.slider("Slide batch"), visit.choice("policy"), visit.button("Undo")]
    controls += [visit.slider("Look at a step"), visit.button(re.compile("^Smaller batch"))]
    assert all(control.bounding_box()["height"] >= 44 for control in controls)
    for text in visit.root.locator(".mlp-chart text").all():
        box = text.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, text.text_content()
