"""The model that comes with the package, on the synthetic voices in examples/."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import voxtrait
from voxtrait.audio import SAMPLE_RATE, load_audio

_EXAMPLES = Path(__file__).parents[1] / "examples"
_VOICES = ("woman.mp3", "phone.wav", "interview.m4a", "man.ogg")


@pytest.mark.parametrize(
    ("name", "gender"), [("woman.mp3", "female"), ("phone.wav", "female"), ("man.ogg", "male")]
)
def test_clear_voices_are_told(name: str, gender: str) -> None:
    answer = voxtrait.predict(_EXAMPLES / name)
    assert answer.gender is not None
    assert answer.gender.label == gender


def test_other_recordings_beside_it_do_not_change_an_answer() -> None:
    files = [_EXAMPLES / name for name in _VOICES]
    together = list(voxtrait.Predictor().predict_many([*files, *files]))
    alone = [voxtrait.predict(file) for file in files]
    assert [answer.to_dict() for answer in together] == [answer.to_dict() for answer in (*alone, *alone)]


def test_a_second_is_not_as_sure_as_the_whole() -> None:
    samples = load_audio(_EXAMPLES / "woman.mp3")
    loud = int(np.argmax(np.convolve(np.abs(samples), np.ones(SAMPLE_RATE), "valid")))
    second = voxtrait.predict(samples[loud : loud + SAMPLE_RATE], rate=SAMPLE_RATE)
    whole = voxtrait.predict(samples, rate=SAMPLE_RATE)
    assert second.gender is not None
    assert whole.gender is not None
    assert abs(second.gender.female - 0.5) < abs(whole.gender.female - 0.5)


def test_the_card_is_calibrated_for_more_than_one_amount_of_speech() -> None:
    card = voxtrait.load_bundle().card
    assert card.gender is not None
    assert card.age is not None
    assert len(card.gender.calibration) >= 4
    margins = [row.margin for row in card.age.interval]
    assert margins[0] > margins[-1]
