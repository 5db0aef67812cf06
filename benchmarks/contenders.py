"""The contenders: for one case, each builds a function that takes one step, J and all gradients.

All are written the same way round, W x, with a column for each example, and are given the same arrays. Every library is
imported by its own contender alone, since each runs in a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from types import MappingProxyType
from typing import Any

import numpy as np

import mlp
from benchmarks.cases import Case, Gradients, layers
from benchmarks.clock import seconds
from mlp.ops import Array

Values = Mapping[str, Array]
Result = tuple[float | None, Gradients]


@dataclass(frozen=True)
class Step:
    """One training step without the update.

    Attributes
    ----------
    take : callable
        What is timed: computes J and all gradients, and returns when they are there, in its library's own form.
    read : callable
        From what ``take`` returned to J (None for who does not compute it) and the gradients as NumPy arrays.
    """

    take: Callable[[], Any]
    read: Callable[[Any], Result]


@dataclass(frozen=True)
class Contender:
    """Who competes: its label, how it builds a step, the packages whose versions matter, up to which size it goes."""

    label: str
    build: Callable[[Case, Values], Step]
    packages: tuple[str, ...] = ("numpy",)
    largest: float = float("inf")  # multiplications in one forward pass


# --- NumPy ----------------------------------------------------------------------------------------------------------


def prepared(case: Case, values: Values) -> Step:
    """`mlp.prepare`, called with the same arrays again and again."""
    run = mlp.prepare(case.graph())
    return Step(lambda: run(values), lambda result: result)


def prepared_fresh(case: Case, values: Values) -> Step:
    """`mlp.prepare` as training calls it: every call brings inputs and targets that it has to check first."""
    run = mlp.prepare(case.graph())
    batches = cycle([values, {**values, "x": values["x"].copy(), "y": values["y"].copy()}])
    return Step(lambda: run(next(batches)), lambda result: result)


def plain_numpy(case: Case, values: Values) -> Step:
    """As one writes it by hand from the formulas, for any depth."""
    x, y, n, decay = values["x"], values["y"], case.batch, case.weight_decay
    weights = [values[name] for name in layers(case)]

    def step() -> tuple[float, list[Array]]:
        inputs, h = [], x
        for W in weights[:-1]:
            inputs.append(h)
            h = np.tanh(W @ h)
        inputs.append(h)
        o = weights[-1] @ h
        if case.loss == "cross_entropy":
            e = np.exp(o - o.max(axis=0))
            p = e / e.sum(axis=0)
            L = -np.log(p[y == 1]).sum() / n
            delta = (p - y) / n
        else:
            L = ((o - y) ** 2).sum() / (2 * n)
            delta = (o - y) / n
        s = decay / 2 * sum((W**2).sum() for W in weights) if decay else 0.0
        gradients = []
        for W, h in zip(reversed(weights), reversed(inputs), strict=True):
            gradient = delta @ h.T
            gradients.append(gradient + decay * W if decay else gradient)
            if h is not x:
                delta = (W.T @ delta) * (1 - h**2)
        return float(L + s), gradients[::-1]

    return Step(step, lambda result: (result[0], dict(zip(layers(case), result[1], strict=True))))


def operands(case: Case, values: Values) -> Iterator[tuple[str, Array, Array]]:
    """The matrix products that this step cannot avoid, with the very numbers that it multiplies.

    Forward, W h; backward, the share of each weight's gradient δ hᵀ and, but for the first layer, the cotangent Wᵀ δ.

    Yields
    ------
    tuple of str, ndarray, ndarray
        The name of the product, as the trace has it, and its two factors.
    """
    graph = case.graph()
    trace = mlp.trace(graph, values)
    products = [equation for equation in graph.equations if equation.op == "matmul"]
    array = {name: np.copy(trace[name]) for e in products for name in (*e.inputs, f"dJ/d{e.output}")}
    for equation in products:
        W, h = equation.inputs
        yield equation.output, array[W], array[h]
    for equation in reversed(products):
        (W, h), delta = equation.inputs, array[f"dJ/d{equation.output}"]
        yield f"dJ/d{W}", delta, array[h].T
        if h != "x":
            yield f"dJ/d{h}", array[W].T, delta


def quickest_product(a: Array, b: Array, out: Array) -> Callable[[Array, Array, Array], Any]:
    """NumPy's quickest way to this product: `matmul` and `dot` differ, and an outer product can be a broadcast."""
    ways: list[Callable[[Array, Array, Array], Any]] = [np.matmul, np.dot]
    if a.shape[1] == 1:
        ways.append(np.multiply)
    return min(ways, key=lambda way: seconds(lambda: way(a, b, out)))


