"""The book's own Sphinx extension: pages that work from disk, and figures that everyone can read.

It brings MathJax into the book (copied from an installed package at build time), decides between light and dark
before the page is painted, keeps notebook widget state out of the pages, brings the views' islands to life, keeps
the search to the book's own words, begins links to chapters with their numbers, and warns of an image without a
description. In the package's pages it writes defaults so that they can be read.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from mlp.views import bundle
from mlp.views.state import to_json
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

log = logging.getLogger(__name__)

# What pages ask for, of MathJax's 24 MB; the extensions are macros that it loads when it meets them.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")

# The theme leaves the mode empty on a first visit, then logs an error about it. Saying it early also avoids a flash.
# On paper, pages are light.
EARLY_MODE = """
(() => {
  const root = document.documentElement;
  let theme;
  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => { root.dataset.theme = theme; });
  if (root.dataset.mode) return;
  root.dataset.mode = "auto";
  root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
})();
"""


def build_font_cache(app: Sphinx) -> None:
    """Let matplotlib look for fonts before a chapter does, which would then say so on its stderr."""
    importlib.import_module("matplotlib.font_manager")


def one_thread(app: Sphinx) -> None:
    """Let chapters multiply with one thread: on a busy machine two wait for each other, a hundred times as long."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy what pages need of MathJax into the built book."""
    if error or app.builder.format != "html":
        return
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ExtensionError("MathJax is missing: install the package sphinx-mathjax-offline (requirements.txt)")
    source = Path(spec.origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for name in MATHJAX:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / name, target / name)


def drop_widget_state(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave the notebook's widget state out: no script on the page reads it, and it repeats each view's source."""
    context["script_files"] = [
        file
        for file in context.get("script_files", [])
        if getattr(file, "attributes", {}).get("type") != "application/vnd.jupyter.widget-state+json"
    ]


def use_current_roles(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Docutils gives entries of the bibliography a role that ARIA has withdrawn; their list wants list items."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


ISLAND = re.compile(
    r'(<figure class="mlp-view"[^>]*>)<img [^>]*>(.*?)<script type="application/json">(.*?)</script>', re.S
)
LEGEND = re.compile(r'<span class="mlp-legend">.*?</span>', re.S)


def wake_islands(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give a page's views their script, and put their pictures inline, where they follow light and dark.

    How to read a kind of picture is said under the first of them. Of two views with one name the build is warned.
    """
    if 'class="mlp-view"' not in context.get("body", ""):
        return
    for clash in bundle.names_used_twice(context["body"]):
        log.warning(clash, location=page, type="mlpbook", subtype="names")

    said: set[str] = set()

    def inline(match: re.Match[str]) -> str:
        figure, caption, data = match.groups()
        legend = LEGEND.search(caption)
        if legend and legend[0] in said:
            caption = caption.replace(legend[0], "")
        elif legend:
            said.add(legend[0])
        island = json.loads(data)
        picture = island.pop("svg")
        return f'{figure}{picture}{caption}<script type="application/json">{to_json(island)}</script>'

    context["body"] = ISLAND.sub(inline, context["body"])
    views = bundle.views_of(context["body"])
    script = f"mlp-views-{'-'.join(sorted(views))}.js"
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    (static / script).write_text(page_script(views), "utf-8")
    app.add_js_file(script, loading_method="defer")
    app.add_css_file("mlp-views.css")


# Sphinx looks a reader's words up in plain objects, which have more names than their own: "constructor" stopped its
# search, and "__proto__" found a page called undefined. This runs once the index is there and before the search begins.
HONEST_SEARCH = """
{
  const own = Object.create(null, { hasOwnProperty: { value: Object.prototype.hasOwnProperty } });
  for (const part of ["terms", "titleterms"]) Object.setPrototypeOf(Search._index[part], own);
}
"""


def mend_search(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the page of search results find nothing but what is in the book."""
    if page == "search":
        app.add_js_file("mlp-search.js", loading_method="defer")


def minified(script: str) -> str:
    """A script without what only its authors need."""
    if importlib.util.find_spec("minify") is None:  # as on a Mac: see requirements.txt
        return script
    import minify

    try:
        return str(minify.string("text/javascript", script))
    except minify.MinifyError as error:
        raise ExtensionError(
            f"the views' script could not be read: expected JavaScript (mlp/views/js): {error}"
        ) from None


@cache
def page_script(views: frozenset[str]) -> str:
    """The script of some views as a page with them loads it."""
    return minified(bundle.page_script(views))


def write_views(app: Sphinx, error: Exception | None) -> None:
    """Put the views' style and the search's amendment beside the other static files."""
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (static / "mlp-views.css").write_text(bundle.style(), "utf-8")
    (static / "mlp-search.js").write_text(HONEST_SEARCH, "utf-8")


def readable_defaults(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write a dataclass's defaults as a reader would: a function by its name, and "..." for what is made anew."""
    if signature is not None:
        signature = re.sub(r"<function (\w+)( at 0x[0-9a-f]+)?>", r"\1", signature).replace("<factory>", "...")
    return signature, returned


def number_chapters(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Begin a link to a chapter with the chapter's number, as its heading does."""
    numbers = {app.env.titles[name].astext(): own.get("") for name, own in app.env.toc_secnumbers.items()}
    for link in doctree.findall(nodes.inline):
        number = numbers.get(link.astext()) if "doc" in link["classes"] else None
        if number:
            link.insert(0, nodes.Text(f"{'.'.join(map(str, number))}\N{NO-BREAK SPACE}"))


def require_alt_text(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Warn of every image without a description; the build treats warnings as errors."""
    if app.builder.format != "html":
        return
    for image in doctree.findall(nodes.image):
        if not image.get("alt", "").strip():
            where = image if image.line else image.parent
            log.warning(
                "an image without alt text (in a notebook: cell metadata mystnb.image.alt)",
                location=(page, where.line),
                type="mlpbook",
                subtype="alt",
            )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the above; Sphinx calls this."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"
    app.add_js_file(None, body=EARLY_MODE, priority=0)
    app.connect("builder-inited", build_font_cache)
    app.connect("builder-inited", one_thread)
    app.connect("html-page-context", drop_widget_state, priority=900)
    app.connect("html-page-context", use_current_roles)
    app.connect("doctree-resolved", number_chapters)
    app.connect("doctree-resolved", require_alt_text)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-signature", readable_defaults)
    app.connect("html-page-context", wake_islands)
    app.connect("html-page-context", mend_search)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", write_views)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
