"""Pictures of a graph: squares are variables, circles are operators, edges are what the equations read and write.

`picture` is what a cell shows, `to_svg` what a page takes in; `to_digraph` is the same graph for Graphviz. None of them
computes anything, and what a reader can do with a picture is the business of the views.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from mlp.extras import extra
from mlp.graph import Graph
from mlp.text import printed

with extra("draw"):
    from mlp.draw import labels
    from mlp.draw import svg as _svg

if TYPE_CHECKING:
    from mlp.draw.dot import Digraph
    from mlp.steps import Step

__all__ = ["Picture", "mimebundle", "picture", "to_digraph", "to_svg", "words"]

DIRECTIONS, RANKDIRS = ("forward", "backward"), ("LR", "TB")
FULL = 400  # equations: a picture of each node beyond that would be useless, and slow to draw


def to_svg(
    graph: Graph,
    step: "Step | None" = None,
    *,
    direction: str | None = None,
    shapes: bool = False,
    title: str | None = None,
    rankdir: str = "LR",
    outline: bool | None = None,
    id_prefix: str | None = None,
    standalone: bool = False,
) -> str:
    """Draw a graph as SVG to be put into a page.

    Every square has ``data-variable``, every circle ``data-equation`` and ``data-op``, every edge ``data-variable``,
    ``data-equation`` and, where it is read, ``data-argnum``. What a step lights has the class ``mlp-current``, the
    variable it writes ``mlp-written``, and ``mlp-final`` where all instalments have arrived. Positions do not depend on
    the step or the direction.

    A picture of both directions is for a page script: ``svg.dataset.direction = "backward"`` turns it around. It holds
    the edges' arrows and the squares' labels twice, in groups ``mlp-when-forward`` and ``mlp-when-backward``, of which
    one is shown. The script says the rest by classes. On an edge ``mlp-current``; on a node ``mlp-current``;
    ``mlp-filled``, it has what it shows (a corner and a tint); ``mlp-pending``, instalments are still to come (dashed);
    ``mlp-guilty``, here it goes wrong (a thick border and a cross). `words` has the names to say.

    Parameters
    ----------
    graph : Graph
    step : Step, optional
        Lights the operator of this step and the edges that it uses.
    direction : str, optional
        ``"forward"`` or ``"backward"``: which way the arrows go. By default the step's phase, else forward. Backward,
        squares show cotangents; where none is computed, the variable stays, and its edge has no arrow. ``"both"``
        starts forward, is described forward, and takes neither a step nor ``standalone``.
    shapes : bool
        Whether squares also say their variable's shape.
    title : str, optional
        The accessible name. By default made from the graph or the step; a description always is.
    rankdir : str
        ``"LR"``, from left to right, or ``"TB"``, from top to bottom, as a phone wants it.
    outline : bool, optional
        Whether layers become boxes, of which many are left out. By default above 20 layers, and for any other graph
        that is too large to be read.
    id_prefix : str, optional
        Gives ids to the picture, its title (``…-title``) and description (``…-desc``). By default nothing has an id.
    standalone : bool
        For a file or an image: on white, in plain colours, since no page's theme can reach it.

    Returns
    -------
    str
        An ``svg`` element.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was expected and what was received; or the variable whose TeX cannot be drawn.
    """
    direction = _checked(graph, step, direction, rankdir, (*DIRECTIONS, "both"))
    _boolean(shapes, "shapes")
    _boolean(standalone, "standalone")
    if standalone and direction == "both":
        raise ValueError("direction: expected 'forward' or 'backward' for a standalone picture, received 'both'")
    if outline is not None and not isinstance(outline, bool):
        raise TypeError(f"outline: expected True, False or None, received {outline!r}")
    if outline is False and len(graph.equations) > FULL:
        raise ValueError(
            f"outline: expected True or None for {len(graph.equations):,} equations, received False; "
            f"a full picture has at most {FULL:,}"
        )
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title: expected text, received {title!r}")
    if title is not None and not title.isprintable():
        raise ValueError(f"title: expected a line of printable text, received {title!r}")
    if id_prefix is not None and not (isinstance(id_prefix, str) and re.fullmatch(r"[A-Za-z][\w-]*", id_prefix, re.A)):
        raise ValueError(f"id_prefix: expected a letter, then letters, digits, '-' or '_', received {id_prefix!r}")
    return _svg.draw(
        graph,
        step,
        direction=direction,
        shapes=shapes,
        title=title,
        rankdir=rankdir,
        outlined=outline,
        id_prefix=id_prefix,
        standalone=standalone,
    )


def to_digraph(
    graph: Graph,
    step: "Step | None" = None,
    *,
    direction: str | None = None,
    shapes: bool = False,
    rankdir: str = "LR",
) -> "Digraph":
    """Give a graph to Graphviz: one node a variable, one an equation, one edge for each reading and writing.

    Parameters
    ----------
    graph, step, direction, shapes, rankdir
        As for `to_svg`.

    Returns
    -------
    graphviz.Digraph
        With plain Unicode labels, which every Graphviz can draw. A variable's node is called by its name, an
        equation's ``equation 0`` and so on. It renders without a ``dot`` program where ``pygraphviz`` is installed.
    """
    from mlp.draw.dot import digraph

    _boolean(shapes, "shapes")
    return digraph(graph, step, _checked(graph, step, direction, rankdir), shapes, rankdir)


def words(graph: Graph) -> dict[str, Any]:
    """Say a graph's parts in words, for a script that announces what a picture shows.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    dict
        ``"variables"`` and ``"cotangents"``, each from a variable's name to how it is written in text, the latter
        where a cotangent is computed; ``"equations"``, a clause for each, in order; ``"descriptions"``, from a
        direction to what the picture says of it. All of it can be written as JSON.

    Raises
    ------
    TypeError
        For what is no graph.
    """
    _graph(graph)
    return labels.words(graph)


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture that shows itself in Jupyter and in the book: inline where the page can take it, else as an image.

    Attributes
    ----------
    title, description : str
        What it shows, in words.
    html : str
        The inline picture in a ``figure``, in a box that scrolls, by keyboard too, where the page is narrow.
    svg : str
        The standalone picture.
    """

    title: str
    description: str
    html: str
    svg: str

    def __repr__(self) -> str:
        """Its words."""
        return printed(f"{self.title}. {self.description}")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self.html, "image/svg+xml": self.svg}


