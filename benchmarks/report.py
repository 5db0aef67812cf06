"""The table for readers of the repository: `results.md`, made from `results.json`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def duration(seconds: float) -> str:
    """Seconds with a unit that fits."""
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def measured_on(part: dict[str, Any]) -> str:
    """A line: when, on what."""
    m = part["machine"]
    facts = [m["when"], m["processor"], f"{m['used']} of {m['cores']} cores", m["system"], f"Python {m['python']}"]
    if m["load"]:
        facts.append(f"load {m['load'][0]} when it ended")
    if quiet := part.get("quiet"):
        facts.append(f"{quiet['disturbed']} of {quiet['asked']} measurements begun while other programs ran")
    return ", ".join(facts) + "."


def of_step(part: dict[str, Any]) -> list[str]:
    """Medians, and ratios of `mlp` to everybody."""
    cases, about = part["cases"], part["contenders"]
    lines = ["## Time of a training step", "", measured_on(part), ""]
    lines += ["Medians; in brackets, the time of `mlp` in parts of it.", ""]
    rows = []
    for key, contender in about.items():
        cells = []
        for case in cases:
            taken, ratio = case["seconds"].get(key), case["ratios"]["mlp"].get(key)
            bracket = f" ({ratio['median']:.2f})" if ratio else ""
            cells.append(f"{duration(taken['median'])}{bracket}" if taken else "")
        rows.append([contender["label"], *cells])
    lines += table(["", *(case["name"] for case in cases)], rows)
    lines += ["", "Who computes with what:", ""]
    for contender in about.values():
        versions = ", ".join(f"{package} {version}" for package, version in contender["versions"].items())
        lines.append(f"- {contender['label']}: {versions}; {kernels(contender)}")
    return lines


def kernels(contender: dict[str, Any]) -> str:
    """Which matrix library a contender computes with, as far as it can be asked."""
    if "torch" in contender:
        return f"PyTorch's own, {contender['torch']['kernels']} kernels, {contender['torch']['threads']} threads"
    if "jax" in contender["versions"]:
        return "JAX's own, which does not say"
    return ", ".join(
        f"{b['library']} {b['version']}, {b['kernels']} kernels, {b['threads']} threads" for b in contender["blas"]
    )


def of_memory(part: dict[str, Any]) -> list[str]:
    """Peaks of a step."""
    lines = ["## Memory of a training step", "", measured_on(part), ""]
    lines += ["Peak in MB: arrays / growth of the process.", ""]
    rows = []
    for case in part["peaks"]:
        cells = []
        for subject in part["subjects"]:
            process = case.get("process", {}).get(subject)
            peaks = [case["arrays"][subject], *([process["median"]] if process else [])]
            cells.append(" / ".join(f"{peak / 1e6:.2f}" for peak in peaks))
        rows.append([case["name"], *cells])
    return lines + table(["", *part["subjects"].values()], rows)


def of_startup(part: dict[str, Any]) -> list[str]:
    """Seconds of each import."""
    rows = [[f"`import {name}`", duration(taken["median"])] for name, taken in part["seconds"].items()]
    return ["## Start-up", "", measured_on(part), "", *table(["", "median"], rows)]


def of_depth(part: dict[str, Any]) -> list[str]:
    """Seconds and bytes at each depth."""
    rows = [[name, *(duration(taken["median"]) for taken in times)] for name, times in part["seconds"].items()]
    rows += [[f"{name}, memory", *(f"{peak / 1e6:.2f} MB" for peak in peaks)] for name, peaks in part["bytes"].items()]
    lines = [
        "## Depth",
        "",
        measured_on(part),
        "",
        f"Width {part['width']} (narrow: {part['narrow']}), batch {part['batch']}, float64.",
        "",
    ]
    return lines + table(["", *(f"{depth} layers" for depth in part["depths"])], rows)


def of_sweeps(part: dict[str, Any]) -> list[str]:
    """Both ways through a network, and plans that compute again."""
    lines = ["## Sweeps and plans", "", measured_on(part), "", "With one thread, in float64; medians.", ""]
    rows = []
    for found in part["sweeps"]:
        ratios = (f"{found['ratios'][name]['median']:.2f}" for name in ("jvp", "hvp"))
        rows.append([str(found["width"]), duration(found["seconds"]["gradient"]["median"]), *ratios])
    head = ["width", "gradient", "`jvp` in gradients", "`hvp` in gradients"]
    lines += [f"Three layers, batch {part['batch']}.", "", *table(head, rows), ""]
    rows = [
        [name, f"{cost['peak'] / 1e6:.2f} MB", f"{cost['extra']:.2f}", f"{part['plans']['ratios'][name]['median']:.2f}"]
        for name, cost in part["plans"]["costs"].items()
    ]
    lines += [f"{part['plans']['layers']} layers of 64 units, batch 256.", ""]
    lines += [*table(["plan", "peak", "forward passes again", "time of a step"], rows), ""]
    asked = part["asked"]
    return [*lines, f"The peak of {asked['layers']:,} layers is predicted in {duration(asked['seconds']['median'])}."]


def of_book(part: dict[str, Any]) -> list[str]:
    """Builds and pages."""
    cold, changed = duration(part["cold"]["median"]), duration(part["changed"]["median"])
    lines = ["## The book", "", measured_on(part), ""]
    lines += [f"Built from nothing in {cold}, after a change in one chapter in {changed}.", ""]
    rows = []
    for page in part["pages"]:
        sizes = [f"{page['html'] / 1e3:.0f} kB", f"{page['bytes'] / 1e6:.2f} MB", str(page["files"])]
        rows.append([page["name"], *sizes, duration(page["answers"]["median"]) if page["answers"] else ""])
    return lines + table(["page", "HTML", "all it loads", "files", "its stepper answers after"], rows)


def judged(target: dict[str, Any]) -> list[str]:
    """A target's row."""
    return [target["what"], f"{target['measured']:g}", f"{target['bound']:g}", "yes" if target["met"] else "**no**"]


SECTIONS = {
    "step": of_step,
    "memory": of_memory,
    "startup": of_startup,
    "depth": of_depth,
    "sweeps": of_sweeps,
    "book": of_book,
}


def report(results: dict[str, Any]) -> str:
    """All parts that there are, and the targets."""
    lines = ["# Benchmarks", "", "Written by `make bench`; the book's page has the same figures with words.", ""]
    for name, section in SECTIONS.items():
        if name in results:
            lines += [*section(results[name]), ""]
            if targets := results[name].get("targets"):
                lines += [*table(["target", "measured", "at most", "met"], map(judged, targets)), ""]
    return "\n".join(lines)
