"""A process that hears recordings: chunks of items in, answers out, one connection.

What decodes runs here and not where the data set is written: a decoder that dies takes this process with it,
one that hangs is ended with it. A board in shared memory tells the other side what is being done.
"""

from __future__ import annotations

import io
import itertools
import os
import queue
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from voxtrait.engine.items import Item, Wish
from voxtrait.engine.remote import is_address, open_remote, read_remote
from voxtrait.errors import AudioError, UsageError, VoxtraitError
from voxtrait.parallel import end_with_parent

if TYPE_CHECKING:
    from voxtrait.audio import AudioSource
    from voxtrait.bundle import ModelBundle
    from voxtrait.predictor import Predictor

__all__ = ["BOARD_SIZE", "SMALL", "Board", "Plan", "cancelled", "failure", "work"]

#: Bytes of a file that is read as a whole, ahead of its turn, and heard together with others.
SMALL: Final = 2 << 20

#: Numbers on a board.
BOARD_SIZE: Final = 7
_NOTHING: Final = -1.0


@dataclass(frozen=True)
class Plan:
    """How recordings are heard.

    Attributes:
        bundles: the models, of different titles.
        wish: of items without one of their own.
        niceness: by how much the processes give way to others.
    """

    bundles: tuple[ModelBundle, ...]
    wish: Wish = field(default_factory=Wish)
    niceness: int = 0

    def title(self, item: Item) -> str:
        """Return the name and version of the model that hears an item."""
        return (item.wish or self.wish).model or self.bundles[0].title


class Board:
    """What a process is doing, written by it and read by another.

    Args:
        numbers: shared memory for `BOARD_SIZE` doubles.
    """

    def __init__(self, numbers: Any) -> None:
        self._numbers = numbers

    def clear(self) -> None:
        """Begin anew."""
        self._numbers[:] = [_NOTHING, 0.0, _NOTHING, 0.0, 0.0, 0.0, _NOTHING]

    def listens(self, number: int | None, seconds: float = 0.0) -> None:
        """Note the number of the item that is being heard, and how much more of it was."""
        self._numbers[1] += 1
        place = _NOTHING if number is None else number
        if self._numbers[0] != place:
            self._numbers[0], self._numbers[5] = place, 0.0
        self._numbers[4] += seconds
        self._numbers[5] += seconds

    def reads(self, number: int | None) -> None:
        """Note the number of the item that is being read, ahead of its turn."""
        self._numbers[3] += 1
        self._numbers[2] = _NOTHING if number is None else number

    @property
    def heard(self) -> float:
        """Seconds of audio since `clear`."""
        return float(self._numbers[4])

    def heard_of(self, number: int) -> float:
        """Return the seconds of an item that is being heard; 0.0 for any other."""
        return float(self._numbers[5]) if self._numbers[0] == number else 0.0

    def give_up(self, number: int) -> None:
        """Ask that an item is given up; the last one asked for counts."""
        self._numbers[6] = number

    def is_given_up(self, number: int) -> bool:
        """Return whether an item is to be given up."""
        return bool(self._numbers[6] == number)

    @property
    def works(self) -> tuple[tuple[int | None, float], tuple[int | None, float]]:
        """What is being heard and what is being read: the number of the item, and a count of headway."""
        hears, heard, reads, read = self._numbers[:4]
        return (
            (None if hears == _NOTHING else int(hears), heard),
            (None if reads == _NOTHING else int(reads), read),
        )


#: Items with their numbers, and what is heard of each.
_Chunk = list[tuple[int, Item]]
_Read = list[tuple[int, Item, "AudioSource | AudioError"]]
_Sources = dict[int, tuple[Item, "AudioSource | AudioError"]]


def work(connection: Connection, numbers: Any, plan: Plan) -> None:
    """Answer chunks of numbered items by lists of `Prediction.to_dict`, until the connection closes.

    What is sent first is None, or the `VoxtraitError` for which no recording can be heard.
    """
    # Ctrl-C ends the run in the parent, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if plan.niceness:
        os.nice(plan.niceness)
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

        predictors = {bundle.title: Predictor(bundle, threads=1) for bundle in plan.bundles}
    except Exception as error:
        connection.send(error if isinstance(error, VoxtraitError) else _no_start(error))
        return
    connection.send(None)
    threading.Thread(target=_read_ahead, args=(arrived, board, read), daemon=True).start()
    hearing = _Hearing(predictors, plan, board)
    while (chunk := read.get()) is not None:
        connection.send(hearing.answers(chunk))