def picture(graph: Graph, step: "Step | None" = None, **options: Any) -> Picture:
    """Show a graph at the end of a cell, as its last expression, with the options of `to_svg`.

    Parameters
    ----------
    graph, step, **options
        As for `to_svg`; ``id_prefix`` and ``standalone`` are the picture's own business.

    Returns
    -------
    Picture
    """
    for name in ("id_prefix", "standalone"):
        if name in options:
            raise TypeError(f"{name}: expected an option of to_svg only, since a picture shows itself both ways")
    inline, alone = to_svg(graph, step, **options), to_svg(graph, step, **options, standalone=True)
    direction = options.get("direction") or (step.phase if step else "forward")
    title = options.get("title") or _svg.title_of(graph, step, direction)
    chosen = _svg.choose(graph, options.get("outline"))
    return Picture(title, _svg.description_of(graph, chosen, step, direction), figure(inline, title), alone)


def figure(inline: str, title: str) -> str:
    """Put an inline picture into a ``figure``, in a box that scrolls where the page is narrow."""
    return (
        '<figure class="mlp-graph">'
        f'<div class="mlp-scroll" role="group" tabindex="0" aria-label="{escape(title)}; scrolls where it is too wide" '
        f'style="overflow-x:auto;text-align:center">{inline}</div></figure>'
    )


def mimebundle(graph: Graph) -> dict[str, str]:
    """What Jupyter shows of a graph, besides the text that `mlp.Graph` itself gives.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    dict of str to str
        From MIME type to what is shown.
    """
    shown = picture(graph)
    return {"text/html": shown.html, "image/svg+xml": shown.svg}


def _boolean(value: object, what: str) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{what}: expected True or False, received {value!r}")


def _graph(graph: object) -> None:
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a Graph, received {graph!r}")


def _checked(graph: Any, step: Any, direction: Any, rankdir: Any, ways: Sequence[str] = DIRECTIONS) -> str:
    """Check what both drawings take; return the direction."""
    _graph(graph)
    if rankdir not in RANKDIRS:
        raise ValueError(f"rankdir: expected one of {', '.join(RANKDIRS)}, received {rankdir!r}")
    if direction is not None and direction not in ways:
        raise ValueError(f"direction: expected one of {', '.join(ways)}, received {direction!r}")
    if step is not None:
        if not all(hasattr(step, field) for field in ("index", "phase", "equation", "argnum", "final")):
            raise TypeError(f"step: expected a Step of a trace, or None, received {step!r}")
        if step.equation not in graph.equations:
            raise ValueError(f"step: expected a step of this graph, received one of '{step.equation}'")
        if direction not in (None, step.phase):
            raise ValueError(f"direction: expected {step.phase!r}, the step's phase, received {direction!r}")
        return str(step.phase)
    if direction in ("backward", "both") and graph.objective is None:
        raise ValueError(f"direction: expected 'forward' for a graph without objective, received {direction!r}")
    return direction or "forward"
