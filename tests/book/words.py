"""The words that a reader meets: those of the pages, and of the docstrings that the pages of the package show."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat

from tests.book.conftest import ROOT

# What is no prose, in the order in which it is taken out.
NO_PROSE = [
    r"^---\n.*?\n---\n",  # front matter
    r"^(`{3,}|~{3,})\{code-cell\}.*?^\1",  # code cells of Markdown pages: their comments are read apart
    r"^(`{3,})(?:python|bash|json|text|bibtex)?\n.*?^\1",
    r"^\$\$.*?^\$\$(?: \([\w-]+\))?",  # formulas, and their labels
    r"(?<!\\)\$[^$]+\$",
    r"`{3,}\{eval-rst\}.*?^`{3,}",
    r"^\([\w-]+\)=$",  # labels
    r"^:[\w-]+:[^\n]*$",  # options of directives; captions and alt texts are read apart
    r"^[`:]{3,}(?:\{?[\w-]+\}?)?",  # directives, and where they end
    r"\{(?:doc|ref|eq|numref|cite:[pt]|py:\w+|math|glue:\w+)\}`[^`]+`",
    r"\{[\w:]+\}",
    r"\{glue:\w+\}`[^`]+`|`[^`]+`",
    r"\]\([^)]+\)",  # addresses of links
    r"https?://\S+",
    r"<[^>\n]+>",
]
LETTER = r"[^\W\d_⁰¹²³⁴-⁹]"  # for Python's \d, raised digits are none
WORD = re.compile(rf"{LETTER}+(?:['’]{LETTER}+)*")


def words_of(text: str) -> Iterator[str]:
    """The words of a text without its code, its formulas and its addresses."""
    text = re.sub(r"\{term\}`([^`<]*)(?:<[^`>]*>)?`", r"\1", text)  # the words of a term are prose
    for pattern in NO_PROSE:
        text = re.sub(pattern, " ", text, flags=re.DOTALL | re.MULTILINE)
    for word in WORD.findall(text):
        yield word.replace("’", "'").removesuffix("'s").strip("'")


def comments(code: str) -> str:
    """The comments of a cell."""
    try:
        pieces = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return ""
    return "\n".join(piece.string.lstrip("# ") for piece in pieces if piece.type == tokenize.COMMENT)


def page_text(path: Path) -> str:
    """Everything of a page that somebody reads or hears: text, captions, alt texts, comments in code."""
    if path.suffix == ".md":
        text = path.read_text("utf-8")
        cells = re.findall(r"^```\{code-cell\}.*?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
        spoken = re.findall(r"^:\s+(?:alt|caption):\s*(.*)$", text, flags=re.MULTILINE)
        return "\n\n".join([text, *spoken, *map(comments, cells)])
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        parts.append(cell.source if cell.cell_type == "markdown" else comments(cell.source))
        shown = cell.metadata.get("mystnb", {})
        parts += [shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")]
    return "\n\n".join(parts)


def docstrings(path: Path) -> str:
    """The docstrings of a module, without names in backquotes and what stands after a prompt."""
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
    text = "\n\n".join(texts)
    text = re.sub(r"^>>> .*\n(?:.+\n?)*", " ", text, flags=re.MULTILINE)
    # A parameter and its type; several that are as elsewhere.
    text = re.sub(r"^\w+(?:, \w+)* :.*$|^\w+(?:, \w+)+$", " ", text, flags=re.MULTILINE)
    return text.replace("``", "`")


def all_words() -> dict[str, set[str]]:
    """Every word, with the files in which it stands."""
    found: dict[str, set[str]] = {}
    book = [(path, page_text(path)) for kind in ("*.md", "*.ipynb") for path in (ROOT / "book").glob(kind)]
    package = [(path, docstrings(path)) for path in (ROOT / "mlp").rglob("*.py")]
    for path, text in [*book, *package]:
        for word in words_of(text):
            found.setdefault(word, set()).add(str(path.relative_to(ROOT)))
    return found
