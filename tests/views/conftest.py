"""What the tests of views in pages start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.views.pages import Pages


@pytest.fixture
def pages(browser: Browser, tmp_path: Path) -> Iterator[Pages]:
    """Open islands in pages from disk; at the end nothing may have gone wrong."""
    pages = Pages(browser, tmp_path)
    yield pages
    pages.close()
