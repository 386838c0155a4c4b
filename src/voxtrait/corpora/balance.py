"""The same weight for each gender and age group: by leaving recordings out, or by counting some for more."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from voxtrait.corpora.cells import add_cells
from voxtrait.errors import CorpusError

__all__ = ["downsample", "oversample", "weigh"]

_CELL: Final = ("gender", "group")
#: The split that is balanced; the others are there to measure, on speakers as they come.
_TRAIN: Final = "train"


def downsample(
    manifest: pl.DataFrame, per_cell: int, seed: int, merge_from: int | None = None
) -> pl.DataFrame:
    """Keep at most ``per_cell`` recordings of each gender and age group, of as many speakers as possible.

    A cell gives one recording of each of its speakers in turn until it has enough. Recordings without
    gender or age are left out; a label that no recording carries divides nothing. Where the manifest has
    splits, only ``train`` is thinned out and the other rows stay.

    Args:
        manifest: the recordings; their order is kept.
        per_cell: at least 1.
        seed: the same seed and recordings give the same choice.
        merge_from: age groups from this age on are one cell.

    Raises:
        CorpusError: ``corpus_too_small`` if no recording is labelled, ``corpus_layout`` if there are
            splits but none is ``train``, or if no age group begins at ``merge_from``.
    """
    cells = _turns(_labelled(manifest, merge_from), seed)
    kept = cells.filter(pl.col("turn") < per_cell).select("path")
    others = manifest.filter(~_balanced(manifest)).select("path")
    return manifest.join(pl.concat([kept, others]), on="path", how="semi", maintain_order="left")


def oversample(manifest: pl.DataFrame, seed: int, merge_from: int | None = None) -> pl.DataFrame:
    """Set ``weight`` to how often a recording must be repeated for its cell to be as large as the largest.

    Repeats are whole numbers that differ by one within a cell; the one more goes to the recordings that
    `downsample` would keep first. Rows of no cell, of the gender ``other`` (too few to weigh as much as
    the rest) and of other splits keep their weight.

    Raises:
        CorpusError: as `downsample`; ``corpus_too_small`` also if there is one cell alone.
    """
    cells = _turns(_weighted(manifest, merge_from), seed)
    size = pl.len().over(_CELL)
    repeats = size.max() // size + (pl.col("turn") < size.max() % size).cast(pl.UInt32)
    return _with_weights(manifest, cells.select("path", repeats.cast(pl.Float64).alias("weight")))


def weigh(manifest: pl.DataFrame, merge_from: int | None = None) -> pl.DataFrame:
    """Set ``weight`` so that all cells count the same together, and a labelled recording counts 1 on average.

    The same rows keep their weight as with `oversample`.

    Raises:
        CorpusError: as `oversample`.
    """
    cells = _weighted(manifest, merge_from)
    weight = pl.len() / (cells.select(_CELL).n_unique() * pl.len().over(_CELL))
    return _with_weights(manifest, cells.select("path", weight.alias("weight")))


def _balanced(manifest: pl.DataFrame) -> pl.Expr:
    """Return which rows are balanced.

    Raises:
        CorpusError: ``corpus_layout`` if there are splits but none is ``train``.
    """
    splits = manifest["split"].drop_nulls().unique().sort().to_list()
    if splits and _TRAIN not in splits:
        raise CorpusError(
            "corpus_layout", f"Balancing is for the split {_TRAIN}, but there are only {', '.join(splits)}."
        )
    return (pl.col("split") == _TRAIN).fill_null(False) if splits else pl.lit(True)


def _labelled(manifest: pl.DataFrame, merge_from: int | None) -> pl.DataFrame:
    """Return ``path``, ``speaker``, ``gender`` and ``group`` of the rows that belong to a cell."""
    rows = add_cells(manifest, merge_from).filter(_balanced(manifest)).select("path", "speaker", *_CELL)
    carried = [name for name in _CELL if not rows[name].is_null().all()]
    if not carried:
        raise CorpusError("corpus_too_small", "No recording to balance carries a gender or an age.")
    rows = rows.drop_nulls(carried).with_columns(pl.col(_CELL).fill_null("all"))
    if rows.is_empty():
        raise CorpusError("corpus_too_small", "No recording to balance carries both a gender and an age.")
    return rows


def _weighted(manifest: pl.DataFrame, merge_from: int | None) -> pl.DataFrame:
    """Return the rows of the cells that are weighted.

    The gender ``other`` is not: its few recordings would have to weigh hundreds of times their number.
    """
    cells = _labelled(manifest.filter((pl.col("gender") != "other").fill_null(True)), merge_from)
    if cells.select(_CELL).n_unique() == 1:
        gender, group = cells.select(_CELL).row(0)
        raise CorpusError(
            "corpus_too_small",
            f"All labelled recordings lie in one cell (gender {gender}, age {group}): weights need two.",
        )
    return cells


def _turns(cells: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Add ``turn``: the place of a recording in its cell when its speakers take turns, in random order."""
    rng = np.random.default_rng(seed)
    mixed = cells.sort("path")[rng.permutation(cells.height)]
    round_of = pl.int_range(pl.len()).over("speaker", *_CELL)
    ranked = mixed.with_columns(round=round_of, luck=pl.Series(rng.random(cells.height)))
    return ranked.sort("round", "luck").with_columns(pl.int_range(pl.len()).over(_CELL).alias("turn"))


def _with_weights(manifest: pl.DataFrame, weights: pl.DataFrame) -> pl.DataFrame:
    joined = manifest.join(weights, on="path", how="left", maintain_order="left", suffix="_new")
    return joined.with_columns(pl.coalesce("weight_new", "weight").alias("weight")).drop("weight_new")
