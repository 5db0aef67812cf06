"""Drawings: nodes and edges one to one with the graph, nothing from outside as markup, readable without a picture.

The structure is tested, never the bytes.
"""

import gzip
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygraphviz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

import mlp
from mlp import draw
from mlp.draw import labels, layout
from mlp.examples import diamond, running_example
from mlp.graph import Equation, Graph, Variable
from mlp.networks import network
from mlp.ops import OPS
from tests.book.browser import launch

SVG = "{http://www.w3.org/2000/svg}"
WAYS = ("forward", "backward")
LOOKS = [{"direction": way, "rankdir": rankdir} for way in WAYS for rankdir in ("LR", "TB")]


def twice() -> Graph:
    """One equation reads one variable twice."""
    a = Variable("a", (2, 1), role="parameter")
    return Graph([a], [Equation("add", ("a", "a"), "b"), Equation("l2", ("b",), "J", {"weight_decay": 1.0})])


def residual() -> Graph:
    """Long edges beside the main path, several inputs at one operator, a variable that nobody reads."""
    given = [
        Variable("x", (3, 1)),
        Variable("W", (3, 3), role="parameter"),
        Variable("a", (3, 1)),
        Variable("unread", (2, 2)),
    ]
    equations = [
        Equation("matmul", ("W", "x"), "z"),
        Equation("relu", ("z",), "h"),
        Equation("add", ("h", "z"), "u"),
        Equation("tanh", ("h",), "dead_end"),
        Equation("add", ("u", "u"), "v"),
        Equation("add", ("v", "a", "x", "z"), "w"),
        Equation("l2", ("w", "W"), "J", {"weight_decay": 1.0}),
    ]
    return Graph(given, equations, objective="J")


GRAPHS = {
    "book": running_example()[0],
    "diamond": diamond()[0],
    "bias": network([3, 4, 2], bias=True, loss="cross_entropy", activation="sigmoid"),
    "linear": network([3, 2]),
    "deep": network([3, 4, 5, 6, 2], batch=7, activation="gelu", bias=True),
    "twice": twice(),
    "residual": residual(),
}


@st.composite
def graphs(draw_: st.DrawFn) -> Graph:
    """Any square matrices, any operators on them, in any order, read any number of times."""
    roles = draw_(st.lists(st.sampled_from(["input", "target", "parameter"]), min_size=1, max_size=4))
    names = [f"v{index}" for index in range(len(roles))]
    given_ = [Variable(name, (2, 2), role=role) for name, role in zip(names, roles, strict=True)]
    equations = []
    for index in range(draw_(st.integers(1, 12))):
        op = draw_(st.sampled_from(["matmul", "add", "relu", "tanh"]))
        count = {"matmul": 2, "add": draw_(st.integers(1, 5))}.get(op, 1)
        inputs = tuple(draw_(st.sampled_from(names)) for _ in range(count))
        equations.append(Equation(op, inputs, f"e{index}"))
        names.append(f"e{index}")
    every = [v.name for v in given_ if v.role == "parameter"] + [equations[-1].output]
    return Graph(given_, [*equations, Equation("l2", tuple(every), "J", {"weight_decay": 1.0})], objective="J")


