"""The rule table: what each operator computes, and how a cotangent goes back through it.

One row of `OPS` is all that the engine, the drawing, the trace and the tests know of an operator. A rule writes its
result into an array that it is given; it allocates nothing itself. Which array that is, and how long it lives, is the
engine's business.

Conventions (chapter "Backpropagation"): a column is an example; Jacobian rows are outputs; a gradient has the shape of
its variable; a cotangent goes back as ``J.T @ delta``, the vector-Jacobian product (VJP).
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import pi, prod, sqrt
from typing import Any, TypeVar

import numpy as np

from mlp.frozen import Constant, Frozen

Array = np.ndarray
Shape = tuple[int, ...]
Template = Callable[..., str]
T = TypeVar("T")
#: In the ``saves`` of a VJP: the very input whose VJP this is, for operators that take any number of inputs.
OWN = "own"


def no_workspace(*shapes: Shape) -> tuple[Shape, ...]:
    """Most rules need no array besides those they read and the one they write."""
    return ()


def never(**attrs: float) -> bool:
    """Most operators have a value whatever their numbers are."""
    return False


def one_per_entry(*shapes: Shape) -> int:
    """Count one operation for each entry of the largest input."""
    return max(prod(shape) for shape in shapes)


@dataclass(frozen=True)
class Vjp(Constant):
    """How the cotangent of an operator's output becomes one instalment of one input's cotangent.

    Attributes
    ----------
    rule : callable
        ``rule(out, delta, *saved, *work, **attrs)`` writes the instalment, which has the input's shape, into ``out``.
        ``delta`` is the cotangent of the operator's output.
    tex : callable
        ``tex(delta, *saved, **attrs)`` is the same formula in TeX.
    saves : tuple
        The residuals that the rule reads: argument numbers, ``"out"`` for the operator's output, `mlp.ops.OWN` for the
        input whose VJP this is. Nothing else is available to the rule.
    workspace : callable
        From the shapes of ``(delta, *saved)`` to the shapes of the temporary arrays that the rule needs.
    product : bool
        Whether each entry is a sum of products of ``delta`` and what is saved. Then none is larger than the product of
        their norms (Cauchy and Schwarz), and it is finite where their sums of squares are.
    """

    rule: Callable[..., None]
    tex: Template
    saves: tuple[int | str, ...] = ()
    workspace: Callable[..., tuple[Shape, ...]] = no_workspace
    product: bool = False

    def residuals(self, inputs: Sequence[T], output: T, argnum: int) -> list[T]:
        """What the rule reads of an equation, in its order: of the arrays, the arrays; of their names, the names."""
        named = {OWN: inputs[argnum], "out": output}
        return [inputs[what] if isinstance(what, int) else named[what] for what in self.saves]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the functions by their names."""
        return _reduced(self, f"VJP {getattr(self.rule, '__name__', self.rule)}")


