"""What hears jobs: takes as many as there are processes, keeps their leases, writes their answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final, TypeVar, cast

import anyio
import anyio.to_thread

from voxtrait.engine import Item
from voxtrait.service.jobs.changes import Bell, Changes
from voxtrait.service.jobs.database import CONNECTIONS
from voxtrait.service.jobs.store import BEAT, Claim, JobStore
from voxtrait.service.lanes import Lane
from voxtrait.service.observe import Metrics
from voxtrait.service.problems import Refusal

__all__ = ["JobRunner", "Threads"]

_log = logging.getLogger("voxtrait.service")

_Value = TypeVar("_Value")

#: Seconds between two looks for jobs that came by another server.
_POLL: Final = 2.0
#: Seconds before what the database refused is tried again.
_AGAIN: Final = 1.0
#: Seconds that jobs have to end when the service stops; the rest is heard by another one.
_GRACE: Final = 3.0


class Threads:
    """Calls of the store, on threads, as many at once as there are connections."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(CONNECTIONS)

    async def call(self, function: Callable[..., _Value], *arguments: Any) -> _Value:
        """Return what a function returns; who is cancelled waits for its end."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._limiter)


@dataclass
class _Hearing:
    claim: Claim
    task: asyncio.Task[None] | None = None
    item: Item | None = None


class JobRunner:
    """Hears jobs, one on each process of a lane.

    Args:
        store: where they are.
        threads: on which the store is called.
        lane: what hears.
        slots: processes of the lane.
        longest: seconds of a recording.
        changes: told of jobs that begin and end.
        metrics: told what was heard, and how many jobs there are.
    """

    def __init__(
        self,
        store: JobStore,
        threads: Threads,
        lane: Lane,
        slots: int,
        longest: float,
        changes: Changes,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._threads = threads
        self._lane = lane
        self._slots = slots
        self._longest = longest
        self._changes = changes
        self._metrics = metrics
        self._hearing: dict[str, _Hearing] = {}
        self._bell = Bell()

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._bell.ring()

    def heard(self, key: str) -> float | None:
        """Return the seconds heard of a job; None if it is not heard here."""
        for hearing in self._hearing.values():
            if hearing.claim.id == key:
                return self._seconds(hearing)
        return None

    def give_up(self, key: str) -> None:
        """Stop hearing a job, if it is heard here."""
        for hearing in self._hearing.values():
            if hearing.claim.id == key and hearing.task is not None:
                hearing.task.cancel()

    async def run(self, stopping: asyncio.Event) -> None:
        """Hear jobs until the service stops, and then hand back what is not done."""
        beating = asyncio.create_task(self._beat())
        try:
            while not stopping.is_set():
                await self._take(stopping)
                await self._bell.wait(_POLL)
            await self._hand_back()
        finally:
            beating.cancel()
            await asyncio.wait([beating])

    async def _take(self, stopping: asyncio.Event) -> None:
        """Take jobs for the processes that are free."""
        while len(self._hearing) < self._slots and not stopping.is_set():
            try:
                claim = await self._threads.call(self._store.claim, list(self._hearing))
            except Refusal:
                # The database has said so in the log.
                return
            except Exception as error:
                _log.error("jobs", exc_info=error)
                return
            if claim is None:
                return
            hearing = self._hearing[claim.token] = _Hearing(claim)
            hearing.task = asyncio.create_task(self._hear(hearing))
            self._changes.ring(claim.id)

    async def _hear(self, hearing: _Hearing) -> None:
        claim = hearing.claim
        try:
            hearing.item = await self._call(self._load, claim)
            if hearing.item is not None:
                answer = await self._lane.hear(hearing.item)
                # Who has lost the job meanwhile changes nothing.
                if await self._call(self._store.end, claim.token, answer):
                    self._metrics.count("jobs", answer)
        except Exception as error:
            # Not the recording's fault: when the lease has lapsed it is taken again, a few times.
            refused = isinstance(error, Refusal)
            _log.log(logging.WARNING if refused else logging.ERROR, "job put off", exc_info=error)
        finally:
            del self._hearing[claim.token]
            self._changes.ring(claim.id)
            self.wake()

    def _load(self, claim: Claim) -> Item | None:
        """Fetch a recording into a file, which the lane closes; None if the job has ended meanwhile."""
        with contextlib.ExitStack() as closing:
            file = cast(BinaryIO, closing.enter_context(tempfile.TemporaryFile()))
            size = sum(file.write(block) for block in self._store.audio(claim))
            if size < claim.size:
                return None
            file.seek(0)
            closing.pop_all()
        # Without a size it has a process to itself: its answer does not wait for that of another.
        return Item(claim.name, file=file, wish=replace(claim.wish, longest=self._longest))

    async def _call(self, function: Callable[..., _Value], *arguments: Any) -> _Value:
        """Call the store, again and again until the database is there."""
        while True:
            try:
                return await self._threads.call(function, *arguments)
            except Refusal:
                await asyncio.sleep(_AGAIN)

    async def _beat(self) -> None:
        """Renew the leases, and tidy up, again and again."""
        while True:
            try:
                await self._renew()
                await self._threads.call(self._store.sweep, list(self._hearing))
                counts = await self._threads.call(self._store.counts)
                for state in ("queued", "running", "done", "failed"):
                    self._metrics.jobs.labels(state).set(counts.get(state, 0))
            except Refusal:
                pass
            except Exception as error:
                _log.error("jobs", exc_info=error)
            await asyncio.sleep(BEAT)

    async def _renew(self) -> None:
        """Renew the leases; what is held no longer was deleted, or taken by another, and is given up."""
        seconds = {token: self._seconds(hearing) for token, hearing in self._hearing.items()}
        if not seconds:
            return
        held = await self._threads.call(self._store.renew, seconds)
        for token in seconds.keys() - held:
            hearing = self._hearing.get(token)
            if hearing is not None and hearing.task is not None:
                hearing.task.cancel()

    def _seconds(self, hearing: _Hearing) -> float:
        return self._lane.heard(hearing.item) if hearing.item is not None else 0.0

    async def _hand_back(self) -> None:
        """Let jobs end that are about to, and others wait again."""
        tasks = {hearing.task for hearing in self._hearing.values() if hearing.task is not None}
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=_GRACE)
        tokens = list(self._hearing)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if tokens:
            # Where the database is away their leases lapse.
            with contextlib.suppress(Refusal):
                await self._threads.call(self._store.hand_back, tokens)
