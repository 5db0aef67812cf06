"""The pages of the package: every public name is there, described, with the parameters that it has."""

from __future__ import annotations

import html
import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from numpydoc.validate import validate

import mlp

# Modules that readers use under their own names. The others are seen through `mlp`.
MODULES = (
    "mlp.checkpoint",
    "mlp.data",
    "mlp.draw",
    "mlp.examples",
    "mlp.exercises",
    "mlp.memory",
    "mlp.plots",
    "mlp.text",
)
# Their helpers for a module next to them say in one line what they do.
HELPERS = {"mlp.plots.label", "mlp.plots.legend_of_kinds"} | {
    f"mlp.text.{name}" for name in vars(import_module("mlp.text"))
}


def offered(module: ModuleType) -> list[str]:
    """What a module offers: its __all__, or the functions and classes that it defines."""
    names = getattr(module, "__all__", None) or [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__
    ]
    return [f"{module.__name__}.{name}" for name in names]


# What readers use as mlp.Stepper, although it stands in a module of its own.
VIEWS = [
    name
    for name in dir(mlp)
    if str(getattr(getattr(mlp, name), "__module__", "")).startswith("mlp.views.") and not name.startswith("_")
]
PUBLIC = sorted(
    {
        *offered(mlp),
        *(f"mlp.{name}" for name in VIEWS),
        *(name for module in MODULES for name in offered(import_module(module))),
        "mlp.ops.OPS",
        "mlp.ops.Op",
        "mlp.ops.Vjp",
    }
)


def look_up(name: str) -> object:
    """The thing of that name."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


@pytest.fixture(scope="session")
def pages(book: Path) -> str:
    """The built pages of the package, one after the other."""
    return "\n".join(path.read_text("utf-8") for path in sorted((book / "book").glob("api*.html")))


def test_the_views_are_among_the_public_names() -> None:
    assert {"Stepper", "explore", "OneWeight", "ChainRule", "MemoryView"} <= set(VIEWS)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_described(pages: str, name: str) -> None:
    entry = re.search(rf'<dt[^>]* id="{re.escape(name)}">.*?</dt>\s*<dd>(.*?)</dd>', pages, re.DOTALL)
    assert entry, f"{name}: expected an entry on one of the pages book/api*.md"
    words = html.unescape(re.sub(r"<[^>]+>", "", entry[1])).split()
    assert len(words) >= 3, f"{name}: expected a description, found {words}"


def test_no_signature_shows_where_something_lies_in_memory(pages: str) -> None:
    assert re.findall(r"&lt;(?:function|object|class)[^\n]{0,80}| at 0x[0-9a-f]+", pages) == []


# numpydoc looks at every attribute of a class, and ipywidgets has some that it would rather see forgotten.
@pytest.mark.filterwarnings(r"ignore:Widget\.:DeprecationWarning")
@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in HELPERS])
def test_the_docstring_has_the_parameters_of_the_signature(name: str) -> None:
    """A function's parameters are all there, in order, and what it returns; no docstring has one that there is not."""
    wanted = {"PR02", "GL03", "GL06", "GL07"}
    if inspect.isfunction(look_up(name)):
        wanted |= {"PR01", "PR03", "RT01"}
    wrong = [f"{code}: {words}" for code, words in validate(name)["errors"] if code in wanted]
    assert wrong == []
