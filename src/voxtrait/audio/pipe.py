"""Bytes from one thread to another: whoever sends never waits, whoever reads does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

__all__ = ["BytePipe"]

#: Bytes after which, and seconds of waiting after which, the sender is told what was used.
_TELL: Final = 1 << 16
_QUIET: Final = 0.25


class BytePipe:
    """A recording on its way to a decoder, as a file object that cannot seek.

    Nothing bounds what it holds but the sender, who is told what was used and sends no more than may lie
    unused.

    Args:
        tell: told how many more bytes were used: read, and more was asked for. Called on the reader's
            thread, at the latest when it has waited for a quarter of a second.

    Attributes:
        taken: bytes that were read.
        dropped: whether nobody wants to know any more.
    """

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._bytes = bytearray()
        self._changed = threading.Condition()
        self._ended = False
        self._told = 0
        self.taken = 0
        self.dropped = False

    @property
    def is_empty(self) -> bool:
        """Whether all that came was read."""
        return not self._bytes

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        with self._changed:
            self._bytes += data
            self._changed.notify()

    def end(self) -> None:
        """Take the end: what is there can still be read."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def drop(self) -> None:
        """Take the end, and drop what was not read."""
        with self._changed:
            self._bytes.clear()
            self._ended = self.dropped = True
            self._changed.notify()

    def read(self, size: int) -> bytes:
        """Wait for bytes and return at most ``size`` of those that are there; none at the end."""
        if self.taken - self._told >= _TELL:
            self.report()
        with self._changed:
            while not self._bytes and not self._ended:
                if self._changed.wait(_QUIET) or self._bytes or self._ended:
                    continue
                self.report()
                self._changed.wait()
            data = bytes(self._bytes[:size])
            del self._bytes[:size]
        self.taken += len(data)
        return data

    def report(self) -> None:
        """Tell the sender now."""
        used, self._told = self.taken - self._told, self.taken
        if used:
            self._tell(used)
