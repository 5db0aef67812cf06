"""What each layer of a chain takes: bytes at most, run in one way or another, and floating-point operations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mlp.checkpoint.chains import Chain, flops_of
from mlp.steps import Step, cotangent_name, schedule


@dataclass(frozen=True)
class Layer:
    """What one layer takes: bytes, and operations. Layers that are alike are equal.

    A peak counts the layer's input and, backward, the cotangent of its value; not what others hold meanwhile.
    """

    source: int  # bytes of its input, 0 where that is the caller's
    value: int  # bytes of what it hands on, and of that value's cotangent
    inside: int  # bytes that its rules read backward, besides its input and its value
    gradients: int  # bytes of the gradients that are born when it goes back
    reads_value: bool  # whether its own rules read its value
    flops: int  # run whole
    tape_flops: int  # run only as far as its rules need
    refill_flops: int  # the same, where its value is still there
    pass_peak: int  # run, its input forgotten on the way
    hold_peak: int  # run, its input kept
    keep_peak: int  # run, everything kept that its rules read
    tape_peak: int
    refill_peak: int
    back_peak: tuple[int, int]  # go back, its input forgotten on the way; its input kept


class Meter:
    """Runs steps in thought, and says how many bytes exist at most."""

    def __init__(self, whole: Chain) -> None:
        self.whole = whole
        self.given = frozenset(whole.graph.given)
        self.steps = schedule(whole.graph, "residuals")
        self.results = {whole.graph.objective, *(cotangent_name(whole.graph, p) for p in whole.graph.parameters)}
        self._by_equation: dict[tuple[str, str], list[Step]] = {}
        for step in self.steps:
            self._by_equation.setdefault((step.phase, step.equation.output), []).append(step)

    def run(self, phase: str, equations: Iterable[int]) -> list[Step]:
        """The steps of some equations."""
        outputs = [self.whole.graph.equations[index].output for index in equations]
        return [step for output in outputs for step in self._by_equation.get((phase, output), [])]

    def nbytes(self, names: Iterable[str]) -> int:
        """Bytes of what the engine makes among some arrays."""
        return sum(self.steps.nbytes(name) for name in names if name not in self.given)

    def born(self, steps: Sequence[Step]) -> int:
        """Bytes of the results that are born, and stay."""
        return self.nbytes(name for step in steps for name in step.born if name in self.results)

    def peak(self, steps: Sequence[Step], held: Iterable[str], until: Iterable[str]) -> int:
        """The most bytes while the steps run: from what is held at first, keeping ``until`` to the end."""
        kept = set(until)
        last = {name: i for i, step in enumerate(steps) for name in (*step.reads, *step.writes)}
        alive = {name for name in held if name not in self.given}
        now = most = self.nbytes(alive)
        for i, step in enumerate(steps):
            for name in {*step.reads, *step.writes} - alive - self.given:
                if name not in self.results or name in step.born:
                    alive.add(name)
                    now += self.steps.nbytes(name)
            most = max(most, now + sum(map(self.steps.nbytes, step.workspace)))
            for name in [name for name in alive if last.get(name, -1) <= i and name not in kept | self.results]:
                alive.remove(name)
                now -= self.steps.nbytes(name)
        return most

    def layer(self, number: int) -> Layer:
        """Measure one layer that is not the tail."""
        whole, equations = self.whole, self.whole.layers[number]
        saved, tape, refill = whole.needs(number)
        value = whole.values[number]
        source = {whole.values[number - 1]} if number else set[str]()
        delta = {cotangent_name(whole.graph, value)}
        there = {cotangent_name(whole.graph, name) for name in source}
        forward, back = self.run("forward", equations), self.run("backward", reversed(equations))

        def flops(chosen: Iterable[int]) -> int:
            return sum(flops_of(whole.graph, whole.graph.equations[index].output) for index in chosen)

        return Layer(
            source=self.nbytes(source),
            value=self.nbytes([value]),
            inside=self.nbytes(saved - source - {value}),
            gradients=self.born(back),
            reads_value=value in saved,
            flops=flops(equations),
            tape_flops=flops(tape),
            refill_flops=flops(refill),
            pass_peak=self.peak(forward, source, {value}),
            hold_peak=self.peak(forward, source, {value} | source),
            keep_peak=self.peak(forward, source, saved | {value} | source),
            tape_peak=self.peak(self.run("forward", sorted(tape)), source, saved | source),
            refill_peak=self.peak(self.run("forward", sorted(refill)), source | {value}, saved | source | {value}),
            back_peak=(
                self.peak(back, source | saved | delta, there),
                self.peak(back, source | saved | delta, there | source),
            ),
        )


class Sizes(NamedTuple):
    """A chain in numbers."""

    layers: list[Layer]  # without the tail
    tail_peak: tuple[int, int]  # the tail, forward and back, its input forgotten on the way; its input kept
    done: int  # bytes of the results that are there after the tail


def measured(whole: Chain) -> Sizes:
    """Take the measure of every layer and of the tail, without running anything."""
    meter = Meter(whole)
    tail = meter.run("forward", whole.layers[-1]) + meter.run("backward", reversed(whole.layers[-1]))
    source, there = whole.values[-1], cotangent_name(whole.graph, whole.values[-1])
    peaks = [meter.peak(tail, [source], until) for until in ([there], [there, source])]
    layers = [meter.layer(number) for number in range(len(whole) - 1)]
    return Sizes(layers, (peaks[0], peaks[1]), meter.born(tail))
