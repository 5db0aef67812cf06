"""The book's own extension, for tests of what it ships: it is no package that could be imported by name."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from mlp.views import bundle

EXTENSION = Path(__file__).parents[2] / "book" / "_ext" / "mlpbook" / "__init__.py"


@cache
def mlpbook() -> ModuleType:
    """The module, executed once."""
    spec = importlib.util.spec_from_file_location("mlpbook", EXTENSION)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def minified(script: str) -> str:
    """A script as it would be shipped."""
    return str(mlpbook().minified(script))


def page_script(html: str) -> str:
    """The script that a built page with these islands would load."""
    return str(mlpbook().page_script(bundle.views_of(html)))
