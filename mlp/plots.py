"""Plots of what `mlp.memory`, `mlp.schedule` and `mlp.checkpoint` have found: Axes in, Axes out, no computation.

Every kind of array has a colour and a hatch, every run of a layer a colour and a mark: no plot depends on colour alone.
What is drawn can be read back from the artists: their heights are the events' bytes, their places the addresses.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlp.checkpoint import Chain
from mlp.extras import extra
from mlp.inputs import counted, listed
from mlp.memory import KINDS, Event, Timeline
from mlp.steps import Lifetime, Schedule, Step
from mlp.text import bytes_text

with extra("plots"):
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch, Rectangle
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

# The colours of the book (book/matplotlibrc); also when a plot is made elsewhere.
FORWARD, NEUTRAL, BACKWARD, INK = "#005FB8", "#5F6670", "#B23A00", "#1F2328"


@dataclass(frozen=True)
class Look:
    """How one kind of array is filled: its colour on paper, the lines over it, and the hatch in that line's colour."""

    face: str
    line: str
    hatch: str


LOOKS: Mapping[str, Look] = {
    "parameters": Look("#D5D9DE", INK, ""),
    "inputs": Look("#FFFFFF", NEUTRAL, "...."),
    "optimizer": Look("#E8EAED", INK, "xxxx"),
    "kept": Look("#8FC1EE", FORWARD, "////"),
    "gradients": Look("#F2B28C", BACKWARD, "\\\\\\\\"),
    "workspace": Look("#FFFFFF", INK, "----"),
}
# From the bottom up: first what is always there, so that what rises and falls stands on level ground.
STACK = ("parameters", "inputs", "optimizer", "kept", "gradients", "workspace")
PARTED = 100  # events: of longer timelines, areas are not parted into arrays
LINES: Sequence[tuple[str, str, str]] = (  # colour, line, marker
    (BACKWARD, "--", "o"),
    (FORWARD, "-", "^"),
    (NEUTRAL, ":", "s"),
    (INK, "-.", "D"),
    (BACKWARD, ":", "v"),
    (FORWARD, "--", "P"),
)


def label(array: str) -> str:
    """An array's name as plots write it.

    >>> label("dJ/dW1"), label("h")
    ('∂J/∂W1', 'h')
    """
    return array.replace("d", "∂", 1).replace("/d", "/∂", 1) if array.startswith("d") and "/d" in array else array


def timeline(ax: Axes, found: Timeline, budget: int | None = None, arrays: Sequence[str] = ()) -> Axes:
    """The bytes that exist, step by step: a stack of areas, one for each kind, and in it a line over each array.

    Of a kind, what goes last lies lowest. Arrays are named where a name fits; those of a deep network are not parted.

    Parameters
    ----------
    ax : Axes
    found : Timeline
        From `mlp.memory.predict` or `mlp.memory.measure`.
    budget : int, optional
        Bytes: a line at this height, and a mark at the first event that goes beyond it, with what it writes. What comes
        after that event is faded: it does not happen.
    arrays : sequence of str
        Arrays by name, such as ``"h1"``: drawn as areas of their own, below the rest of their kind.

    Returns
    -------
    Axes
        The same. Each area is a ``StepPatch`` whose label is its kind or its array.

    Raises
    ------
    TypeError
        For no Axes, no Timeline.
    ValueError
        For an array that never exists.
    """
    _check(ax, Axes, "ax")
    _check(found, Timeline, "found")
    edges = [event.index - 0.5 for event in found.events] + [found.events[-1].index + 0.5]
    ax.set(xlabel="step", xlim=(edges[0], edges[-1]), ylim=(0, 1.2 * max(found.peak, budget or 0)))
    base = [0] * len(found.events)
    parts = _parts(found) if len(found.events) <= PARTED else {}
    for name, kind, heights in _areas(found, arrays):
        top = [low + height for low, height in zip(base, heights, strict=True)]
        look = LOOKS[kind]
        if name in arrays:  # dark, so that it stands out of its kind
            look = Look(look.line, "#FFFFFF", look.hatch)
        ax.stairs(
            top,
            edges,
            baseline=base,
            fill=True,
            label=label(name),
            facecolor=look.face,
            edgecolor=look.line,
            hatch=look.hatch,
            linewidth=0.6,
        )
        if name == kind:
            _part(ax, kind, {part: sizes for part, sizes in parts.get(kind, {}).items() if part not in arrays}, base)
        base = top
    _mark_peak(ax, found.peak_event)
    if budget is not None:
        _mark_budget(ax, found.events, budget)
    turn = _mark_turn(ax, found.events)
    if turn is not None:
        ax.annotate("forward ", (turn - 0.5, 1.0), xycoords=("data", "axes fraction"), ha="right", va="bottom")
        ax.annotate(" backward", (turn - 0.5, 1.0), xycoords=("data", "axes fraction"), ha="left", va="bottom")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _bytes_axis(ax, "y")
    return ax


