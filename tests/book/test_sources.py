"""The sources of the book as they are committed: notebooks without outputs, and nothing of anyone else's."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml
from nbconvert import PythonExporter

from tests.book.conftest import ROOT, toc_pages

NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
PAGES = [*NOTEBOOKS, *sorted((ROOT / "book").glob("*.md"))]
CHAPTERS = [
    ROOT / f"{chapter['file']}.ipynb"
    for chapter in yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"][0]["chapters"]
]
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
    advice = "in JupyterLab: Kernel → Restart Kernel and Clear Outputs of All Cells, then save"
    assert not any(widgets["state"] for widgets in notebook.metadata.get("widgets", {}).values()), advice
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, f"cell {number}: {advice}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_say_what_language_they_are_in(path: Path) -> None:
    """What `nbconvert --to script` reads. JupyterLab adds the version of one's own Python, which says nothing."""
    info = nbformat.read(path, as_version=4).metadata.language_info
    assert {key: value for key, value in info.items() if key != "version"} == {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    }
    script, resources = PythonExporter().from_filename(str(path))
    assert resources["output_extension"] == ".py"
    compile(script, path.name, "exec")


def markdown(path: Path) -> str:
    """The text of a page, its cells of code left out where it is a notebook."""
    if path.suffix == ".md":
        return path.read_text("utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_page_shows_runs_without_what_it_leaves_out(path: Path) -> None:
    """A reader who copies all cells of a page has every name that they use."""
    shown = set(dir(builtins))
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or {"remove-input", "remove-cell"} & set(cell.metadata.get("tags", [])):
            continue
        made, used = names_in(cell.source)
        assert used <= shown | made, f"{cell.id}: names from a cell that the page does not show"
        shown |= made


def names_in(source: str) -> tuple[set[str], set[str]]:
    """What a cell defines, whatever the scope, and what it reads."""
    made, used = set(), set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                made.add(name)
            case ast.ExceptHandler(name=str(name)):
                made.add(name)
            case ast.alias(name=name, asname=other):
                made.add((other or name).partition(".")[0])
    return made, used


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_has_what_a_reader_counts_on(path: Path) -> None:
    """A question, goals, time and prerequisites first; then a prediction; mistakes, a summary and exercises last."""
    text = markdown(path)
    opening = r"\(sec-[\w-]+\)=\n# .+\n\n\*\*[^*]+\?\*\*\n\n:::\{admonition\} Before you start\n"
    assert re.match(opening, text), text[:200]
    box = text[text.index(":::{admonition}") : text.index("\n:::\n")]
    for promise in ("**You need**", "**You will be able to**", "**Time**: about"):
        assert promise in " ".join(box.split()), f"'Before you start' without {promise}"
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "Commit to a prediction"
    assert headings[-3:] == ["Common mistakes", "What to remember", "Exercises"]
    prediction = text.split("## Commit to a prediction")[1].split("\n## ")[0]
    assert "?" in prediction, "a prediction answers a question"
    summary = text.split("## What to remember")[1].split("\n## ")[0]
    assert 2 <= len(re.findall(r"^- ", summary, re.MULTILINE)) <= 7, "what to remember is a short list"
    mistakes = text.split("## Common mistakes")[1].split("\n## ")[0]
    assert len(re.findall(r"^: ", mistakes, re.MULTILINE)) >= 2, "mistakes, each with its name"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_chapter_has_exercises_with_solutions(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    start = next(i for i, cell in enumerate(cells) if re.search(r"^## Exercises$", cell.source, re.MULTILINE))
    exercises = re.findall(r"^\*\*(\d+)\. [^*]+\*\*", "\n".join(cell.source for cell in cells[start:]), re.MULTILINE)
    assert exercises == [str(number) for number in range(1, len(exercises) + 1)] and len(exercises) >= 3
    folded = [cell for cell in cells[start:] if "hide-cell" in cell.metadata.get("tags", [])]
    shown = {cell.metadata.get("mystnb", {}).get("code_prompt_show") for cell in folded}
    assert len(folded) >= len(exercises) and "Solution" in shown


def figures(path: Path) -> list[dict[str, str]]:
    """The figures of a page: name, caption, alt text; that of a drawing is made when the page is built."""
    if path.suffix == ".ipynb":
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        shown = [(cell.metadata.get("mystnb", {}), cell.source) for cell in cells]
        found = [
            {**about["figure"], "alt": about.get("image", {}).get("alt") or ("" if "plt." in code else "made")}
            for about, code in shown
            if "figure" in about
        ]
        plots = [code for about, code in shown if "plt.show()" in code and "def " not in code and "figure" not in about]
        assert plots == [], f"{path.name}: a plot that is no figure, with name and caption"
        return found
    text = path.read_text("utf-8")
    headers = re.findall(r"^```\{code-cell\}[^\n]*\n((?::[^\n]*\n)+)", text, re.MULTILINE)
    fields = [dict(re.findall(r"^:\s+(name|caption|alt):\s*(.+)$", header, re.MULTILINE)) for header in headers]
    return [field for field in fields if "name" in field]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_figure_is_named_described_and_cited(path: Path) -> None:
    text = markdown(path)
    for figure in figures(path):
        name = figure["name"]
        assert re.fullmatch(rf"fig-{path.stem.split('-')[0]}[\w-]*", name), f"{name}: begins with its page's name"
        assert figure["caption"].strip().endswith("."), f"{name}: a caption is a sentence"
        assert figure["alt"].strip(), f"{name}: an alt text"
        assert f"{{numref}}`{name}`" in text, f"{name}: cited nowhere on its page"


def labels(path: Path) -> set[str]:
    """What a page names so that others can point to it: sections, equations, figures, tables."""
    text = markdown(path)
    named = re.findall(r"^\(([\w-]+)\)=$|^\$\$ \(([\w-]+)\)$|^:name: ([\w-]+)$", text, re.MULTILINE)
    return {label for found in named for label in found if label} | {figure["name"] for figure in figures(path)}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_label_is_pointed_to(path: Path) -> None:
    """The label at the head of a page is its address, and may wait for a reader; all others have one."""
    text = "\n".join(map(markdown, PAGES))
    cited = {
        target or shown for shown, target in re.findall(r"\{(?:ref|eq|numref)\}`([^`<]+?)(?:\s*<([\w-]+)>)?`", text)
    }
    head = re.match(r"\(([\w-]+)\)=\n# ", markdown(path))
    assert labels(path) - cited - ({head[1]} if head else set()) == set(), "labels that nobody points to"


def glossary(part: int = 1) -> dict[str, str]:
    """The terms of the glossary, each with what is said of it; those of its second part, words from elsewhere."""
    body = markdown(ROOT / "book" / "glossary.md").split(":::{glossary}\n")[part].split("\n:::")[0]
    entries = (entry.split("\n", 1) for entry in body.split("\n\n"))
    return {term: " ".join(words.split()) for term, words in entries}


def test_the_glossary_is_in_order_and_says_where_each_word_comes_from() -> None:
    for entries in (glossary(), glossary(2)):
        assert list(entries) == sorted(entries, key=str.lower)
        homeless = [term for term, words in entries.items() if not re.search(r"\{(?:ref|eq)\}`(?:sec|eq)-", words)]
        assert homeless == [], "entries that name no section or equation"
    assert glossary().keys().isdisjoint(glossary(2))


def test_every_word_of_the_glossary_is_linked_where_it_is_used() -> None:
    """At least once outside the glossary; a link to a word that is not there fails the build."""
    text = "\n".join(markdown(path) for path in PAGES if path.stem != "glossary")
    linked = {target or shown for shown, target in re.findall(r"\{term\}`([^`<]+?)(?:\s*<([^`>]+)>)?`", text)}
    assert set(glossary()) - linked == set(), "words that no page links to"


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
