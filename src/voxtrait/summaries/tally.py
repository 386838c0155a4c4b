"""Seconds of speech by answer, a row a file, read from a data set part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from voxtrait.batch import Dataset
from voxtrait.labels import AGE_GROUPS

if TYPE_CHECKING:
    import pyarrow

__all__ = ["AGE_COLUMNS", "GENDER_COLUMNS", "UNITS", "tally_files", "unit_of"]

#: Seconds by gender: by label; by the likelier label; by probability of female; with an answer.
GENDER_COLUMNS: Final = ("female", "male", "unsure", "called_female", "expected_female", "gendered")


#: Seconds by age group, by probability: of women, and of the others.
AGE_COLUMNS: Final = tuple(f"{side}_{name}" for side in ("women", "others") for name in AGE_GROUPS)

#: What seconds are counted by, and what the reader is told of it.
UNITS: Final = {
    "segments": "Speaking time is summed by segment: each counts, with the short pauses in it, to the answer "
    "for that stretch of speech.",
    "speakers": "Speaking time is summed by voice: each voice of a file counts to the answer for it.",
    "files": "Each file's speech counts as a whole to the one answer for that file, even if several people "
    "speak in it: shares by speaking time need 'voxtrait annotate --segments'.",
}

_HEAD: Final = ("file", "status", "duration", "speech", "modified")
_ESTIMATE: Final = ("gender", "female", "age_group", "age_groups")


def unit_of(dataset: Dataset) -> str:
    """Return what the seconds of a data set are counted by, a name of `UNITS`."""
    if dataset.settings.segments:
        return "segments"
    return "speakers" if dataset.settings.speakers else "files"


def tally_files(dataset: Dataset) -> pl.DataFrame:
    """Return one row a file, sorted by name.

    Only one part's segments are in memory at a time.

    Returns:
        ``file``, ``status``, ``duration`` and ``speech`` (seconds, null if unknown), ``modified``, then
        seconds: ``heard`` (with any answer), `GENDER_COLUMNS`, ``aged`` (with an age), `AGE_COLUMNS`.

    Raises:
        UsageError: ``dataset`` if a part is damaged.
    """
    unit = unit_of(dataset)
    columns = (*_HEAD, *(_ESTIMATE if unit == "files" else (unit,)))
    parts = [_tally_part(table, unit) for table in dataset.tables(columns)]
    return (pl.concat(parts) if parts else _empty()).sort("file")


def _tally_part(table: pyarrow.Table, unit: str) -> pl.DataFrame:
    read: Any = pl.from_arrow(table)
    frame = pl.DataFrame(read).with_row_index("row")
    sums = _units(frame, unit).group_by("row").agg(_sums())
    return (
        frame.select("row", *_HEAD)
        .join(sums, on="row", how="left", maintain_order="left")
        .drop("row")
        .with_columns(pl.col(_summed_names()).fill_null(0.0))
    )


def _units(frame: pl.DataFrame, unit: str) -> pl.DataFrame:
    """Return a row for each stretch of speech with one answer: ``row``, ``seconds`` and the answer."""
    if unit == "files":
        return frame.select("row", pl.col("speech").alias("seconds"), *_ESTIMATE)
    seconds = pl.col("end") - pl.col("start") if unit == "segments" else pl.col("speech")
    inner = frame.select("row", unit).drop_nulls().explode(unit).drop_nulls().unnest(unit)
    return inner.select("row", seconds.alias("seconds"), *_ESTIMATE)


def _sums() -> list[pl.Expr]:
    seconds, gender, female = pl.col("seconds"), pl.col("gender"), pl.col("female")
    groups = pl.col("age_groups")
    # What a model without the task answers tells nothing.
    gendered, aged = ~((gender == "unsure") & (female == 0.5)), pl.col("age_group") != "unsure"
    sums = {
        "heard": seconds.filter(gendered.fill_null(False) | aged.fill_null(False)).sum(),
        **{name: seconds.filter(gendered & (gender == name)).sum() for name in ("female", "male", "unsure")},
        "called_female": seconds.filter(gendered & (female >= 0.5)).sum(),
        "expected_female": (seconds * female).filter(gendered).sum(),
        "gendered": seconds.filter(gendered).sum(),
        "aged": seconds.filter(aged).sum(),
    }
    women = seconds * female.fill_null(0.0)
    for side, share in (("women", women), ("others", seconds - women)):
        for name in AGE_GROUPS:
            sums[f"{side}_{name}"] = (share * groups.struct.field(name)).filter(aged).sum()
    return [sums[name].alias(name) for name in _summed_names()]


def _summed_names() -> Sequence[str]:
    return ("heard", *GENDER_COLUMNS, "aged", *AGE_COLUMNS)


def _empty() -> pl.DataFrame:
    head: dict[str, pl.DataType] = {
        "file": pl.String(),
        "status": pl.String(),
        "duration": pl.Float64(),
        "speech": pl.Float64(),
        "modified": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame(schema={**head, **dict.fromkeys(_summed_names(), pl.Float64())})