@dataclass(frozen=True, repr=False)
class Op(Constant):
    """One operator: its shape rule, its forward rule, and one VJP for each input.

    Attributes
    ----------
    name : str
        The operator's name in equations.
    symbol : str
        One to four characters for the circle in a drawing.
    tex : callable
        ``tex(*inputs, **attrs)`` is the right-hand side of the equation in TeX.
    infer_shape : callable
        From the shapes of the inputs to the shape of the output; raises ValueError when they do not fit.
    forward : callable
        ``forward(out, *inputs, *work, **attrs)`` writes the value, in the shape of ``infer_shape``, into ``out``.
    vjps : tuple of Vjp or None
        One for each input, None where the operator has no derivative; a variadic operator has one for all its inputs.
    workspace : callable
        From the shapes of the inputs to the shapes of the temporary arrays that ``forward`` needs.
    flops : callable
        From the shapes of the inputs to the floating-point operations of ``forward``, functions counted as one.
    attrs : mapping
        The names of the numbers that the operator needs besides its inputs (each ≥ 0), with their symbols in TeX.
    variadic : bool
        Whether the operator takes any number of inputs, from one up.
    gain : float
        By how much the weights' variance is raised in a network that uses it, to make up for what it silences.
    corner : bool
        Whether it has two slopes where its input is 0: there, differences and derivative need not agree.
    vanishes : callable
        ``vanishes(**attrs)`` says whether with these numbers the value is 0, and so is every instalment.
    requires : mapping
        From an argument number to a function that returns what is wrong with that input's values, or None.
    """

    name: str
    symbol: str
    tex: Template
    infer_shape: Callable[..., Shape]
    forward: Callable[..., None]
    vjps: tuple[Vjp | None, ...]
    workspace: Callable[..., tuple[Shape, ...]] = no_workspace
    flops: Callable[..., int] = one_per_entry
    attrs: Mapping[str, str] = field(default_factory=Frozen)
    variadic: bool = False
    gain: float = 1.0
    corner: bool = False
    vanishes: Callable[..., bool] = never
    requires: Mapping[int, Callable[[Array], str | None]] = field(default_factory=Frozen)

    def __repr__(self) -> str:
        """Its name; its functions would say less, and its symbol is not to be had on every console."""
        return f"<Op {self.name}>"

    def vjp(self, argnum: int) -> Vjp | None:
        """The rule that carries a cotangent back to input ``argnum``, or None where there is no derivative."""
        return self.vjps[0 if self.variadic else argnum]

    @property
    def saves(self) -> frozenset[int | str]:
        """All residuals that some VJP of this operator reads."""
        return frozenset(what for vjp in self.vjps if vjp for what in vjp.saves)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a row of the table by its name, one's own operators by the names of their functions."""
        return (_row, (self.name,)) if OPS.get(self.name) is self else _reduced(self, f"operator {self.name}")


def _row(name: str) -> Op:
    return OPS[name]


def _reduced(thing: Op | Vjp, what: str) -> tuple[Any, ...]:
    """How to make it again; only a function that has a name of its own in a module can be found again."""
    given = {field.name: getattr(thing, field.name) for field in fields(thing)}
    for name, value in given.items():
        if "<" in getattr(value, "__qualname__", ""):  # <lambda>, or <locals> of a function
            raise pickle.PicklingError(
                f"{what}: expected functions that are defined by def at the top of a module, since they are pickled "
                f"by name, received {name} = {value.__qualname__}"
            )
    return type(thing), tuple(given.values())


# --- matrix product: W x --------------------------------------------------------------------------------------------


def matmul_shape(W: Shape, x: Shape) -> Shape:
    """(m, d) times (d, n) is (m, n)."""
    if len(W) != 2 or len(x) != 2:
        raise ValueError(f"expected two matrices, received shapes {W} and {x}")
    if W[1] != x[0]:
        rows = f"{W[1]} row{'s' * (W[1] != 1)}"
        raise ValueError(f"expected the second factor to have {rows}, as {W} has columns, received {x}")
    return W[0], x[1]


def matmul_flops(W: Shape, x: Shape) -> int:
    """A product and a sum for each of m, d and n."""
    return 2 * W[0] * W[1] * x[1]


LARGE = 16_384  # entries: from here on, filling the result with zeros, as `dot` does first, costs more than a call


def matmul(out: Array, W: Array, x: Array) -> None:
    """Write ``W @ x``, in the quicker of NumPy's two ways; they give the same bits."""
    if out.size < LARGE or W.shape[1] == 1:
        W.dot(x, out=out)
    else:
        np.matmul(W, x, out=out)  # not for outer products, which it does not leave to BLAS


def matmul_vjp_left(out: Array, delta: Array, x: Array) -> None:
    """``delta @ x.T``: for one example, the outer product of the cotangent and the input."""
    matmul(out, delta, x.T)


def matmul_vjp_right(out: Array, delta: Array, W: Array) -> None:
    """``W.T @ delta``."""
    matmul(out, W.T, delta)


