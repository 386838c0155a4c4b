"""SubRip subtitles: a numbered cue a segment."""

from __future__ import annotations

from voxtrait.exports.segments import DocumentWriter, clock_time, label
from voxtrait.results import Prediction, Segment

__all__ = ["SrtWriter"]


class SrtWriter(DocumentWriter):
    """One ``.srt`` file."""

    name = "srt"
    suffixes = (".srt",)
    suffix = ".srt"
    media_type = "application/x-subrip"

    def write_timeline(self, prediction: Prediction, segments: tuple[Segment, ...]) -> None:
        for number, segment in enumerate(segments, 1):
            times = f"{clock_time(segment.start, ',')} --> {clock_time(segment.end, ',')}"
            # SubRip has no way to escape its arrow.
            text = label(segment).replace("-->", "->")
            self.stream.write(f"{number}\n{times}\n{text}\n\n")
