"""Pictures of a summary, in the style of the pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure as Canvas

from voxtrait.evaluation.plots import COLOURS
from voxtrait.exports.wording import printable
from voxtrait.summaries.summary import Summary

__all__ = ["folder_plot", "pyramid_plot", "time_plot"]


def pyramid_plot(summary: Summary) -> Canvas:
    """Draw the share of speech by age group, women to the left; a child's gender is not told."""
    canvas = Canvas(figsize=(5.2, 3.6))
    axes = canvas.add_subplot()
    names = list(summary.pyramid)
    women, others = (100 * np.array(side) for side in zip(*summary.pyramid.values(), strict=True))
    if summary.gender is None:
        axes.barh(names, others, color=COLOURS["accent"], height=0.8)
    else:
        children = (women[0] + others[0]) / 2
        axes.barh(names[:1], [children], color=COLOURS["muted"], height=0.8, label="gender not told")
        axes.barh(names[:1], [-children], color=COLOURS["muted"], height=0.8)
        axes.barh(names[1:], -women[1:], color=COLOURS["female"], height=0.8, label="women")
        axes.barh(names[1:], others[1:], color=COLOURS["male"], height=0.8, label="men")
        axes.legend(fontsize=8, labelcolor=COLOURS["ink"], loc="upper right")
        most = 1.08 * float(max(women.max(), others.max(), 1.0))
        axes.set_xlim(-most, most)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of all speech (%)")
    return canvas


def time_plot(rows: pl.DataFrame, by: str) -> Canvas:
    """Draw the share of women's speech over days or months, with the band of its interval."""
    canvas = Canvas(figsize=(6.4, 3.0))
    axes = canvas.add_subplot()
    rows = rows.drop_nulls("share")
    times = rows[by].to_numpy()
    low, share, high = (100 * rows[name].cast(pl.Float64).to_numpy() for name in ("low", "share", "high"))
    axes.fill_between(times, low, high, color=COLOURS["female"], alpha=0.18, lw=0)
    marks: dict[str, Any] = {"marker": "o", "ms": 3.5} if len(rows) <= 60 else {}
    axes.plot(times, share, color=COLOURS["female"], lw=1.4, **marks)
    axes.set(ylabel="women's speech (%)", ylim=(0, 100))
    for label in axes.get_xticklabels():
        label.set(rotation=30, ha="right")
    return canvas


def folder_plot(rows: pl.DataFrame) -> Canvas:
    """Draw the share of women's speech by folder, most speech first, with whiskers of its interval."""
    rows = rows.drop_nulls("share")
    canvas = Canvas(figsize=(6.4, 0.9 + 0.3 * len(rows)))
    axes = canvas.add_subplot()
    heights = np.arange(len(rows))[::-1]
    share = 100 * rows["share"].to_numpy()
    axes.barh(heights, share, color=COLOURS["female"], alpha=0.45, height=0.66)
    for height, low, high in zip(heights, rows["low"], rows["high"], strict=True):
        if low is not None:
            axes.plot([100 * low, 100 * high], [height, height], color=COLOURS["ink"], lw=1.6)
    axes.plot(share, heights, "o", ms=4, color=COLOURS["female"])
    axes.set_yticks(heights, [_short(str(name)) for name in rows["folder"]])
    axes.set(xlabel="women's speech (%)", xlim=(0, 100))
    axes.grid(visible=False, axis="y")
    return canvas


def _short(name: str, longest: int = 30) -> str:
    name = printable(name)
    return name if len(name) <= longest else f"…{name[1 - longest :]}"
