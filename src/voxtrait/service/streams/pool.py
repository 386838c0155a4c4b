"""The event loop's side of live streams: which process hears which, and what lies between."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, Literal

from voxtrait.bundle import ModelBundle
from voxtrait.engine.interrupts import deaf_to_interrupts
from voxtrait.errors import VoxtraitError
from voxtrait.service.streams.worker import Message, Opening, hear

if TYPE_CHECKING:
    from voxtrait.service.app import House

__all__ = ["LiveStream", "StreamHouse"]

#: Bytes of a stream that may lie unused in all, and that are sent to its process at once.
_UNUSED: Final = 1 << 20
_PIECE: Final = 1 << 17
#: Seconds without headway after which a process is taken for dead, and between two looks for that.
_HANGS: Final = 30.0
_LOOK: Final = 1.0
#: Of the time between two looks no more counts: the whole machine may have been asleep.
_AWAKE: Final = 2.0
#: Seconds for a process to begin, and to wait for one that was killed.
_BEGINS: Final = 60.0
_DYING: Final = 5.0

_DIED: Final = "The process that heard this stream died: begin a new one."


class LiveStream:
    """One stream, as `StreamHouse.open` gives it."""

    def __init__(self, process: _Process, number: int) -> None:
        self._process = process
        self._number = number
        self._unused = 0
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._update: dict[str, Any] | None = None
        self._final: dict[str, Any] | None = None
        self._error: VoxtraitError | None = None
        self._ending = False
        #: Seconds since it was last heard of while there was something to do.
        self._silent = 0.0

    async def feed(self, data: bytes) -> None:
        """Send the next bytes, split anywhere; waits while as many lie unused as may."""
        for first in range(0, len(data), _PIECE):
            piece = data[first : first + _PIECE]
            while self._unused + len(piece) > _UNUSED and not self._over:
                self._room.clear()
                await self._room.wait()
            if self._over:
                return
            self._unused += len(piece)
            self._process.send("data", self._number, piece)

    def end(self) -> None:
        """Send the end; doing so twice is doing so once."""
        if not self._ending and not self._over:
            self._ending = True
            self._process.send("end", self._number, None)

    async def news(self) -> tuple[Literal["update", "final"], dict[str, Any]]:
        """Wait for the newest update, or for the answer, after which there is nothing.

        Raises:
            VoxtraitError: if the stream cannot be heard; ``decoder_died`` if its process died or hung.
        """
        await self._news.wait()
        if self._error is not None:
            raise self._error
        if self._final is not None:
            return "final", self._final
        self._news.clear()
        assert self._update is not None
        return "update", self._update

    def give_up(self) -> None:
        """Let it be forgotten."""
        self._process.forget(self._number)

    @property
    def _over(self) -> bool:
        return self._final is not None or self._error is not None

    def arrived(self, kind: str, said: Any) -> None:
        """Take a message of its process."""
        self._silent = 0.0
        if kind == "used":
            self._unused -= said
            self._room.set()
            return
        if kind == "update":
            self._update = said
        elif kind == "final":
            self._final = said
        else:
            self._error = VoxtraitError(*said)
        self._news.set()
        if self._over:
            self._room.set()

    def hangs(self, seconds: float) -> bool:
        """Take the time that went by and return whether its process does nothing for it."""
        busy = (self._unused > 0 or self._ending) and not self._over
        self._silent = self._silent + seconds if busy else 0.0
        return self._silent > _HANGS


class StreamHouse:
    """All live streams of a service; a process is started when there is a stream for it.

    Args:
        house: its settings say how many streams and processes there may be, its catalog which models.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._processes: list[_Process] = []
        self._numbers = itertools.count()
        self._starting = asyncio.Lock()
        self._count = 0
        self._none_open = asyncio.Event()
        self._none_open.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End all processes with the context, and with them what streams there are."""
        try:
            yield
        finally:
            await asyncio.gather(*(process.end() for process in list(self._processes)))

    @asynccontextmanager
    async def open(self, opening: Opening) -> AsyncIterator[LiveStream]:
        """Begin a stream and give it up with the context.

        Raises:
            VoxtraitError: ``busy`` if there are as many as there may be, ``decoder_died`` if no process
                begins, or what keeps a process from beginning.
        """
        most = self._house.settings.streams
        if self._count >= most:
            raise VoxtraitError("busy", f"{most} live streams are being heard already: try again later.")
        self._change(1)
        try:
            async with self._starting:
                process = await self._free()
                stream = process.open(next(self._numbers), opening)
            try:
                yield stream
            finally:
                stream.give_up()
        finally:
            self._change(-1)

    async def drained(self, seconds: float) -> None:
        """Wait until no stream is open, for so long at most: those that are told to stop still answer."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._none_open.wait(), seconds)

    def _change(self, by: int) -> None:
        self._count += by
        self._house.metrics.streams.set(self._count)
        if self._count:
            self._none_open.clear()
        else:
            self._none_open.set()

    async def _free(self) -> _Process:
        """Return the process with the fewest streams; a new one where all have some and one more may be."""
        fewest = min(self._processes, key=lambda process: len(process.streams), default=None)
        most = self._house.settings.workers
        if fewest is not None and (not fewest.streams or len(self._processes) >= most):
            return fewest
        process = _Process(self._house.catalog.bundles, self._processes)
        await process.begin()
        return process


