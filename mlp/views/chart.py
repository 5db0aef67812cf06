"""The frame of a chart, for where no script runs: SVG with its title, its description and the labels of its axes."""

from collections.abc import Iterable
from html import escape

from mlp.draw.svg import LIGHT

Label = tuple[float, float, str, str]  # x and y in pixels, the anchor, the text


def colour(role: str, *, alone: bool) -> str:
    """The colour of a role: as it is where the chart stands alone, else by the page's own property."""
    if alone:
        return LIGHT[role]
    return "currentColor" if role == "parameter" else f"var(--mlp-{role},{LIGHT[role]})"


def chart(
    size: tuple[int, int], title: str, described: str, drawn: str, labels: Iterable[Label], *, alone: bool
) -> str:
    """Frame what is drawn.

    Parameters
    ----------
    size : tuple of int
        Width and height in pixels.
    title, described : str
        What the chart shows, in words.
    drawn : str
        SVG; lines have the ink of the text unless they say otherwise.
    labels : iterable of Label
    alone : bool
        For an image: plain colours on white. Otherwise for a page, whose colours it takes.

    Returns
    -------
    str
        An ``svg`` element.
    """
    width, height = size
    look = f'color="{LIGHT["parameter"]}"' if alone else 'style="height:auto;max-width:100%"'
    paper = f'<rect width="{width}" height="{height}" rx="6" fill="#fff" stroke="none"/>' if alone else ""
    texts = "".join(
        f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
        for left, top, anchor, text in labels
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" fill="none" stroke="currentColor" {look}><title>{escape(title)}</title>'
        f"<desc>{escape(described)}</desc>{paper}{drawn}"
        f'<g fill="currentColor" stroke="none" style="font:13px/1 system-ui,sans-serif">{texts}</g></svg>'
    )
