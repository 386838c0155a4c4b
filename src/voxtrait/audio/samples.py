"""Samples of any type and layout as float32 of shape (samples, channels)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError
from ..results import Problem

__all__ = ["MAX_CHANNELS", "RATES", "Chunk", "check_format", "read_array", "tell_if_cut", "to_float"]

#: Sampling rates (Hz) and channels that a recording can have; beyond them the header is broken.
RATES: Final = range(4_000, 384_001)
MAX_CHANNELS: Final = 64


class Chunk(NamedTuple):
    """Some samples, float32 of shape (samples, channels), at ``rate`` Hz; good until the next are read."""

    rate: int
    samples: NDArray[np.float32]


def check_format(rate: int, channels: int, name: str) -> None:
    """Refuse what no recording has.

    Raises:
        AudioError: ``bad_header``.
    """
    if rate not in RATES or not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            "bad_header",
            f"{name} declares {channels} channels at {rate} Hz: its header is broken "
            f"({RATES[0]} to {RATES[-1]} Hz and 1 to {MAX_CHANNELS} channels can be read).",
        )


def tell_if_cut(read: float, declared: float, name: str, warnings: list[Problem]) -> None:
    """Warn if clearly less came (seconds) than was declared; encoders pad and round a little."""
    if declared - read > max(0.1, 0.01 * declared):
        message = (
            f"{name} is cut off or damaged: {read:.1f} s of the {declared:.1f} s it declares could be read."
        )
        warnings.append(Problem("truncated", message))


def to_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples as float32; integers are scaled to [-1, 1], floats stay as they are.

    Raises:
        TypeError: for a type that does not tell its scale (int64, bool, complex, ...).
    """
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32, copy=False)
    if kind == "u" and size == 1:
        return (samples.astype(np.float32) - np.float32(128)) * np.float32(2**-7)
    if kind == "i" and size <= 4:
        return samples.astype(np.float32) * np.float32(2.0 ** (1 - 8 * size))
    raise TypeError(f"samples of type {samples.dtype} do not tell their scale")


def read_array(samples: NDArray[Any], rate: int, name: str) -> Generator[Chunk, None, None]:
    """Yield an array of shape (samples,), (samples, channels) or (channels, samples) by the second.

    Raises:
        AudioError: ``bad_rate``, ``bad_samples`` for a wrong shape or type, ``empty``.
    """
    if rate not in RATES:
        raise AudioError("bad_rate", f"rate={rate} is not between {RATES[0]} and {RATES[-1]} Hz.")
    if samples.size == 0:
        raise AudioError("empty", f"{name} holds no samples.")
    if samples.ndim == 1:
        samples = samples[:, np.newaxis]
    elif samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.ndim != 2 or samples.shape[1] > MAX_CHANNELS:
        raise AudioError(
            "bad_samples",
            f"{name} has the shape {samples.shape}: (samples,) or (samples, channels) was expected.",
        )
    try:
        for start in range(0, len(samples), rate):
            yield Chunk(int(rate), to_float(samples[start : start + rate]))
    except TypeError as error:
        raise AudioError("bad_samples", f"{name}: {error}; convert them to float32 in [-1, 1].") from error
