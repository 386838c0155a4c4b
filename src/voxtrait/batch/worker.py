"""A process that hears recordings: chunks of items in, answers out, one connection.

What decodes runs here and not where the data set is written: a decoder that dies takes this process with it,
one that hangs is ended with it. A board in shared memory tells the other side what is being done.
"""

from __future__ import annotations

import io
import os
import queue
import signal
import threading
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from voxtrait.batch.items import Item
from voxtrait.batch.remote import is_address, open_remote, read_remote
from voxtrait.errors import AudioError, UsageError, VoxtraitError
from voxtrait.parallel import end_with_parent

if TYPE_CHECKING:
    from voxtrait.audio import AudioSource
    from voxtrait.bundle import ModelBundle
    from voxtrait.predictor import Predictor

__all__ = ["BOARD_SIZE", "SMALL", "Board", "Plan", "work"]

#: Bytes of a file that is read as a whole, ahead of its turn, and heard together with others.
SMALL: Final = 2 << 20

#: Numbers on a board.
BOARD_SIZE: Final = 5
_NOTHING: Final = -1.0


@dataclass(frozen=True)
class Plan:
    """How recordings are heard.

    Attributes:
        bundle: the model.
        segments, speakers, channel: as in `Predictor.predict`.
    """

    bundle: ModelBundle
    segments: bool = False
    speakers: bool = False
    channel: int | None = None


class Board:
    """What a process is doing, written by it and read by another.

    Args:
        numbers: shared memory for `BOARD_SIZE` doubles.
    """

    def __init__(self, numbers: Any) -> None:
        self._numbers = numbers

    def clear(self) -> None:
        """Begin anew."""
        self._numbers[:] = [_NOTHING, 0.0, _NOTHING, 0.0, 0.0]

    def listens(self, number: int | None, seconds: float = 0.0) -> None:
        """Note the number of the item that is being heard, and how much more of it was."""
        self._numbers[1] += 1
        self._numbers[0] = _NOTHING if number is None else number
        self._numbers[4] += seconds

    def reads(self, number: int | None) -> None:
        """Note the number of the item that is being read, ahead of its turn."""
        self._numbers[3] += 1
        self._numbers[2] = _NOTHING if number is None else number

    @property
    def heard(self) -> float:
        """Seconds of audio since `clear`."""
        return float(self._numbers[4])

    @property
    def works(self) -> tuple[tuple[int | None, float], tuple[int | None, float]]:
        """What is being heard and what is being read: the number of the item, and a count of headway."""
        hears, heard, reads, read, _ = self._numbers
        return (
            (None if hears == _NOTHING else int(hears), heard),
            (None if reads == _NOTHING else int(reads), read),
        )


#: Items with their numbers, and what is heard of each.
_Chunk = list[tuple[int, Item]]
_Read = list[tuple[int, Item, "AudioSource | AudioError"]]


def work(connection: Connection, numbers: Any, plan: Plan) -> None:
    """Answer chunks of numbered items by lists of `Prediction.to_dict`, until the connection closes.

    What is sent first is None, or the `VoxtraitError` for which no recording can be heard.
    """
    # Ctrl-C ends the run in the parent, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    # What a decoder prints there, nobody knows the file of.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    board = Board(numbers)
    arrived: queue.Queue[_Chunk | None] = queue.Queue()
    read: queue.Queue[_Read | None] = queue.Queue(1)
    # Apart from reading, which may hang: who sends a chunk must never wait for that.
    threading.Thread(target=_receive, args=(connection, arrived), daemon=True).start()
    try:
        from voxtrait.predictor import Predictor

        predictor = Predictor(plan.bundle, threads=1)
    except Exception as error:
        connection.send(error if isinstance(error, VoxtraitError) else _no_start(error))
        return
    connection.send(None)
    threading.Thread(target=_read_ahead, args=(arrived, board, read), daemon=True).start()
    hearing = _Hearing(predictor, plan, board)
    while (chunk := read.get()) is not None:
        connection.send(hearing.answers(chunk))


