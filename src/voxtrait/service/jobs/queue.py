"""The jobs of a service: taken, watched, fetched and forgotten."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import DBAPIError

from voxtrait.engine import Wish
from voxtrait.errors import AudioError, UsageError
from voxtrait.service.jobs.changes import Changes
from voxtrait.service.jobs.database import CONNECTIONS, Database
from voxtrait.service.jobs.runner import JobRunner, Threads
from voxtrait.service.jobs.store import BLOCK, Job, JobStore
from voxtrait.service.problems import Refusal, refusal_of, stopping
from voxtrait.service.uploads import Upload

if TYPE_CHECKING:
    from voxtrait.service.app import House

__all__ = ["JobQueue"]

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{22}")
#: Seconds between two looks at a job: heard here, so that memory knows; elsewhere, or waiting.
_HERE: Final = 0.5
_ELSEWHERE: Final = 1.0


class JobQueue:
    """The jobs of a service.

    Args:
        house: whose settings count, and whose lane hears.

    Raises:
        UsageError: ``usage`` or ``database`` if the database cannot be used. One that cannot be reached over
            a network may come later.
        MissingExtraError: if its driver is not installed.
    """

    def __init__(self, house: House) -> None:
        settings = house.settings
        self._stopping = house.stopping
        self._database = Database(settings.database_url)
        titles = [bundle.title for bundle in house.catalog.bundles]
        self._store = JobStore(self._database, titles, settings.keep_results, settings.job_queue)
        self._threads = Threads()
        #: Large recordings leave connections to whoever renews leases.
        self._adding = asyncio.Semaphore(CONNECTIONS // 2)
        self._changes = Changes()
        self._runner = JobRunner(
            self._store,
            self._threads,
            house.jobs,
            settings.workers,
            settings.max_duration,
            self._changes,
            house.metrics,
        )
        self._begin()

    def _begin(self) -> None:
        try:
            self._store.check()
        except Refusal as refusal:
            if self._database.is_file:
                raise UsageError("database", refusal.message) from refusal
        except DBAPIError as error:
            reason = " ".join(str(error.orig).split())[:200]
            raise UsageError("database", f"The database of jobs cannot be used: {reason}.") from error

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear jobs for as long as the context lasts; the service is stopping when it ends."""
        waking = asyncio.create_task(self._wake_at_end())
        running = asyncio.create_task(self._runner.run(self._stopping))
        try:
            yield
        finally:
            self._stopping.set()
            await asyncio.wait([waking, running])
            await asyncio.to_thread(self._database.close)

    async def _wake_at_end(self) -> None:
        await self._stopping.wait()
        self._runner.wake()
        self._changes.ring_all()

    async def check(self) -> None:
        """Do nothing if the database is there.

        Raises:
            Refusal: 503 ``database``.
        """
        await self._threads.call(self._store.check)

    async def check_room(self) -> None:
        """Do nothing if one more job can be taken.

        Raises:
            Refusal: 429 ``busy`` if too many wait; 503 ``stopping`` or ``database``.
        """
        if self._stopping.is_set():
            raise stopping()
        await self._threads.call(self._store.check_room)

    async def add(self, upload: Upload, wish: Wish) -> Job:
        """Take a recording as a job.

        Raises:
            Refusal: as `check_room`, or 507 ``no_space``.
        """
        async with self._adding:
            key = await self._threads.call(self._store.add, upload.name, upload.size, wish, _blocks(upload))
        self._runner.wake()
        return await self.find(key)

    async def find(self, key: str) -> Job:
        """Return a job.

        Raises:
            Refusal: 404 ``no_job``, 503 ``database``.
        """
        job = await self._threads.call(self._store.find, _key(key))
        if job is None:
            raise _no_job()
        return self._with_heard(job)

    async def answer(self, key: str) -> dict[str, Any]:
        """Return what was heard in a job, as `Prediction.to_dict`.

        Raises:
            Refusal: 409 ``not_done``; what a failed job failed with; as `find`.
        """
        answer = await self._threads.call(self._store.answer, _key(key))
        if answer is not None:
            return answer
        job = await self.find(key)
        if job.error is not None:
            raise refusal_of(AudioError(job.error["code"], job.error["message"]))
        raise Refusal(409, "not_done", f"The job is {job.state}: its events say when it is done.")

    async def delete(self, key: str) -> None:
        """Stop a job and forget it.

        Raises:
            Refusal: 404 ``no_job``, 503 ``database``.
        """
        there = await self._threads.call(self._store.delete, _key(key))
        self._runner.give_up(key)
        self._changes.ring(key)
        if not there:
            raise _no_job()

    async def watch(self, key: str) -> AsyncIterator[Job | None]:
        """Yield a job at once and at each change until it has ended; None if it is there no more.

        It ends too when the service stops.
        """
        last: Job | None = None
        with self._changes.of(key) as bell:
            while not self._stopping.is_set():
                job: Job | None = None
                try:
                    job = await self._look(key, last)
                except Refusal as refusal:
                    # Without the database there is no news.
                    if refusal.status == 404:
                        yield None
                        return
                if job is not None and job != last:
                    last = job
                    yield job
                    if job.ended:
                        return
                await bell.wait(_ELSEWHERE if self._runner.heard(key) is None else _HERE)

    async def _look(self, key: str, last: Job | None) -> Job:
        if last is not None and last.state == "running" and self._runner.heard(key) is not None:
            return self._with_heard(last)
        return await self.find(key)

    def _with_heard(self, job: Job) -> Job:
        """Return a job with what is heard of it here: the database is told now and then only."""
        seconds = self._runner.heard(job.id) if job.state == "running" else None
        return job if seconds is None else replace(job, heard=round(max(seconds, job.heard or 0.0), 2))


def _no_job() -> Refusal:
    return Refusal(404, "no_job", "There is no such job: it never was, or it was deleted or has expired.")


def _key(key: str) -> str:
    """Return what may be an id: not every text can be asked of a database."""
    if not _KEY.fullmatch(key):
        raise _no_job()
    return key


def _blocks(upload: Upload) -> Iterator[bytes]:
    if upload.file is None:
        content = upload.content or b""
        yield from (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
        return
    upload.file.seek(0)
    while block := upload.file.read(BLOCK):
        yield block
