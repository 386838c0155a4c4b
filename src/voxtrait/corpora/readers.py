"""Read corpora: the layouts of Mozilla Common Voice, and plain tables of recordings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from voxtrait.corpora.manifest import check_manifest
from voxtrait.errors import CorpusError
from voxtrait.labels import age_interval, parse_gender

__all__ = ["ImportCounts", "read_common_voice", "read_corpus", "read_table"]

_TABLE_NAMES = ("metadata.csv", "metadata.tsv", "metadata.parquet")


@dataclass
class ImportCounts:
    """What a reader found and could not use: labels by spelling, files that are not there."""

    rows: int = 0
    unknown_genders: dict[str, int] = field(default_factory=dict)
    unknown_ages: dict[str, int] = field(default_factory=dict)
    missing_files: list[str] = field(default_factory=list)


def read_corpus(folder: str | os.PathLike[str], counts: ImportCounts | None = None) -> pl.DataFrame:
    """Read whatever lies in ``folder``: Common Voice (one release, one locale or many), or a table.

    Raises:
        CorpusError: ``corpus_not_found``, ``corpus_layout`` where no known layout is recognised.
    """
    root = Path(folder)
    if root.is_file():
        return read_table(root, counts)
    if not root.is_dir():
        raise CorpusError("corpus_not_found", f"There is no corpus at {root}.")
    for name in _TABLE_NAMES:
        if (root / name).is_file():
            return read_table(root / name, counts)
    return read_common_voice(root, counts)


def read_common_voice(folder: str | os.PathLike[str], counts: ImportCounts | None = None) -> pl.DataFrame:
    """Read every ``validated.tsv`` below ``folder``, each with its ``clips`` beside it.

    The columns differ between releases; those used are ``client_id``, ``path``, ``gender``, ``age``
    and ``locale``. A client_id is the same in all releases, and so is the speaker's name here.

    Raises:
        CorpusError: ``corpus_not_found`` or ``corpus_layout``.
    """
    root = Path(folder)
    tables = sorted(root.resolve().rglob("validated.tsv"))
    if not tables:
        raise CorpusError(
            "corpus_layout",
            f"{root} holds neither a Common Voice validated.tsv nor a {', '.join(_TABLE_NAMES)}.",
        )
    counts = counts if counts is not None else ImportCounts()
    parts = [_read_validated(table, root, counts) for table in tables]
    return check_manifest(pl.concat(parts), str(root))


def _read_validated(table: Path, root: Path, counts: ImportCounts) -> pl.DataFrame:
    frame = _read_text_table(table, separator="\t")
    _need_columns(frame, ("client_id", "path"), table)
    clips = str(table.parent / "clips") + os.sep
    locale = pl.col("locale") if "locale" in frame.columns else pl.lit(table.parent.name)
    release = next((part for part in table.parts if part.startswith("cv-corpus")), root.name)
    return _finish(
        frame,
        paths=pl.lit(clips) + pl.col("path"),
        speakers=pl.col("client_id"),
        locale=locale,
        corpus=release,
        counts=counts,
    )


def read_table(
    file: str | os.PathLike[str],
    counts: ImportCounts | None = None,
    columns: dict[str, str] | None = None,
) -> pl.DataFrame:
    """Read a CSV, TSV or Parquet table of recordings.

    Args:
        file: the table; relative paths in it start at its folder.
        counts: filled with what could not be used.
        columns: our name -> the table's name, for ``path``, ``speaker``, ``gender``, ``age``,
            ``locale``. A recording without a speaker is its own speaker.

    Raises:
        CorpusError: ``corpus_not_found``, ``corpus_layout`` or ``corpus_columns``.
    """
    table = Path(file)
    if not table.is_file():
        raise CorpusError("corpus_not_found", f"There is no table {table}.")
    if table.suffix == ".parquet":
        frame = pl.read_parquet(table).cast(pl.String)
    else:
        frame = _read_text_table(table, separator="\t" if table.suffix == ".tsv" else ",")
    renames = {theirs: ours for ours, theirs in (columns or {}).items()}
    _need_columns(frame, tuple(renames), table)
    frame = frame.rename(renames)
    _need_columns(frame, ("path",), table)
    corpus = table.parent.name if table.stem == "metadata" else table.stem
    folder = str(table.resolve().parent) + os.sep
    own = pl.lit(f"{corpus}/") + pl.col("path")
    if "speaker" in frame.columns:
        named = pl.lit(f"{corpus}/") + pl.col("speaker")
        speakers = pl.when(pl.col("speaker").fill_null("") == "").then(own).otherwise(named)
    else:
        speakers = own
    return check_manifest(
        _finish(
            frame,
            paths=pl.when(pl.col("path").str.starts_with("/"))
            .then("path")
            .otherwise(pl.lit(folder) + pl.col("path")),
            speakers=speakers,
            locale=pl.col("locale") if "locale" in frame.columns else pl.lit(None),
            corpus=corpus,
            counts=counts if counts is not None else ImportCounts(),
        ),
        str(table),
    )


def _read_text_table(table: Path, separator: str) -> pl.DataFrame:
    try:
        # Common Voice sentences hold lone quotation marks: its TSV knows no quoting.
        return pl.read_csv(
            table,
            separator=separator,
            quote_char=None if separator == "\t" else '"',
            infer_schema=False,
            encoding="utf8-lossy",
        )
    except pl.exceptions.NoDataError as error:
        raise CorpusError("corpus_empty", f"{table} is empty.") from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise CorpusError("corpus_layout", f"{table} cannot be read as a table: {reason}") from error


def _need_columns(frame: pl.DataFrame, names: Iterable[str], table: Path) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise CorpusError(
            "corpus_columns",
            f"{table} has no column {', '.join(missing)}; it has {', '.join(frame.columns)}.",
        )


def _finish(
    frame: pl.DataFrame,
    *,
    paths: pl.Expr,
    speakers: pl.Expr,
    locale: pl.Expr,
    corpus: str,
    counts: ImportCounts,
) -> pl.DataFrame:
    """Turn spellings into labels and count what none of them explains."""
    counts.rows += frame.height
    null = pl.lit(None, dtype=pl.String)
    frame = frame.select(
        paths.alias("path"),
        speakers.alias("speaker"),
        (pl.col("gender") if "gender" in frame.columns else null).fill_null("").alias("gender"),
        (pl.col("age") if "age" in frame.columns else null).fill_null("").alias("age"),
        locale.alias("locale"),
        pl.lit(corpus).alias("corpus"),
    )
    genders = {word: parse_gender(word) for word in frame["gender"].unique()}
    ages = {word: age_interval(word) for word in frame["age"].unique()}
    _count_unknown(frame["gender"], genders, counts.unknown_genders)
    _count_unknown(frame["age"], ages, counts.unknown_ages)
    lows = {word: None if span is None else span[0] for word, span in ages.items()}
    highs = {word: None if span is None else span[1] for word, span in ages.items()}
    return frame.select(
        "path",
        "speaker",
        pl.col("gender").replace_strict(genders, return_dtype=pl.String),
        pl.col("age").replace_strict(lows, return_dtype=pl.Float64).alias("age_low"),
        pl.col("age").replace_strict(highs, return_dtype=pl.Float64).alias("age_high"),
        "locale",
        "corpus",
    )


def _count_unknown(words: pl.Series, meaning: dict[str, object], into: dict[str, int]) -> None:
    for word, count in words.value_counts().iter_rows():
        if word and meaning[word] is None:
            into[word] = into.get(word, 0) + count
