"""The files of a corpus, whether they lie in a folder or in a tar archive."""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from voxtrait.audio.archives import MEMBER_MARK, archive_stem, split_member, walk_archive
from voxtrait.errors import CorpusError

__all__ = ["ArchiveTree", "FolderTree", "Tree", "missing_files"]

#: The tables that a layout is told by, and that are kept when an archive is read.
_TABLE: Final = re.compile(
    r"(?:validated|train|dev|test)\.tsv|cv-valid-(?:train|dev|test)\.csv|metadata\.(?:csv|tsv|parquet)"
)
#: A path as far as its last folder, or as far as the archive that it lies at the top of.
_FOLDER: Final = rf"(?is)^(.*(?:[/{re.escape(os.sep)}]|\.(?:tar|tar\.gz|tgz){MEMBER_MARK}))"


class Tree(Protocol):
    """Files under one root; their names are relative to it, with ``/`` on every system.

    Attributes:
        where: the root, as an error names it.
        parts: names of the folders that lead to the root; the last is the corpus's own name.
        prefix: prefix + name is the path that the manifest gives a file.
    """

    where: str
    parts: tuple[str, ...]
    prefix: str

    def tables(self) -> list[str]:
        """Return the names of the tables, sorted."""

    def read(self, table: str) -> Path | bytes:
        """Return a table, as polars takes it."""

    def folders(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each folder ("" is the root) with the names of the files in it."""

    def listing(self, folder: str) -> Collection[str] | None:
        """Return what lies in a folder, given as in the manifest, with a ``/`` at its end.

        Of an archive other than this tree it is None: to tell would take a pass through it.
        """


class FolderTree:
    """Files in a folder; links to folders are followed, hidden names are left out."""

    def __init__(self, root: Path, table: str | None = None) -> None:
        """Take ``table``, if given, for the only one."""
        self._root = root.resolve()
        self._table = table
        self.where = str(root)
        self.parts = self._root.parts
        self.prefix = str(self._root).rstrip(os.sep) + os.sep

    def tables(self) -> list[str]:
        if self._table is not None:
            return [self._table]
        return sorted(
            f"{folder}/{name}".lstrip("/")
            for folder, names in self._walk(skip_clips=True)
            for name in names
            if _TABLE.fullmatch(name)
        )

    def read(self, table: str) -> Path | bytes:
        return self._root / table

    def folders(self) -> Iterator[tuple[str, list[str]]]:
        return self._walk(skip_clips=False)

    def listing(self, folder: str) -> Collection[str] | None:
        return _listing(folder)

    def _walk(self, skip_clips: bool) -> Iterator[tuple[str, list[str]]]:
        seen = set()
        for folder, below, names in os.walk(self._root, onerror=self._complain, followlinks=True):
            # Links may lead back up: each real folder is searched once.
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                below.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            # Millions of clips beside a table hold no other table.
            leave = {"clips"} if skip_clips and any(map(_TABLE.fullmatch, names)) else set()
            below[:] = sorted(name for name in below if not name.startswith(".") and name not in leave)
            relative = folder[len(self.prefix) :].replace(os.sep, "/")
            yield relative, sorted(name for name in names if not name.startswith("."))

    def _complain(self, error: OSError) -> None:
        raise CorpusError("corpus_layout", f"{error.filename} cannot be read: {error.strerror}.") from error


class ArchiveTree:
    """Files in a tar archive, which is read through once; its tables are held in memory.

    Where all files lie in one folder, that folder is the root.
    """

    def __init__(self, archive: Path) -> None:
        """Read the archive.

        Raises:
            CorpusError: ``corpus_not_found``, ``corpus_archive``; ``corpus_empty`` if it holds no file.
        """
        path = archive.resolve()
        folders: dict[str, list[str]] = defaultdict(list)
        tables: dict[str, bytes] = {}
        for member, content in walk_archive(path, _is_table):
            folder, name = posixpath.split(member)
            folders[folder].append(name)
            if content is not None:
                tables[member] = content
        if not folders:
            raise CorpusError("corpus_empty", f"{archive} holds no file.")
        tops = {folder.partition("/")[0] for folder in folders}
        top = tops.pop() if len(tops) == 1 else ""
        cut = len(top) + 1 if top else 0
        self._folders = {folder[cut:]: names for folder, names in folders.items()}
        self._tables = {name[cut:]: content for name, content in tables.items()}
        self.where = str(archive)
        self.parts = (*path.parent.parts, archive_stem(path.name) or path.stem, *filter(None, [top]))
        self.prefix = f"{path}{MEMBER_MARK}{top}/" if top else f"{path}{MEMBER_MARK}"

    def tables(self) -> list[str]:
        return sorted(self._tables)

    def read(self, table: str) -> Path | bytes:
        return self._tables[table]

    def folders(self) -> Iterator[tuple[str, list[str]]]:
        for folder, names in sorted(self._folders.items()):
            # A member added again stands twice.
            visible = sorted({name for name in names if not name.startswith(".")})
            if not any(part.startswith(".") for part in folder.split("/")):
                yield folder, visible

    def listing(self, folder: str) -> Collection[str] | None:
        if folder.startswith(self.prefix):
            return self._folders.get(folder[len(self.prefix) :].rstrip("/"), ())
        return _listing(folder)


def _is_table(name: str) -> bool:
    return _TABLE.fullmatch(posixpath.basename(name)) is not None


def missing_files(paths: pl.Series, tree: Tree) -> list[str]:
    """Return the paths where no file is; what lies in an archive other than ``tree`` is taken to be there."""
    frame = paths.drop_nulls().alias("path").to_frame()
    frame = frame.with_columns(folder=pl.col("path").str.extract(_FOLDER).fill_null(""))
    # One listing a folder is far faster than a look at each file.
    listings = {folder: tree.listing(folder) for folder in frame["folder"].unique()}
    untold = [folder for folder, names in listings.items() if names is None]
    frame = frame.filter(~pl.col("folder").is_in(untold))
    there = [folder + name for folder, names in listings.items() for name in names or ()]
    present = pl.DataFrame({"path": pl.Series(there, dtype=pl.String)})
    return frame.join(present, on="path", how="anti", maintain_order="left")["path"].to_list()


def _listing(folder: str) -> list[str] | None:
    # The folder may be the top of an archive: only what lies in it names a member.
    member = split_member(f"{folder}*")
    if member and Path(member[0]).is_file():
        return None
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if _is_text(entry.name)]
    except OSError:
        return []


def _is_text(name: str) -> bool:
    """Return whether a name can stand in a table: one that is no UTF-8 cannot."""
    try:
        return name.isascii() or bool(name.encode())
    except UnicodeEncodeError:
        return False
