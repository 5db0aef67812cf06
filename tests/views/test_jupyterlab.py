"""The views in JupyterLab itself: a cell runs, the widget appears, Python moves it, a click and an edit reach it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, TimeoutError, expect

from mlp import network
from mlp.views.state import stops

CELLS = [
    "import mlp\nview = mlp.Stepper(*mlp.examples.running_example())\nview",
    "view.step = 9",
    "print('step', view.step, 'W2', view.values['W2'][0])",
    "one = mlp.OneWeight(*mlp.examples.running_example())\none",
    "one.chosen = {'name': 'W1', 'index': [0, 1]}",
    "print(one.chosen['name'], one.chosen['index'], 'W1', one.values['W1'][1])",
    "import mlp\nbox = mlp.explore()\nbox",
    "print(*box.graph.parameters, box.graph.batch, 'step', box.stepper.step, 'W2', box.stepper.values['W2'][0])",
    "box.stepper.step = 2",
    "import mlp\nmemory = mlp.MemoryView(16, 128, 512, optimizer='adam', budget=12_000_000)\nmemory",
    "memory.settings = {'depth': 8}",
    "print(memory.settings['depth'], memory.settings['dtype'], memory.settings['batch'], memory.peak)",
    "import mlp\n"
    "graph, values = mlp.examples.running_example()\n"
    "single = {name: array.astype('float32') for name, array in values.items()}\n"
    "view = mlp.Stepper(graph.with_dtype('float32'), single, step=2)\nview",
    "print(view.values['W2'][0][1], view.arrays()['W2'].dtype)",
]
SETTINGS = Path(__file__).parents[2] / "jupyter" / "share" / "jupyter" / "lab" / "settings"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Page]:
    """JupyterLab, on this machine only, with a notebook open in a browser."""
    folder, port = tmp_path_factory.mktemp("lab"), free_port()
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, folder / "stepper.ipynb")
    nbformat.write(
        nbformat.v4.new_notebook(cells=notebook.cells[:1], metadata=notebook.metadata), folder / "again.ipynb"
    )
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    options += ["--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={folder}"]
    options += [
        f"--LabApp.app_settings_dir={SETTINGS}",  # where `make lab` copies them from
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
    ]
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("jupyter")), "lab", *options], stdout=log, stderr=log, env=environment
        )
    try:
        address = f"http://127.0.0.1:{port}/"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}api/status", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
        page = browser.new_page(viewport={"width": 1300, "height": 1400})
        page.goto(f"{address}lab/tree/stepper.ipynb?reset")
        page.locator(".jp-Notebook .jp-CodeCell").nth(2).wait_for(timeout=60_000)
        page.get_by_text("Python 3 | Idle").or_(page.locator("[data-status='idle']")).first.wait_for(timeout=60_000)
        yield page
        page.close()
    finally:
        server.terminate()
        server.wait(20)


def run_cell(page: Page, index: int) -> None:
    """Select a cell and run it; once more if JupyterLab was not ready for the keys."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(index)
    prompt = cell.locator(".jp-InputPrompt").first
    before = prompt.inner_text()
    for _ in range(3):
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        try:
            page.wait_for_function(
                "([i, before]) => { const now = document.querySelectorAll('.jp-Notebook .jp-CodeCell')[i]"
                ".querySelector('.jp-InputPrompt').innerText; return /\\[\\d+\\]/.test(now) && now !== before; }",
                arg=[index, before],
                timeout=40_000,
            )
        except TimeoutError:
            continue
        return
    raise AssertionError(f"cell {index} was not run: its prompt is {prompt.inner_text()!r}")


def printed(page: Page, index: int = 2) -> str:
    run_cell(page, index)
    page.wait_for_timeout(500)
    return page.locator(".jp-Notebook .jp-CodeCell").nth(index).locator(".jp-OutputArea-output").inner_text().strip()


