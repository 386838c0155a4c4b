"""Tables of recordings: CSV, TSV and Parquet, their spellings of gender and age turned into labels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl
from polars import selectors

from voxtrait.corpora.manifest import MANIFEST_SCHEMA, check_manifest, read_manifest
from voxtrait.corpora.trees import FolderTree, Tree, missing_files
from voxtrait.errors import CorpusError
from voxtrait.labels import age_interval, parse_gender

__all__ = [
    "COLUMNS",
    "SPLITS",
    "TABLE_TYPES",
    "ImportCounts",
    "label_rows",
    "read_columns",
    "read_table",
    "table_in",
]

#: What a table may say of a recording, by our names.
COLUMNS: Final = ("path", "speaker", "gender", "age", "locale", "split")
TABLE_TYPES: Final = (".csv", ".tsv", ".parquet")
#: How the corpora spell the splits.
SPLITS: Final = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


@dataclass
class ImportCounts:
    """What a reader found and could not use.

    Attributes:
        rows: recordings in the tables.
        unknown_genders, unknown_ages: spelling -> rows with it; their labels are null.
        missing_files: recordings that are not there; their rows stay in the manifest.
        warnings: what else is to be known of a corpus, a sentence each.
    """

    rows: int = 0
    unknown_genders: dict[str, int] = field(default_factory=dict)
    unknown_ages: dict[str, int] = field(default_factory=dict)
    missing_files: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_table(
    file: str | os.PathLike[str],
    counts: ImportCounts | None = None,
    columns: Mapping[str, str] | None = None,
    *,
    official_splits: bool = False,
) -> pl.DataFrame:
    """Read a CSV, TSV or Parquet table of recordings; a manifest is returned as it is.

    Args:
        file: the table; relative paths in it start at its folder.
        counts: filled with what could not be used.
        columns: our name -> the table's name, for ``path``, ``speaker``, ``gender``, ``age``,
            ``locale``, ``split``. A recording without a speaker is its own speaker.
        official_splits: read the column ``split`` (train, validation or dev, test) too.

    Raises:
        CorpusError: ``corpus_not_found``, ``corpus_layout``, ``corpus_columns`` or ``corpus_empty``.
    """
    table = Path(file).resolve()
    if not table.is_file():
        raise CorpusError("corpus_not_found", f"There is no table {table}.")
    counts = counts if counts is not None else ImportCounts()
    return table_in(FolderTree(table.parent, table.name), table.name, counts, columns or {}, official_splits)


def table_in(
    tree: Tree, name: str, counts: ImportCounts, columns: Mapping[str, str], official_splits: bool
) -> pl.DataFrame:
    """Read one table at the root of ``tree``, as `read_table` does."""
    where = tree.prefix + name
    source, stem, kind = tree.read(name), Path(name).stem, Path(name).suffix
    if isinstance(source, Path) and not columns and _is_manifest(source, where):
        manifest = read_manifest(source)
        counts.rows += manifest.height
        counts.missing_files += missing_files(manifest["path"], tree)
        return manifest
    needed = ("path", "split") if official_splits else ("path",)
    frame = read_columns(source, where, kind, needed, COLUMNS, columns)
    corpus = tree.parts[-1] if stem == "metadata" else stem
    frame = frame.with_columns(pl.col("path").str.replace(r"^(?:\./)+", ""))
    own = pl.lit(f"{corpus}/") + pl.col("path")
    if "speaker" in frame.columns:
        named = pl.lit(f"{corpus}/") + pl.col("speaker")
        own = pl.when(pl.col("speaker").fill_null("") == "").then(own).otherwise(named)
    labelled = label_rows(
        frame.with_columns(
            path=pl.when(pl.col("path").str.starts_with("/"))
            .then("path")
            .otherwise(pl.lit(tree.prefix) + pl.col("path")),
            speaker=own,
            corpus=pl.lit(corpus),
            split=_split(frame, where) if official_splits else pl.lit(None, pl.String),
        ),
        tree,
        counts,
    )
    return check_manifest(labelled, where)


def read_columns(
    source: Path | bytes,
    where: str,
    kind: str,
    needed: Iterable[str],
    known: Iterable[str],
    renamed: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Return the columns ``needed``, and those of ``known`` that are there, as text; an empty line is no row.

    Args:
        source: a file, or what stands in one.
        where: the table as errors name it.
        kind: ``.csv``, ``.tsv`` or ``.parquet``.
        renamed: our name -> the table's name.

    Raises:
        CorpusError: ``corpus_layout``, ``corpus_columns`` or ``corpus_empty``.
    """
    renamed = renamed or {}
    there = _names(source, where, kind)
    wanted = {name: renamed.get(name, name) for name in (*needed, *renamed)}
    _need(there, wanted.values(), where)
    wanted |= {name: name for name in known if name not in wanted and name in there}
    with _reading(where):
        lazy = _open(source, kind)
        if kind != ".parquet":
            lazy = lazy.filter(~pl.all_horizontal(pl.all().is_null()))
        lazy = lazy.select(pl.col(theirs).alias(ours) for ours, theirs in wanted.items())
        # Other tools write an unknown age as NaN.
        lazy = lazy.with_columns(selectors.float().fill_nan(None)).cast(pl.String)
        return lazy.collect(engine="streaming")


