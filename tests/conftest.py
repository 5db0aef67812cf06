"""What the tests of the book and of the views share: one browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.book.browser import launch


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests; without one they fail, they never skip."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()
