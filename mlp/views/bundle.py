"""The views' script and style: fragments in ``js/``, put together once for Jupyter and once for a page.

No build step and no framework: the fragments are plain declarations, in this order. In Jupyter they become an ES
module, in the built page a classic script, since a browser does not load modules from disk. The book's extension
shortens that script (`mlpbook.page_script`).
"""

import re
from functools import cache
from importlib.resources import files

FRAGMENTS = (
    "evaluator.js",
    "kit.js",
    "stepper.js",
    "one_weight.js",
    "chain_rule.js",
    "question.js",
    "memory.js",
    "walks.js",
)
STYLES = ("views.css", "one_weight.css", "chain_rule.css", "question.css", "memory.css", "walks.css")


@cache
def fragments() -> str:
    """All fragments, one after the other, without the comments and the indentation that only authors need."""
    folder = files("mlp.views") / "js"
    text = "\n".join((folder / name).read_text("utf-8") for name in FRAGMENTS)
    text = re.sub(r"^\s*/\*.*?\*/\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


@cache
def style() -> str:
    """The style sheets, one after the other, for both."""
    folder = files("mlp.views") / "js"
    return "\n".join((folder / name).read_text("utf-8") for name in STYLES)


def module() -> str:
    """The ES module that anywidget asks for."""
    return f"{fragments()}\nexport default {{ render: ({{ model, el }}) => renderView(model, el) }};\n"


def page_script() -> str:
    """The classic script that gives life to every island of a page."""
    return f"(() => {{\n{fragments()}\nhydrateIslands(document);\n}})();\n"