def test_the_stepper_lives_in_jupyterlab(lab: Page) -> None:
    run_cell(lab, 0)
    view = lab.locator(".jp-Notebook .mlp-stepper")
    view.wait_for(timeout=30_000)
    assert "1 of 14" in view.inner_text()

    run_cell(lab, 1)  # Python moves the view
    lab.wait_for_function("() => document.querySelector('.mlp-stepper').innerText.includes('10 of 14')", timeout=10_000)

    view.get_by_role("button", name="Next", exact=True).click()  # the view tells Python
    lab.wait_for_function("() => document.querySelector('.mlp-stepper').innerText.includes('11 of 14')", timeout=10_000)
    lab.wait_for_timeout(500)
    assert printed(lab) == "step 10 W2 [-1.0, 1.0, -1.0, 2.0]"

    view.get_by_role("slider").focus()  # the keys are the view's own: JupyterLab moves between cells with them
    lab.keyboard.press("ArrowLeft")
    lab.wait_for_function("() => document.querySelector('.mlp-stepper').innerText.includes('10 of 14')", timeout=10_000)
    lab.keyboard.press("ArrowRight")
    lab.wait_for_function("() => document.querySelector('.mlp-stepper').innerText.includes('11 of 14')", timeout=10_000)

    entry = view.get_by_label("W⁽²⁾ row 1, column 2").first  # an edit reaches Python too
    entry.fill("-2.5")
    entry.press("Enter")
    lab.wait_for_timeout(500)
    assert printed(lab) == "step 10 W2 [-1.0, -2.5, -1.0, 2.0]"


def test_the_one_weight_view_lives_there_too(lab: Page) -> None:
    if lab.locator(".jp-Notebook .mlp-stepper").count() == 0:
        run_cell(lab, 0)  # imports mlp
    run_cell(lab, 3)
    view = lab.locator(".jp-Notebook .mlp-one-weight")
    view.wait_for(timeout=30_000)
    assert "W⁽²⁾ row 2, column 1" in view.inner_text()

    run_cell(lab, 4)  # Python chooses
    lab.wait_for_function("() => document.querySelector('.mlp-one-weight').innerText.includes('W⁽¹⁾ row 1, column 2')")
    assert "slope 2.1" in view.inner_text()

    view.get_by_role("radio", name="W⁽¹⁾ row 2, column 3: 1").click()  # the reader chooses, and slides
    view.get_by_role("slider").press("ArrowRight")
    lab.wait_for_timeout(500)
    assert printed(lab, 5) == "W1 [1, 2] W1 [1.0, 1.0, 1.05]"


def test_explore_rebuilds_the_graph_and_its_drawing_there(lab: Page) -> None:
    run_cell(lab, 6)
    output = lab.locator(".jp-Notebook .jp-CodeCell").nth(6).locator(".jp-OutputArea")
    view = output.locator(".mlp-stepper")
    view.wait_for(timeout=30_000)
    assert view.locator(".mlp-count").inner_text() == "1 of 14"
    drawn = ".mlp-node[data-variable]"
    assert view.locator(drawn).count() == 10
    assert printed(lab, 7) == "W1 W2 1 step 0 W2 [-1.0, 1.0, -1.0, 2.0]"

    layers = output.get_by_role("slider").first  # the number of layers, by the keyboard as a reader would
    layers.focus()
    layers.press("ArrowRight")
    output.locator(f"{drawn}[data-variable=W3]").wait_for(timeout=30_000)  # the new network's own drawing
    assert output.locator(".mlp-stepper").count() == 1  # and the old one is gone
    assert view.locator(drawn).count() == 13
    assert view.locator(".mlp-count").inner_text() == f"1 of {len(stops(network([3, 4, 4, 2])))}"
    assert view.locator("[data-variable=W3] .mlp-outline").bounding_box() is not None
    assert printed(lab, 7).startswith("W1 W2 W3 1 step 0")

    output.get_by_label("activation", exact=True).first.select_option("tanh")
    output.locator("[data-op=tanh]").first.wait_for(timeout=30_000)
    output.get_by_label("bias", exact=True).first.check()
    output.locator(f"{drawn}[data-variable=b3]").wait_for(timeout=30_000)

    run_cell(lab, 8)  # the new stepper is a live one: Python moves it, and it tells Python
    expect(view.locator(".mlp-count")).to_contain_text("3 of", timeout=10_000)
    view.get_by_role("button", name="Next", exact=True).click()
    entry = view.get_by_label("W⁽²⁾ row 1, column 2").first
    entry.fill("-2.5")
    entry.press("Enter")
    lab.wait_for_timeout(500)
    assert " 1 step 3 W2 " in printed(lab, 7) and ", -2.5, " in printed(lab, 7)


