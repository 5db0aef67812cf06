"""What keeps some readers out of a page: axe's findings, text that is too small, a page wider than the screen."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SMALLEST = 11  # pixels, of any text


def violations(page: Page) -> list[str]:
    """What axe-core finds against WCAG A and AA, each with its element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    # Two frames: a box that has begun to scroll takes the focus from the next frame on.
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found = page.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})", WCAG)
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}\n{node['html'][:300]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def overflow(page: Page) -> int:
    """Pixels by which the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def small_text(page: Page, root: str) -> list[str]:
    """Text below such elements that is shown smaller than `SMALLEST`, in pictures too."""
    return page.evaluate(  # type: ignore[no-any-return]
        """([root, smallest]) => [...document.querySelectorAll(root)].flatMap(top => {
          const small = [];
          const walk = document.createTreeWalker(top, NodeFilter.SHOW_TEXT);
          while (walk.nextNode()) {
            const node = walk.currentNode.parentElement;
            if (!walk.currentNode.data.trim() || !node.checkVisibility()) continue;
            if (node.closest(".mlp-unseen, style, desc, title")) continue;
            const svg = node.closest("svg");
            const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
            const size = parseFloat(getComputedStyle(node).fontSize) * scale;
            if (size < smallest - 0.01) small.push(node.outerHTML.slice(0, 200));
          }
          return small;
        })""",
        [root, SMALLEST],
    )


def barriers(page: Page, root: str) -> list[str]:
    """All of it, for a page with a view; nothing where everyone can use it."""
    wide = overflow(page)
    found = [f"{wide} px wider than the screen"] if wide > 0 else []
    return found + [f"text is too small: {html}" for html in small_text(page, root)] + violations(page)
