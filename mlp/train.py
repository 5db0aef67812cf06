"""Training: forward, backward, update, again and again.

The two passes are the engine's; here is what draws the minibatches and changes the parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlp.graph import Graph
from mlp.inputs import counted, generator, listed, non_negative, one_of, positive, positive_int
from mlp.ops import Array
from mlp.optimizers import OPTIMIZERS, Optimizer
from mlp.prepared import Run, prepare
from mlp.steps import check_graph
from mlp.text import number, plain, printed
from mlp.values import check_array


@dataclass
class History:
    """What happened during training.

    Attributes
    ----------
    params : dict of str to ndarray
        The parameters as training left them; new arrays, the caller's to keep.
    J, L, s : list of float
        The objective, the loss and the regulariser on the minibatch of each step, before that step's update. L and s
        stay empty for a graph that has no variables of these names.
    sizes : list of int
        Examples in the minibatch of each step.
    evaluations : list
        What ``evaluate(params)`` returned after each epoch.
    steps_per_epoch : int
    """

    params: dict[str, Array]
    J: list[float] = field(default_factory=list)
    L: list[float] = field(default_factory=list)
    s: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    evaluations: list[Any] = field(default_factory=list)
    steps_per_epoch: int = 1

    def by_epoch(self, name: str) -> list[float]:
        """The mean of ``"J"``, ``"L"`` or ``"s"`` over the examples of each epoch."""
        one_of(name, ("J", "L", "s"), "name")
        values: list[float] = getattr(self, name)
        epochs = [slice(start, start + self.steps_per_epoch) for start in range(0, len(values), self.steps_per_epoch)]
        return [
            sum(value * size for value, size in zip(values[epoch], self.sizes[epoch], strict=True))
            / sum(self.sizes[epoch])
            for epoch in epochs
        ]

    def __repr__(self) -> str:
        """One line."""
        last = plain(f", J {number(self.J[0])} → {number(self.J[-1])}") if self.J else ""
        return f"<History: {counted(len(self.J), 'step')}, {counted(len(self.params), 'parameter')}{last}>"


class DivergenceError(FloatingPointError):
    """The objective became infinite or NaN.

    ``history`` has everything up to the last step whose J was finite; its ``params`` are those that the failing step
    found, so they may be infinite themselves.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message, history)  # both, so that it can be pickled
        self.history = history

    def __str__(self) -> str:
        """The message."""
        return str(self.args[0])


def sgd(
    graph: Graph,
    params: Mapping[str, Array],
    data: tuple[Array, Array],
    *,
    lr: float,
    epochs: int,
    batch_size: int,
    seed: int | np.random.Generator = 0,
    momentum: float = 0.0,
    evaluate: Callable[[dict[str, Array]], Any] | None = None,
    progress: Callable[[str], object] | None = None,
) -> History:
    """Minibatch stochastic gradient descent: W ← W − lr ∂J/∂W; with momentum W ← W − lr v, v ← momentum v + ∂J/∂W.

    Parameters
    ----------
    graph : Graph
        Its batch does not matter: graphs for ``batch_size`` examples, and for a smaller last minibatch, are made here.
    params : mapping of str to ndarray
        Where to start. Never changed.
    data : tuple of ndarray
        ``(X, Y)``, X (d, N) and Y (q, N): a column is an example.
    lr : float
        The learning rate, > 0.
    epochs : int
        How many times to go through the data.
    batch_size : int
        Examples in a minibatch, at most N.
    seed : int or numpy.random.Generator
        For the order of the examples, new in every epoch. The same seed gives the same bits.
    momentum : float
        How much of the last step's velocity stays, in [0, 1). Without it (0) no velocity is kept.
    evaluate : callable, optional
        Called with a copy of the parameters after each epoch; what it returns is kept in ``History.evaluations``.
    progress : callable, optional
        Called with a line of text after each epoch, for example ``print``.

    Returns
    -------
    History

    Raises
    ------
    DivergenceError
        When J is not finite any more, with the step, the last finite J, and the history up to there.
    """
    settings = {"lr": positive(lr, "lr")}
    if _decay(momentum, "momentum") == 0:
        return _train(graph, params, data, OPTIMIZERS["sgd"], settings, epochs, batch_size, seed, evaluate, progress)
    settings["momentum"] = float(momentum)
    return _train(graph, params, data, OPTIMIZERS["momentum"], settings, epochs, batch_size, seed, evaluate, progress)


