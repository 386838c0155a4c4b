"""A recording sent while it is made, and what the service says of it meanwhile."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from voxtrait.client.transport import Transport, error_of
from voxtrait.errors import ServiceError, UsageError, require
from voxtrait.live import LiveUpdate
from voxtrait.results import Prediction

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

__all__ = ["LiveStream"]

#: Bytes in a message, at most what the service takes.
_FRAME: Final = 1 << 18
#: Updates kept for who does not look, the newest: two a second, of a minute.
_KEPT: Final = 120
#: Bytes of an answer: that of a day has some ten million.
_LONGEST: Final = 1 << 28
#: Seconds until the connection stands.
_CONNECT: Final = 10.0


class LiveStream:
    """A live stream, as `Client.stream` opens it; for one thread. Close it, or use ``with``.

    >>> with client.stream(rate=16_000) as live:
    ...     for block in microphone:
    ...         live.send(block)
    ...         for update in live.updates():
    ...             print(update.time, update.gender)
    ...     answer = live.finish()

    Attributes:
        model: title of what hears it.
    """

    def __init__(self, transport: Transport, start: Mapping[str, Any]) -> None:
        self._transport = transport
        self._updates: deque[LiveUpdate] = deque(maxlen=_KEPT)
        self._result: Any = None
        self._finished = False
        self._resources = ExitStack()
        self._socket = _connect(transport, self._resources)
        try:
            self._say(json.dumps(start))
            ready = self._hear(transport.timeout)
            if ready["type"] != "ready":
                raise transport.stranger(f"{ready['type']!a} where it should be ready")
            self.model = str(ready["model"])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def over(self) -> bool:
        """Whether there is an answer: after `finish`, or before it when the service takes no more."""
        return self._result is not None

    def close(self) -> None:
        """Close the connection; the service gives the stream up if it is not finished."""
        self._resources.close()

    def send(self, data: bytes) -> None:
        """Send the next bytes, split anywhere; waits while the service has enough to hear.

        What is sent to a stream that is `over` is not heard.

        Raises:
            UsageError: ``usage`` after `finish`.
            VoxtraitError: what the service gave the stream up with.
        """
        self._begin_message()
        for first in range(0, len(data), _FRAME):
            if self.over:
                return
            self._say(data[first : first + _FRAME])
            self._take()

    def updates(self) -> Iterator[LiveUpdate]:
        """Yield what came since the last time, without waiting; of many only those of the last minute.

        Raises:
            VoxtraitError: what the service gave the stream up with.
        """
        self._take()
        while self._updates:
            yield self._updates.popleft()

    def finish(self) -> Prediction:
        """Send the end and wait for the answer: that of a file with all that was sent, with its timeline.

        Raises:
            UsageError: ``usage`` if it is finished already.
            VoxtraitError: what the service gave the stream up with.
        """
        self._begin_message()
        self._finished = True
        if not self.over:
            self._say('{"type": "end"}')
        while not self.over:
            self._note(self._hear(self._transport.timeout))
        try:
            return Prediction.from_dict(self._result)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._transport.stranger("no prediction") from error

    def _begin_message(self) -> None:
        if self._finished:
            raise UsageError("usage", "The stream is finished: open another.")

    def _say(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            self._socket.send(message)
        except ConnectionClosed:
            # Before it was closed something was said that is not read yet.
            while not self.over:
                self._note(self._hear(self._transport.timeout))

    def _take(self) -> None:
        """Take the messages that have come."""
        while not self.over:
            try:
                message = self._hear(0)
            except TimeoutError:
                return
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        if message["type"] == "final":
            self._result = message["result"]
        elif message["type"] == "update":
            self._updates.append(LiveUpdate.from_dict(message))

    def _hear(self, timeout: float) -> dict[str, Any]:
        """Return the next message.

        Raises:
            TimeoutError: if ``timeout`` is 0 and none has come.
            VoxtraitError: what the service gave the stream up with.
        """
        from websockets.exceptions import WebSocketException

        url = self._transport.url
        try:
            message = json.loads(self._socket.recv(timeout))
            kind, error = message["type"], message.get("error")
            refusal = error_of(str(error["code"]), str(error["message"])) if kind == "error" else None
        except TimeoutError as late:
            if not timeout:
                raise
            raise ServiceError("timed_out", f"{url} gave no sign for {timeout:g} seconds.") from late
        except WebSocketException as broken:
            raise ServiceError("broken_off", f"The connection to {url} broke off.") from broken
        except (ValueError, KeyError, TypeError, AttributeError) as odd:
            raise self._transport.stranger("what is no message of it") from odd
        if refusal is not None:
            raise refusal
        return dict(message)


def _connect(transport: Transport, resources: ExitStack) -> ClientConnection:
    require("websockets", "client")
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.sync.client import connect

    scheme, _, rest = transport.url.partition("://")
    try:
        opening = connect(
            f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/stream",
            additional_headers=transport.headers,
            compression=None,
            open_timeout=_CONNECT,
            ping_timeout=transport.timeout,
            max_size=_LONGEST,
        )
        return resources.enter_context(opening)
    except InvalidStatus as error:
        status = error.response.status_code
        raise transport.refusal(status, error.response.body or b"", error.response.headers) from error
    except WebSocketException as error:
        raise transport.stranger(f"no live streams ({error})") from error
    except OSError as error:
        raise transport.unreached(error.strerror or str(error)) from error
