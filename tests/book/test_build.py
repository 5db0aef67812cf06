"""A build that counts fails when it must: tiny books with the project's own configuration, extension and command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.book.conftest import ROOT


def build(folder: Path, markdown: str = "", cell: str = "1 + 1") -> subprocess.CompletedProcess[str]:
    """Build a book of one page of text and one notebook with the Makefile's command."""
    command = re.search(r"^BUILD := \$\(BIN\)/(.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert command, "the Makefile says how the book is built"
    program, *options = command[1].split()
    shutil.copy(ROOT / "_config.yml", folder)
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    shutil.copy(ROOT / "book" / "references.bib", folder / "book")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n- file: book/page\n", "utf-8")
    (folder / "book" / "index.md").write_text(f"# A book\n\n{markdown}\n", "utf-8")
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = new_notebook(cells=[nbformat.v4.new_markdown_cell("# Page"), new_code_cell(cell)], metadata=metadata)
    nbformat.write(notebook, folder / "book" / "page.ipynb")
    return subprocess.run(
        [Path(sys.executable).parent / program, *options, "."],
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_sound_book_builds(tmp_path: Path) -> None:
    result = build(tmp_path, markdown="Text and $x$.")
    assert result.returncode == 0, result.stdout
    assert (tmp_path / "_build/html/book/page.html").exists()


def test_chapters_are_cited_by_number(book: Path) -> None:
    """A link to a chapter begins with the number of its heading."""
    pages = {path.name: path.read_text("utf-8") for path in (book / "book").glob("*.html")}
    heading = r'<h1><span class="section-number">(\d+)\. '
    numbers = {name: found[1] for name, page in pages.items() if (found := re.search(heading, page))}
    link = r'href="([\w-]+\.html)"><span class="doc">([^<]+)'
    links = [found for page in pages.values() for found in re.findall(link, page) if found[0] in numbers]
    assert len(numbers) >= 10 and {name for name, _ in links} == set(numbers)
    assert [found for found in links if not found[1].startswith(f"{numbers[found[0]]}\xa0")] == []


GRAPH = """
import ipywidgets
from IPython.display import display
class Graph:
    def _repr_mimebundle_(self, **options):
        svg = '<svg xmlns="http://www.w3.org/2000/svg" role="img"><title>The graph</title></svg>'
        return {"text/plain": "a graph", "image/svg+xml": svg, "text/html": f'<figure class="mlp-graph">{svg}</figure>'}
display(ipywidgets.IntSlider())
Graph()
"""


def test_a_drawing_comes_through_and_widget_state_stays_out(tmp_path: Path) -> None:
    """The page has the inline SVG, which follows light and dark, and no script that only a live notebook could use."""
    result = build(tmp_path, cell=GRAPH)
    assert result.returncode == 0, result.stdout
    page = (tmp_path / "_build/html/book/page.html").read_text("utf-8")
    assert '<figure class="mlp-graph"><svg' in page
    assert "widget-state" not in page
    assert "thebe" not in page
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="(?:https?:)?//[^"]+', page)


PICTURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"cell": "1 / 0"}, "ZeroDivisionError"),
        ({"markdown": "See {numref}`fig-nowhere`."}, "fig-nowhere"),
        ({"markdown": "See {eq}`eq-nowhere`."}, "eq-nowhere"),
        ({"markdown": "See {doc}`nowhere`."}, "nowhere"),
        ({"markdown": "See {cite:t}`nobody1999`."}, "nobody1999"),
        ({"markdown": "```{figure} nowhere.png\n:alt: A picture.\n\nA caption.\n```"}, "nowhere.png"),
        ({"cell": "import warnings; warnings.warn('look here')"}, "stderr"),
        ({"cell": PICTURE}, "without alt text"),
    ],
    ids=["broken cell", "figure", "equation", "page", "source", "missing figure", "warning in a cell", "alt text"],
)
def test_a_mistake_fails_the_build(tmp_path: Path, mistake: dict[str, str], said: str) -> None:
    result = build(tmp_path, **mistake)
    assert result.returncode != 0, result.stdout
    assert said in result.stdout
