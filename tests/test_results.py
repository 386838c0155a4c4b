from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from voxtrait import AgeEstimate, GenderEstimate, Prediction, Problem, Segment, SpeakerSummary
from voxtrait.labels import AGE_GROUPS

CONTRACT = Draft202012Validator(
    json.loads((Path(__file__).parent / "contract" / "prediction.schema.json").read_text())
)
SECONDS = st.floats(0, 1e6)
VOICES = st.from_regex(r"S[1-9][0-9]?", fullmatch=True)


@st.composite
def genders(draw: st.DrawFn) -> GenderEstimate:
    female = draw(st.floats(0, 1))
    return GenderEstimate(draw(st.sampled_from(["female", "male", "unsure"])), female, 1 - female)


@st.composite
def ages(draw: st.DrawFn) -> AgeEstimate:
    low, years, high = sorted(draw(st.floats(0, 100)) for _ in range(3))
    masses = [draw(st.floats(0.01, 1)) for _ in AGE_GROUPS]
    groups = {name: mass / sum(masses) for name, mass in zip(AGE_GROUPS, masses, strict=True)}
    group = draw(st.sampled_from([*AGE_GROUPS, "unsure"]))
    return AgeEstimate(years, low, high, draw(st.floats(0.01, 0.99)), group, groups)


SEGMENTS = st.builds(Segment, SECONDS, SECONDS, genders(), ages(), st.none() | VOICES)
SPEAKERS = st.builds(SpeakerSummary, VOICES, SECONDS, genders(), ages())
PROBLEMS = st.builds(Problem, st.from_regex(r"[a-z]+(_[a-z]+)?", fullmatch=True), st.text(min_size=1))
FILES = st.text(st.characters(codec="utf-8"))


def some(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(items, max_size=3).map(tuple)


WARNINGS = st.lists(PROBLEMS, max_size=2).map(tuple)
OK = st.builds(
    Prediction, FILES, st.just("ok"), SECONDS, SECONDS, genders(), ages(), st.text(),
    some(SEGMENTS), some(SPEAKERS), WARNINGS, st.none(),
)  # fmt: skip
NO_SPEECH = st.builds(
    Prediction, FILES, st.just("no_speech"), SECONDS, SECONDS, st.none(), st.none(), st.text(),
    st.sampled_from([None, ()]), st.sampled_from([None, ()]), WARNINGS, st.none(),
)  # fmt: skip
ERROR = st.builds(
    Prediction, FILES, st.just("error"), st.none(), st.none(), st.none(), st.none(), st.text(), error=PROBLEMS
)


@given(OK | NO_SPEECH | ERROR)
def test_the_json_form_keeps_the_contract(prediction: Prediction) -> None:
    answer = prediction.to_dict()
    CONTRACT.validate(answer)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


@given(genders())
def test_rounded_probabilities_sum_to_one(gender: GenderEstimate) -> None:
    answer = gender.to_dict()
    assert answer["female"] + answer["male"] == pytest.approx(1, abs=1e-12)
    assert answer["female"] == pytest.approx(gender.female, abs=5.1e-5)


@given(ages())
def test_rounded_ages_stay_in_order(age: AgeEstimate) -> None:
    answer = age.to_dict()
    assert answer["low"] <= answer["years"] <= answer["high"]
    assert list(answer["groups"]) == list(AGE_GROUPS)
    assert sum(answer["groups"].values()) == pytest.approx(1, abs=1e-3)


def test_what_was_not_asked_for_is_not_there() -> None:
    answer = Prediction("a.wav", "no_speech", 1.0, 0.0, None, None, "toy 1").to_dict()
    assert list(answer) == ["file", "status", "duration", "speech", "gender", "age", "error", "model"]
    asked = Prediction("a.wav", "no_speech", 1.0, 0.0, None, None, "toy 1", (), ()).to_dict()
    assert (asked["segments"], asked["speakers"]) == ([], [])


def test_the_names_of_the_contract() -> None:
    gender = GenderEstimate("female", 0.98213, 0.01787)
    age = AgeEstimate(34.06, 26.0, 45.0, 0.8, "thirties", dict.fromkeys(AGE_GROUPS, 1 / 9))
    prediction = Prediction(
        "a.mp3",
        "ok",
        12.3141,
        10.1177,
        gender,
        age,
        "voxtrait-base 1.0",
        (Segment(0.504, 3.2, gender, age, "S1"),),
        (SpeakerSummary("S1", 7.9001, gender, age),),
        (Problem("truncated", "It breaks off."),),
    )
    answer = prediction.to_dict()
    assert answer["gender"] == {"label": "female", "female": 0.9821, "male": 0.0179}
    assert (answer["duration"], answer["speech"]) == (12.31, 10.12)
    assert (answer["age"]["years"], answer["age"]["group"], answer["age"]["coverage"]) == (
        34.1,
        "thirties",
        0.8,
    )
    assert list(answer["segments"][0]) == ["start", "end", "speaker", "gender", "age"]
    assert list(answer["speakers"][0]) == ["speaker", "speech", "gender", "age"]
    assert answer["warnings"] == [{"code": "truncated", "message": "It breaks off."}]


def test_an_answer_cannot_be_changed() -> None:
    gender = GenderEstimate("female", 0.9, 0.1)
    with pytest.raises(FrozenInstanceError):
        gender.label = "male"  # type: ignore[misc]
