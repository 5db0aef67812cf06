"""Runs the chapters' cells, and tells where two runs of a chapter print or paste something else.

A cell whose output may differ between machines says so in its metadata, with a reason: ``{"mlp": {"varies": "…"}}``.
With the reason ``"rounding"`` only numbers may differ, and only ones that are the size of a rounding error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
GLUE = "application/papermill.record/"
TINY = 1e-9  # in size: the largest number that two machines may disagree about in a cell that varies by "rounding"
NUMBER = re.compile(r"[-−]?\d[\d,]*\.?\d*(?:[eE][-+−]?\d+)?")


class Said(NamedTuple):
    """What one cell printed, showed as text or pasted, in order."""

    cell: int
    varies: str
    texts: tuple[tuple[str, str], ...]


def chapters() -> list[Path]:
    """All pages of the book that have cells."""
    pages = [page for page in sorted(BOOK.iterdir()) if page.suffix in (".ipynb", ".md")]
    return [page for page in pages if page.suffix == ".ipynb" or "```{code-cell}" in page.read_text("utf-8")]


def read(page: Path) -> nbformat.NotebookNode:
    """The page as a notebook, as the build reads it."""
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        return nbformat.reads(text, as_version=4)
    return read_myst_markdown_notebook(text, path=page)


def said(page: Path, **environment: str) -> list[Said]:
    """Run a page in a kernel of its own, in the book's folder as the build does, and collect what its cells said."""
    notebook = read(page)
    client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(BOOK)}})
    client.execute(env={**os.environ, **environment})
    found = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            varies = str(cell.metadata.get("mlp", {}).get("varies", ""))
            found.append(Said(index, varies, joined(pair for output in cell.outputs for pair in texts(output))))
    return found


def joined(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The texts, those of one stream put together: a kernel sends what is printed in as many parts as it likes."""
    runs = groupby(pairs, key=lambda pair: pair[0])
    return tuple((source, "".join(text for _, text in run)) for source, run in runs)


def texts(output: Any) -> list[tuple[str, str]]:
    """The texts of one output, each with where it comes from: a stream, a pasted name, or plain text."""
    if output.output_type == "stream":
        return [(output.name, output.text)]
    pasted = output.metadata.get("scrapbook", {}).get("name", "")
    data = {kind.removeprefix(GLUE): text for kind, text in output.data.items()}
    return [(f"glue:{pasted}" if pasted else "text", data["text/plain"])] if "text/plain" in data else []


def differences(first: list[Said], second: list[Said]) -> list[str]:
    """A line for each text that is another one, unless its cell declares that it may be."""
    lines = []
    for one, other in zip(first, second, strict=True):
        if one.varies and one.varies != "rounding":
            continue
        if len(one.texts) != len(other.texts):
            lines.append(f"cell {one.cell}: {len(one.texts)} outputs, and {len(other.texts)}")
        for (source, mine), (_, theirs) in zip(one.texts, other.texts, strict=False):
            if not (same_but_for_rounding(mine, theirs) if one.varies else mine == theirs):
                lines.append(f"cell {one.cell}, {source}: {mine!r}, and {theirs!r}")
    return lines


def same_but_for_rounding(first: str, second: str) -> bool:
    """Whether two texts differ in numbers only, and in such only as are next to nothing."""
    if NUMBER.sub("#", first) != NUMBER.sub("#", second):
        return False
    pairs = zip(NUMBER.findall(first), NUMBER.findall(second), strict=True)
    return all(a == b or max(abs(value(a)), abs(value(b))) < TINY for a, b in pairs)


def value(text: str) -> float:
    """The number that a text of `NUMBER` is."""
    return float(text.replace("−", "-").replace(",", ""))
