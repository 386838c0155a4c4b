"""Items looked for on a thread of their own, a bounded number of bytes ahead of their turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from multiprocessing import Pipe
from typing import Final

from voxtrait.engine.items import Item

__all__ = ["ReadAhead"]

#: Items that wait, and bytes of their content.
_ITEMS: Final = 256
_BYTES: Final = 64 << 20


class ReadAhead:
    """Draws items on a thread; a context manager.

    Args:
        items: drawn until they end or the context does.

    Attributes:
        bell: a connection to wait for together with others: there is something in it when an item has come
            since `hush`.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._source = items
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._ended = False
        self._error: BaseException | None = None
        self._change = threading.Condition()
        self.bell, self._clapper = Pipe(duplex=False)
        self._rung = False
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        # Not joined: it may wait for a list that nobody writes to any more.
        with self._change:
            self._ended = True
            self._change.notify_all()
            self.bell.close()
            self._clapper.close()

    def hush(self) -> None:
        """Empty the bell."""
        with self._change:
            if self._rung:
                self.bell.recv_bytes()
                self._rung = False

    @property
    def done(self) -> bool:
        """Whether no item will come any more.

        Raises:
            Exception: what the items raised, once all before it were taken.
        """
        with self._change:
            if self._items or not self._ended:
                return False
            if self._error is not None:
                raise self._error
            return True

    def peek(self, wait: float) -> Item | None:
        """Return the next item without taking it, or None if there is none for ``wait`` seconds."""
        with self._change:
            if not self._items and not self._ended:
                self._change.wait(wait)
            return self._items[0] if self._items else None

    def take(self) -> Item:
        """Take the next item; there must be one."""
        with self._change:
            item = self._items.popleft()
            self._bytes -= len(item.content or b"")
            self._change.notify_all()
            return item

    def _draw(self) -> None:
        try:
            for item in self._source:
                with self._change:
                    while not self._ended and self._items and self._is_full(item):
                        self._change.wait()
                    if self._ended:
                        return
                    self._items.append(item)
                    self._bytes += len(item.content or b"")
                    self._change.notify_all()
                    if not self._rung:
                        self._rung = True
                        self._clapper.send_bytes(b"!")
        except BaseException as error:
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _is_full(self, item: Item) -> bool:
        return len(self._items) >= _ITEMS or self._bytes + len(item.content or b"") > _BYTES
