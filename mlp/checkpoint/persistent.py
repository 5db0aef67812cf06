"""The least work at each peak by dynamic programming, for chains of any length.

Among walks in which a value that is kept stays until backward has passed it (Beaumont et al., 2019: persistent
schedules): then what is left to do falls into parts, and the best ways through a part are found once.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

from mlp.checkpoint.layers import Layer, Sizes
from mlp.checkpoint.options import Option, undominated


def persistent(sizes: Sizes) -> list[Option]:
    """The best ways to take the whole chain forward for the first time, and back."""
    layers, tail_peak, done = sizes
    again = _Again(layers)
    count = len(layers)
    # best[e]: from layer i on, its input forgotten on the way back (0) or kept (1)
    best = {count: tuple([Option(0, peak, (("tail", 0),))] for peak in tail_peak)}
    for i in reversed(range(count)):
        layer = layers[i]
        gradients = list(accumulate([0, *(layer.gradients for layer in reversed(layers[i:]))]))
        found: tuple[list[Option], list[Option]] = ([], [])
        for e in (0, 1):
            for rest in best[i + 1][layer.reads_value]:
                peak = max(
                    layer.keep_peak,
                    layer.source + layer.inside + rest.peak,
                    done + gradients[count - i - 1] + layer.back_peak[e],
                )
                found[e].append(Option(rest.flops, peak, (("run", 0), (1, rest.walk), ("back", 0))))
            passing = layer.hold_peak
            for k in range(i + 1, count + 1):
                if k > i + 1:
                    passing = max(passing, layer.source + layers[k - 1].pass_peak)
                steps = tuple(("run", number) for number in range(k - i))
                for kept in (0, 1) if layers[k - 1].reads_value else (0,):
                    born = done + gradients[count - k]
                    for rest, back in _pairs(best[k][kept], layer.source, again.best(i, k, kept, e), born):
                        peak = max(passing, layer.source + rest.peak, born + back.peak)
                        walk = (*steps, (k - i, rest.walk), (0, back.walk))
                        found[e].append(Option(rest.flops + back.flops, peak, walk))
        best[i] = (undominated(found[0]), undominated(found[1]))
    return best[0][0]


class _Again:
    """The best ways to take a part of a chain back a second time, from the input of its first layer.

    A part is some of the layers, without the tail. The cotangent of its value is there, the value itself may be.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._alike: dict[tuple[int, int], int] = {}  # parts of equal layers share a number, and their options
        numbers: dict[tuple[int, Layer], int] = {}
        for i in range(len(layers)):
            number = -1
            for j in range(i, len(layers)):
                number = numbers.setdefault((number, layers[j]), len(numbers))
                self._alike[i, j + 1] = number
        self._found: dict[tuple[int, int, int], list[Option]] = {}
        for length in range(1, len(layers) + 1):
            for i in range(len(layers) - length + 1):
                for there in (0, 1) if layers[i + length - 1].reads_value else (0,):
                    for kept in (0, 1):
                        key = (self._alike[i, i + length], there, kept)
                        if key not in self._found:
                            self._found[key] = undominated(self._options(i, i + length, there, kept))

    def best(self, i: int, j: int, there: int, kept: int) -> list[Option]:
        """Layers i to before j; ``there``: its value is still held; ``kept``: its input is held to the end."""
        return self._found[self._alike[i, j], there, kept]

    def _options(self, i: int, j: int, there: int, kept: int) -> Iterator[Option]:
        layer, last = self._layers[i], self._layers[j - 1]
        beside = last.value * (1 + there)  # the cotangent, and the value
        if j == i + 1:
            if there:
                peak = max(last.value + layer.refill_peak, layer.back_peak[kept])
                yield Option(layer.refill_flops, peak, (("refill", 0), ("back", 0)))
            else:
                peak = max(last.value + layer.tape_peak, layer.back_peak[kept])
                yield Option(layer.tape_flops, peak, (("tape", 0), ("back", 0)))
            return
        gradients = sum(other.gradients for other in self._layers[i + 1 : j])
        for rest in self.best(i + 1, j, there, layer.reads_value):
            peak = max(
                beside + layer.keep_peak,
                layer.source + layer.inside + rest.peak,
                gradients + layer.back_peak[kept],
            )
            yield Option(layer.flops + rest.flops, peak, (("run", 0), (1, rest.walk), ("back", 0)))
        passing, flops = layer.hold_peak, 0
        for k in range(i + 1, j):
            through = self._layers[k - 1]
            flops += through.flops
            if k > i + 1:
                passing = max(passing, layer.source + through.pass_peak)
                gradients -= through.gradients
            steps = tuple(("run", number) for number in range(k - i))
            for held in (0, 1) if through.reads_value else (0,):
                for rest, back in _pairs(
                    self.best(k, j, there, held), layer.source, self.best(i, k, held, kept), gradients
                ):
                    peak = max(beside + passing, layer.source + rest.peak, gradients + back.peak)
                    walk = (*steps, (k - i, rest.walk), (0, back.walk))
                    yield Option(flops + rest.flops + back.flops, peak, walk)


def _pairs(
    ones: Sequence[Option], beside_ones: int, others: Sequence[Option], beside_others: int
) -> Iterator[tuple[Option, Option]]:
    """Of two walks, one after the other, the pairs worth having: at each peak, the least work of both."""
    peaks = sorted({one.peak + beside_ones for one in ones} | {other.peak + beside_others for other in others})
    a = b = -1
    for peak in peaks:
        while a + 1 < len(ones) and ones[a + 1].peak + beside_ones <= peak:
            a += 1
        while b + 1 < len(others) and others[b + 1].peak + beside_others <= peak:
            b += 1
        if a >= 0 and b >= 0:
            yield ones[a], others[b]
