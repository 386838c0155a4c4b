"""Voice-quality tracks: voicing, pitch, roughness, cepstral peak prominence, by FFT alone.

Pitch is the first peak of the autocorrelation divided by that of its window (Boersma 1993,
"Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound"), with a small cost for low octaves. Cepstral peak prominence follows Hillenbrand and
Houde (1996), measured on the log spectrum of the same frame.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.features.mel import hann

__all__ = ["MAX_SPAN", "VOICE_TRACKS", "voice_tracks"]

Array = NDArray[np.float32]

#: The columns of `voice_tracks`.
VOICE_TRACKS = ("voicing", "pitch", "period_doubling", "cepstral_peak")

_WINDOW = 640
#: Longest frame of a spectrogram beside which the tracks can be centred.
MAX_SPAN = _WINDOW
_FFT = 1024
#: The band below 4 kHz alone is inverted: the correlation then comes at half the rate, which costs
#: half and keeps consonants out of the pitch.
_BAND = _FFT // 4 + 1
_LAG_RATE = SAMPLE_RATE // 2
_MIN_LAG = _LAG_RATE // 500
_MAX_LAG = _LAG_RATE // 60
_OCTAVE_COST = 0.03
_REFERENCE_HZ = 160.0
#: Chunks keep the working set within the second-level cache.
_CHUNK = 128


def _correlate(power: Array) -> Array:
    """Return the autocorrelation of the band at lags of 1 / 8000 s, divided by that at lag 0."""
    correlation = np.fft.irfft(power, axis=-1)[..., : 2 * _MAX_LAG + 1]
    return np.asarray(correlation / (correlation[..., :1] + 1e-9), dtype=np.float32)


@lru_cache(maxsize=1)
def _window_correction() -> Array:
    spectrum = np.asarray(np.abs(np.fft.rfft(hann(_WINDOW), _FFT)[:_BAND]) ** 2, dtype=np.float32)
    # Beyond two thirds of the window the division amplifies noise more than it corrects.
    return np.asarray(1.0 / np.maximum(_correlate(spectrum), 0.15), dtype=np.float32)


def voice_tracks(samples: Array, hop: int, span: int = 400) -> Array:
    """Return voice-quality tracks of each frame, shape (frames, 4), in the order of `VOICE_TRACKS`.

    Voicing is the normalised autocorrelation at the pitch period (0 to 1); pitch is octaves from
    160 Hz times voicing, so that an unvoiced frame says little; period doubling is the correlation at
    twice the period less that at the period; the cepstral peak is in nepers above its surroundings.
    Frame i is centred at sample ``i * hop + span // 2`` like that of a spectrogram with frames of
    ``span`` samples, at most `MAX_SPAN`; the signal is continued with zeros.
    ``frames = 1 + (len(samples) - span) // hop``.
    """
    count = max(0, 1 + (samples.size - span) // hop)
    if count == 0:
        return np.zeros((0, len(VOICE_TRACKS)), dtype=np.float32)
    lead = (_WINDOW - span) // 2
    padded = np.pad(samples, (lead, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::hop][:count]
    return np.concatenate([_chunk(frames[i : i + _CHUNK]) for i in range(0, count, _CHUNK)])


def _chunk(frames: Array) -> Array:
    rows = np.arange(len(frames))
    spectrum = np.fft.rfft(frames * hann(_WINDOW), _FFT, axis=1)[:, :_BAND]
    power = np.asarray(spectrum.real**2 + spectrum.imag**2, dtype=np.float32)
    power[:, :3] = 0.0  # offset and hum below 40 Hz
    correlation = _correlate(power) * _window_correction()

    lags = np.arange(_MIN_LAG, _MAX_LAG)
    cost = _OCTAVE_COST * np.log2(lags / _MIN_LAG).astype(np.float32)
    inner = correlation[:, _MIN_LAG:_MAX_LAG]
    is_peak = (inner >= correlation[:, _MIN_LAG - 1 : _MAX_LAG - 1]) & (
        inner >= correlation[:, _MIN_LAG + 1 : _MAX_LAG + 1]
    )
    best = np.argmax(np.where(is_peak, inner - cost, -1.0), axis=1) + _MIN_LAG
    voicing = np.clip(correlation[rows, best], 0.0, 1.0)
    left, here, right = (correlation[rows, best + step] for step in (-1, 0, 1))
    curve = np.minimum(left - 2 * here + right, -1e-6)
    shift = np.clip(0.5 * (left - right) / curve, -0.5, 0.5)
    pitch = np.log2(_LAG_RATE / _REFERENCE_HZ / (best + shift))
    doubled = correlation[rows, 2 * best] - voicing

    floor = 1e-7 * power.sum(axis=1, keepdims=True) + 1e-12
    cepstrum = np.fft.irfft(np.log(power + floor), axis=1)[:, _MIN_LAG - 1 : _MAX_LAG + 1]
    near = np.maximum.reduce([cepstrum[rows, best - _MIN_LAG + 1 + step] for step in (-1, 0, 1)])
    peak = near - np.abs(cepstrum).mean(axis=1)
    tracks = (voicing, pitch * voicing, np.clip(doubled, -1.0, 1.0), peak)
    return np.stack(tracks, axis=1).astype(np.float32)
