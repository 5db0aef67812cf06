"""Pages with views: as the book makes them, opened from disk, with all that goes wrong there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from playwright.sync_api import Browser, Page

from mlp.views import bundle
from tests.views.shipped import page_script

LOOKS = {"light": (1100, 900), "dark": (1100, 900), "phone": (390, 844), "phone-dark": (390, 844)}


@dataclass
class OpenView:
    """A view in a page, and all that went wrong there."""

    page: Page
    trouble: list[str] = field(default_factory=list)
    outermost: ClassVar[str] = ".mlp-ui"

    @property
    def root(self) -> Any:
        return self.page.locator(self.outermost).first

    def find(self, selector: str) -> Any:
        return self.page.locator(f"{self.outermost} {selector}").first

    def button(self, name: str | re.Pattern[str]) -> Any:
        return self.root.get_by_role("button", name=name, exact=True)

    @property
    def said(self) -> str:
        """What those who listen were told last."""
        return str(self.find("> [role=status]").text_content())

    def enter(self, field: Any, text: str) -> None:
        """Write into a field, and press Enter: then whatever is wrong with the text is said."""
        field.fill(text)
        field.press("Enter")

    def settle(self) -> None:
        """Until observers and events of the last change have run."""
        self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


V = TypeVar("V", bound=OpenView)


class Pages:
    """Opens islands in pages from disk."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser, self.folder = browser, folder
        self.visits: list[OpenView] = []

    def open(
        self,
        visited: Callable[[Page, list[str]], V],
        islands: Sequence[str],
        look: str = "light",
        *,
        address: str = "",
        **screen: Any,
    ) -> V:
        """A page with these islands; ``screen`` is as for `Browser.new_page`."""
        path = self.folder / f"page{len(self.visits)}.html"
        path.write_text(document(islands, "dark" if look.endswith("dark") else "light"), "utf-8")
        width, height = LOOKS[look]
        page = self.browser.new_page(viewport={"width": width, "height": height}, **screen)
        trouble: list[str] = []
        page.on("console", lambda m: trouble.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else trouble.append(r.url))
        page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
        page.goto(path.as_uri() + address)
        visit = visited(page, trouble)
        if screen.get("java_script_enabled", True):
            visit.settle()
        self.visits.append(visit)
        return visit

    def close(self) -> None:
        """Nothing may have gone wrong."""
        for visit in self.visits:
            visit.page.close()
        assert [visit.trouble for visit in self.visits if visit.trouble] == []


def document(islands: Sequence[str], theme: str = "light") -> str:
    """A page as the book makes it: islands, one style sheet, one classic script."""
    colours = "#14181E; color: #E6EAEE" if theme == "dark" else "#FFF; color: #1F2328"
    body = f"body {{ background: {colours}; font-family: sans-serif; margin: 1rem auto; max-width: 46rem }}"
    return (
        f'<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8"><title>A page</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{body}{bundle.style()}</style></head><body><main><h1>A page</h1>{''.join(islands)}"
        '<p><label>Elsewhere <input id="elsewhere"></label></p></main>'
        f"<script>{page_script(''.join(islands))}</script></body></html>"
    )


def tampered(island: str, change: Callable[[dict[str, Any]], Any], svg: Callable[[str], str] = str) -> str:
    """An island whose state or picture somebody has changed."""
    head, text, tail = re.split(r'(?<=<script type="application/json">)(.*)(?=</script>)', island, flags=re.DOTALL)
    told = json.loads(text)
    change(told["state"])
    told["svg"] = svg(told["svg"])
    return head + json.dumps(told).replace("<", "\\u003c") + tail
