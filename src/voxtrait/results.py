"""What a prediction says: frozen dataclasses, and their JSON form.

The JSON names are a contract (one object a file; docs/guide.md lists them). Probabilities lie in
[0, 1], ages are years, times are seconds from the start of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

__all__ = [
    "AgeEstimate",
    "GenderEstimate",
    "Prediction",
    "Problem",
    "Segment",
    "SpeakerSummary",
]

Status = Literal["ok", "no_speech", "error"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A stable code for programs and one sentence for people."""

    code: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        return {"code": self.code, "message": self.message}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form of the contract."""
        return cls(form["code"], form["message"])


@dataclass(frozen=True, slots=True)
class GenderEstimate:
    """Calibrated probabilities of the labels "female" and "male"; they sum to 1.

    ``label`` is "unsure" where neither is probable enough to decide.
    """

    label: Literal["female", "male", "unsure"]
    female: float
    male: float

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        return {
            "label": self.label,
            "female": round(self.female, 4),
            "male": round(1 - round(self.female, 4), 4),
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form of the contract."""
        return cls(form["label"], form["female"], form["male"])


@dataclass(frozen=True, slots=True)
class AgeEstimate:
    """Age in years with an interval that holds the true age with probability ``coverage``.

    ``groups`` maps each age group to its probability, ``group`` is the most probable one.
    """

    years: float
    low: float
    high: float
    coverage: float
    group: str
    groups: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        return {
            "years": round(self.years, 1),
            "low": round(self.low, 1),
            "high": round(self.high, 1),
            "coverage": self.coverage,
            "group": self.group,
            "groups": {name: round(p, 4) for name, p in self.groups.items()},
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form of the contract."""
        return cls(**form)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech of one voice, from ``start`` to ``end`` in seconds."""

    start: float
    end: float
    gender: GenderEstimate
    age: AgeEstimate
    speaker: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        head: dict[str, Any] = {"start": round(self.start, 2), "end": round(self.end, 2)}
        if self.speaker is not None:
            head["speaker"] = self.speaker
        return {**head, "gender": self.gender.to_dict(), "age": self.age.to_dict()}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form of the contract."""
        gender, age = GenderEstimate.from_dict(form["gender"]), AgeEstimate.from_dict(form["age"])
        return cls(form["start"], form["end"], gender, age, form.get("speaker"))


@dataclass(frozen=True, slots=True)
class SpeakerSummary:
    """One voice of a file, with its seconds of speech."""

    speaker: str
    speech: float
    gender: GenderEstimate
    age: AgeEstimate

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        return {
            "speaker": self.speaker,
            "speech": round(self.speech, 2),
            "gender": self.gender.to_dict(),
            "age": self.age.to_dict(),
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form of the contract."""
        gender, age = GenderEstimate.from_dict(form["gender"]), AgeEstimate.from_dict(form["age"])
        return cls(form["speaker"], form["speech"], gender, age)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one file.

    Attributes:
        file: the name of the source.
        status: "ok", "no_speech" or "error".
        duration: length in seconds, None if it is not known.
        speech: seconds of speech, None if it is not known.
        gender, age: None unless status is "ok".
        model: name and version of the bundle.
        segments, speakers: None unless they were asked for.
        warnings: what was odd but did not stop the prediction.
        error: None unless status is "error".
    """

    file: str
    status: Status
    duration: float | None
    speech: float | None
    gender: GenderEstimate | None
    age: AgeEstimate | None
    model: str
    segments: tuple[Segment, ...] | None = None
    speakers: tuple[SpeakerSummary, ...] | None = None
    warnings: tuple[Problem, ...] = field(default=())
    error: Problem | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        out: dict[str, Any] = {
            "file": self.file,
            "status": self.status,
            "duration": None if self.duration is None else round(self.duration, 2),
            "speech": None if self.speech is None else round(self.speech, 2),
            "gender": None if self.gender is None else self.gender.to_dict(),
            "age": None if self.age is None else self.age.to_dict(),
        }
        if self.segments is not None:
            out["segments"] = [segment.to_dict() for segment in self.segments]
        if self.speakers is not None:
            out["speakers"] = [speaker.to_dict() for speaker in self.speakers]
        if self.warnings:
            out["warnings"] = [problem.to_dict() for problem in self.warnings]
        out["error"] = None if self.error is None else self.error.to_dict()
        out["model"] = self.model
        return out

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form of the contract; its numbers stay rounded.

        Raises:
            KeyError, TypeError, AttributeError: if ``form`` is something else.
        """
        gender, age = form["gender"], form["age"]
        segments, speakers = form.get("segments"), form.get("speakers")
        error = form.get("error")
        return cls(
            file=form["file"],
            status=form["status"],
            duration=form["duration"],
            speech=form["speech"],
            gender=None if gender is None else GenderEstimate.from_dict(gender),
            age=None if age is None else AgeEstimate.from_dict(age),
            model=form["model"],
            segments=None if segments is None else tuple(map(Segment.from_dict, segments)),
            speakers=None if speakers is None else tuple(map(SpeakerSummary.from_dict, speakers)),
            warnings=tuple(map(Problem.from_dict, form.get("warnings", ()))),
            error=None if error is None else Problem.from_dict(error),
        )