class _Hearing:
    """Hears chunks, with a predictor for each model."""

    def __init__(self, predictors: dict[str, Predictor], plan: Plan, board: Board) -> None:
        self._predictors = predictors
        self._plan = plan
        self._board = board

    def answers(self, chunk: _Read) -> list[dict[str, Any]]:
        """Return an answer for each item, in order."""
        found: dict[int, dict[str, Any]] = {}
        # Those that are to be heard alike share runs of the model.
        for _, group in itertools.groupby(chunk, key=lambda read: self._wish(read[1])):
            found |= self._group({number: (item, source) for number, item, source in group})
        self._board.listens(None)
        answers = []
        for number, item, source in chunk:
            if isinstance(source, AudioError):
                answers.append(failure(item.name, source.code, source.message, self._plan.title(item)))
                continue
            answers.append({**found[number], "file": item.name})
            if isinstance(source, io.IOBase):
                source.close()
        return answers

    def _wish(self, item: Item) -> Wish:
        return item.wish or self._plan.wish

    def _group(self, group: _Sources) -> dict[int, dict[str, Any]]:
        """Hear items of one wish; where the program fails at one of them, the others have their answers."""
        readable = {number: read for number, read in group.items() if not isinstance(read[1], AudioError)}
        try:
            return self._hear(readable)
        except Exception:
            return {number: self._alone(number, *read) for number, read in readable.items()}

    def _hear(self, group: _Sources) -> dict[int, dict[str, Any]]:
        if not group:
            return {}
        items = {number: item for number, (item, _) in group.items()}
        numbers, recordings = list(group), [cast("AudioSource", source) for _, source in group.values()]
        first = items[numbers[0]]
        wish = self._wish(first)
        predictor = self._predictors[self._plan.title(first)]
        tick = self._ticker(items, wish.longest)
        options: Any = {name: getattr(wish, name) for name in ("channel", "segments", "speakers")}
        if len(numbers) == 1:
            # It may be long: listening and the model run each on a thread of its own.
            self._board.listens(numbers[0])
            heard = list(predictor.predict_many(recordings, tick=lambda more: tick(0, more), **options))
        else:
            heard = predictor.predict_together(recordings, tick=tick, **options)
        return {number: answer.to_dict() for number, answer in zip(numbers, heard, strict=True)}

    def _ticker(self, items: dict[int, Item], longest: float | None) -> Callable[[int, float], None]:
        """Return what is told the seconds heard of the item at a place; it raises to give it up."""
        numbers = list(items)

        def tick(place: int, seconds: float) -> None:
            number = numbers[place]
            self._board.listens(number, seconds)
            name = items[number].name
            if self._board.is_given_up(number):
                raise AudioError(*cancelled(name))
            if longest is not None and self._board.heard_of(number) > longest:
                raise AudioError("too_long", f"{name} is longer than the {longest:g} seconds that are heard.")

        return tick

    def _alone(self, number: int, item: Item, source: AudioSource | AudioError) -> dict[str, Any]:
        try:
            return self._hear({number: (item, source)})[number]
        except Exception as error:
            message = f"voxtrait failed at it ({_reason(error)})."
            return failure("", "internal", message, self._plan.title(item))


def _no_start(error: Exception) -> UsageError:
    return UsageError("workers", f"The processes that hear cannot begin ({_reason(error)}).")


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def failure(name: str, code: str, message: str, title: str) -> dict[str, Any]:
    """Return the answer for a recording that cannot be heard, as `Prediction.to_dict` does."""
    from voxtrait.results import Prediction, Problem

    problem = Problem(code, message)
    return Prediction(name, "error", None, None, None, None, title, error=problem).to_dict()


def cancelled(name: str) -> tuple[str, str]:
    """Return code and message of what is given up because nobody wants it any more."""
    return "cancelled", f"{name} is not wanted any more."


class _Content(io.BytesIO):
    """The bytes of a recording, under its name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def _receive(connection: Connection, arrived: queue.Queue[_Chunk | None]) -> None:
    while True:
        try:
            chunk = connection.recv()
            arrived.put(
                [(number, _with_file(item, connection, has_file)) for number, item, has_file in chunk]
            )
        except (EOFError, OSError):
            arrived.put(None)
            return


def _with_file(item: Item, connection: Connection, has_file: bool) -> Item:
    """Return an item with the file whose descriptor follows."""
    if not has_file:
        return item
    raw = io.FileIO(recv_handle(connection), "rb")
    raw.name = item.name
    return replace(item, file=io.BufferedReader(raw))


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
    if item.file is not None:
        return item.file
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
