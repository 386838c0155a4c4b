"""Praat's TextGrid in its long text form: a tier a voice, and one each for gender and age.

The tiers of the voices hold the whole label, those called gender and age their part of it for all voices. An
interval without speech is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from voxtrait.exports.segments import DocumentWriter, Tier, milliseconds, tiers_of
from voxtrait.results import Prediction, Segment

__all__ = ["TextGridWriter"]


class _Interval(NamedTuple):
    """From ``start`` to ``end`` in milliseconds."""

    start: int
    end: int
    text: str


class TextGridWriter(DocumentWriter):
    """One TextGrid, in UTF-8."""

    name = "textgrid"
    suffixes = (".textgrid",)
    suffix = ".TextGrid"

    def write_timeline(self, prediction: Prediction, segments: tuple[Segment, ...]) -> None:
        ends = [milliseconds(prediction.duration or 0), *(milliseconds(segment.end) for segment in segments)]
        # Praat takes no grid without length.
        end = max(1, *ends)
        self.stream.writelines(_lines(tiers_of(segments), end))


def _filled(labels: Iterable[tuple[Segment, str]], end: int) -> Iterator[_Interval]:
    """Yield intervals, and empty ones between them, without a gap from 0 to ``end``."""
    reached = 0
    for segment, text in labels:
        start = milliseconds(segment.start)
        if start > reached:
            yield _Interval(reached, start, "")
        reached = milliseconds(segment.end)
        yield _Interval(start, reached, text)
    if reached < end:
        yield _Interval(reached, end, "")


def _lines(tiers: list[Tier], end: int) -> Iterator[str]:
    yield 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    yield f"xmin = 0\nxmax = {_seconds(end)}\ntiers? <exists>\nsize = {len(tiers)}\nitem []:\n"
    for number, (name, labels) in enumerate(tiers, 1):
        filled = list(_filled(labels, end))
        yield f'    item [{number}]:\n        class = "IntervalTier"\n        name = {_quoted(name)}\n'
        yield f"        xmin = 0\n        xmax = {_seconds(end)}\n        intervals: size = {len(filled)}\n"
        for place, interval in enumerate(filled, 1):
            yield f"        intervals [{place}]:\n            xmin = {_seconds(interval.start)}\n"
            yield f"            xmax = {_seconds(interval.end)}\n"
            yield f"            text = {_quoted(interval.text)}\n"


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}" if milliseconds else "0"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
