"""An engine behind `await`: recordings in, answers out, in any order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final

from voxtrait.engine import Item, LocalEngine, Plan
from voxtrait.service.problems import Refusal, stopping

__all__ = ["Lane"]

_log = logging.getLogger("voxtrait.service")

#: Seconds without headway after which a recording is given up.
_TIME_LIMIT: Final = 30.0
#: Recordings that a process is given at once: enough to share runs of the model, few enough that the first
#: does not wait long for the last.
_CHUNK: Final = 8
#: Seconds before an engine that broke is begun anew.
_PAUSE: Final = 1.0


@dataclass(eq=False)
class _Waiting:
    asked: Item
    item: Item
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[dict[str, Any]]

    def resolve(self, answer: dict[str, Any] | Exception) -> None:
        """Give the answer to who waits for it, if anybody does, from any thread."""
        # The loop may be closed: the service has ended.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._set, answer)

    def _set(self, answer: dict[str, Any] | Exception) -> None:
        if self.item.file is not None:
            self.item.file.close()
        if self.answer.done():
            return
        if isinstance(answer, Exception):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Lane:
    """Processes that hear, and who waits for what they say; begins when it is first needed, or at `begin`.

    Args:
        plan: how to hear.
        workers: processes.
    """

    def __init__(self, plan: Plan, workers: int) -> None:
        self._plan = plan
        self._workers = workers
        self._waiting: dict[int, _Waiting] = {}
        self._arrived: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._engine: LocalEngine | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def in_flight(self) -> int:
        """Recordings on their way."""
        return len(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether a process is there to hear."""
        engine = self._engine
        return engine is not None and engine.ready

    def begin(self) -> None:
        """Start the processes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="voxtrait-lane", daemon=True)
            self._thread.start()

    async def hear(self, item: Item) -> dict[str, Any]:
        """Return the answer for an item, as `Prediction.to_dict`; its file is closed then.

        Who cancels it gives the recording up.

        Raises:
            Refusal: 503 if the processes cannot begin, or end.
        """
        self.begin()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, replace(item, unwanted=threading.Event()), loop, loop.create_future())
        self._waiting[id(waiting.item)] = waiting
        self._arrived.put(waiting.item)
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            if (engine := self._engine) is not None:
                engine.give_up(waiting.item)
            raise

    def heard(self, item: Item) -> float:
        """Return the seconds of audio of an item that were heard so far."""
        engine = self._engine
        asked = [waiting.item for waiting in list(self._waiting.values()) if waiting.asked is item]
        return sum(engine.heard_of(found) for found in asked) if engine is not None else 0.0

    def close(self) -> None:
        """End the processes; who waits still is told so."""
        self._closed.set()
        self._arrived.put(None)
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._closed.is_set():
            arrived = self._arrived
            try:
                self._hear_all(arrived)
            except Exception as error:
                _log.error("engine", exc_info=error)
            self._arrived = queue.SimpleQueue()
            # Whoever still draws from the old one stops.
            arrived.put(None)
            self._fail_all()
            self._closed.wait(_PAUSE)

    def _hear_all(self, arrived: queue.SimpleQueue[Item | None]) -> None:
        engine = LocalEngine(self._plan, self._workers, _TIME_LIMIT, chunk=_CHUNK, eager=True)
        with closing(engine), closing(engine.run(_until_none(arrived))) as answers:
            self._engine = engine
            for answered in answers:
                if answered is not None:
                    item, answer = answered
                    self._waiting.pop(id(item)).resolve(answer)
                if self._closed.is_set():
                    return

    def _fail_all(self) -> None:
        self._engine = None
        message = "The processes that hear recordings have ended: try again soon."
        ended = Refusal(503, "workers", message, {"Retry-After": "5"})
        for number in list(self._waiting):
            self._waiting.pop(number).resolve(stopping() if self._closed.is_set() else ended)


def _until_none(arrived: queue.SimpleQueue[Item | None]) -> Iterator[Item]:
    while (item := arrived.get()) is not None:
        yield item