# --- bias: a + b 1ᵀ -------------------------------------------------------------------------------------------------


def bias_shape(a: Shape, b: Shape) -> Shape:
    """A column (m, 1), added to each column of (m, n)."""
    if len(a) != 2 or b != (a[0], 1):
        raise ValueError(f"expected a matrix (m, n) and a column (m, 1), received shapes {a} and {b}")
    return a


def bias(out: Array, a: Array, b: Array) -> None:
    """Copy the column ``b`` to every example and add."""
    np.copyto(out, b)
    np.add(out, a, out=out)


def pass_on(out: Array, delta: Array) -> None:
    """The cotangent, unchanged."""
    np.copyto(out, delta)


def bias_vjp(out: Array, delta: Array) -> None:
    """Backward of copying is summing: ``delta @ ones``, over the examples."""
    np.add.reduce(delta, axis=1, keepdims=True, out=out)


# --- activations, elementwise ---------------------------------------------------------------------------------------


def same_shape(x: Shape) -> Shape:
    """An elementwise operator keeps the shape."""
    return x


def identity(out: Array, z: Array) -> None:
    """Write ``z`` itself: a network of this activation is linear."""
    np.copyto(out, z)


def relu(out: Array, z: Array) -> None:
    """``max(z, 0)``."""
    np.maximum(z, 0, out=out)


def relu_vjp(out: Array, delta: Array, h: Array) -> None:
    """``delta * (h > 0)``: asked of h, since h > 0 exactly where z > 0. The slope at 0 is taken as 0, a choice."""
    np.greater(h, 0, out=out)
    np.multiply(out, delta, out=out)


def tanh(out: Array, z: Array) -> None:
    """The hyperbolic tangent."""
    np.tanh(z, out=out)


def tanh_vjp(out: Array, delta: Array, h: Array) -> None:
    """``delta * (1 - h**2)``, as ``delta - delta * h * h``: h is enough, z need not be kept."""
    np.multiply(h, h, out=out)
    np.multiply(out, delta, out=out)
    np.subtract(delta, out, out=out)


SIGMOID_FLAT = 80.0  # beyond, the sigmoid is 1 to the last bit, and in float32 exp would soon overflow
TINY = {kind: float(np.finfo(kind).tiny) for kind in "fdD"}  # the smallest normal number, a power of 2, by dtype.char


def sigmoid(out: Array, z: Array) -> None:
    """``exp(z) / (1 + exp(z))``, as ``1 / (1 / exp(z) + 1)``: every digit is right in the tail, where z < 0, too."""
    tiny = TINY[out.dtype.char]
    np.minimum(z, SIGMOID_FLAT, out=out)
    np.exp(out, out=out)
    np.add(out, tiny, out=out)  # exp may be 0, and 1 / 0 is no number; it is taken off again below
    np.divide(1, out, out=out)
    np.add(out, 1, out=out)
    np.divide(1, out, out=out)
    np.subtract(out, tiny, out=out)


def sigmoid_vjp(out: Array, delta: Array, h: Array) -> None:
    """``delta * h * (1 - h)``."""
    np.subtract(1, h, out=out)
    np.multiply(out, h, out=out)
    np.multiply(out, delta, out=out)


GELU_SCALE, GELU_CUBIC = 2 * sqrt(2 / pi), 0.044715
GELU_FLAT = 22.0  # beyond ±22 the gate is 0 or 1 to the last bit, so clipping there changes nothing; z³ cannot overflow


def gelu_gate(out: Array, z: Array) -> None:
    """Write ``sigmoid(2√(2/π) (z + 0.044715 z³))``, for z already within ±22."""
    np.multiply(z, z, out=out)
    np.multiply(out, GELU_CUBIC, out=out)
    np.add(out, 1, out=out)
    np.multiply(out, z, out=out)
    np.multiply(out, GELU_SCALE, out=out)
    sigmoid(out, out)