def parse(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return root


def with_class(root: ET.Element, *names: str) -> list[ET.Element]:
    return [e for e in root.iter() if set(names) <= set(e.get("class", "").split())]


def edges_of(graph: Graph) -> Counter[tuple[str, str, str | None]]:
    """(variable, equation, argument number, or None where it is written), as often as the graph has them."""
    reads = [(n, str(i), str(k)) for i, e in enumerate(graph.equations) for k, n in enumerate(e.inputs)]
    return Counter([*reads, *((e.output, str(i), None) for i, e in enumerate(graph.equations))])


def lines_and_heads(group: ET.Element) -> tuple[int, int]:
    line, *heads = group
    assert [line.get("class"), *(head.get("class") for head in heads)] == ["mlp-line", "mlp-head"][: len(group)]
    return line.get("d").count("M"), len(heads)


def check_both(graph: Graph, rankdir: str) -> None:
    """What the forward and the backward picture show, in one, each in a group of its own, at the same places."""
    root, forward, backward = (
        parse(draw.to_svg(graph, outline=False, rankdir=rankdir, direction=way)) for way in ("both", *WAYS)
    )
    assert root.get("data-direction") == "forward" and root.findtext(f"{SVG}desc") == forward.findtext(f"{SVG}desc")

    def drawn(element: ET.Element) -> list[str]:
        shown = [e for e in element.iter() if {"mlp-line", "mlp-head", "mlp-label"} & set(e.get("class", "").split())]
        return [ET.tostring(e, encoding="unicode") for e in shown]

    for kind in ("mlp-node", "mlp-edge"):
        for both, *single in zip(*(with_class(r, kind) for r in (root, forward, backward)), strict=True):
            data = [{k: v for k, v in e.attrib.items() if k != "class"} for e in (both, *single)]
            assert data[0] == data[1] == data[2]
            groups = [with_class(both, f"mlp-when-{way}") for way in WAYS]
            if kind == "mlp-node" and not groups[0]:
                name = both.get("data-variable")
                assert drawn(both) == drawn(single[0]) == drawn(single[1]) and not groups[1]
                assert name is None or not graph.needs_gradient(name)
                assert ("mlp-unused-backward" in both.get("class")) == (name is not None)
                continue
            assert [drawn(group) for (group,) in groups] == [drawn(e) for e in single]
            if kind == "mlp-edge":
                name, index = both.get("data-variable"), int(both.get("data-equation"))
                carries = graph.needs_gradient(name) and graph.needs_gradient(graph.equations[index].output)
                assert [lines_and_heads(group) for (group,) in groups] == [(1, 1), (2, 1) if carries else (1, 0)]
                names = ["mlp-when-forward mlp-forward", "mlp-when-backward mlp-" + ("unused", "backward")[carries]]
                assert [group.get("class") for (group,) in groups] == names
            else:
                assert graph.needs_gradient(both.get("data-variable")) and "mlp-cotangent" in both.get("class")


def check_svg(graph: Graph, **look: str) -> None:
    root = parse(draw.to_svg(graph, outline=False, **look))
    squares = [e.get("data-variable") for e in with_class(root, "mlp-variable")]
    circles = [(e.get("data-equation"), e.get("data-op")) for e in with_class(root, "mlp-operator")]
    assert sorted(squares) == sorted(graph.variables)
    assert Counter(circles) == Counter((str(i), e.op) for i, e in enumerate(graph.equations))
    edges = with_class(root, "mlp-edge")
    found = [(e.get("data-variable"), e.get("data-equation"), e.get("data-argnum")) for e in edges]
    assert Counter(found) == edges_of(graph)
    for edge in edges:
        name, index = edge.get("data-variable"), int(edge.get("data-equation"))
        output = graph.equations[index].output
        carries = graph.needs_gradient(name) and graph.needs_gradient(output)
        used = look["direction"] == "forward" or carries
        assert ("mlp-unused" not in edge.get("class")) == used
        assert lines_and_heads(edge) == (2 if used and look["direction"] == "backward" else 1, used), "a double line"


def check_layout(graph: Graph) -> None:
    """Each node has a cell of its own, inputs stand before operators, no line runs through a node."""
    picture = layout.full(graph)
    placed = layout.arrange(graph, picture)
    assert set(placed.cells) == {*graph.variables, *range(len(graph.equations))}
    assert len(set(placed.cells.values())) == len(placed.cells)
    nodes = set(placed.cells.values())
    for edge in placed.edges:
        assert not nodes & {(column, row) for _, column, row in layout._points(edge.line)}, edge
        read = edge.argnum is not None
        ends = placed.cells[edge.name], placed.cells[edge.box]
        assert (edge.line[0], edge.line[-1]) == (ends if read else ends[::-1])
        assert ends[0][0] <= ends[1][0] if read else ends[1][0] < ends[0][0]
        assert all((a == c) != (b == d) for (a, b), (c, d) in zip(edge.line, edge.line[1:], strict=False)), edge
    lines = Counter((edge.line, edge.argnum is None) for edge in placed.edges)
    assert set(lines.values()) == {1}, "each edge has a line of its own"


def check_dot(graph: Graph, direction: str) -> None:
    parsed = pygraphviz.AGraph(string=draw.to_digraph(graph, direction=direction).source)
    equations = [f"equation {i}" for i in range(len(graph.equations))]
    shapes = {n: n.attr["shape"] for n in parsed.nodes()}
    assert shapes == dict.fromkeys(graph.variables, "square") | dict.fromkeys(equations, "circle")
    expected = Counter(
        (f"equation {i}", n) if k is None else (n, f"equation {i}") for (n, i, k), _ in edges_of(graph).items()
    )
    assert Counter((str(a), str(b)) for a, b in parsed.edges()) == expected
    for tail, head in parsed.edges():
        name, equation = (head, tail) if tail.startswith("equation ") else (tail, head)
        output = graph.equations[int(equation.split()[1])].output
        if direction == "backward":
            used = graph.needs_gradient(name) and graph.needs_gradient(output)
            assert parsed.get_edge(tail, head).attr["dir"] == ("back" if used else "none")


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: "-".join(look.values()))
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_svg_is_the_graph(graph: Graph, look: dict[str, str]) -> None:
    check_svg(graph, **look)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_dot_is_the_graph(graph: Graph, direction: str) -> None:
    check_dot(graph, direction)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_layout(graph: Graph) -> None:
    check_layout(graph)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_any_graph(graph: Graph) -> None:
    check_layout(graph)
    check_dot(graph, "backward")
    for look in LOOKS:
        check_svg(graph, **look)
    check_both(graph, "LR")


