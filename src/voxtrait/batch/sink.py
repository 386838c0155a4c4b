"""Rows into parts: a part grows by being written again, whole, until it is full."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from voxtrait.batch.dataset import Dataset
from voxtrait.batch.ledger import Ledger
from voxtrait.batch.parts import table_of
from voxtrait.batch.rows import Row
from voxtrait.errors import UsageError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Sink", "unwritable"]

#: Rows, segments and speakers in a full part; the last row may bring more.
_FULL: Final = 8192
#: Seconds of work that a kill may cost.
_EVERY: Final = 10.0


class Sink:
    """Writes the rows of a data set, each name in exactly one part at any moment.

    A row whose name has one already takes its place in its part. Rows are on disk ten seconds after they
    came, or with the next `add` or `tick` after that.

    Args:
        dataset: what is written; nobody else writes it meanwhile.
        ledger: knows where its rows are, and is told where the new ones go.
        clock: seconds, rising.
    """

    def __init__(self, dataset: Dataset, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._dataset = dataset
        self._ledger = ledger
        self._clock = clock
        self._fresh: list[Row] = []
        #: Rows that replace others, by their part.
        self._changed: dict[int, list[Row]] = {}
        self._fresh_weight = self._changed_weight = 0
        self._written = clock()
        for leftover in dataset.folder.glob(".part-*"):
            leftover.unlink()
        parts = dataset.parts()
        self._number = dataset.number(parts[-1]) if parts else 0
        self._open: pyarrow.Table | None = dataset.format.read(parts[-1]) if parts else None
        self._open_weight = _weight(self._open)
        self._close_if_full()

    def add(self, row: Row) -> None:
        """Take a row.

        Raises:
            UsageError: as `flush` does.
        """
        part = self._ledger.part_of(row["file"])
        weight = 1 + len(row["segments"] or ()) + len(row["speakers"] or ())
        if part is None:
            self._fresh.append(row)
            self._fresh_weight += weight
        else:
            self._changed.setdefault(part, []).append(row)
            self._changed_weight += weight
        self.tick()

    def tick(self) -> None:
        """Write what waits, if it is many rows or has waited long.

        Raises:
            UsageError: as `flush` does.
        """
        # While the first recordings are heard: it takes a while to load.
        import pyarrow.parquet  # noqa: F401

        full = self._open_weight + self._fresh_weight >= _FULL or self._changed_weight >= _FULL
        if full or ((self._changed or self._fresh) and self._clock() - self._written >= _EVERY):
            self.flush()

    def flush(self) -> None:
        """Write all that waits.

        Raises:
            UsageError: ``no_space`` or ``output`` if it cannot be written: what was there stays, whole.
        """
        for part, rows in self._changed.items():
            if part == self._number and self._open is not None:
                table = _replaced(self._open, rows)
                self._write(table, part)
                self._open, self._open_weight = table, _weight(table)
            else:
                self._write(_replaced(self._dataset.format.read(self._dataset.part(part)), rows), part)
        self._changed.clear()
        self._changed_weight = 0
        if self._fresh:
            table = table_of(self._fresh)
            if self._open is not None:
                import pyarrow

                table = pyarrow.concat_tables([self._open, table])
            self._write(table, self._number)
            self._ledger.moved((row["file"] for row in self._fresh), self._number)
            # With no call between them: what interrupts a run comes before both or after both.
            self._open, self._fresh = table, []
            self._fresh_weight, self._open_weight = 0, _weight(table)
            self._close_if_full()
        self._written = self._clock()

    def _close_if_full(self) -> None:
        if self._open_weight >= _FULL:
            self._number += 1
            self._open, self._open_weight = None, 0

    def _write(self, table: pyarrow.Table, number: int) -> None:
        part = self._dataset.part(number)
        # With another ending: some readers take hidden files for parts too.
        partial = part.with_name(f".{part.name}.partial")
        try:
            self._dataset.format.write(table, partial)
            # A power cut may not leave the name without the bytes.
            _sync(str(partial))
            partial.replace(part)
            _sync(str(part.parent))
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise unwritable(part.parent, error) from error


def _replaced(table: pyarrow.Table, rows: list[Row]) -> pyarrow.Table:
    """Return the table with other rows in the place of those of the same names."""
    import pyarrow
    from pyarrow import compute

    gone = compute.is_in(table["file"], pyarrow.array([row["file"] for row in rows]))
    return pyarrow.concat_tables([table.filter(compute.invert(gone)), table_of(rows)])


def _weight(table: pyarrow.Table | None) -> int:
    if table is None:
        return 0
    from pyarrow import compute

    lists = (compute.sum(compute.list_value_length(table[name])).as_py() for name in ("segments", "speakers"))
    return int(table.num_rows + sum(length or 0 for length in lists))


def _sync(path: str) -> None:
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unwritable(folder: object, error: OSError) -> UsageError:
    """Return what to say of a folder that cannot be written into."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UsageError(
            "no_space",
            f"The disk of {folder} is full: make room and give the same command again; it goes on.",
        )
    return UsageError("output", f"Cannot write into {folder}: {error.strerror or error}.")
