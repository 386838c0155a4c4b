"""The cells of a corpus: gender by age group."""

from __future__ import annotations

from typing import Final

import polars as pl

from voxtrait.errors import CorpusError
from voxtrait.labels import AGE_GROUPS

__all__ = ["add_cells", "age_group", "cell_counts", "group_names"]

_STARTS: Final = {first: name for name, (first, _) in AGE_GROUPS.items() if first}


def age_group() -> pl.Expr:
    """Return the age group of the middle of a row's interval, as `voxtrait.labels.group_of` tells it."""
    middle = (pl.col("age_low") + pl.col("age_high")) / 2
    group: pl.Expr = pl.when(middle.is_not_null()).then(pl.lit(next(iter(AGE_GROUPS))))
    for first, name in _STARTS.items():
        group = pl.when(middle >= first).then(pl.lit(name)).otherwise(group)
    return group


def group_names(merge_from: int | None = None) -> list[str]:
    """Return the age groups in order; those from ``merge_from`` years on are one, such as ``50-plus``.

    Raises:
        CorpusError: ``corpus_layout`` if no group begins at that age.
    """
    if merge_from is None:
        return list(AGE_GROUPS)
    if merge_from not in _STARTS:
        known = ", ".join(map(str, _STARTS))
        raise CorpusError(
            "corpus_layout", f"No age group begins at {merge_from} years; they begin at {known}."
        )
    return [name for name, (first, _) in AGE_GROUPS.items() if first < merge_from] + [f"{merge_from}-plus"]


def add_cells(manifest: pl.DataFrame, merge_from: int | None = None) -> pl.DataFrame:
    """Add ``group``, null where the age is unknown; groups from ``merge_from`` years on are one.

    Raises:
        CorpusError: ``corpus_layout`` if no group begins at that age.
    """
    groups = group_names(merge_from)
    merged = {name: name if name in groups else groups[-1] for name in AGE_GROUPS}
    return manifest.with_columns(age_group().replace_strict(merged, return_dtype=pl.String).alias("group"))


def cell_counts(manifest: pl.DataFrame, merge_from: int | None = None) -> pl.DataFrame:
    """Return one row a cell: ``gender``, ``group``, ``recordings``, ``speakers``, ``hours``.

    Unlabelled is null, and so are hours where no duration in the cell is known. Sorted by gender, then age.
    """
    order = {name: place for place, name in enumerate(group_names(merge_from))}
    return (
        add_cells(manifest, merge_from)
        .group_by("gender", "group")
        .agg(
            pl.len().alias("recordings"),
            pl.col("speaker").n_unique().alias("speakers"),
            pl.when(pl.col("duration").is_not_null().any())
            .then(pl.col("duration").sum() / 3600)
            .alias("hours"),
        )
        .sort("gender", pl.col("group").replace_strict(order, return_dtype=pl.Int64), nulls_last=True)
    )