def bare_products(case: Case, values: Values) -> Step:
    """The bound: these products, outputs allocated beforehand, and nothing else."""
    products, outputs = [], {}
    for name, a, b in operands(case, values):
        out = outputs[name] = np.empty((a.shape[0], b.shape[1]), np.float32)
        products.append((quickest_product(a, b, out), a, b, out))

    def step() -> None:
        for product, a, b, out in products:
            product(a, b, out)

    return Step(step, lambda _: with_decay(case, values, outputs))


def with_decay(case: Case, values: Values, outputs: Values) -> Result:
    """The products' own check: the weights' shares of the gradient, and λW, are the gradient."""
    return None, {name: outputs[f"dJ/d{name}"] + case.weight_decay * values[name] for name in layers(case)}


# --- the frameworks -------------------------------------------------------------------------------------------------


def torch_eager(case: Case, values: Values) -> Step:
    """PyTorch, eager, on the processor; its tensors share the caller's memory."""
    import torch
    from torch.nn import functional

    tensor = {name: torch.from_numpy(array) for name, array in values.items()}
    x, y, n, decay = tensor["x"], tensor["y"], case.batch, case.weight_decay
    weights = [tensor[name].requires_grad_() for name in layers(case)]

    def step() -> Any:
        h = x
        for W in weights[:-1]:
            h = torch.tanh(W @ h)
        o = weights[-1] @ h
        if case.loss == "cross_entropy":
            L = functional.cross_entropy(o.T, y.T)
        else:
            L = functional.mse_loss(o, y, reduction="sum") / (2 * n)
        J = L + decay / 2 * sum(W.square().sum() for W in weights) if decay else L
        return J, torch.autograd.grad(J, weights)

    def read(result: Any) -> Result:
        J, gradients = result
        return J.item(), {name: g.numpy() for name, g in zip(layers(case), gradients, strict=True)}

    return Step(step, read)


def torch_products(case: Case, values: Values) -> Step:
    """The bare products once more, by PyTorch's matrix library."""
    import torch

    products, outputs = [], {}
    for name, a, b in operands(case, values):
        out = outputs[name] = np.empty((a.shape[0], b.shape[1]), np.float32)
        products.append([torch.from_numpy(array) for array in (a, b, out)])

    def step() -> None:
        for a, b, out in products:
            torch.mm(a, b, out=out)

    return Step(step, lambda _: with_decay(case, values, outputs))


def jax_objective(case: Case) -> Callable[..., Any]:
    """J as a function of weights, inputs and targets, and its gradient, compiled."""
    import jax
    import jax.numpy as jnp

    def objective(weights: Any, x: Any, y: Any) -> Any:
        h = x
        for W in weights[:-1]:
            h = jnp.tanh(W @ h)
        o = weights[-1] @ h
        if case.loss == "cross_entropy":
            L = -jnp.sum(y * jax.nn.log_softmax(o, axis=0)) / case.batch
        else:
            L = jnp.sum((o - y) ** 2) / (2 * case.batch)
        return L + case.weight_decay / 2 * sum(jnp.sum(W**2) for W in weights) if case.weight_decay else L

    compiled: Callable[..., Any] = jax.jit(jax.value_and_grad(objective))
    return compiled


def read_list(case: Case) -> Callable[[Any], Result]:
    """J and a list of arrays, one for each weight."""
    return lambda result: (
        float(result[0]),
        {name: np.asarray(g) for name, g in zip(layers(case), result[1], strict=True)},
    )


