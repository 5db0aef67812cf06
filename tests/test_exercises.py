"""The checks of the exercises: right answers pass, typical wrong ones are told their mistake, bad ones what is bad."""

from __future__ import annotations

import ast
import html
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

import mlp
import mlp.tangents
from mlp.exercises import check
from mlp.exercises.judge import Both, Code, Value
from mlp.exercises.table import EXERCISES, SIZES

Answer = Callable[..., Any]


def softmax(o: np.ndarray) -> np.ndarray:
    e = np.exp(o - o.max(axis=0))
    return e / e.sum(axis=0)


# --- what a reader writes: plain NumPy, which shares nothing with the engine that says what is expected ------------


def forward(x, W1, W2):
    z = W1 @ x
    h = np.maximum(z, 0)
    return z, h, W2 @ h


def objective(o, y, W1, W2, lam):
    L = ((o - y) ** 2).sum() / (2 * o.shape[1])
    s = lam / 2 * ((W1**2).sum() + (W2**2).sum())
    return L, s, L + s


def grad_W2(h, o, y, W2, lam):
    return (o - y) / h.shape[1] @ h.T + lam * W2


def grad_W1(x, y, W1, W2, lam):
    h = np.tanh(W1 @ x)
    delta = (W2 @ h - y) / x.shape[1]
    return W2.T @ delta * (1 - h**2) @ x.T + lam * W1


def backward_bias(x, y, W1, b1, W2, b2, lam):
    h = np.tanh(W1 @ x + b1)
    o = (W2 @ h + b2 - y) / x.shape[1]
    z = W2.T @ o * (1 - h**2)
    return z @ x.T + lam * W1, z.sum(axis=1, keepdims=True), o @ h.T + lam * W2, o.sum(axis=1, keepdims=True)


def rows(X, Y, W1, W2, lam):
    H = np.tanh(X @ W1)
    delta = (H @ W2 - Y) / len(X)
    return X.T @ (delta @ W2.T * (1 - H**2)) + lam * W1, H.T @ delta + lam * W2


def long_way(x, w):
    slope, h = 1.0, x
    for weight in w:
        h = np.tanh(weight * h)
        slope *= weight * (1 - h**2)
    return slope


def differences(J, W, h):
    slopes = np.zeros(W.shape)
    for index in np.ndindex(W.shape):
        e = np.zeros(W.shape)
        e[index] = h
        slopes[index] = (J(W + e) - J(W - e)) / (2 * h)
    return slopes


def update(x, y, W1, W2, lam, lr):
    h = np.tanh(W1 @ x)
    delta = (W2 @ h - y) / x.shape[1]
    grad1 = W2.T @ delta * (1 - h**2) @ x.T + lam * W1
    return W1 - lr * grad1, W2 - lr * (delta @ h.T + lam * W2)


def accumulation(shares, sizes, W, lam):
    total = np.zeros(W.shape)
    for share, size in zip(shares, sizes, strict=True):
        total += share * size / sum(sizes)
    return total + lam * W


def evaluator(equations):
    slope = {equations[-1][0]: 1}
    for output, left, right in reversed(equations):
        for name in (left, right):
            slope[name] = slope.get(name, 0) + slope[output]
    return slope["a"]


def count_bytes(widths, n):
    weights = sum(a * b for a, b in pairwise(widths))
    return 8 * weights, 8 * n * sum(widths[1:-1])


def checkpointed(layer, vjp, x, weights, delta, k):
    starts, h = {}, x
    for i, W in enumerate(weights):
        if i % k == 0:
            starts[i] = h
        h = layer(W, h)
    del h
    grads = [None] * len(weights)
    for start in sorted(starts, reverse=True):
        values = [starts.pop(start)]
        for W in weights[start : start + k]:
            values.append(layer(W, values[-1]))
        for i in reversed(range(start, start + len(values) - 1)):
            after = values.pop()
            grads[i], delta = vjp(weights[i], values[-1], after, delta)
    return grads


def keeps_everything(layer, vjp, x, weights, delta, k):
    values = [x]
    for W in weights:
        values.append(layer(W, values[-1]))
    grads = []
    for i in reversed(range(len(weights))):
        grad, delta = vjp(weights[i], values[i], values[i + 1], delta)
        grads.insert(0, grad)
    return grads


def always_from_the_start(layer, vjp, x, weights, delta, k):
    grads = [None] * len(weights)
    for i in reversed(range(len(weights))):
        before = x
        for W in weights[:i]:
            before = layer(W, before)
        grads[i], delta = vjp(weights[i], before, layer(weights[i], before), delta)
    return grads


def own_layers(layer, vjp, x, weights, delta, k):
    return keeps_everything(lambda W, h: np.tanh(W @ h), vjp, x, weights, delta, k)


def reversed_order(*args):
    return checkpointed(*args)[::-1]


def recursive(equations):
    made = {output: inputs for output, *inputs in equations}

    def effect(name):
        return 1 if name == "a" else sum(effect(below) for below in made.get(name, ()))

    return effect(equations[-1][0])


