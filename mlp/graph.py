"""The one graph: a list of equations, in execution order, over named and shaped variables.

A `Graph` is data. It is checked when it is made, and never changes. What it computes is in `ops`, how it is run in
`engine`, what it looks like in `draw`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod, sqrt
from typing import Any

import numpy as np

from mlp.frozen import Frozen
from mlp.inputs import counted, generator, listed, non_negative, one_of, positive_int
from mlp.ops import OPS, Op, Shape
from mlp.text import printed

DTYPES = ("float32", "float64")
GIVEN = ("input", "target", "parameter")  # roles of variables whose values the caller brings
ROLES = (*GIVEN, "intermediate")
FORMAT = 1  # version of the JSON that `Graph.to_json` writes


def tex_name(name: str, shape: Shape) -> str:
    """TeX of a variable's name: a trailing number is a superscript in brackets, scalars are not bold."""
    match = re.fullmatch(r"([A-Za-z]+)(\d*)", name)
    if match is None:
        words = re.sub(r"_+", r"\ ", name.strip("_"))
        return r"\mathrm{" + (words or r"\_") + "}"
    stem, number = match.groups()
    letter = stem if shape == () else rf"\mathbf{{{stem}}}"
    return f"{letter}^{{({number})}}" if number else letter


@dataclass(frozen=True)
class Variable:
    """A named array of a fixed shape.

    Attributes
    ----------
    name : str
        A Python identifier.
    shape : tuple of int
        ``()`` for a scalar, ``(rows, columns)`` otherwise; there are no one-dimensional arrays.
    dtype : str
        ``"float64"`` or ``"float32"``.
    role : str
        ``"input"`` and ``"target"`` (a column is an example), ``"parameter"``, or ``"intermediate"``.
    tex : str
        How formulas write it; made from the name when left empty.
    """

    name: str
    shape: Shape
    dtype: str = "float64"
    role: str = "input"
    tex: str = ""

    def __post_init__(self) -> None:
        """Check every field, and write the name in TeX where none is given."""
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"variable name: expected an identifier such as 'W1', received {self.name!r}")
        if not isinstance(self.shape, tuple | list) or len(self.shape) not in (0, 2):
            raise ValueError(f"shape of {self.name!r}: expected () or (rows, columns), received {self.shape!r}")
        shape = tuple(positive_int(size, f"shape of {self.name!r}") for size in self.shape)
        object.__setattr__(self, "shape", shape)
        one_of(self.dtype, DTYPES, f"dtype of {self.name!r}")
        one_of(self.role, ROLES, f"role of {self.name!r}")
        if not isinstance(self.tex, str):
            raise TypeError(f"tex of {self.name!r}: expected a string, received {self.tex!r}")
        if not self.tex:
            object.__setattr__(self, "tex", tex_name(self.name, shape))

    @property
    def nbytes(self) -> int:
        """Bytes of an array of this shape and dtype."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Equation:
    """``output = op(*inputs)``.

    Attributes
    ----------
    op : str
        A name in the rule table.
    inputs : tuple of str
        Names of the variables it reads, in order; the same name may occur twice.
    output : str
        The name of the variable it defines.
    attrs : mapping
        The operator's numbers, such as ``{"weight_decay": 0.1}``.
    symbols : mapping
        TeX for those numbers where it is not the operator's own: another letter for ``weight_decay``, say.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attrs: Mapping[str, float] = field(default_factory=dict)
    symbols: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that names are names and numbers are numbers, and freeze what was passed."""
        inputs: object = self.inputs
        if not isinstance(inputs, tuple | list) or not all(isinstance(n, str) for n in (self.op, *inputs, self.output)):
            received = f"{self.op!r}, {inputs!r}, {self.output!r}"
            raise TypeError(f"equation: expected names, as in 'matmul', ('W1', 'x'), 'z', received {received}")
        for what, mapping in (("attrs", self.attrs), ("symbols", self.symbols)):
            if not isinstance(mapping, Mapping) or not all(isinstance(name, str) for name in mapping):
                raise TypeError(f"{what} of {self.output!r}: expected a mapping from names, received {mapping!r}")
        if not all(isinstance(symbol, str) for symbol in self.symbols.values()):
            raise TypeError(f"symbols of {self.output!r}: expected TeX, received {dict(self.symbols)!r}")
        attrs = {name: non_negative(value, f"{name} of {self.output!r}") for name, value in self.attrs.items()}
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "attrs", Frozen(attrs))
        object.__setattr__(self, "symbols", Frozen(dict(self.symbols)))

    def __str__(self) -> str:
        """``z = matmul(W1, x)``; of many inputs, the first and the last."""
        inputs = self.inputs if len(self.inputs) <= 6 else (*self.inputs[:2], "...", self.inputs[-1])
        numbers = [f"{name}={value:g}" for name, value in self.attrs.items()]
        return printed(f"{self.output} = {self.op}({', '.join([*inputs, *numbers])})")

    def __hash__(self) -> int:
        """Agree with ``==``, which also compares the numbers."""
        return hash((self.op, self.inputs, self.output))


class Graph:
    """A checked, frozen list of equations: the computational graph.

    Parameters
    ----------
    variables : iterable of Variable
        At least the variables that the caller brings (inputs, targets, parameters). Intermediate variables may be left
        out: their shapes are inferred. One that is given must agree with what is inferred.
    equations : iterable of Equation
        In execution order: each reads only what was given or defined before it.
    objective : str, optional
        The scalar that is differentiated. By default the last equation's output, if that is a scalar.
    output : str, optional
        What `mlp.predict` returns. By default ``"o"`` where there is one.
    table : mapping, optional
        Operators by name; by default `mlp.ops.OPS`. ``OPS | {"softplus": Op(...)}`` adds one.

    Attributes
    ----------
    variables : mapping of str to Variable
        All of them, in the order in which they come to be.
    equations : tuple of Equation
    parameters : tuple of str
        Names of the parameters.
    inputs : tuple of str
        Names of the inputs and targets: what comes with the data.
    given : tuple of str
        Names of everything whose value the caller brings: inputs, targets and parameters.
    objective, output : str or None
    derived : dict
        What other modules have made of it and need not make again, since it never changes.

    Raises
    ------
    ValueError
        Where the list is not a graph, with the equation, what was expected and what was received.

    Notes
    -----
    The list's order is a topological order, so nothing here or downstream recurses (autodidax calls such a list a
    jaxpr; see the bibliography).
    """

    variables: Mapping[str, Variable]
    equations: tuple[Equation, ...]
    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    given: tuple[str, ...]
    objective: str | None
    output: str | None
    table: Mapping[str, Op]
    derived: dict[str, object]

    def __init__(
        self,
        variables: Iterable[Variable],
        equations: Iterable[Equation],
        objective: str | None = None,
        output: str | None = None,
        table: Mapping[str, Op] | None = None,
    ) -> None:
        given, declared = _sorted_by_role(variables)
        self.table = OPS if table is None else _checked_table(table)
        if not isinstance(equations, Iterable):
            raise TypeError(f"equations: expected a list of mlp.Equation, received {equations!r}")
        self.equations = tuple(equations)
        self.variables = Frozen(_bind_all(given, declared, self.equations, self.table))
        self.given = tuple(given)
        self.parameters = tuple(name for name, v in given.items() if v.role == "parameter")
        self.inputs = tuple(name for name, v in given.items() if v.role != "parameter")
        self._makers = {equation.output: index for index, equation in enumerate(self.equations)}
        self._readers: dict[str, list[tuple[int, int]]] = {name: [] for name in self.variables}
        for index, equation in enumerate(self.equations):
            for argnum, name in enumerate(equation.inputs):
                self._readers[name].append((index, argnum))
        self.output = self._find_output(output)
        self.objective = self._find_objective(objective)
        self._differentiated = self._find_differentiated()
        self.derived: dict[str, object] = {}
        self._frozen = True

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse changes: a changed network is a new graph."""
        if getattr(self, "_frozen", False):
            raise AttributeError(f"a Graph never changes: make a new one instead of setting {name!r}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        """Refuse changes."""
        raise AttributeError(f"a Graph never changes: {name!r} stays")

    # -- what depends on what ----------------------------------------------------------------------------------------

    @property
    def batch(self) -> int | None:
        """How many examples: the columns of the inputs; None where they differ or there are none."""
        columns = {self.variables[name].shape[1] for name in self.inputs if self.variables[name].shape}
        return columns.pop() if len(columns) == 1 else None

    @property
    def dtype(self) -> str:
        """The one dtype of all variables."""
        return next(iter(self.variables.values())).dtype

    def maker(self, name: str) -> Equation | None:
        """The equation that defines a variable, or None where the caller brings it."""
        self._known(name)
        return self.equations[self._makers[name]] if name in self._makers else None

    def readers(self, name: str) -> tuple[tuple[int, int], ...]:
        """Who reads a variable: pairs (index of the equation, argument number)."""
        return tuple(self._readers[self._known(name)])

    def needs_gradient(self, name: str) -> bool:
        """Whether backward computes the variable's cotangent: a parameter reaches it and it reaches the objective."""
        return self._known(name) in self._differentiated

    def ancestors(self, name: str) -> frozenset[str]:
        """The variable itself and all that its value depends on."""
        found = {self._known(name)}
        for equation in reversed(self.equations):
            if equation.output in found:
                found.update(equation.inputs)
        return frozenset(found)

    def descendants(self, name: str) -> frozenset[str]:
        """The variable itself and all whose values depend on it: the cone that changes when it changes."""
        found = {self._known(name)}
        for equation in self.equations:
            if not found.isdisjoint(equation.inputs):
                found.add(equation.output)
        return frozenset(found)

    def tex(self, equation: Equation) -> str:
        """The equation in TeX, with the variables' and the numbers' own symbols."""
        op = self.table[equation.op]
        names = (self.variables[name].tex for name in equation.inputs)
        return f"{self.variables[equation.output].tex} = {op.tex(*names, **{**op.attrs, **equation.symbols})}"

    # -- the same network, changed -----------------------------------------------------------------------------------

    def with_batch(self, n: int) -> "Graph":
        """The same network for ``n`` examples: inputs and targets get ``n`` columns, all else follows."""
        n = positive_int(n, "batch")
        return self._rebuilt(
            replace(v, shape=(v.shape[0], n)) if v.role in ("input", "target") and v.shape else v
            for v in self.variables.values()
            if v.role in GIVEN
        )

    def with_dtype(self, dtype: str) -> "Graph":
        """The same network in another precision, ``"float32"`` or ``"float64"``."""
        return self._rebuilt(replace(v, dtype=dtype) for v in self.variables.values() if v.role in GIVEN)

    def init(self, seed: "int | np.random.Generator" = 0) -> dict[str, np.ndarray]:
        """Draw initial parameters.

        Weights are normal with standard deviation √(2 / fan_in) where the network uses relu or gelu (He et al., 2015)
        and √(1 / fan_in) otherwise (LeCun et al., 1998), so that values keep their size from layer to layer. Biases
        are zero. All weights equal, or all zero, would leave the units of a layer equal for ever.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            The same seed gives the same numbers, for float32 rounded.

        Returns
        -------
        dict of str to ndarray
            One array for each parameter, of the graph's dtype.
        """
        rng = generator(seed)
        gain = max((self.table[equation.op].gain for equation in self.equations), default=1.0)
        params = {}
        for name in self.parameters:
            shape = self.variables[name].shape
            if any(self.equations[index].op == "bias" for index, argnum in self._readers[name] if argnum == 1):
                params[name] = np.zeros(shape, self.dtype)
            else:
                fan_in = shape[1] if shape else 1
                params[name] = (rng.standard_normal(shape) * sqrt(gain / fan_in)).astype(self.dtype)
        return params

    # -- out and in again --------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The graph as JSON text, for the page's evaluator and for keeping. A table of one's own is not part of it."""
        state = {
            "format": FORMAT,
            "dtype": self.dtype,
            "variables": [
                {"name": v.name, "shape": list(v.shape), "role": v.role, "tex": v.tex} for v in self.variables.values()
            ],
            "equations": [
                {"op": e.op, "inputs": list(e.inputs), "output": e.output, "attrs": dict(e.attrs)}
                | ({"symbols": dict(e.symbols)} if e.symbols else {})
                for e in self.equations
            ],
            "objective": self.objective,
            "output": self.output,
        }
        return json.dumps(state, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, table: Mapping[str, Op] | None = None) -> "Graph":
        """Read what `to_json` wrote; everything is checked again.

        Parameters
        ----------
        text : str
        table : mapping, optional
            The operators, where they are not those of `mlp.ops.OPS`.

        Raises
        ------
        ValueError
            Where the text is not JSON, not of this format, or not a graph.
        """
        try:
            state = json.loads(text)
            found, dtype, goal = state["format"], state["dtype"], (state["objective"], state["output"])
            variables = [(v["name"], v["shape"], dtype, v["role"], v["tex"]) for v in state["variables"]]
            equations = [
                (e["op"], e["inputs"], e["output"], e["attrs"], e.get("symbols", {})) for e in state["equations"]
            ]
        except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
            raise ValueError(f"graph JSON: expected what Graph.to_json writes, received {str(text)[:60]!r}") from error
        if found != FORMAT or isinstance(found, bool):
            raise ValueError(f"graph JSON: expected format {FORMAT}, received {found!r}")
        try:
            return cls([Variable(*v) for v in variables], [Equation(*e) for e in equations], *goal, table)
        except TypeError as error:
            raise ValueError(f"graph JSON: {error}") from error

    def __eq__(self, other: object) -> bool:
        """Same variables, equations, objective and output, and rules from the same table."""
        return isinstance(other, Graph) and self._identity() == other._identity() and self.table == other.table

    def __hash__(self) -> int:
        """Agree with ``==``."""
        return hash((tuple(self.variables.values()), self.equations))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it was made from."""
        table = None if self.table is OPS else dict(self.table)
        return Graph, (tuple(self.variables.values()), self.equations, self.objective, self.output, table)

    def __repr__(self) -> str:
        """One line."""
        return (
            f"<Graph: {counted(len(self.equations), 'equation')}, {counted(len(self.parameters), 'parameter')}, "
            f"batch {self.batch}, {self.dtype}>"
        )

    def __str__(self) -> str:
        """The equations, a line each, with the shape that each defines."""
        lines = [str(equation) for equation in self.equations]
        width = max((len(line) for line in lines), default=0)
        shapes = [self.variables[equation.output].shape for equation in self.equations]
        return "\n".join(f"{line:<{width}}  {shape}" for line, shape in zip(lines, shapes, strict=True))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Show itself in Jupyter: the drawing where it can be drawn, the equations in any case."""
        bundle = {"text/plain": f"{self!r}\n{self}"}
        try:
            import mlp.draw as draw  # the one step upwards: the core never draws by itself

            pictures: dict[str, str] = draw.mimebundle(self)
        except (ImportError, ValueError):  # without the drawing libraries, or with TeX that they do not know
            return bundle
        return bundle | pictures

    # -- checks ------------------------------------------------------------------------------------------------------

    def _rebuilt(self, given: Iterable[Variable]) -> "Graph":
        """The same equations over other given variables: once to infer shapes, once more to keep each name's TeX."""
        names = {v.name: v.tex for v in self.variables.values() if v.role == "intermediate"}
        new = Graph(given, self.equations, self.objective, self.output, self.table)
        declared = [replace(v, tex=names.get(v.name, v.tex)) for v in new.variables.values()]
        return Graph(declared, self.equations, self.objective, self.output, self.table)

    def _identity(self) -> tuple[Any, ...]:
        return (tuple(self.variables.values()), self.equations, self.objective, self.output)

    def _known(self, name: str, what: str = "variable") -> str:
        if not isinstance(name, str) or name not in self.variables:
            raise ValueError(f"{what}: expected one of {listed(self.variables)}, received {name!r}")
        return name

    def _find_output(self, name: str | None) -> str | None:
        if name is None:
            return "o" if "o" in self._makers else None
        if self._known(name, "output") not in self._makers:
            raise ValueError(f"output {name!r}: expected a variable that an equation defines, received a given one")
        return name

    def _find_objective(self, name: str | None) -> str | None:
        if name is None:
            last = self.equations[-1].output if self.equations else None
            return last if last and self.variables[last].shape == () else None
        shape = self.variables[self._known(name, "objective")].shape
        if shape != () or name not in self._makers:
            raise ValueError(
                f"objective {name!r}: expected a scalar, shape (), that an equation defines, received {shape}"
            )
        return name

    def _find_differentiated(self) -> frozenset[str]:
        """All variables on a way from a parameter to the objective; the ways must be differentiable."""
        if self.objective is None:
            return frozenset()
        reached = set(self.parameters)
        for equation in self.equations:
            if not reached.isdisjoint(equation.inputs):
                reached.add(equation.output)
        on_the_way = frozenset(reached & self.ancestors(self.objective))
        for name in self.parameters:
            if name not in on_the_way:
                raise ValueError(
                    f"parameter {name!r}: expected it to reach the objective {self.objective!r}, but it does not"
                )
        for equation in self.equations:
            for argnum, name in enumerate(equation.inputs):
                if {equation.output, name} <= on_the_way and self.table[equation.op].vjp(argnum) is None:
                    raise ValueError(
                        f"equation '{equation}': expected a gradient for {name!r}, which depends on a parameter, "
                        f"but {equation.op} has no derivative with respect to its input {argnum}"
                    )
        return on_the_way


def _checked_table(table: object) -> Mapping[str, Op]:
    if not isinstance(table, Mapping) or not all(isinstance(op, Op) for op in table.values()):
        raise TypeError(f"table: expected a mapping from names to mlp.ops.Op, received {table!r:.60}")
    return Frozen(dict(table))


def _sorted_by_role(variables: Iterable[Variable]) -> tuple[dict[str, Variable], dict[str, Variable]]:
    """Split into what the caller brings and what equations define; names are unique and the dtype is one."""
    if not isinstance(variables, Iterable):
        raise TypeError(f"variables: expected a list of mlp.Variable, received {variables!r}")
    given: dict[str, Variable] = {}
    declared: dict[str, Variable] = {}
    for variable in variables:
        if not isinstance(variable, Variable):
            raise TypeError(f"variables: expected mlp.Variable, received {variable!r}")
        if variable.name in given or variable.name in declared:
            raise ValueError(f"variable {variable.name!r}: expected each name once, received it twice")
        (declared if variable.role == "intermediate" else given)[variable.name] = variable
    if not given:
        raise ValueError("variables: expected at least one input or parameter, received none")
    dtypes = sorted({variable.dtype for variable in [*given.values(), *declared.values()]})
    if len(dtypes) > 1:
        raise ValueError(f"variables: expected one dtype for all, received {' and '.join(dtypes)}")
    return given, declared


def _bind_all(
    given: dict[str, Variable],
    declared: dict[str, Variable],
    equations: tuple[Equation, ...],
    table: Mapping[str, Op],
) -> dict[str, Variable]:
    """Walk the equations once, check each, infer the shape of what it defines."""
    known = dict(given)
    dtype = next(iter(given.values())).dtype
    for equation in equations:
        if not isinstance(equation, Equation):
            raise TypeError(f"equations: expected mlp.Equation, received {equation!r}")
        where = f"equation '{equation}'"
        if equation.op not in table:
            raise ValueError(f"{where}: expected an operator among {listed(table, 20)}, received {equation.op!r}")
        op = table[equation.op]
        arity = len(op.vjps)
        if not equation.inputs or (not op.variadic and len(equation.inputs) != arity):
            expected = "at least 1 input" if op.variadic else f"{arity} input{'s' * (arity > 1)}"
            raise ValueError(f"{where}: expected {expected}, received {len(equation.inputs)}")
        for argnum, name in enumerate(equation.inputs):
            if name in known and name not in given and argnum in op.requires:
                raise ValueError(
                    f"{where}: expected a given variable as input {argnum}, since its values are checked when the "
                    f"caller brings them, received {name!r}, which is computed"
                )
            if name not in known:
                raise ValueError(f"{where}: expected inputs that are given or defined before it, received {name!r}")
        if equation.output in known:
            raise ValueError(f"{where}: expected a new name on the left, but {equation.output!r} has a value already")
        for attrs in (equation.attrs, equation.symbols):
            if attrs.keys() - op.attrs.keys() or (attrs is equation.attrs and attrs.keys() != op.attrs.keys()):
                expected = ", ".join(op.attrs) or "none"
                raise ValueError(f"{where}: expected attributes {expected}, received {', '.join(attrs) or 'none'}")
        shapes = [known[name].shape for name in equation.inputs]
        try:
            shape = tuple(op.infer_shape(*shapes))
        except ValueError as error:
            named = ", ".join(f"{name} {shape}" for name, shape in zip(equation.inputs, shapes, strict=True))
            raise ValueError(f"{where} with {named}: {error}") from None
        variable = declared.pop(equation.output, None) or Variable(equation.output, shape, dtype, "intermediate")
        if variable.shape != shape:
            raise ValueError(
                f"{where}: expected {equation.output!r} of shape {shape}, as inferred, received {variable.shape}"
            )
        known[equation.output] = variable
    if declared:
        raise ValueError(f"variable {next(iter(declared))!r}: expected an equation that defines it, found none")
    return known
