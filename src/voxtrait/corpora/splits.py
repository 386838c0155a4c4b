"""Splits by speaker: stratified, seeded, and refused when a speaker stands on two sides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from voxtrait.errors import CorpusError
from voxtrait.labels import group_of

__all__ = ["assign_folds", "assign_splits", "check_disjoint", "speaker_table"]


def speaker_table(manifest: pl.DataFrame) -> pl.DataFrame:
    """Return one row a speaker: ``speaker``, ``gender``, ``group``, ``corpus``, ``clips``.

    A speaker whose recordings disagree gets the label most of them carry; ``group`` is the age
    group of the middle of the interval. Unlabelled is null.
    """
    middle = (pl.col("age_low") + pl.col("age_high")) / 2
    return (
        manifest.group_by("speaker")
        .agg(
            pl.col("gender").drop_nulls().mode().sort().first(),
            middle.median().alias("middle"),
            pl.col("corpus").sort().first(),
            pl.len().alias("clips"),
        )
        .with_columns(
            pl.col("middle").map_elements(group_of, return_dtype=pl.String).alias("group"),
        )
        .drop("middle")
        .sort("speaker")
    )


def assign_splits(manifest: pl.DataFrame, shares: Mapping[str, float], seed: int) -> pl.DataFrame:
    """Assign each speaker to one split, stratified by gender, age group and corpus.

    Args:
        manifest: the recordings; an existing ``split`` column is replaced.
        shares: split name -> share of the speakers; they sum to 1.
        seed: the same seed and speakers give the same split.

    Raises:
        CorpusError: ``corpus_layout`` if the shares do not sum to 1.
    """
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) < 0:
        raise CorpusError("corpus_layout", f"Split shares must be positive and sum to 1, not {dict(shares)}.")
    names = list(shares)
    edges = np.cumsum([shares[name] for name in names])
    position = _stratified_positions(manifest, seed)
    place = np.minimum(np.searchsorted(edges, position["position"].to_numpy(), side="right"), len(names) - 1)
    chosen = position.select("speaker").with_columns(split=pl.Series([names[i] for i in place]))
    return manifest.drop("split", strict=False).join(chosen, on="speaker", how="left", maintain_order="left")


def assign_folds(manifest: pl.DataFrame, folds: int, seed: int) -> pl.DataFrame:
    """Add a column ``fold`` (0 .. folds - 1), each speaker in one fold, stratified likewise."""
    position = _stratified_positions(manifest, seed)
    chosen = position.select(
        "speaker", (pl.col("position") * folds).floor().cast(pl.Int64).clip(0, folds - 1).alias("fold")
    )
    return manifest.join(chosen, on="speaker", how="left", maintain_order="left")


def _stratified_positions(manifest: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return each speaker's place in [0, 1), spread evenly within every stratum."""
    rng = np.random.default_rng(seed)
    parts = []
    strata = speaker_table(manifest).partition_by("corpus", "gender", "group", maintain_order=True)
    for stratum in sorted(strata, key=lambda part: str(part["speaker"].min())):
        count = stratum.height
        # A random offset for each stratum, so that small strata do not all favour the first split.
        places = (rng.permutation(count) + rng.random()) / count
        parts.append(stratum.select("speaker").with_columns(position=pl.Series(places)))
    return pl.concat(parts)


def check_disjoint(manifest: pl.DataFrame, by: str = "split") -> None:
    """Refuse a manifest in which one speaker stands in two splits; a row without a split is in none.

    Raises:
        CorpusError: ``shared_speakers``, with how many and one of them.
    """
    splits = manifest.group_by("speaker").agg(pl.col(by).drop_nulls().n_unique().alias("n"))
    shared = splits.filter(pl.col("n") > 1)
    if not shared.is_empty():
        raise CorpusError(
            "shared_speakers",
            f"{shared.height} speakers stand in more than one {by}, for example "
            f"{shared['speaker'].sort()[0]}: "
            "figures from such a split would measure memory; split by speaker.",
        )
