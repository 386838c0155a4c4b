"""SIGTERM, by which machines end a run, taken as Ctrl-C is: what was done so far is kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Terminated", "ending_in_order"]


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Raise `Terminated` in the block when SIGTERM comes, once; for the main thread.

    Raises:
        Terminated: in the block.
    """

    def end(*_: object) -> None:
        # A second one would cut short what is done about the first.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
