"""A process that hears live streams, each on a thread of its own.

Messages both ways are (kind, number of the stream, what there is to say). To the process: ``open`` with an
`Opening`, ``data`` with bytes, ``end``, ``drop``. From it: first ``ready`` or ``failed``; then ``used`` with
a number of bytes, ``update``, ``final``, and ``error`` with a code and a message.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from voxtrait.errors import AudioError, VoxtraitError
from voxtrait.parallel import end_with_parent
from voxtrait.results import Problem

if TYPE_CHECKING:
    from voxtrait.audio import AudioStream
    from voxtrait.audio.live import Encoding
    from voxtrait.audio.pipe import BytePipe
    from voxtrait.bundle import ModelBundle
    from voxtrait.live import LiveSession
    from voxtrait.predictor import Predictor

__all__ = ["Message", "Opening", "hear"]

#: Kind, number of the stream, and what belongs to it.
Message = tuple[str, int, Any]

#: Seconds between two updates of a stream that arrives faster than it is heard.
_BEHIND: Final = 0.25


@dataclass(frozen=True)
class Opening:
    """How a stream is heard.

    Attributes:
        encoding, rate, channels: as in `voxtrait.audio.live.open_live`.
        model: title of a bundle.
        name: what to call it in the answer.
        longest: seconds after which it is not heard on.
    """

    encoding: Encoding
    rate: int | None
    channels: int
    model: str
    name: str
    longest: float


def hear(connection: Connection, bundles: tuple[ModelBundle, ...]) -> None:
    """Hear streams until the connection closes."""
    # Ctrl-C ends the service in the parent, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    # What a decoder prints there, nobody knows the stream of.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        process = _Process(connection, bundles)
    except Exception as error:
        connection.send(("failed", 0, _problem(error)))
        return
    connection.send(("ready", 0, None))
    process.receive()


class _Process:
    """The streams of this process."""

    def __init__(self, connection: Connection, bundles: tuple[ModelBundle, ...]) -> None:
        from voxtrait.predictor import Predictor

        self._connection = connection
        self._sending = threading.Lock()
        self._predictors = {bundle.title: Predictor(bundle, threads=1) for bundle in bundles}
        self._pipes: dict[int, BytePipe] = {}

    def receive(self) -> None:
        while True:
            try:
                kind, number, said = self._connection.recv()
            except (EOFError, OSError):
                return
            if kind == "open":
                self._open(number, said)
            elif (pipe := self._pipes.get(number)) is None:
                # It has ended, and who sends does not know yet.
                continue
            elif kind == "data":
                pipe.write(said)
            elif kind == "end":
                pipe.end()
            else:
                pipe.drop()

    def _open(self, number: int, opening: Opening) -> None:
        from voxtrait.audio.pipe import BytePipe

        tell = partial(self._tell, number)
        pipe = self._pipes[number] = BytePipe(partial(tell, "used"))
        threading.Thread(target=self._run, args=(number, opening, pipe, tell), daemon=True).start()

    def _run(self, number: int, opening: Opening, pipe: BytePipe, tell: partial[None]) -> None:
        try:
            answer = _listen(self._predictors[opening.model], opening, pipe, tell)
            if not pipe.dropped:
                tell("final", answer)
        except Exception as error:
            tell("error", _problem(error))
        finally:
            del self._pipes[number]

    def _tell(self, number: int, kind: str, said: Any) -> None:
        with self._sending:
            self._connection.send((kind, number, said))


def _problem(error: Exception) -> tuple[str, str]:
    if isinstance(error, VoxtraitError):
        return error.code, error.message
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return "internal", f"voxtrait failed at this stream ({reason})."


def _listen(
    predictor: Predictor, opening: Opening, pipe: BytePipe, tell: partial[None]
) -> dict[str, Any] | None:
    """Hear a stream to its end and return the answer, or None if nobody waits for it.

    Raises:
        AudioError: if not even its beginning can be heard.
        BundleError: if the model fails on it.
    """
    from voxtrait.audio.live import open_live
    from voxtrait.live import LiveSession

    session = LiveSession(predictor, opening.name)
    with open_live(
        pipe, opening.encoding, rate=opening.rate, channels=opening.channels, name=opening.name
    ) as stream:
        warnings = stream.warnings
        try:
            _follow(session, stream, opening.longest, pipe, tell)
        except AudioError as error:
            if not session.time:
                raise
            warnings.append(Problem(error.code, error.message))
    return None if pipe.dropped else session.finish(warnings).to_dict()


def _follow(
    session: LiveSession, stream: AudioStream, longest: float, pipe: BytePipe, tell: partial[None]
) -> None:
    told = 0.0
    for block in stream:
        session.feed(block)
        # What arrives faster than it is heard is told of now and then.
        if pipe.is_empty or time.monotonic() - told > _BEHIND:
            tell("update", session.update().to_dict())
            told = time.monotonic()
        if session.time >= longest:
            message = f"Only the first {session.time:.0f} s were heard: no stream may be longer."
            stream.warnings.append(Problem("too_long", message))
            return
        if pipe.dropped:
            return