def _areas(found: Timeline, arrays: Sequence[str]) -> Iterator[tuple[str, str, list[int]]]:
    """What is stacked, from the bottom up: a name, its kind, its bytes at each event."""
    alone: dict[str, list[int]] = {}
    kind_of: dict[str, str] = {}
    if arrays:
        for place, event in enumerate(found.events):
            for held in found.held(event.index):
                if held.array in arrays:
                    alone.setdefault(held.array, [0] * len(found.events))[place] = held.nbytes
                    kind_of[held.array] = held.kind
    missing = [name for name in arrays if name not in alone]
    if missing:
        raise ValueError(f"arrays: expected arrays that exist at some step, received {listed(missing)}")
    for kind in STACK:
        apart = [name for name in arrays if kind_of[name] == kind]
        rest = [
            event.bytes[kind] - sum(alone[name][place] for name in apart) for place, event in enumerate(found.events)
        ]
        for name in apart:
            yield name, kind, alone[name]
        if any(rest):
            yield kind, kind, rest


def _parts(found: Timeline) -> dict[str, dict[str, list[int]]]:
    """For each kind its arrays, what goes last first, each with its bytes at each event."""
    parts: dict[str, dict[str, list[int]]] = {}
    for place, event in reversed([*enumerate(found.events)]):
        for held in found.held(event.index):
            sizes = parts.setdefault(held.kind, {}).setdefault(held.array, [0] * len(found.events))
            sizes[place] = held.nbytes
    return parts


def _part(ax: Axes, kind: str, parts: Mapping[str, Sequence[int]], base: Sequence[float]) -> None:
    """Draw a line over each array of a kind while it lives, and write its name where there is room."""
    places = range(len(base))
    low = list(base)
    width, height = ax.get_xlim()[1] - ax.get_xlim()[0], ax.get_ylim()[1]
    for name, sizes in parts.items():
        top = [below + size for below, size in zip(low, sizes, strict=True)]
        line = [y if size else float("nan") for y, size in zip(top, sizes, strict=True)]
        ax.step(places, line, where="mid", color=LOOKS[kind].line, linewidth=0.6, zorder=1, label=f"_{name}")
        born = next(place for place in places if sizes[place])
        if sizes[born] > 0.035 * height and sum(map(bool, sizes)) > 0.1 * width:
            middle = low[born] + sizes[born] / 2
            paper = {"facecolor": LOOKS[kind].face, "edgecolor": "none", "pad": 0.4}
            ax.text(born, middle, label(name), fontsize=8.25, ha="left", va="center", zorder=1, color=INK, bbox=paper)
        low = top


def _mark_turn(ax: Axes, passed: Iterable[Event | Step]) -> int | None:
    """A line where forward ends, and the first step after it; neither where nothing goes back."""
    turn = next((each.index for each in passed if each.phase == "backward"), None)
    if turn is not None:
        ax.axvline(turn - 0.5, color=INK, linewidth=0.8)
    return turn