def test_the_memory_view_lives_there_too(lab: Page) -> None:
    run_cell(lab, 9)
    view = lab.locator(".jp-Notebook .mlp-memory")
    view.wait_for(timeout=30_000)
    assert "Out of memory at step 15, forward: no room for h⁽⁸⁾" in view.inner_text()

    run_cell(lab, 10)  # Python sets
    lab.wait_for_function("() => document.querySelector('.mlp-memory').innerText.includes('fits the budget')")

    view.get_by_label("dtype", exact=True).select_option("float32")  # the reader sets
    view.get_by_role("slider", name="Slide batch").press("ArrowRight")
    lab.wait_for_timeout(500)
    assert printed(lab, 11).split()[:3] == ["8", "float32", "609"]
    assert view.locator(".mlp-chart svg").count() == 1


def test_a_saved_notebook_shows_its_views_when_it_is_opened_again(lab: Page, browser: Browser) -> None:
    """Without running a cell, and after the kernel that made the view has gone: the view is there, and alive."""
    address = lab.url.replace("stepper.ipynb", "again.ipynb").partition("?")[0]
    first = browser.new_page(viewport={"width": 1300, "height": 1400})
    first.goto(f"{address}?reset")
    first.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    run_cell(first, 0)
    first.locator(".jp-Notebook .mlp-stepper").wait_for(timeout=30_000)
    first.keyboard.press("Escape")
    first.keyboard.press("Control+s")
    notebook = "(await (await fetch('/api/contents/again.ipynb')).json()).content"
    first.wait_for_function(f"async () => {notebook}.metadata.widgets !== undefined", timeout=60_000)
    gone = first.evaluate(
        """async () => {
          const token = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? "";
          const found = await (await fetch("/api/sessions")).json();
          const session = found.find(({ path }) => path === "again.ipynb");
          const how = { method: "DELETE", headers: { "X-XSRFToken": token } };
          return (await fetch(`/api/sessions/${session.id}`, how)).status;
        }"""
    )
    assert gone == 204
    first.close()
    second = browser.new_page(viewport={"width": 1300, "height": 1400})
    second.goto(f"{address}?reset")
    view = second.locator(".jp-Notebook .mlp-stepper")
    view.wait_for(timeout=180_000)
    assert "model not found" not in second.locator(".jp-Notebook").inner_text()
    view.get_by_role("button", name="Next", exact=True).click()
    expect(view.locator(".mlp-count")).to_contain_text("2 of 14", timeout=10_000)
    second.close()


def test_a_number_typed_key_by_key_in_float32_stays_what_it_is(lab: Page) -> None:
    run_cell(lab, 12)
    view = lab.locator(".jp-Notebook .jp-CodeCell").nth(12).locator(".mlp-stepper")
    view.wait_for(timeout=30_000)
    entry = view.get_by_label("W⁽²⁾ row 1, column 2").first
    entry.focus()
    lab.keyboard.press("ControlOrMeta+a")
    for count, key in enumerate("0.123", 1):
        lab.keyboard.type(key)
        lab.wait_for_timeout(300)  # Python answers each key
        assert entry.input_value() == "0.123"[:count]
    entry.press("Tab")
    assert entry.input_value() == "0.123"
    assert printed(lab, 13) == "0.123 float32"
