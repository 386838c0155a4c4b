"""What formats of the timeline have in common: one document a recording, and how a segment is worded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

from voxtrait.errors import UsageError
from voxtrait.exports.base import Writer
from voxtrait.exports.wording import printable
from voxtrait.results import AgeEstimate, GenderEstimate, Prediction, Segment

__all__ = ["DocumentWriter", "TimelineWriter", "clock_time", "label", "milliseconds", "tiers_of", "voice_of"]

#: A name, and the segments on it, each with its text.
Tier = tuple[str, list[tuple[Segment, str]]]

#: Stands for the voice of a segment that names none.
_NAMELESS: Final = "speaker"


class TimelineWriter(Writer):
    """Writes the segments of recordings; what lies between them is no label, and of an error nothing."""

    needs_timeline = True

    def write(self, prediction: Prediction) -> None:
        """Write the segments of one recording, or nothing if it could not be heard.

        Raises:
            UsageError: ``usage`` if the answer has no timeline.
        """
        if prediction.status == "error":
            return
        if prediction.segments is None:
            raise UsageError(
                "usage",
                f"The result for {prediction.file} has no timeline, which {self.name} is made of: "
                "ask for it with --segments.",
            )
        self.write_timeline(prediction, prediction.segments)

    @abstractmethod
    def write_timeline(self, prediction: Prediction, segments: tuple[Segment, ...]) -> None:
        """Write the segments of an answer, which lie in order and do not overlap."""

    def finish(self) -> None:
        pass


class DocumentWriter(TimelineWriter):
    """Writes a document that holds one recording."""

    holds_several = False
    _holds: str | None = None

    def write(self, prediction: Prediction) -> None:
        """Write the document.

        Raises:
            UsageError: ``usage`` if there is one already, or if the answer has no timeline.
        """
        if prediction.status != "error":
            if self._holds is not None:
                raise UsageError(
                    "usage",
                    f"{self.name} holds one recording, {self._holds}; {prediction.file} would be another: "
                    "give a folder, where each gets its own file.",
                )
            self._holds = prediction.file
        super().write(prediction)


def milliseconds(seconds: float) -> int:
    """Return the nearest millisecond."""
    return round(seconds * 1000)


def clock_time(seconds: float, point: str) -> str:
    """Return ``hh:mm:ss.mmm``, with as many digits of the hour as it has."""
    minutes, rest = divmod(milliseconds(seconds), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def voice_of(segment: Segment) -> str:
    """Return the name of the voice of a segment."""
    return segment.speaker or _NAMELESS


def tiers_of(segments: Sequence[Segment]) -> list[Tier]:
    """Return a tier a voice with whole labels, and "gender" and "age" with their parts for all voices."""
    parts = {
        "gender": [(segment, gender_label(segment.gender)) for segment in segments],
        "age": [(segment, age_label(segment.age)) for segment in segments],
    }
    voices: dict[str, list[tuple[Segment, str]]] = {}
    for segment in segments:
        name = printable(voice_of(segment))
        voices.setdefault(f"{name} (voice)" if name in parts else name, []).append((segment, label(segment)))
    return [*voices.items(), *parts.items()]


def label(segment: Segment) -> str:
    """Return one line such as ``S1 female 0.98, age 34 (26-45)`` without control characters."""
    voice = printable(voice_of(segment))
    return f"{voice} {gender_label(segment.gender)}, age {age_label(segment.age)}"


def gender_label(gender: GenderEstimate) -> str:
    """Return ``female 0.98``, or ``unsure (male 0.55)``; only certainty is 1.00."""
    likelier = "female" if gender.female >= gender.male else "male"
    surest = max(gender.female, gender.male)
    probability = f"{surest if surest == 1 else min(surest, 0.99):.2f}"
    if gender.label == "unsure":
        return f"unsure ({likelier} {probability})"
    return f"{gender.label} {probability}"


def age_label(age: AgeEstimate) -> str:
    """Return years and interval, ``34 (26-45)``, or ``unsure``."""
    if age.group == "unsure":
        return "unsure"
    return f"{age.years:.0f} ({age.low:.0f}-{age.high:.0f})"