SOLUTIONS: dict[str, Any] = {
    "forward": forward,
    "objective": objective,
    "gradient-shape": (256, 784),
    "matmul-vjp": lambda W, h, delta: (delta @ h.T, W.T @ delta),
    "tanh-vjp": lambda h, delta: delta * (1 - h**2),
    "relu-vjp": lambda z, delta: delta * (z > 0),
    "as-diag": lambda z: np.diag(1 - np.tanh(z[:, 0]) ** 2),
    "softmax-jacobian": lambda z: np.diag(softmax(z)[:, 0]) - softmax(z) @ softmax(z).T,
    "softmax-cross-entropy": lambda o, y: (softmax(o) - y) / o.shape[1],
    "grad-W2": grad_W2,
    "grad-W1": grad_W1,
    "backward-bias": backward_bias,
    "rows": rows,
    "diamond": lambda W2, h, delta, mu: (W2.T @ delta + mu * h, (W2.T @ delta + mu * h) * (1 - h**2)),
    "long-way": long_way,
    "twice": 4,
    "evaluator": evaluator,
    "differences": differences,
    "update": update,
    "accumulation": accumulation,
    "kept-tanh": {"h", "o"},
    "bytes": count_bytes,
    "operations": lambda K, w, n: (K * w * w * n, (3 * K - 1) * w * w * n, 2 * K * w * w * n),
    "checkpointed": checkpointed,
    "hessian-vector": lambda gradient, w, v, h: (gradient(w + h * v) - gradient(w - h * v)) / (2 * h),
    "crossing": lambda widths, n, k: (2 * n * widths[k], 2 * sum(a * b for a, b in pairwise(widths))),
}
Words = str | tuple[str, ...]
# Wrong answers as readers write them, in NumPy of their own, and the words that must be said; no other cause may be.
WRONG: list[tuple[str, Any, Words]] = [
    ("forward", lambda x, W1, W2: (W1 @ x, W1 @ x, W2 @ W1 @ x), "h, o: there is no activation"),
    (
        "forward",
        lambda x, W1, W2: (W1 @ x, *(np.maximum(a, 0) for a in forward(x, W1, W2)[1:])),
        "o: the output has no",
    ),
    ("forward", lambda x, W1, W2: (*forward(x, W1, W2)[:2], W2 @ W1 @ x), "o: it is computed from z"),
    (
        "forward",
        lambda x, W1, W2: [a.T for a in forward(x, W1, W2)],
        "z, h: has shape (6, 7), expected (7, 6): it is tran",
    ),
    (
        "objective",
        lambda o, y, W1, W2, lam: (((o - y) ** 2).mean(), *objective(o, y, W1, W2, lam)[1:]),
        "L: that is the mean over all entries, and without ½",
    ),
    ("objective", lambda o, y, W1, W2, lam: objective(o, y, W1, W2, 2 * lam), "s, J: ½ is missing in the regulariser"),
    ("objective", lambda o, y, W1, W2, lam: objective(o, y, W1, W2, lam / o.shape[1]), "s, J: λ is divided by n"),
    ("objective", lambda o, y, W1, W2, lam: objective(o, y, W1, 0 * W2, lam), "s, J: only W1 is there"),
    ("gradient-shape", (784, 256), "transposed"),
    ("gradient-shape", (256, 784, 64), "no axis is left for the examples"),
    (
        "matmul-vjp",
        lambda W, h, delta: (h @ delta.T, W.T @ delta),
        "∂J/∂W: has shape (7, 3), expected (3, 7): that is h δᵀ",
    ),
    ("matmul-vjp", lambda W, h, delta: (delta @ h.T / h.shape[1], W.T @ delta), "∂J/∂W: it is divided by n"),
    ("matmul-vjp", lambda W, h, delta: (W.T @ delta, delta @ h.T), "in another order: ∂J/∂W, ∂J/∂h are asked for"),
    (
        "matmul-vjp",
        lambda W, h, delta: (delta @ h.T, delta.T @ W),
        "∂J/∂h: has shape (6, 7), expected (7, 6): that is δᵀ W",
    ),
    ("tanh-vjp", lambda h, delta: delta * (1 - np.tanh(h) ** 2), "φ' is taken at h"),
    ("tanh-vjp", lambda h, delta: 1 - h**2, "δ is missing"),
    ("tanh-vjp", lambda h, delta: delta * h * (1 - h), "the slope of the sigmoid"),
    ("relu-vjp", lambda z, delta: delta * (z >= 0), "where z is 0"),
    ("relu-vjp", lambda z, delta: np.maximum(delta, 0), "relu is applied to δ"),
    ("relu-vjp", lambda z, delta: delta * np.sign(z), "the sign of z is −1"),
    ("tanh-vjp", lambda h, delta: delta @ (1 - h**2).T, "that is a matrix product (@)"),
    ("matmul-vjp", lambda W, h, delta: (delta @ h.T, W @ delta), "here A has 7 columns, B 3 rows. It was"),
    ("objective", lambda o, y, W1, W2, lam: ((o - y) ** 2, 0, 0), "expected a number: one number is asked for"),
    ("objective", lambda *args: (*objective(*args)[:2], objective(*args)[0]), "J: s is missing"),
    ("evaluator", lambda equations: 10**400, "one that no float can hold"),
    ("diamond", lambda W2, h, delta, mu: (W2.T @ delta + mu, (W2.T @ delta + mu) * (1 - h**2)), "h is missing"),
    ("rows", lambda *args: uphill(args), "∂J/∂W1, ∂J/∂W2: the loss's derivative is o − y, not y − o."),
    ("softmax-cross-entropy", lambda o, y: (softmax(o) - y) / len(o), "the number of classes"),
    ("grad-W1", lambda x, y, W1, W2, lam: grad_W1(x, y, W1, W2, 0) / x.shape[1] + lam * W1, "1/n comes in twice"),
    # the factors of o − y and of λW, alone and together, in each exercise that has them
    ("as-diag", lambda z: 1 - np.tanh(z) ** 2, "that is its diagonal only"),
    ("as-diag", lambda z: (1 - np.tanh(z) ** 2).ravel(), "has shape (7,), expected (7, 7): that is its diagonal only"),
    ("as-diag", lambda z: (1 - np.tanh(z) ** 2).T, "that is its diagonal only"),
    ("softmax-jacobian", lambda z: (softmax(z) * (1 - softmax(z)))[:, 0], "its diagonal only"),
    ("as-diag", lambda z: np.diag(np.tanh(z)[:, 0]), "it has to be φ'(z)"),
    ("as-diag", lambda z: np.diag(1 - np.tanh(z) ** 2), "ravel() it first"),
    ("softmax-jacobian", lambda z: np.diag((softmax(z) * (1 - softmax(z)))[:, 0]), "not elementwise"),
    ("softmax-jacobian", lambda z: np.diag(softmax(z)[:, 0]), "−p pᵀ is missing"),
    ("softmax-jacobian", lambda z: softmax(z) * (1 - softmax(z)), "its diagonal only"),
    ("softmax-jacobian", lambda z: softmax(z) @ (1 - softmax(z)).T, "belongs to the diagonal only"),
    ("softmax-jacobian", lambda z: np.diag(softmax(z)) - softmax(z) @ softmax(z).T, "ravel() it first"),
    ("softmax-cross-entropy", lambda o, y: softmax(o) - y, "1/n is missing"),
    ("softmax-cross-entropy", lambda o, y: (softmax(o.T).T - y) / o.shape[1], "softmax runs along the rows"),
    ("softmax-cross-entropy", lambda o, y: (np.exp(o) / np.exp(o).sum(0) - y) / o.shape[1], "exp of a large number"),
    ("softmax-cross-entropy", lambda o, y: (y - softmax(o)) / o.shape[1], "the sign is wrong: it is p − y"),
    ("grad-W2", lambda h, o, y, W2, lam: (o - y) @ h.T + lam * W2, "1/n is missing"),
    ("grad-W2", lambda h, o, y, W2, lam: ((o - y) @ h.T + lam * W2) / h.shape[1], "λ is divided by n"),
    ("grad-W2", lambda h, o, y, W2, lam: (o - y) @ h.T / h.shape[1], "λW2 is missing"),
    ("grad-W2", lambda h, o, y, W2, lam: (o - y) @ h.T / o.size + lam * W2, "the number of all entries"),
    ("grad-W2", lambda h, o, y, W2, lam: o @ h.T / o.shape[1] + lam * W2, "y is missing"),
    ("grad-W2", lambda *args: grad_W2(*args).T, "has shape (7, 3), expected (3, 7): that is h δᵀ"),
    (
        "grad-W1",
        lambda x, y, W1, W2, lam: W2.T @ (W2 @ np.tanh(W1 @ x) - y) / x.shape[1] @ x.T + lam * W1,
        "φ' is missing",
    ),
    ("grad-W1", lambda x, y, W1, W2, lam: slope_at_h(x, y, W1, W2, lam), "φ' is taken at h, not at z"),
    ("grad-W1", lambda x, y, W1, W2, lam: grad_W1(x, y, W1, W2, lam / x.shape[1]), "λ is divided by n"),
    ("grad-W1", lambda x, y, W1, W2, lam: grad_W1(x, y, W1, W2, 0), "λW1 is missing"),
    ("grad-W1", lambda x, y, W1, W2, lam: grad_W1(x, y, W1, W2, lam / 2), "not (λ/2)W1"),
    ("grad-W1", lambda *args: grad_W1(*args).T, "∂J/∂W1: has shape (5, 7), expected (7, 5): it is transposed"),
    ("grad-W1", lambda x, y, W1, W2, lam: grad_W1(x, y, W1, W2, 0).T, "it is transposed; besides, λW1 is missing"),
    ("grad-W1", lambda *args: 2 * grad_W1(*args), ("2 is too much: the ½ in the loss", "not 2λW1")),
    (
        "backward-bias",
        lambda *args: changed(args, lambda z, o: (z.sum(0, keepdims=True), o.sum(0, keepdims=True))),
        "axis 0",
    ),
    (
        "backward-bias",
        lambda *args: changed(args, lambda z, o: (z.mean(1, keepdims=True), o.mean(1, keepdims=True))),
        "twice",
    ),
    ("backward-bias", lambda *args: changed(args, lambda z, o: (z, o)), "the sum over the examples is missing"),
    ("backward-bias", lambda *args: changed(args, lambda z, o: (z.sum(1), o.sum(1))), "keepdims=True"),
    (
        "rows",
        lambda *args: [grad.T for grad in rows(*args)],
        ("∂J/∂W1: has shape (7, 5), expected (5, 7): it is transposed", "∂J/∂W2: has shape (3, 7)"),
    ),
    ("rows", lambda X, Y, W1, W2, lam: rows(X, Y, W1, W2, lam / len(X)), "∂J/∂W1, ∂J/∂W2: λ is divided by n"),
    ("diamond", lambda W2, h, delta, mu: (mu * h, mu * h * (1 - h**2)), "= in place of +="),
    ("diamond", lambda W2, h, delta, mu: (W2.T @ delta, W2.T @ delta * (1 - h**2)), "r reads h too"),
    ("diamond", lambda W2, h, delta, mu: (W2.T @ delta + mu * h, W2.T @ delta * (1 - h**2)), "∂J/∂z: it was passed on"),
    ("long-way", lambda x, w: np.prod(w), "φ' is missing"),
    ("long-way", lambda x, w: long_way(x, w[:-1]), "the last layer's factor"),
    ("long-way", lambda x, w: long_way(x, w) / np.prod(w), "the weights are missing"),
    ("twice", 2, "the first instalment was passed on"),
    ("twice", 1, "overwritten"),
    ("evaluator", lambda equations: sweep(equations, add=False), "= in place of +="),
    ("evaluator", lambda equations: sweep(equations, merge=True), "a + a has two arrows"),
    (
        "evaluator",
        lambda equations: recursive(equations[:20]) if len(equations) < 20 else recursive(equations),
        "recursion",
    ),
    ("differences", lambda J, W, h: one_sided(J, W, h), "only upwards"),
    ("differences", lambda J, W, h: 2 * differences(J, W, h), "from −ε to ε are 2ε"),
    ("update", lambda x, y, W1, W2, lam, lr: in_mid_pass(x, y, W1, W2, lam, lr), "W1: W2 was updated in the middle"),
    ("update", lambda x, y, W1, W2, lam, lr: update(x, y, W1, W2, lam, -lr), "it goes up"),
    ("update", lambda *args: update(*args)[::-1], "in another order: W1, W2"),
    ("update", lambda x, y, W1, W2, lam, lr: update(x, y, W1, W2, lam, 1), "the rate is missing"),
    ("accumulation", lambda shares, sizes, W, lam: sum(shares) / len(shares) + lam * W, "not equally large"),
    (
        "accumulation",
        lambda shares, sizes, W, lam: accumulation(shares, sizes, W, lam * len(sizes)),
        "once for each part",
    ),
    ("accumulation", lambda shares, sizes, W, lam: shares[-1] + lam * W, "only the last part"),
    ("kept-tanh", {"z", "h", "o"}, "z does not belong: tanh's slope is a function of its value"),
    ("kept-tanh", {"o"}, "1 of 2 is missing. Go through backward"),
    ("bytes", lambda widths, n: (count_bytes(widths, n)[0], 2 * count_bytes(widths, n)[1]), "kept: z is counted too"),
    ("bytes", lambda widths, n: (count_bytes(widths, n)[0], count_bytes(widths, 1)[1]), "kept: n is missing"),
    ("bytes", lambda widths, n: [count / 8 for count in count_bytes(widths, n)], "a float64 has 8 bytes"),
    (
        "operations",
        lambda K, w, n: (K * w**2 * n, 3 * K * w**2 * n, (2 * K + 1) * w**2 * n),
        "all, first: ∂J/∂x is counted",
    ),
    (
        "operations",
        lambda K, w, n: (K * w**2 * n, (3 * K - 1) * w**2 * n, (K + 1) * w**2 * n),
        "first: the first layer is",
    ),
    (
        "operations",
        lambda K, w, n: (K * w**2 * n, (3 * K - 1) * w**2 * n, (3 * K - 1) * w**2 * n),
        "first: the other layers' products",
    ),
    ("checkpointed", keeps_everything, "but everything is kept: 12 values at once"),
    ("checkpointed", always_from_the_start, "but layers run 78 times; 24 are enough"),
    ("checkpointed", own_layers, "`layer` was never called"),
    ("checkpointed", reversed_order, "the order is reversed"),
    ("hessian-vector", lambda gradient, w, v, h: (gradient(w + h * v) - gradient(w)) / h, "only forwards"),
    ("hessian-vector", lambda gradient, w, v, h: gradient(v), "nudge w along v"),
    ("hessian-vector", lambda gradient, w, v, h: (gradient(w) * v).sum(), "a number"),
    (
        "crossing",
        lambda widths, n, k: (n * widths[k], 2 * sum(a * b for a, b in pairwise(widths))),
        "layers: only forward",
    ),
    (
        "crossing",
        lambda widths, n, k: (2 * n * widths[k], sum(a * b for a, b in pairwise(widths))),
        "batch: only one way",
    ),
    (
        "crossing",
        lambda widths, n, k: (2 * n * widths[k + 1], 2 * sum(a * b for a, b in pairwise(widths))),
        "layers: that is the value after layer k + 1",
    ),
]

