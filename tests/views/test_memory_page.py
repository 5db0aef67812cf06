"""The memory view in a page opened from disk: its account is Python's to the byte, and its controls act on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from mlp import memory, network
from mlp.checkpoint import cost, every
from mlp.graph import Graph
from mlp.ops import ACTIVATIONS, LOSSES
from mlp.optimizers import OPTIMIZERS
from mlp.steps import Plan
from mlp.views import bundle

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
        "widths": [int(width) for width in rng.integers(1, 90, depth + 1)],
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
          const wider = new Pass(networkOf(other, 9, told), told.policy);
          const pass = wider.resized(networkOf(told.widths, told.batch, told));
          const events = pass.events(told.itemsize, told.optimizer);
          return { events: events.map(({ phase, what, bytes }) => [phase, what, ...bytes]),
            totals: events.map(({ total }) => total), peak: peakOf(events).total, at: peakOf(events).index,
            flops: pass.flops(), kinds: KINDS };
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
    price = cost(graph, policy)
    assert found["flops"]["again"] == price.extra_flops
    assert found["flops"]["again"] == pytest.approx(price.extra * found["flops"]["once"])


def test_the_settings_reach_every_rule_and_every_policy() -> None:
    """The random settings of the test above are no narrow corner."""
    settings = [any_setting(seed) for seed in range(90)]
    for key, least in [
        ("activation", 5),
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
            new Pass(networkOf(told.widths, told.batch, told), told.policy).events(8, [2, 1]);
            return performance.now() - start;
          });
          return times.sort((a, b) => a - b)[4];
        }""",
        setting,
    )
    print(f"300 layers, in segments of 18: {taken:.1f} ms in the median")
