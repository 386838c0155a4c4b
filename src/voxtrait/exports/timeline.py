"""The timeline of one file as text: a bar of the whole, a line a segment, a line a voice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from voxtrait.exports.screen import GENDER_STYLES
from voxtrait.exports.wording import age_words, clock, gender_words, percent
from voxtrait.results import AgeEstimate, GenderEstimate, Segment, SpeakerSummary

__all__ = ["draw_timeline", "draw_voices", "legend"]

#: Columns of the bar.
_BAR: Final = 64
_SILENCE: Final = "·"
#: Told apart without colour too.
_CELLS: Final[dict[str, str]] = {"female": "█", "male": "▒", "unsure": "?"}


def draw_timeline(segments: Sequence[Segment], duration: float | None) -> Text:
    """Draw a file of ``duration`` seconds (None: it ends with its last segment), without a line end."""
    total = max(duration or 0.0, segments[-1].end)
    text = Text("  ").append_text(_bar(segments, total)).append(f"  {clock(total)}", "dim")
    width = len(clock(total))
    for segment in segments:
        text.append(f"\n  {clock(segment.start):>{width}} – {clock(segment.end):>{width}}")
        text.append(f"  {segment.speaker or '':<3}  ")
        text.append_text(_estimates(segment.gender, segment.age))
    return text


def draw_voices(speakers: Sequence[SpeakerSummary]) -> Text:
    """List the voices, and how the speech divides between the genders, without a line end."""
    text = Text()
    totals: dict[str, float] = {}
    for speaker in speakers:
        label: str = speaker.gender.label
        totals[label] = totals.get(label, 0.0) + speaker.speech
        text.append(f"  {speaker.speaker:<3}  speaks {clock(speaker.speech):>6}  ")
        text.append_text(_estimates(speaker.gender, speaker.age)).append("\n")
    all_speech = sum(totals.values()) or 1.0
    text.append("  in all")
    for label in (name for name in GENDER_STYLES if name in totals):
        text.append("  ").append(label, GENDER_STYLES[label])
        text.append(f" {clock(totals[label])} ({percent(totals[label] / all_speech)})")
    return text


def legend() -> Text:
    """Say what the cells of the bar mean."""
    text = Text()
    for label, cell in _CELLS.items():
        text.append(cell, GENDER_STYLES[label]).append(f" {label}   ")
    return text.append(f"{_SILENCE} no speech")


def _estimates(gender: GenderEstimate, age: AgeEstimate) -> Text:
    return Text.assemble((f"{gender_words(gender):<15}", GENDER_STYLES[gender.label]), f"  {age_words(age)}")


def _bar(segments: Sequence[Segment], total: float) -> Text:
    """Give each cell to the label with most of its time, or to silence if that has more."""
    cell = total / _BAR
    shares: list[dict[str, float]] = [{} for _ in range(_BAR)]
    for segment in segments:
        label: str = segment.gender.label
        for place in range(int(segment.start / cell), min(_BAR - 1, int(segment.end / cell)) + 1):
            seconds = min(segment.end, (place + 1) * cell) - max(segment.start, place * cell)
            shares[place][label] = shares[place].get(label, 0.0) + seconds
    bar = Text()
    for share in shares:
        silence = cell - sum(share.values())
        likeliest = max(share, key=share.__getitem__, default="")
        if likeliest and share[likeliest] > max(silence, 0.0):
            bar.append(_CELLS[likeliest], GENDER_STYLES[likeliest])
        else:
            bar.append(_SILENCE, "dim")
    return bar