# The gradient of a weight is share · (the loss's, unscaled) + decay · W; what readers put there, and what they must be
# told. The numbers are n examples, q outputs, m units.
SHARES: list[tuple[Callable[..., float], str]] = [
    (lambda n, q, m: 1 / n, ""),
    (lambda n, q, m: 1.0, "1/n is missing: L is a mean"),
    (lambda n, q, m: -1.0, "not y − o|1/n is missing: L is a mean"),
    (lambda n, q, m: -1 / n, "not y − o"),
    (lambda n, q, m: 2 / (n * q), "PyTorch's MSELoss, 2/(nq)"),
    (lambda n, q, m: -2 / (n * q), "PyTorch's MSELoss, 2/(nq)|not y − o"),
    (lambda n, q, m: 2 / n, "2 is too much: the ½ in the loss cancels"),
    (lambda n, q, m: 2.0, "1/n is missing, and 2 is too much"),
    (lambda n, q, m: 1 / (2 * n), "½ is too much: the 2"),
    (lambda n, q, m: 1 / (n * q), "the number of all entries, nq"),
    (lambda n, q, m: 1 / q, "it is divided by the number of"),
    (lambda n, q, m: 1 / m, "it is divided by the number of"),
    (lambda n, q, m: 1 / n**2, "1/n comes in twice"),
]
DECAYS: list[tuple[Callable[..., float], str]] = [
    (lambda lam, n: lam, ""),
    (lambda lam, n: 0.0, "is missing: W|reaches J through the regulariser too"),
    (lambda lam, n: lam / n, "λ is divided by n: only the loss"),
    (lambda lam, n: 2 * lam, "not 2λW"),
    (lambda lam, n: lam / 2, "not (λ/2)W"),
    (lambda lam, n: 1.0, "λ is missing: the regulariser gives λW"),
    (lambda lam, n: -lam, "is subtracted: s is added to J"),
]


def scaled_W2(share, decay):
    def answer(h, o, y, W2, lam):
        n = h.shape[1]
        return share(n, len(o), len(h)) * (o - y) @ h.T + decay(lam, n) * W2

    return answer