def jax_numpy(case: Case, values: Values) -> Step:
    """JAX, compiled, called with the caller's NumPy arrays like everybody else."""
    import jax

    compiled = jax_objective(case)
    weights, x, y = [values[name] for name in layers(case)], values["x"], values["y"]
    return Step(lambda: jax.block_until_ready(compiled(weights, x, y)), read_list(case))


def jax_device(case: Case, values: Values) -> Step:
    """JAX, compiled, with all arrays already on its device."""
    import jax

    compiled = jax_objective(case)
    on_device: Any = jax.device_put(([values[name] for name in layers(case)], values["x"], values["y"]))
    return Step(lambda: jax.block_until_ready(compiled(*on_device)), read_list(case))


def hips_autograd(case: Case, values: Values) -> Step:
    """HIPS autograd: records NumPy's own operations, then goes back through them."""
    import autograd
    from autograd import numpy as anp

    def objective(weights: Any, x: Any, y: Any) -> Any:
        h = x
        for W in weights[:-1]:
            h = anp.tanh(anp.dot(W, h))
        o = anp.dot(weights[-1], h)
        if case.loss == "cross_entropy":
            L = (anp.sum(anp.log(anp.sum(anp.exp(o), axis=0))) - anp.sum(y * o)) / case.batch
        else:
            L = anp.sum((o - y) ** 2) / (2 * case.batch)
        return L + case.weight_decay / 2 * sum(anp.sum(W**2) for W in weights) if case.weight_decay else L

    with_gradient = autograd.value_and_grad(objective)
    weights, x, y = [values[name] for name in layers(case)], values["x"], values["y"]
    return Step(lambda: with_gradient(weights, x, y), read_list(case))


def micrograd_scalars(case: Case, values: Values) -> Step:
    """micrograd: every number is a Python object, every product a node of the graph. It has no tanh of its own."""
    from micrograd.engine import Value

    def tanh(z: Any) -> Any:
        h = Value(math.tanh(z.data), (z,), "tanh")

        def backward() -> None:
            z.grad += (1 - h.data**2) * h.grad

        h._backward = backward
        return h

    if case.loss != "squared_error":
        raise ValueError(f"loss: micrograd has no logarithm, expected 'squared_error', received {case.loss!r}")
    start = [values[name].tolist() for name in layers(case)]
    x, y = values["x"].T.tolist(), values["y"].T.tolist()

    def step() -> Any:
        weights = [[[Value(w) for w in row] for row in W] for W in start]
        total: Any = 0.0
        for example, target in zip(x, y, strict=True):
            h: list[Any] = example
            for W in weights[:-1]:
                h = [tanh(dot(row, h)) for row in W]
            total += sum((dot(row, h) - t) ** 2 for row, t in zip(weights[-1], target, strict=True))
        J = total / (2 * case.batch)
        if case.weight_decay:
            J += sum(w**2 for W in weights for row in W for w in row) * (case.weight_decay / 2)
        J.backward()
        return J.data, [np.array([[w.grad for w in row] for row in W]) for W in weights]

    return Step(step, read_list(case))


def dot(row: list[Any], column: list[Any]) -> Any:
    """The scalar product of two lists."""
    return sum((w * h for w, h in zip(row, column, strict=True)), start=0.0)


CONTENDERS: Mapping[str, Contender] = MappingProxyType(
    {
        "mlp": Contender("mlp", prepared),
        "mlp-fresh": Contender("mlp, new minibatch each call", prepared_fresh),
        "products": Contender("bare matrix products, NumPy", bare_products),
        "torch-products": Contender("bare matrix products, PyTorch", torch_products, ("torch",)),
        "numpy": Contender("plain NumPy", plain_numpy),
        "torch": Contender("PyTorch, eager", torch_eager, ("torch",)),
        "jax": Contender("JAX, jit, NumPy arrays", jax_numpy, ("jax", "jaxlib")),
        "jax-device": Contender("JAX, jit, arrays on its device", jax_device, ("jax", "jaxlib")),
        "autograd": Contender("HIPS autograd", hips_autograd, ("autograd",)),
        "micrograd": Contender("micrograd", micrograd_scalars, ("micrograd",), largest=1000),
    }
)