def _mark_peak(ax: Axes, event: Event) -> None:
    """A dot on the peak, and its height in words, on the side with more room."""
    ax.plot(event.index, event.total, "o", color=INK, markersize=5, label="_peak", clip_on=False)
    left = event.index > sum(ax.get_xlim()) / 2
    ax.annotate(
        f"peak {bytes_text(event.total)}",
        (event.index, event.total),
        xytext=(-7 if left else 7, 3),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )


def _mark_budget(ax: Axes, events: Sequence[Event], budget: int) -> None:
    """A line, and where it is crossed."""
    ax.axhline(budget, color=BACKWARD, linestyle="--", linewidth=1.5, label=f"budget, {bytes_text(budget)}")
    over = next((event for event in events if event.total > budget), None)
    if over is not None:
        ax.plot(over.index, budget, "X", color=BACKWARD, markersize=10, label="_out of memory")
        ax.axvspan(over.index + 0.5, events[-1].index + 0.5, facecolor="white", alpha=0.8, gid="not reached")
        ax.annotate(
            f"out of memory\nin step {over.index}, {label(over.what)}",
            (over.index, budget),
            xytext=(10, -5),
            textcoords="offset points",
            ha="left",
            va="top",
            color=BACKWARD,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def ledger(ax: Axes, steps: Schedule, arrays: Sequence[str] | None = None) -> Axes:
    """From when to when each array exists: a bar for each life of each array.

    Parameters
    ----------
    ax : Axes
    steps : Schedule
        From `mlp.schedule`.
    arrays : sequence of str, optional
        Which arrays, from the top down. Without it: all that the engine makes, in order of birth, without workspace.

    Returns
    -------
    Axes
        The same. Each bar is a rectangle, from before the first step to after the last; its gid is the array's name.

    Raises
    ------
    TypeError
        For no Axes, no Schedule.
    ValueError
        For an array that never exists.
    """
    _check(ax, Axes, "ax")
    _check(steps, Schedule, "steps")
    lives = [life for life in steps.lifetimes() if steps.kind(life.array) != "workspace"]
    names = list(dict.fromkeys(life.array for life in lives))
    missing = [name for name in arrays or () if name not in names]
    if missing:
        raise ValueError(f"arrays: expected arrays that the engine makes, received {listed(missing)}")
    rows = list(arrays) if arrays is not None else names
    for life in lives:
        if life.array in rows:
            look = LOOKS[steps.kind(life.array)]
            ax.add_patch(
                Rectangle(
                    (life.first - 0.5, rows.index(life.array) - 0.35),
                    life.last - life.first + 1,
                    0.7,
                    facecolor=look.face,
                    edgecolor=look.line,
                    hatch=look.hatch,
                    gid=life.array,
                )
            )
    _mark_turn(ax, steps)
    ax.set_yticks(range(len(rows)), [label(name) for name in rows])
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(-0.5, len(steps) - 0.5), ylim=(len(rows) - 0.5, -0.5), xlabel="step")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def sweep(
    ax: Axes,
    settings: Sequence[float],
    predicted: Mapping[str, Sequence[int]],
    measured: Mapping[str, Mapping[float, int]] | None = None,
    names: Mapping[str, str] | None = None,
    log: bool = False,
) -> Axes:
    """Peaks against a setting: predicted ones as lines, measured ones as points.

    Parameters
    ----------
    ax : Axes
    settings : sequence of float
        Depths, widths, batch sizes: what the peaks are plotted against.
    predicted : mapping of str to sequence of int
        For each policy the peaks in bytes, in the order of the settings, as `mlp.memory.sweep` gives them.
    measured : mapping of str to mapping of float to int, optional
        For some of the policies, peaks in bytes by setting.
    names : mapping of str to str, optional
        What a policy is called in the legend; by default its name.
    log : bool
        Both axes logarithmic: what grows in proportion is a straight line of slope 1.

    Returns
    -------
    Axes
        The same. A policy's line and points share colour and marker; the line has the policy's name as its label.

    Raises
    ------
    TypeError
        For no Axes.
    ValueError
        For as many peaks as there are not settings, or measured peaks of a policy that is not predicted.
    """
    _check(ax, Axes, "ax")
    for policy, peaks in predicted.items():
        if len(peaks) != len(settings):
            raise ValueError(f"predicted[{policy!r}]: expected {counted(len(settings), 'peak')}, received {len(peaks)}")
    unknown = [policy for policy in measured or {} if policy not in predicted]
    if unknown:
        raise ValueError(f"measured: expected policies among {listed(predicted)}, received {listed(unknown)}")
    for (policy, peaks), (color, line, marker) in zip(predicted.items(), _lines(len(predicted)), strict=True):
        ax.plot(settings, peaks, color=color, linestyle=line, label=(names or {}).get(policy, policy))
        points = (measured or {}).get(policy, {})
        if points:
            ax.plot(list(points), list(points.values()), marker, color=color, label=f"_{policy}, measured")
    if log:
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    _bytes_axis(ax, "y")
    ax.set_ylabel("peak memory")
    return ax


