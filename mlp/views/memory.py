"""Memory: the bytes of a training step for settings that a reader changes, against a budget, and the ways out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets

from mlp import checkpoint, memory
from mlp.draw.labels import unicode_name
from mlp.graph import DTYPES, Graph
from mlp.inputs import counted, listed, non_negative, one_of, positive_int
from mlp.memory import KINDS, Event, Timeline
from mlp.networks import network
from mlp.ops import ACTIVATIONS, LOSSES
from mlp.optimizers import OPTIMIZERS
from mlp.steps import POLICIES, Plan
from mlp.text import bytes_text, printed
from mlp.views.chart import Label, chart, colour
from mlp.views.state import who
from mlp.views.view import Figure

PLANS = ("sqrt", "every")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "activation": ACTIVATIONS,
    "loss": LOSSES,
    "dtype": tuple(DTYPES),
    "optimizer": tuple(OPTIMIZERS),
    "policy": (*POLICIES, *PLANS),
}
#: The largest of each whole number that a setting may be: beyond, a page would no longer answer at once.
LIMITS = {
    "depth": 300,
    "width": 16_384,
    "batch": 1_048_576,
    "segment": 300,
    "micro_batches": 1_048_576,
    "machines": 65_536,
    "budget": 10**15,
}
#: What the view says. In braces is what it fills in.
WORDS: Mapping[str, Any] = {
    "predict": "predict only",
    "keep_all": "keep everything",
    "residuals": "keep what is read again",
    "sqrt": "checkpoints, √K",
    "every": "checkpoints, every k-th",
    "parameters": "W and b",
    "inputs": "x and y",
    "gradients": "cotangents, and sums of them",
    "optimizer": "what it remembers",
    "kept": "values that wait",
    "workspace": "this step only",
    "whole": "Write a whole number from 1 to {most}.",
    "budget": "Write a number above 0, at most a billion.",
    "few": "Every pass needs an example: micro-batches times machines, {micro_batches} × {machines}, is more than the "
    "batch of {batch}.",
    "single": "A single layer has no value to forget. Choose another policy first.",
    "step": "step {index}, {phase}, which writes {array}",
    "part": "; a pass takes {part} of {batch} examples",
    "peak": "The peak is {bytes}, at {where}. ",
    "fits": "✓ It fits the budget of {budget}.",
    "out": "✗ Out of memory at step {index}, {phase}: no room for {array}, {bytes}.",
    "before": "✗ Out of memory at step {index}, {phase}: what was there before it takes {there}.",
    "chart": "Bytes alive at each step, {count} in all, by kind. The peak is {bytes}, at {where}. "
    "The budget is {budget}.",
    "choose": "Ways out. Choose one:",
    "none": "No way out is enough by itself. Choose one, and see what is left:",
    "under": "Peak {peak}, ✓ fits. ",
    "over": "Peak {peak}, ✗ still {over} over. ",
    "worse": "Peak {peak}, ✗ no less than now, {over} over. ",
    "training": {
        "residuals": ["Keep only what is read again", "The same gradient, for the same work."],
        "batch": [
            "Smaller batch: {batch}",
            "Another gradient, with more noise; {times} times as many steps for the same examples.",
        ],
        "micro_batches": [
            "{micro_batches} micro-batches, each {part} of {share} examples",
            "The same gradient, in {micro_batches} passes with smaller products; {sums} to add the gradients up in.",
        ],
        "sqrt": [
            "Checkpoint every {k} layers (√K)",
            "The same gradient to the last bit; {extra} % of a forward pass is computed again.",
        ],
        "dtype": ["Lower precision: float32", "Half of every array; about 7 digits in place of 16."],
        "machines": [
            "{machines} machines, each {share} of {batch} examples",
            "The same gradient. Each machine holds all parameters, and sends {sent} of gradients a step if they are "
            "added up around a ring.",
        ],
    },
    "predicting": {
        "batch": ["Smaller batch: {batch}", "{times} times as many passes for the same examples."],
        "micro_batches": [
            "{micro_batches} parts, each {part} of {share} examples",
            "The same result, in {micro_batches} passes with smaller products.",
        ],
        "dtype": ["Lower precision: float32", "Half of every array; about 7 digits in place of 16."],
        "machines": ["{machines} machines, each {share} of {batch} examples", "Each machine holds all parameters."],
    },
    "refused": {
        "batch": "Smaller batch: it is as small as it gets.",
        "micro_batches": "Micro-batches: each has a single example already.",
        "sqrt": "Checkpoints: they are set already, or there is nothing to forget.",
        "dtype": "Lower precision: it is float32 already.",
        "machines": "More machines: each has a single example already.",
    },
}


class MemoryView(Figure):
    """See what a training step holds, step by step; set a budget, and where it is crossed choose a way out.

    In Jupyter it is a widget; in a built page an island that needs no kernel; elsewhere a figure and a text. Its bytes
    are those of `mlp.memory.predict`.

    Parameters
    ----------
    depth, width, batch : int
        How many layers, all of one width, the input's and the output's too; how many examples.
    activation, loss, weight_decay, bias, dtype
        As for `mlp.network`.
    optimizer : str
        ``"sgd"``, ``"momentum"`` or ``"adam"``; not counted under the policy ``"predict"``.
    policy : str
        ``"predict"``, ``"keep_all"``, ``"residuals"``, ``"sqrt"`` or ``"every"``: as for `mlp.schedule`, and the plans
        `mlp.checkpoint.sqrt` and `mlp.checkpoint.every`.
    segment : int
        The k of the policy ``"every"``.
    micro_batches : int
        Passes over parts of the batch, whose gradients are added up in arrays of their own.
    machines : int
        How many share the batch; each holds all parameters. What is shown is one of them.
    budget : int
        Bytes.
    name : str
        Names the view in the page.

    Attributes
    ----------
    settings : dict
        All the above but the name, as the reader has changed them. Can be set, also a few of them, and observed.

    Raises
    ------
    TypeError, ValueError
        For a setting that does not fit, with its name.
    """

    settings = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        depth: int = 8,
        width: int = 64,
        batch: int = 256,
        *,
        activation: str = "tanh",
        loss: str = "squared_error",
        weight_decay: float = 1e-4,
        bias: bool = False,
        dtype: str = "float64",
        optimizer: str = "sgd",
        policy: str = "residuals",
        segment: int = 2,
        micro_batches: int = 1,
        machines: int = 1,
        budget: int = 4_000_000,
        name: str = "memory",
    ) -> None:
        given = locals()
        settings = checked({key: given[key] for key in SETTINGS})
        told = {
            **who("memory", name),
            "settings": settings,
            "limits": LIMITS,
            "choices": CHOICES,
            "words": WORDS,
            "itemsizes": {dtype: np.dtype(dtype).itemsize for dtype in DTYPES},
            "optimizers": {name: [len(rule.state), rule.workspace] for name, rule in OPTIMIZERS.items()},
        }
        super().__init__(told, settings=settings)

    @traitlets.validate("settings")
    def _valid_settings(self, proposal: Any) -> dict[str, Any]:
        """Settings that are left out stay as they are."""
        return checked({**self.settings, **proposal["value"]})

    def graph(self) -> Graph:
        """The network of one pass: its batch is the part that one machine takes at a time."""
        some = {key: self.settings[key] for key in ("activation", "loss", "weight_decay", "bias", "dtype")}
        share = -(-self.settings["batch"] // self.settings["machines"])
        part = -(-share // self.settings["micro_batches"])
        return network([self.settings["width"]] * (self.settings["depth"] + 1), part, **some)

    def timeline(self) -> Timeline:
        """What `mlp.memory.predict` says of one pass; without ``sums()``."""
        graph, policy = self.graph(), self.settings["policy"]
        chosen: str | Plan = policy
        if policy in PLANS:
            chosen = checkpoint.sqrt(graph) if policy == "sqrt" else checkpoint.every(graph, self.settings["segment"])
        return memory.predict(graph, chosen, None if policy == "predict" else self.settings["optimizer"])

    def sums(self) -> int:
        """Bytes in which the gradients of several passes are added up; with a single pass there are none."""
        if self.settings["micro_batches"] == 1 or self.settings["policy"] == "predict":
            return 0
        graph = self.graph()
        return sum(
            int(np.prod(graph.variables[name].shape)) * np.dtype(graph.dtype).itemsize for name in graph.parameters
        )

    @property
    def peak(self) -> int:
        """The most bytes that one machine holds at once."""
        return self.timeline().peak + self.sums()

    def _now(self) -> dict[str, Any]:
        return {"settings": self.settings}

    def _pictures(self) -> tuple[str, str, str]:
        found, sums = self.timeline(), self.sums()
        words = described(found, sums, self.settings["budget"])
        alone, inline = (picture(found, sums, self.settings["budget"], alone=alone) for alone in (True, False))
        return words, alone, inline

    def _caption(self) -> str:
        return (
            "The bytes that are alive at each step of training, stacked by kind, and a budget. Where the budget is "
            "crossed, the ways out."
        )

    def text(self) -> str:
        """The peak, the budget, and what is alive at the peak."""
        found, told = self.timeline(), self.settings
        at = found.peak_event
        kinds = {**at.bytes, "gradients": at.bytes["gradients"] + self.sums()}
        parts = [f"{kind} {bytes_text(kinds[kind])}" for kind in KINDS if kinds[kind]]
        return printed(
            "\n".join(
                [
                    f"{counted(told['depth'], 'layer')} of width {told['width']}, a batch of {told['batch']}, "
                    f"{told['dtype']}, {told['optimizer']}, policy {found.policy}.",
                    described(found, self.sums(), told["budget"]),
                    f"At the peak: {', '.join(parts)}.",
                ]
            )
        )


SETTINGS = (
    *("depth", "width", "batch", "activation", "loss", "weight_decay", "bias", "dtype", "optimizer", "policy"),
    *("segment", "micro_batches", "machines", "budget"),
)


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that go together, as plain data."""
    unknown = [key for key in settings if key not in SETTINGS]
    if unknown:
        raise ValueError(f"settings: expected {listed(SETTINGS, len(SETTINGS))}, received {listed(unknown)}")
    found = dict(settings)
    for key, most in LIMITS.items():
        found[key] = positive_int(settings[key], key)
        if found[key] > most:
            raise ValueError(f"{key}: expected a whole number from 1 to {most:,}, received {found[key]:,}")
    for key, names in CHOICES.items():
        one_of(settings[key], names, key)
    found["weight_decay"] = non_negative(settings["weight_decay"], "weight_decay")
    if not isinstance(settings["bias"], bool):
        raise TypeError(f"bias: expected True or False, received {settings['bias']!r}")
    least = found["machines"] * found["micro_batches"]
    if found["batch"] < least:
        raise ValueError(
            f"batch: expected at least {least:,}, an example for each of "
            f"{counted(found['micro_batches'], 'micro-batch', 'micro-batches')} on each of "
            f"{counted(found['machines'], 'machine')}, received {found['batch']:,}"
        )
    if found["depth"] == 1 and found["policy"] in PLANS:
        raise ValueError(f"policy: expected {listed(POLICIES)} for a single layer, received {found['policy']!r}")
    return found


