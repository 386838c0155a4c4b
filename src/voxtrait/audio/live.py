"""Sound that is decoded while it arrives."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import Literal

import numpy as np

from ..errors import UsageError
from ..results import Problem
from .pipe import BytePipe
from .samples import Chunk, check_format, to_float
from .stream import SAMPLE_RATE, AudioStream, blocks_of

__all__ = ["Encoding", "open_live"]

#: Samples of 16 bits, little-endian, the channels of a moment side by side; or WebM, as browsers record it.
Encoding = Literal["pcm_s16le", "webm"]

#: Bytes of samples that are taken at once.
_MOST = 1 << 16


def open_live(
    pipe: BytePipe,
    encoding: Encoding,
    *,
    rate: int | None = None,
    channels: int = 1,
    block: float = 0.5,
    name: str = "<stream>",
) -> AudioStream:
    """Open a recording that is still being made; each block comes as soon as its last bytes have.

    The samples are those that `voxtrait.audio.open_audio` gives for the same recording in a file. Waits for
    the first block.

    Args:
        pipe: where its bytes arrive, split anywhere.
        encoding: of the bytes.
        rate, channels: of plain samples: Hz, and how many side by side; their mean is heard.
        block: seconds in a block.
        name: what to call it in messages.

    Raises:
        AudioError: ``empty``, ``not_audio``, ``no_audio_stream``, ``bad_header`` or ``not_readable``. What
            only shows further on is raised by the iteration.
        UsageError: ``usage`` if plain samples have no rate.
    """
    warnings: list[Problem] = []
    with ExitStack() as stack:
        if encoding == "webm":
            from .libav import read_webm

            chunks = read_webm(pipe, name, warnings)
        elif rate is None:
            raise UsageError("usage", f"{name} does not tell its rate: samples need rate=, in Hz.")
        else:
            check_format(rate, channels, name)
            chunks = _read_samples(pipe, rate, channels, name, warnings)
        stack.callback(chunks.close)
        blocks = blocks_of(chunks, None, round(block * SAMPLE_RATE), name)
        stack.callback(blocks.close)
        return AudioStream(name, blocks, warnings, stack.pop_all())


def _read_samples(
    pipe: BytePipe, rate: int, channels: int, name: str, warnings: list[Problem]
) -> Generator[Chunk, None, None]:
    rest, width = b"", 2 * channels
    while data := pipe.read(_MOST):
        data = rest + data
        whole = len(data) - len(data) % width
        rest = data[whole:]
        if whole:
            yield Chunk(rate, to_float(np.frombuffer(data[:whole], "<i2").reshape(-1, channels)))
    if rest:
        message = f"{name} breaks off in the middle of a sample: its last {len(rest)} byte(s) were left out."
        warnings.append(Problem("truncated", message))
