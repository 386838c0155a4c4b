"""Mozilla Common Voice: its present layout, and the old one of 2017 that lives on at Kaggle."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.audio import AUDIO_EXTENSIONS
from voxtrait.corpora.manifest import check_manifest
from voxtrait.corpora.tables import SPLITS, ImportCounts, label_rows, read_columns
from voxtrait.corpora.trees import FolderTree, Tree
from voxtrait.errors import CorpusError

__all__ = ["common_voice_in", "is_common_voice_table", "old_common_voice_in", "read_common_voice"]

_VALIDATED: Final = "validated.tsv"
_OFFICIAL: Final = {"train.tsv": "train", "dev.tsv": "validation", "test.tsv": "test"}
_OLD: Final = "cv-valid-"
_LONGEST_HEADER: Final = 1 << 16


def is_common_voice_table(file: Path) -> bool:
    """Return whether a file is one of Common Voice's own tables, whose clips lie where its layout says."""
    if file.name not in (_VALIDATED, *_OFFICIAL):
        return file.name.startswith(_OLD) and file.suffix == ".csv"
    try:
        with file.open("rb") as table:
            return b"client_id" in table.readline(_LONGEST_HEADER)
    except OSError:
        # Whoever reads it as a table says why it cannot be read.
        return False


def read_common_voice(folder: str | os.PathLike[str], counts: ImportCounts | None = None) -> pl.DataFrame:
    """Read every ``validated.tsv`` below ``folder``, each with its ``clips`` beside it.

    The columns differ between releases; those used are ``client_id``, ``path``, ``gender``, ``age``
    and ``locale``. A client_id is the same in all releases, and so is the speaker's name here; a
    recording without one is its own speaker. Where a locale has no ``validated.tsv``, its ``train.tsv``,
    ``dev.tsv`` and ``test.tsv`` are read.

    Raises:
        CorpusError: ``corpus_layout``, ``corpus_columns`` or ``corpus_empty``.
    """
    root = Path(folder)
    manifest = common_voice_in(FolderTree(root), counts if counts is not None else ImportCounts(), False)
    if manifest is None:
        raise CorpusError("corpus_layout", f"{root} holds no {_VALIDATED} of Common Voice.")
    return manifest


def common_voice_in(tree: Tree, counts: ImportCounts, official_splits: bool) -> pl.DataFrame | None:
    """Read all locales in ``tree``, or return None if it holds none.

    Raises:
        CorpusError: as `read_common_voice`; ``corpus_layout`` if official splits are asked for and a
            locale has none.
    """
    locales: dict[str, list[str]] = defaultdict(list)
    for table in tree.tables():
        folder, name = posixpath.split(table)
        if name == _VALIDATED or name in _OFFICIAL:
            locales[folder].append(name)
    if not locales:
        return None
    parts = []
    for folder, names in sorted(locales.items()):
        here = _below(tree, folder)
        rows = _rows_of_locale(tree, folder, names, official_splits)
        release = next((part for part in reversed(here) if part.startswith("cv-corpus")), tree.parts[-1])
        own = pl.lit(f"{release}/") + pl.col("path")
        rows = rows.with_columns(
            path=pl.lit(f"{tree.prefix}{posixpath.join(folder, 'clips')}/") + pl.col("path"),
            speaker=pl.when(pl.col("client_id").fill_null("") == "").then(own).otherwise("client_id"),
            locale=pl.col("locale") if "locale" in rows.columns else pl.lit(here[-1]),
            corpus=pl.lit(release),
        )
        parts.append(label_rows(rows, tree, counts))
    return check_manifest(pl.concat(parts), tree.where)


def _below(tree: Tree, folder: str) -> tuple[str, ...]:
    return (*tree.parts, *folder.split("/")) if folder else tree.parts


def _rows_of_locale(tree: Tree, folder: str, names: list[str], official_splits: bool) -> pl.DataFrame:
    official = [name for name in _OFFICIAL if name in names]
    if official_splits and not official:
        raise CorpusError(
            "corpus_layout", f"{tree.prefix}{folder} has no official splits: no {', '.join(_OFFICIAL)}."
        )
    parts = []
    if official_splits or _VALIDATED not in names:
        for name in official:
            parts.append(_read_clips(tree, folder, name, _OFFICIAL[name] if official_splits else None))
    if _VALIDATED in names:
        validated = _read_clips(tree, folder, _VALIDATED, None)
        for part in parts:
            validated = validated.join(part, on="path", how="anti", maintain_order="left")
        parts.append(validated)
    return pl.concat(parts, how="diagonal")


