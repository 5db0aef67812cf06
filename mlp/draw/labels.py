"""What a drawing says: formulas as paths, names in Unicode, sentences.

Formulas are drawn by `ziamath`, which needs no TeX and no fonts on the reader's machine. Where things stand is the
business of `layout`, how they are written as SVG that of `svg`.
"""

import re
import threading
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from latex2mathml import commands
from latex2mathml.symbols_parser import convert_symbol

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of importlib.resources.path, which it calls when imported
    import ziamath
    from ziamath.tex import tex2mml

from mlp.graph import Equation, Graph
from mlp.ops import OPS

if TYPE_CHECKING:
    from mlp.steps import Step

# Operators whose circle shows more than plain text can. All others show their `Op.symbol`.
SYMBOLS = {
    "matmul": r"\times",
    "bias": "+",
    "add": "+",
    "sigmoid": r"\sigma",
    "l2": r"\ell_2",
}
WORDS = {
    "matmul": "the matrix product",
    "bias": "the bias sum",
    "identity": "the identity",
    "squared_error": "the squared error",
    "cross_entropy": "the softmax cross-entropy",
    "l2": "the L2 term",
    "add": "the sum",
}
UNIT = 0.05  # pixels: as fine as a screen can show
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

_ziamath = threading.Lock()  # its settings are global


# --- formulas as paths ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Formula:
    """A formula drawn with its baseline at y = 0, starting at x = 0: SVG path data in `UNIT`s, its extent in pixels."""

    path: str
    width: float
    top: float
    bottom: float


def formula(tex: str, size: float, what: str) -> Formula:
    """Draw TeX as one path.

    Parameters
    ----------
    tex : str
        Without dollar signs.
    size : float
        Font size in pixels.
    what : str
        Whose TeX it is, for the error message.

    Raises
    ------
    ValueError
        Where it is not TeX, or has a command that cannot be drawn.
    """
    try:
        return _drawn(tex, size)
    except ValueError as error:
        raise ValueError(f"{what}: expected TeX that can be drawn, received {tex!r} ({error})") from None


@lru_cache(maxsize=4096)
def _drawn(tex: str, size: float) -> Formula:
    _check_commands(tex)
    with _ziamath:
        svg2, ziamath.config.svg2 = ziamath.config.svg2, False
        try:
            drawn = ziamath.Math(ET.fromstring(tex2mml(tex, inline=True)), size=size, margin=0).svgxml()
        except Exception as error:  # of whatever kind: it comes from what was written, not from us
            raise ValueError(str(error) or type(error).__name__) from None
        finally:
            ziamath.config.svg2 = svg2
    left, top, width, height = (float(number) for number in drawn.attrib["viewBox"].split())
    if not all(map(isfinite, (left, top, width, height))) or not 0 < width < 1e4 or not 0 < height < 1e4:
        raise ValueError("it has no extent")
    path = " ".join(filter(None, map(_outline_of, drawn.iter())))
    return Formula(_compact(path, -left), width, top, top + height)


def _check_commands(tex: str) -> None:
    """Raise ValueError for an unknown command, which ziamath would draw as if it were a word."""
    environments = [f"\\{name}" for name in re.findall(r"\\begin\s*\{(.*?)\}", tex)]
    for command in [*re.findall(r"\\[A-Za-z]+", tex), *environments]:
        if not (command in _known_commands() or convert_symbol(command)):
            raise ValueError(f"unknown command {command}")


@lru_cache(maxsize=1)
def _known_commands() -> frozenset[str]:
    known: set[str] = set()
    for name in dir(commands):
        value: Any = getattr(commands, name)
        if name.isupper():
            known.update([value] if isinstance(value, str) else (item for item in value if isinstance(item, str)))
    return frozenset(known)


def _outline_of(element: ET.Element) -> str:
    """Only geometry is taken from a formula: no attribute or text of it reaches the picture."""
    if element.tag == "path":
        return element.attrib["d"]
    if element.tag == "rect" and element.get("fill") != "none":
        x, y, width, height = (float(element.attrib[key]) for key in ("x", "y", "width", "height"))
        return f"M {x} {y} L {x + width} {y} L {x + width} {y + height} L {x} {y + height} Z"
    return ""


def _compact(path: str, right: float) -> str:
    """Move absolute path data to the right and write it in whole `UNIT`s, from point to point: half as long."""
    written, here, before = "", (0, 0), ""
    for command, arguments in re.findall("([A-Z])([^A-Z]*)", path):
        values = [float(value) for value in arguments.split()]
        points = [(round((x + right) / UNIT), round(y / UNIT)) for x, y in zip(values[::2], values[1::2], strict=True)]
        if command == "L" and points == [here]:
            continue
        start = (0, 0) if command == "M" else here
        letter = command if command in "MZ" else command.lower()
        steps = " ".join(f"{x - start[0]} {y - start[1]}" for x, y in points)
        written += (" " if letter == before else letter) + steps
        here, before = (points or [here])[-1], letter
    return written.replace(" -", "-")


def coordinate(value: float) -> str:
    """A length in pixels as SVG has it: at most two decimals, no trailing zeros, no −0."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def cotangent_tex(graph: Graph, name: str) -> str:
    """``∂J/∂z`` as a fraction."""
    if graph.objective is None:
        raise ValueError("direction: expected 'forward' for a graph without objective, received 'backward'")
    return rf"\frac{{\partial {graph.variables[graph.objective].tex}}}{{\partial {graph.variables[name].tex}}}"


def operator_tex(graph: Graph, equation: Equation) -> str | None:
    """TeX for the operator's circle, or None where its plain `Op.symbol` is shown."""
    op = graph.table[equation.op]
    if op is not OPS.get(equation.op) or equation.op not in SYMBOLS:
        return rf"\mathrm{{{op.symbol}}}" if re.fullmatch("[A-Za-z]+", op.symbol) else None
    return SYMBOLS[equation.op]