def adam(
    graph: Graph,
    params: Mapping[str, Array],
    data: tuple[Array, Array],
    *,
    lr: float = 0.001,
    epochs: int,
    batch_size: int,
    seed: int | np.random.Generator = 0,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    evaluate: Callable[[dict[str, Array]], Any] | None = None,
    progress: Callable[[str], object] | None = None,
) -> History:
    """Adam (Kingma and Ba, 2015): steps scaled by running means of the gradient and of its square.

    The regulariser is part of the gradient, as everywhere in this book; AdamW takes the decay out of it.

    Parameters
    ----------
    graph, params, data, lr, epochs, batch_size, seed
        As for `sgd`.
    beta1, beta2 : float
        The decay of the mean of the gradient and of its square, in [0, 1).
    epsilon : float
        Keeps the step finite where the gradient is 0; > 0.
    evaluate, progress
        As for `sgd`.

    Returns
    -------
    History

    Raises
    ------
    DivergenceError
        As `sgd`.
    """
    check_graph(graph)
    tiny = positive(epsilon, "epsilon")
    if np.dtype(graph.dtype).type(tiny) == 0:
        raise ValueError(f"epsilon: expected a number that is not 0 in {graph.dtype}, received {epsilon}")
    settings = {
        "lr": positive(lr, "lr"),
        "beta1": _decay(beta1, "beta1"),
        "beta2": _decay(beta2, "beta2"),
        "epsilon": tiny,
    }
    return _train(graph, params, data, OPTIMIZERS["adam"], settings, epochs, batch_size, seed, evaluate, progress)


def _decay(value: object, what: str) -> float:
    """How much of a running mean stays from step to step."""
    decay = non_negative(value, what)
    if decay >= 1:
        raise ValueError(f"{what}: expected a number in [0, 1), received {value}")
    return decay


