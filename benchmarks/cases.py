"""The networks that are compared, what everybody must compute for them, and how fast `mlp` is meant to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np

import mlp
from mlp.ops import Array

SEED = 0
# No biases, and everybody computes in float32. The activation is smooth: of the millions of relu units in a
# large case some would lie so near to 0 that rounding decides whether they pass, and then the gradients of two right
# programs differ by 0.1 %, as much as those of a wrong one.
ACTIVATION = "tanh"
# By how much a gradient may differ from the one in float64, in parts of its largest entry.
TOLERANCE = 5e-5

Gradients = Mapping[str, Array]


@dataclass(frozen=True)
class Case:
    """One network and one batch.

    Attributes
    ----------
    name : str
        What the case is called, everywhere.
    widths : tuple of int
        Entries of an example, units of each layer.
    batch : int
        Examples, one a column.
    loss : str
        ``"squared_error"`` or ``"cross_entropy"``.
    weight_decay : float
        λ; where it is 0, J is the loss alone, and nobody computes the regulariser.
    bounds : mapping of str to float
        From a contender's name to the most that the time of `mlp` may be, in parts of the contender's.
    """

    name: str
    widths: tuple[int, ...]
    batch: int
    loss: str = "squared_error"
    weight_decay: float = 0.0
    bounds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def units(self) -> int:
        """Units in all layers; inputs are not counted."""
        return sum(self.widths[1:])

    def graph(self, dtype: str = "float32") -> mlp.Graph:
        """The network as `mlp` has it."""
        return mlp.network(self.widths, self.batch, ACTIVATION, self.loss, self.weight_decay, dtype=dtype)

    def values(self) -> dict[str, Array]:
        """Inputs, targets and weights, the same for everybody: x (d, n), y (q, n), W1 (m, d), …"""
        rng = np.random.default_rng(SEED)
        x = rng.standard_normal((self.widths[0], self.batch), np.float32)
        if self.loss == "cross_entropy":
            y = np.eye(self.widths[-1], dtype=np.float32)[:, rng.integers(self.widths[-1], size=self.batch)]
        else:
            y = rng.standard_normal((self.widths[-1], self.batch), np.float32)
        return {**self.graph().init(SEED), "x": x, "y": np.ascontiguousarray(y)}

    def reference(self) -> tuple[float, Gradients]:
        """J and the gradients at these values, computed in float64."""
        exact = {name: array.astype(np.float64) for name, array in self.values().items()}
        return mlp.value_and_grad(self.graph("float64"), exact)


def layers(case: Case) -> tuple[str, ...]:
    """The names of the weights, first layer first."""
    return tuple(f"W{k}" for k in range(1, len(case.widths)))


def disagreement(result: tuple[float | None, Gradients], reference: tuple[float, Gradients]) -> float:
    """The largest difference between a contender's result and the reference, in parts of the largest entry.

    Parameters
    ----------
    result : tuple of float or None, and mapping of str to ndarray
        J (None for who does not compute it) and a gradient for each weight.
    reference : tuple of float, and mapping of str to ndarray
        The same in float64.

    Returns
    -------
    float
        Over J and all gradients. Infinite for a gradient that is missing, of another shape or not finite.
    """
    (J, gradients), (expected, exact) = result, reference
    differences = [] if J is None else [abs(J - expected) / abs(expected)]
    if gradients.keys() != exact.keys():
        return np.inf
    for name, gradient in gradients.items():
        if gradient.shape != exact[name].shape:
            return np.inf
        differences.append(np.abs(gradient - exact[name]).max() / np.abs(exact[name]).max())
    worst = float(np.max(differences))  # NaN if any is, where Python's own max may pass it over
    return worst if np.isfinite(worst) else np.inf


# What must hold in every case, and what holds for the smallest networks.
EVERYWHERE = {"torch": 1.0, "jax": 1.0, "numpy": 1.0, "autograd": 1.0}
SMALL = EVERYWHERE | {"torch": 0.25, "jax-device": 1.3}
bounded = partial(lambda base, **bounds: MappingProxyType(base | bounds))

CASES = (
    Case("one example, 3-4-2", (3, 4, 2), 1, bounds=bounded(SMALL)),
    Case("4-8-2, batch 1", (4, 8, 2), 1, bounds=bounded(SMALL)),
    Case("4-8-2, batch 1, λ > 0", (4, 8, 2), 1, weight_decay=1e-3, bounds=bounded(SMALL)),
    Case("4-8-2, batch 16", (4, 8, 2), 16, bounds=bounded(SMALL)),
    Case("784-256-10, batch 1", (784, 256, 10), 1, "cross_entropy", bounds=bounded(EVERYWHERE)),
    Case("784-256-10, batch 64", (784, 256, 10), 64, "cross_entropy", bounds=bounded(EVERYWHERE, products=1.2)),
    Case("784-256-10, batch 64, λ > 0", (784, 256, 10), 64, "cross_entropy", 1e-3, bounded(EVERYWHERE, products=1.2)),
    Case("784-256-10, batch 512", (784, 256, 10), 512, "cross_entropy", bounds=bounded(EVERYWHERE, products=1.08)),
    Case("200 × 64, batch 64", (64,) * 201, 64, bounds=bounded(EVERYWHERE)),
    Case("8 × 512, batch 256", (512,) * 9, 256, bounds=bounded(EVERYWHERE, products=1.08)),
    Case("6 × 1024, batch 1024", (1024,) * 7, 1024, bounds=bounded(EVERYWHERE, products=1.08)),
)