def test_the_main_path_is_one_straight_line() -> None:
    for bias in (False, True):
        graph = network([3, 4, 5, 2], bias=bias, weight_decay=0.1)
        cells = layout.arrange(graph, layout.full(graph)).cells
        main = ["x", "z1", "h1", "z2", "h2", "o", "L", "J"]
        assert {cells[name][1] for name in main} == {0}
        hung = [name for name in graph.parameters]
        assert {cells[name][1] for name in hung} == {1}, "parameters below"
        for name in hung:
            assert cells[name][0] == cells[graph.readers(name)[0][0]][0], "right below their operator"
        assert cells["y"][1] == -1
        assert cells["s"][1] == 2


# --- direction, steps, shapes ----------------------------------------------------------------------------------------


def test_backward_squares_hold_cotangents_where_there_are_any() -> None:
    graph, _ = running_example()
    root = parse(draw.to_svg(graph, direction="backward"))
    with_cotangent = {e.get("data-variable") for e in with_class(root, "mlp-cotangent")}
    assert with_cotangent == set(graph.variables) - {"x", "y"}
    source = draw.to_digraph(graph, direction="backward").source
    assert "∂J/∂W⁽¹⁾" in source and "∂J/∂x" not in source
    assert "W⁽¹⁾" in draw.to_digraph(graph).source


def test_positions_do_not_depend_on_step_or_direction() -> None:
    wide = [Variable("x", (2, 1)), Variable("W", (2, 2), role="parameter", tex=r"\mathbf{W}^{(4999)}")]
    ends = [Equation("matmul", ("W", "x"), "a_long_name"), Equation("l2", ("a_long_name",), "J", {"weight_decay": 1})]
    for graph in (Graph(wide, ends), network([2] * 30)):
        looks = [draw.to_svg(graph, direction=way) for way in ("forward", "backward")]
        first, second = ([e.get("transform") for e in with_class(parse(p), "mlp-node")] for p in looks)
        assert first == second
    graph, values = running_example()
    pictures = [draw.to_svg(graph, direction=way) for way in ("forward", "backward")]
    pictures += [draw.to_svg(graph, step) for step in mlp.trace(graph, values)]
    places = [[e.get("transform") for e in with_class(parse(p), "mlp-node")] for p in pictures]
    assert all(place == places[0] for place in places)


def test_a_step_lights_what_it_uses() -> None:
    graph, values = diamond()
    for step in mlp.trace(graph, values):
        root = parse(draw.to_svg(graph, step))
        index = str(graph.equations.index(step.equation))
        nodes = {e.get("data-variable") or e.get("data-equation") for e in with_class(root, "mlp-node", "mlp-current")}
        assert nodes == {index, step.variable}
        edges = {
            (e.get("data-variable"), e.get("data-argnum"))
            for e in with_class(root, "mlp-edge", "mlp-current")
            if e.get("data-equation") == index
        }
        if step.phase == "forward":
            expected = {(n, str(k)) for k, n in enumerate(step.equation.inputs)}
        else:
            expected = {(step.variable, str(step.argnum))}
        assert edges == expected | {(step.equation.output, None)}
        assert len(with_class(root, "mlp-edge", "mlp-current")) == len(edges)
        assert bool(with_class(root, "mlp-written", "mlp-final")) == (step.variable in step.final)
        title = root.find(f"{SVG}title").text
        assert title.startswith(f"Step {step.index}, {step.phase}: ")
        assert root.find(f"{SVG}desc").text.startswith(title)
        parsed = pygraphviz.AGraph(string=draw.to_digraph(graph, step).source)
        bold = {str(n) for n in parsed.nodes() if n.attr["penwidth"] == "4"}
        assert bold == {f"equation {index}", step.variable}


def test_an_instalment_is_not_final() -> None:
    graph, values = diamond()
    told = [draw.svg.title_of(graph, s, s.phase) for s in mlp.trace(graph, values) if s.argnum is not None]
    assert sum("∂J/∂h" in title and "not final" in title for title in told) == 1
    assert sum("∂J/∂h" in title and title.endswith(", final") for title in told) == 1


def test_shapes() -> None:
    graph, _ = running_example()
    root = parse(draw.to_svg(graph, shapes=True))
    texts = {e.get("data-variable"): e.findtext(f"{SVG}text") for e in with_class(root, "mlp-variable")}
    assert texts["W1"] == "4×3" and texts["x"] == "3×1" and texts["J"] == "scalar"
    assert r"W⁽¹⁾\n4×3" in draw.to_digraph(graph, shapes=True).source


# --- both directions in one picture, for a script --------------------------------------------------------------------


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_both_is_the_two_pictures(graph: Graph, rankdir: str) -> None:
    check_both(graph, rankdir)


