"""The book: how long a build takes, how many bytes a page asks for, and how soon its stepper answers.

The book is built in a folder of its own with the Makefile's command, once from nothing and once after a chapter has
changed. Pages are then opened from disk, as a reader opens them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from benchmarks.clock import spread
from benchmarks.machine import machine
from benchmarks.quiet import Quiet
from benchmarks.worker import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHANGED = "book/forward.ipynb"
BUILDS, VISITS = 3, 7
PATIENCE = 20.0  # seconds

# Resolves with the milliseconds from the page's first moment to the first change that a press of a button made.
ANSWER = """() => new Promise(resolve => {
  const attempt = () => {
    const stepper = document.querySelector(".mlp-stepper");
    const button = [...stepper?.querySelectorAll("button.mlp-next, button.mlp-back") ?? []]
      .find(control => control.getAttribute("aria-disabled") !== "true");
    if (!button) return setTimeout(attempt, 1);
    const count = stepper.querySelector(".mlp-count"), before = count.textContent;
    button.click();
    const answered = () => count.textContent === before ? setTimeout(answered, 1) : resolve(performance.now());
    answered();
  };
  attempt();
})"""


def measure(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Builds and pages.

    Parameters
    ----------
    quick : bool
        One build and one visit instead of several.
    say : callable
        Receives a line now and then.
    """
    quiet = Quiet(0.0 if quick else PATIENCE)
    cold, warm = [], []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for _ in range(1 if quick else BUILDS):
            copy_sources(folder)
            quiet.wait()
            cold.append(build(folder))
            change(folder / CHANGED)
            warm.append(build(folder))
            say(f"the book builds in {cold[-1]:.1f} s, after a change in one chapter in {warm[-1]:.1f} s")
        pages = visit_all(folder / "_build" / "html", 1 if quick else VISITS)
    for page in pages:
        say(f"{page['name']}: {page['bytes'] / 1e6:.2f} MB")
    return {
        "machine": machine(),
        "quiet": quiet.report(),
        "cold": spread(cold),
        "changed": spread(warm),
        "chapter": CHANGED,
        "pages": pages,
    }


def copy_sources(folder: Path) -> None:
    """Lay out the book's sources anew, with nothing built."""
    for old in folder.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "book", folder / "book")
    (folder / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "results.json", folder / "benchmarks")


def change(chapter: Path) -> None:
    """Change one word of a chapter's first heading."""
    text = chapter.read_text("utf-8")
    changed = re.sub(r'("# [^"\\]+)', r"\1, changed", text, count=1)
    if changed == text:
        raise ValueError(f"{chapter.name}: expected a heading to change, found none")
    chapter.write_text(changed, "utf-8")


def build(folder: Path) -> float:
    """Seconds that a build takes, with the Makefile's own command."""
    command = re.search(r"^BUILD := \$\(BIN\)/(.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    if command is None:
        raise RuntimeError("Makefile: expected a line `BUILD := $(BIN)/…`, found none")
    programs = Path(sys.executable).parent
    program, *options = command[1].split()
    start = perf_counter()
    result = subprocess.run(
        [programs / program, *options, "."],
        cwd=folder,
        env=os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took = perf_counter() - start
    if result.returncode:
        raise RuntimeError(f"the book does not build: {result.stdout[-2000:]}")
    return took


def visit_all(html: Path, visits: int) -> list[dict[str, Any]]:
    """Bytes and files of every page, and seconds until its first stepper answers, where it has one."""
    from playwright.sync_api import sync_playwright

    from tests.book.browser import launch

    found = []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for source in sorted((html / "book").glob("*.html")):
            visited = [visit(browser, source) for _ in range(visits)]
            asked = set().union(*(urls for urls, _ in visited))
            answers = [answer for _, answer in visited if answer is not None]
            files = {Path(unquote(urlsplit(url).path)) for url in asked if url.startswith("file:")}
            found.append(
                {
                    "name": source.stem,
                    "html": source.stat().st_size,
                    "bytes": sum(file.stat().st_size for file in files if file.exists()),
                    "files": len(files),
                    "answers": spread(answers) if answers else None,
                }
            )
        browser.close()
    return found


def visit(browser: Browser, source: Path) -> tuple[set[str], float | None]:
    """All that the page asks for, and the seconds until its first stepper answers, where it has one."""
    asked: set[str] = set()
    page = browser.new_page()
    page.on("request", lambda request: asked.add(request.url))
    page.goto(source.as_uri(), wait_until="commit")
    answer = page.evaluate(ANSWER) / 1000 if 'data-view="stepper"' in source.read_text("utf-8") else None
    page.wait_for_load_state("load")
    page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")
    page.close()
    return asked, answer
