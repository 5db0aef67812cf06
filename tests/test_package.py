"""The package from outside: what `import mlp` loads, its names, their annotations and docstrings."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from pkgutil import walk_packages

import pytest

import mlp

ROOT = Path(__file__).parents[1]
MODULES = sorted(module.name for module in walk_packages(mlp.__path__, "mlp."))
HEAVY = {
    "graphviz",
    "pygraphviz",
    "matplotlib",
    "ipywidgets",
    "anywidget",
    "ziamath",
    "latex2mathml",
    "IPython",
    "scipy",
}
CONTRACT = {
    *("network", "value_and_grad", "prepare", "predict", "trace", "check_gradients", "check_vjp", "sgd", "adam"),
    *("Graph", "Variable", "Equation", "Step", "Trace", "Run", "History", "Stepper", "explore"),
    *("data", "draw", "memory", "checkpoint"),
}


def in_a_fresh_interpreter(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def loaded_by(code: str) -> set[str]:
    """The modules, submodules included, that a fresh interpreter has after running the code."""
    return set(in_a_fresh_interpreter(f"import sys\n{code}\nprint(*sys.modules)").split())


def test_import_loads_numpy_the_standard_library_and_nothing_else() -> None:
    added = {name.split(".")[0] for name in loaded_by("import mlp") - loaded_by("import numpy")}
    assert added - set(sys.stdlib_module_names) == {"mlp"}


def test_import_loads_little_beyond_numpy_so_it_is_quick() -> None:
    added = loaded_by("import mlp") - loaded_by("import numpy")
    assert "numpy.random" not in added and "mlp.check" not in added and "mlp.train" not in added
    assert len(added) < 25


def room(module: str) -> str:
    """The room of ARCHITECTURE.md that a module is in: of `mlp.draw.svg`, draw."""
    return module.split(".")[1]


def allowed() -> dict[str, set[str]]:
    """For each room those that it may import: all to its left, in the list of ARCHITECTURE.md."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("Imports run one way")[2]
    lines = re.findall(r"^    (\w.*)$", text.partition("\n## ")[0], re.MULTILINE)
    left: dict[str, set[str]] = {}
    for groups in ([re.findall(r"\w+", group) for group in line.split("←")] for line in lines):
        for name in groups[0]:
            left.setdefault(name, set())
        for lower, higher in pairwise(groups):
            for name in higher:
                left.setdefault(name, set()).update(lower)
    for _ in left:  # until nothing is added
        for name, names in left.items():
            left[name] = names.union(*(left[lower] for lower in names))
    return left


def imported(node: ast.AST) -> Iterator[str]:
    """What a module imports from the package when it is imported itself: not for types alone, not inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and child.module == "mlp":
            yield from (f"mlp.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and (child.module or "").startswith("mlp."):
            yield str(child.module)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.startswith("mlp."))
        elif not isinstance(child, ast.FunctionDef) and "TYPE_CHECKING" not in ast.dump(getattr(child, "test", child)):
            yield from imported(child)


def test_the_list_of_imports_is_complete_and_has_no_circle() -> None:
    left = allowed()
    assert set(left) == {room(module) for module in MODULES}
    assert [name for name, names in left.items() if name in names] == []


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    source = inspect.getsource(import_module(module))
    found = {room(name) for name in imported(ast.parse(source))} - {room(module)}
    assert found <= allowed()[room(module)]


def test_the_core_runs_without_anything_heavier() -> None:
    code = """
import mlp
from mlp.examples import running_example
g, v = running_example()
mlp.value_and_grad(g, v), mlp.prepare(g)(v), mlp.predict(g, v), mlp.trace(g, v), mlp.check_gradients(g, v)
mlp.data.digits()
"""
    assert HEAVY.isdisjoint(name.split(".")[0] for name in loaded_by(code))


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_every_name_of_the_contract_is_there(name: str) -> None:
    assert hasattr(mlp, name)


def test_all_names_that_are_announced_exist_and_are_sorted() -> None:
    assert all(hasattr(mlp, name) for name in mlp.__all__)
    assert mlp.__all__ == sorted(mlp.__all__)


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mlp' has no attribute 'nonsense'"):
        _ = mlp.nonsense


# A fresh interpreter that has NumPy and none of what the extras bring.
CORE_ALONE = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted({"traitlets", *HEAVY} - {"scipy"})}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Absent())
import mlp
"""


