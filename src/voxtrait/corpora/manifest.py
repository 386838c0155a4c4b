"""The Manifest: its columns, its checks, its Parquet file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.corpora.outputs import written_whole
from voxtrait.errors import CorpusError
from voxtrait.labels import GENDERS

__all__ = ["MANIFEST_SCHEMA", "check_manifest", "read_manifest", "write_manifest"]

MANIFEST_SCHEMA: Final = pl.Schema(
    {
        "path": pl.String(),
        "speaker": pl.String(),
        "gender": pl.String(),
        "age_low": pl.Float64(),
        "age_high": pl.Float64(),
        "locale": pl.String(),
        "corpus": pl.String(),
        "split": pl.String(),
        "duration": pl.Float64(),
        "weight": pl.Float64(),
    }
)

_RULES: Final = {
    "without a path": pl.col("path").fill_null("") == "",
    "without a speaker": pl.col("speaker").fill_null("") == "",
    f"with a gender other than {', '.join(GENDERS)}": ~pl.col("gender").is_in(GENDERS).fill_null(True),
    "with half an age interval": pl.col("age_low").is_null() != pl.col("age_high").is_null(),
    "with an age interval upside down": (pl.col("age_low") > pl.col("age_high")).fill_null(False),
    "with an age beyond 0 to 120 years": ~(
        pl.col("age_low").is_between(0, 120) & pl.col("age_high").is_between(0, 120)
    ).fill_null(True),
    "with a weight that is not a positive number": ~(
        (pl.col("weight") > 0) & pl.col("weight").is_finite()
    ).fill_null(True),
    "whose path stands in another row too": pl.col("path").is_duplicated(),
}


def check_manifest(manifest: pl.DataFrame, where: str) -> pl.DataFrame:
    """Return ``manifest`` with exactly the columns and types of the contract.

    Args:
        manifest: a table with at least ``path`` and ``speaker``; missing columns become null.
        where: named in the error.

    Raises:
        CorpusError: ``corpus_columns`` for a wrong column or value, ``corpus_empty`` for no row.
    """
    unknown = set(manifest.columns) - set(MANIFEST_SCHEMA)
    if unknown or not {"path", "speaker"} <= set(manifest.columns):
        raise CorpusError(
            "corpus_columns",
            f"{where} is not a manifest: it has the columns {', '.join(manifest.columns)}; "
            f"a manifest has {', '.join(MANIFEST_SCHEMA)}.",
        )
    if manifest.is_empty():
        raise CorpusError("corpus_empty", f"{where} holds no recording.")
    missing = [pl.lit(None).alias(name) for name in MANIFEST_SCHEMA if name not in manifest.columns]
    try:
        table = manifest.with_columns(missing).select(
            pl.col(name).cast(kind) for name, kind in MANIFEST_SCHEMA.items()
        )
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise CorpusError("corpus_columns", f"{where} has a value of the wrong type: {reason}") from error
    # Other tools write an unknown number as NaN.
    table = table.with_columns(pl.col(pl.Float64).fill_nan(None))
    for what, is_wrong in _RULES.items():
        wrong = table.filter(is_wrong)
        if not wrong.is_empty():
            raise CorpusError(
                "corpus_columns",
                f"{where} has {wrong.height} rows {what}; the first is {wrong['path'][0] or wrong.row(0)}.",
            )
    return table


def read_manifest(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read a manifest from Parquet; relative paths in it start at its folder.

    Raises:
        CorpusError: if the file is missing, is not Parquet or is not a manifest.
    """
    file = Path(path)
    if not file.is_file():
        raise CorpusError("corpus_not_found", f"There is no manifest {file}.")
    try:
        table = check_manifest(pl.read_parquet(file), str(file))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CorpusError("corpus_layout", f"{file} is not a Parquet file: {error}") from error
    root = str(file.resolve().parent)
    absolute = pl.col("path").str.starts_with("/") | pl.col("path").str.contains(r"^[A-Za-z]:[\\/]")
    return table.with_columns(
        pl.when(absolute).then("path").otherwise(pl.lit(root + os.sep) + pl.col("path")).alias("path")
    )


def write_manifest(manifest: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a manifest as Parquet; a file already there is replaced whole or not at all.

    Raises:
        CorpusError: if the table is not a manifest.
        UsageError: ``output`` if it cannot be written.
    """
    file = Path(path)
    table = check_manifest(manifest, str(file))
    with written_whole(file) as partial:
        table.write_parquet(partial)
