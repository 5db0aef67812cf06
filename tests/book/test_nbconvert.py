"""Chapters outside the book: what Jupyter's own converter makes of them, with the settings of `make lab`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_core.paths import ENV_CONFIG_PATH, ENV_JUPYTER_PATH
from playwright.sync_api import Browser

from tests.book.conftest import ROOT

SETTINGS = ROOT / "jupyter"


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chapter, run and converted to one page."""
    folder = tmp_path_factory.mktemp("converted")
    command = [Path(sys.executable).with_name("jupyter"), "nbconvert", "--execute", "--to", "html"]
    subprocess.run(
        [*command, f"--output-dir={folder}", ROOT / "book" / "forward.ipynb"],
        env=os.environ | {"JUPYTER_CONFIG_PATH": str(SETTINGS / "etc" / "jupyter")},
        check=True,
        capture_output=True,
        timeout=500,
    )
    return folder / "forward.html"


def test_a_converted_chapter_shows_its_views_as_figures(converted: Path, browser: Browser) -> None:
    """Each view by its own picture and caption; and no widget, which would come from another host."""
    source = (ROOT / "book" / "forward.ipynb").read_text("utf-8")
    page = browser.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.goto(converted.as_uri(), wait_until="domcontentloaded")
    views = page.locator("figure.mlp-view")
    made = len(re.findall(r"mlp\.(?:Stepper|OneWeight|ChainRule|MemoryView|Walks|Question\.\w+)\(", source))
    assert views.count() == made > 1
    for picture in page.locator("figure.mlp-view > img").all():
        assert picture.evaluate("i => i.decode().then(() => i.naturalWidth)") > 100
        assert len(picture.get_attribute("alt") or "") > 20
    assert all(len(words) > 20 for words in views.all_inner_texts())
    assert page.locator("script[type^='application/vnd.jupyter.widget']").count() == 0
    page.close()


def test_the_settings_are_where_jupyter_looks_for_them() -> None:
    """They are copied into the environment as they stand."""
    assert (SETTINGS / Path(ENV_CONFIG_PATH[0]).relative_to(sys.prefix) / "jupyter_nbconvert_config.json").is_file()
    lab = SETTINGS / Path(ENV_JUPYTER_PATH[0]).relative_to(sys.prefix) / "lab" / "settings"
    assert (lab / "overrides.json").is_file()
