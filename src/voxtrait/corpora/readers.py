"""Read corpora: the layouts of Mozilla Common Voice, and plain tables of recordings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from polars import selectors

from voxtrait.corpora.manifest import check_manifest
from voxtrait.errors import CorpusError
from voxtrait.labels import age_interval, parse_gender

__all__ = ["ImportCounts", "read_common_voice", "read_corpus", "read_table"]

_TABLE_NAMES = ("metadata.csv", "metadata.tsv", "metadata.parquet")


@dataclass
class ImportCounts:
    """What a reader found and could not use.

    Attributes:
        rows: recordings in the tables.
        unknown_genders, unknown_ages: spelling -> rows with it; their labels are null.
        missing_files: recordings that are not on disk; their rows stay in the manifest.
    """

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
    and ``locale``. A client_id is the same in all releases, and so is the speaker's name here; a
    recording without one is its own speaker.

    Raises:
        CorpusError: ``corpus_layout``, ``corpus_columns`` or ``corpus_empty``.
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
    folders = reversed(table.parts)
    release = next((part for part in folders if part.startswith("cv-corpus")), root.resolve().name)
    own = pl.lit(f"{release}/") + pl.col("path")
    return _finish(
        frame,
        paths=pl.lit(clips) + pl.col("path"),
        speakers=pl.when(pl.col("client_id").fill_null("") == "").then(own).otherwise("client_id"),
        locale=locale,
        corpus=release,
        counts=counts,
    )


def read_table(
    file: str | os.PathLike[str],
    counts: ImportCounts | None = None,
    columns: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Read a CSV, TSV or Parquet table of recordings.

    Args:
        file: the table; relative paths in it start at its folder.
        counts: filled with what could not be used.
        columns: our name -> the table's name, for ``path``, ``speaker``, ``gender``, ``age``,
            ``locale``. A recording without a speaker is its own speaker.

    Raises:
        CorpusError: ``corpus_not_found``, ``corpus_layout``, ``corpus_columns`` or ``corpus_empty``.
    """
    table = Path(file).resolve()
    if not table.is_file():
        raise CorpusError("corpus_not_found", f"There is no table {table}.")
    if table.suffix == ".parquet":
        frame = _read_parquet(table)
    else:
        frame = _read_text_table(table, separator="\t" if table.suffix == ".tsv" else ",")
    columns = columns or {}
    _need_columns(frame, columns.values(), table)
    frame = frame.with_columns(pl.col(theirs).alias(ours) for ours, theirs in columns.items())
    _need_columns(frame, ("path",), table)
    corpus = table.parent.name if table.stem == "metadata" else table.stem
    folder = str(table.parent) + os.sep
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


def _read_parquet(table: Path) -> pl.DataFrame:
    try:
        # Other tools write an unknown age as NaN.
        return pl.read_parquet(table).with_columns(selectors.float().fill_nan(None)).cast(pl.String)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise CorpusError("corpus_layout", f"{table} cannot be read as a table: {reason}") from error


def _read_text_table(table: Path, separator: str) -> pl.DataFrame:
    try:
        # Common Voice sentences hold lone quotation marks: its TSV knows no quoting.
        frame = pl.read_csv(
            table,
            separator=separator,
            quote_char=None if separator == "\t" else '"',
            infer_schema=False,
            encoding="utf8-lossy",
        )
        # An empty line is no recording.
        return frame.filter(~pl.all_horizontal(pl.all().is_null()))
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
    counts.missing_files += _missing(frame["path"].drop_nulls().to_list())
    lows = {word: None if span is None else span[0] for word, span in ages.items()}
    highs = {word: None if span is None else span[1] for word, span in ages.items()}
    return frame.select(
        "path",
        "speaker",
        pl.col("gender").replace_strict(genders, default=None, return_dtype=pl.String),
        pl.col("age").replace_strict(lows, default=None, return_dtype=pl.Float64).alias("age_low"),
        pl.col("age").replace_strict(highs, default=None, return_dtype=pl.Float64).alias("age_high"),
        "locale",
        "corpus",
    )


def _names_in(folder: Path) -> set[str]:
    try:
        return {item.name for item in folder.iterdir()}
    except OSError:
        return set()


def _missing(paths: Iterable[str]) -> list[str]:
    """Return the paths where no file is; one listing a folder is faster than a look at each file."""
    listings: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listings:
            listings[folder] = _names_in(Path(folder))
        if name not in listings[folder] and not Path(path).exists():
            missing.append(path)
    return missing


def _count_unknown(words: pl.Series, meaning: Mapping[str, object], into: dict[str, int]) -> None:
    for word, count in words.value_counts().iter_rows():
        if word and meaning[word] is None:
            into[word] = into.get(word, 0) + count
