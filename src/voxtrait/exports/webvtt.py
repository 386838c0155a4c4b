"""WebVTT: a cue a segment, of its voice."""

from __future__ import annotations

from xml.sax.saxutils import escape

from voxtrait.exports.segments import DocumentWriter, clock_time, label, voice_of
from voxtrait.exports.wording import printable
from voxtrait.results import Prediction, Segment

__all__ = ["WebVttWriter"]


class WebVttWriter(DocumentWriter):
    """One ``.vtt`` file."""

    name = "webvtt"
    suffixes = (".vtt",)
    suffix = ".vtt"
    media_type = "text/vtt"

    def write_timeline(self, prediction: Prediction, segments: tuple[Segment, ...]) -> None:
        self.stream.write("WEBVTT\n")
        for segment in segments:
            times = f"{clock_time(segment.start, '.')} --> {clock_time(segment.end, '.')}"
            voice = escape(printable(voice_of(segment)))
            self.stream.write(f"\n{times}\n<v {voice}>{escape(label(segment))}</v>\n")
