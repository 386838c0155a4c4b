"""Read whatever corpus lies somewhere: its layout is recognised by the tables and folders in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from voxtrait.audio.archives import archive_stem
from voxtrait.corpora.class_folders import class_folders_in
from voxtrait.corpora.common_voice import common_voice_in, is_common_voice_table, old_common_voice_in
from voxtrait.corpora.manifest import check_manifest
from voxtrait.corpora.splits import check_disjoint
from voxtrait.corpora.tables import TABLE_TYPES, ImportCounts, read_table, table_in
from voxtrait.corpora.trees import ArchiveTree, FolderTree, Tree
from voxtrait.errors import CorpusError

__all__ = ["import_corpora", "read_corpus"]


def import_corpora(
    sources: Iterable[str | os.PathLike[str]],
    counts: ImportCounts | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    official_splits: bool = False,
) -> pl.DataFrame:
    """Read several corpora into one Manifest; see `read_corpus`.

    Raises:
        CorpusError: as `read_corpus`; ``corpus_columns`` if a recording stands in two of them,
            ``shared_speakers`` if a speaker stands in two official splits.
    """
    counts = counts if counts is not None else ImportCounts()
    parts = [
        read_corpus(source, counts, columns=columns, official_splits=official_splits) for source in sources
    ]
    manifest = check_manifest(pl.concat(parts), "What is imported") if len(parts) > 1 else parts[0]
    if official_splits:
        check_disjoint(manifest)
    return manifest


def read_corpus(
    source: str | os.PathLike[str],
    counts: ImportCounts | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    official_splits: bool = False,
) -> pl.DataFrame:
    """Read a folder, a tar archive or a table.

    A folder or an archive (``.tar``, ``.tar.gz``, ``.tgz``; never unpacked) is recognised by, in this order,
    a ``metadata.csv``, ``.tsv`` or ``.parquet`` at its top, Common Voice's ``validated.tsv`` (one locale or
    many), its old ``cv-valid-*.csv``, or folders named by gender or age.

    Args:
        source: where it lies.
        counts: filled with what could not be used.
        columns: for a table, our name -> the table's name; see `read_table`.
        official_splits: fill ``split`` from train.tsv, dev.tsv and test.tsv, or a table's ``split``.

    Raises:
        CorpusError: ``corpus_not_found``, ``corpus_archive``, ``corpus_layout`` where no known layout is
            recognised, ``corpus_columns``, ``corpus_empty``.
    """
    counts = counts if counts is not None else ImportCounts()
    path = Path(source)
    if path.is_dir():
        return _read_tree(FolderTree(path), counts, columns, official_splits)
    if not path.is_file():
        raise CorpusError("corpus_not_found", f"There is no corpus at {path}.")
    if archive_stem(path.name):
        return _read_tree(ArchiveTree(path), counts, columns, official_splits)
    if not columns and is_common_voice_table(path):
        return _read_tree(FolderTree(path.parent, path.name), counts, columns, official_splits)
    if path.suffix not in TABLE_TYPES:
        raise CorpusError(
            "corpus_layout",
            f"{path} is neither a table ({', '.join(TABLE_TYPES)}) nor a tar archive; unpack what it holds "
            "and give the folder.",
        )
    return read_table(path, counts, columns, official_splits=official_splits)


def _read_tree(
    tree: Tree, counts: ImportCounts, columns: Mapping[str, str] | None, official_splits: bool
) -> pl.DataFrame:
    for table in tree.tables():
        if table.startswith("metadata."):
            return table_in(tree, table, counts, columns or {}, official_splits)
    if columns:
        raise CorpusError(
            "corpus_columns", f"{tree.where} has no table of its own whose columns could be renamed."
        )
    for read in (common_voice_in, old_common_voice_in):
        manifest = read(tree, counts, official_splits)
        if manifest is not None:
            return manifest
    manifest = class_folders_in(tree, counts)
    if manifest is None:
        raise CorpusError(
            "corpus_layout",
            f"{tree.where} is no corpus of a known layout: it holds neither a metadata.csv, .tsv or .parquet "
            "at its top, nor Common Voice's validated.tsv (or train.tsv, dev.tsv, test.tsv) or "
            "cv-valid-*.csv, nor recordings in folders such as female/, male/, twenties/ or 30-39/.",
        )
    if official_splits:
        raise CorpusError("corpus_layout", f"{tree.where} has no official splits: folders name its labels.")
    return manifest
