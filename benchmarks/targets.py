"""What is asked of the figures: each target says what was measured, what was hoped for, and whether it was met."""

from __future__ import annotations

from typing import Any

from benchmarks.clock import rounded

GROWN = 10_000  # bytes that a hundred steps may leave behind


def target(what: str, measured: float, bound: float, **about: Any) -> dict[str, Any]:
    """One target; ``about`` says for a program what ``what`` says for a reader."""
    return {**about, "what": what, "measured": rounded(measured), "bound": bound, "met": measured <= bound}


def of_step(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The time of `mlp` in parts of each contender's; JAX's with the same vector instructions, where NumPy's differ."""
    same = "mlp+wide" if "mlp+wide" in found["contenders"] else "mlp"
    targets = []
    for case in found["cases"]:
        for against, bound in case["bounds"].items():
            mine = same if against.startswith("jax") else "mlp"
            ratio, label = case["ratios"][mine][against], found["contenders"][against]["label"]
            what = f"{case['name']}: time against {label}"
            targets.append(target(what, ratio["median"], bound, case=case["name"], mine=mine, against=against))
    return targets


def of_memory(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Peak bytes of `mlp` in parts of PyTorch's, seen both ways; and what many steps leave behind."""
    targets = []
    for case in found["peaks"]:
        sights = {"arrays": case["arrays"]}
        if "process" in case:
            sights["process"] = {subject: rises["median"] for subject, rises in case["process"].items()}
        for sight, peak in sights.items():
            for mine in ("mlp", "mlp-once"):
                what = f"{case['name']}: peak memory of {found['subjects'][mine]} against PyTorch, {sight}"
                targets.append(target(what, peak[mine] / peak["torch"], 1.0, case=case["name"], mine=mine, sight=sight))
    for name, grown in found["grown"].items():
        targets.append(target(f"{name}: bytes left by {found['steps']} steps", grown, GROWN, case=name))
    return targets


def of_startup(found: dict[str, Any]) -> list[dict[str, Any]]:
    """`import mlp` in parts of `import numpy`."""
    return [target("import mlp against import numpy", found["ratio"]["median"], 1.3)]


def of_depth(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The largest cost of a layer in parts of the smallest, over all depths."""
    return [
        target(f"{kind} per layer over depth: {name}", found["steadiness"][kind][name], 1.2, kind=kind, name=name)
        for kind in ("seconds", "bytes")
        for name in ("step", "prepare", "trace", "predict")
        if name in found["steadiness"][kind]
    ]
