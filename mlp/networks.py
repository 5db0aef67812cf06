"""The networks of the book as graphs: one hidden layer as in the source text, and any depth.

`network` writes the list of equations; nothing here computes.
"""

from collections.abc import Sequence

import numpy as np

from mlp.graph import DTYPES, Equation, Graph, Variable
from mlp.inputs import non_negative, one_of, positive_int
from mlp.ops import ACTIVATIONS, LOSSES


def network(
    widths: Sequence[int] | np.ndarray,
    batch: int = 1,
    activation: str = "relu",
    loss: str = "squared_error",
    weight_decay: float = 0.0,
    bias: bool = False,
    dtype: str = "float64",
) -> Graph:
    """A multilayer perceptron with the objective J = L + s.

    With one hidden layer the variables are the source text's: z = W1 x, h = φ(z), o = W2 h, L = loss(o, y),
    s = (λ/2) (‖W1‖² + ‖W2‖²), J = L + s. Deeper networks number them: z1, h1, z2, … With biases, a1 = W1 x and
    z = a1 + b1.

    Parameters
    ----------
    widths : sequence of int
        Entries of an example, units of each hidden layer, outputs: ``[d, m, q]`` for one hidden layer. At least two.
    batch : int
        How many examples, one a column.
    activation : str
        ``"identity"``, ``"relu"``, ``"tanh"``, ``"sigmoid"`` or ``"gelu"``, after every layer but the last.
    loss : str
        ``"squared_error"``, ½‖o − y‖², or ``"cross_entropy"`` of softmax(o) against one-hot y (see `mlp.one_hot`), with
        two outputs at least; averaged over the batch.
    weight_decay : float
        λ ≥ 0. It covers weights, not biases.
    bias : bool
        Whether every layer adds a bias.
    dtype : str
        ``"float64"`` or ``"float32"``.

    Returns
    -------
    Graph
        Inputs x (d, n), y (q, n); parameters W1 (m, d), …; output o (q, n); objective J ().

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was expected and what was received.
    """
    given: object = widths.tolist() if isinstance(widths, np.ndarray) else widths
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise TypeError(f"widths: expected a sequence of whole numbers such as [3, 4, 2], received {widths!r}")
    sizes = [positive_int(width, f"widths[{position}]") for position, width in enumerate(given)]
    if len(sizes) < 2:
        raise ValueError(f"widths: expected at least two, the entries of x and of o, received {list(given)!r}")
    n = positive_int(batch, "batch")
    one_of(activation, ACTIVATIONS, "activation")
    one_of(loss, LOSSES, "loss")
    one_of(dtype, DTYPES, "dtype")
    decay = non_negative(weight_decay, "weight_decay")
    if not isinstance(bias, bool):
        raise TypeError(f"bias: expected True or False, received {bias!r}")

    layers = len(sizes) - 1
    variables = [Variable("x", (sizes[0], n), dtype, "input")]
    equations: list[Equation] = []
    below = "x"
    for layer in range(1, layers + 1):
        number = "" if layers == 2 else str(layer)
        above = "o" if layer == layers else f"z{number}"
        rows, columns = sizes[layer], sizes[layer - 1]
        variables.append(Variable(f"W{layer}", (rows, columns), dtype, "parameter"))
        equations.append(Equation("matmul", (f"W{layer}", below), f"a{layer}" if bias else above))
        if bias:
            variables.append(Variable(f"b{layer}", (rows, 1), dtype, "parameter"))
            equations.append(Equation("bias", (f"a{layer}", f"b{layer}"), above))
        if layer < layers:
            below = f"h{number}"
            equations.append(Equation(activation, (above,), below))
    variables.append(Variable("y", (sizes[-1], n), dtype, "target"))
    weights = tuple(f"W{layer}" for layer in range(1, layers + 1))
    equations += [
        Equation(loss, ("o", "y"), "L"),
        Equation("l2", weights, "s", {"weight_decay": decay}),
        Equation("add", ("L", "s"), "J"),
    ]
    return Graph(variables, equations, objective="J", output="o")