def _train(
    graph: Graph,
    params: Mapping[str, Array],
    data: tuple[Array, Array],
    optimizer: Optimizer,
    settings: dict[str, float],
    epochs: int,
    batch_size: int,
    seed: int | np.random.Generator,
    evaluate: Callable[[dict[str, Array]], Any] | None,
    progress: Callable[[str], object] | None,
) -> History:
    """The loop: draw a minibatch, forward and backward, update."""
    check_graph(graph)
    names = _input_and_target(graph)
    examples = _checked_data(graph, names, data)
    total = len(examples[0])
    size = positive_int(batch_size, "batch_size")
    if size > total:
        raise ValueError(f"batch_size: expected at most {counted(total, 'example')}, received {size}")
    epochs = positive_int(epochs, "epochs")
    for what, function in (("evaluate", evaluate), ("progress", progress)):
        if function is not None and not callable(function):
            raise TypeError(f"{what}: expected a function or None, received {function!r}")
    current = _checked_params(graph, params)
    rng = generator(seed)
    recorded = [name for name in ("L", "s") if name in graph.variables and graph.variables[name].shape == ()]
    runs: dict[int, tuple[Run, list[Array], dict[str, Array]]] = {}
    for n in {size, total % size or size}:  # the last minibatch of an epoch may be smaller
        # Examples are gathered as rows, which is faster, into buffers that the run reads as columns.
        rows = [part[:n].copy() for part in examples]
        columns = {name: row.T for name, row in zip(names, rows, strict=True)}
        runs[n] = prepare(graph.with_batch(n), keep=recorded), rows, current | columns

    shapes = {name: param.shape for name, param in current.items()}
    state, work = optimizer.start(shapes, graph.dtype), optimizer.work(shapes, graph.dtype)
    history = History(current, steps_per_epoch=-(-total // size))
    for epoch in range(1, epochs + 1):
        order = rng.permutation(total)
        for start in range(0, total, size):
            chosen = order[start : start + size]
            run, rows, values = runs[len(chosen)]
            for part, row in zip(examples, rows, strict=True):
                np.take(part, chosen, axis=0, out=row)
            try:
                J, grads = run(values)
            except FloatingPointError as error:
                raise _diverged(history, error) from error
            history.J.append(J)
            for name in recorded:
                getattr(history, name).append(float(run[name]))
            history.sizes.append(len(chosen))
            try:
                with np.errstate(over="raise", invalid="raise", divide="raise", under="ignore"):
                    optimizer.update(len(history.J), current, grads, state, work, **settings)
            except FloatingPointError as error:
                raise _diverged(history, FloatingPointError(f"in the update: {error}")) from error
        if evaluate is not None:
            history.evaluations.append(evaluate({name: param.copy() for name, param in current.items()}))
        if progress is not None:
            progress(_line(history, epoch, epochs, ("J", *recorded)))
    return history


def _line(history: History, epoch: int, epochs: int, names: tuple[str, ...]) -> str:
    """What `progress` is told after an epoch."""
    parts = [f"{name} {plain(number(history.by_epoch(name)[-1]))}" for name in names]
    if history.evaluations:
        last = history.evaluations[-1]
        parts.append(f"evaluation {plain(number(last)) if isinstance(last, float) else last}")
    return printed(f"epoch {epoch}/{epochs}  " + "  ".join(parts))


def _diverged(history: History, error: Exception) -> DivergenceError:
    step = len(history.J)
    last = f"the last finite J was {history.J[-1]:.6g}" if history.J else "no J was finite"
    return DivergenceError(
        f"training diverged at step {step}: expected a finite objective; {last}. A smaller lr may help. ({error})",
        history,
    )


def _input_and_target(graph: Graph) -> tuple[str, str]:
    """The names of the one input and the one target that the data are for."""
    by_role = [[name for name in graph.inputs if graph.variables[name].role == role] for role in ("input", "target")]
    if [len(names) for names in by_role] != [1, 1]:
        raise ValueError(f"graph: expected one input and one target, received {by_role[0]} and {by_role[1]}")
    return by_role[0][0], by_role[1][0]


def _checked_data(graph: Graph, names: tuple[str, str], data: object) -> tuple[Array, Array]:
    """X and Y as rows, after checking them as one large batch."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        received = counted(len(data), "part") if isinstance(data, tuple | list) else type(data).__name__
        raise TypeError(f"data: expected a pair (X, Y), received {received}")
    X, Y = data
    total = _examples(graph, names[0], X)
    whole = graph.with_batch(total)
    check_array(whole, names[0], X, label="X", batch=False)
    rows = graph.variables[names[1]].shape[0]
    if isinstance(Y, np.ndarray) and Y.ndim == 2 and len(Y) == rows and Y.shape[1] != total:
        raise ValueError(
            f"data: expected as many columns in Y as in X, {total}, received {Y.shape[1]}; an example is a column"
        )
    check_array(whole, names[1], Y, label="Y", batch=False)
    return np.array(X.T, order="C"), np.array(Y.T, order="C")


def _examples(graph: Graph, name: str, X: object) -> int:
    """How many examples there are, also where they are rows, or a line of numbers, which is complained of next."""
    try:
        shape = np.asarray(X).shape
    except ValueError:  # rows of different lengths
        return 1
    as_rows, as_columns = (shape[axis:][:1] == graph.variables[name].shape[:1] for axis in (1, 0))
    if len(shape) == 2:
        return int(shape[0] if as_rows and not as_columns else shape[1]) or 1
    return int(shape[0]) or 1 if len(shape) == 1 and not as_columns else 1


def _checked_params(graph: Graph, params: Mapping[str, Array]) -> dict[str, Array]:
    """Copies of the caller's parameters."""
    if not isinstance(params, Mapping) or params.keys() != set(graph.parameters):
        received = listed(params) if isinstance(params, Mapping) else type(params).__name__
        raise ValueError(f"params: expected {listed(graph.parameters)}, received {received}")
    for name in graph.parameters:
        check_array(graph, name, params[name])
    return {name: np.array(params[name], order="C") for name in graph.parameters}
