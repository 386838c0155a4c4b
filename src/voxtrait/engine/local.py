"""The engine of one machine: processes that hear, and what is done when one of them dies or hangs."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle
from typing import Any, Final

from voxtrait.engine.ahead import ReadAhead
from voxtrait.engine.interrupts import deaf_to_interrupts
from voxtrait.engine.items import Item
from voxtrait.engine.worker import BOARD_SIZE, SMALL, Board, Plan, cancelled, failure, work
from voxtrait.errors import UsageError, VoxtraitError

__all__ = ["Answered", "LocalEngine"]

#: An item and its answer, as `Prediction.to_dict` gives it.
Answered = tuple[Item, dict[str, Any]]

#: Files and bytes that a process is given at once, and chunks that it may have.
CHUNK: Final = 16
_CHUNK_BYTES: Final = 8 << 20
_IN_HAND: Final = 2
#: Seconds between two looks at whether somebody hangs.
_LOOK: Final = 0.5
#: Of the time between two looks no more counts: the whole run may have been stopped and continued.
_AWAKE: Final = 2.0
#: Seconds to wait for a process that was killed: in the middle of a read from a store that does not
#: answer, it stays.
_DYING: Final = 10.0
#: Deaths in a row, before anything was heard, after which it is not the recordings' fault.
_STILLBORN: Final = 3
#: Deaths at a recording after which it is not heard.
_DEADLY: Final = 2


@dataclass
class _Task:
    """An item on its way.

    Attributes:
        suspect: whether a process may have died at it: it is given alone.
        deaths: processes that died at it for certain.
    """

    number: int
    item: Item
    suspect: bool = False
    deaths: int = 0

    @property
    def has_file(self) -> bool:
        return self.item.file is not None

    def portable(self) -> Item:
        """Return the item without what stays in this process."""
        return replace(self.item, file=None, unwanted=None)


@dataclass(eq=False)
class _Worker:
    """A process and the chunks that it has, the first of which it is hearing."""

    process: Any
    connection: Connection
    board: Board
    chunks: deque[list[_Task]] = field(default_factory=deque)
    ready: bool = False
    #: What it was last seen at, and when first so.
    seen: list[tuple[tuple[int | None, float], float]] = field(default_factory=list)

    def send(self, chunk: list[_Task]) -> None:
        self.chunks.append(chunk)
        self.connection.send([(task.number, task.portable(), task.has_file) for task in chunk])
        for task in chunk:
            if task.item.file is not None:
                send_handle(self.connection, task.item.file.fileno(), self.process.pid)

    @property
    def takes_more(self) -> bool:
        """Whether it can be given another chunk: nothing waits behind a long file or a suspect."""
        return len(self.chunks) < _IN_HAND and not any(
            task.suspect or not _is_small(task.item) for chunk in self.chunks for task in chunk
        )

    def stuck(self, clock: float, limit: float) -> int | None:
        """Return the number of an item with which nothing has gone on for ``limit`` seconds."""
        before = self.seen or [((None, 0.0), clock)] * 2
        self.seen = [
            (work, since if work == last else clock)
            for work, (last, since) in zip(self.board.works, before, strict=True)
        ]
        numbers = (work[0] for work, since in self.seen if clock - since > limit)
        return next((number for number in numbers if number is not None), None)

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join(_DYING)
        if self.process.exitcode is not None:
            self.process.close()


class LocalEngine:
    """Hears items in processes of this machine, which stay for the next `run` until `close`.

    A process that dies costs nothing but the file that it died at, if it dies at it again alone; one that
    makes no headway with a file for ``time_limit`` seconds is ended, and that file has its answer: an error.

    Args:
        plan: how to hear.
        workers: processes.
        time_limit: seconds without headway.
        chunk: files that a process is given at once, at most: their answers come together.
        eager: whether all processes start at once, and not when there is something for them.
    """

    def __init__(
        self, plan: Plan, workers: int, time_limit: float, *, chunk: int = CHUNK, eager: bool = False
    ) -> None:
        self._plan = plan
        self._chunk_size = chunk
        self._eager = eager
        self._count = workers
        self._limit = time_limit
        self._context = get_context("spawn")
        self._workers: list[_Worker] = []
        self._again: deque[_Task] = deque()
        self._drawn = 0
        self._stillborn = 0
        self._heard = 0.0
        self._clock = 0.0
        self._looked = time.monotonic()

    @property
    def heard(self) -> float:
        """Seconds of audio so far."""
        return self._heard + sum(worker.board.heard for worker in self._workers)

    @property
    def ready(self) -> bool:
        """Whether a process waits for recordings, or hears one."""
        return any(worker.ready for worker in list(self._workers))

    def heard_of(self, item: Item) -> float:
        """Return the seconds of an item that were heard so far; may be asked by any thread."""
        return sum(worker.board.heard_of(number) for worker, number in self._places(item))

    def give_up(self, item: Item) -> None:
        """Give an item up that has no answer yet: that is the error ``cancelled`` then; from any thread."""
        if item.unwanted is not None:
            item.unwanted.set()
        for worker, number in self._places(item):
            worker.board.give_up(number)

    def _places(self, item: Item) -> list[tuple[_Worker, int]]:
        return [
            (worker, task.number)
            for worker in list(self._workers)
            for chunk in list(worker.chunks)
            for task in chunk
            if task.item is item
        ]

    def run(self, items: Iterable[Item]) -> Generator[Answered | None]:
        """Yield an answer for each item, and None now and then while there is none.

        Raises:
            BundleError: if the model cannot be used.
            UsageError: ``workers`` if processes die before they begin.
        """
        with ReadAhead(items) as ahead:
            while self._eager and len(self._workers) < self._count:
                self._start()
            while True:
                ahead.hush()
                yield from self._give(ahead)
                if not self._is_busy() and not self._again and ahead.done:
                    return
                yield from self._collect(ahead)
                yield from self._end_stuck()
                yield None

    def _is_busy(self) -> bool:
        return any(worker.chunks for worker in self._workers)

    def _give(self, ahead: ReadAhead) -> Iterator[Answered]:
        """Give chunks to whoever takes more; start processes while there is more than they take."""
        while (free := self._free()) or len(self._workers) < self._count:
            idle, full = bool(free) and not free[0].chunks, len(self._workers) == self._count
            if self._again and self._again[0].suspect and full and not idle:
                # It has a process to itself, so that there is no doubt if that dies too.
                return
            chunk, known = self._chunk(ahead, 0.0 if self._is_busy() else _LOOK)
            yield from known
            if not chunk and not known:
                return
            if not chunk:
                continue
            # An idle process first, then a new one, then one that is at work.
            if idle or full:
                self._send(free[0], chunk)
            else:
                self._send(self._start(), chunk)

    def _free(self) -> list[_Worker]:
        free = [worker for worker in self._workers if worker.takes_more]
        return sorted(free, key=lambda worker: len(worker.chunks))

    def _chunk(self, ahead: ReadAhead, patience: float) -> tuple[list[_Task], list[Answered]]:
        """Draw the next chunk: some small files, or one; and what needs no hearing."""
        if self._again:
            return [self._again.popleft()], []
        chunk: list[_Task] = []
        known: list[Answered] = []
        size = 0
        while len(chunk) + len(known) < self._chunk_size:
            item = ahead.peek(0.0 if chunk or known else patience)
            if item is None:
                break
            if item.problem is not None:
                known.append((ahead.take(), self._failure(item, item.problem.code, item.problem.message)))
                continue
            if item.unwanted is not None and item.unwanted.is_set():
                known.append((ahead.take(), self._failure(item, *cancelled(item.name))))
                continue
            size += _size(item)
            if chunk and (size > _CHUNK_BYTES or not _is_small(item)):
                break
            self._drawn += 1
            chunk.append(_Task(self._drawn, ahead.take()))
            if not _is_small(item):
                break
        return chunk, known

    def _send(self, worker: _Worker, chunk: list[_Task]) -> None:
        # If it has just died, `_collect` finds out, and takes the chunk back.
        with contextlib.suppress(OSError):
            worker.send(chunk)

    def _start(self) -> _Worker:
        numbers = self._context.RawArray("d", BOARD_SIZE)
        board = Board(numbers)
        board.clear()
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, numbers, self._plan), daemon=True)
        try:
            with deaf_to_interrupts():
                process.start()
        except OSError as error:
            reason = error.strerror or error
            raise UsageError("workers", f"A process that hears cannot be started: {reason}.") from error
        theirs.close()
        worker = _Worker(process, ours, board)
        self._workers.append(worker)
        return worker

    def _collect(self, ahead: ReadAhead) -> Iterator[Answered]:
        """Take the answers that are there, after waiting a little for one, or for an item to give."""
        connections = {worker.connection: worker for worker in self._workers}
        gives = self._free() or len(self._workers) < self._count
        bells = [ahead.bell] if gives and not self._again else []
        for connection in wait([*connections, *bells], _LOOK):
            if connection is ahead.bell:
                continue
            assert isinstance(connection, Connection)
            worker = connections[connection]
            try:
                message = connection.recv()
            except (EOFError, OSError):
                yield from self._bury(worker)
                continue
            if isinstance(message, VoxtraitError):
                raise message
            if message is None:
                worker.ready = True
                continue
            self._stillborn = 0
            for task, answer in zip(worker.chunks.popleft(), message, strict=True):
                yield task.item, answer

    def _bury(self, worker: _Worker) -> Iterator[Answered]:
        """Take back what a dead process had; the file that it died at is given once more, alone."""
        hearing = worker.chunks[0] if worker.chunks else []
        worker.process.join(_DYING)
        death = _death(worker.process.exitcode)
        tasks = self._remove(worker)
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn == _STILLBORN:
                raise UsageError(
                    "workers", f"The processes that hear die before they begin ({death}): try fewer workers."
                )
            self._again.extend(tasks)
            return
        suspects, culprit = _blamed(worker.board, hearing)
        for task in tasks:
            task.suspect |= task.number in suspects
            task.deaths += task.number == culprit
            if task.deaths == _DEADLY:
                message = f"{task.item.name}: the process that heard it died twice ({death})."
                yield task.item, self._failure(task.item, "decoder_died", message)
            else:
                self._again.append(task)

    def _end_stuck(self) -> Iterator[Answered]:
        """End the processes that make no headway; the file that each is at has its answer."""
        now = time.monotonic()
        self._clock += min(now - self._looked, _AWAKE)
        self._looked = now
        for worker in [worker for worker in self._workers if worker.ready]:
            culprit = worker.stuck(self._clock, self._limit)
            if culprit is None:
                continue
            for task in self._remove(worker):
                if task.number == culprit:
                    message = f"{task.item.name}: nothing of it could be read for {self._limit:.0f} s."
                    yield task.item, self._failure(task.item, "timed_out", message)
                else:
                    self._again.append(task)

    def _remove(self, worker: _Worker) -> list[_Task]:
        """End a process and return what it had not answered."""
        self._workers.remove(worker)
        self._heard += worker.board.heard
        tasks = [task for chunk in worker.chunks for task in chunk]
        worker.end()
        return tasks

    def close(self) -> None:
        """End the processes."""
        while self._workers:
            self._remove(self._workers[0])

    def _failure(self, item: Item, code: str, message: str) -> dict[str, Any]:
        return failure(item.name, code, message, self._plan.title(item))


def _size(item: Item) -> int:
    if item.content is not None:
        return len(item.content)
    return SMALL + 1 if item.size is None else item.size


def _is_small(item: Item) -> bool:
    return _size(item) <= SMALL


def _blamed(board: Board, hearing: list[_Task]) -> tuple[list[int], int | None]:
    """Return the numbers of items that a process may have died at, and of the one it was for certain, if any.

    Args:
        board: of the process.
        hearing: the chunk that it was hearing.
    """
    at = [number for number, _ in board.works if number is not None]
    if at:
        # Of what was heard and what was read ahead, the latter is blamed only if it dies alone.
        return at, at[0]
    # Between two files of a chunk none of them is more suspect than another.
    numbers = [task.number for task in hearing]
    return numbers, numbers[0] if len(numbers) == 1 else None


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