def test_both_of_an_outline() -> None:
    root = parse(draw.to_svg(network([2] * 41, weight_decay=0.1), direction="both"))
    assert with_class(root, "mlp-gap") and with_class(root, "mlp-hidden")
    for edge in with_class(root, "mlp-edge"):
        assert [len(with_class(edge, f"mlp-when-{way}")) for way in WAYS] == [1, 1]


def test_both_is_for_scripts_only() -> None:
    graph, values = running_example()
    wrong: list[tuple[dict[str, object], str]] = [
        ({"standalone": True}, "direction: expected 'forward' or 'backward' for a standalone picture, received 'both'"),
        ({"step": mlp.trace(graph, values)[0]}, "direction: expected 'forward', the step's phase, received 'both'"),
    ]
    for options, message in wrong:
        with pytest.raises(ValueError, match=message):
            draw.to_svg(graph, direction="both", **options)
    with pytest.raises(ValueError, match="direction: expected one of forward, backward, received 'both'"):
        draw.to_digraph(graph, direction="both")
    unfinished = Graph([Variable("x", (2, 1))], [Equation("relu", ("x",), "y")])
    with pytest.raises(ValueError, match="a graph without objective, received 'both'"):
        draw.to_svg(unfinished, direction="both")


def test_sizes() -> None:
    graph, _ = running_example()
    most = {"forward": 18_000, "backward": 26_000, "both": 36_000}
    sizes = {way: len(draw.to_svg(graph, direction=way).encode()) for way in most}
    assert all(sizes[way] <= most[way] for way in most), sizes
    assert len(gzip.compress(draw.to_svg(graph, direction="both").encode())) < 8_000


def test_both_has_no_ids_unless_asked() -> None:
    graph, _ = running_example()
    page = draw.to_svg(graph, direction="both")
    assert not re.findall(r'\s(?:id|href|xlink:href)="', page) and "url(#" not in page
    root = parse(draw.to_svg(graph, direction="both", id_prefix="one"))
    assert [e.get("id") for e in root.iter() if e.get("id")] == ["one", "one-title", "one-desc"]


def in_browser(html: str, script: str) -> Any:
    """What a script finds in a page; in a thread of its own, since other tests keep a browser open in this one."""

    def visit() -> Any:
        with sync_playwright() as playwright:
            browser = launch(playwright)
            page = browser.new_page(viewport={"width": 390, "height": 844})
            page.set_content(html)
            found = page.evaluate(script)
            browser.close()
            return found

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(visit).result()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_one_direction_shows_and_a_script_marks_nodes(theme: str) -> None:
    """Computed styles in a browser, in a page with the book's style, and in one without."""
    graph, _ = running_example()
    svg = draw.to_svg(graph, direction="both", rankdir="TB")
    script = """() => [...document.querySelectorAll("svg")].map(svg => {
      const look = (what, ...names) => {
        const style = getComputedStyle(typeof what == "string" ? svg.querySelector(what) : what);
        return names.map(name => style[name]);
      };
      const shown = name => [...new Set([...svg.querySelectorAll(name)].map(e => look(e, "display")[0]))].join();
      const read = () => ({
        forward: shown(".mlp-when-forward"), backward: shown(".mlp-when-backward"),
        corner: shown(".mlp-corner"), badge: shown(".mlp-badge"),
        z: look("[data-variable=z] .mlp-outline", "stroke", "strokeDasharray", "strokeWidth", "fill"),
        symbol: look("[data-variable=z] .mlp-when-forward .mlp-label", "fill")[0],
        cotangent: look("[data-variable=z] .mlp-when-backward .mlp-label", "fill")[0],
        line: look(".mlp-when-forward .mlp-line", "stroke")[0],
        double: look(".mlp-when-backward .mlp-line", "stroke")[0],
        x: look("[data-variable=x] .mlp-outline", "stroke", "fill")});
      const node = name => svg.querySelector(`.mlp-node[data-variable=${name}]`);
      const found = {plain: read(), small: svg.getBoundingClientRect().width};
      svg.dataset.direction = "backward";
      found.turned = read();
      for (const state of ["mlp-current", "mlp-filled", "mlp-pending", "mlp-guilty"]) {
        node("z").classList.add(state);
        found[state] = read();
        found[state].corner = look(node("z").querySelector(".mlp-corner"), "display", "fill");
        found[state].badge = look(node("z").querySelector(".mlp-badge"), "display", "fill");
        node("z").classList.remove(state);
      }
      node("x").classList.add("mlp-filled");
      found.x = read().x;
      return found;
    })"""
    css = (Path(__file__).parents[1] / "book/_static/book.css").read_text("utf-8")
    paper = "background:#14181e;color:#f0f3f6" if theme == "dark" else ""
    roles = draw.svg.DARK if theme == "dark" else draw.svg.LIGHT
    rgb = {role: f"rgb({', '.join(str(int(code[i : i + 2], 16)) for i in (1, 3, 5))})" for role, code in roles.items()}
    text = "rgb(240, 243, 246)" if theme == "dark" else "rgb(0, 0, 0)"
    for style in ("", css):
        page = (
            f'<!doctype html><html data-theme="{theme}"><style>{style}</style><body style="{paper}">{svg}</body></html>'
        )
        (found,) = in_browser(page, script)
        plain, turned = found["plain"], found["turned"]
        assert [plain[part] for part in ("forward", "backward", "corner", "badge")] == ["inline", *["none"] * 3]
        assert [turned[part] for part in ("forward", "backward", "corner", "badge")] == [
            "none",
            "inline",
            *["none"] * 2,
        ]
        assert found["small"] < 390
        assert (plain["symbol"], plain["cotangent"]) == (text, rgb["backward"])
        assert (plain["line"], plain["double"]) == (rgb["forward"], rgb["backward"])
        assert plain["z"] == turned["z"] == [text, "none", "1.4px", "none"]
        assert (plain["x"][0], turned["x"][0]) == (text, rgb["freed"])
        colour, wrong = rgb["backward"], rgb["wrong"]
        assert found["mlp-current"]["z"] == [colour, "none", "4px", colour]
        assert found["mlp-filled"]["z"] == [text, "none", "1.4px", colour]
        assert found["mlp-filled"]["corner"] == ["inline", colour]
        assert found["mlp-pending"]["z"] == [colour, "6px, 3.5px", "1.4px", "none"]
        assert found["mlp-guilty"]["z"] == [wrong, "none", "4px", wrong]
        assert found["mlp-guilty"]["badge"] == ["inline", wrong]
        assert found["x"] == [rgb["freed"], rgb["forward"]], "where no cotangent comes, a square keeps its value"


