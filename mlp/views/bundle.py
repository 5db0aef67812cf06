"""The views' script and style: fragments in ``js/``, put together once for Jupyter and once for a page.

No build step and no framework: the fragments are plain declarations, in this order. In Jupyter they become an ES
module, in the built page a classic script, since a browser does not load modules from disk; a page's script has only
what its views need. The book's extension shortens that script (`mlpbook.page_script`).
"""

import json
import re
from functools import cache
from html import escape
from importlib.resources import files

from mlp import check

COMMON = ("evaluator.js", "kit.js")
#: What each view needs besides, the laboratory of the stepper for those in which numbers are changed.
VIEWS = {
    "stepper": ("stepper.js",),
    "one-weight": ("stepper.js", "one_weight.js"),
    "chain-rule": ("stepper.js", "chain_rule.js"),
    "question": ("question.js",),
    "memory": ("memory.js",),
    "walks": ("walks.js",),
}
FRAGMENTS = tuple(dict.fromkeys((*COMMON, *(name for names in VIEWS.values() for name in names))))
STYLES = ("views.css", "one_weight.css", "chain_rule.css", "question.css", "memory.css", "walks.css")


#: What the page's gradient check shares with Python's.
CHECK = (
    *("STEP", "SCALES", "SMALLER", "TOLERANCE", "DOUBT", "SHARP", "SURE", "DUST"),
    *("CORNER", "SMALL", "RESTLESS", "OVERFLOW"),
)


def constants() -> str:
    """The constants of `mlp.check`, as the first line of the script."""
    return f"const CHECK = {json.dumps({name: getattr(check, name) for name in CHECK})};"


def views_of(html: str) -> frozenset[str]:
    """The views that a page or an island has."""
    return frozenset(VIEWS).intersection(re.findall(r'<figure class="mlp-view" data-view="([\w-]+)"', html))


@cache
def fragments(views: frozenset[str] = frozenset(VIEWS)) -> str:
    """What these views need, one after the other, without the comments and the indentation that only authors need."""
    folder = files("mlp.views") / "js"
    needed = {*COMMON, *(name for view in views for name in VIEWS[view])}
    text = "\n".join((folder / name).read_text("utf-8") for name in FRAGMENTS if name in needed)
    text = re.sub(r"^\s*/\*.*?\*/\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join([constants(), *(line for line in lines if line and not line.startswith("//"))])


@cache
def style() -> str:
    """The style sheets, one after the other, for both."""
    folder = files("mlp.views") / "js"
    return "\n".join((folder / name).read_text("utf-8") for name in STYLES)


def module() -> str:
    """The ES module that anywidget asks for."""
    return f"{fragments()}\nexport default {{ render: ({{ model, el }}) => renderView(model, el) }};\n"


def page_script(views: frozenset[str] = frozenset(VIEWS)) -> str:
    """The classic script that gives life to every island of a page with these views."""
    return f"(() => {{\n{fragments(views)}\nhydrateIslands(document);\n}})();\n"


VIEW = re.compile(
    r'<figure class="mlp-view" data-view="([^"]*)" id="([^"]*)">.*?<script type="application/json">(.*?)</script>', re.S
)


def names_used_twice(html: str) -> list[str]:
    """A sentence for each name that several views of a page have: a page's address and script go by these names."""
    found: dict[str, list[str]] = {}
    for place, (view, name, data) in enumerate(VIEW.findall(html), 1):
        ask = json.loads(data).get("state", {}).get("ask", "")
        found.setdefault(name, []).append(f"{view} {ask!r}" if ask else f"{view}, view {place} of the page")
    return [
        f"expected a name of its own for each view, received {name!r} for {' and for '.join(views)}; "
        f"pass name='{name}-2'"
        for name, views in found.items()
        if len(views) > 1
    ]


# The colours of the book's pages; the views follow `data-theme`, as there.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<script>
document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
</script>
<style>
body {{ background: #FFF; color: #1F2328; font-family: sans-serif }}
main {{ margin: 1rem auto; max-width: 46rem; padding: 0 1rem }}
html[data-theme="dark"] body {{ background: #14181E; color: #E6EAEE }}
.mlp-view {{ margin: 0 }}
{style}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{islands}
</main>
<script>
{script}</script>
</body>
</html>
"""


def page(title: str, *islands: str) -> str:
    """A page of its own with these islands, and with text between them: all that it needs is in it.

    Raises
    ------
    ValueError
        Where two views have one name, with what they are.
    """
    body = "\n".join(islands)
    clashes = names_used_twice(body)
    if clashes:
        raise ValueError(f"islands: {'; '.join(clashes)}")
    return PAGE.format(title=escape(title), style=style(), islands=body, script=page_script(views_of(body)))