# --- its first picture ----------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, EDGE = 480, 260, 62, 26, 40, 8
COLUMNS = 160
# From the bottom up, with the colour's role and its strength: as in the view, and in `mlp.plots`.
STACK: Mapping[str, tuple[str, float]] = {
    "parameters": ("parameter", 0.3),
    "inputs": ("parameter", 0.08),
    "optimizer": ("parameter", 0.18),
    "kept": ("forward", 0.55),
    "gradients": ("backward", 0.55),
    "workspace": ("parameter", 0.6),
}


def crossing(found: Timeline, sums: int, budget: int) -> Event | None:
    """The first event at which there is not enough."""
    return next((event for event in found.events if event.total + sums > budget), None)


def described(found: Timeline, sums: int, budget: int) -> str:
    """The peak and the budget, in words."""
    stop = crossing(found, sums, budget)
    peak = f"The peak is {bytes_text(found.peak + sums)}, at {_where(found.peak_event)}."
    if stop is None:
        return f"{peak} It fits the budget of {bytes_text(budget)}."
    return f"{peak} With a budget of {bytes_text(budget)} it is out of memory at {_where(stop)}."


def _where(event: Event) -> str:
    if event.phase == "update":
        return f"step {event.index}, the update"
    above, _, below = event.what.partition("/")
    name = f"∂{unicode_name(above[1:])}/∂{unicode_name(below[1:])}" if below else unicode_name(above)
    return f"step {event.index}, {event.phase}, which writes {name}"