@pytest.mark.parametrize(
    ("roles", "surfaces"),
    [(draw.svg.LIGHT, ("#FFFFFF", "#F3F4F5")), (draw.svg.DARK, ("#14181E", "#222832"))],
    ids=["light", "dark"],
)
def test_contrast(roles: dict[str, str], surfaces: tuple[str, str]) -> None:
    """AA on the theme's surfaces, on the tint of what is lit or filled, and on that of what is wrong."""

    def channels(code: str) -> np.ndarray:
        return np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])

    def contrast(one: np.ndarray, other: np.ndarray) -> float:
        linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (one, other)]
        low, high = sorted(float(c @ [0.2126, 0.7152, 0.0722]) for c in linear)
        return (high + 0.05) / (low + 0.05)

    tints = {float(tint) for tint in re.findall(r"fill-opacity:([\d.]+)", draw.svg.RULES + draw.svg.RULES_BOTH)}
    assert tints == {0.12, 0.08}
    for surface in map(channels, surfaces):
        for role in ("forward", "backward", "parameter", "freed", "wrong"):
            assert contrast(channels(roles[role]), surface) >= 4.5, role
        for label, tint, much in [
            ("backward", "backward", 0.12),
            ("backward", "wrong", 0.08),
            ("wrong", "wrong", 0.08),
        ]:
            tinted = much * channels(roles[tint]) + (1 - much) * surface
            assert contrast(channels(roles[label]), tinted) >= 4.5, (label, tint)
    assert contrast(channels(roles["wrong"]), channels(roles["paper"])) >= 4.5, "the badge's cross"


def test_the_books_colours_are_the_pictures() -> None:
    css = (Path(__file__).parents[1] / "book/_static/book.css").read_text("utf-8")
    light, dark = (dict(re.findall(r"--mlp-(\w+): (#\w+);", block)) for block in css.split("}")[:2])
    for role in ("forward", "backward", "parameter", "freed", "wrong"):
        assert (light[role], dark[role]) == (draw.svg.LIGHT[role], draw.svg.DARK[role])


def test_words_of_the_parts() -> None:
    graph, _ = running_example()
    words = json.loads(json.dumps(draw.words(graph)))
    assert words.keys() == {"variables", "cotangents", "equations", "descriptions"}
    assert words["variables"]["W1"] == "W⁽¹⁾" and list(words["variables"]) == list(graph.variables)
    assert words["cotangents"]["W1"] == "∂J/∂W⁽¹⁾" and set(words["cotangents"]) == set(graph.variables) - {"x", "y"}
    assert words["equations"] == [
        "matrix product of W⁽¹⁾ and x gives z",
        "relu of z gives h",
        "matrix product of W⁽²⁾ and h gives o",
        "squared error of o and y gives L",
        "L2 term of W⁽¹⁾ and W⁽²⁾, with weight decay 0.1, gives s",
        "sum of L and s gives J",
    ]
    for way, told in words["descriptions"].items():
        assert told == parse(draw.to_svg(graph, direction=way)).findtext(f"{SVG}desc")
    unfinished = Graph([Variable("x", (2, 1))], [Equation("relu", ("x",), "y")])
    assert draw.words(unfinished)["cotangents"] == {} and set(draw.words(unfinished)["descriptions"]) == {"forward"}
    with pytest.raises(TypeError, match="graph: expected a Graph"):
        draw.words("graph")


