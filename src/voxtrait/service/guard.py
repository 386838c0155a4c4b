"""What stands between sockets and the application: bounds on heads of requests and on who never ends."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["GuardedProtocol"]

#: Bytes of a request line with its headers, and seconds in which they must have come.
_HEAD_BYTES: Final = 64 << 10
_HEAD_FIELDS: Final = 200
_HEAD_SECONDS: Final = 15.0
#: Bytes and seconds that the rest of a body is still read for, and thrown away, when its request was answered
#: already: closed at once, the sender would lose the answer.
_REST_BYTES: Final = 16 << 20
_REST_SECONDS: Final = 10.0


class GuardedProtocol(HttpToolsProtocol):
    """A connection that is closed when its requests do not come to an end.

    uvicorn waits for ever for the head of a request, takes one of any size, and reads the rest of a body
    without end.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0
        self._in_head = True
        self._body_open = False
        self._rest = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit(_HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unlimit()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > _HEAD_BYTES:
            self._too_large()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._limit(_HEAD_SECONDS)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) == _HEAD_FIELDS + 1:
            self._too_large()

    def on_headers_complete(self) -> None:
        self._in_head, self._body_open, self._rest = False, True, 0
        self._unlimit()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        super().on_body(body)
        if self.cycle.response_complete:
            self._rest += len(body)
            if self._rest > _REST_BYTES:
                self._end()

    def on_message_complete(self) -> None:
        if self.transport.is_closing():
            return
        super().on_message_complete()
        self._body_open = False
        if self.cycle is not None and self.cycle.response_complete:
            self._unlimit()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._body_open:
            self._limit(_REST_SECONDS)

    def _limit(self, seconds: float) -> None:
        self._unlimit()
        self._timer = self.loop.call_later(seconds, self._end)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._unlimit()
        if not self.transport.is_closing():
            self.transport.close()

    def _too_large(self) -> None:
        if not self.transport.is_closing():
            detail = f"The head of the request has over {_HEAD_FIELDS} fields or {_HEAD_BYTES:,} bytes."
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head", detail)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        if not self.transport.is_closing():
            self._refuse(HTTPStatus.BAD_REQUEST, "http", "This is no HTTP request that can be read.")

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        problem = {"type": "about:blank", "title": status.phrase, "status": status.value}
        body = json.dumps({**problem, "code": code, "detail": detail}).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._end()