def gelu(out: Array, z: Array, clipped: Array) -> None:
    """``z (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2``, the tanh form of Hendrycks and Gimpel (2016).

    ``(1 + tanh(u)) / 2`` is ``sigmoid(2 u)``, which keeps its digits where z < 0.
    """
    np.clip(z, -GELU_FLAT, GELU_FLAT, out=clipped)
    gelu_gate(out, clipped)
    np.multiply(out, z, out=out)


def gelu_vjp(out: Array, delta: Array, z: Array, gate: Array, clipped: Array) -> None:
    """``delta * g (1 + z 2√(2/π) (1 + 3·0.044715 z²) (1 - g))`` with g the gate: it needs z, h will not do."""
    np.clip(z, -GELU_FLAT, GELU_FLAT, out=clipped)
    gelu_gate(gate, clipped)
    np.multiply(clipped, clipped, out=out)
    np.multiply(out, 3 * GELU_CUBIC, out=out)
    np.add(out, 1, out=out)
    np.multiply(out, clipped, out=out)
    np.multiply(out, GELU_SCALE, out=out)
    np.subtract(1, gate, out=clipped)
    np.multiply(out, clipped, out=out)
    np.add(out, 1, out=out)
    np.multiply(out, gate, out=out)
    np.multiply(out, delta, out=out)


# --- losses: averaged over the examples -----------------------------------------------------------------------------


def loss_shape(o: Shape, y: Shape) -> Shape:
    """Outputs and targets of one shape (q, n) give one number."""
    if len(o) != 2 or o != y:
        raise ValueError(f"expected outputs and targets of one shape (q, n), received shapes {o} and {y}")
    return ()


def scale(out: Array, factor: float) -> None:
    """Multiply in place, where that changes anything."""
    if factor != 1:
        np.multiply(out, factor, out=out)


def squared_error(L: Array, o: Array, y: Array, difference: Array) -> None:
    """``½ ‖o − y‖² / n``."""
    np.subtract(o, y, out=difference)
    flat = difference.ravel()
    L[()] = flat.dot(flat) / (2 * o.shape[1])


def squared_error_vjp_output(out: Array, delta: Array, o: Array, y: Array) -> None:
    """``delta (o − y) / n``: here the 1/n of the average enters backward, and nowhere after."""
    np.subtract(o, y, out=out)
    scale(out, delta.item() / o.shape[1])


def squared_error_vjp_target(out: Array, delta: Array, o: Array, y: Array) -> None:
    """``delta (y − o) / n``."""
    squared_error_vjp_output(out, delta, y, o)


def cross_entropy_shape(o: Shape, y: Shape) -> Shape:
    """As any loss, with two outputs or more: one output is always the likeliest, and J and all gradients would be 0."""
    shape = loss_shape(o, y)
    if o[0] == 1:
        raise ValueError(
            "expected at least 2 outputs, one for each class, received 1; for two classes make 2 outputs, "
            "and pass y = mlp.one_hot(labels, 2)"
        )
    return shape


def cross_entropy(L: Array, o: Array, y: Array, shifted: Array, column: Array) -> None:
    """The mean over examples of ``log Σ exp(o) − o[label]``.

    Each column's maximum is taken off first, so that nothing overflows.
    """
    np.maximum.reduce(o, axis=0, keepdims=True, out=column)
    np.copyto(shifted, column)
    np.subtract(o, shifted, out=shifted)
    at_label = np.einsum("ij,ij->", y, shifted)
    np.exp(shifted, out=shifted)
    np.add.reduce(shifted, axis=0, keepdims=True, out=column)
    np.log(column, out=column)
    L[()] = (np.add.reduce(column, axis=None) - at_label) / o.shape[1]


def cross_entropy_vjp(out: Array, delta: Array, o: Array, y: Array, sums: Array, column: Array) -> None:
    """``delta (p − y) / n`` with p = softmax(o). This short form needs Σy = 1 in each column, so it is required."""
    softmax(out, o, sums, column)
    np.subtract(out, y, out=out)
    scale(out, delta.item() / o.shape[1])


