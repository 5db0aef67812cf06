"""Forward propagation, backward propagation and computational graphs, from one graph.

Shapes: a column is an example, so ``x`` is (d, n), ``W1`` is (m, d) and ``z = W1 @ x`` is (m, n).
"""

from importlib import import_module
from typing import Any

from mlp.check import GradientReport, check_gradients, check_vjp, jacobian, step_errors
from mlp.engine import Run, Trace, predict, prepare, trace, value_and_grad
from mlp.graph import Equation, Graph, Variable
from mlp.networks import network
from mlp.steps import Plan, Schedule, Step, schedule
from mlp.train import DivergenceError, History, adam, sgd

_LAZY = (
    "checkpoint",
    "data",
    "draw",
    "examples",
    "memory",
    "plots",
    "views",
)  # imported when first used: the core needs NumPy alone
_VIEWS = {
    "ChainRule": "mlp.views.chain_rule",
    "OneWeight": "mlp.views.one_weight",
    "Stepper": "mlp.views.stepper",
    "explore": "mlp.views.explore",
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
    "jacobian",
    "network",
    "predict",
    "prepare",
    "schedule",
    "sgd",
    "step_errors",
    "trace",
    "value_and_grad",
]


def __getattr__(name: str) -> Any:
    """Import a submodule or a view on first use, so that ``import mlp`` stays quick."""
    if name in _LAZY:
        return import_module(f"mlp.{name}")
    if name in _VIEWS:
        return getattr(import_module(_VIEWS[name]), name)
    raise AttributeError(f"module 'mlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Everything there is, what is imported on first use included."""
    return sorted([*globals(), *_LAZY, *_VIEWS])