def scaled_W1(share, decay):
    def answer(x, y, W1, W2, lam):
        n = x.shape[1]
        h = np.tanh(W1 @ x)
        back = W2.T @ (W2 @ h - y) * (1 - h**2)
        return share(n, len(y), len(h)) * back @ x.T + decay(lam, n) * W1

    return answer


def scaled_bias(share, decay):
    def answer(x, y, W1, b1, W2, b2, lam):
        n = x.shape[1]
        h = np.tanh(W1 @ x + b1)
        o = share(n, len(y), len(h)) * (W2 @ h + b2 - y)
        z = W2.T @ o * (1 - h**2)
        c = decay(lam, n)
        return z @ x.T + c * W1, z.sum(axis=1, keepdims=True), o @ h.T + c * W2, o.sum(axis=1, keepdims=True)

    return answer


def scaled_rows(share, decay):
    def answer(X, Y, W1, W2, lam):
        n = len(X)
        H = np.tanh(X @ W1)
        delta = share(n, Y.shape[1], H.shape[1]) * (H @ W2 - Y)
        return X.T @ (delta @ W2.T * (1 - H**2)) + decay(lam, n) * W1, H.T @ delta + decay(lam, n) * W2

    return answer


def scaled_update(share, decay):
    def answer(x, y, W1, W2, lam, lr):
        n = x.shape[1]
        h = np.tanh(W1 @ x)
        delta = share(n, len(y), len(h)) * (W2 @ h - y)
        first = (W2.T @ delta * (1 - h**2)) @ x.T + decay(lam, n) * W1
        return W1 - lr * first, W2 - lr * (delta @ h.T + decay(lam, n) * W2)

    return answer


for _name, _made in [
    ("grad-W2", scaled_W2),
    ("grad-W1", scaled_W1),
    ("backward-bias", scaled_bias),
    ("rows", scaled_rows),
    ("update", scaled_update),
]:
    WRONG += [
        (_name, _made(share, decay), tuple(filter(None, f"{said}|{more}".split("|"))))
        for (share, said), (decay, more) in product(SHARES, DECAYS)
        if (said or more)
        and not ("y − o" in said and ("1/n" in said or "MSE" in said) and more)  # three at once
        and not (said == "not y − o" and "subtracted" in more)  # that is the whole gradient, negated
        and not (_name == "update" and said == "not y − o" and "is missing: W" in more)  # or it goes up, without λW
    ]


def relu_in_place(x, W1, W2):
    z = W1 @ x
    h = z
    h[h < 0] = 0
    return z, h, W2 @ h


def relu_through_a_view(x, W1, W2):
    z = W1 @ x
    h = z[:]
    np.maximum(h, 0, out=h)
    return z, h, W2 @ h


def slope_in_place(W2, h, delta, mu):
    grad_h = W2.T @ delta + mu * h
    grad_z = grad_h
    grad_z *= 1 - h**2
    return grad_h, grad_z


def one_buffer(layer, vjp, x, weights, delta, k):
    grads = checkpointed(layer, vjp, x, weights, delta, k)
    by_shape = {}
    for grad in grads:
        by_shape.setdefault(grad.shape, grad)
    same = [by_shape[grad.shape] for grad in grads]
    for grad, buffer in zip(grads, same, strict=True):
        buffer[:] = grad
    return same


def bias_with(**other):
    """The four gradients with other formulas for one thing."""

    def answer(x, y, W1, b1, W2, b2, lam):
        z = W1 @ x + b1
        h = np.tanh(z)
        o = (W2 @ h + b2 - y) / x.shape[1]
        back = W2.T @ o * other.get("slope", lambda z, h: 1 - h**2)(z, h)
        total = other.get("total", lambda delta, b, lam: delta.sum(axis=1, keepdims=True))
        return back @ x.T + lam * W1, total(back, b1, lam), o @ h.T + lam * W2, total(o, b2, lam)

    return answer


def first_with(slope=lambda z, h: 1 - h**2, error=lambda o, y: o - y, outer=lambda a, b: a @ b.T):
    def answer(x, y, W1, W2, lam):
        z = W1 @ x
        h = np.tanh(z)
        return outer(W2.T @ (error(W2 @ h, y) / x.shape[1]) * slope(z, h), x) + lam * W1

    return answer


ALIASES = "are one array: an assignment such as `b = a` copies nothing"
WRONG += [
    ("forward", relu_in_place, f"z: z, h {ALIASES}"),
    ("forward", relu_through_a_view, f"z: z, h {ALIASES}"),
    ("diamond", slope_in_place, f"∂J/∂h: ∂J/∂h, ∂J/∂z {ALIASES}"),
    ("checkpointed", one_buffer, "are one array"),
    ("matmul-vjp", lambda W, h, delta: (W, W.T @ delta), "∂J/∂W: it is the argument W itself"),
    ("matmul-vjp", lambda W, h, delta: (delta @ h.T, h[:]), "∂J/∂h: it is the argument h itself"),
    ("matmul-vjp", lambda W, h, delta: (-delta @ h.T, W.T @ delta), "∂J/∂W: it has the wrong sign"),
    (
        "matmul-vjp",
        lambda W, h, delta: (h.shape[1] * delta @ h.T, W.T @ delta),
        "multiplied by the number of columns of",
    ),
    (
        "matmul-vjp",
        lambda W, h, delta: (delta @ h.T, 3 * W.T @ delta),
        "∂J/∂h: it is 3 times what it should be, in every",
    ),
    ("grad-W2", lambda *args: -grad_W2(*args), "all of it has the wrong sign"),
    ("grad-W1", lambda *args: -grad_W1(*args), "all of it has the wrong sign"),
    ("backward-bias", lambda *args: [-grad for grad in backward_bias(*args)], "all of it has the wrong sign"),
    ("grad-W2", lambda *args: 3.5 * grad_W2(*args), "it is 3.5 times what it should be, in every entry and case"),
    ("grad-W2", lambda *args: grad_W2(*args) / len(args[0]), "divided by the number of rows of h"),
    ("grad-W2", lambda *args: grad_W2(*args) * args[-1], "multiplied by lam"),
    (
        "grad-W2",
        lambda h, o, y, W2, lam: (o - y).mean(1, keepdims=True) @ h.mean(1, keepdims=True).T + lam * W2,
        "the means over the examples are multiplied",
    ),
    ("grad-W1", first_with(slope=lambda z, h: 1.0), "φ' is missing"),
    ("grad-W1", first_with(slope=lambda z, h: h * (1 - h)), "the slope of the sigmoid"),
    ("grad-W1", first_with(slope=lambda z, h: 1 - z**2), "not 1 − z²"),
    ("grad-W1", first_with(slope=lambda z, h: z > 0), "the slope of relu"),
    ("grad-W1", first_with(error=lambda o, y: y - o), "not y − o"),
    ("grad-W1", first_with(error=lambda o, y: o), "y is missing"),
    (
        "grad-W1",
        first_with(outer=lambda a, b: a.mean(1, keepdims=True) @ b.sum(1, keepdims=True).T),
        "the means over the examples are multiplied",
    ),
    (
        "grad-W1",
        lambda x, y, W1, W2, lam: first_with(lambda z, h: 1.0)(x, y, W1, W2, 0),
        ("φ' is missing", "λW1 is miss"),
    ),
    ("backward-bias", bias_with(slope=lambda z, h: 1.0), "∂J/∂W1, ∂J/∂b1: φ' is missing"),
    ("backward-bias", bias_with(slope=lambda z, h: 1 - np.tanh(h) ** 2), "∂J/∂W1, ∂J/∂b1: φ' is taken at h"),
    (
        "backward-bias",
        bias_with(total=lambda delta, b, lam: delta.sum(axis=1, keepdims=True) + lam * b),
        "∂J/∂b1, ∂J/∂b2: λb is added",
    ),
    (
        "backward-bias",
        bias_with(total=lambda delta, b, lam: delta.sum()),
        "∂J/∂b1: has shape (), expected (7, 1): the sum",
    ),
    ("update", lambda x, y, W1, W2, lam, lr: update(x, y, W1, W2, 0, lr), "in the gradient, λW is missing"),
    ("update", lambda x, y, W1, W2, lam, lr: (W1, update(x, y, W1, W2, lam, lr)[1]), "W1: that is the weight before"),
    ("objective", lambda o, y, W1, W2, lam: scaled_objective(o, y, W1, W2, lam, 2), "L, J: ½ is missing in the loss."),
    (
        "objective",
        lambda o, y, W1, W2, lam: scaled_objective(o, y, W1, W2, 2 * lam, 2),
        ("L, s, J: ½ is missing in the loss", "½ is missing in the regulariser"),
    ),
    (
        "objective",
        lambda o, y, W1, W2, lam: scaled_objective(o, y, W1, W2, lam, o.shape[1]),
        "summed over the examples",
    ),
    (
        "objective",
        lambda o, y, W1, W2, lam: scaled_objective(o, y, W1, W2, lam, 2 * o.shape[1]),
        "½ is missing in the loss, and it is summed",
    ),
    ("softmax-cross-entropy", lambda o, y: y - softmax(o), "both the sign and 1/n are missing"),
    ("softmax-cross-entropy", lambda o, y: 2 / o.shape[1] * (softmax(o) - y), "2 is too much"),
    (
        "softmax-cross-entropy",
        lambda o, y: 2 / o.size * (softmax(o) - y),
        "in each case all entries are off by one factor",
    ),
    ("tanh-vjp", lambda h, delta: -delta * (1 - h**2), "the wrong sign"),
    ("relu-vjp", lambda z, delta: delta, "δ passes everywhere"),
    ("diamond", lambda W2, h, delta, mu: (W2.T @ delta + mu * h, (W2.T @ delta + mu * h)), "∂J/∂z: φ' is missing"),
    ("accumulation", lambda shares, sizes, W, lam: accumulation(shares, sizes, W, 0), "λW is missing"),
    ("accumulation", lambda shares, sizes, W, lam: sum(shares) + lam * W, "the parts' gradients are added"),
    (
        "hessian-vector",
        lambda gradient, w, v, h: (gradient(w + h * v) - gradient(w - h * v)) / h,
        "from −ε to ε are 2ε",
    ),
    ("long-way", lambda x, w: -long_way(x, w), "the wrong sign"),
    (
        "bytes",
        lambda widths, n: (count_bytes(widths, n)[0], 3 * count_bytes(widths, n)[1]),
        "3 times what it should be",
    ),
]