def picture(found: Timeline, sums: int, budget: int, *, alone: bool) -> str:
    """The bytes at each step, stacked by kind, and the budget as a line.

    Parameters
    ----------
    found : Timeline
    sums : int
        Bytes of gradients that are added up, at every step.
    budget : int
        Bytes.
    alone : bool
        For an image: plain colours on white. Otherwise for a page, whose colours it takes.

    Returns
    -------
    str
        SVG.
    """
    each = -(-len(found.events) // COLUMNS)
    chosen = [max(found.events[k : k + each], key=lambda event: event.total) for k in range(0, len(found.events), each)]
    most = 1.08 * max(found.peak + sums, budget)
    edges = [LEFT + (WIDTH - LEFT - EDGE) * k / len(chosen) for k in range(len(chosen) + 1)]
    floor = HEIGHT - BOTTOM

    def y(count: float) -> float:
        return floor - (floor - TOP) * count / most

    def stairs(heights: list[int]) -> list[str]:
        return [f"{edges[k + side]:.1f} {y(count):.1f}" for k, count in enumerate(heights) for side in (0, 1)]

    base = [0] * len(chosen)
    bands = []
    for kind, (role, strength) in STACK.items():
        low = stairs(base)
        more = sums if kind == "gradients" else 0
        base = [count + event.bytes[kind] + more for count, event in zip(base, chosen, strict=True)]
        bands.append(
            f'<path d="M{"L".join(stairs(base) + low[::-1])}Z" fill-opacity="{strength}" stroke-width=".6" '
            f'style="fill:{colour(role, alone=alone)}"/>'
        )
    labels: list[Label] = [
        (LEFT - 6, y(0) + 4, "end", "0"),
        (LEFT - 6, y(most / 1.08) + 4, "end", bytes_text(int(most / 1.08))),
    ]
    labels += [(WIDTH - EDGE, y(budget) - 5, "end", f"budget {bytes_text(budget)}")]
    labels += [(LEFT, HEIGHT - 8, "start", f"from below: {', '.join(STACK)}"), (LEFT, HEIGHT - 24, "start", "step 0")]
    labels += [(WIDTH - EDGE, HEIGHT - 24, "end", str(len(found.events) - 1))]
    turn = next((k for k, event in enumerate(found.events) if event.phase == "backward"), None)
    line = ""
    if turn is None:
        labels += [(LEFT + 8, 14, "start", "forward →")]
    else:
        across = LEFT + (WIDTH - LEFT - EDGE) * turn / len(found.events)
        line = f"M{across:.1f} 4V{floor}"
        labels += [(across - 8, 14, "end", "forward →"), (across + 8, 14, "start", "← backward")]
    drawn = (
        "".join(bands)
        + f'<path d="M{LEFT} {TOP - 6}V{floor}H{WIDTH - EDGE}" opacity=".5"/><path d="{line}" opacity=".5"/>'
        f'<path d="M{LEFT} {y(budget):.1f}H{WIDTH - EDGE}" stroke-width="2" stroke-dasharray="7 4"/>'
    )
    words = described(found, sums, budget)
    return chart((WIDTH, HEIGHT), "Memory of a training step", words, drawn, labels, alone=alone)
