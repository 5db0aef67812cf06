"""Photograph a chapter of the built book, light beside dark, for the README.

python scripts/picture.py BOOK_HTML_FOLDER OUT.png
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.book.browser import launch

CHAPTER = "book/forward.html"
WIDTH, HEIGHT = 720, 860


def main(html: Path, out: Path) -> None:
    """Write the picture, in few enough colours to stay small."""
    both = Image.new("RGB", (2 * WIDTH, HEIGHT))
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for column, scheme in enumerate(("light", "dark")):
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page.goto((html.resolve() / CHAPTER).as_uri())
            page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")
            page.evaluate(
                "() => document.querySelector('article figure')?.scrollIntoView({block: 'center', behavior: 'instant'})"
            )
            page.wait_for_timeout(300)
            both.paste(Image.open(io.BytesIO(page.screenshot())), (column * WIDTH, 0))
        browser.close()
    both.quantize(128).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
