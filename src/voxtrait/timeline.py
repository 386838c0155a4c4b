"""Scored windows -> the timeline of a file: segments of one voice, and one row a voice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.bundle import EmbeddingCard
from voxtrait.results import Segment, SpeakerSummary
from voxtrait.scoring import Judge, Scores
from voxtrait.speakers import group_voices

__all__ = ["Timeline", "build_timeline"]

#: Seconds of silence that a segment may hold.
_MAX_PAUSE = 0.5


@dataclass(frozen=True)
class Timeline:
    """Segments in order of time, speakers in order of their first words."""

    segments: tuple[Segment, ...]
    speakers: tuple[SpeakerSummary, ...]


def build_timeline(scores: Scores, judge: Judge, embedding: EmbeddingCard | None) -> Timeline:
    """Group windows by voice and merge neighbouring speech of one voice into segments.

    Args:
        scores: of all windows of a file, in order.
        judge: reads estimates from scores.
        embedding: how voices are told apart; None makes the whole file one voice.
    """
    if embedding is None:
        voices = np.zeros(len(scores.pieces), dtype=np.int64)
    else:
        voices = group_voices(scores.embedding, scores.weights / SAMPLE_RATE, embedding.threshold)
    segments = []
    for stretch in _stretches(scores, voices):
        gender, age = judge.estimate(scores.weighted(stretch.windows, stretch.sizes))
        voice = f"S{voices[stretch.windows[0]] + 1}"
        start, end = stretch.start / SAMPLE_RATE, stretch.end / SAMPLE_RATE
        segments.append(Segment(start, end, gender, age, speaker=voice))
    speakers = []
    for voice_number in range(int(voices.max()) + 1):
        windows = np.flatnonzero(voices == voice_number)
        weights = scores.weights[windows]
        gender, age = judge.estimate(scores.weighted(windows.tolist(), weights.tolist()))
        seconds = float(weights.sum()) / SAMPLE_RATE
        speakers.append(SpeakerSummary(f"S{voice_number + 1}", seconds, gender, age))
    return Timeline(tuple(segments), tuple(speakers))


@dataclass
class _Stretch:
    """Speech of one voice without a long pause: its samples, and how many of them in which window."""

    start: int
    end: int
    windows: list[int]
    sizes: list[float]


def _stretches(scores: Scores, voices: NDArray[np.int64]) -> list[_Stretch]:
    """Walk all pieces of all windows in order; a new voice or a long pause begins a new stretch."""
    found: list[_Stretch] = []
    for window, pieces in enumerate(scores.pieces):
        for piece in pieces:
            last = found[-1] if found else None
            if (
                last is None
                or voices[last.windows[-1]] != voices[window]
                or piece.start - last.end > _MAX_PAUSE * SAMPLE_RATE
            ):
                found.append(_Stretch(piece.start, piece.end, [window], [piece.size]))
            else:
                last.end = piece.end
                last.windows.append(window)
                last.sizes.append(piece.size)
    return found
