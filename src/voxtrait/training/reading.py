"""In which order the recordings of a manifest are read, and which of them share a shard.

Files come first, sorted; then one archive after another, each in its own order, since the members of
a ``.tar.gz`` cannot be reached but in one pass from its start. Neither order depends on the order of
the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np

from voxtrait.audio.archives import split_member, stream_members
from voxtrait.training.store import Store, shard_sizes

__all__ = ["ReadingOrder", "Source", "file_marks"]

#: Recordings that a process is given at once.
_CHUNK: Final = 16


@dataclass(frozen=True)
class Source:
    """A recording: its path in the manifest, and its bytes if it lies in an archive."""

    path: str
    content: bytes | None = None


@dataclass(frozen=True)
class ReadingOrder:
    """Groups of recordings: the archive (None for files) -> its recordings' paths, sorted.

    A shard holds recordings of one group.
    """

    groups: dict[str | None, tuple[str, ...]]

    @classmethod
    def of(cls, paths: Iterable[str]) -> ReadingOrder:
        """Group the paths of a manifest."""
        groups: dict[str | None, list[str]] = {}
        for path in sorted(paths):
            member = split_member(path)
            groups.setdefault(member[0] if member else None, []).append(path)
        names = sorted(groups, key=lambda name: name or "")
        return cls({name: tuple(groups[name]) for name in names})

    @property
    def sizes(self) -> tuple[int, ...]:
        """Recordings in each shard of their store."""
        return tuple(size for paths in self.groups.values() for size in shard_sizes(len(paths)))

    def fingerprint(self) -> str:
        """Return a hash of which recordings these are, changed also when a file is."""
        digest = sha256()
        for archive, paths in self.groups.items():
            marks = file_marks(paths if archive is None else (archive,))
            digest.update("\n".join([str(archive), *marks, *paths, ""]).encode())
        return digest.hexdigest()

    def pending(self, store: Store) -> Iterator[tuple[int, list[Source]]]:
        """Yield the shards that ``store`` lacks, in chunks of at most 16 recordings of one shard.

        Raises:
            CorpusError: ``corpus_archive``, ``corpus_not_found`` if an archive cannot be read to the
                last recording.
        """
        for shard, group in groupby(self._placed(store), key=itemgetter(0)):
            sources = (source for _, source in group)
            while chunk := list(islice(sources, _CHUNK)):
                yield shard, chunk

    def sample(self, count: int) -> Iterator[Source]:
        """Yield about ``count`` recordings: random files, and the first members of each archive."""
        total = sum(map(len, self.groups.values()))
        for archive, paths in self.groups.items():
            share = min(len(paths), -(-count * len(paths) // total))
            if archive is None:
                chosen = np.random.default_rng(0).choice(len(paths), share, replace=False)
                yield from (Source(paths[index]) for index in chosen)
            else:
                yield from islice(_members(archive, paths), share)

    def _placed(self, store: Store) -> Iterator[tuple[int, Source]]:
        first = 0
        missing = set(store.missing())
        for archive, paths in self.groups.items():
            shards = range(first, first + len(shard_sizes(len(paths))))
            first = shards.stop
            slots = (shard for shard in shards if shard in missing for _ in range(store.sizes[shard]))
            done = {
                path
                for shard in shards
                if shard not in missing
                for path in store.read(shard, "path").column("path").to_pylist()
            }
            # What is left keeps its order, so it falls into the shards that an unbroken run gives it.
            left = [path for path in paths if path not in done]
            sources = map(Source, left) if archive is None else _members(archive, left)
            yield from zip(slots, sources, strict=True)


def _members(archive: str, paths: Iterable[str]) -> Iterator[Source]:
    """Yield the recordings of an archive in its order, at last those that it does not hold."""
    left: dict[str, str] = {}
    for path in paths:
        member = split_member(path)
        assert member is not None
        left[member[1]] = path
    for name, content in stream_members(archive, tuple(left)):
        yield Source(left.pop(name), content)
    yield from map(Source, left.values())


def file_marks(files: Iterable[str]) -> list[str]:
    """Return a line for each file that changes when the file does; empty if it is not there."""
    return [_mark(file) for file in files]


def _mark(file: str) -> str:
    try:
        found: Any = Path(file).stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
