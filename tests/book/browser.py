"""The browser of the tests: a Chromium on PATH, else the one that Playwright installed; run as a script, says which."""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The sandbox needs rights that containers withhold; the rest keeps the browser from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def launch(playwright: Playwright) -> Browser:
    """Start the browser; without one this fails and says how to get one."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        return playwright.chromium.launch(executable_path=path, args=FLAGS)
    except Exception as error:
        raise RuntimeError(
            f"no browser for the tests: looked for {', '.join(NAMES)} on PATH and for Playwright's own. "
            "`make test` installs one where it may; otherwise install Chromium so that it is on PATH."
        ) from error


if __name__ == "__main__":
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except RuntimeError:
            sys.exit(1)
        print("Tests will use Chromium", browser.version)
        browser.close()
