"""What a view is told: one JSON text with the graph, the values, the stops, their formulas and words, and lifetimes.

The live widget, the island in a built page and the text are all made from it. Numbers are filled in by the view, from
its own evaluation of the graph; here is only what does not change with them.
"""

import inspect
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import groupby
from textwrap import indent
from typing import Any

from latex2mathml.converter import convert

from mlp import draw
from mlp.draw import layout
from mlp.draw.labels import cotangent_tex, enumerated, unicode_cotangent, unicode_name
from mlp.engine import value_and_grad
from mlp.graph import Equation, Graph
from mlp.ops import ACTIVATIONS, LOSSES, OPS, Array, Shape
from mlp.steps import Lifetime, Step, cotangent_name, schedule

FORMAT, VERSION = "mlp-view", 1
PANELS = ("graph", "formula", "numbers", "rule", "memory", "code")
# ["mrow", child, …], ["mi", "text"], or ["mspace", "width"]: MathML without markup, which a page builds node by node.
MathTree = list[Any] | str  # ["mfrac", child, …], ["mtext", "text"], or a text that says by itself which leaf it is


@dataclass(frozen=True)
class Stop:
    r"""One idea of the walk: a step, or several steps that are one idea, or the update at the end.

    Attributes
    ----------
    id : str
        Names the stop in a page's address: ``"z"``, ``"dJ-dW2"``, ``"back-s"`` where one equation pays several,
        ``"update"``; in a large graph ``"layer-7"`` or ``"back-layers-6-10"``; with ``~2`` behind it the second time.
    phase : str
        ``"forward"``, ``"backward"`` or ``"update"``.
    steps : tuple of int
        The steps of the schedule that it takes; none for the update.
    title : str
        A few words, for a list of stops.
    words : str
        One sentence that says it all.
    formula, numbers : str
        TeX: in symbols, with the shape under each factor; and with a slot ``\\text{@3}`` wherever numbers go. For a
        whole layer in one stop symbols alone, without shapes.
    slots : tuple of str
        What goes where: a variable's name, a cotangent's (``"dJ/dz"``), ``"instalment 11"`` for what step 11 pays,
        ``"new W1"`` for an updated parameter, ``"learning rate"``, ``"weight_decay of s"`` for a number of an equation.
        A variable's name has no space in it, so none can be taken for another.
    """

    id: str
    phase: str
    steps: tuple[int, ...]
    title: str
    words: str
    formula: str
    numbers: str
    slots: tuple[str, ...]


#: The mistakes that a reader can make on purpose: what the button says, and why the check then fails.
BREAKS: Mapping[str, tuple[str, str]] = {
    "overwrite": ("= for +=", "an instalment that came later replaced what was there, instead of being added"),
    "drop_phi": ("drop φ′", "its cotangent went through the activation as if the slope were 1 everywhere"),
    "update_mid_pass": (
        "update in mid-pass",
        "a weight that it is made with had been updated already, before the pass was over",
    ),
    "hasty_order": (
        "wrong order",
        "the cotangent that it is made from was passed on after its first instalment, while others were still owed",
    ),
}


def stops(graph: Graph) -> tuple[Stop, ...]:
    """All stops, in order: one for each idea. The running example has 14.

    Where a graph is drawn as an outline, the stops are an outline too: one for a layer each way, or, beyond 60 layers,
    for so many together that there are not more than 60 each way.
    """
    steps = schedule(graph, "keep_all")
    stretches = _stretches(graph) if layout.needs_outline(graph) else {}
    # With λ = 0 the engine adds nothing; a reader can change λ, so it is told as the share that it is.
    backward = [step for step in steps if step.phase == "backward"]
    firsts = set({step.variable: step.index for step in reversed(backward)}.values())
    found: list[Stop] = []
    seen: Counter[str] = Counter()

    def idea(step: Step) -> object:
        return step.phase, stretches.get(step.equation.output) or _idea(graph, step)

    for _, group in groupby(steps, key=idea):
        together = list(group)
        first = together[0]
        if first.equation.output in stretches:
            stop = _stretch(graph, together, stretches[first.equation.output], firsts)
        else:
            stop = _forward(graph, first) if first.phase == "forward" else _backward(graph, together, firsts)
        seen[stop.id] += 1
        found.append(replace(stop, id=f"{stop.id}~{seen[stop.id]}") if seen[stop.id] > 1 else stop)
    if graph.parameters and graph.objective:
        stop = _update(graph)
        found.append(replace(stop, id=f"{stop.id}~2") if seen[stop.id] else stop)  # of a variable called "update"
    return tuple(found)


