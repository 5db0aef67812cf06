"""Plots: what is drawn is read back from the artists, and must be what was found. No pixels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch

import mlp
from mlp import checkpoint, memory, plots
from mlp.slab import place


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure = Figure(figsize=(5.2, 3.2))
    yield figure.add_subplot()
    figure.canvas.draw()  # what cannot be drawn fails here


def deep(layers: int = 6, batch: int = 5, activation: str = "tanh") -> mlp.Graph:
    widths = [3, *range(4, 3 + layers), 2]
    return mlp.network(widths, batch=batch, activation=activation, weight_decay=0.1, bias=True)


def rectangles(ax: Axes) -> list[Rectangle]:
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def heights(ax: Axes) -> dict[str, list[float]]:
    """The height of each area of a stack at each event."""
    found = {}
    for patch in ax.patches:
        assert isinstance(patch, StepPatch)
        data = patch.get_data()
        found[str(patch.get_label())] = list(data.values - data.baseline)
    return found


# --- the timeline ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [None, "momentum", "adam"])
@pytest.mark.parametrize("policy", ["keep_all", "residuals"])
def test_the_areas_of_a_timeline_are_the_bytes_of_its_events(ax: Axes, policy: str, optimizer: str | None) -> None:
    found = memory.predict(deep(), policy, optimizer)
    drawn = heights(plots.timeline(ax, found))
    for kind in memory.KINDS:
        bytes_of_kind = [event.bytes[kind] for event in found.events]
        assert drawn.get(kind, [0] * len(found.events)) == bytes_of_kind


def test_the_areas_stand_on_each_other_and_reach_the_total(ax: Axes) -> None:
    found = memory.predict(deep(), "residuals", "adam")
    plots.timeline(ax, found)
    below = [0.0] * len(found.events)
    for patch in ax.patches:
        data = patch.get_data()
        assert list(data.baseline) == below
        below = list(data.values)
    assert below == [event.total for event in found.events]
    assert data.edges[0] == -0.5 and data.edges[-1] == len(found.events) - 0.5


def test_an_array_of_its_own_is_taken_out_of_its_kind(ax: Axes) -> None:
    graph = deep()
    found = memory.predict(graph, "residuals")
    drawn = heights(plots.timeline(ax, found, arrays=("h2", "dJ/dW1")))
    steps = mlp.schedule(graph, "residuals")
    for name, shown in (("h2", "h2"), ("dJ/dW1", "∂J/∂W1")):
        alive = [steps.nbytes(name) if name in steps.alive(i) else 0 for i in range(len(steps))]
        assert drawn[shown] == alive and any(alive)
    kept = [event.bytes["kept"] for event in found.events]
    assert [a + b for a, b in zip(drawn["kept"], drawn["h2"], strict=True)] == kept


def test_arrays_of_a_kind_are_parted_and_named(ax: Axes) -> None:
    graph = mlp.network([64] * 5, 256, "tanh", weight_decay=0.1)
    found = memory.predict(graph, "residuals")
    plots.timeline(ax, found, arrays=["h1"])
    held = {held.array for event in found.events for held in found.held(event.index)} - {"h1"}
    lines = {str(line.get_label())[1:]: list(line.get_ydata()) for line in ax.lines}
    assert held <= lines.keys() and "h1" not in lines
    steps = mlp.schedule(graph, "residuals")
    assert all((y == y) == (name in steps.alive(i)) for name in ("h2", "dJ/dW3") for i, y in enumerate(lines[name]))
    # In the middle: what is given, then h1 apart, J to the end, and on it h2, which goes last of the rest.
    middle = found.events[len(steps) // 2]
    given = middle.bytes["parameters"] + middle.bytes["inputs"]
    assert lines["h2"][middle.index] == given + sum(map(steps.nbytes, ("h1", "J", "h2")))
    assert {"h2", "h3"} <= {text.get_text() for text in ax.texts}


def test_arrays_of_a_deep_network_are_not_parted(ax: Axes) -> None:
    plots.timeline(ax, memory.predict(mlp.network([2] * 100)))
    assert len(ax.lines) < 3


def test_the_peak_is_marked_where_it_is(ax: Axes) -> None:
    found = memory.predict(deep(), "keep_all")
    plots.timeline(ax, found)
    (mark,) = [line for line in ax.lines if line.get_label() == "_peak"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (found.peak_event.index, found.peak)
    assert any(text.get_text() == f"peak {found.peak:,} B" for text in ax.texts)


def test_a_budget_is_crossed_at_the_first_event_beyond_it(ax: Axes) -> None:
    found = memory.predict(deep(), "keep_all")
    budget = found.events[4].total
    first = next(event for event in found.events if event.total > budget)
    plots.timeline(ax, found, budget=budget)
    (mark,) = [line for line in ax.lines if line.get_label() == "_out of memory"]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (first.index, budget)
    assert any(f"step {first.index}, {first.what}" in text.get_text() for text in ax.texts)
    (faded,) = rectangles(ax)
    assert (faded.get_x(), faded.get_x() + faded.get_width()) == (first.index + 0.5, found.events[-1].index + 0.5)


def test_a_budget_that_suffices_is_a_line_and_nothing_else(ax: Axes) -> None:
    found = memory.predict(deep(), "keep_all")
    plots.timeline(ax, found, budget=found.peak)
    assert not [line for line in ax.lines if line.get_label() == "_out of memory"]
    assert rectangles(ax) == []


def test_prediction_has_no_backward(ax: Axes) -> None:
    plots.timeline(ax, memory.predict(deep(), "predict"))
    assert [text.get_text().strip() for text in ax.texts if "ward" in text.get_text()] == []


# --- the ledger and the slab ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["keep_all", "residuals", "predict"])
def test_a_bar_of_the_ledger_is_as_long_as_the_array_lives(ax: Axes, policy: str) -> None:
    graph = deep(3)
    steps = mlp.schedule(graph, policy)
    plots.ledger(ax, steps)
    rows = [text.get_text() for text in ax.get_yticklabels()]
    for bar in rectangles(ax):
        name = str(bar.get_gid())
        alive = [step.index for step in steps if name in steps.alive(step.index)]
        assert (bar.get_x() + 0.5, bar.get_width()) == (alive[0], len(alive))
        assert rows[round(bar.get_y() + 0.35)] == plots.label(name)
    made = {name for step in steps for name in step.born}
    assert {bar.get_gid() for bar in rectangles(ax)} == made


def test_a_value_that_is_made_again_has_two_bars_in_one_row(ax: Axes) -> None:
    graph = deep(6)
    steps = mlp.schedule(graph, checkpoint.every(graph, 3))
    plots.ledger(ax, steps, ["h1", "h2"])
    assert len({bar.get_y() for bar in rectangles(ax) if bar.get_gid() == "h1"}) == 1
    assert len([bar for bar in rectangles(ax) if bar.get_gid() == "h1"]) == 2


def test_rectangles_of_the_slab_are_lives_at_their_addresses_and_do_not_overlap(ax: Axes) -> None:
    steps = mlp.schedule(deep(), "residuals")
    lives = steps.lifetimes()
    offsets, size = place(lives)
    plots.slab(ax, lives, offsets, steps)
    boxes = [(*box.get_xy(), box.get_width(), box.get_height()) for box in rectangles(ax)]
    assert boxes == [
        (life.first - 0.5, offset, life.last - life.first + 1, life.nbytes)
        for life, offset in zip(lives, offsets, strict=True)
    ]
    for number, (x, y, wide, high) in enumerate(boxes):
        for other_x, other_y, other_wide, other_high in boxes[:number]:
            beside = x >= other_x + other_wide or other_x >= x + wide
            assert beside or y >= other_y + other_high or other_y >= y + high
    assert ax.get_ylim()[1] >= size


def test_names_in_the_slab_do_not_stick_out(ax: Axes) -> None:
    """Those that are turned, in the picture of the chapter: as long as a rectangle is high."""
    steps = mlp.schedule(mlp.network([64, 128, 32, 96, 16, 64], 128, "tanh", weight_decay=1e-4), "residuals")
    lives = steps.lifetimes()
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.set_size_inches(5.2, 5.2)
    plots.slab(ax, lives, place(lives)[0], steps)
    figure.canvas.draw()
    turned = [text for text in ax.texts if text.get_rotation() == 90]
    assert {"z1", "∂J/∂h1"} <= {text.get_text() for text in turned}
    for text in turned:
        x, y = text.get_window_extent().get_points().mean(axis=0)
        around = next(box.get_window_extent() for box in rectangles(ax) if box.get_window_extent().contains(x, y))
        assert text.get_window_extent().height <= around.height + 1, text.get_text()


# --- sweeps, plans, and what they cost ------------------------------------------------------------------------------


def test_a_sweep_draws_predicted_lines_and_measured_points(ax: Axes) -> None:
    depths = [1, 2, 4]
    predicted = memory.sweep(lambda layers: mlp.network([3] * (layers + 1)), depths)
    measured = {"residuals": {2: 1234}}
    plots.sweep(ax, depths, predicted, measured, names={"residuals": "training"})
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines) == {"predict", "training", "keep_all", "_residuals, measured"}
    assert list(lines["training"].get_ydata()) == predicted["residuals"]
    assert list(lines["_residuals, measured"].get_xydata()[0]) == [2, 1234]
    assert lines["_residuals, measured"].get_color() == lines["training"].get_color()
    looks = {(line.get_color(), line.get_linestyle()) for name, line in lines.items() if not name.startswith("_")}
    assert len({style for _, style in looks}) == len(looks) == 3  # told apart without colour


def test_a_logarithmic_sweep_says_bytes_as_any_other(ax: Axes) -> None:
    plots.sweep(ax, [1, 1024], {"residuals": [1_000, 1_000_000]}, log=True)
    ax.figure.canvas.draw()
    said = [text.get_text() for text in ax.get_yticklabels()]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert {"1,000 B", "100 kB", "1 MB"} <= set(said)


@pytest.mark.parametrize(
    "make", [lambda graph: "residuals", checkpoint.sqrt, lambda graph: checkpoint.binomial(graph, 2)]
)
def test_cells_of_a_plan_are_filled_while_the_value_exists(ax: Axes, make) -> None:  # type: ignore[no-untyped-def]
    graph = deep(7)
    whole = checkpoint.chain(graph)
    steps = mlp.schedule(graph, make(graph))
    plots.plan(ax, steps, whole)
    marks = {
        str(line.get_label()): [(int(x), int(y)) for x, y in line.get_xydata()]
        for line in ax.lines
        if not str(line.get_label()).startswith("_")
    }
    turns = {x: (what, layer) for what, points in marks.items() for x, layer in points}
    assert sorted(turns) == list(range(len(turns)))
    assert [layer for what, layer in turns.values() if what == "forward"] == list(range(1, 8))
    assert [layer for what, layer in turns.values() if what == "backward"] == list(range(7, 0, -1))
    # Walk through the steps; whichever turn a step belongs to, the values alive in it are its filled cells.
    place, before = -1, None
    layer_of = {graph.equations[index].output: n + 1 for n, layer in enumerate(whole.layers) for index in layer}
    alive: dict[int, set[str]] = {}
    for step in steps:
        now = step.phase, layer_of[step.equation.output]
        place += now != before
        before = now
        assert turns[place][0].startswith(step.phase) and turns[place][1] == now[1]
        assert (turns[place][0] == "forward, again") == step.again
        alive.setdefault(place, set()).update(set(steps.alive(step.index)) & set(whole.values))
    for box in rectangles(ax):
        name = str(box.get_gid())
        assert box.get_y() == whole.values.index(name) + 0.5
        columns = range(round(box.get_x() + 0.5), round(box.get_x() + 0.5 + box.get_width()))
        for column in columns:
            alive[column].remove(name)
    assert not any(alive.values())


def test_a_plan_that_keeps_everything_runs_nothing_again(ax: Axes) -> None:
    graph = deep()
    plots.plan(ax, mlp.schedule(graph), checkpoint.chain(graph))
    assert {line.get_label() for line in ax.lines} == {"forward", "backward"}


def test_a_tradeoff_has_a_point_for_each_plan(ax: Axes) -> None:
    graph = deep()
    costs = [(choice.peak, choice.extra_flops) for choice in checkpoint.tradeoffs(graph)]
    plots.tradeoff(ax, {"optimal": costs, "sqrt": [(700, 3.5)]}, joined=["optimal"])
    optimal, sqrt = ax.lines
    assert [tuple(point) for point in optimal.get_xydata()] == costs
    assert (optimal.get_drawstyle(), sqrt.get_linestyle()) == ("steps-post", "None")
    assert optimal.get_marker() != sqrt.get_marker()


def test_kinds_are_told_apart_without_colour() -> None:
    hatches = [look.hatch for look in plots.LOOKS.values()]
    assert set(plots.LOOKS) == set(memory.KINDS) == set(plots.STACK)
    assert len(set(hatches)) == len(hatches)
    assert [patch.get_label() for patch in plots.legend_of_kinds(("kept",))] == ["kept"]


# --- bad input, and the import --------------------------------------------------------------------------------------


def test_what_is_no_axes_is_refused_everywhere() -> None:
    graph = deep()
    steps, whole = mlp.schedule(graph), checkpoint.chain(graph)
    for call in (
        lambda: plots.timeline(None, memory.predict(graph)),  # type: ignore[arg-type]
        lambda: plots.ledger(None, steps),  # type: ignore[arg-type]
        lambda: plots.sweep(None, [], {}),  # type: ignore[arg-type]
        lambda: plots.slab(None, [], [], steps),  # type: ignore[arg-type]
        lambda: plots.plan(None, steps, whole),  # type: ignore[arg-type]
        lambda: plots.tradeoff(None, {}),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="ax: expected a matplotlib Axes, received NoneType"):
            call()


def test_what_does_not_fit_is_named(ax: Axes) -> None:
    graph = deep()
    steps, found = mlp.schedule(graph), memory.predict(graph)
    with pytest.raises(TypeError, match="found: expected an mlp Timeline, received Schedule"):
        plots.timeline(ax, steps)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="arrays: expected arrays that exist at some step, received h99"):
        plots.timeline(ax, found, arrays=["h99"])
    with pytest.raises(ValueError, match="arrays: expected arrays that the engine makes, received x"):
        plots.ledger(ax, steps, ["x"])
    with pytest.raises(ValueError, match=r"predicted\['residuals'\]: expected 2 peaks, received 1"):
        plots.sweep(ax, [1, 2], {"residuals": [8]})
    with pytest.raises(ValueError, match="measured: expected policies among residuals, received predict"):
        plots.sweep(ax, [1], {"residuals": [8]}, {"predict": {1: 8}})
    with pytest.raises(ValueError, match="offsets: expected 0, one for each life, received 1"):
        plots.slab(ax, [], [0], steps)
    with pytest.raises(ValueError, match="steps: expected a schedule of"):
        plots.plan(ax, steps, checkpoint.chain(deep(3)))
    with pytest.raises(ValueError, match="joined: expected families among a, received b"):
        plots.tradeoff(ax, {"a": [(1, 0.0)]}, joined=["b"])


def test_matplotlib_is_imported_with_the_plots_and_not_before() -> None:
    code = """
import sys, mlp, mlp.memory, mlp.checkpoint
before = "matplotlib" in sys.modules
mlp.plots
print(before, "matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out == ["False", "True", "False"]
