"""Who waits for news of a job within a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

__all__ = ["Bell", "Changes"]


class Bell:
    """Rung when there is news."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake who waits, or will."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Wait until there has been news since the last wait, or for some seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)
        self._event.clear()


class Changes:
    """The bells of jobs; for one event loop."""

    def __init__(self) -> None:
        self._bells: dict[str, list[Bell]] = {}

    @contextlib.contextmanager
    def of(self, key: str) -> Iterator[Bell]:
        """Give a bell that rings at each change of a job, as long as the context lasts."""
        bell = Bell()
        bells = self._bells.setdefault(key, [])
        bells.append(bell)
        try:
            yield bell
        finally:
            bells.remove(bell)
            if not bells:
                del self._bells[key]

    def ring(self, key: str) -> None:
        """Say that a job has changed."""
        for bell in self._bells.get(key, ()):
            bell.ring()

    def ring_all(self) -> None:
        """Say that any job may have changed."""
        for key in self._bells:
            self.ring(key)