def slab(ax: Axes, lives: Sequence[Lifetime], offsets: Sequence[int], steps: Schedule, smallest: float = 0.02) -> Axes:
    """Where arrays lie in one slab: time to the right, address upwards, a rectangle for each life of each array.

    Parameters
    ----------
    ax : Axes
    lives : sequence of Lifetime
        From ``steps.lifetimes()``.
    offsets : sequence of int
        The first byte of each, from `mlp.slab.place`.
    steps : Schedule
        Whose arrays these are.
    smallest : float
        A rectangle less high than this part of the slab has no name written on it; where the name is turned, this part
        for each letter.

    Returns
    -------
    Axes
        The same. Each rectangle has the array's name as its gid.

    Raises
    ------
    TypeError
        For no Axes, no Schedule.
    ValueError
        For more or fewer offsets than lives.
    """
    _check(ax, Axes, "ax")
    _check(steps, Schedule, "steps")
    if len(lives) != len(offsets):
        raise ValueError(f"offsets: expected {len(lives)}, one for each life, received {len(offsets)}")
    size = max((offset + life.nbytes for life, offset in zip(lives, offsets, strict=True)), default=0)
    for life, offset in zip(lives, offsets, strict=True):
        look = LOOKS[steps.kind(life.array)]
        length = life.last - life.first + 1
        ax.add_patch(
            Rectangle(
                (life.first - 0.5, offset),
                length,
                life.nbytes,
                facecolor=look.face,
                edgecolor=look.line,
                linewidth=0.8,
                gid=life.array,
            )
        )
        name, turned = label(life.array), length < 4
        room = smallest * size * (len(name) if turned else 1)  # a name that is turned needs room for its length
        if life.nbytes >= room and length > 1 and steps.kind(life.array) != "workspace":
            centre = (life.first - 0.5 + length / 2, offset + life.nbytes / 2)
            ax.annotate(name, centre, ha="center", va="center", rotation=90 if turned else 0, clip_on=True)
    _mark_turn(ax, steps)
    ax.set(xlim=(-0.5, len(steps) - 0.5), ylim=(0, 1.02 * max(size, 1)), xlabel="step", ylabel="address")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _bytes_axis(ax, "y")
    return ax