def _open(source: Path | bytes, kind: str) -> pl.LazyFrame:
    if kind == ".parquet":
        return pl.scan_parquet(source)
    # Common Voice sentences hold lone quotation marks: its TSV knows no quoting.
    separator, quote = ("\t", None) if kind == ".tsv" else (",", '"')
    return pl.scan_csv(
        source, separator=separator, quote_char=quote, infer_schema=False, encoding="utf8-lossy"
    )


def _names(source: Path | bytes, where: str, kind: str) -> list[str]:
    with _reading(where):
        return _open(source, kind).collect_schema().names()


def _is_manifest(file: Path, where: str) -> bool:
    if file.suffix != ".parquet":
        return False
    return {"speaker", "age_low", "age_high"} <= set(_names(file, where, file.suffix)) <= set(MANIFEST_SCHEMA)


@contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except pl.exceptions.NoDataError as error:
        raise CorpusError("corpus_empty", f"{where} is empty.") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CorpusError("corpus_layout", f"{where} cannot be read as a table: {reason}") from error


def _need(there: Iterable[str], names: Iterable[str], where: str) -> None:
    missing = [name for name in names if name not in there]
    if missing:
        raise CorpusError(
            "corpus_columns", f"{where} has no column {', '.join(missing)}; it has {', '.join(there)}."
        )


def _split(frame: pl.DataFrame, where: str) -> pl.Series:
    words = frame["split"].str.strip_chars().str.to_lowercase()
    unknown = words.filter(~words.is_in(list(SPLITS)) & (words != "")).drop_nulls()
    if not unknown.is_empty():
        raise CorpusError(
            "corpus_columns",
            f"{where} has the split {unknown[0]!r} in {unknown.len()} rows; known are {', '.join(SPLITS)}.",
        )
    return words.replace_strict(SPLITS, default=None, return_dtype=pl.String)


def label_rows(frame: pl.DataFrame, tree: Tree, counts: ImportCounts) -> pl.DataFrame:
    """Return rows of the Manifest; spellings that no label explains are counted and left empty.

    Args:
        frame: ``path``, ``speaker``, ``corpus``, ``split``, and where known ``gender``, ``age`` and
            ``locale`` as the corpus spells them.
        tree: where the files are looked for.
    """
    counts.rows += frame.height
    null = pl.lit(None, dtype=pl.String)
    frame = frame.with_columns(
        (pl.col(name) if name in frame.columns else null).alias(name) for name in ("gender", "age", "locale")
    ).with_columns(pl.col("gender", "age").fill_null(""))
    genders = {word: parse_gender(word) for word in frame["gender"].unique()}
    ages = {word: age_interval(word) for word in frame["age"].unique()}
    _count_unknown(frame["gender"], genders, counts.unknown_genders)
    _count_unknown(frame["age"], ages, counts.unknown_ages)
    counts.missing_files += missing_files(frame["path"], tree)
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
        "split",
    )


def _count_unknown(words: pl.Series, meaning: Mapping[str, object], into: dict[str, int]) -> None:
    for word, count in words.value_counts().iter_rows():
        if word.strip() and meaning[word] is None:
            into[word] = into.get(word, 0) + count
