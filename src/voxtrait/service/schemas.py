"""Answers as the description of the interface shows them; `voxtrait.results` is what they are made from."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voxtrait.exports import EXPORTS
from voxtrait.labels import AGE_GROUPS

__all__ = ["PREDICTION", "PredictionBody"]

Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Years = Annotated[float, Field(ge=0, le=200)]
Text = Annotated[str, Field(max_length=4096)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemNote(_Body):
    """A code for programs and a sentence for people."""

    code: Text
    message: Text


class GenderBody(_Body):
    """Calibrated probabilities; "unsure" where neither decides."""

    label: Literal["female", "male", "unsure"]
    female: Probability
    male: Probability


class AgeBody(_Body):
    """Years, an interval that holds the true age with probability ``coverage``, and age groups."""

    years: Years
    low: Years
    high: Years
    coverage: Probability
    group: Literal[(*AGE_GROUPS, "unsure")]  # type: ignore[valid-type]
    groups: Annotated[
        dict[Literal[tuple(AGE_GROUPS)], Probability],  # type: ignore[valid-type]
        Field(min_length=len(AGE_GROUPS)),
    ]


class SegmentBody(_Body):
    """A stretch of speech of one voice; times in seconds."""

    start: Seconds
    end: Seconds
    speaker: Text | None = None
    gender: GenderBody
    age: AgeBody


class SpeakerBody(_Body):
    """One voice, with its seconds of speech."""

    speaker: Text
    speech: Seconds
    gender: GenderBody
    age: AgeBody


class PredictionBody(_Body):
    """The answer for a recording."""

    file: Text
    status: Literal["ok", "no_speech", "error"]
    duration: Seconds | None
    speech: Seconds | None
    gender: GenderBody | None
    age: AgeBody | None
    segments: list[SegmentBody] | None = None
    speakers: list[SpeakerBody] | None = None
    warnings: list[ProblemNote] = []
    error: ProblemNote | None
    model: Text

    @model_validator(mode="after")
    def _status_fits(self) -> Self:
        if (self.status == "ok") != (self.gender is not None) or (self.gender is None) != (self.age is None):
            raise ValueError('gender and age are there if and only if status is "ok"')
        if (self.status == "error") != (self.error is not None):
            raise ValueError('error is there if and only if status is "error"')
        return self


#: An answer, or the document of another format.
PREDICTION: Final[dict[str, Any]] = {
    "description": "The answer, in the form asked for.",
    "content": {
        writer.media_type: {"schema": {"type": "string"}}
        for writer in EXPORTS.values()
        if writer.media_type != "application/json"
    },
}
