"""Pictures of what is in a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl

from voxtrait.corpora.outputs import written_whole
from voxtrait.corpora.stats import CorpusStats
from voxtrait.errors import require
from voxtrait.labels import AGE_GROUPS, GENDERS

__all__ = ["plot_stats"]

_COLOURS: Final = {"female": "#b5477b", "male": "#2f6db3", "other": "#4f9a63", None: "#9a9a9a"}
_LOCALES: Final = 25


def plot_stats(stats: CorpusStats, folder: Path) -> list[Path]:
    """Draw age groups by gender, locales, recordings a speaker and durations, each as a PNG in ``folder``.

    Locales and durations are left out where the manifest does not know them.

    Returns:
        The files.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        UsageError: ``output`` if a file cannot be written.
    """
    require("matplotlib", "report")
    from matplotlib.figure import Figure

    pictures = {"gender-age": _gender_age, "clips-per-speaker": _clips}
    if not stats.locales["name"].is_null().all():
        pictures["locales"] = _locales
    if not stats.duration_bins.is_empty():
        pictures["durations"] = _durations
    files = []
    for name, draw in pictures.items():
        # Not pyplot: it keeps every figure and asks for a screen.
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        draw(stats, axes)
        with written_whole(folder / f"{name}.png") as partial:
            figure.savefig(partial, dpi=120)
        files.append(folder / f"{name}.png")
    return files


def _gender_age(stats: CorpusStats, axes: Any) -> None:
    counts = {(gender, group): count for gender, group, count in stats.cells[:, :3].iter_rows()}
    groups = [group for group in (*AGE_GROUPS, None) if any(key[1] == group for key in counts)]
    genders = [gender for gender in (*GENDERS, None) if any(key[0] == gender for key in counts)]
    width = 0.8 / len(genders)
    for place, gender in enumerate(genders):
        heights = [counts.get((gender, group), 0) for group in groups]
        places = [x + (place - (len(genders) - 1) / 2) * width for x in range(len(groups))]
        bars = axes.bar(places, heights, width, color=_COLOURS[gender], label=gender or "gender unknown")
        axes.bar_label(
            bars, [f"{height:,}" if height else "" for height in heights], fontsize=7, rotation=90, padding=2
        )
    axes.set_xticks(range(len(groups)), [group or "unknown" for group in groups])
    axes.figure.legend(loc="outside right upper", frameon=False)
    _label(axes, "Recordings by age group and gender", "age group", "recordings")


def _locales(stats: CorpusStats, axes: Any) -> None:
    rows = stats.locales.sort("speakers", "name", descending=[True, False])[:_LOCALES].with_columns(
        pl.col("name").fill_null("unknown")
    )
    places = range(rows.height)
    unlabelled = (rows["speakers"].cast(pl.Int64) - rows["female"] - rows["male"]).clip(0)
    start = pl.Series([0] * rows.height)
    for name, values in (("female", rows["female"]), ("male", rows["male"]), (None, unlabelled)):
        axes.bar(
            places,
            values.to_list(),
            bottom=start.to_list(),
            color=_COLOURS[name],
            label=name or "neither label",
        )
        start = start + values.cast(pl.Int64)
    axes.set_xticks(places, rows["name"].to_list(), rotation=90 if rows.height > 8 else 0)
    axes.figure.legend(loc="outside right upper", frameon=False)
    left_out = stats.locales.height - rows.height
    title = "Speakers by locale" + (f" (the {rows.height} with most; {left_out} more)" if left_out else "")
    _label(axes, title, "locale", "speakers")


def _clips(stats: CorpusStats, axes: Any) -> None:
    rows = stats.clip_bins.rows()
    names = [
        f"{low}+" if high is None else str(low) if high == low + 1 else f"{low}–{high - 1}"
        for low, high, _ in rows
    ]
    _bars(axes, names, [count for *_, count in rows])
    _label(axes, f"Recordings a speaker (median {stats.clips['median']:g})", "recordings", "speakers")


def _durations(stats: CorpusStats, axes: Any) -> None:
    rows = stats.duration_bins.rows()
    names = [f"{low}+" if high is None else f"{low}–{high}" for low, high, _ in rows]
    _bars(axes, names, [count for *_, count in rows])
    unknown = f"; unknown for {stats.without_duration:,}" if stats.without_duration else ""
    _label(axes, f"Durations ({stats.hours:,.1f} h{unknown})", "seconds", "recordings")


def _bars(axes: Any, names: list[str], heights: list[int]) -> None:
    bars = axes.bar(range(len(names)), heights, 0.8, color=_COLOURS["male"])
    axes.bar_label(bars, [f"{height:,}" for height in heights], fontsize=8, padding=2)
    axes.set_xticks(range(len(names)), names)


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", color="#e4e4e4")
    axes.margins(y=0.12)