# --- in a page --------------------------------------------------------------------------------------------------------


def test_pictures_share_a_page() -> None:
    graph, _ = running_example()
    page = draw.to_svg(graph) + draw.to_svg(graph) + draw.to_svg(graph, direction="backward")
    assert not re.findall(r'\s(?:id|href|xlink:href)="', page), "without ids nothing can collide"
    assert "url(#" not in page
    two = [parse(draw.to_svg(graph, id_prefix=prefix)) for prefix in ("one", "two")]
    ids = [e.get("id") for root in two for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids)) == 6
    for root in two:
        assert {root.get("aria-labelledby"), root.get("aria-describedby")} < set(ids)


def test_accessible() -> None:
    graph, _ = running_example()
    root = parse(draw.to_svg(graph))
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == "Computational graph of J, forward"
    told = root.findtext(f"{SVG}desc")
    assert "W⁽¹⁾ and x feed the matrix product, which gives z." in told
    assert "W⁽¹⁾ and W⁽²⁾ feed the L2 term with weight decay 0.1, which gives s." in told
    back = parse(draw.to_svg(graph, direction="backward")).findtext(f"{SVG}desc")
    assert "∂J/∂o goes back through the matrix product to ∂J/∂W⁽²⁾ and ∂J/∂h." in back
    assert back.endswith("No cotangent is computed for x and y.")
    assert parse(draw.to_svg(graph, title="Mine & <yours>")).findtext(f"{SVG}title") == "Mine & <yours>"


def test_follows_the_theme() -> None:
    inline = draw.to_svg(running_example()[0], direction="backward")
    root = parse(inline)
    painted = [e for e in root.iter() if e.tag in {f"{SVG}path", f"{SVG}rect", f"{SVG}circle", f"{SVG}text"}]
    assert all("currentColor" in (e.get("fill"), e.get("stroke")) for e in painted)
    style = root.findtext(f"{SVG}style")
    assert "var(--mlp-backward,#B23A00)" in style and "var(--mlp-backward,#FFA163)" in style
    assert "html[data-theme=dark]" in style and "[data-jp-theme-light=false]" in style


def test_mimebundle() -> None:
    graph, _ = running_example()
    bundle = graph._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "text/html", "image/svg+xml"}
    figure = ET.fromstring(bundle["text/html"])
    assert (figure.tag, figure.get("class")) == ("figure", "mlp-graph")
    box = figure[0]
    assert box.get("tabindex") == "0" and box.get("role") == "group" and box.get("aria-label")
    alone = bundle["image/svg+xml"]
    parse(alone)
    assert "var(" not in alone and 'color="#1F2328"' in alone


def test_a_picture_shows_itself_in_a_cell() -> None:
    graph, values = running_example()
    shown = draw.picture(graph, direction="backward", shapes=True)
    bundle = shown._repr_mimebundle_()
    assert bundle.keys() == {"text/plain", "text/html", "image/svg+xml"}
    assert bundle["text/plain"].startswith("Computational graph of J, backward. The cotangents travel back from J")
    svg = ET.fromstring(bundle["text/html"])[0][0]
    assert svg.get("data-direction") == "backward" and svg.findtext(f"{SVG}desc") == shown.description
    step = mlp.trace(graph, values)[2]
    assert draw.picture(graph, step).title == "Step 2, forward: o = W⁽²⁾ h"
    with pytest.raises(ValueError, match="rankdir: expected"):
        draw.picture(graph, rankdir="up")


@pytest.mark.parametrize("missing", ["ziamath", "graphviz"])
def test_a_graph_shows_itself_without_drawing_libraries(missing: str) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None
from mlp.networks import network
bundle = network([3, 4, 2])._repr_mimebundle_()
assert "z = matmul(W1, x)" in bundle["text/plain"]
assert ("text/html" in bundle) == ({missing!r} != "ziamath"), bundle.keys()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# --- rendering by Graphviz --------------------------------------------------------------------------------------------


def test_renders_without_dot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    drawn = draw.to_digraph(running_example()[0], shapes=True)
    assert ET.fromstring(drawn.pipe(format="svg")).tag == f"{SVG}svg"
    assert isinstance(drawn.pipe(format="svg", encoding="utf-8"), str)
    assert drawn.pipe(format="png").startswith(b"\x89PNG")
    written = Path(drawn.render("graph", tmp_path, format="svg", cleanup=True))
    assert written.read_bytes().lstrip().startswith(b"<?xml") and os.listdir(tmp_path) == [written.name]
    assert "image/svg+xml" in drawn._repr_mimebundle_()
    assert capfd.readouterr() == ("", "")