def _read_clips(tree: Tree, folder: str, name: str, split: str | None) -> pl.DataFrame:
    table = posixpath.join(folder, name)
    rows = read_columns(
        tree.read(table), tree.prefix + table, ".tsv", ("client_id", "path"), ("gender", "age", "locale")
    )
    return rows.with_columns(split=pl.lit(split, pl.String))


def old_common_voice_in(tree: Tree, counts: ImportCounts, official_splits: bool) -> pl.DataFrame | None:
    """Read every ``cv-valid-*.csv`` in ``tree``, or return None if there is none.

    Of the columns ``filename,text,up_votes,down_votes,age,gender,accent,duration`` it takes ``filename``,
    ``gender`` and ``age``. The clips are looked for under their name, under the table's name (Kaggle's
    cv-valid-train/cv-valid-train/), and both in a folder ``Audio``; one converted to another format counts
    as found. All is English. Nobody is named: every recording is its own speaker.

    Raises:
        CorpusError: ``corpus_layout``, ``corpus_columns`` or ``corpus_empty``.
    """
    tables = [table for table in tree.tables() if posixpath.basename(table).startswith(_OLD)]
    if not tables:
        return None
    counts.warnings.append(
        f"{tree.where} names no speakers, so each recording counts as its own: clips of one person may "
        "fall on both sides of a split."
    )
    parts = []
    for table in tables:
        kind = Path(table).stem
        frame = read_columns(
            tree.read(table), tree.prefix + table, ".csv", (), ("gender", "age"), {"path": "filename"}
        )
        found = _find_clips(tree, posixpath.dirname(table), kind, frame["path"].to_list())
        frame = frame.with_columns(
            path=pl.lit(tree.prefix) + pl.Series(found, dtype=pl.String),
            speaker=pl.lit(f"{tree.parts[-1]}/") + pl.Series(found, dtype=pl.String),
            locale=pl.lit("en"),
            corpus=pl.lit(tree.parts[-1]),
            split=pl.lit(SPLITS[kind.removeprefix(_OLD)] if official_splits else None, pl.String),
        )
        parts.append(label_rows(frame, tree, counts))
    return check_manifest(pl.concat(parts), tree.where)


def _find_clips(tree: Tree, folder: str, kind: str, names: list[str | None]) -> list[str | None]:
    """Return where each clip lies, relative to the tree; where its name says, if it is nowhere."""
    inside: dict[str, set[str]] = defaultdict(set)
    for name in names:
        inside[posixpath.dirname(name or "")].add(posixpath.basename(name or ""))
    places = {inner: _find_folder(tree, folder, kind, inner, clips) for inner, clips in inside.items()}

    def place_of(name: str) -> str:
        inner, clip = posixpath.split(name)
        place, files = places[inner]
        return posixpath.join(place, files.get(Path(clip).stem, clip))

    return [None if name is None else place_of(name) for name in names]


def _find_folder(
    tree: Tree, folder: str, kind: str, inner: str, clips: set[str]
) -> tuple[str, dict[str, str]]:
    """Return the folder that holds most of ``clips``, and stem -> name of those it holds."""
    stems = {Path(clip).stem for clip in clips}
    best = (posixpath.join(folder, inner), dict[str, str]())
    for top in ("", "Audio", "audio"):
        for below in (inner, posixpath.join(kind, inner), kind, ""):
            place = posixpath.join(folder, top, below).rstrip("/")
            listing = tree.listing(f"{tree.prefix}{place}/" if place else tree.prefix) or ()
            # What has the very name comes last, and stays.
            files = {
                Path(name).stem: name
                for name in sorted(listing, key=clips.__contains__)
                if Path(name).suffix.lower() in AUDIO_EXTENSIONS and Path(name).stem in stems
            }
            if len(files) > len(best[1]):
                best = place, files
    return best