@pytest.mark.parametrize(
    ("use", "error", "said"),
    [
        ("mlp.Stepper", "AttributeError", "mlp.Stepper needs the package 'anywidget'"),
        ("mlp.explore", "AttributeError", "mlp.explore needs the package 'anywidget'"),
        ("mlp.draw", "AttributeError", "mlp.draw needs the package 'latex2mathml'"),
        ("mlp.plots", "AttributeError", "mlp.plots needs the package 'matplotlib'"),
        ("from mlp import Stepper", "ModuleNotFoundError", "mlp.Stepper needs the package 'anywidget'"),
        ("from mlp import plots", "ModuleNotFoundError", "mlp.plots needs the package 'matplotlib'"),
        ("import mlp.plots", "ModuleNotFoundError", "mlp.plots needs the package 'matplotlib'"),
        ("from mlp.draw import to_svg", "ModuleNotFoundError", "mlp.draw needs the package 'latex2mathml'"),
        ("import mlp.views.stepper", "ModuleNotFoundError", "mlp.views needs the package 'anywidget'"),
    ],
)
def test_who_installed_the_core_alone_is_told_which_extra_is_missing(use: str, error: str, said: str) -> None:
    extra = "plots" if "plots" in use else "draw" if "draw" in use else "views"
    code = f"{CORE_ALONE}\ntry:\n    {use}\nexcept {error} as error:\n    print(error)"
    way_out = f", which is not installed: install mlp with 'pip install \".[{extra}]\"'"
    assert in_a_fresh_interpreter(code) == f"{said}{way_out}\n"


def test_who_looks_around_with_the_core_alone_is_not_stopped() -> None:
    """help, hasattr, inspect, Tab, and from mlp import *."""
    code = f"""{CORE_ALONE}
import inspect, pydoc, rlcompleter
extras = set(mlp._NAMES) - set(mlp.__all__) | {{"draw", "plots", "views"}}
assert extras > {{"Stepper", "explore", "MemoryView"}} and not any(hasattr(mlp, name) for name in extras)
assert all(getattr(mlp, name, None) is None for name in extras)
found = dict(inspect.getmembers(mlp))
assert found.keys() >= set(mlp.__all__) and not extras & found.keys()
assert "value_and_grad" in pydoc.render_doc(mlp)
tab = rlcompleter.Completer({{"mlp": mlp}})
assert tab.complete("mlp.sgd", 0) == "mlp.sgd(" and tab.complete("mlp.Stepp", 0) == "mlp.Stepper"
assert extras <= set(dir(mlp))
from mlp import *
assert sgd is mlp.sgd
"""
    assert in_a_fresh_interpreter(code) == ""


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", mlp.__version__)


def test_the_package_says_that_it_is_typed() -> None:
    assert files("mlp").joinpath("py.typed").is_file()


def public() -> list[pytest.param]:
    modules = [import_module(name) for name in MODULES]
    found = {
        f"{module.__name__}.{name}": thing
        for module in modules
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__ == module.__name__
    }
    return [pytest.param(thing, id=name) for name, thing in found.items()]


@pytest.mark.parametrize("thing", public())
def test_every_public_name_has_a_docstring_and_annotations(thing: object) -> None:
    assert inspect.getdoc(thing)
    for function in [thing] if inspect.isfunction(thing) else methods(thing):
        signature = inspect.signature(function)
        untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
        assert untyped in ([], ["self"])
        assert signature.return_annotation is not signature.empty


def methods(thing: object) -> list[Callable[..., object]]:
    """What the class itself defines, without what dataclasses and named tuples write for it."""
    own = [member for member in vars(thing).values() if inspect.isfunction(member)]
    return [method for method in own if method.__code__.co_filename == inspect.getfile(thing)]  # type: ignore[arg-type]
