"""A sharded Arrow store: what was made of many recordings, mapped into memory when it is read.

A store is a folder::

    speech-3f0c9a51d2e4b786/
      part-00000.arrow      an Arrow IPC file, not compressed: one record batch of up to 128 recordings
      part-00001.arrow
      store.json            what it holds; written last, so that a store which has it is whole

A shard is written beside its name and then renamed: one that is there is whole, and is never made
again. What is in which shard does not depend on the number of processes, nor on interruptions.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from voxtrait.errors import CorpusError, UsageError

__all__ = ["SHARD", "ListColumn", "Store", "Watcher", "free_bytes", "list_array", "writing_into"]

#: Recordings in a shard: what a killed run loses at most.
SHARD: Final = 128
#: Shards that stay mapped; Linux allows a process 65,530 mappings.
_MAPPED: Final = 16_384
_ABOUT: Final = "store.json"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Watcher(Protocol):
    """Told how the filling of a store goes."""

    def expect(self, files: int) -> None:
        """So many recordings are still to be done."""
        ...

    def heard(self, seconds: float) -> None:
        """So much more audio was gone through."""
        ...

    def file_done(self) -> None:
        """One more recording is done."""
        ...


@dataclass(frozen=True)
class Store:
    """A store of ``rows`` recordings in ``folder``, whether it is there already or not.

    Attributes:
        sizes: recordings in each shard.
    """

    folder: Path
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, folder: Path, rows: int) -> Store:
        """Return a store of ``rows`` recordings, all shards but the last one full."""
        return cls(folder, shard_sizes(rows))

    def file(self, shard: int) -> Path:
        """Return the file of a shard, from 0."""
        return self.folder / f"part-{shard:05d}.arrow"

    def missing(self) -> list[int]:
        """Return the shards that are not there yet."""
        return [shard for shard in range(len(self.sizes)) if not self.file(shard).is_file()]

    @property
    def sealed(self) -> bool:
        """Whether it has been filled once; a shard may have been deleted since."""
        return (self.folder / _ABOUT).is_file()

    @property
    def whole(self) -> bool:
        """Whether everything is there."""
        return self.sealed and not self.missing()

    def write(self, shard: int, columns: Mapping[str, Any]) -> None:
        """Write a shard from Arrow arrays or lists.

        Raises:
            UsageError: ``no_space`` if the disk is full, ``output`` if it cannot be written.
        """
        batch = pa.record_batch(dict(columns))
        assert batch.num_rows == self.sizes[shard]

        def write(file: IO[bytes]) -> None:
            with pa.ipc.new_file(file, batch.schema) as writer:
                writer.write_batch(batch)

        self._put(self.file(shard), write)

    def seal(self, about: Mapping[str, object]) -> None:
        """Say what the store holds, now that every shard is there.

        Raises:
            UsageError: as `write` does.
        """
        content = json.dumps({"recordings": sum(self.sizes), "shards": len(self.sizes), **about}, indent=2)
        self._put(self.folder / _ABOUT, lambda file: file.write(content.encode() + b"\n"))
        # A killed run leaves what it was writing.
        for partial in self.folder.glob("*.partial"):
            partial.unlink(missing_ok=True)

    def read(self, shard: int, *columns: str) -> pa.RecordBatch:
        """Return columns of a shard, mapped from disk.

        Raises:
            CorpusError: ``corpus_store`` if the shard is damaged.
        """
        return open_shard(self.file(shard)).select(list(columns))

    def _put(self, file: Path, write: Callable[[IO[bytes]], object]) -> None:
        # Two runs may fill a store at once: each its own files, which are the same.
        partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
        with writing_into(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("wb") as output:
                    write(output)
                    output.flush()
                    os.fsync(output.fileno())
                partial.replace(file)
            except FileNotFoundError:
                # Another run was done first, and tidied up.
                if not file.is_file():
                    raise
            finally:
                partial.unlink(missing_ok=True)


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UsageError(
                "no_space",
                f"There is no space left for {folder}: what is done stays; make room and run the same again.",
            ) from error
        raise UsageError("output", f"Cannot write into {folder}: {error.strerror or error}.") from error


def shard_sizes(rows: int) -> tuple[int, ...]:
    """Return how many of ``rows`` recordings each shard holds."""
    return tuple(min(SHARD, rows - first) for first in range(0, rows, SHARD))


def free_bytes(folder: Path) -> int:
    """Return the free space on the disk on which ``folder`` lies or will lie."""
    while not folder.is_dir():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def open_shard(file: Path) -> pa.RecordBatch:
    """Return a shard, mapped from disk: nothing is read before it is used.

    Raises:
        CorpusError: ``corpus_store`` if it is damaged.
    """
    try:
        # What is mapped outlives the file that is closed here: no descriptor stays open.
        with pa.memory_map(str(file)) as source:
            return pa.ipc.open_file(source).get_batch(0)
    except (pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(
            "corpus_store", f"{file} is damaged ({reason}): delete it and run the same again."
        ) from error


def list_array(parts: list[NDArray[Any]], width: int | None = None) -> pa.ListArray:
    """Return one list a part: of numbers, or of frames of ``width`` numbers; the parts are (n, ...)."""
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int32)
    flat = pa.array(np.concatenate([part.reshape(-1) for part in parts]))
    return pa.ListArray.from_arrays(
        offsets, flat if width is None else pa.FixedSizeListArray.from_arrays(flat, width)
    )


@lru_cache(maxsize=_MAPPED)
def _mapped(file: str, column: str) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Return the offsets of the lists of a shard (recordings + 1,) and the items of all of them."""
    lists = open_shard(Path(file)).column(column)
    values = lists.values
    if pa.types.is_fixed_size_list(values.type):
        flat = values.values.to_numpy(zero_copy_only=True)
        return lists.offsets.to_numpy(), flat.reshape(-1, values.type.list_size)
    return lists.offsets.to_numpy(), values.to_numpy(zero_copy_only=True)


@dataclass(frozen=True)
class ListColumn:
    """A list column of chosen recordings of a store: an array for each, mapped from disk.

    Attributes:
        store, name: the column.
        files: the shards.
        shards, starts: where each row lies: its shard, and its first item in it; shape (rows,).
        counts: items of each row, shape (rows,).
    """

    store: Store
    name: str
    files: tuple[str, ...]
    shards: NDArray[np.int32]
    starts: NDArray[np.int32]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, store: Store, name: str, keep: NDArray[np.bool_] | None = None) -> ListColumn:
        """Open a column; ``keep`` (recordings,) leaves some out.

        Raises:
            CorpusError: ``corpus_store`` if a shard is damaged.
        """
        files = tuple(str(store.file(shard)) for shard in range(len(store.sizes)))
        offsets = [_mapped(file, name)[0] for file in files]
        shards = np.repeat(np.arange(len(files), dtype=np.int32), store.sizes)
        starts = np.concatenate([places[:-1] for places in offsets])
        counts = np.concatenate([np.diff(places) for places in offsets]).astype(np.int64)
        chosen = slice(None) if keep is None else keep
        return cls(store, name, files, shards[chosen], starts[chosen], counts[chosen])

    def read(self, row: int, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return items ``start`` to ``stop`` of a row: a read-only view, shape (n,) or (n, width)."""
        values = _mapped(self.files[self.shards[row]], self.name)[1]
        first = int(self.starts[row])
        end = first + int(self.counts[row])
        return values[first + start : end if stop is None else min(first + stop, end)]
