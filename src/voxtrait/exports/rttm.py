"""RTTM, as NIST defines it (RT-09 evaluation plan, appendix A): who speaks when, and the voices' genders.

A line of ten fields a voice and a segment. The file field is the name of the recording without folder and
extension; where a document has that name already, the whole name. White space, control characters and
percent signs in it are percent-encoded. Gender probabilities and ages have no place in RTTM.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Final, TextIO

from voxtrait.exports.segments import TimelineWriter, milliseconds, voice_of
from voxtrait.exports.wording import percent_encoded
from voxtrait.results import AgeEstimate, GenderEstimate, Prediction, Segment

__all__ = ["RttmWriter"]

_SUBTYPES: Final = {"female": "adult_female", "male": "adult_male", "unsure": "unknown"}


class RttmWriter(TimelineWriter):
    """SPKR-INFO lines for the voices of a recording, then SPEAKER lines for its segments."""

    name = "rttm"
    suffixes = (".rttm",)
    suffix = ".rttm"
    appends = True

    def __init__(self, stream: TextIO, *, segments: bool = False, speakers: bool = False) -> None:
        super().__init__(stream, segments=segments, speakers=speakers)
        self._names: set[str] = set()

    def write_timeline(self, prediction: Prediction, segments: tuple[Segment, ...]) -> None:
        file = self._name(prediction.file)
        for voice, subtype in _subtypes(prediction, segments).items():
            self.stream.write(f"SPKR-INFO {file} 1 <NA> <NA> <NA> {subtype} {_field(voice)} <NA> <NA>\n")
        for segment in segments:
            start, end = milliseconds(segment.start), milliseconds(segment.end)
            voice = _field(voice_of(segment))
            times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
            self.stream.write(f"SPEAKER {file} 1 {times} <NA> <NA> {voice} <NA> <NA>\n")

    def _name(self, file: str) -> str:
        short = _field(PurePosixPath(file).stem or file)
        name = _field(file) if short in self._names else short
        self._names.add(name)
        return name


def _field(text: str) -> str:
    """Return text as one field; `percent_encoded` can be undone."""
    return percent_encoded(text, " ")


def _subtypes(prediction: Prediction, segments: tuple[Segment, ...]) -> dict[str, str]:
    """Return what RTTM calls each voice, in order of their first words."""
    shares: dict[str, Counter[str]] = {}
    for segment in segments:
        counter = shares.setdefault(voice_of(segment), Counter())
        counter[_subtype(segment.gender, segment.age)] += milliseconds(segment.end - segment.start)
    found = {voice: counter.most_common(1)[0][0] for voice, counter in shares.items()}
    for speaker in prediction.speakers or ():
        if speaker.speaker in found:
            found[speaker.speaker] = _subtype(speaker.gender, speaker.age)
    return found


def _subtype(gender: GenderEstimate, age: AgeEstimate) -> str:
    return "child" if age.group == "child" else _SUBTYPES[gender.label]