class _Process:
    """A process and its streams by number.

    Two threads carry what is sent: pipes block, and the event loop must not.

    Args:
        bundles: the models.
        alive: the list that this process leaves when it ends.
    """

    def __init__(self, bundles: tuple[ModelBundle, ...], alive: list[_Process]) -> None:
        self.streams: dict[int, LiveStream] = {}
        self._bundles = bundles
        self._alive = alive
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._outgoing: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._process: Any = None
        self._connection: Connection | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        try:
            await asyncio.to_thread(self._start)
            await asyncio.wait_for(self._ready, _BEGINS)
        except BaseException as error:
            await self.end()
            if isinstance(error, TimeoutError | OSError):
                raise VoxtraitError("decoder_died", "No process that hears streams could begin.") from error
            raise
        self._alive.append(self)
        self._watch = asyncio.create_task(self._look())

    def _start(self) -> None:
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=hear, args=(theirs, self._bundles), daemon=True)
        with deaf_to_interrupts():
            self._process.start()
        theirs.close()
        threading.Thread(target=self._receive, daemon=True).start()
        threading.Thread(target=self._send, daemon=True).start()

    def open(self, number: int, opening: Opening) -> LiveStream:
        stream = self.streams[number] = LiveStream(self, number)
        self.send("open", number, opening)
        return stream

    def send(self, kind: str, number: int, said: Any) -> None:
        self._outgoing.put((kind, number, said))

    def forget(self, number: int) -> None:
        if self.streams.pop(number, None) is not None:
            self.send("drop", number, None)

    async def end(self) -> None:
        """Kill it; its streams are told."""
        if self in self._alive:
            self._alive.remove(self)
        if self._watch is not None and self._watch is not asyncio.current_task():
            self._watch.cancel()
        for stream in self.streams.values():
            stream.arrived("error", ("decoder_died", _DIED))
        self.streams.clear()
        self._outgoing.put(None)
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.join, _DYING)

    def _send(self) -> None:
        assert self._connection is not None
        # A process that died is told of by the other thread.
        with contextlib.suppress(OSError):
            while (message := self._outgoing.get()) is not None:
                self._connection.send(message)

    def _receive(self) -> None:
        assert self._connection is not None
        # The loop may be closed before its processes are.
        with contextlib.suppress(RuntimeError):
            while True:
                try:
                    message = self._connection.recv()
                except (EOFError, OSError):
                    self._loop.call_soon_threadsafe(self._died)
                    return
                self._loop.call_soon_threadsafe(self._arrived, message)

    def _arrived(self, message: Message) -> None:
        kind, number, said = message
        if kind in ("ready", "failed"):
            if self._ready.done():
                return
            if kind == "ready":
                self._ready.set_result(None)
            else:
                self._ready.set_exception(VoxtraitError(*said))
        elif (stream := self.streams.get(number)) is not None:
            stream.arrived(kind, said)

    def _died(self) -> None:
        if not self._ready.done():
            self._ready.set_exception(
                VoxtraitError("decoder_died", "A process that hears streams died at once.")
            )
        elif self in self._alive:
            self._ending = self._loop.create_task(self.end())

    async def _look(self) -> None:
        """Kill the process when it does nothing for one of its streams."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK)
            now = time.monotonic()
            passed, before = min(now - before, _AWAKE), now
            stuck = [number for number, stream in self.streams.items() if stream.hangs(passed)]
            if stuck:
                await self.end()
                return
