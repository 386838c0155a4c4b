"""Clients of live streams."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from service_toys import Service
from voice_toys import RATE, Samples

__all__ = ["START", "Talk", "pcm", "talk"]

START = {"type": "start", "encoding": "pcm_s16le", "rate": RATE}
#: Seconds that an answer may take on a machine that is busy.
_PATIENCE = 60


def pcm(samples: Samples) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


class Talk:
    """A connection and what it was sent.

    Attributes:
        came: the messages so far, each with the bytes that had been sent by then.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.came: list[tuple[dict[str, Any], int]] = []
        self.sent = 0

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def begin(self, **changes: Any) -> dict[str, Any]:
        """Send the first message and return the answer to it."""
        self.say(**{**START, **changes})
        return self.hear()

    def send(self, data: bytes, piece: int = 3200, pause: float = 0.0) -> None:
        """Send bytes, as many as are taken before the connection is closed."""
        with contextlib.suppress(ConnectionClosed):
            for first in range(0, len(data), piece):
                self.socket.send(data[first : first + piece])
                self.sent += len(data[first : first + piece])
                time.sleep(pause)

    def end(self) -> None:
        """Send the end, if the connection is not closed."""
        with contextlib.suppress(ConnectionClosed):
            self.say(type="end")

    def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(_PATIENCE))
        self.came.append((message, self.sent))
        return message

    def rest(self) -> dict[str, Any]:
        """Return the last message before the connection was closed."""
        while True:
            try:
                self.hear()
            except ConnectionClosed:
                return self.came[-1][0]

    def whole(self, data: bytes, piece: int = 3200, pause: float = 0.0) -> dict[str, Any]:
        """Send everything while listening, and return the last message."""

        def send() -> None:
            self.send(data, piece, pause)
            self.end()

        sender = threading.Thread(target=send)
        sender.start()
        last = self.rest()
        sender.join(_PATIENCE)
        return last

    @property
    def code(self) -> int | None:
        return self.socket.close_code


@contextmanager
def talk(service: Service, **options: Any) -> Iterator[Talk]:
    """Connect to the live streams of a service."""
    address = service.url.replace("http", "ws", 1) + "/v1/stream"
    with connect(address, proxy=None, compression=None, open_timeout=_PATIENCE, **options) as socket:
        yield Talk(socket)
