"""The chain rule: factors along every way to J, and the Jacobian of one operator folded down to what is computed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import traitlets

from mlp import draw
from mlp.check import jacobian
from mlp.draw.labels import cotangent_tex, unicode_cotangent, unicode_name
from mlp.engine import trace
from mlp.graph import Graph
from mlp.inputs import counted, listed, one_of
from mlp.ops import Array
from mlp.steps import cotangent_name, objective_name
from mlp.text import bytes_text, number, printed, tuple_of
from mlp.views.state import head, math_tree, rule_tex
from mlp.views.view import View

SCENES = ("paths", "operator")
MOST_PATHS = 24
STAGES = ("Jacobian × cotangent", "without the zeros", "the shortcut")
Edge = tuple[int, int]  # the index of an equation, and the argument number of one of its inputs


class ChainRule(View):
    """See effects multiply along a path and add over paths; see one operator's Jacobian fold to its shortcut.

    In Jupyter it is a widget; in a built page an island that needs no kernel; elsewhere a figure and a text.

    Parameters
    ----------
    graph : Graph
        With an objective, and at least one parameter.
    values : mapping of str to ndarray
        As for `mlp.value_and_grad`.
    scene : str
        ``"paths"``, for a graph whose variables are single numbers: the factors along every way from a variable to J.
        ``"operator"``: one operator, its Jacobian times the cotangent, in three stages.
    chosen : str, optional
        What is looked at first. In ``"paths"`` a variable: ``"W1"``. In ``"operator"`` a cotangent's way through one
        equation, from its output to an input: ``"o/W2"``. By default the first.
    stage : int
        In ``"paths"``, how many factors are uncovered, from J on. In ``"operator"``, the stage, from 0 to 2.
    name : str
        Names the view in the page.

    Attributes
    ----------
    chosen, stage
        As above. Can be set, and observed.
    values : dict
        The numbers as nested lists, as the reader has edited them. Can be set (to arrays too), and observed: as a
        whole, ``view.values = {**view.values, "W1": W1}``. An entry that is changed inside it changes no view.

    Raises
    ------
    TypeError, ValueError
        For a graph, values or options that do not fit, with their names.
    """

    chosen = traitlets.Unicode().tag(sync=True)
    stage = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        graph: Graph,
        values: Mapping[str, Array],
        scene: str = "operator",
        *,
        chosen: str | None = None,
        stage: int = 0,
        name: str = "chain-rule",
    ) -> None:
        objective_name(graph)
        one_of(scene, SCENES, "scene")
        if not graph.parameters:
            raise ValueError("graph: expected a parameter, towards which to go back, received a graph without any")
        self.scene = scene
        told = head(graph, values, view="chain-rule", name=name) | {"scene": scene}
        if scene == "paths":
            told["ways"] = scalar_ways(graph)
        else:
            told["ways"] = operator_ways(graph)
            told["rules"] = {way: math_tree(_rule_tex(graph, edges[0])) for way, edges in told["ways"].items()}
        self._choices = tuple(told["ways"])
        super().__init__(graph, told, chosen=self._choices[0] if chosen is None else chosen, stage=stage)

    @traitlets.validate("chosen")
    def _valid_chosen(self, proposal: Any) -> str:
        one_of(proposal["value"], self._choices, "chosen")
        return str(proposal["value"])

    @traitlets.validate("stage")
    def _valid_stage(self, proposal: Any) -> int:
        stage: int = proposal["value"]
        ways = self._told["ways"]
        most = 2 if self.scene == "operator" else max(len(path) for paths in ways.values() for path in paths)
        if not 0 <= stage <= most:
            raise ValueError(f"stage: expected 0 to {most}, received {stage}")
        return stage

    def _place(self) -> dict[str, Any]:
        return {"chosen": self.chosen, "stage": self.stage}

    def _pictures(self) -> tuple[str, str, str]:
        picture = draw.picture(self.graph)
        return repr(picture), picture.svg, draw.to_svg(self.graph, direction="both")

    def _caption(self) -> str:
        if self.scene == "paths":
            J = unicode_name(str(self.graph.objective))
            return f"Along a path from a variable to {J} the factors multiply; over all paths the products add up."
        return (
            "One operator: its Jacobian times the cotangent, the same without the zeros, and what is really computed."
        )

    def text(self) -> str:
        """The scene in words, with its numbers."""
        return printed(self._paths_text() if self.scene == "paths" else self._operator_text())

    def _paths_text(self) -> str:
        graph, values = self.graph, self.arrays()
        run = trace(graph, values)
        lines, total = [], 0.0
        for path in self._told["ways"][self.chosen]:
            product, factors = 1.0, []
            for index, argnum in path:
                equation = graph.equations[index]
                slope = _slope(graph, values, (index, argnum))
                product *= slope
                above, below = unicode_name(equation.output), unicode_name(equation.inputs[argnum])
                factors.append(f"∂{above}/∂{below} = {number(slope)}")
            total += product
            lines.append(f"{' · '.join(factors)}: product {number(product)}.")
        cotangent = unicode_cotangent(graph, self.chosen)
        summed = float(run[cotangent_name(graph, self.chosen)].reshape(-1)[0])
        paths = f"{len(lines)} paths" if len(lines) > 1 else "one path"
        return "\n".join(
            [*lines, f"{cotangent} over {paths}: {number(total)}; the backward pass has {number(summed)}."]
        )

    def _operator_text(self) -> str:
        output, source = self.chosen.split("/")
        matrix, delta, result = fold(self.graph, self.arrays(), output, source)
        size = matrix.itemsize
        shown = f" = {tuple_of(result)}" if result.size <= 12 else ""
        filled = int(np.count_nonzero(matrix))
        pair = f"∂{unicode_name(output)}/∂{unicode_name(source)}"
        return "\n".join(
            [
                f"{pair}: {counted(matrix.shape[0], 'output')} by {counted(matrix.shape[1], 'input')}, "
                f"{bytes_text(matrix.nbytes)}; its transpose times the cotangent of {counted(delta.size, 'number')} "
                f"takes {counted(matrix.size, 'multiplication')}.",
                f"Without its zeros: {counted(filled, 'number')}, {bytes_text(filled * size)}.",
                f"The shortcut keeps nothing of it: {_rule_words(self.graph, output, source)}{shown}.",
            ]
        )


def scalar_ways(graph: Graph) -> dict[str, list[list[Edge]]]:
    """For each variable with a gradient the paths from the objective down to it, for a graph of single numbers.

    Raises
    ------
    ValueError
        Where a variable on the way is no single number, or there are too many paths to show.
    """
    objective = objective_name(graph)
    found: dict[str, list[list[Edge]]] = {objective: [[]]}
    for index in reversed(range(len(graph.equations))):
        equation = graph.equations[index]
        if equation.output not in found:
            continue
        for argnum, name in enumerate(equation.inputs):
            if graph.needs_gradient(name):
                found.setdefault(name, []).extend([*path, (index, argnum)] for path in found[equation.output])
                if len(found[name]) > MOST_PATHS:
                    raise ValueError(f"graph: expected at most {MOST_PATHS} paths to {name!r}, received more")
    del found[objective]
    for name in found:
        shape = graph.variables[name].shape
        if int(np.prod(shape)) != 1:
            raise ValueError(f"graph: expected single numbers in the scene 'paths', received {name!r} of shape {shape}")
    order = sorted(found, key=lambda name: (name not in graph.parameters, list(graph.variables).index(name)))
    return {name: sorted(found[name]) for name in order}  # by the order in which J's own equation reads them


def operator_ways(graph: Graph) -> dict[str, list[Edge]]:
    """Every way of a cotangent through one equation, from its output to an input, in the order of backward."""
    found: dict[str, list[Edge]] = {}
    for index in reversed(range(len(graph.equations))):
        equation = graph.equations[index]
        for argnum, name in enumerate(equation.inputs):
            if graph.needs_gradient(name) and graph.needs_gradient(equation.output):
                found.setdefault(f"{equation.output}/{name}", []).append((index, argnum))
    if not found:
        raise ValueError(f"graph: expected a way back from the objective, found none in {listed(graph.variables)}")
    return found


def fold(graph: Graph, values: Mapping[str, Array], output: str, source: str) -> tuple[Array, Array, Array]:
    """The Jacobian of one equation, the cotangent of its output, and ``J.T @ delta`` in the shape of its input.

    Returns
    -------
    matrix : ndarray, shape (entries of output, entries of source)
    delta : ndarray, of the output's shape
    result : ndarray, of the source's shape
    """
    run = trace(graph, values)
    delta = run[cotangent_name(graph, output)]
    matrix = jacobian(graph, values, output, source)
    return matrix, delta, (matrix.T @ delta.reshape(-1)).reshape(graph.variables[source].shape)


def _slope(graph: Graph, values: Mapping[str, Array], edge: Edge) -> float:
    """The derivative of an equation of single numbers, with respect to one of its inputs."""
    equation = graph.equations[edge[0]]
    name = equation.inputs[edge[1]]
    return float(jacobian(graph, values, equation.output, name)[0, 0]) / equation.inputs.count(name)


def _rule_tex(graph: Graph, edge: Edge) -> str:
    """The VJP in TeX: what the shortcut computes."""
    equation = graph.equations[edge[0]]
    delta = cotangent_tex(graph, equation.output)
    return rule_tex(graph, equation, edge[1], delta, lambda name: f"{{{graph.variables[name].tex}}}")


def _rule_words(graph: Graph, output: str, source: str) -> str:
    """The rule's name, and what it reads."""
    equation = graph.maker(output)
    assert equation is not None
    argnum = equation.inputs.index(source)
    vjp = graph.table[equation.op].vjp(argnum)
    assert vjp is not None
    saved = vjp.residuals(equation.inputs, output, argnum)
    return f"{vjp.rule.__name__}({', '.join(['δ', *map(unicode_name, saved)])})"
