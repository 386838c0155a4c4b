"""Mel spectrograms in NumPy, equal to librosa's (Slaney scale and normalisation, Hann window)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE

__all__ = ["hann", "mel_filters", "mel_power", "power_spectra"]

Array = NDArray[np.float32]

_LINEAR_HZ = 200.0 / 3.0
_BREAK_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0

#: Frames that are transformed together: enough to hide the cost of a call, few enough for the cache.
_ROWS = 128
#: Frames that are filtered together: few enough that the matrix library stays on the thread that calls
#: it. Recordings are already spread over the cores, and threads within threads cost more than they gain.
_PRODUCT_ROWS = 32


def _hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998)."""
    log_part = _BREAK_HZ / _LINEAR_HZ + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _LINEAR_HZ, log_part)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    break_mel = _BREAK_HZ / _LINEAR_HZ
    return np.where(mel < break_mel, mel * _LINEAR_HZ, _BREAK_HZ * np.exp(_LOG_STEP * (mel - break_mel)))


@lru_cache(maxsize=16)
def mel_filters(n_mels: int, n_fft: int, rate: int = SAMPLE_RATE) -> Array:
    """Return triangular filters of equal area, shape (n_fft // 2 + 1, n_mels)."""
    top = _hz_to_mel(np.array([rate / 2.0]))[0]
    edges = _mel_to_hz(np.linspace(0.0, top, n_mels + 2))
    bins = np.arange(n_fft // 2 + 1) * (rate / n_fft)
    rising = (bins[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[None, 2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters = np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2])), dtype=np.float32)
    filters.setflags(write=False)
    return filters


@lru_cache(maxsize=16)
def hann(size: int) -> Array:
    """Return the periodic Hann window."""
    window = np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size), dtype=np.float32)
    window.setflags(write=False)
    return window


def power_spectra(samples: Array, n_fft: int, hop: int) -> Iterator[Array]:
    """Yield the power spectrogram, some frames at a time, each shape (frames, n_fft // 2 + 1).

    Frame i starts at sample i * hop. There is no padding: there are ``1 + (len(samples) - n_fft) // hop``
    frames in all, and none for fewer samples than ``n_fft``.
    """
    if samples.size < n_fft:
        return
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[::hop]
    window = hann(n_fft)
    for first in range(0, len(frames), _ROWS):
        spectrum = np.fft.rfft(frames[first : first + _ROWS] * window, axis=1)
        # Seen as pairs of real numbers, all are squared in one go and in place.
        squares = spectrum.view(spectrum.real.dtype)
        squares *= squares
        yield np.asarray(squares[:, ::2] + squares[:, 1::2], dtype=np.float32)


def mel_power(samples: Array, n_fft: int, hop: int, n_mels: int) -> Array:
    """Return the mel power spectrogram, shape (frames, n_mels); frames are those of `power_spectra`."""
    filters = mel_filters(n_mels, n_fft)
    out = np.empty((max(0, 1 + (samples.size - n_fft) // hop), n_mels), dtype=np.float32)
    first = 0
    for power in power_spectra(samples, n_fft, hop):
        for row in range(0, len(power), _PRODUCT_ROWS):
            part = power[row : row + _PRODUCT_ROWS]
            np.matmul(part, filters, out=out[first : first + len(part)])
            first += len(part)
    return out