def test_says_how_to_install_graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    drawn = draw.to_digraph(running_example()[0])
    for render in (drawn.pipe, lambda: drawn.render("graph", tmp_path)):
        with pytest.raises(RuntimeError, match="pip install pygraphviz"):
            render()


def test_passes_on_what_others_write_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with draw.dot._without_fontconfig_warnings():
        os.write(2, b"Fontconfig warning: nothing to see\nsomething else\n")
    assert capfd.readouterr().err == "something else\n"


# --- names from outside -----------------------------------------------------------------------------------------------

NASTY = ['<script>alert("1")</script>', "a & b", "'\"><b>", "]]>", "<b>x</b>", "\\N", "{a|b}", "日本"]


@pytest.mark.parametrize("text", NASTY)
def test_symbols_never_become_markup(text: str) -> None:
    table = {**OPS, text: replace(OPS["relu"], name=text, symbol=text)}
    graph = Graph([Variable("x", (2, 1))], [Equation(text, ("x",), "y")], table=table)
    root = parse(draw.to_svg(graph, title=text))
    circle = with_class(root, "mlp-operator")[0]
    assert circle.get("data-op") == text == circle.findtext(f"{SVG}text") == root.findtext(f"{SVG}title")
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
        *("svg", "title", "desc", "style", "g", "rect", "circle", "path", "text")
    }
    drawn = draw.to_digraph(graph)
    check_dot(graph, "forward")
    shown = "".join(ET.fromstring(drawn.pipe(format="svg")).itertext())
    assert text in shown


@pytest.mark.parametrize("tex", [r"a < b", r"a \& b", r'"x"', r"\text{a}", r"\href{javascript:alert(1)}{x}"])
def test_tex_never_becomes_markup(tex: str) -> None:
    graph = Graph([Variable("x", (2, 1), tex=tex)], [Equation("relu", ("x",), "y")])
    root = parse(draw.to_svg(graph))
    assert [e.tag.removeprefix(SVG) for e in with_class(root, "mlp-variable")[0]] == ["rect", "path"]
    assert "javascript" not in ET.tostring(root, encoding="unicode")


@pytest.mark.parametrize("tex", [r"\foo", "x^{", r"\text{<b>}", "}{", r"\frac{}{}", r"\begin{foo}x\end{foo}"])
def test_tex_that_cannot_be_drawn(tex: str) -> None:
    graph = Graph([Variable("x", (2, 1)), Variable("W", (3, 2), tex=tex)], [Equation("matmul", ("W", "x"), "y")])
    with pytest.raises(ValueError, match=r"tex of variable 'W': expected .* received"):
        draw.to_svg(graph)


def test_keywords_of_dot_as_names() -> None:
    graph = Graph(
        [Variable("graph", (2, 1)), Variable("node", (2, 1)), Variable("é", (2, 1), tex="é")],
        [Equation("add", ("graph", "node", "é"), "edge"), Equation("relu", ("edge",), "strict")],
    )
    check_dot(graph, "forward")
    check_svg(graph, direction="forward")


# --- large graphs -----------------------------------------------------------------------------------------------------


def test_outline_of_a_deep_network() -> None:
    graph = network([3, *[4] * 4999, 2], weight_decay=0.1)
    root = parse(draw.to_svg(graph))
    texts = [e.text for e in root.iter(f"{SVG}text")]
    assert [t for t in texts if t.startswith("layer")] == [f"layer {n:,}" for n in (1, 2, 3, 4998, 4999, 5000)]
    assert "4,994 more" in texts
    squares = {e.get("data-variable") for e in with_class(root, "mlp-variable")}
    assert squares == {
        *("x", "h1", "h2", "h3", "h4997", "h4998", "h4999", "o", "y", "L", "s", "J", None),
        *("W1", "W2", "W3", "W4998", "W4999", "W5000"),
    }
    assert "10,002 equations" in root.findtext(f"{SVG}desc")
    parse(draw.to_svg(graph, direction="backward"))


def test_an_outline_tells_weights_from_biases() -> None:
    """What is left out is two squares where the regulariser reads the one and not the other."""
    graph = network([4] * 101, bias=True, weight_decay=0.1)
    root = parse(draw.to_svg(graph))
    assert [e.get("data-hidden") for e in with_class(root, "mlp-variable", "mlp-hidden")] == ["94", "94"]
    edges = [e.get("data-equation") for e in with_class(root, "mlp-edge") if e.get("data-hidden") is not None]
    gap = with_class(root, "mlp-gap")[0].get("data-equations").split()[0]
    penalty = str(next(k for k, equation in enumerate(graph.equations) if equation.op == "l2"))
    assert sorted(edges) == sorted([gap, gap, penalty])


