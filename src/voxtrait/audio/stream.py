"""The stream of blocks: one channel or the mean of all, checked, resampled, cut to size."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError, UsageError
from ..results import Problem
from .decode import decode
from .inputs import AudioSource, open_bytes, source_name
from .samples import Chunk, read_array

__all__ = ["SAMPLE_RATE", "AudioStream", "blocks_of", "load_audio", "open_audio"]

#: Hz, of all that leaves this package.
SAMPLE_RATE: Final = 16_000

#: A float sample beyond this is not loud but of another scale. Lossy decoders reach 1.5.
_MAX_PEAK: Final = 8.0


class AudioStream:
    """Blocks of a recording: float32, mono, 16 kHz, in [-1, 1], each of shape (samples,).

    Iterate once; the last block may be shorter. Closed when exhausted, by ``close()``, or as a
    context manager.

    Attributes:
        name: what the source is called in messages.
        duration: seconds delivered so far; the length of the recording once exhausted.
        warnings: what was odd so far: ``truncated`` if the recording breaks off or is shorter than
            its header says, ``damaged`` if pieces in the middle could not be decoded.
    """

    def __init__(
        self, name: str, blocks: Iterator[NDArray[np.float32]], warnings: list[Problem], resources: ExitStack
    ) -> None:
        self.name = name
        self.warnings = warnings
        self._blocks = blocks
        self._resources = resources
        self._samples = 0
        # The first block is decoded at once, so that opening tells what cannot be heard.
        self._first: NDArray[np.float32] | None = self._fetch()

    @property
    def duration(self) -> float:
        return self._samples / SAMPLE_RATE

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> NDArray[np.float32]:
        block, self._first = self._first, None
        if block is None:
            block = self._fetch()
        if block is None:
            raise StopIteration
        self._samples += len(block)
        return block

    def close(self) -> None:
        """Free the files and decoders; a file object of the caller stays open."""
        self._first = None
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self) -> NDArray[np.float32] | None:
        try:
            block = next(self._blocks, None)
        except BaseException:
            self._resources.close()
            raise
        if block is None:
            self._resources.close()
        return block


def open_audio(
    source: AudioSource, *, rate: int | None = None, channel: int | None = None, block: float = 10.0
) -> AudioStream:
    """Open a recording of any format, rate and number of channels; nothing of it is held whole.

    Args:
        source: a path, the bytes of a file, a binary file object (a seekable one is read from its
            start, another is first copied to a temporary file), or an array of shape (samples,),
            (samples, channels) or (channels, samples).
        rate: sampling rate of an array in Hz; only for arrays.
        channel: the channel to hear, from 1; by default the mean of all.
        block: seconds in a block.

    Raises:
        AudioError: ``not_found``, ``not_readable``, ``empty``, ``not_audio``, ``no_audio_stream``,
            ``corrupt``, ``bad_header``, ``bad_samples``, ``bad_channel`` or ``bad_rate``. What only
            shows further on is raised by the iteration.
        UsageError: if ``block`` is not positive.
        TypeError: if the source is none of these.
    """
    size = round(block * SAMPLE_RATE)
    if size < 1:
        raise UsageError("usage", f"block={block} is not a length in seconds: give a positive number.")
    name = source_name(source)
    warnings: list[Problem] = []
    with ExitStack() as stack:
        if isinstance(source, np.ndarray):
            if rate is None:
                raise AudioError("bad_rate", f"{name} does not tell its sampling rate: give rate=, in Hz.")
            chunks = read_array(source, rate, name)
        elif rate is not None:
            raise AudioError("bad_rate", f"rate= is for arrays only: {name} tells its own sampling rate.")
        else:
            reader = open_bytes(source, name)
            stack.callback(reader.close)
            chunks = decode(reader, name, warnings)
        stack.callback(chunks.close)
        blocks = blocks_of(chunks, channel, size, name)
        stack.callback(blocks.close)
        return AudioStream(name, blocks, warnings, stack.pop_all())


def load_audio(
    source: AudioSource, *, rate: int | None = None, channel: int | None = None
) -> NDArray[np.float32]:
    """Return a whole recording as float32 of shape (samples,), mono, 16 kHz; see :func:`open_audio`."""
    with open_audio(source, rate=rate, channel=channel) as stream:
        return np.concatenate(list(stream))


def blocks_of(
    chunks: Iterable[Chunk], channel: int | None, size: int, name: str
) -> Generator[NDArray[np.float32], None, None]:
    """Yield chunks of any rates and channels as blocks of ``size`` samples at 16 kHz, and a rest.

    Raises:
        AudioError: ``bad_samples``, ``bad_channel``, or ``empty`` if there are none.
    """
    return _cut(_resample(chunks, channel, name), size, name)


def _resample(
    chunks: Iterable[Chunk], channel: int | None, name: str
) -> Generator[NDArray[np.float32], None, None]:
    """Mix, check, resample and clip; a recording may change its rate on the way."""
    import soxr

    resampler: Any = None
    rate = SAMPLE_RATE
    nothing = np.zeros(0, np.float32)
    for chunk in chunks:
        mono = _mix(chunk.samples, channel, name)
        _check_peak(mono, name)
        if chunk.rate != rate:
            if resampler is not None:
                yield _clipped(resampler.resample_chunk(nothing, last=True))
            rate = chunk.rate
            resampler = None
            if rate != SAMPLE_RATE:
                resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        yield np.clip(mono, -1.0, 1.0) if resampler is None else _clipped(resampler.resample_chunk(mono))
    if resampler is not None:
        yield _clipped(resampler.resample_chunk(nothing, last=True))


def _mix(samples: NDArray[np.float32], channel: int | None, name: str) -> NDArray[np.float32]:
    channels = samples.shape[1]
    if channel is not None:
        if not 1 <= channel <= channels:
            count = "1 channel" if channels == 1 else f"{channels} channels"
            raise AudioError("bad_channel", f"{name} has {count}: there is no channel {channel}.")
        return np.ascontiguousarray(samples[:, channel - 1])
    if channels == 1:
        return np.ascontiguousarray(samples[:, 0])
    # Column by column: NumPy takes the mean of short rows forty times as slowly.
    # What is not finite is refused later, without NumPy's warning.
    with np.errstate(over="ignore", invalid="ignore"):
        mono = samples[:, 0] + samples[:, 1]
        for column in range(2, channels):
            mono += samples[:, column]
    mono /= channels
    return mono


def _check_peak(mono: NDArray[np.float32], name: str) -> None:
    peak = max(float(mono.max()), -float(mono.min())) if len(mono) else 0.0
    if not math.isfinite(peak):
        raise AudioError("bad_samples", f"{name} holds samples that are not finite (NaN or infinite).")
    if peak > _MAX_PEAK:
        raise AudioError(
            "bad_samples",
            f"{name} holds floats up to {peak:.0f}, but they must lie in [-1, 1]: "
            "divide samples of 16 bits by 32768.",
        )


def _clipped(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(samples, -1.0, 1.0, out=samples)


def _cut(
    pieces: Iterable[NDArray[np.float32]], size: int, name: str
) -> Generator[NDArray[np.float32], None, None]:
    """Yield the pieces again in blocks of ``size`` samples and a rest."""
    held: list[NDArray[np.float32]] = []
    length = total = 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        total += len(piece)
        if length >= size:
            joined = np.concatenate(held)
            whole = length - length % size
            yield from (joined[start : start + size] for start in range(0, whole, size))
            held, length = [joined[whole:]], length - whole
    if not total:
        raise AudioError("empty", f"{name} holds no sound.")
    if length:
        yield np.concatenate(held)
