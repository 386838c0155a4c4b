"""Figures of two bundles side by side: python benchmarks/side_by_side.py OLD NEW -o docs/side-by-side.md

Both cards hold the sheet of benchmarks/accuracy.py on the same recordings: what speed costs shows here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from voxtrait.bundle import Metric, load_bundle

_FIGURES = (
    "gender accuracy", "gender UAR", "gender decided", "gender wrong when decided", "gender ECE",
    "age MAE", "age MAE ratio", "age correlation", "age coverage", "child AUC", "answered no speech",
)  # fmt: skip
#: Not every one of some forty conditions: as recorded, and those that the docs speak of.
_CONDITIONS = ("as recorded", "noisy 8 kHz telephone", "babble at 10 dB", "far", "opus", "first 1 s")


def _shown(metric: Metric) -> bool:
    return metric.name in _FIGURES and any(word in metric.on for word in _CONDITIONS)


def _words(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return f"{metric.value:.4f}"
    return f"{metric.value:.4f} ({metric.low:.3f} to {metric.high:.3f})"


def page(old_path: str, new_path: str) -> str:
    """Return the page as Markdown."""
    old, new = load_bundle(old_path), load_bundle(new_path)
    before = {(metric.name, metric.on): metric for metric in old.card.metrics}
    rows = [(metric, before.get((metric.name, metric.on))) for metric in new.card.metrics]
    moved = [
        abs(metric.value - other.value) / (metric.high - metric.low) * 2
        for metric, other in rows
        if other and metric.low is not None and metric.high is not None and metric.high > metric.low
    ]
    lines = [
        f"# {old.title} and {new.title} on the same held-out speakers",
        "",
        "The newer model has the same weights in a graph that runs faster: windows share runs of its 8-bit",
        "layers, whose ranges are fixed. Both were heard by `benchmarks/accuracy.py`, five-fold",
        "cross-validation, with 95 % intervals over speakers; `benchmarks/side_by_side.py` wrote this page.",
        f"Of {len(moved)} figures with an interval the one that moved most did so by {max(moved):.2f} of",
        "half its width.",
        "",
        f"| figure | on | {old.title} | {new.title} |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {metric.name} | {metric.on} | {_words(other)} | {_words(metric)} |"
        for metric, other in rows
        if other and _shown(metric)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.write_text(page(options.old, options.new))


if __name__ == "__main__":
    main()
