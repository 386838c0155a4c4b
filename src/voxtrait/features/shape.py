"""The shape of a spectrum in NumPy, equal to librosa's: where its weight lies, how tonal it is."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.features.mfcc import decibels

__all__ = ["CONTRAST_BANDS", "SHAPE", "band_extremes", "contrast", "spectral_shape"]

Array = NDArray[np.float32]

#: The columns of `spectral_shape`.
SHAPE: Final = ("centroid", "bandwidth", "rolloff", "flatness")

_ROLLOFF = 0.85
_SILENCE = 1e-10

#: Edges of the bands of spectral contrast in Hz: below 200 Hz, five octaves, and what is above 6.4 kHz.
_EDGES: Final = (0.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, SAMPLE_RATE / 2)
CONTRAST_BANDS: Final = len(_EDGES) - 1
#: Share of a band's bins that are its peak, and its valley.
_QUANTILE = 0.02


def _bin_hz(bins: int) -> Array:
    return np.linspace(0.0, SAMPLE_RATE / 2, bins, dtype=np.float32)


def spectral_shape(magnitude: Array) -> Array:
    """Return the columns `SHAPE` of each spectrum, shape (T, 4).

    Centroid is the mean frequency, weighted by magnitude, and bandwidth the deviation around it, in
    Hz; roll-off is the frequency in Hz below which 85 % of the magnitude lies; flatness is the geometric
    mean of the power divided by its arithmetic mean, 0 for a tone and 1 for a flat spectrum (Peeters
    2004, "A large set of audio features for sound description"). Silence has 0, 0, 0 and 1.

    Args:
        magnitude: (T, bins), bins from 0 Hz to half the sampling rate.
    """
    hz = _bin_hz(magnitude.shape[1])
    total = magnitude.sum(axis=1, keepdims=True)
    share = magnitude / np.where(total > 0, total, 1.0)
    centroid = (share * hz).sum(axis=1)
    bandwidth = np.sqrt((share * np.square(hz - centroid[:, None])).sum(axis=1))
    below = np.cumsum(magnitude, axis=1, dtype=np.float64)
    rolloff = hz[np.argmax(below >= _ROLLOFF * below[:, -1:], axis=1)]
    power = np.maximum(np.square(magnitude), _SILENCE)
    flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
    return np.stack([centroid, bandwidth, rolloff, flatness], axis=1)


def band_extremes(magnitude: Array) -> tuple[Array, Array]:
    """Return the mean magnitude of the highest and of the lowest bins of each band, both (T, 7).

    Args:
        magnitude: (T, bins), bins from 0 Hz to half the sampling rate, no further apart than 50 Hz.
    """
    hz = _bin_hz(magnitude.shape[1])
    peaks = np.empty((len(magnitude), CONTRAST_BANDS), dtype=np.float32)
    valleys = np.empty_like(peaks)
    for band in range(CONTRAST_BANDS):
        # As in librosa a band begins with the last bin below its edge, and ends before the last one within.
        first = max(0, int(np.searchsorted(hz, _EDGES[band])) - 1)
        last = int(np.searchsorted(hz, _EDGES[band + 1], side="right"))
        few = max(1, int(np.rint(_QUANTILE * (last - first))))
        if band < CONTRAST_BANDS - 1:
            last -= 1
        size = last - first
        ordered = np.partition(magnitude[:, first:last], sorted({few - 1, size - few}), axis=1)
        valleys[:, band] = ordered[:, :few].mean(axis=1)
        peaks[:, band] = ordered[:, size - few :].mean(axis=1)
    return peaks, valleys


def contrast(peaks: Array, valleys: Array) -> Array:
    """Return spectral contrast in dB, (T, 7), of the bands of `band_extremes`.

    Jiang et al. 2002, "Music type classification by spectral contrast feature".
    """
    return decibels(peaks) - decibels(valleys)