class _Hearing:
    """Hears chunks with one predictor."""

    def __init__(self, predictor: Predictor, plan: Plan, board: Board) -> None:
        self._predictor = predictor
        self._plan = plan
        self._board = board

    def answers(self, chunk: _Read) -> list[dict[str, Any]]:
        """Return an answer for each item, in order."""
        title = self._plan.bundle.title
        sources = {number: source for number, _, source in chunk if not isinstance(source, AudioError)}
        try:
            found = self._hear(sources)
        except Exception:
            # A fault of the program at one of them: the others are to have their answers.
            found = {number: self._alone(number, source) for number, source in sources.items()}
        self._board.listens(None)
        answers = []
        for number, item, source in chunk:
            if isinstance(source, AudioError):
                answers.append(failure(item.name, source.code, source.message, title))
                continue
            answers.append({**found[number], "file": item.name})
            if isinstance(source, io.IOBase):
                source.close()
        return answers

    def _hear(self, sources: dict[int, AudioSource]) -> dict[int, dict[str, Any]]:
        numbers, recordings = list(sources), list(sources.values())
        options = {name: getattr(self._plan, name) for name in ("channel", "segments", "speakers")}
        if len(numbers) == 1:
            # It may be long: listening and the model run each on a thread of its own.
            self._board.listens(numbers[0])
            tick = partial(self._board.listens, numbers[0])
            heard = list(self._predictor.predict_many(recordings, tick=tick, **options))
        else:

            def tick_at(place: int, seconds: float) -> None:
                self._board.listens(numbers[place], seconds)

            heard = self._predictor.predict_together(recordings, tick=tick_at, **options)
        return {number: answer.to_dict() for number, answer in zip(numbers, heard, strict=True)}

    def _alone(self, number: int, source: AudioSource) -> dict[str, Any]:
        try:
            return self._hear({number: source})[number]
        except Exception as error:
            message = f"voxtrait failed at it ({_reason(error)})."
            return failure("", "internal", message, self._plan.bundle.title)


def _no_start(error: Exception) -> UsageError:
    return UsageError("workers", f"The processes that hear cannot begin ({_reason(error)}).")


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def failure(name: str, code: str, message: str, title: str) -> dict[str, Any]:
    """Return the answer for a recording that cannot be heard, as `Prediction.to_dict` does."""
    from voxtrait.results import Prediction, Problem

    problem = Problem(code, message)
    return Prediction(name, "error", None, None, None, None, title, error=problem).to_dict()


class _Content(io.BytesIO):
    """The bytes of a recording, under its name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def _receive(connection: Connection, arrived: queue.Queue[_Chunk | None]) -> None:
    while True:
        try:
            arrived.put(connection.recv())
        except (EOFError, OSError):
            arrived.put(None)
            return


def _read_ahead(arrived: queue.Queue[_Chunk | None], board: Board, read: queue.Queue[_Read | None]) -> None:
    """Fetch the next chunk's files while this one's are heard: a store that is far away costs no waiting."""
    while (items := arrived.get()) is not None:
        chunk: _Read = []
        for number, item in items:
            board.reads(number)
            chunk.append((number, item, _source(item)))
        board.reads(None)
        read.put(chunk)
    read.put(None)


def _source(item: Item) -> AudioSource | AudioError:
    if item.content is not None:
        return _Content(item.content, item.name)
    small = item.size is not None and item.size <= SMALL
    try:
        if is_address(item.path):
            return _Content(read_remote(item.path), item.name) if small else _named(item)
        if small:
            return _Content(Path(item.path).read_bytes(), item.name)
    except AudioError as error:
        return error
    except (OSError, ValueError):
        # Opening it where it is heard says what is wrong with it.
        pass
    return item.path


def _named(item: Item) -> BinaryIO:
    file: Any = open_remote(item.path)
    file.name = item.name
    return cast(BinaryIO, file)
