"""The sources of the book as they are committed: notebooks without outputs, and nothing of anyone else's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from tests.book.conftest import ROOT, toc_pages

NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
# Words with which other people's files open; spelled so that this file has none of them.
BANNERS = re.compile(r"@licen[s]e|/\*![ *]|Copyright \(c[)]|sourceMappin[g]URL|SPDX-Licens[e]", re.IGNORECASE)


def committed() -> list[Path]:
    """The files of the project that git knows."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def test_every_page_has_its_source() -> None:
    missing = [name for name in toc_pages() if not any((ROOT / f"{name}{kind}").exists() for kind in (".md", ".ipynb"))]
    assert missing == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, f"cell {number}: clear all outputs"


def test_the_readme_tells_the_truth() -> None:
    """Its example runs, and what it links to is there."""
    text = (ROOT / "README.md").read_text("utf-8")
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(example, "README.md", "exec"), {})
    missing = [link for link in re.findall(r"\]\(([^):]+)\)", text) if not (ROOT / link).exists()]
    assert missing == []


def test_no_third_party_code_is_copied() -> None:
    texts = [path for path in committed() if path.suffix in {".py", ".js", ".css", ".html", ".sh", ".mjs", ".ts"}]
    assert [path.name for path in texts if path.name.endswith((".min.js", ".min.css"))] == []
    assert [str(path) for path in texts if BANNERS.search(path.read_text("utf-8"))] == []
    fonts = {".woff", ".woff2", ".ttf", ".otf", ".whl", ".jar", ".wasm", ".so", ".dll", ".exe"}
    assert [path.name for path in committed() if path.suffix in fonts] == []
