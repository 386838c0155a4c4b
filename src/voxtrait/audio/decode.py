"""Bytes -> samples at the rate and with the channels of the recording.

libsndfile (through soundfile) reads files of plain samples: WAV, AIFF, AU, CAF, W64, RF64, NIST.
libav (through PyAV) reads all else, also what libsndfile could: measured on libsndfile 1.2.2, its
mp3 reader stops at the length it guessed or was told (it lost 59 % of a VBR file without a Xing frame and
half of two joined files) and prints to stderr, its Ogg reader stops after the first of several
joined streams and takes three times as long for Opus, its FLAC reader gives up at the first bad frame.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Final

import numpy as np

from ..errors import AudioError
from ..results import Problem
from .headers import Header, read_header
from .inputs import ByteReader
from .samples import Chunk, check_format, tell_if_cut

__all__ = ["decode"]

#: Encodings of libsndfile that are plain samples.
_PLAIN: Final = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")


def decode(source: ByteReader, name: str, warnings: list[Problem]) -> Generator[Chunk, None, None]:
    """Yield the recording in chunks of about a second, each good until the next is drawn.

    What was odd is added to ``warnings``.

    Raises:
        AudioError: ``not_audio``, ``no_audio_stream``, ``corrupt``, ``bad_header``, ``empty``,
            ``not_readable``.
    """
    header = read_header(source)
    heard = False
    try:
        with closing(_read_any(source, header, name, warnings)) as chunks:
            for chunk in chunks:
                heard = True
                yield chunk
        if not heard:
            raise AudioError("empty", f"{name} holds no sound: it has a header and no samples.")
    except AudioError as error:
        if source.error is None:
            raise
        raise _unreadable(source.error, name) from error
    if source.error is not None:
        raise _unreadable(source.error, name)


def _unreadable(error: Exception, name: str) -> AudioError:
    return AudioError("not_readable", f"{name} cannot be read: {error}.")


def _read_any(
    source: ByteReader, header: Header, name: str, warnings: list[Problem]
) -> Generator[Chunk, None, None]:
    if header.rate is not None and header.channels is not None:
        check_format(header.rate, header.channels, name)
    heard = False
    if header.pcm:
        for chunk in _read_plain(source, header, name, warnings):
            heard = True
            yield chunk
    if heard or header.bare or source.error is not None:
        return
    if header.cut:
        # libav would take the length of a broken chunk for true, and up to 4 GB of memory.
        raise AudioError("corrupt", f"{name} is damaged or cut off: there are no samples in it.")
    from .libav import read_libav

    yield from read_libav(source, header, name, warnings)


def _read_plain(
    source: ByteReader, header: Header, name: str, warnings: list[Problem]
) -> Generator[Chunk, None, None]:
    """Yield what libsndfile reads; nothing if it cannot."""
    import soundfile

    source.seek(0)
    frames = 0
    try:
        with soundfile.SoundFile(source) as file:
            if not file.subtype.startswith(_PLAIN):
                return
            rate, channels = file.samplerate, file.channels
            check_format(rate, channels, name)
            room = np.empty((max(1, min(rate, 2**21 // channels)), channels), np.float32)
            while len(samples := file.read(out=room)):
                frames += len(samples)
                yield Chunk(rate, samples)
    except soundfile.LibsndfileError as error:
        if frames:
            warnings.append(Problem("truncated", f"{name} breaks off after {frames / rate:.1f} s: {error}"))
        return
    if frames and header.declared is not None:
        tell_if_cut(frames / rate, frames / rate * header.declared, name, warnings)