def softmax(out: Array, o: Array, sums: Array, column: Array) -> None:
    """Write the probabilities of each column of logits ``o``; ``sums`` (q, n) and ``column`` (1, n) are workspace."""
    np.maximum.reduce(o, axis=0, keepdims=True, out=column)
    np.copyto(out, column)
    np.subtract(o, out, out=out)
    np.exp(out, out=out)
    np.add.reduce(out, axis=0, keepdims=True, out=column)
    np.copyto(sums, column)  # broadcast by copying: ufuncs that broadcast make buffers of their own
    np.divide(out, sums, out=out)


def not_one_hot(y: Array) -> str | None:
    """Say what keeps ``y`` (q, n) from being one-hot: a single 1 in each column, zeros elsewhere; else None."""
    good = (np.count_nonzero(y, axis=0) == 1) & (np.maximum.reduce(y, axis=0) == 1)
    if good.all():
        return None
    column = int(np.argmin(good))
    entries = ", ".join(f"{entry:g}" for entry in y[:6, column]) + (", ..." if y.shape[0] > 6 else "")
    return f"one-hot columns (a single 1, zeros elsewhere), received column {column} = ({entries})"


# --- scalars: the regulariser and the objective ---------------------------------------------------------------------


def scalar_shape(*shapes: Shape) -> Shape:
    """Any arrays give one number."""
    return ()


def l2(s: Array, *weights: Array, weight_decay: float) -> None:
    """``(λ/2) Σ ‖W‖²``: the squared Frobenius norm, which is the ℓ2 norm of the flattened matrix, squared."""
    total = 0.0
    for W in weights:
        flat = W.ravel(order="K")  # a view where W is contiguous, by rows or by columns
        total += flat.dot(flat).item()
    s[()] = 0.5 * weight_decay * total


def l2_vjp(out: Array, delta: Array, W: Array, *, weight_decay: float) -> None:
    """``delta λ W``: the 2 of the square cancels the ½."""
    if weight_decay == 0:
        out.fill(0)  # no negative zeros
    else:
        np.multiply(W, delta.item() * weight_decay, out=out)


def add_shape(*shapes: Shape) -> Shape:
    """All terms have one shape; none is broadcast."""
    if len(set(shapes)) != 1:
        raise ValueError(f"expected terms of one shape, received shapes {', '.join(map(str, shapes))}")
    return shapes[0]


def add(out: Array, first: Array, *others: Array) -> None:
    """The sum of all inputs."""
    if not others:
        np.copyto(out, first)
    for other in others:
        np.add(first, other, out=out)
        first = out


# --- the table ------------------------------------------------------------------------------------------------------


def tex_norms(*names: str) -> str:
    """Squared Frobenius norms, summed; many are shortened to the first and the last."""
    norms = [rf"\lVert {name} \rVert_F^2" for name in names]
    if len(norms) > 4:
        norms = [norms[0], r"\cdots", norms[-1]]
    return norms[0] if len(norms) == 1 else r"\left( " + " + ".join(norms) + r" \right)"


def tex_applied(name: str) -> Template:
    """A named function of one argument."""
    return lambda z: r"\operatorname{" + name + "}" + f"({z})"


