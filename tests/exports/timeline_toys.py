"""Answers with timelines, without speech, and without an answer."""

from __future__ import annotations

from voxtrait.labels import AGE_GROUPS
from voxtrait.results import AgeEstimate, GenderEstimate, Prediction, Problem, Segment


def age(years: float, group: str = "thirties") -> AgeEstimate:
    groups = {name: float(name == group) for name in AGE_GROUPS}
    return AgeEstimate(years, years - 8.4, years + 9.6, 0.8, group, groups)


FEMALE = GenderEstimate("female", 0.98213, 0.01787)
MALE = GenderEstimate("male", 0.0004, 0.9996)
UNSURE = GenderEstimate("unsure", 0.45, 0.55)
CALL = (
    Segment(0.5, 3.25, FEMALE, age(34.1), "S1"),
    Segment(3.25, 9.75, MALE, age(61.0), "S2"),
    Segment(12.0, 13.01, UNSURE, age(9.0, "child"), "S1"),
)


def spoken(
    segments: tuple[Segment, ...] = CALL, file: str = "/a/call 1.wav", duration: float | None = 20.0
) -> Prediction:
    return Prediction(file, "ok", duration, 10.0, FEMALE, age(34), "toy 1.0", segments)


def quiet(duration: float | None = 3.0) -> Prediction:
    return Prediction("b.wav", "no_speech", duration, 0.0, None, None, "toy 1.0", ())


def failed(file: str = "c.wav") -> Prediction:
    return Prediction(
        file, "error", None, None, None, None, "toy 1.0", error=Problem("empty", f"{file} is empty.")
    )
