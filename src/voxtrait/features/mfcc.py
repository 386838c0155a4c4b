"""Mel-frequency cepstra and their slopes in NumPy, equal to librosa's."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["decibels", "mfcc", "slopes"]

Array = NDArray[np.float32]

_SILENCE = 1e-10
_RANGE_DB = 80.0
#: Frames on either side that a slope is fitted to.
_REACH = 4


def decibels(power: Array) -> Array:
    """Return power in decibels, none lower than 80 dB below the highest of all; any shape."""
    level = 10.0 * np.log10(np.maximum(power, _SILENCE))
    return np.asarray(np.maximum(level, level.max(initial=-np.inf) - _RANGE_DB), dtype=np.float32)


@lru_cache(maxsize=16)
def _cosines(inputs: int, outputs: int) -> Array:
    """Return the orthonormal discrete cosine transform (type II), shape (inputs, outputs)."""
    angles = np.pi / inputs * (np.arange(inputs)[:, None] + 0.5) * np.arange(outputs)
    scale = np.where(np.arange(outputs) == 0, np.sqrt(1.0 / inputs), np.sqrt(2.0 / inputs))
    matrix = np.asarray(np.cos(angles) * scale, dtype=np.float32)
    matrix.setflags(write=False)
    return matrix


def mfcc(mel: Array, count: int) -> Array:
    """Return mel-frequency cepstral coefficients, shape (T, count), of mel power, shape (T, n_mels).

    Davis and Mermelstein 1980, "Comparison of parametric representations for monosyllabic word
    recognition", with librosa's decibels and orthonormal transform.
    """
    level = decibels(mel)
    out = np.empty((len(mel), count), dtype=np.float32)
    # Few rows at a time stay on the thread that calls: see mel.py.
    for first in range(0, len(mel), 128):
        out[first : first + 128] = level[first : first + 128] @ _cosines(mel.shape[1], count)
    return out


def slopes(tracks: Array) -> Array:
    """Return each track's change a frame ("delta"), the least-squares line over nine frames.

    The first and the last four frames have the slope of the nearest whole nine; fewer than nine frames
    have none (0).

    Args:
        tracks: (T, C).
    """
    if len(tracks) < 2 * _REACH + 1:
        return np.zeros_like(tracks)
    steps = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
    inner = np.zeros((len(tracks) - 2 * _REACH, tracks.shape[1]), dtype=np.float32)
    for place, step in enumerate(steps / np.square(steps).sum()):
        inner += step * tracks[place : place + len(inner)]
    return np.pad(inner, ((_REACH, _REACH), (0, 0)), mode="edge")