def test_the_running_example_fits_a_column() -> None:
    """As narrow as an inline picture may get, it is no wider than the text of a page beside its contents: 620 px."""
    for direction in ("forward", "backward", "both"):
        look = parse(draw.to_svg(running_example()[0], direction=direction)).get("style")
        assert float(look.partition("min-width:")[2].partition("px")[0]) <= 620


def test_when_an_outline_is_drawn() -> None:
    def outlined(graph: Graph, **options: bool) -> bool:
        return bool(with_class(parse(draw.to_svg(graph, **options)), "mlp-layer"))

    assert not outlined(network([2] * 21)) and outlined(network([2] * 22))
    assert outlined(network([3, 4, 2]), outline=True) and not outlined(network([2] * 22), outline=False)
    assert not with_class(parse(draw.to_svg(network([3, 4, 2]), outline=True)), "mlp-gap")


def test_outline_lights_the_box_that_holds_the_step() -> None:
    graph = network([2] * 41, weight_decay=0.1)
    params = graph.init(0)
    values = params | {name: np.ones(graph.variables[name].shape) for name in ("x", "y")}
    for step in mlp.trace(graph, values):
        root = parse(draw.to_svg(graph, step))
        assert len([e for e in with_class(root, "mlp-node", "mlp-current") if not e.get("data-variable")]) == 1


@pytest.mark.parametrize("count", [300, 3000])
def test_large_graphs_by_hand(count: int) -> None:
    """A long chain with reads from far back, a sum of everything, a wide start: drawn at once, as an outline."""
    given_ = [Variable(f"p{i}", (2, 2), role="parameter") for i in range(count)]
    equations = [Equation("matmul", ("p0", "p1"), "e0")]
    for i in range(1, count):
        equations.append(Equation("add", (f"e{i - 1}", f"p{i}", f"e{i // 2}"), f"e{i}"))
    equations.append(Equation("add", tuple(f"e{i}" for i in range(count)), "all"))
    equations.append(Equation("l2", ("all", *(v.name for v in given_)), "J", {"weight_decay": 1.0}))
    graph = Graph(given_, equations)
    for look in LOOKS:
        root = parse(draw.to_svg(graph, **look))
        assert len(with_class(root, "mlp-gap")) == 1
        assert len(with_class(root, "mlp-node")) < 100


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"direction": "up"}, ValueError, "direction: expected one of forward, backward, both, received 'up'"),
        ({"rankdir": "RL"}, ValueError, "rankdir: expected one of LR, TB, received 'RL'"),
        ({"shapes": 1}, TypeError, "shapes: expected True or False, received 1"),
        ({"outline": "yes"}, TypeError, "outline: expected True, False or None, received 'yes'"),
        ({"title": 3}, TypeError, "title: expected text, received 3"),
        ({"id_prefix": 'a"b'}, ValueError, "id_prefix: expected a letter"),
        ({"step": 3}, TypeError, "step: expected a Step of a trace, or None, received 3"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        draw.to_svg(running_example()[0], **arguments)


def test_wrong_graph_and_foreign_step() -> None:
    graph, values = running_example()
    with pytest.raises(TypeError, match="graph: expected a Graph"):
        draw.to_svg("graph")
    last = mlp.trace(*diamond())[9]
    with pytest.raises(ValueError, match="step: expected a step of this graph"):
        draw.to_digraph(graph, last)
    with pytest.raises(ValueError, match="direction: expected 'forward', the step's phase"):
        draw.to_svg(graph, mlp.trace(graph, values)[0], direction="backward")
    with pytest.raises(ValueError, match="outline: expected True or None"):
        draw.to_svg(network([2] * 1001), outline=False)
    unfinished = Graph([Variable("x", (2, 1))], [Equation("relu", ("x",), "y")])
    draw.to_svg(unfinished)
    with pytest.raises(ValueError, match="direction: expected 'forward' for a graph without objective"):
        draw.to_svg(unfinished, direction="backward")


def test_words() -> None:
    assert labels.unicode_name("W12") == "W⁽¹²⁾" and labels.unicode_name("dead_end") == "dead_end"
    assert labels.enumerated(["a"]) == "a" and labels.enumerated(["a", "b", "c"]) == "a, b and c"
    assert labels.enumerated([str(i) for i in range(1000)]) == "0, 1, 2, … and 999 (1,000 in all)"
    assert labels.coordinate(-0.001) == "0" and labels.coordinate(12.5) == "12.5" and labels.coordinate(100) == "100"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda graph: draw.to_digraph(graph, shapes="no"), "shapes: expected True or False, received 'no'"),
        (lambda graph: draw.to_svg(graph, title="a\x00b"), "title: expected a line of printable text"),
        (lambda graph: draw.picture(graph, standalone=True), "standalone: expected an option of to_svg only"),
        (lambda graph: draw.picture(graph, id_prefix="a"), "id_prefix: expected an option of to_svg only"),
    ],
)
def test_odd_options_are_named(call: Callable[[Graph], object], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        call(running_example()[0])
