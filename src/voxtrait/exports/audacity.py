"""Audacity's label track: start, end and label a line, between tabs."""

from __future__ import annotations

from voxtrait.exports.segments import DocumentWriter, label
from voxtrait.results import Prediction, Segment

__all__ = ["AudacityWriter"]


class AudacityWriter(DocumentWriter):
    """One label track. A file called ``.txt`` is a table unless this format is named."""

    name = "audacity"
    suffix = ".txt"

    def write_timeline(self, prediction: Prediction, segments: tuple[Segment, ...]) -> None:
        for segment in segments:
            self.stream.write(f"{segment.start:.6f}\t{segment.end:.6f}\t{label(segment)}\n")