def scaled_objective(o, y, W1, W2, lam, factor):
    L, s, _ = objective(o, y, W1, W2, lam)
    return factor * L, s, factor * L + s


def told(report: mlp.exercises.Report) -> str:
    """A report as one line."""
    return " ".join(str(report).split())


def uphill(args):
    """The gradients in the convention of rows, with y − o in place of o − y."""
    X, Y, W1, W2, lam = args
    return [2 * lam * W - grad for W, grad in zip((W1, W2), rows(X, Y, W1, W2, lam), strict=True)]


def one_entry(W):
    only = np.zeros(W.shape)
    only[1, 2 % W.shape[1]] = 1
    return only


def slope_at_h(x, y, W1, W2, lam):
    h = np.tanh(W1 @ x)
    return W2.T @ ((W2 @ h - y) / x.shape[1]) * (1 - np.tanh(h) ** 2) @ x.T + lam * W1


def changed(args, sums):
    x, y, W1, b1, W2, b2, _ = args
    h = np.tanh(W1 @ x + b1)
    o = (W2 @ h + b2 - y) / x.shape[1]
    first, second = sums(W2.T @ o * (1 - h**2), o)
    right = backward_bias(*args)
    return right[0], first, right[2], second


def sweep(equations, add=True, merge=False):
    slope = {equations[-1][0]: 1}
    for output, *inputs in reversed(equations):
        for name in sorted(set(inputs)) if merge else inputs:
            slope[name] = slope.get(name, 0) * add + slope.get(output, 0)
    return slope["a"]


def one_sided(J, W, h):
    slopes = np.zeros(W.shape)
    for index in np.ndindex(W.shape):
        moved = W.copy()
        moved[index] += h
        slopes[index] = (J(moved) - J(W)) / h
    return slopes


def in_mid_pass(x, y, W1, W2, lam, lr):
    h = np.tanh(W1 @ x)
    delta = (W2 @ h - y) / x.shape[1]
    W2 = W2 - lr * (delta @ h.T + lam * W2)
    return W1 - lr * (W2.T @ delta * (1 - h**2) @ x.T + lam * W1), W2


# --- the pool, as it is committed ----------------------------------------------------------------------------------


def test_the_pool_checks_everything_and_its_solutions_are_right() -> None:
    """Its cells run in order: each exercise of the table is there, first answered wrongly, then rightly."""
    notebook = nbformat.read(Path(__file__).parents[1] / "book" / "exercises.ipynb", as_version=4)
    space: dict[str, Any] = {}
    reports: list[mlp.exercises.Report] = []
    space["display"] = lambda *things: None
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        *first, last = ast.parse(cell.source.replace("from IPython.display import display\n", "")).body
        exec(compile(ast.Module(first, []), cell.id, "exec"), space)
        if "check(" in cell.source:
            assert isinstance(last, ast.Expr), "a cell shows what the check says"
            report = eval(compile(ast.Expression(last.value), cell.id, "eval"), space)
            folded = "hide-cell" in cell.metadata.get("tags", ())
            assert report.ok == folded, str(report)
            reports.append(report)
    assert [report.name for report in reports[::2]] == [report.name for report in reports[1::2]]
    assert {report.name for report in reports} == set(EXERCISES)
    assert not any("raised" in str(report) and "Recursion" not in str(report) for report in reports)


# --- checks ---------------------------------------------------------------------------------------------------------


def test_every_exercise_is_solved_here_and_fooled_at_least_twice() -> None:
    assert tuple(SOLUTIONS) == mlp.exercises.names() == tuple(EXERCISES)
    assert {name for name in SOLUTIONS if sum(name == other for other, _, _ in WRONG) < 2} == set()


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_right_answer_passes(name: str) -> None:
    report = check(name, SOLUTIONS[name])
    assert report.ok, str(report)
    assert str(report).startswith(f"✓ {name}: right")


def causes(name: str) -> set[str]:
    """What the table can name in an exercise, each by itself."""
    return {part.rstrip(".") for words, _ in EXERCISES[name].mistakes for part in words.split("; besides, ")}


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    WRONG,
    ids=[f"{k}-{name}-{str(words)[:25]}" for k, (name, _, words) in enumerate(WRONG)],
)
def test_a_wrong_answer_is_told_its_mistake_and_no_other(name: str, answer: Any, words: Words) -> None:
    report = check(name, answer)
    assert not report.ok
    wanted = (words,) if isinstance(words, str) else words
    assert all(some in told(report) for some in wanted), f"{wanted} {report}"
    for cause in causes(name):
        assert cause not in told(report) or any(bare(some, name) in cause or cause in some for some in wanted), cause


