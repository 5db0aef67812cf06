"""The update: what each optimiser does with a gradient, and what it must remember from step to step.

A rule changes the parameter in place. It may use the gradient's array as scratch, since the next pass writes it anew;
whatever else it needs is given to it, so that `mlp.memory` can count it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mlp.ops import Array, Shape


@dataclass(frozen=True)
class Optimizer:
    """One optimiser.

    Attributes
    ----------
    name : str
    rule : callable
        ``rule(step, param, gradient, *state, *work, **settings)`` updates ``param`` and ``state`` in place; ``step``
        counts from 1, and ``gradient`` is scratch afterwards. All arrays have the parameter's shape.
    state : tuple of str
        What is kept for each parameter from step to step; zeros at first.
    workspace : int
        Temporary arrays of the parameter's shape that the rule needs.
    """

    name: str
    rule: Callable[..., None]
    state: tuple[str, ...] = ()
    workspace: int = 0

    def start(self, shapes: Mapping[str, Shape], dtype: str) -> dict[str, list[Array]]:
        """The state before the first step: zeros for each parameter, by its name."""
        return {name: [np.zeros(shape, dtype) for _ in self.state] for name, shape in shapes.items()}

    def work(self, shapes: Mapping[str, Shape], dtype: str) -> list[Array]:
        """Temporary arrays, flat and long enough for the largest parameter."""
        largest = max((int(np.prod(shape)) for shape in shapes.values()), default=0)
        return [np.empty(largest, dtype) for _ in range(self.workspace)]

    def update(
        self,
        step: int,
        params: Mapping[str, Array],
        grads: Mapping[str, Array],
        state: Mapping[str, list[Array]],
        work: list[Array],
        **settings: float,
    ) -> None:
        """Update every parameter in place."""
        for name, param in params.items():
            shaped = [flat[: param.size].reshape(param.shape) for flat in work]
            self.rule(step, param, grads[name], *state[name], *shaped, **settings)


def sgd_rule(step: int, param: Array, gradient: Array, *, lr: float) -> None:
    """``W -= lr * gradient``."""
    np.multiply(gradient, lr, out=gradient)
    np.subtract(param, gradient, out=param)


def momentum_rule(step: int, param: Array, gradient: Array, velocity: Array, *, lr: float, momentum: float) -> None:
    """``v = momentum * v + gradient; W -= lr * v`` (Polyak, 1964, as in PyTorch)."""
    np.multiply(velocity, momentum, out=velocity)
    np.add(velocity, gradient, out=velocity)
    np.multiply(velocity, lr, out=gradient)
    np.subtract(param, gradient, out=param)


def adam_rule(
    step: int,
    param: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    work: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """Running means of the gradient and of its square, both made unbiased (Kingma and Ba, 2015, algorithm 1)."""
    np.multiply(gradient, gradient, out=work)
    np.subtract(work, square, out=work)
    np.multiply(work, 1 - beta2, out=work)
    np.add(square, work, out=square)
    np.subtract(gradient, mean, out=gradient)
    np.multiply(gradient, 1 - beta1, out=gradient)
    np.add(mean, gradient, out=mean)
    np.divide(square, 1 - beta2**step, out=work)
    np.sqrt(work, out=work)
    np.add(work, epsilon, out=work)
    np.divide(mean, 1 - beta1**step, out=gradient)
    np.multiply(gradient, lr, out=gradient)
    np.divide(gradient, work, out=gradient)
    np.subtract(param, gradient, out=param)


#: The optimisers by name.
#:
#: :meta hide-value:
OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": Optimizer("sgd", sgd_rule),
    "momentum": Optimizer("momentum", momentum_rule, state=("velocity",)),
    "adam": Optimizer("adam", adam_rule, state=("mean", "square"), workspace=1),
}