_ROWS = (
    Op(
        "matmul",
        "×",
        lambda W, x: f"{W} {x}",
        matmul_shape,
        matmul,
        (
            Vjp(matmul_vjp_left, lambda delta, x: rf"{delta} \, {x}^\top", saves=(1,), product=True),
            Vjp(matmul_vjp_right, lambda delta, W: rf"{W}^\top {delta}", saves=(0,), product=True),
        ),
        flops=matmul_flops,
    ),
    Op(
        "bias",
        "+",
        lambda a, b: rf"{a} + {b} \mathbf{{1}}^\top",
        bias_shape,
        bias,
        (
            Vjp(pass_on, lambda delta: delta),
            Vjp(bias_vjp, lambda delta: rf"{delta} \, \mathbf{{1}}"),
        ),
    ),
    Op("identity", "id", tex_applied("id"), same_shape, identity, (Vjp(pass_on, lambda delta: delta),)),
    Op(
        "relu",
        "relu",
        tex_applied("relu"),
        same_shape,
        relu,
        (Vjp(relu_vjp, lambda delta, h: rf"{delta} \odot [{h} > 0]", saves=("out",)),),
        gain=2.0,
        corner=True,
    ),
    Op(
        "tanh",
        "tanh",
        tex_applied("tanh"),
        same_shape,
        tanh,
        (Vjp(tanh_vjp, lambda delta, h: rf"{delta} \odot (1 - {h} \odot {h})", saves=("out",)),),
    ),
    Op(
        "sigmoid",
        "σ",
        tex_applied("sigmoid"),
        same_shape,
        sigmoid,
        (Vjp(sigmoid_vjp, lambda delta, h: rf"{delta} \odot {h} \odot (1 - {h})", saves=("out",)),),
    ),
    Op(
        "gelu",
        "gelu",
        tex_applied("gelu"),
        same_shape,
        gelu,
        (
            Vjp(
                gelu_vjp,
                lambda delta, z: rf"{delta} \odot \operatorname{{gelu}}'({z})",
                saves=(0,),
                workspace=lambda delta, z: (z, z),
            ),
        ),
        workspace=lambda z: (z,),
        gain=2.0,
    ),
    Op(
        "squared_error",
        "SE",
        lambda o, y: rf"\frac{{1}}{{2n}} \lVert {o} - {y} \rVert_F^2",
        loss_shape,
        squared_error,
        (
            Vjp(
                squared_error_vjp_output,
                lambda delta, o, y: rf"\frac{{1}}{{n}} ({o} - {y}) \, {delta}",
                saves=(0, 1),
            ),
            Vjp(
                squared_error_vjp_target,
                lambda delta, o, y: rf"\frac{{1}}{{n}} ({y} - {o}) \, {delta}",
                saves=(0, 1),
            ),
        ),
        workspace=lambda o, y: (o,),
    ),
    Op(
        "cross_entropy",
        "CE",
        lambda o, y: rf"-\frac{{1}}{{n}} \sum {y} \odot \log \operatorname{{softmax}}({o})",
        cross_entropy_shape,
        cross_entropy,
        (
            Vjp(
                cross_entropy_vjp,
                lambda delta, o, y: rf"\frac{{1}}{{n}} (\operatorname{{softmax}}({o}) - {y}) \, {delta}",
                saves=(0, 1),
                workspace=lambda delta, o, y: (o, (1, o[1])),
            ),
            None,
        ),
        workspace=lambda o, y: (o, (1, o[1])),
        requires=Frozen({1: not_one_hot}),
    ),
    Op(
        "l2",
        "ℓ₂",
        lambda *W, weight_decay: rf"\frac{{{weight_decay}}}{{2}} {tex_norms(*W)}",
        scalar_shape,
        l2,
        (Vjp(l2_vjp, lambda delta, W, weight_decay: rf"{weight_decay} {W} \, {delta}", saves=(OWN,)),),
        attrs=Frozen({"weight_decay": r"\lambda"}),
        vanishes=lambda weight_decay: weight_decay == 0,
        variadic=True,
    ),
    Op(
        "add",
        "+",
        lambda *terms: " + ".join(terms),
        add_shape,
        add,
        (Vjp(pass_on, lambda delta: delta),),
        variadic=True,
    ),
)

#: The rule table: every operator by its name.
OPS: Mapping[str, Op] = Frozen({op.name: op for op in _ROWS})
ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "gelu")
LOSSES = ("squared_error", "cross_entropy")
