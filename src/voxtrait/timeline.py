"""Scored windows -> the timeline of a file: segments of one voice, and one row a voice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.bundle import EmbeddingCard
from voxtrait.results import Segment, SpeakerSummary
from voxtrait.scoring import Judge, Scores
from voxtrait.speakers import trace_voices

__all__ = ["MAX_PAUSE", "Timeline", "build_timeline"]

#: Seconds of silence that a segment may hold.
MAX_PAUSE = 0.5


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
    pieces = [[piece.size / SAMPLE_RATE for piece in window] for window in scores.pieces]
    if embedding is None:
        voices = [np.zeros(len(sizes), dtype=np.int64) for sizes in pieces]
    else:
        voices = trace_voices(scores.embedding, pieces, embedding.threshold)
    stretches = _stretches(scores, voices)
    segments = []
    for stretch in stretches:
        gender, age = judge.estimate(_heard(scores, [stretch]))
        start, end = stretch.start / SAMPLE_RATE, stretch.end / SAMPLE_RATE
        segments.append(Segment(start, end, gender, age, speaker=f"S{stretch.voice + 1}"))
    speakers = []
    for voice in range(max(stretch.voice for stretch in stretches) + 1):
        own = _heard(scores, [stretch for stretch in stretches if stretch.voice == voice])
        gender, age = judge.estimate(own)
        speakers.append(SpeakerSummary(f"S{voice + 1}", float(own.weights.sum()) / SAMPLE_RATE, gender, age))
    return Timeline(tuple(segments), tuple(speakers))


@dataclass
class _Stretch:
    """Speech of one voice without a long pause: its samples, and how many of them in which window."""

    voice: int
    start: int
    end: int
    windows: list[int]
    sizes: list[int]


def _stretches(scores: Scores, voices: list[NDArray[np.int64]]) -> list[_Stretch]:
    """Walk all pieces of all windows in order; a new voice or a long pause begins a new stretch."""
    found: list[_Stretch] = []
    for window, pieces in enumerate(scores.pieces):
        for piece, voice in zip(pieces, voices[window].tolist(), strict=True):
            last = found[-1] if found else None
            if last is None or last.voice != voice or piece.start - last.end > MAX_PAUSE * SAMPLE_RATE:
                found.append(_Stretch(voice, piece.start, piece.end, [window], [piece.size]))
            else:
                last.end = piece.end
                last.windows.append(window)
                last.sizes.append(piece.size)
    return found


def _heard(scores: Scores, stretches: list[_Stretch]) -> Scores:
    """Return the windows of stretches, each counted by what of it is theirs."""
    windows = [window for stretch in stretches for window in stretch.windows]
    return scores.weighted(windows, [float(size) for stretch in stretches for size in stretch.sizes])
