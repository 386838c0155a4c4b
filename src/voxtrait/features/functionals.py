"""Functionals: one row of statistics for a whole stretch of speech, for classical classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.features.mel import mel_filters, power_spectra
from voxtrait.features.mfcc import decibels, mfcc, slopes
from voxtrait.features.prosody import (
    peak_level,
    syllable_nuclei,
    voice_frames,
    voiced_runs,
    wavering,
)
from voxtrait.features.shape import (
    CONTRAST_BANDS,
    SHAPE,
    band_extremes,
    contrast,
    spectral_shape,
)

__all__ = ["Functionals", "FunctionalsConfig"]

Array = NDArray[np.float32]

_LIMITS: Final = {"n_fft": (320, 640), "hop": (16, 640), "n_mels": (2, 128), "n_mfcc": (1, 128)}

#: What is said of each track of values, over all frames or over the voiced ones.
_STATISTICS: Final = ("mean", "deviation", "p10", "p50", "p90")
_VOICE: Final = ("f0", "hnr", "doubling", "cepstral_peak")
_SINGLE: Final = ("jitter", "shimmer", "voiced_share", "voiced_runs", "voiced_length", "syllables")

#: Root mean square to which speech is brought, so that the level of a recording says nothing; what is
#: almost silence is not raised by more than a factor of a thousand.
_LEVEL: Final = 0.1
_SOFTEST: Final = 1e-4

#: Neighbouring periods, and amplitudes, further apart than these factors are errors of measurement
#: or new sounds, not wavering of a voice; the factors are Praat's.
_PERIOD_JUMP: Final = 1.3
_AMPLITUDE_JUMP_DB: Final = float(20 * np.log10(1.6))

#: Later than any frame: one stretch of speech is one row, however long.
_NEVER: Final = 2**40


@dataclass(frozen=True)
class FunctionalsConfig:
    """Settings of `Functionals`.

    Attributes:
        n_fft: length of a frame, in samples at 16 kHz.
        hop: from one frame to the next, in samples.
        n_mels: mel channels under the cepstral coefficients.
        n_mfcc: cepstral coefficients, the first of which goes with loudness.

    Raises:
        ValueError: for a setting that is not a whole number within reason.
    """

    n_fft: int = 512
    hop: int = 160
    n_mels: int = 40
    n_mfcc: int = 20

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc must be at most n_mels, {self.n_mels}, not {self.n_mfcc}")


class Functionals:
    """Statistics of cepstra, spectral shape, voice and prosody: one row a stretch of speech.

    Mean, deviation and the 10th, 50th and 90th percentile over all frames of: MFCC, loudness in dB, the
    columns of `voxtrait.features.shape.spectral_shape` (flatness in dB) and spectral
    contrast. The same over voiced frames of: F0 in semitones from 160 Hz, harmonics-to-noise ratio in
    dB, period doubling and cepstral peak (see `voxtrait.features.voice`). The deviation of the
    slopes ("deltas") of MFCC and loudness. And:

    - ``jitter``: how far a frame's period lies from the mean of three frames, in percent of the period;
      ``shimmer``: how far its amplitude does, in dB. They compare frames a hop apart, each with a few
      periods in it, and so follow slower wavering than the measures of these names that compare one
      cycle of the vocal folds with the next (Praat's local jitter and shimmer, RAP and APQ3); figures
      cannot be compared with those.
    - ``voiced_share`` of the frames, ``voiced_runs`` a second, ``voiced_length`` of a run in seconds,
      ``syllables`` (nuclei) a second.

    The level of a recording makes no difference. Where nothing is voiced, what is said of voiced
    frames is 0.
    """

    name = "functionals"

    def __init__(self, config: FunctionalsConfig) -> None:
        self.config = config

    @property
    def frame_shift(self) -> int:
        """More samples than any recording has: there is one row."""
        return _NEVER

    @property
    def frame_span(self) -> int:
        """Samples in a frame; fewer give no row."""
        return self.config.n_fft

    @property
    def size(self) -> int:
        """Values in a row."""
        return len(self.names())

    @property
    def powers(self) -> int:
        """Leading values of a row that are powers: none."""
        return 0

    def names(self) -> tuple[str, ...]:
        """Return what each value of a row is, such as "f0_p50" or "mfcc3_slope", in order."""
        cepstra = [f"mfcc{index}" for index in range(self.config.n_mfcc)]
        bands = [f"contrast{band}" for band in range(CONTRAST_BANDS)]
        tracks = [*cepstra, "loudness", *SHAPE, *bands, *_VOICE]
        spread = [f"{track}_{statistic}" for track in tracks for statistic in _STATISTICS]
        return (*spread, *(f"{track}_slope" for track in [*cepstra, "loudness"]), *_SINGLE)

    def extract(self, samples: Array) -> Array:
        """Return one row, shape (1, size), or none of fewer samples than a frame."""
        config = self.config
        if samples.size < config.n_fft:
            return np.zeros((0, self.size), dtype=np.float32)
        samples = _levelled(samples)
        spectral = self._spectral_tracks(samples)
        loudness = spectral[:, config.n_mfcc]
        voice = voice_frames(samples, config.hop, config.n_fft)
        tracks = np.stack([voice.pitch, voice.harmonicity, voice.doubling, voice.cepstral_peak], axis=1)

        period = np.exp2(-voice.pitch / 12.0)
        # In logarithms a step is a factor; the difference from percent is negligible at this size.
        jitter = 100.0 * wavering(np.log(period), voice.voiced, float(np.log(_PERIOD_JUMP)))
        amplitude = peak_level(samples, config.hop, config.n_fft)
        shimmer = wavering(amplitude, voice.voiced, _AMPLITUDE_JUMP_DB)
        step = config.hop / SAMPLE_RATE
        seconds = len(loudness) * step
        runs, voiced = voiced_runs(voice.voiced), int(voice.voiced.sum())
        nuclei = syllable_nuclei(loudness, voice.voiced)
        single = [
            jitter,
            shimmer,
            voiced / len(loudness),
            runs / seconds,
            voiced * step / max(runs, 1),
            nuclei / seconds,
        ]
        parts = [
            _statistics(spectral),
            _statistics(tracks[voice.voiced]),
            slopes(spectral[:, : config.n_mfcc + 1]).std(axis=0),
            np.array(single),
        ]
        return np.concatenate(parts).astype(np.float32)[None]

    def _spectral_tracks(self, samples: Array) -> Array:
        """Return MFCC, loudness, shape and contrast of each frame, (T, n_mfcc + 1 + 4 + 7)."""
        config = self.config
        filters = mel_filters(config.n_mels, config.n_fft)
        mels, powers, shapes, peaks, valleys = [], [], [], [], []
        for power in power_spectra(samples, config.n_fft, config.hop):
            magnitude = np.sqrt(power)
            mels.append(power @ filters)
            powers.append(power.sum(axis=1))
            shapes.append(spectral_shape(magnitude))
            peak, valley = band_extremes(magnitude)
            peaks.append(peak)
            valleys.append(valley)
        shape = np.concatenate(shapes)
        shape[:, SHAPE.index("flatness")] = decibels(shape[:, SHAPE.index("flatness")])
        loudness = decibels(np.concatenate(powers))[:, None]
        parts = [
            mfcc(np.concatenate(mels), config.n_mfcc),
            loudness,
            shape,
            contrast(np.concatenate(peaks), np.concatenate(valleys)),
        ]
        return np.concatenate(parts, axis=1)


def _levelled(samples: Array) -> Array:
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return samples * np.float32(_LEVEL / max(level, _SOFTEST))


def _statistics(tracks: Array) -> Array:
    """Return the statistics of each track side by side, (T, C) -> (C * 5,), or zeros without frames."""
    if not len(tracks):
        return np.zeros(tracks.shape[1] * len(_STATISTICS), dtype=np.float32)
    low, middle, high = np.percentile(tracks, (10, 50, 90), axis=0)
    rows = np.stack([tracks.mean(axis=0), tracks.std(axis=0), low, middle, high], axis=1)
    return np.asarray(rows.ravel(), dtype=np.float32)
