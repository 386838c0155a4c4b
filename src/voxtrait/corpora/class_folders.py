"""Recordings in folders named by gender or age: ``female/``, ``male/``, ``twenties/``, ``30-39/``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import polars as pl

from voxtrait.audio import AUDIO_EXTENSIONS
from voxtrait.corpora.manifest import check_manifest
from voxtrait.corpora.tables import ImportCounts, label_rows
from voxtrait.corpora.trees import Tree
from voxtrait.errors import CorpusError
from voxtrait.labels import age_interval, parse_gender

__all__ = ["class_folders_in"]


@dataclass(frozen=True)
class _Folder:
    """A folder with recordings: names of the folders that lead to it, and the recordings."""

    parts: tuple[str, ...]
    names: list[str]

    def word(self, level: int) -> str | None:
        """Return what a level is called; -1 is none."""
        return self.parts[level] if level >= 0 else None


def class_folders_in(tree: Tree, counts: ImportCounts) -> pl.DataFrame | None:
    """Read recordings at any depth below folders named by gender, age band or both; None if none is.

    The gender is the first folder on the way that spells one, the age the first that spells a band. A
    recording without such a folder has the label null, and the folder that stands in its place is counted
    as an unknown spelling. A folder below those is a speaker, with all that lies below it; a recording
    without such a folder is its own speaker.

    Raises:
        CorpusError: ``corpus_layout`` if a name cannot be written in a manifest.
    """
    folders = [
        _Folder(tuple(folder.split("/")) if folder else (), found)
        for folder, names in tree.folders()
        if (found := [name for name in names if PurePosixPath(name).suffix.lower() in AUDIO_EXTENSIONS])
    ]
    if not any(_is_sex(part) or _is_band(part) for folder in folders for part in folder.parts):
        return None
    gender_level = _usual_level(folders, _is_gender)
    age_level = _usual_level(folders, _is_band)
    rows = []
    for folder in folders:
        gender = _level(folder, _is_gender, gender_level, _is_band)
        age = _level(folder, _is_band, age_level, _is_gender)
        # The folder below the last label.
        end = max(gender, age) + 2
        speaker = "/".join(folder.parts[:end]) if 1 < end <= len(folder.parts) else None
        words = folder.word(gender), folder.word(age)
        rows.append(("/".join(folder.parts), speaker, *words, folder.names))
    return check_manifest(label_rows(_frame(rows, tree), tree, counts), tree.where)


def _frame(
    rows: Iterable[tuple[str, str | None, str | None, str | None, list[str]]], tree: Tree
) -> pl.DataFrame:
    schema = {name: pl.String() for name in ("folder", "speaker", "gender", "age")}
    try:
        frame = pl.DataFrame(list(rows), {**schema, "name": pl.List(pl.String)}, orient="row").explode("name")
    except UnicodeEncodeError as error:
        raise CorpusError(
            "corpus_layout", f"{tree.where} holds a name that is no UTF-8: {error.object!r}; rename it."
        ) from error
    file = pl.concat_str(pl.col("folder"), pl.lit("/"), pl.col("name")).str.strip_prefix("/")
    corpus = tree.parts[-1]
    return frame.with_columns(
        path=pl.lit(tree.prefix) + file,
        speaker=pl.lit(f"{corpus}/") + pl.coalesce("speaker", file),
        corpus=pl.lit(corpus),
        split=pl.lit(None, pl.String),
    )


def _usual_level(folders: Iterable[_Folder], is_label: Callable[[str], bool]) -> int:
    """Return the level at which most recordings have such a folder, or -1."""
    levels: Counter[int] = Counter()
    for folder in folders:
        level = next((at for at, part in enumerate(folder.parts) if is_label(part)), -1)
        if level >= 0:
            levels[level] += len(folder.names)
    return max(levels, key=levels.__getitem__) if levels else -1


def _level(
    folder: _Folder, is_label: Callable[[str], bool], usual: int, is_other: Callable[[str], bool]
) -> int:
    """Return the level that names the label, known or not, or -1."""
    for level, part in enumerate(folder.parts):
        if is_label(part):
            return level
    return usual if 0 <= usual < len(folder.parts) and not is_other(folder.parts[usual]) else -1


def _is_gender(word: str) -> bool:
    return parse_gender(word) is not None


def _is_sex(word: str) -> bool:
    # "other" alone may be the other of anything.
    return parse_gender(word) in ("female", "male")


def _is_band(word: str) -> bool:
    # A bare number is more often a speaker's than an age.
    return age_interval(word) is not None and not word.strip().isdecimal()
