"""Whether the book and the package are the same on another machine: a second build, and other matrix kernels.

Deep training is chaotic in the last bit, and each kind of processor adds in another order. So what a chapter prints and
what a test asserts is run under two kinds of kernels beside this machine's own, one of them with a single thread.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.book import build, copy_sources
from tests.everywhere.kernels import VARIABLE, others
from tests.everywhere.notebooks import ROOT, Said, chapters, differences, said

pytestmark = pytest.mark.everywhere
HTML = ROOT / "_build" / "html"


def environments() -> list[dict[str, str]]:
    """What makes this machine another one."""
    kinds = others()
    assert len(kinds) == 2, f"expected two kinds of matrix kernels beside the machine's own, found {kinds}"
    return [{VARIABLE: kinds[0], "OPENBLAS_NUM_THREADS": "1"}, {VARIABLE: kinds[1]}]


def test_two_clean_builds_give_the_same_bytes(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    build(tmp_path)
    again = tmp_path / "_build" / "html"
    ours, theirs = ({file.relative_to(html) for file in html.rglob("*") if file.is_file()} for html in (HTML, again))
    assert ours == theirs
    assert len(ours) > 100
    _, different, unread = filecmp.cmpfiles(HTML, again, sorted(map(str, ours)), shallow=False)
    assert (different, unread) == ([], [])


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.stem)
def test_a_chapter_says_the_same_under_other_kernels(page: Path) -> None:
    own = said(page)
    assert not wrote_to_stderr(own)
    found = []
    for environment in environments():
        other = said(page, **environment)
        assert not wrote_to_stderr(other)
        found += [f"{environment[VARIABLE]}: {line}" for line in differences(own, other)]
    assert not found, "\n".join([page.name, *found])


def wrote_to_stderr(run: list[Said]) -> list[str]:
    """The build takes a word on stderr for an error."""
    return [text for cell in run for source, text in cell.texts if source == "stderr"]


@pytest.mark.parametrize("turn", [0, 1])
def test_the_package_passes_its_tests_under_other_kernels(turn: int) -> None:
    environment = environments()[turn]
    folders = [f"--ignore=tests/{name}" for name in ("book", "views", "everywhere")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *folders]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert " passed" in result.stdout