def bare(words: str, name: str) -> str:
    """Words without the names of results before them, and without their shapes."""
    exercise = EXERCISES[name]
    parts = exercise.expected(**next(iter(exercise.cases()))) if isinstance(exercise, Code) else ("z does not belong",)
    some = "|".join(map(re.escape, parts))
    return re.sub(rf"^(((?:{some})(?:, )?)+: )?(has shape .*?: )?(it is transposed; besides, )?", "", words)


def as_answer(exercise: Code, results: Callable[..., dict[str, Any]]) -> Answer:
    """A reader's function that gives these results."""

    def answer(*args: Any) -> Any:
        parts = results(**dict(zip(exercise.parameters.split(", "), args, strict=True)))
        return parts if len(parts) > 1 else next(iter(parts.values()))

    return answer


def single(exercise: Code) -> list[tuple[str, Answer]]:
    """The listed mistakes, without those that are two at once."""
    return [(words, wrong) for words, wrong in exercise.mistakes if "; besides, " not in words]


CODES = [name for name, exercise in EXERCISES.items() if isinstance(exercise, Code)]


@pytest.mark.parametrize("name", CODES)
def test_every_listed_mistake_is_wrong_and_is_the_one_that_is_named(name: str) -> None:
    """What the table calls a mistake differs from what is expected, and no other mistake takes its name."""
    exercise = EXERCISES[name]
    assert isinstance(exercise, Code)
    for words, wrong in single(exercise):
        report = check(name, as_answer(exercise, lambda wrong=wrong, **args: exercise.expected(**args) | wrong(**args)))
        assert not report.ok, words
        assert words in told(report), f"{words}\n{report}"


def without_share(args, change):
    """Backward with biases whose δ lacks 1/n in the weights' gradients, and with a bias's gradient of one's own."""
    right = backward_bias(*args)
    lam, n = args[-1], args[0].shape[1]
    first, second = (n * (right[k] - lam * args[2 + k]) + lam * args[2 + k] for k in (0, 2))
    return first, change(right[1], n), second, change(right[3], n)


def test_two_mistakes_that_undo_each_other_are_not_named() -> None:
    """The biases are right: δ without 1/n and the mean over the columns. The weights alone are told what is missing."""
    report = told(check("backward-bias", lambda *args: without_share(args, lambda grad, n: grad)))
    assert "∂J/∂W1, ∂J/∂W2: 1/n is missing: L is a mean over the examples." in report
    assert "besides" not in report and "twice" not in report and "∂J/∂b" not in report


def test_two_mistakes_are_not_named_where_one_would_change_what_is_right() -> None:
    """The biases' mean, twice as large: the weights are right, so it is not the loss."""
    report = told(check("backward-bias", lambda *args: changed(args, lambda z, o: (double(z), double(o)))))
    assert "∂J/∂b1, ∂J/∂b2: in each case all entries are off by one factor" in report
    assert "besides" not in report and "the ½ in the loss" not in report


def double(delta):
    return 2 * delta.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("name", CODES)
def test_no_pair_is_named_that_would_change_a_right_result(name: str) -> None:
    """Each pair that the table has, made in some results only: those that are right rule it out."""
    exercise = EXERCISES[name]
    assert isinstance(exercise, Code)
    cases = list(exercise.cases())
    pairs = [(words, wrong) for words, wrong in exercise.mistakes if isinstance(wrong, Both)]
    rng = np.random.default_rng(0)
    for k in rng.permutation(len(pairs))[:12]:
        words, wrong = pairs[k]
        right, parts = exercise.expected(**cases[0]), wrong(**cases[0])
        touched = [part for part in parts if not np.allclose(parts[part], right[part])]
        for part in touched if len(touched) > 1 else ():

            def results(wrong: Any = wrong, part: str = part, **args: Any) -> dict[str, Any]:
                return exercise.expected(**args) | {part: wrong(**args)[part]}

            assert words not in told(check(name, as_answer(exercise, results)))


@pytest.mark.parametrize("name", CODES)
def test_what_explains_one_case_only_is_not_named(name: str) -> None:
    """In the first or the last case a listed mistake, in the others something else: no cause is named."""
    exercise = EXERCISES[name]
    assert isinstance(exercise, Code)
    rng = np.random.default_rng(0)
    count = len(list(exercise.cases()))
    mistakes = [exercise.mistakes[k] for k in rng.permutation(len(exercise.mistakes))[:4]]
    for words, wrong in mistakes:
        for here in (0, count - 1):
            calls: list[int] = []

            def results(
                wrong: Answer = wrong, here: int = here, calls: list[int] = calls, **args: Any
            ) -> dict[str, Any]:
                right = exercise.expected(**args)
                calls.append(1)
                if len(calls) - 1 == here:
                    return right | wrong(**args)
                return {
                    part: value * (1 + rng.uniform(0.1, 0.9, np.shape(value))) + 0.01 for part, value in right.items()
                }

            report = check(name, as_answer(exercise, results))
            assert not report.ok
            assert not [cause for cause in causes(name) if cause in told(report)], f"{words}, case {here}: {report}"


def test_one_case_that_ran_is_not_enough_for_a_cause() -> None:
    """A mistake in the first case, an error in the second: the error is told."""
    calls: list[int] = []

    def answer(h: Any, o: Any, y: Any, W2: Any, lam: float) -> Any:
        calls.append(1)
        return (o - y) @ h.T + lam * W2 if len(calls) == 1 else h @ W2 @ h

    assert "your function raised ValueError" in told(check("grad-W2", answer))


@pytest.mark.parametrize("name", ["grad-W2", "grad-W1", "backward-bias", "rows", "update"])
def test_factors_that_nobody_has_named_get_no_cause(name: str) -> None:
    """Any share of the loss and any of λW: only where it is a listed one has it a name."""
    made = {"grad-W2": scaled_W2, "grad-W1": scaled_W1, "backward-bias": scaled_bias, "rows": scaled_rows}
    make = made.get(name, scaled_update)
    rng = np.random.default_rng(1)
    for _ in range(8):
        a, b, power = rng.uniform(0.05, 5), rng.uniform(0.05, 5), int(rng.integers(-1, 2))
        report = check(name, make(lambda n, q, m: a * float(n) ** power, lambda lam, n: b * lam))  # noqa: B023
        assert not report.ok
        assert not [cause for cause in causes(name) if cause in told(report)], str(report)


@pytest.mark.parametrize("name", CODES)
def test_no_two_mistakes_of_an_exercise_give_the_same_results(name: str) -> None:
    """In all cases together; and one of each two is then unlike what is expected."""
    exercise = EXERCISES[name]
    assert isinstance(exercise, Code)
    seen: dict[bytes, str] = {}
    cases = list(exercise.cases())
    expected = [exercise.expected(**args) for args in cases]
    for words, wrong in single(exercise):
        with np.errstate(all="ignore"):
            parts = [right | wrong(**args) for right, args in zip(expected, cases, strict=True)]
        rounded = [np.char.mod("%.5e", np.ravel(part[key])) for part in parts for key in sorted(part)]
        key = b"|".join(array.tobytes() for array in rounded)
        assert seen.setdefault(key, words) == words
        seen[key] = words


@pytest.mark.parametrize("name", [name for name, exercise in EXERCISES.items() if isinstance(exercise, Value)])
def test_every_listed_wrong_value_is_named(name: str) -> None:
    exercise = EXERCISES[name]
    assert isinstance(exercise, Value)
    for words, wrong in exercise.mistakes:
        answer = wrong if not isinstance(exercise.expected, frozenset) else exercise.expected ^ {wrong}
        report = check(name, answer)
        assert not report.ok and words in told(report)