# --- names and sentences --------------------------------------------------------------------------------------------


def unicode_name(name: str) -> str:
    """``W1`` as ``W⁽¹⁾``."""
    match = re.fullmatch(r"([A-Za-z]+)([0-9]+)", name)
    return f"{match[1]}⁽{match[2].translate(RAISED)}⁾" if match else name


def unicode_cotangent(graph: Graph, name: str) -> str:
    """``∂J/∂W⁽¹⁾``."""
    return f"∂{unicode_name(graph.objective or '')}/∂{unicode_name(name)}"


def shape_text(shape: tuple[int, ...]) -> str:
    """``4×1``, or ``scalar``."""
    return "×".join(map(str, shape)) if shape else "scalar"


def enumerated(words: Sequence[str], most: int = 6) -> str:
    """``a``, ``a and b``, ``a, b and c``; a long list is shortened to its ends, with its length."""
    if len(words) > most:
        return f"{', '.join(words[:3])}, … and {words[-1]} ({len(words):,} in all)"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def plain(graph: Graph, equation: Equation) -> str:
    """The equation on one line of plain text: ``o = W⁽²⁾ h``."""
    names = [unicode_name(name) for name in equation.inputs]
    if equation.op == "matmul":
        right = " ".join(names)
    elif equation.op in ("bias", "add") and len(names) <= 6:
        right = " + ".join(names)
    else:
        short = names if len(names) <= 6 else [*names[:2], "…", names[-1]]
        right = f"{equation.op}({', '.join(short)})"
    return f"{unicode_name(equation.output)} = {right}"


def operator_words(equation: Equation) -> str:
    """The operator in words, with its numbers."""
    return " ".join(filter(None, [_operator(equation), _numbers(equation)]))


def _operator(equation: Equation) -> str:
    return WORDS.get(equation.op, equation.op)


def _numbers(equation: Equation) -> str:
    """``with weight decay 0.1``, or nothing."""
    said = ", ".join(f"{attr.replace('_', ' ')} {value:g}" for attr, value in equation.attrs.items())
    return f"with {said}" if said else ""


def words(graph: Graph) -> dict[str, Any]:
    """See `mlp.draw.words`."""
    ways = ("forward",) if graph.objective is None else ("forward", "backward")
    return {
        "variables": {name: unicode_name(name) for name in graph.variables},
        "cotangents": {name: unicode_cotangent(graph, name) for name in graph.variables if graph.needs_gradient(name)},
        "equations": [equation_words(equation) for equation in graph.equations],
        "descriptions": {way: describe(graph, way) for way in ways},
    }


def equation_words(equation: Equation) -> str:
    """``matrix product of W⁽¹⁾ and x gives z``."""
    names = enumerated([unicode_name(name) for name in equation.inputs])
    numbers = _numbers(equation)
    made = f"{_operator(equation)} of {names}{f', {numbers},' if numbers else ''} gives {unicode_name(equation.output)}"
    return made.removeprefix("the ")


def step_words(graph: Graph, step: "Step") -> str:
    """``Step 2, forward: o = W⁽²⁾ h``, with the number that the trace gives it."""
    where = f"Step {step.index}, {step.phase}: "
    if step.argnum is None:
        return where + plain(graph, step.equation)
    name = step.equation.inputs[step.argnum]
    status = "final" if name in step.final else "an instalment, not final yet"
    return f"{where}{unicode_cotangent(graph, name)} through {plain(graph, step.equation)}, {status}"


def describe(graph: Graph, direction: str) -> str:
    """What feeds what, a sentence for each equation in the order of the pass; of long graphs, both ends."""
    sentences = _forward_sentences(graph) if direction == "forward" else _backward_sentences(graph)
    if len(sentences) > 60:
        hidden = f"… {len(sentences) - 24:,} more …"
        sentences = [*sentences[:12], hidden, *sentences[-12:]]
    return " ".join(sentences)


def _forward_sentences(graph: Graph) -> list[str]:
    given = [("Inputs", graph.inputs), ("Parameters", graph.parameters)]
    named = [f"{what}: {enumerated([unicode_name(name) for name in names])}." for what, names in given if names]
    sentences = []
    for equation in graph.equations:
        names = [unicode_name(name) for name in equation.inputs]
        feed = "feed" if len(names) > 1 else "feeds"
        output = unicode_name(equation.output)
        sentences.append(f"{enumerated(names)} {feed} {operator_words(equation)}, which gives {output}.")
    return [" ".join(named), *sentences]


def _backward_sentences(graph: Graph) -> list[str]:
    sentences = [f"The cotangents travel back from {unicode_name(graph.objective or '')}, along reversed arrows."]
    for equation in reversed(graph.equations):
        if graph.needs_gradient(equation.output):
            reached = [name for name in dict.fromkeys(equation.inputs) if graph.needs_gradient(name)]
            made = enumerated([unicode_cotangent(graph, name) for name in reached])
            through = operator_words(equation)
            sentences.append(f"{unicode_cotangent(graph, equation.output)} goes back through {through} to {made}.")
    without = [unicode_name(name) for name in graph.given if not graph.needs_gradient(name)]
    if without:
        sentences.append(f"No cotangent is computed for {enumerated(without)}.")
    return sentences
