"""What all views have in common: a widget, an inert island for pages, and a text; of a graph, the values as a trait."""

import base64
from abc import abstractmethod
from collections.abc import Mapping
from html import escape
from typing import Any

import anywidget
import numpy as np
import traitlets

from mlp.engine import trace
from mlp.graph import Graph
from mlp.inputs import listed
from mlp.ops import Array
from mlp.views import bundle
from mlp.views.state import nested, to_json


class Island(anywidget.AnyWidget):
    """A widget that is also an inert figure, for pages and front ends without a kernel, and a text.

    Parameters
    ----------
    told : dict
        What it is told, as ``mlp.views.state`` makes it.
    **traits
        First values of its traits.
    """

    _esm = bundle.module()
    _css = bundle.style()
    state = traitlets.Unicode().tag(sync=True)

    def __init__(self, told: dict[str, Any], **traits: Any) -> None:
        self._told = told
        super().__init__(state=to_json(told), **traits)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and for those who cannot show one the island and the text."""
        live = super()._repr_mimebundle_(**kwargs)
        data, metadata = live if live is not None else ({}, {})
        return {**data, "text/html": self.island(), "text/plain": self.text()}, metadata

    def island(self) -> str:
        """An inert figure, and the state beside it, which the book's page script brings to life."""
        told = {**self._told, **self._now()}
        still, inline = self._still()
        return (
            f'<figure class="mlp-view" data-view="{told["view"]}" id="{escape(told["name"])}">{still}'
            f'<script type="application/json">{to_json({"state": told, "svg": inline})}</script></figure>'
        )

    def page(self, title: str) -> str:
        """A whole page with this view, alive: one file that works from disk, without a kernel and without a network.

        ``Path("walk.html").write_text(view.page("A walk"), "utf-8")`` makes one to hand on.

        Parameters
        ----------
        title : str
            The page's title and its heading.

        Returns
        -------
        str
            HTML.

        Raises
        ------
        TypeError
            For a title that is no text.
        """
        if not isinstance(title, str):
            raise TypeError(f"title: expected a text, received {title!r:.60}")
        return bundle.page(title, self.island())

    @abstractmethod
    def text(self) -> str:
        """What the view shows, in words."""

    @abstractmethod
    def _still(self) -> tuple[str, str]:
        """What stands in the figure while no script runs, and the picture that a page puts inline."""

    def _now(self) -> dict[str, Any]:
        """The traits, as an island keeps them."""
        return {}


class Figure(Island):
    """An island that begins with a picture and a caption."""

    def _still(self) -> tuple[str, str]:
        words, alone, inline = self._pictures()
        legend = self._legend() and f'<span class="mlp-legend"> {escape(self._legend())}</span>'
        image = base64.b64encode(alone.encode()).decode()
        caption = f"<figcaption>{escape(self._caption())}{legend}</figcaption>"
        return f'<img alt="{escape(words)}" src="data:image/svg+xml;base64,{image}">{caption}', inline

    @abstractmethod
    def _pictures(self) -> tuple[str, str, str]:
        """The first picture in words, as SVG that stands alone, and as SVG to be put into a page."""

    @abstractmethod
    def _caption(self) -> str:
        """The island's caption."""

    def _legend(self) -> str:
        """How to read its picture: said with the caption, in a page of the book by the first of a kind only."""
        return ""


class View(Figure):
    """A view of one graph and its values.

    Parameters
    ----------
    graph : Graph
    told : dict
        What it is told: the graph, the numbers, the words and formulas, as ``mlp.views.state`` makes them.
    **traits
        First values of its other traits.
    """

    values = traitlets.Dict().tag(sync=True)

    def __init__(self, graph: Graph, told: dict[str, Any], **traits: Any) -> None:
        self.graph = graph
        super().__init__(told, values=told["values"], **traits)

    @traitlets.validate("values")
    def _valid_values(self, proposal: Any) -> dict[str, Any]:
        """Arrays or nested lists for all given variables; kept as nested lists, which travel."""
        arrays = self.arrays(proposal["value"])
        missing = [name for name in self.graph.given if name not in arrays]
        if missing:
            received = f"received a mapping with missing {listed(missing)}"
            raise ValueError(
                f"values: expected {listed(self.graph.given)}; {received}; to change some, set {{**view.values, ...}}"
            )
        trace(self.graph, arrays)  # checks them as any other values
        return {name: nested(array) for name, array in arrays.items()}

    def arrays(self, values: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """The numbers as arrays, ready for `mlp.value_and_grad`."""
        chosen = self.values if values is None else values
        unknown = [name for name in chosen if name not in self.graph.given]
        if unknown:
            raise ValueError(f"values: expected {listed(self.graph.given)}, received {listed(unknown)}")
        return {name: self._array(name, value) for name, value in chosen.items()}

    def _array(self, name: str, value: Any) -> Array:
        """One of them, whatever it is that somebody set; its shape and its entries are checked by who runs it."""
        try:
            numbers = np.asarray(value)
            if numbers.dtype.kind not in "fiub":
                raise TypeError
            return numbers.astype(self.graph.dtype)
        except (TypeError, ValueError):  # rows of different lengths, text, nothing
            shape = self.graph.variables[name].shape
            expected = f"{name}: expected numbers of shape {shape}, as an array or nested lists"
            raise ValueError(f"{expected}, received {repr(value)[:60]}") from None

    def _now(self) -> dict[str, Any]:
        return {"values": self.values, **self._place()}

    @abstractmethod
    def _place(self) -> dict[str, Any]:
        """Where the reader is: the traits that an island keeps beside the values."""
