"""Change the network itself, in Jupyter: plain ipywidgets beside a stepper, which is made anew for each graph."""

from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
import traitlets

from mlp.examples import running_example
from mlp.graph import Graph
from mlp.inputs import non_negative
from mlp.networks import network
from mlp.ops import ACTIVATIONS, LOSSES, Array
from mlp.views.stepper import Stepper

DEEPEST, WIDEST, LARGEST = 6, 8, 5  # layers, units, examples: what one can still follow number by number


class Explorer(ipywidgets.VBox):
    """Controls for depth, width, bias, activation, loss and batch, and the stepper of the network that they describe.

    Attributes
    ----------
    stepper : Stepper
        The view of the present network; a new one after each change, and the old one is closed. Can be observed, not
        set.
    graph : Graph
        The present network. Can be observed, not set.
    """

    stepper = traitlets.Instance(Stepper, read_only=True)
    graph = traitlets.Instance(Graph, read_only=True)

    def __init__(self, controls: dict[str, Any], weight_decay: float, show: Sequence[str]) -> None:
        self._controls, self._weight_decay, self._show = controls, weight_decay, tuple(show)
        self._shown: Stepper | None = None
        super().__init__()
        row = ipywidgets.Layout(flex_flow="row wrap")
        self._row = ipywidgets.Box(list(controls.values()), layout=row)
        for control in controls.values():
            control.observe(self._rebuild, "value")
        self._rebuild()

    def _rebuild(self, change: object = None) -> None:
        chosen = {name: control.value for name, control in self._controls.items()}
        widths = [3, *[chosen["width"]] * (chosen["depth"] - 1), 2]
        graph = network(
            widths,
            batch=chosen["batch"],
            activation=chosen["activation"],
            loss=chosen["loss"],
            weight_decay=self._weight_decay,
            bias=chosen["bias"],
        )
        stepper = Stepper(graph, numbers_for(graph), self._show, name="explore")
        self.children = (self._row, stepper)
        with self.hold_trait_notifications():  # who observes one of the two finds the other already there
            self.set_trait("graph", graph)
            self.set_trait("stepper", stepper)
        if self._shown is not None:  # nobody shows it any more
            self._shown.layout.close()
            self._shown.close()
        self._shown = stepper

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget; for those who cannot show one, the island and the text of its stepper."""
        live = super()._repr_mimebundle_(**kwargs)
        data, metadata = live if isinstance(live, tuple) else (live or {}, {})
        return {**data, "text/html": self.stepper.island(), "text/plain": self.stepper.text()}, metadata


def explore(
    depth: int = 2,
    width: int = 4,
    batch: int = 1,
    activation: str = "relu",
    loss: str = "squared_error",
    weight_decay: float = 0.1,
    bias: bool = False,
    show: Sequence[str] = ("graph", "formula", "numbers"),
) -> Explorer:
    """Step through a network and change its structure meanwhile. Three inputs, two outputs.

    Parameters
    ----------
    depth : int
        Layers, 1 to 6.
    width : int
        Units of each hidden layer, 1 to 8.
    batch : int
        Examples, 1 to 5.
    activation, loss, weight_decay, bias
        As for `mlp.network`.
    show : sequence of str
        As for `Stepper`.

    Returns
    -------
    Explorer
        An ipywidgets box; its ``stepper`` and ``graph`` are those of the present network.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what was received.
    """
    for name, value, most in (("depth", depth, DEEPEST), ("width", width, WIDEST), ("batch", batch, LARGEST)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}: expected a whole number from 1 to {most}, received {value!r}")
        if not 1 <= value <= most:
            raise ValueError(f"{name}: expected a whole number from 1 to {most}, received {value}")
    network([3, 2], activation=activation, loss=loss, bias=bias)  # checks the choices by name
    controls = {
        "depth": ipywidgets.IntSlider(depth, 1, DEEPEST, description="layers", continuous_update=False),
        "width": ipywidgets.IntSlider(width, 1, WIDEST, description="units", continuous_update=False),
        "batch": ipywidgets.IntSlider(batch, 1, LARGEST, description="examples", continuous_update=False),
        "activation": ipywidgets.Dropdown(value=activation, options=ACTIVATIONS, description="activation"),
        "loss": ipywidgets.Dropdown(value=loss, options=LOSSES, description="loss"),
        "bias": ipywidgets.Checkbox(bias, description="bias"),
    }
    return Explorer(controls, non_negative(weight_decay, "weight_decay"), show)


def numbers_for(graph: Graph) -> dict[str, Array]:
    """Short numbers for a network with three inputs and two outputs: the running example's where they fit."""
    _, values = running_example(batch=graph.batch or 1)
    if [graph.variables[name].shape for name in ("x", "y")] != [(3, graph.batch), (2, graph.batch)]:
        raise ValueError(f"graph: expected 3 inputs and 2 outputs, received {graph!r}")
    rng = np.random.default_rng(0)
    if any(equation.op == "cross_entropy" for equation in graph.equations):
        values["y"] = np.eye(2)[:, np.arange(graph.batch or 1) % 2].copy()
    for name in graph.parameters:
        shape = graph.variables[name].shape
        if name not in values or values[name].shape != shape:
            values[name] = np.asarray(rng.integers(-2, 3, shape), "float64") / 2
    return {name: values[name] for name in graph.given}
