"""What is in a corpus: recordings, speakers and hours by gender, age group, locale and split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from voxtrait.corpora.cells import cell_counts

__all__ = ["CorpusStats", "describe"]

#: Lower ends of the bins, the last one open: recordings a speaker, and seconds.
_CLIP_BINS: Final = (1, 2, 3, 5, 10, 20, 50, 100, 1000)
_SECOND_BINS: Final = (*range(10), 10, 15, 30, 60, 600)
_QUANTILES: Final = {"least": 0.0, "quarter": 0.25, "median": 0.5, "three quarters": 0.75, "most": 1.0}


@dataclass(frozen=True)
class CorpusStats:
    """The counts of a manifest. ``hours`` are of the recordings whose duration is known.

    Attributes:
        recordings, speakers: how many.
        hours: None if no duration is known.
        without_duration: recordings whose duration is unknown.
        cells: ``gender``, ``group``, ``recordings``, ``speakers``, ``hours``; one row a cell.
        locales, corpora, splits: ``name``, ``recordings``, ``speakers``, ``female``, ``male`` (speakers so
            labelled), ``hours``; the largest first.
        clips: quantile -> recordings a speaker.
        clip_bins: ``low``, ``high``, ``speakers`` with low <= recordings < high; the last high is null.
        duration_bins: ``low``, ``high`` (seconds), ``recordings``, likewise; without a row if no duration
            is known.
    """

    recordings: int
    speakers: int
    hours: float | None
    without_duration: int
    cells: pl.DataFrame
    locales: pl.DataFrame
    corpora: pl.DataFrame
    splits: pl.DataFrame
    clips: dict[str, float]
    clip_bins: pl.DataFrame
    duration_bins: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return it all as JSON can carry it."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: value.to_dicts() if isinstance(value, pl.DataFrame) else value
            for name, value in values.items()
        }


def describe(manifest: pl.DataFrame) -> CorpusStats:
    """Count what a manifest holds; no recording is read."""
    clips = manifest["speaker"].value_counts()["count"]
    seconds = manifest["duration"].drop_nulls()
    return CorpusStats(
        recordings=manifest.height,
        speakers=clips.len(),
        hours=None if seconds.is_empty() else math.fsum(seconds) / 3600,
        without_duration=manifest.height - seconds.len(),
        cells=cell_counts(manifest),
        locales=_by(manifest, "locale"),
        corpora=_by(manifest, "corpus"),
        splits=_by(manifest, "split"),
        clips={name: float(clips.quantile(share, "linear") or 0) for name, share in _QUANTILES.items()},
        clip_bins=_bins(clips, _CLIP_BINS, "speakers"),
        duration_bins=_bins(seconds, _SECOND_BINS, "recordings"),
    )


def _by(manifest: pl.DataFrame, column: str) -> pl.DataFrame:
    def speakers(gender: str) -> pl.Expr:
        return pl.col("speaker").filter(pl.col("gender") == gender).n_unique().alias(gender)

    return (
        manifest.group_by(pl.col(column).alias("name"))
        .agg(
            pl.len().alias("recordings"),
            pl.col("speaker").n_unique().alias("speakers"),
            speakers("female"),
            speakers("male"),
            pl.when(pl.col("duration").is_not_null().any())
            .then(pl.col("duration").sum() / 3600)
            .alias("hours"),
        )
        .sort("recordings", "name", descending=[True, False], nulls_last=True)
    )


def _bins(values: pl.Series, lows: tuple[int, ...], count: str) -> pl.DataFrame:
    """Count values between the lows, from the first bin with any to the last."""
    highs = [*lows[1:], None]
    rows = [
        {"low": low, "high": high, count: int(((values >= low) & (values < (high or math.inf))).sum())}
        for low, high in zip(lows, highs, strict=True)
    ]
    filled = [place for place, row in enumerate(rows) if row[count]]
    kept = rows[filled[0] : filled[-1] + 1] if filled else []
    return pl.DataFrame(kept, schema={"low": pl.Int64, "high": pl.Int64, count: pl.Int64})
