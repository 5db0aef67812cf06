"""Forward propagation, backward propagation and computational graphs, from one graph.

Shapes: a column is an example, so ``x`` is (d, n), ``W1`` is (m, d) and ``z = W1 @ x`` is (m, n).
"""

import sys as _sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlp.engine import Trace, predict, trace, value_and_grad
from mlp.extras import missing as _missing
from mlp.graph import Equation, Graph, Variable
from mlp.networks import network
from mlp.prepared import Run, prepare
from mlp.steps import Plan, Schedule, Step, schedule
from mlp.values import one_hot

if TYPE_CHECKING:
    from mlp.check import GradientReport, check_gradients, check_vjp, jacobian, step_errors
    from mlp.tangents import hvp, jvp
    from mlp.train import DivergenceError, History, adam, sgd

# What runs a graph is imported at once. All else, submodules and the names below, is imported when first used: so the
# core needs NumPy alone, and `import mlp` takes little more time than `import numpy`.
_MODULES = (
    *("check", "checkpoint", "data", "draw", "examples", "exercises", "memory", "optimizers", "plots", "train"),
    "views",
)
_NAMES = {
    "ChainRule": "mlp.views.chain_rule",
    "DivergenceError": "mlp.train",
    "GradientReport": "mlp.check",
    "History": "mlp.train",
    "MemoryView": "mlp.views.memory",
    "OneWeight": "mlp.views.one_weight",
    "Question": "mlp.views.question",
    "Stepper": "mlp.views.stepper",
    "Walks": "mlp.views.walks",
    "adam": "mlp.train",
    "check_gradients": "mlp.check",
    "check_vjp": "mlp.check",
    "explore": "mlp.views.explore",
    "hvp": "mlp.tangents",
    "jacobian": "mlp.check",
    "jvp": "mlp.tangents",
    "sgd": "mlp.train",
    "step_errors": "mlp.check",
}
__version__ = "0.1.0"
__all__ = [
    "DivergenceError",
    "Equation",
    "GradientReport",
    "Graph",
    "History",
    "Plan",
    "Run",
    "Schedule",
    "Step",
    "Trace",
    "Variable",
    "adam",
    "check_gradients",
    "check_vjp",
    "hvp",
    "jacobian",
    "jvp",
    "network",
    "one_hot",
    "predict",
    "prepare",
    "schedule",
    "sgd",
    "step_errors",
    "trace",
    "value_and_grad",
]


def __getattr__(name: str) -> Any:
    """Import a submodule, or the module that a name is of, on first use."""
    if name in _MODULES:
        return _imported(f"mlp.{name}", name)
    if name in _NAMES:
        return getattr(_imported(_NAMES[name], name), name)
    raise AttributeError(f"module 'mlp' has no attribute {name!r}")


def _imported(module: str, name: str) -> Any:
    """Import a module; where a package that it needs is not installed, say which extra brings it.

    What looks around, such as `help`, `hasattr` and Tab, minds no ``AttributeError``, and no other will do. To
    ``from mlp import Stepper`` that would say "cannot import name", so there it is as for any module not found.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        extra = module.split(".")[1]
        if extra not in ("draw", "plots", "views"):
            raise
        said = _missing(f"mlp.{name}", extra, error)
        if _sys._getframe(2).f_code.co_name == "_handle_fromlist":  # of Python's own import
            raise ModuleNotFoundError(said, name=error.name) from None
        raise AttributeError(said) from error


def __dir__() -> list[str]:
    """Everything there is, what is imported on first use included."""
    return sorted([*globals(), *_MODULES, *_NAMES])
