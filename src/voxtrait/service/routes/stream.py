"""`WS /v1/stream`: a recording heard while it is made."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Coroutine
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.websockets import WebSocketState

from voxtrait.audio.samples import MAX_CHANNELS, RATES
from voxtrait.errors import UsageError, VoxtraitError
from voxtrait.service.problems import STOPPING, first_fault, problem_response
from voxtrait.service.streams import LiveStream, Opening

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["stream"])

_log = logging.getLogger("voxtrait.service")

#: Seconds for the first message, without any message, and for one of ours to be taken.
_FIRST: Final = 10.0
_SILENT: Final = 60.0
_UNREAD: Final = 30.0
#: Why a connection is closed, by the error's code; what the client did wrong where there is none.
_CLOSED: Final = {
    "busy": 1013, "stopping": 1012, "decoder_died": 1011, "internal": 1011, "bundle_corrupt": 1011,
}  # fmt: skip


class Start(BaseModel):
    """The first message; ``rate`` and ``channels`` are for plain samples."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["start"]
    encoding: Literal["pcm_s16le", "webm"]
    rate: Annotated[int, Field(ge=RATES[0], le=RATES[-1])] | None = None
    channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)] = 1
    model: str | None = None
    name: Annotated[str, Field(min_length=1, max_length=255)] = "microphone"
    key: str | None = None

    @model_validator(mode="after")
    def _samples_have_a_rate(self) -> Start:
        if self.encoding == "pcm_s16le" and self.rate is None:
            raise ValueError("pcm_s16le needs a rate, in Hz")
        return self


@router.websocket("/stream")
async def stream(socket: WebSocket) -> None:
    """Hear a stream: its first message is a `start`, then come its bytes, at last an `end`."""
    house = socket.app.state.voxtrait
    if not _is_welcome(socket, house.settings.cors):
        detail = "Pages of another origin may not use this service: --cors ORIGIN allows one."
        await socket.send_denial_response(problem_response(403, "origin", detail))
        return
    await socket.accept()
    try:
        # Whoever takes no message for so long, or is gone, is told no more.
        with contextlib.suppress(WebSocketDisconnect, TimeoutError):
            await _converse(socket)
    except VoxtraitError as error:
        await _refuse(socket, error)
    except Exception as error:
        _log.error("stream", exc_info=error)
        await _refuse(
            socket, VoxtraitError("internal", "The service failed at this stream; its log says why.")
        )


def _is_welcome(socket: WebSocket, allowed: tuple[str, ...]) -> bool:
    """Return whether a page of this service or of an origin that is allowed asks, or no page at all."""
    origin = socket.headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return True
    return urlsplit(origin).netloc.lower() == socket.headers.get("host", "").lower()


async def _converse(socket: WebSocket) -> None:
    """Hear a stream to its end.

    Raises:
        VoxtraitError: if it cannot be heard.
        WebSocketDisconnect: if the client is gone.
        TimeoutError: if it takes no message.
    """
    house = socket.app.state.voxtrait
    start = await _start(socket)
    if not house.keys.allows(_key(socket, start)):
        raise VoxtraitError("key", 'This service asks for a key: send it as "key" of the first message.')
    if house.stopping.is_set():
        raise VoxtraitError("stopping", STOPPING)
    bundle = house.catalog.find(start.model)
    opening = Opening(
        start.encoding, start.rate, start.channels, bundle.title, start.name, house.settings.max_duration
    )
    async with house.streams.open(opening) as live:
        await _send(socket, {"type": "ready", "model": bundle.title})
        answer = await _first_to_end(
            _answer(socket, live), _listen(socket, live), _end_when(house.stopping, live)
        )
        house.metrics.count("live", answer)
        await _close(socket, 1012 if house.stopping.is_set() else 1000)


async def _first_to_end(
    answer: Coroutine[Any, Any, dict[str, Any]], *others: Coroutine[Any, Any, None]
) -> dict[str, Any]:
    """Wait for the answer, and raise what any of the others raises."""
    answering = asyncio.ensure_future(answer)
    tasks = [answering, *map(asyncio.ensure_future, others)]
    try:
        waiting: set[asyncio.Future[Any]] = set(tasks)
        while not answering.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        return answering.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _answer(socket: WebSocket, live: LiveStream) -> dict[str, Any]:
    """Send updates, the newest where there are more, and at last the answer, which is returned."""
    while True:
        kind, said = await live.news()
        if kind == "final":
            await _send(socket, {"type": "final", "result": said})
            return said
        await _send(socket, {"type": "update", **said})


async def _listen(socket: WebSocket, live: LiveStream) -> None:
    """Take what the client sends, until it is gone."""
    ended = False
    while True:
        message = await _receive(socket, None if ended else _SILENT)
        if ended:
            continue
        if (data := message.get("bytes")) is not None:
            await live.feed(data)
        elif _read(message) == {"type": "end"}:
            ended = True
            live.end()
        else:
            raise UsageError("usage", 'Bytes or the message {"type": "end"} were expected.')


async def _end_when(stopping: asyncio.Event, live: LiveStream) -> None:
    await stopping.wait()
    live.end()


async def _start(socket: WebSocket) -> Start:
    try:
        return Start.model_validate(_read(await _receive(socket, _FIRST)))
    except ValidationError as error:
        raise UsageError("usage", f"The first message is no start: {first_fault(error.errors())}.") from error


def _key(socket: WebSocket, start: Start) -> str | None:
    kind, _, key = socket.headers.get("authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else start.key


async def _receive(socket: WebSocket, seconds: float | None) -> dict[str, Any]:
    """Return the next message.

    Raises:
        UsageError: ``too_slow`` if none comes.
        WebSocketDisconnect: if the client is gone.
    """
    try:
        async with asyncio.timeout(seconds):
            message = dict(await socket.receive())
    except TimeoutError as error:
        raise UsageError("too_slow", f"Nothing came for {seconds:.0f} s.") from error
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    return message


def _read(message: dict[str, Any]) -> Any:
    """Return what a text says as JSON; None for anything else."""
    try:
        return json.loads(message.get("text") or "")
    except (ValueError, RecursionError):
        return None


async def _send(socket: WebSocket, said: dict[str, Any]) -> None:
    async with asyncio.timeout(_UNREAD):
        await socket.send_text(json.dumps(said, ensure_ascii=False))


async def _refuse(socket: WebSocket, error: VoxtraitError) -> None:
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):
        await _send(socket, {"type": "error", "error": {"code": error.code, "message": error.message}})
        await _close(socket, _CLOSED.get(error.code, 1008))


async def _close(socket: WebSocket, code: int) -> None:
    if socket.application_state is WebSocketState.CONNECTED:
        async with asyncio.timeout(_UNREAD):
            await socket.close(code)
