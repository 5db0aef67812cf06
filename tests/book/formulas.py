"""The book's equations, read from its sources, and a reader for those that are written in whole matrices.

`evaluate` takes the formula as it is printed, in TeX, and runs it: juxtaposition is the matrix product (or a number
times a matrix), ⊙ the elementwise product, ᵀ the transpose. What it does not know, it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

from tests.book.conftest import ROOT

DISPLAY = re.compile(r"^\$\$[ ]*\n(.*?)\n\$\$(?: \(([\w-]+)\))?[ ]*$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Display:
    """One equation on lines of its own."""

    page: str
    label: str | None
    tex: str

    @property
    def has_gradient(self) -> bool:
        """Whether it says the derivative of something with respect to something."""
        return bool(re.search(r"\\partial|\\nabla|\\delta|\\dot\{", self.tex))


def prose(path: Path) -> str:
    """The text of a page, without its code cells."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return path.read_text("utf-8")


def displays() -> list[Display]:
    """All equations of the book that stand on lines of their own."""
    pages = sorted([*(ROOT / "book").glob("*.ipynb"), *(ROOT / "book").glob("*.md")])
    return [Display(path.stem, label, tex) for path in pages for tex, label in DISPLAY.findall(prose(path))]


def statements(tex: str) -> Iterator[tuple[list[str], str | None]]:
    """Each row's sides (of ``a = b = c``, three), and the shape that stands beside it, if one does."""
    inner = re.sub(r"\\begin\{aligned\}|\\end\{aligned\}", "", tex)
    for row in re.split(r"\\\\(?:\[[^]]*\])?|\\qquad|\\quad", inner):
        cells = [cell.strip(" .,\n") for cell in row.split("&")]
        shape = cells.pop() if re.fullmatch(r"\(\w+, \w+\)", cells[-1]) else None
        # "a &= b & c &= d" is two statements: a cell that begins with "=" belongs to the one before it.
        joined: list[str] = []
        for cell in filter(None, cells):
            if cell.startswith("="):
                joined[-1] += cell
            else:
                joined.append(cell)
        for statement in joined:
            sides = [side.strip() for side in statement.split("=")]
            if len(sides) > 1:
                yield sides, shape


TOKENS = re.compile(
    r"""(?P<space>\s+|\\[,;:!]|\\left|\\right|\\big[lrgm]?|\\Big[lr]?)
    |(?P<partial>\\frac\{\\partial\s*(\w)\}\{\\partial\s*([^{}]+|(?:[^{}]*\{[^{}]*\})+[^{}]*)\})
    |(?P<number>\\tfrac\{1\}\{n\}|\\lambda)
    |(?P<slope>\\phi'{1,2}\((?P<of>\\mathbf\{\w\}|\w)\))
    |(?P<dot>\\dot\{(?:\\boldsymbol\\delta|\\mathbf\{\w\})\}(?:_\w|\^\{\(\d\)\})?)
    |(?P<diag>\\operatorname\{diag\})
    |(?P<delta>\\boldsymbol\\delta(?:_(\w))?)
    |(?P<matrix>\\mathbf\{(\w)\}(?:\^\{\((\d)\)\})?)
    |(?P<top>\^\\top)
    |(?P<sign>\\odot|[-+(){}])""",
    re.VERBOSE,
)


def name_of(tex: str) -> str:
    r"""A variable's name in code: ``\mathbf{W}^{(1)}`` is W1."""
    match = re.fullmatch(r"\\mathbf\{(\w)\}(?:\^\{\((\d)\)\})?|(\w)", tex.strip())
    if match is None:
        raise ValueError(f"expected a variable, received {tex!r}")
    return (match[1] or match[3]) + (match[2] or "")


def tokens(tex: str) -> list[tuple[str, str]]:
    """The pieces of a formula: what kind each is, and its name."""
    found, place = [], 0
    while place < len(tex):
        match = TOKENS.match(tex, place)
        if match is None:
            raise ValueError(f"expected something that the tests can read, received {tex[place : place + 30]!r}")
        place, kind = match.end(), str(match.lastgroup if match.lastgroup != "of" else "slope")
        text = match[0]
        if kind == "partial":
            inner = re.fullmatch(r"\\frac\{\\partial\s*(\w)\}\{\\partial\s*(.+)\}", text)
            assert inner
            text = f"d{inner[1]}/d{name_of(inner[2])}"
        elif kind == "matrix":
            text = name_of(text)
        elif kind == "slope":
            text = "phi''" if "''" in text else "phi'"
        elif kind == "dot":
            text = re.sub(r"\\dot\{(\\boldsymbol\\delta|\\mathbf\{\w\})\}", r"\1", text)
            text = "dot " + tokens(text)[0][1]
        elif kind == "delta":
            text = "delta" + text.removeprefix(r"\boldsymbol\delta")
        if kind != "space":
            found.append((kind, text))
    return found


def evaluate(tex: str, known: Mapping[str, Any]) -> Any:
    """Run a formula in whole matrices; ``known`` has its variables, and numbers as floats."""
    rest = tokens(tex)

    def peek() -> str:
        return rest[0][1] if rest else ""

    def product(a: Any, b: Any) -> Any:
        return a * b if np.ndim(a) == 0 or np.ndim(b) == 0 else a @ b

    def total() -> Any:
        value = elementwise()
        while peek() in ("+", "-"):
            sign = rest.pop(0)[1]
            other = elementwise()
            if np.shape(value) != np.shape(other):
                raise ValueError(f"{tex}: {np.shape(value)} {sign} {np.shape(other)}")
            value = value + other if sign == "+" else value - other
        return value

    def elementwise() -> Any:
        value = juxtaposed()
        while peek() == r"\odot":
            rest.pop(0)
            other = juxtaposed()
            if np.shape(value) != np.shape(other):
                raise ValueError(f"{tex}: {np.shape(value)} ⊙ {np.shape(other)}")
            value = value * other
        return value

    def juxtaposed() -> Any:
        value = factor()
        while rest and peek() not in ("+", "-", r"\odot", ")", "}"):
            value = product(value, factor())
        return value

    def factor() -> Any:
        kind, text = rest.pop(0)
        if text in ("(", "{"):
            value = total()
            if rest.pop(0)[1] != {"(": ")", "{": "}"}[text]:
                raise ValueError(f"{tex}: brackets do not match")
        elif kind == "diag":
            value = np.diag(factor()[:, 0])
        elif text in known:
            value = known[text]
        else:
            raise ValueError(f"{tex}: nobody knows {text!r}")
        if rest and rest[0][0] == "top":
            rest.pop(0)
            value = value.T
        return value

    value = total()
    if rest:
        raise ValueError(f"{tex}: {rest} is left over")
    return value