@pytest.mark.parametrize("name", CODES)
def test_sizes_differ_so_that_nothing_fits_by_accident(name: str) -> None:
    exercise = EXERCISES[name]
    assert isinstance(exercise, Code)
    for args in exercise.cases():
        sizes = {size for value in args.values() if isinstance(value, np.ndarray) for size in value.shape} - {1}
        shapes = {value.shape for value in args.values() if isinstance(value, np.ndarray)}
        assert (3, 4) not in shapes and (4, 3) not in shapes
        assert all(len(set(shape)) == len(shape) for shape in shapes), shapes
        assert not shapes or sizes


def test_no_size_hides_a_factor() -> None:
    """Neither n nor q nor any other is 1 or 2, where 1/n or 2/n would not show, and no case has one of them twice."""
    for sizes in SIZES:
        assert len(set(sizes)) == 4 and min(sizes) > 2
    assert all(len(set(axis)) == len(axis) for axis in zip(*SIZES, strict=True))


class Refusing:
    """As a tensor of some framework that does not give away its numbers."""

    def __array__(self, *args: Any) -> Any:
        raise RuntimeError("detach it first")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (..., "not answered yet."),
        (3, "expected a function f(x, y, W1, W2, lam) -> ∂J/∂W1, received 3"),
        (np.eye(2), "received one array"),
        (np.eye(2), "Hand over the function itself"),
        ((np.eye(2), 3), "received a tuple Hand over the function itself"),
        (lambda x, y: x, "expected a function of 5 arguments (x, y, W1, W2, lam), yours takes x, y"),
        (
            lambda x, y, W2, W1, lam: x,
            "expected the arguments in the order x, y, W1, W2, lam, yours takes them as x, y, W2, W1, lam",
        ),
        (lambda x, y, W1, W2, lam: None, "is `return` missing?"),
        (lambda x, y, W1, W2, lam: ..., "is `return` missing?"),
        (lambda x, y, W1, W2, lam: W2 @ x, "your function raised ValueError"),
        (lambda x, y, W1, W2, lam: "W1", "expected numbers, received str"),
        (lambda x, y, W1, W2, lam: W1 + 1j, "expected numbers, received complex128 numbers"),
        (lambda x, y, W1, W2, lam: "3", "expected numbers, received str"),
        (lambda x, y, W1, W2, lam: Refusing(), "expected numbers, received Refusing"),
        (lambda x, y, W1, W2, lam: W1 * np.nan, "received NaN"),
        (lambda x, y, W1, W2, lam: W1 / 0, "received an infinite number"),
        (lambda x, y, W1, W2, lam: 0 * W1, "it is 0 throughout"),
        (lambda x, y, W1, W2, lam: grad_W1(x, y, W1, W2, lam).ravel(), "keep both axes"),
        (lambda x, y, W1, W2, lam: np.ones(3), "no one-dimensional arrays here"),
        (lambda x, y, W1, W2, lam: np.add(W1, 1, out=W1), "your function changes W1 in place"),
        (
            lambda x, y, W1, W2, lam: grad_W1(x, y, W1, W2, lam) + one_entry(W1),
            "1 entry is not right; the farthest off is [1, 2], counted from 0 as in NumPy: ",
        ),
        (lambda *args: 0.0, "expected (7, 5)"),
    ],
)
def test_a_bad_answer_is_told_what_is_wrong_with_it(answer: Any, words: str) -> None:
    report = check("grad-W1", answer)
    assert not report.ok
    assert words in told(report)
    assert repr(report) == str(report)


def tanh_back(h: Any, delta: Any) -> Any:
    slope = 1 - h**2
    return slope_times(slope, delta)


def slope_times(slope: Any, delta: Any) -> Any:
    return slope.T @ delta[:-1]


FLOAT32 = [name for name, answer in SOLUTIONS.items() if callable(answer) and name not in ("checkpointed", "evaluator")]


def rounded(value: Any) -> Any:
    """Float32 for float64, in whatever is handed over or given back."""
    if isinstance(value, list | tuple):
        return type(value)(map(rounded, value))
    return np.asarray(value, "float32") if isinstance(value, float | np.floating | np.ndarray) else value


@pytest.mark.parametrize("name", FLOAT32)
@pytest.mark.parametrize("back", [False, True])
def test_float32_is_told_by_its_name_and_no_number_twice(name: str, back: bool) -> None:
    """Results in float32, and such in float64 that were in float32 on the way."""

    def answer(*args: Any) -> Any:
        results = rounded(SOLUTIONS[name](*args))
        several = isinstance(results, tuple | list)
        if back:
            results = [np.asarray(result, "float64") for result in results] if several else np.asarray(results, float)
        return results

    answer.__signature__ = inspect.signature(SOLUTIONS[name])  # type: ignore[attr-defined]
    report = check(name, answer)
    if not report.ok:  # 3 is 3 in float32 too, and what is as close as it can be is right
        assert "compute in float64" in told(report) or "compute all of it in float64" in told(report)
        assert not twice_the_same(told(report))


def twice_the_same(text: str) -> list[str]:
    return [one for one, other in re.findall(r"(\S+), expected (\S+?)[,.;)]?(?= |$)", text) if one == other]


def test_a_network_that_runs_in_float32_is_told_so() -> None:
    report = check("forward", lambda *args: forward(*map(rounded, args)))
    assert not report.ok and "o: it is float32" in told(report) and "compute in float64" in told(report)
    assert check("forward", lambda *args: forward(*(value.astype("float64") for value in args))).ok


@pytest.mark.parametrize("off", [1e-6, 3e-6, 2e-5, 4e-5, 1e-4, 0.01])
@pytest.mark.parametrize("name", ["forward", "grad-W1", "rows", "objective", "long-way"])
def test_no_number_is_told_twice(name: str, off: float) -> None:
    """However little one entry, or all of them, are off."""
    for only in (False, True):

        def results(only: bool = only, **args: Any) -> dict[str, Any]:
            right = {part: np.array(value, float) for part, value in EXERCISES[name].expected(**args).items()}
            for value in right.values():
                value[(np.unravel_index(np.abs(value).argmax(), value.shape),) if only and value.ndim else ...] *= (
                    1 + off
                )
            return right

        report = check(name, as_answer(EXERCISES[name], results))
        assert not report.ok and not twice_the_same(told(report)) and "is 1 times" not in told(report), str(report)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("objective", lambda o, y, W1, W2, lam: (np.abs(o - y).mean(), *objective(o, y, W1, W2, lam)[1:])),
        ("evaluator", lambda equations: 1 + len(equations)),
        ("long-way", lambda x, w: float(np.sum(w))),
        ("bytes", lambda widths, n: (count_bytes(widths, n)[0] + n, count_bytes(widths, n)[1])),
    ],
)
def test_a_wrong_number_is_told_beside_the_right_one(name: str, answer: Any) -> None:
    """Every number is another one times some factor, so that says nothing."""
    report = told(check(name, answer))
    assert re.search(r": received [−\d.]+, expected [−\d.]+\.", report), report
    assert "factor" not in report and not twice_the_same(report)


