"""The body of a request -> a recording: in memory, or in a file without a name."""

from __future__ import annotations

import tempfile
import time
import unicodedata
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, cast

import anyio.to_thread
from anyio import fail_after
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from voxtrait.engine.worker import SMALL
from voxtrait.service.problems import Refusal

__all__ = ["BODY", "Upload", "receive_upload"]

#: Seconds that a sender may pause, that it has anyway, and bytes a second that it must send on average.
_PAUSE: Final = 20.0
_ANYWAY: Final = 30.0
_PACE: Final = 8 << 10
#: Bytes written to disk at once.
_BLOCK: Final = 1 << 20
_LONGEST_NAME: Final = 200

#: The body of a request with a recording, for the description of the interface.
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@dataclass
class Upload:
    """A recording as it came.

    Attributes:
        name: of its file, without folders.
        size: in bytes.
        content: its bytes, if they are few.
        file: else a file without a name that holds them; closing it removes them.
    """

    name: str
    size: int
    content: bytes | None
    file: BinaryIO | None

    def read(self) -> bytes:
        """Return all its bytes."""
        if self.file is None:
            return self.content or b""
        self.file.seek(0)
        return self.file.read()

    def close(self) -> None:
        """Remove what lies on disk."""
        if self.file is not None:
            self.file.close()


async def receive_upload(request: Request, name: str | None, most: int) -> Upload:
    """Read a recording from a request: the part ``file`` of a form, or the whole body.

    Args:
        request: with its body unread.
        name: what to call the recording, instead of its own name.
        most: bytes that are taken.

    Raises:
        Refusal: 413 ``too_large``, 408 ``too_slow``, 422 ``usage`` for a form without a file, ``empty``.
        OSError: if the disk is full.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    body = _body(request, most)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data":
        upload = await _from_form(request, body)
    else:
        upload = await _from_body(body)
    if not upload.size:
        upload.close()
        raise Refusal(422, "empty", "There is nothing in the body of the request.")
    upload.name = clean_name(name or upload.name)
    return upload


def clean_name(name: str) -> str:
    """Return a name without folders and control characters, and not too long."""
    base = PurePosixPath(name.replace("\\", "/")).name
    kept = "".join(letter for letter in base if unicodedata.category(letter)[0] != "C")
    return kept.strip()[:_LONGEST_NAME] or "upload"


def _too_large(most: int) -> Refusal:
    return Refusal(413, "too_large", f"What is sent is larger than the {most:,} bytes that are taken.")


async def _body(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """Yield the body; refuse what is too much, and who sends so slowly that it holds a place for nothing."""
    began, size = time.monotonic(), 0
    chunks = request.stream()
    while True:
        left = began + _ANYWAY + size / _PACE - time.monotonic()
        try:
            with fail_after(max(0.0, min(_PAUSE, left))):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise Refusal(
                408, "too_slow", f"What was sent came too slowly: {size:,} bytes, and then a pause."
            ) from None
        if chunk is None:
            return
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        yield chunk


async def _from_body(body: AsyncGenerator[bytes, None]) -> Upload:
    held, size = bytearray(), 0
    file: BinaryIO | None = None
    try:
        async for chunk in body:
            held += chunk
            size += len(chunk)
            if size > SMALL and len(held) >= _BLOCK:
                file = file or _unnamed()
                await anyio.to_thread.run_sync(file.write, bytes(held))
                held.clear()
        if file is None:
            return Upload("", size, bytes(held), None)
        file.write(held)
        file.flush()
    except BaseException:
        if file is not None:
            file.close()
        raise
    return Upload("", size, None, file)


def _unnamed() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile())


async def _from_form(request: Request, body: AsyncGenerator[bytes, None]) -> Upload:
    parser = MultiPartParser(request.headers, body, max_files=1, max_fields=8)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = getattr(error, "message", None) or "it has no boundary"
        raise Refusal(422, "usage", f"The form cannot be read: {str(reason).rstrip('.')}.") from error
    part = form.get("file")
    if not isinstance(part, UploadFile):
        await form.close()
        raise Refusal(422, "usage", "The form has no file: send the recording as its part 'file'.")
    size = part.size or 0
    name = part.filename or ""
    if size <= SMALL:
        content = await part.read()
        await form.close()
        return Upload(name, size, content, None)
    # A descriptor is what it is handed on by; without this it may lie in memory.
    part.file.fileno()
    part.file.flush()
    return Upload(name, size, None, part.file)
