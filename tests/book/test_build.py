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


def test_a_sound_book_builds_with_its_drawing_and_without_widget_state(tmp_path: Path) -> None:
    """The page has the inline SVG, which follows light and dark, and no script that only a live notebook could use."""
    result = build(tmp_path, markdown="Text and $x$.", cell=GRAPH)
    assert result.returncode == 0, result.stdout
    page = (tmp_path / "_build/html/book/page.html").read_text("utf-8")
    assert '<figure class="mlp-graph"><svg' in page
    assert "widget-state" not in page
    assert "thebe" not in page
    assert not re.findall(r'<(?:script|link)[^>]+(?:src|href)="(?:https?:)?//[^"]+', page)


# What to write in the text, and what the build then says.
MISTAKES = {
    "See {numref}`fig-nowhere`.": "fig-nowhere",
    "See {eq}`eq-nowhere`.": "eq-nowhere",
    "See {doc}`nowhere`.": "'nowhere'",
    "See {cite:t}`nobody1999`.": "nobody1999",
    "```{figure} nowhere.png\n:alt: A picture.\n\nA caption.\n```": "nowhere.png",
}
CELL = """
import warnings
import matplotlib.pyplot as plt
warnings.warn("look here")
plt.plot([1, 2]);
"""


@pytest.mark.parametrize(
    ("mistake", "said"),
    [({"cell": "1 / 0"}, "ZeroDivisionError"), ({"markdown": "See {numref}`fig-nowhere`."}, "fig-nowhere")],
    ids=["broken cell", "one warning"],
)
def test_a_mistake_fails_the_build(tmp_path: Path, mistake: dict[str, str], said: str) -> None:
    result = build(tmp_path, **mistake)
    assert result.returncode != 0, result.stdout
    assert said in result.stdout


def test_each_mistake_is_a_warning_of_its_own(tmp_path: Path) -> None:
    """One is enough, as above; so that not each needs a build, all are made at once, and each has to be warned of."""
    result = build(tmp_path, markdown="\n\n".join(MISTAKES), cell=CELL)
    assert result.returncode != 0, result.stdout
    warned = [line for line in result.stdout.splitlines() if re.search(r"\b(WARNING|ERROR)\b", line)]
    for said in (*MISTAKES.values(), "stderr", "without alt text"):
        assert any(said in line for line in warned), f"{said}\n{result.stdout}"