def _idea(graph: Graph, step: Step) -> tuple[str, int | None]:
    """What a sum or a penalty pays to all its inputs is one idea; any other VJP is one of its own."""
    alike = graph.table[step.equation.op].variadic
    return step.equation.output, None if alike else step.argnum


STRETCHES = 60  # at most so many stops each way for the layers of a graph that is too large to stop at every step


def _products(graph: Graph) -> list[tuple[int, ...]]:
    """The layers: each a matrix product with the bias and the activation that follow."""
    return [group for group in layout.layers(graph) if graph.equations[group[0]].op == "matmul"]


def _stretches(graph: Graph) -> dict[str, tuple[int, int]]:
    """Of a large graph, the layers that are one stop: for each variable made in one, the first and the last, from 1."""
    layers = _products(graph)
    together = -(-len(layers) // STRETCHES)
    found: dict[str, tuple[int, int]] = {}
    for start in range(0, len(layers), together):
        end = min(start + together, len(layers))
        for group in layers[start:end]:
            found |= {graph.equations[index].output: (start + 1, end) for index in group}
    return found


class _Writer:
    """Writes the two formulas of a stop side by side, and collects the slots."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.slots: list[str] = []

    def slot(self, name: str) -> str:
        """A place for numbers."""
        self.slots.append(name)
        return rf"\text{{@{len(self.slots) - 1}}}"

    def attrs(self, equation: Equation) -> dict[str, str]:
        """A place for each number of an equation."""
        return {attr: self.slot(f"{attr} of {equation.output}") for attr in equation.attrs}

    def value(self, name: str) -> str:
        """A variable's symbol, with its shape below."""
        return self._above(name, self.graph.variables[name].tex)

    def cotangent(self, name: str) -> str:
        """The symbol of a variable's cotangent, with its shape below."""
        return self._above(name, cotangent_tex(self.graph, name))

    def _above(self, name: str, tex: str) -> str:
        shape = self.graph.variables[name].shape
        return rf"\underset{{{shape[0]} \times {shape[1]}}}{{{tex}}}" if shape else tex


def rule_tex(
    graph: Graph,
    equation: Equation,
    argnum: int,
    delta: str,
    written: Callable[[str], str],
    numbers: Callable[[Equation], Mapping[str, str]] | None = None,
) -> str:
    """One VJP in TeX: the cotangent as ``delta``, a residual as ``written(name)``, numbers as symbols by default."""
    op = graph.table[equation.op]
    vjp = op.vjp(argnum)
    assert vjp is not None
    saved = vjp.residuals(equation.inputs, equation.output, argnum)
    symbols = {**op.attrs, **equation.symbols}
    return vjp.tex(delta, *map(written, saved), **(numbers(equation) if numbers else symbols))


def _stretch(graph: Graph, steps: Sequence[Step], layers: tuple[int, int], firsts: Collection[int]) -> Stop:
    """A layer, or several, in one stop: its formulas with φ for the activation, and no numbers in them."""
    first, last = layers
    where = f"layer {first}" if first == last else f"layers {first} to {last}"
    name = where.replace(" to ", "-").replace(" ", "-")
    made = list(dict.fromkeys(step.variable for step in steps))
    written = steps if len(steps) <= SHOWN else steps[: SHOWN - 1]
    formulas = [_in_symbols(graph, step, firsts) for step in written] + [r"\dots"] * (len(steps) > SHOWN)
    if steps[0].phase == "forward":
        start, result = steps[0].equation.inputs[-1], graph.variables[made[-1]]
        words = f"{_capital(where)}: from {unicode_name(start)} to {unicode_name(result.name)}, {_size(result.shape)}"
        words += f", by way of {enumerated([unicode_name(each) for each in made[:-1]])}." if made[1:] else "."
        title = where
    else:
        source = steps[0].equation.output
        told = [unicode_cotangent(graph, each) for each in (source, *made)]
        final = {step.variable for step in steps if step.final}
        owed = [text for each, text in zip(made, told[1:], strict=True) if each not in final]
        words = f"Back through {where}: {told[0]} gives {enumerated(told[1:])}. "
        words += f"Not final: {enumerated(owed)}." if owed else "All final." if len(made) > 1 else "Final."
        title, name = f"back through {where}", f"back-{name}"
    indices = tuple(step.index for step in steps)
    return Stop(name, steps[0].phase, indices, title, words, r" \qquad ".join(formulas), "", ())


def _in_symbols(graph: Graph, step: Step, firsts: Collection[int]) -> str:
    """What a step computes, without shapes, and with φ for any activation."""
    equation, argnum = step.equation, step.argnum
    op, inputs = graph.table[equation.op], [f"{{{graph.variables[name].tex}}}" for name in equation.inputs]
    if argnum is None:
        symbols = {**op.attrs, **equation.symbols}
        made = rf"\phi({inputs[0]})" if equation.op in ACTIVATIONS else op.tex(*inputs, **symbols)
        return f"{graph.variables[equation.output].tex} = {made}"
    delta, sign = cotangent_tex(graph, equation.output), "=" if step.index in firsts else r"\text{ += }"
    if equation.op in ACTIVATIONS:
        return rf"{cotangent_tex(graph, step.variable)} {sign} {delta} \odot \phi'({inputs[0]})"
    rule = rule_tex(graph, equation, argnum, delta, lambda name: f"{{{graph.variables[name].tex}}}")
    return f"{cotangent_tex(graph, step.variable)} {sign} {rule}"


def _forward(graph: Graph, step: Step) -> Stop:
    equation, write = step.equation, _Writer(graph)
    op, out = graph.table[equation.op], graph.variables[equation.output]
    symbols = {**op.attrs, **equation.symbols}
    values = write.attrs(equation)
    formula = f"{write.value(out.name)} = {op.tex(*map(write.value, equation.inputs), **symbols)}"
    filled = op.tex(*map(write.slot, equation.inputs), **values)
    numbers = f"{out.tex} = {filled} = {write.slot(out.name)}"
    title = draw.labels.plain(graph, equation)
    told = words_of(graph, equation, None)
    if not SAID.get((equation.op, None), "").startswith("{"):  # a name keeps its case
        told = _capital(told)
    words = f"{told} gives {unicode_name(out.name)}, {_size(out.shape)}."
    return Stop(out.name, "forward", (step.index,), title, words, formula, numbers, tuple(write.slots))


SHOWN = 4  # of many alike, such as the weights that a penalty pays


def _backward(graph: Graph, steps: Sequence[Step], firsts: Collection[int]) -> Stop:
    write = _Writer(graph)
    formulas, numbers, words = [], [], []
    for step in steps[:SHOWN]:
        equation, argnum = step.equation, step.argnum
        assert argnum is not None
        name, first = step.variable, step.index in firsts
        sign = "=" if first else r"\text{ += }"
        rule = rule_tex(graph, equation, argnum, write.cotangent(equation.output), write.value)
        formulas.append(f"{write.cotangent(name)} {sign} {rule}")
        delta = write.slot(cotangent_name(graph, equation.output))
        filled = rule_tex(graph, equation, argnum, delta, write.slot, write.attrs)
        paid = write.slot(f"instalment {step.index}")
        numbers.append(
            f"{cotangent_tex(graph, name)} = {filled} = {paid}"
            if first
            else rf"{filled} = {paid} \text{{, added to }} {cotangent_tex(graph, name)}"
        )
        what = "Gradient" if name in graph.parameters else "Cotangent"
        added = "" if first else ", added to what is there"
        status = "Final." if step.final else "Not final: another instalment is to come."
        told = words_of(graph, equation, argnum)
        words.append(f"{what} of {unicode_name(name)}: {told}, {_size(graph.variables[name].shape)}{added}. {status}")
    names = [step.variable for step in steps]
    title = enumerated([unicode_cotangent(graph, name) for name in names])
    if len(steps) > SHOWN:
        words.append(f"And so on, for {len(steps) - SHOWN} more.")
    single = cotangent_name(graph, names[0]).replace("/", "-")
    return Stop(
        single if len(steps) == 1 else f"back-{steps[0].equation.output}",
        "backward",
        tuple(step.index for step in steps),
        title,
        " ".join(words),
        r" \qquad ".join(formulas),
        r" \qquad ".join(numbers),
        tuple(write.slots),
    )


def _update(graph: Graph) -> Stop:
    write = _Writer(graph)
    shown = graph.parameters[:SHOWN]
    formulas, numbers = [], []
    for name in shown:
        tex, gradient = graph.variables[name].tex, cotangent_tex(graph, name)
        formulas.append(rf"{tex} \leftarrow {tex} - \eta \, {gradient}")
        old, rate, slope = write.slot(name), write.slot("learning rate"), write.slot(cotangent_name(graph, name))
        numbers.append(rf"{tex} \leftarrow {old} - {rate} \cdot {slope} = {write.slot(f'new {name}')}")
    words = "Subtract η times its gradient from every parameter; η is the learning rate. Then step again."
    formula, filled = (r" \qquad ".join(part) for part in (formulas, numbers))
    return Stop("update", "update", (), "update the parameters", words, formula, filled, tuple(write.slots))


# --- words ----------------------------------------------------------------------------------------------------------

SAID: Mapping[tuple[str, int | None], str] = {
    ("matmul", None): "{0} times {1}",
    ("matmul", 0): "{delta} times {1} transposed",
    ("matmul", 1): "{0} transposed times {delta}",
    ("bias", None): "adding {1} to every column of {0}",
    ("bias", 0): "{delta} unchanged",
    ("bias", 1): "{delta} summed over the examples",
    ("identity", None): "each entry of {0}, unchanged,",
    ("identity", 0): "{delta} unchanged",
    ("relu", 0): "{delta} where {out} is positive, 0 elsewhere",
    ("squared_error", None): "half the squared distance between {0} and {1}, averaged over the examples,",
    ("squared_error", 0): "{0} minus {1}, divided by the number of examples",
    ("cross_entropy", None): "the cross-entropy of the softmax of {0} against {1}, averaged over the examples,",
    ("cross_entropy", 0): "the softmax of {0}, with {1} subtracted, divided by the number of examples",
}


def words_of(graph: Graph, equation: Equation, argnum: int | None) -> str:
    """What an equation computes, or what it pays to one of its inputs, in words."""
    names = [unicode_name(name) for name in equation.inputs]
    delta = unicode_cotangent(graph, equation.output)
    number = next((_plain_text(tex) for tex in {**graph.table[equation.op].attrs, **equation.symbols}.values()), "1")
    said = SAID.get((equation.op, argnum))
    if said is not None:
        return said.format(*names, delta=delta, out=unicode_name(equation.output))
    if equation.op == "l2":
        everything = enumerated(names)
        return (
            f"half of {number} times the sum of all squares in {everything}"
            if argnum is None
            else f"{number} times {names[argnum]}"
        )
    if equation.op == "add":
        if argnum is None:
            return f"the sum of {enumerated(names)}"
        return f"{delta}, which is 1, unchanged" if equation.output == graph.objective else f"{delta} unchanged"
    if argnum is None and equation.op in ACTIVATIONS:
        return f"{equation.op} of each entry of {names[0]}"
    if argnum is None:
        return f"{equation.op} of {enumerated(names)}"
    return f"{delta} times the slope of {equation.op}, entry by entry"


def _size(shape: Shape) -> str:
    return f"{shape[0]} by {shape[1]}" if shape else "a number"


def _plain_text(tex: str) -> str:
    """A symbol of TeX in plain text: λ."""
    return "".join(ET.fromstring(convert(tex)).itertext())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- lifetimes and code ---------------------------------------------------------------------------------------------


def ledger(graph: Graph) -> list[dict[str, Any]]:
    """Every array of a training step with its bytes, and its life under ``"residuals"``."""
    steps = schedule(graph, "residuals")
    kinds = dict.fromkeys(graph.inputs, "input") | dict.fromkeys(graph.parameters, "parameter")
    kinds |= {name: "value" for name in graph.variables if name not in kinds}
    kinds |= {cotangent_name(graph, name): "cotangent" for name in graph.variables}
    kinds |= {cotangent_name(graph, name): "gradient" for name in graph.parameters}
    given = [Lifetime(name, 0, len(steps) - 1, steps.nbytes(name)) for name in graph.given]
    made = sorted(steps.lifetimes(), key=lambda life: (life.first, life.array not in kinds))
    return [
        {"name": name, "kind": kinds.get(name, "workspace"), "bytes": nbytes, "born": first, "freed": last}
        for name, first, last, nbytes in (*given, *made)
    ]


def code(graph: Graph, step: Step) -> str:
    """The lines of the rule that a step executes, without its docstring."""
    op = graph.table[step.equation.op]
    vjp = None if step.argnum is None else op.vjp(step.argnum)
    rule = op.forward if vjp is None else vjp.rule
    function = rule.func if isinstance(rule, partial) else rule
    try:
        lines = inspect.getsource(function).splitlines()
    except (OSError, TypeError):
        return f"{getattr(function, '__name__', 'rule')}(...)"
    body = inspect.cleandoc("\n".join(lines[1:]))
    if body.startswith(('"""', 'r"""')):
        body = inspect.cleandoc(body.split('"""', 2)[2].strip("\n"))
    return f"{lines[0].strip()}\n{indent(body, '    ')}"


# --- all of it ------------------------------------------------------------------------------------------------------


def check_name(name: str) -> None:
    """A view's name can stand in a page's address."""
    if not isinstance(name, str) or not name.replace("-", "").isalnum() or not name[0].isalpha():
        raise ValueError(f"name: expected a letter, then letters, digits or '-', received {name!r}")


def who(view: str, name: str) -> dict[str, Any]:
    """What every state begins with: what it is, and what it is called in the page."""
    check_name(name)
    return {"format": FORMAT, "version": VERSION, "view": view, "name": name}


def nested(array: Array) -> Any:
    """An array as nested lists of the shortest decimals that read back to the same entries.

    So the float32 nearest to 0.1 is told as 0.1, as NumPy prints it, and not as 0.10000000149011612.
    """
    return array.astype(str).astype("float64").tolist() if array.dtype == "float32" else array.tolist()


def head(graph: Graph, values: Mapping[str, Array], *, view: str, name: str) -> dict[str, Any]:
    """What a view of a graph is told: who it is, the graph, and the values.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As `value_and_grad`, which is run once to check the values; for a name that no address could hold; for an
        operator of one's own, which the page has no rules for.
    """
    told = who(view, name)
    value_and_grad(graph, values)
    own = [equation for equation in graph.equations if graph.table[equation.op] is not OPS.get(equation.op)]
    if own:
        has = "graph: expected operators of mlp.ops.OPS, as a view computes by rules of its own, one for each of these"
        raise ValueError(f"{has}; received another '{own[0].op}' in '{own[0]}'")
    return {
        **told,
        "graph": json.loads(graph.to_json()),
        "values": {given: nested(values[given]) for given in graph.given},
    }


def state(
    graph: Graph,
    values: Mapping[str, Array],
    *,
    view: str,
    show: Sequence[str],
    name: str,
    lr: float,
) -> dict[str, Any]:
    """Everything that the stepper needs, as plain data.

    Raises
    ------
    TypeError, ValueError, FloatingPointError
        As `head`.
    """
    told = head(graph, values, view=view, name=name)
    walk = _walk(graph)
    return {
        **told,
        "show": list(show),
        "lr": lr,
        **walk,
        "variants": variants(graph, walk),
        "breaks": BREAKS,
        "hint": "Make a classic mistake, and see where nudging every number finds it.",
        "hasty": "The wrong order harms only where something in the middle has two readers, as in the diamond.",
    }


def _walk(graph: Graph) -> dict[str, Any]:
    """What depends on the operators: the stops, the lifetimes, the rules, and which rule each step executes."""
    rules: dict[str, str] = {}
    for step in schedule(graph, "keep_all"):
        key = code_key(graph, step)
        if key not in rules:
            rules[key] = code(graph, step)
    told = [
        {
            "id": stop.id,
            "phase": stop.phase,
            "steps": list(stop.steps),
            "title": stop.title,
            "words": stop.words,
            "formula": math_tree(stop.formula),
            "numbers": math_tree(stop.numbers) if stop.numbers else None,
            "slots": list(stop.slots),
        }
        for stop in stops(graph)
    ]
    return {"stops": told, "ledger": [list(entry.values()) for entry in ledger(graph)], "code": rules}


def variants(graph: Graph, here: dict[str, Any]) -> dict[str, Any]:
    """What changes when all activations, or the loss, are switched to another operator, by the operator's name.

    Returns
    -------
    dict
        ``{"tanh": {"symbol": "tanh", "stops": {index: {key: told}}, "code": {key: lines}, "ledger": {name: entry or
        None}}}``: only what differs. What a switch of activation changes and what a switch of loss changes are
        disjoint, so that a view can put both in. For more than 60 layers nothing: they would weigh too much.
    """
    found: dict[str, Any] = {}
    if len(_products(graph)) > STRETCHES:
        return found
    for family in (ACTIVATIONS, LOSSES):
        used = {equation.op for equation in graph.equations} & set(family)
        for op in family:
            if not used or used == {op} or op not in graph.table:
                continue
            equations = [replace(e, op=op) if e.op in family else e for e in graph.equations]
            try:
                other = Graph(graph.variables.values(), equations, graph.objective, graph.output, graph.table)
            except ValueError:  # this network cannot have it: cross-entropy with one output
                continue
            there = _walk(other)
            old, new = ({entry[0]: entry for entry in walk["ledger"]} for walk in (here, there))
            found[op] = {
                "symbol": graph.table[op].symbol,
                "stops": {
                    index: {key: told for key, told in stop.items() if told != here["stops"][index][key]}
                    for index, stop in _changed(here["stops"], there["stops"]).items()
                },
                "code": {key: lines for key, lines in there["code"].items() if key not in here["code"]},
                "ledger": {name: new.get(name) for name in {**old, **new} if old.get(name) != new.get(name)},
            }
    return found


def _changed(old: list[Any], new: list[Any]) -> dict[int, Any]:
    return {index: there for index, (here, there) in enumerate(zip(old, new, strict=True)) if here != there}


def code_key(graph: Graph, step: Step) -> str:
    """Which rule a step executes: ``"matmul"``, or ``"matmul 0"`` for its first VJP."""
    op = step.equation.op
    return op if step.argnum is None else f"{op} {0 if graph.table[op].variadic else step.argnum}"


NUMBER = re.compile(r"\d+(?:\.\d+)?")
FIRST = 0xE000  # private characters, which no formula has


def math_tree(tex: str) -> MathTree:
    """TeX as presentation MathML, in nested lists: no name or number in it can become markup.

    Formulas that differ in their numbers only, as those of layers do, are converted once.
    """
    numbers = NUMBER.findall(tex)
    places = map(chr, range(FIRST, FIRST + len(numbers)))
    return _filled(_form(NUMBER.sub(lambda _: next(places), tex)), numbers)


@lru_cache(maxsize=1024)
def _form(tex: str) -> MathTree:
    """A formula with private characters where its numbers go."""
    return _tree(ET.fromstring(convert(tex)))


def _tree(element: ET.Element) -> MathTree:
    tag, text = element.tag.rsplit("}", 1)[-1], element.text or ""
    children = [_tree(child) for child in element]
    if tag == "mrow" and len(children) == 1:
        return children[0]
    if children:
        return [tag, *children]
    usual = "mi" if text[:1].isalpha() else "mo"
    return text if tag == usual or ord((text or " ")[0]) >= FIRST else [tag, text or element.get("width", "")]


def _filled(tree: MathTree, numbers: list[str]) -> MathTree:
    if isinstance(tree, list):
        return [_filled(child, numbers) for child in tree]
    return "".join(numbers[ord(each) - FIRST] if 0 <= ord(each) - FIRST < len(numbers) else each for each in tree)


def to_json(state: Mapping[str, Any]) -> str:
    """JSON that can stand inside a page's ``script`` element: nothing in it can close the element or open another."""
    text = json.dumps(state, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