def plan(ax: Axes, steps: Schedule, whole: Chain) -> Axes:
    """A walk through a chain: time to the right, layers upwards.

    A column is a run of one layer, forward or back. A cell is filled while the value that the layer hands on exists.

    Parameters
    ----------
    ax : Axes
    steps : Schedule
        The chain's graph under a policy or a plan.
    whole : Chain
        From `mlp.checkpoint.chain`.

    Returns
    -------
    Axes
        The same. The filled cells are rectangles, whose gid is the array's name; the marks are three lines labelled
        ``"forward"``, ``"forward, again"`` and ``"backward"``.

    Raises
    ------
    TypeError
        For no Axes, no Schedule, no Chain.
    ValueError
        For a schedule of another graph.
    """
    _check(ax, Axes, "ax")
    _check(steps, Schedule, "steps")
    _check(whole, Chain, "whole")
    if steps.graph != whole.graph:
        raise ValueError(f"steps: expected a schedule of {whole.graph!r}, received one of {steps.graph!r}")
    turns = list(whole.runs(steps))
    column = {step: place for place, (first, last, _, _) in enumerate(turns) for step in range(first, last + 1)}
    look = LOOKS["kept"]
    for life in steps.lifetimes():
        if life.array in whole.values:
            left, right = column[life.first], column[life.last]
            ax.add_patch(
                Rectangle(
                    (left - 0.5, whole.values.index(life.array) + 0.5),
                    right - left + 1,
                    1,
                    facecolor=look.face,
                    edgecolor=look.line,
                    linewidth=0.8,
                    gid=life.array,
                )
            )
    marks: dict[str, dict[str, Any]] = {
        "forward": {"marker": "^", "color": FORWARD},
        "forward, again": {"marker": "^", "color": FORWARD, "markerfacecolor": "white"},
        "backward": {"marker": "v", "color": BACKWARD},
    }
    seen: set[int] = set()
    places: dict[str, list[tuple[int, int]]] = {what: [] for what in marks}
    for place, (_, _, phase, layer) in enumerate(turns):
        what = "backward" if phase == "backward" else "forward, again" if layer in seen else "forward"
        seen.add(layer)
        places[what].append((place, layer + 1))
    size = 6.0 if len(turns) < 50 else 4.0 if len(turns) < 90 else 2.5
    for what, found in places.items():
        if found:
            across, up = zip(*found, strict=True)
            ax.plot(across, up, linestyle="", markersize=size, label=what, **marks[what])
    ax.set(xlim=(-0.8, len(turns) - 0.2), ylim=(0.4, len(whole) + 0.6), xlabel="run of a layer", ylabel="layer")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def tradeoff(ax: Axes, plans: Mapping[str, Sequence[tuple[int, float]]], joined: Sequence[str] = ()) -> Axes:
    """What memory costs in time: a point for each plan, its peak to the right, its extra work upwards.

    Parameters
    ----------
    ax : Axes
    plans : mapping of str to sequence of (int, float)
        Families of plans by name; for each plan its peak in bytes and its extra work or time, in any unit.
    joined : sequence of str
        Families whose points are joined by steps: between two of its plans, the cheaper one that fits is the best.

    Returns
    -------
    Axes
        The same.

    Raises
    ------
    TypeError
        For no Axes.
    ValueError
        For a family to be joined that is not there.
    """
    _check(ax, Axes, "ax")
    missing = [name for name in joined if name not in plans]
    if missing:
        raise ValueError(f"joined: expected families among {listed(plans)}, received {listed(missing)}")
    for (name, points), (color, _, marker) in zip(plans.items(), _lines(len(plans)), strict=True):
        across, up = zip(*points, strict=True)
        line = {"linestyle": "-", "drawstyle": "steps-post", "linewidth": 1.2} if name in joined else {"linestyle": ""}
        ax.plot(across, up, marker=marker, markersize=5, color=color, label=name, **line)
    _bytes_axis(ax, "x")
    ax.set_xlabel("peak memory")
    return ax


def legend_of_kinds(kinds: Sequence[str] = KINDS) -> list[Patch]:
    """Handles for a legend: how each kind of array is filled."""
    return [
        Patch(facecolor=LOOKS[kind].face, edgecolor=LOOKS[kind].line, hatch=LOOKS[kind].hatch, label=kind)
        for kind in kinds
    ]


def _lines(count: int) -> list[tuple[str, str, str]]:
    return [LINES[number % len(LINES)] for number in range(count)]


def _bytes_axis(ax: Axes, which: str) -> None:
    axis = ax.yaxis if which == "y" else ax.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: bytes_text(round(value))))
    axis.set_minor_formatter(NullFormatter())


def _check(given: object, wanted: type, name: str) -> None:
    if not isinstance(given, wanted):
        whose = wanted.__module__.split(".")[0]
        article = "an" if whose == "mlp" else "a"
        raise TypeError(f"{name}: expected {article} {whose} {wanted.__name__}, received {type(given).__name__}")
