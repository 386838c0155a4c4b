"""Splits by speaker: stratified, seeded, and refused when a speaker stands on two sides."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from voxtrait.errors import CorpusError
from voxtrait.labels import group_of

__all__ = [
    "assign_folds",
    "assign_random_splits",
    "assign_splits",
    "check_disjoint",
    "check_official",
    "speaker_table",
    "split_warnings",
]


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
        shares: split name -> share of the speakers; they sum to 1. A split with a share gets at least
            one speaker.
        seed: the same seed and speakers give the same split.

    Raises:
        CorpusError: ``corpus_layout`` if the shares do not sum to 1, ``corpus_too_small`` if there are
            fewer speakers than splits.
    """
    _check_shares(shares)
    wanted = [name for name, share in shares.items() if share > 0]
    if manifest["speaker"].n_unique() < len(wanted):
        raise CorpusError(
            "corpus_too_small",
            f"{len(wanted)} splits ({', '.join(wanted)}) need at least {len(wanted)} speakers, for no "
            f"speaker may stand in two; the speakers here: {manifest['speaker'].n_unique()}.",
        )
    placed = _place(_stratified_positions(manifest, seed), shares)
    chosen = _fill_empty_splits(placed, shares).select("speaker", "split")
    return manifest.drop("split", strict=False).join(chosen, on="speaker", how="left", maintain_order="left")


def assign_random_splits(manifest: pl.DataFrame, shares: Mapping[str, float], seed: int) -> pl.DataFrame:
    """Assign each recording to a split whoever speaks: wrong, and here to show how wrong.

    Recordings of one speaker fall on both sides, so a model is rewarded for knowing voices again:
    figures measured on such a split say nothing of new speakers. `check_disjoint` refuses the result.

    Args:
        manifest, shares, seed: as for `assign_splits`; shares are of the recordings.

    Raises:
        CorpusError: ``corpus_layout`` if the shares do not sum to 1.
    """
    _check_shares(shares)
    order = np.random.default_rng(seed).permutation(manifest.height)
    paths = manifest.select(pl.col("path").sort()).with_columns(position=order / manifest.height)
    chosen = _place(paths, shares).select("path", "split")
    return manifest.drop("split", strict=False).join(chosen, on="path", how="left", maintain_order="left")


def _check_shares(shares: Mapping[str, float]) -> None:
    if abs(sum(shares.values()) - 1) > 1e-9 or min(shares.values()) < 0:
        raise CorpusError("corpus_layout", f"Split shares must be positive and sum to 1, not {dict(shares)}.")


def _place(positions: pl.DataFrame, shares: Mapping[str, float]) -> pl.DataFrame:
    """Add ``split``: where each ``position`` in [0, 1) falls when the shares are laid end to end."""
    names = list(shares)
    edges = np.cumsum([shares[name] for name in names])
    place = np.minimum(np.searchsorted(edges, positions["position"].to_numpy(), side="right"), len(names) - 1)
    return positions.with_columns(split=pl.Series([names[i] for i in place], dtype=pl.String))


def _fill_empty_splits(placed: pl.DataFrame, shares: Mapping[str, float]) -> pl.DataFrame:
    """Give each split without a speaker one of another split's, from the stratum with most to spare.

    In small corpora chance alone may leave a split empty, above all where strata hold one speaker each.
    """
    for empty in [name for name, share in shares.items() if share > 0 and name not in placed["split"]]:
        spare = (
            placed.with_columns(
                pl.len().over("split").alias("members"),
                pl.len().over("stratum", "split").alias("here"),
                pl.len().over("stratum").alias("size"),
                pl.col("split").replace_strict(shares, return_dtype=pl.Float64).alias("share"),
            )
            .filter(pl.col("members") > 1)
            .sort(pl.col("here") - pl.col("share") * pl.col("size"), "speaker", descending=[True, False])
        )
        taken = pl.col("speaker") == spare["speaker"][0]
        placed = placed.with_columns(pl.when(taken).then(pl.lit(empty)).otherwise("split").alias("split"))
    return placed


def assign_folds(manifest: pl.DataFrame, folds: int, seed: int) -> pl.DataFrame:
    """Divide labelled speakers into the splits fold-1 .. fold-``folds``, stratified like `assign_splits`.

    A speaker with neither gender (female or male) nor age can measure nothing and stands in ``train``.
    """
    is_labelled = pl.col("gender").is_in(["female", "male"]) | pl.col("age_low").is_not_null()
    fold = (pl.col("position") * folds).floor().cast(pl.Int64).clip(0, folds - 1) + 1
    chosen = (
        _stratified_positions(manifest, seed)
        .join(manifest.group_by("speaker").agg(is_labelled.any().alias("labelled")), on="speaker")
        .with_columns(
            pl.when("labelled").then(pl.format("fold-{}", fold)).otherwise(pl.lit("train")).alias("split")
        )
        .select("speaker", "split")
    )
    return manifest.drop("split", strict=False).join(chosen, on="speaker", how="left", maintain_order="left")


def _stratified_positions(manifest: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return each ``speaker``, its ``stratum``, and its ``position`` in [0, 1), even within every stratum."""
    rng = np.random.default_rng(seed)
    parts = []
    strata = speaker_table(manifest).partition_by("corpus", "gender", "group", maintain_order=True)
    for number, stratum in enumerate(sorted(strata, key=lambda part: str(part["speaker"].min()))):
        count = stratum.height
        # A random offset for each stratum, so that small strata do not all favour the first split.
        places = (rng.permutation(count) + rng.random()) / count
        parts.append(
            stratum.select("speaker").with_columns(stratum=pl.lit(number), position=pl.Series(places))
        )
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


def check_official(manifest: pl.DataFrame) -> None:
    """Refuse a manifest that carries no splits of its own, or splits that share a speaker.

    Raises:
        CorpusError: ``corpus_layout`` or ``shared_speakers``.
    """
    if manifest["split"].is_null().all():
        raise CorpusError(
            "corpus_layout",
            "The manifest carries no splits of its own: import the corpus with its train, dev and test "
            "tables, or divide its speakers by shares.",
        )
    check_disjoint(manifest)


def split_warnings(manifest: pl.DataFrame) -> list[str]:
    """Say what a split manifest cannot teach or measure: a gender or all ages missing, in all or a split."""
    warnings = []
    parts = {"The corpus": manifest}
    for (name,), rows in manifest.drop_nulls("split").sort("split").group_by("split", maintain_order=True):
        parts[f"The split {name}"] = rows
    for where, rows in parts.items():
        lacking = [gender for gender in ("female", "male") if gender not in rows["gender"]]
        if lacking:
            warnings.append(f"{where} holds no recording labelled {' or '.join(lacking)}.")
        if rows["age_low"].is_null().all():
            warnings.append(f"{where} holds no recording with an age.")
    return warnings
