"""Recordings as the bodies of requests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from threading import Event
from typing import Any, BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import AudioSource
from voxtrait.audio.inputs import ByteReader, open_bytes, source_name
from voxtrait.audio.samples import read_array
from voxtrait.errors import AudioError

__all__ = ["Body", "GivenUp", "body_of"]

#: Bytes sent at a time.
_BLOCK: Final = 1 << 18
#: Characters of a name that a service keeps.
_LONGEST_NAME: Final = 200


class GivenUp(Exception):  # noqa: N818 - nothing has failed
    """Nobody waits for the answer any more."""


@dataclass(frozen=True)
class Body:
    """The bytes of a recording, which can be sent more than once.

    Attributes:
        name: what the recording is called here.
        sent_name: what the service is told: no folders of this machine.
        size: in bytes.
    """

    name: str
    sent_name: str
    size: int
    reader: ByteReader

    def blocks(self, given_up: Event) -> Iterator[bytes]:
        """Yield the bytes from the start.

        Raises:
            AudioError: ``not_readable`` if they cannot be read, or are not as many as they were.
            GivenUp: once ``given_up`` is set.
        """
        self.reader.seek(0)
        left = self.size
        while left:
            if given_up.is_set():
                raise GivenUp
            block = self.reader.read(min(_BLOCK, left))
            if not block:
                reason = self.reader.error or "it became shorter while it was sent"
                raise AudioError("not_readable", f"{self.name} cannot be read: {reason}.")
            left -= len(block)
            yield block


@contextmanager
def body_of(source: AudioSource, rate: int | None, name: str | None) -> Iterator[Body]:
    """Open what `Predictor.predict` takes; an array becomes a WAV file of its very samples.

    Raises:
        AudioError: ``not_found``, ``not_readable``, ``empty``, ``bad_rate``, ``bad_samples``.
        TypeError: if the source is none of these.
    """
    called = name or source_name(source)
    with _open(source, rate, called) as reader:
        sent = PurePosixPath(called.replace(os.sep, "/")).name[:_LONGEST_NAME]
        # A name of bytes that are no text cannot stand in an address.
        yield Body(called, sent.encode("utf-8", "replace").decode(), reader.size, reader)


@contextmanager
def _open(source: AudioSource, rate: int | None, name: str) -> Iterator[ByteReader]:
    if isinstance(source, np.ndarray):
        if rate is None:
            raise AudioError("bad_rate", f"{name} does not tell its sampling rate: give rate=, in Hz.")
        with tempfile.TemporaryFile() as file:
            _write_wav(cast(BinaryIO, file), source, rate, name)
            yield ByteReader(cast(BinaryIO, file), owned=False)
        return
    if rate is not None:
        raise AudioError("bad_rate", f"rate= is for arrays only: {name} tells its own sampling rate.")
    reader = open_bytes(source, name)
    try:
        yield reader
    finally:
        reader.close()


def _write_wav(file: BinaryIO, samples: NDArray[Any], rate: int, name: str) -> None:
    import soundfile

    chunks = read_array(samples, rate, name)
    first = next(chunks)
    # 16 bits stay 16 bits; all else keeps its value as float32. RF64 is a WAV of more than 4 GB.
    subtype = "PCM_16" if samples.dtype == np.int16 else "FLOAT"
    channels = first.samples.shape[1]
    with soundfile.SoundFile(file, "w", rate, channels, subtype, format="RF64") as wav:
        wav.write(first.samples)
        for chunk in chunks:
            wav.write(chunk.samples)