def test_an_error_comes_with_the_line_that_raised_it() -> None:
    """The reader's own last line: a helper of theirs counts, NumPy's insides do not, and built-ins have none."""
    assert "raised ValueError in the line `return slope.T @ delta[:-1]`: " in told(check("tanh-vjp", tanh_back))
    assert "in the line `return np.linalg.inv(h)`: " in told(check("tanh-vjp", inverse))
    assert "your function raised TypeError: " in told(check("tanh-vjp", math.hypot))
    scope: dict[str, Any] = {}
    exec("def typed(h, delta):\n    return h + hidden", scope)  # no source to be found
    assert "your function raised NameError: name 'hidden' is not defined" in told(check("tanh-vjp", scope["typed"]))


def inverse(h: Any, delta: Any) -> Any:
    return np.linalg.inv(h)


def test_a_report_fits_a_page() -> None:
    for name in EXERCISES:
        assert max(map(len, str(check(name)).splitlines())) <= 74


def test_a_report_in_a_page_says_the_same_and_nothing_in_it_is_markup() -> None:
    report = check("twice", "<b>four</b>")
    page = report._repr_html_()
    assert "&lt;b&gt;four" in page and "<b>" not in page
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert "".join(text.split()) == "".join(str(report).split())


def test_an_unfinished_function_is_not_called_wrong() -> None:
    def unfinished(x: Any, y: Any, W1: Any, W2: Any, lam: Any) -> Any:
        raise NotImplementedError

    assert "not finished yet" in told(check("grad-W1", unfinished))


def test_several_results_come_as_a_tuple_a_list_or_a_dict() -> None:
    assert check("forward", lambda *args: list(forward(*args))).ok
    assert check(
        "forward", lambda *args: dict(zip("ozh", np.roll(np.array(forward(*args), object), 1), strict=True))
    ).ok
    assert "expected 3 things, z, h, o; received 2 things" in told(check("forward", lambda *args: forward(*args)[:2]))
    assert "received one ndarray" in told(check("forward", lambda *args: forward(*args)[0]))
    part = "h: expected numbers, received NoneType."
    assert part in told(check("forward", lambda *args: (forward(*args)[0], None, forward(*args)[2])))
    assert "received a dict of z" in told(check("forward", lambda *args: {"z": 1}))


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("twice", "four", "expected a number, received 'four'"),
        ("twice", True, "expected a number"),
        ("twice", 7, "7 is not right. Draw b = a + a with two arrows"),
        ("twice", float("nan"), "expected a number"),
        ("gradient-shape", 5, "expected a shape"),
        ("gradient-shape", (1, 2, 3, 4, 5), "expected 2 entries, received 5. J is one number: ask"),
        (
            "gradient-shape",
            np.zeros((256, 784)),
            "expected a shape, such as (2, 3), received an array of shape (256, 784)",
        ),
        ("twice", 4j, "expected a number, received 4j"),
        ("twice", np.complex128(4), "expected a number"),
        ("twice", 10**400, "expected a number"),
        ("gradient-shape", np.array(4), "expected a shape, such as (2, 3), received 4"),
        ("gradient-shape", (np.array([256, 784]), 1), "expected a shape"),
        ("kept-tanh", [["h", "o"]], "received [['h', 'o']]"),
        ("kept-tanh", "h", "expected a set of names"),
        ("kept-tanh", {"h", "w"}, "there is no w here: choose among h, o, z"),
    ],
)
def test_values_of_another_kind_are_refused_in_words(name: str, answer: Any, words: str) -> None:
    report = check(name, answer)
    assert not report.ok and words in told(report)


def test_values_may_be_lists_arrays_and_numpy_numbers() -> None:
    assert check("twice", np.int64(4)).ok and check("twice", np.array(4.0)).ok
    assert check("gradient-shape", [256, 784]).ok and check("gradient-shape", np.array([256, 784])).ok
    assert check("kept-tanh", ["o", "h"]).ok


def test_an_unknown_name_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(ValueError, match=r"name: expected one of forward, .*crossing, received 'nonsense'"):
        check("nonsense", 1)


def test_the_hessian_product_is_close_to_the_real_one() -> None:
    exercise = EXERCISES["hessian-vector"]
    assert isinstance(exercise, Code)
    for args in exercise.cases():
        a, w, v = args["gradient"].a, args["w"], args["v"]
        exact = 3 * w**2 * v + a * (a * v).sum()
        assert np.abs(exercise.expected(**args)["Hv"] - exact).max() < 1e-3 * np.abs(exact).max()


@pytest.mark.parametrize("shorter", [1, 2, 10, 1e3])
def test_a_difference_that_is_more_exact_is_right(shorter: float) -> None:
    """A smaller nudge, and one that takes a larger one's error away; but none that is off by a thousandth."""

    def product_(gradient: Any, w: Any, v: Any, eps: float) -> Any:
        eps = eps / shorter
        return (gradient(w + eps * v) - gradient(w - eps * v)) / (2 * eps)

    def slopes(J: Any, W: Any, eps: float) -> Any:
        wide, narrow = (differences(J, W, eps / (shorter * k)) for k in (1, 2))
        return (4 * narrow - wide) / 3

    assert check("hessian-vector", product_).ok
    assert check("differences", slopes).ok
    assert not check("hessian-vector", lambda *args: 1.001 * product_(*args)).ok
    assert not check("differences", lambda *args: 1.001 * slopes(*args)).ok
    assert not check("hessian-vector", lambda gradient, w, v, eps: product_(gradient, w, v, 10 * shorter * eps)).ok


def test_a_hessian_product_takes_the_multiplications_of_four_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the solution says: in matrix products, whatever the sizes."""
    monkeypatch.setattr(mlp.tangents, "_is_own", lambda graph, step: False)  # the rules that count are the book's own
    real: list[int] = []

    def counted(rule: Answer) -> Answer:
        def run(out: Any, one: Any, other: Any) -> None:
            rule(out, one, other)
            terms = one.size * other.size * out.size
            real.append(round(terms**0.5) * (4 if np.iscomplexobj(one) and np.iscomplexobj(other) else 1))

        return run

    row = mlp.ops.OPS["matmul"]
    vjps = tuple(replace(vjp, rule=counted(vjp.rule)) for vjp in row.vjps if vjp)
    table = {**mlp.ops.OPS, "matmul": replace(row, forward=counted(row.forward), vjps=vjps)}
    for widths, n in (([3, 4, 2], 5), ([6, 9, 7, 8, 3], 4), ([30, 5], 11)):
        plain = mlp.network(widths, n, "tanh")
        graph = mlp.Graph(plain.variables.values(), plain.equations, table=table)
        rng = np.random.default_rng(0)
        values = {name: rng.standard_normal(graph.variables[name].shape) for name in graph.given}
        mlp.value_and_grad(graph, values)
        gradient = sum(real)
        real.clear()
        mlp.hvp(graph, values, {"W1": values["W1"]})
        assert sum(real) == 4 * gradient > 0
        real.clear()


def test_an_empty_set_is_no_answer_and_gives_nothing_away() -> None:
    for empty in (set(), [], ()):
        report = check("kept-tanh", empty)
        assert not report.ok and "nothing is chosen yet: choose among h, o, z" in told(report)
        assert "missing" not in told(report)
    for answer in ({"z"}, {"o"}, {"h"}, {"z", "o"}):
        missing = {"h", "o"} - answer
        report = check("kept-tanh", answer)
        assert f"{len(missing)} of 2" in told(report)
        assert not any(re.search(rf"\b{name}\b (is|are) missing", told(report)) for name in missing)


def test_a_slope_that_is_wrong_by_a_thousandth_fails() -> None:
    assert not check("tanh-vjp", lambda h, delta: delta * (1 - 1.001 * h**2)).ok
