"""Prosody of a stretch of speech: how pitch and loudness waver, and how fast the syllables come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.features.voice import voice_tracks

__all__ = ["VoiceFrames", "peak_level", "syllable_nuclei", "voice_frames", "voiced_runs", "wavering"]

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

#: Voicing from which a frame has a pitch; white noise seldom reaches it.
_VOICED = 0.5
#: Semitones from the median of a stretch of speech beyond which a pitch is taken for an error: those of
#: an octave, 12 semitones, are the most frequent ones, and few phrases span more.
_OCTAVE_ERROR = 9.0
#: Correlation that counts as purely periodic: 40 dB of harmonics over noise.
_PUREST = 0.9999
#: Samples whose height is the amplitude of a frame: they hold a period from 50 Hz up.
_AMPLITUDE_SPAN = SAMPLE_RATE // 50
_DIP_DB = 2.0
_NUCLEUS_RANGE_DB = 25.0


@dataclass(frozen=True)
class VoiceFrames:
    """Voice, frame by frame; all but ``voiced`` mean something only where that is true. All (T,).

    Attributes:
        voiced: whether there is a pitch.
        pitch: fundamental frequency in semitones from 160 Hz.
        harmonicity: harmonics-to-noise ratio in dB, of the autocorrelation at the period (Boersma 1993).
        doubling, cepstral_peak: as in `voxtrait.features.voice.voice_tracks`.
    """

    voiced: Flags
    pitch: Array
    harmonicity: Array
    doubling: Array
    cepstral_peak: Array


def voice_frames(samples: Array, hop: int, span: int) -> VoiceFrames:
    """Return the voice of frames that lie as those of a spectrogram with ``span`` and ``hop`` do."""
    voicing, pitch, doubling, cepstral_peak = voice_tracks(samples, hop, span).T
    voiced = voicing >= _VOICED
    semitones = 12.0 * pitch / np.maximum(voicing, _VOICED)
    if voiced.any():
        voiced &= np.abs(semitones - np.median(semitones[voiced])) <= _OCTAVE_ERROR
    held = np.clip(voicing, _VOICED, _PUREST)
    return VoiceFrames(
        voiced,
        semitones,
        10.0 * np.log10(held / (1.0 - held)),
        doubling,
        cepstral_peak,
    )


def peak_level(samples: Array, hop: int, span: int) -> Array:
    """Return the peak-to-peak amplitude of the 20 ms around each frame's centre in dB, (frames,)."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, _AMPLITUDE_SPAN)
    windows = windows[(span - _AMPLITUDE_SPAN) // 2 :: hop][: 1 + (samples.size - span) // hop]
    height = windows.max(axis=1) - windows.min(axis=1)
    return np.asarray(20.0 * np.log10(np.maximum(height, 1e-5)), dtype=np.float32)


def wavering(values: Array, voiced: Flags, jump: float) -> float:
    """Return the mean distance of a voiced frame's value from the mean of itself and its neighbours.

    Three frames count if all are voiced and no two that follow one another are further apart than
    ``jump``; 0 where there are none.
    """
    steps = np.abs(np.diff(values)) <= jump
    usable = voiced[:-2] & voiced[1:-1] & voiced[2:] & steps[:-1] & steps[1:]
    distance = np.abs(values[1:-1] - (values[:-2] + values[1:-1] + values[2:]) / 3.0)
    return float(distance[usable].mean()) if usable.any() else 0.0


def voiced_runs(voiced: Flags) -> int:
    """Return how many unbroken runs of voiced frames there are."""
    return int(np.count_nonzero(voiced[1:] & ~voiced[:-1])) + int(voiced[:1].sum())


def syllable_nuclei(level: Array, voiced: Flags) -> int:
    """Count syllables: voiced peaks of loudness with a dip of at least 2 dB before the next.

    De Jong and Wempe 2009, "Praat script to detect syllable nuclei and measure speech rate
    automatically"; only peaks within 25 dB of the loudest frame count.

    Args:
        level: (T,) of each frame in dB.
        voiced: (T,) whether a frame is voiced.
    """
    padded = np.pad(level, 1, constant_values=-np.inf)
    is_peak = (padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:])
    loud = level > level.max(initial=-np.inf) - _NUCLEUS_RANGE_DB
    count, previous, height, floor = 0, 0, -np.inf, np.inf
    for peak in np.flatnonzero(is_peak & loud & voiced).tolist():
        here = float(level[peak])
        floor = min(floor, float(level[previous : peak + 1].min()))
        if not count or min(height, here) - floor >= _DIP_DB:
            count, height, floor = count + 1, here, here
        elif here > height:
            # No dip between them: one syllable, as loud as the louder peak.
            height, floor = here, here
        previous = peak
    return count
