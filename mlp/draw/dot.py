"""The graph for Graphviz: nodes and edges with Unicode labels, rendered without a `dot` program where possible.

Real mathematics, themes and descriptions are what `svg` is for; this is for those who want the DOT, a PNG or a PDF.
"""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlp.draw import labels
from mlp.draw.layout import full
from mlp.draw.svg import LIGHT, Lit
from mlp.extras import extra
from mlp.graph import Graph

with extra("draw"):
    import graphviz

if TYPE_CHECKING:
    from mlp.steps import Step

_stderr = threading.Lock()  # file descriptor 2 belongs to the whole process


class Digraph(graphviz.Digraph):  # type: ignore[misc]
    """A `graphviz.Digraph` that renders by `pygraphviz`, which brings its own Graphviz, else by ``dot`` on PATH."""

    def pipe(
        self, format: str | None = None, *, engine: str | None = None, encoding: str | None = None, **more: Any
    ) -> Any:
        """Render and return bytes, or text where an encoding is given."""
        if not any(more.values()):
            drawn = _by_pygraphviz(self.source, format or self.format, engine or self.engine)
            if drawn is not None:
                return drawn.decode(encoding) if encoding else drawn
        _need_dot()
        return super().pipe(format, engine=engine, encoding=encoding, **more)

    def render(self, filename: Any = None, directory: Any = None, **more: Any) -> str:
        """Write the DOT file and the picture; return the picture's path."""
        extra = set(more) - {"format", "engine", "cleanup", "outfile"}
        if not extra:
            format, engine = more.get("format") or self.format, more.get("engine") or self.engine
            drawn = _by_pygraphviz(self.source, format, engine)
            if drawn is not None:
                source = self.save(filename, directory=directory)
                target = Path(more.get("outfile") or f"{source}.{format}")
                target.write_bytes(drawn)
                if more.get("cleanup"):
                    os.remove(source)
                return str(target)
        _need_dot()
        return str(super().render(filename, directory=directory, **more))


def digraph(graph: Graph, step: "Step | None", direction: str, shapes: bool, rankdir: str) -> Digraph:
    """Draw, with all arguments checked."""
    lit = Lit.of(graph, full(graph), step)
    drawn = Digraph("graph", graph_attr={"rankdir": rankdir, "bgcolor": "transparent"})
    drawn.attr("node", fontname="Helvetica,Arial,sans-serif", fontsize="14", margin="0.04", height="0.6")
    for name, variable in graph.variables.items():
        backward = direction == "backward" and graph.needs_gradient(name)
        label = labels.unicode_cotangent(graph, name) if backward else labels.unicode_name(name)
        look = {"penwidth": "2.5" if variable.role == "parameter" else "1"}
        if lit.written == name:
            look |= {"color": LIGHT[direction], "penwidth": "4", "style": "solid" if lit.final else "dashed"}
        if shapes:
            label += f"\n{labels.shape_text(variable.shape)}"
        drawn.node(name, graphviz.escape(label).replace("\n", r"\n"), shape="square", **look)
    for index, equation in enumerate(graph.equations):
        symbol = graphviz.escape(graph.table[equation.op].symbol)
        look = {"color": LIGHT[direction], "penwidth": "4"} if lit.box == index else {}
        drawn.node(f"equation {index}", symbol, shape="circle", **look)
        for argnum, name in enumerate(equation.inputs):
            used = graph.needs_gradient(name) and graph.needs_gradient(equation.output)
            bold = lit.box == index and (name, argnum) in lit.edges
            drawn.edge(name, f"equation {index}", **_arrow(direction, used, bold))
        used, bold = graph.needs_gradient(equation.output), lit.box == index
        drawn.edge(f"equation {index}", equation.output, **_arrow(direction, used, bold))
    return drawn


def _arrow(direction: str, used: bool, bold: bool) -> dict[str, str]:
    """Forward a solid line; backward a double one, reversed, and dotted without an arrow where no cotangent goes."""
    colour, width = LIGHT[direction], {"penwidth": "3"} if bold else {}
    if direction == "forward":
        return {"color": colour} | width
    if used:
        return {"color": f"{colour}:{colour}", "dir": "back"} | width
    return {"color": LIGHT["freed"], "dir": "none", "style": "dotted"}


def _need_dot() -> None:
    if shutil.which("dot") is None:
        raise RuntimeError(
            "to render by Graphviz: expected the Python package pygraphviz, or a dot program on PATH, found neither; "
            "install one by `pip install pygraphviz` (which brings Graphviz) or `apt-get install graphviz`"
        )


def _by_pygraphviz(source: str, format: str, engine: str) -> bytes | None:
    """Render in this process, or return None where the package is not there."""
    try:
        import pygraphviz
    except ImportError:
        return None
    with _without_fontconfig_warnings():
        drawn: bytes = pygraphviz.AGraph(string=source).draw(format=format, prog=engine)
    return drawn


@contextmanager
def _without_fontconfig_warnings() -> Iterator[None]:
    """Catch what is written to file descriptor 2, drop fontconfig's lines and pass all others on.

    The Graphviz of pygraphviz brings a fontconfig that complains about a newer system's files, and no setting stops it.
    """
    with _stderr:
        try:
            real = os.dup(2)
        except OSError:  # there is none to keep clean
            yield
            return
        with tempfile.TemporaryFile() as caught:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(caught.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(real, 2)
                os.close(real)
                caught.seek(0)
                kept = [line for line in caught if not line.startswith(b"Fontconfig ")]
                if kept:
                    os.write(2, b"".join(kept))
