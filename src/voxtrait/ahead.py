"""Things drawn on a thread ahead of their turn, and queues whose reader may leave."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["drawn_ahead", "put_unless"]

Thing = TypeVar("Thing")


def drawn_ahead(items: Iterable[Thing], depth: int) -> Generator[Thing]:
    """Yield ``items``, which a thread draws up to ``depth`` ahead of their turn.

    Raises:
        Exception: what drawing them raised, in its turn.
    """
    waiting: queue.Queue[Thing | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def draw() -> None:
        end = _End(None)
        try:
            for item in items:
                if not put_unless(stopped, waiting, item):
                    return
        except Exception as error:
            end = _End(error)
        put_unless(stopped, waiting, end)

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        # Whoever closes what the items come from must find nobody drawing.
        stopped.set()
        thread.join()


def put_unless(stopped: threading.Event, waiting: queue.Queue[Thing], item: Thing) -> bool:
    """Put an item into a bounded queue; return whether there was room before ``stopped`` was set."""
    while not stopped.is_set():
        try:
            waiting.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False


@dataclass(frozen=True)
class _End:
    """Stands behind the last item."""

    error: Exception | None
