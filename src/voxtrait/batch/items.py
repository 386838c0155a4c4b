"""A recording of an archive, before it is heard."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from voxtrait.results import Problem

__all__ = ["Item", "key_of"]


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of a recording from where it lies.

    Attributes:
        name: what it is called in the data set; unique there.
        path: a file of this machine, or an address; empty if there is ``content``.
        size, modified: of the file, or of the archive that it lies in; None if unknown.
        content: its bytes, where they were read on the way.
        problem: why it cannot be heard, where that is known already.
    """

    name: str
    path: str = ""
    size: int | None = None
    modified: datetime | None = None
    content: bytes | None = None
    problem: Problem | None = None


def key_of(name: str) -> int:
    """Return 128 bits that stand for a name: a million of them need a tenth of the memory of the names."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest())
