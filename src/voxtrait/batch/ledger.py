"""Which recordings a data set answers already, and where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from voxtrait.batch.dataset import Dataset

__all__ = ["Ledger"]

_COLUMNS: Final = ("file", "status", "size", "modified")
_STAMP: Final = (1 << 64) - 1
#: Set where this run has come across the recording.
_TAKEN: Final = 1 << 64
_PART_AT: Final = 65
#: The part of a recording that has no row yet.
_NOWHERE: Final = (1 << 32) - 1


class Ledger:
    """The names in a data set, each with its part and what its file looked like; some 150 bytes a name.

    Args:
        dataset: read once, part by part.
        retry_errors: take rows with an error for rows that are not there.

    Attributes:
        count, errors: rows that were there, and how many of them with an error.
    """

    def __init__(self, dataset: Dataset, *, retry_errors: bool = False) -> None:
        #: Name -> part, taken or not, stamp, in one number: a tuple needs thrice the memory.
        self._rows: dict[int, int] = {}
        self.count = self.errors = 0
        for part in dataset.parts():
            place = dataset.number(part) << _PART_AT
            for row in dataset.format.read(part, _COLUMNS).to_pylist():
                failed = row["status"] == "error"
                self.count += 1
                self.errors += failed
                # A stamp that no file has makes it heard again.
                stamp = 0 if failed and retry_errors else _stamp(row["size"], row["modified"])
                self._rows[_key_of(row["file"])] = place | stamp

    def take(self, name: str, size: int | None, modified: datetime | None) -> bool | None:
        """Tell whether a recording is new or changed and so to be heard; None if it was asked for before."""
        key = _key_of(name)
        row = self._rows.get(key, _NOWHERE << _PART_AT)
        if row & _TAKEN:
            return None
        self._rows[key] = row | _TAKEN
        return row & _STAMP != _stamp(size, modified)

    def part_of(self, name: str) -> int | None:
        """Return the number of the part in which a name has a row, or None."""
        number = self._rows.get(_key_of(name), _NOWHERE << _PART_AT) >> _PART_AT
        return None if number == _NOWHERE else number

    def moved(self, names: Iterable[str], part: int) -> None:
        """Note that rows are in a part now."""
        for name in names:
            self._rows[_key_of(name)] = part << _PART_AT | _TAKEN


def _stamp(size: int | None, modified: datetime | None) -> int:
    """Return 64 bits, never 0, that stand for what a file looks like from outside."""
    text = f"{size} {modified.timestamp() if modified else None}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) | 1


def _key_of(name: str) -> int:
    """Return 128 bits that stand for a name: a million of them need a tenth of the memory of the names."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest())
