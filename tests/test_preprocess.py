"""The steps that recipes and cards name, what they do to speech, and that a bundle's are applied."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_toys import FEATURES, RATE, WOMAN, Samples, bundle_of, dialogue, pitch_card, say
from voxtrait import BundleError, MissingExtraError, Predictor
from voxtrait.bundle.cardfile import parse_card
from voxtrait.features import build_features
from voxtrait.listening import Heard, Listener
from voxtrait.preprocess import STEPS, Preprocessor, build_preprocessor, parse_steps
from voxtrait.speech import SpeechDetector

ONE_OF_EACH = ["level=-26", "lowpass=4000", "telephone", "denoise"]


def tone(hz: float, seconds: float = 1.0, amplitude: float = 0.3) -> Samples:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def decibels(samples: Samples) -> float:
    """Return the root mean square away from the ends, in dB below full scale."""
    inner = samples[1000:-1000].astype(np.float64)
    return float(10 * np.log10(np.mean(inner**2) + 1e-20))


def test_the_list_holds_every_step() -> None:
    assert [text.partition("=")[0] for text in ONE_OF_EACH] == list(STEPS)


@pytest.mark.parametrize("step", ONE_OF_EACH)
@pytest.mark.parametrize("size", [0, 1, 399, 1023, 5000, 16_001])
def test_a_step_keeps_the_length_and_repeats_itself(step: str, size: int) -> None:
    speech = say()[4000 : 4000 + size]
    out = Preprocessor((step,))(speech)
    assert out.shape == speech.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(out, Preprocessor((step,))(speech))


@pytest.mark.parametrize("step", ONE_OF_EACH)
def test_silence_stays_silence(step: str) -> None:
    assert not np.abs(Preprocessor((step,))(np.zeros(RATE, np.float32))).max() > 1e-6


@given(st.floats(-60, -20), st.floats(1e-3, 1))
def test_the_level_is_the_one_asked_for(dbfs: float, amplitude: float) -> None:
    out = Preprocessor((f"level={dbfs:.3f}",))(tone(220, amplitude=amplitude))
    assert float(10 * np.log10(np.mean(out.astype(np.float64) ** 2))) == pytest.approx(dbfs, abs=0.01)


def test_the_level_never_makes_speech_clip() -> None:
    click = np.zeros(RATE, np.float32)
    click[100] = 0.5
    assert float(np.abs(Preprocessor(("level=0",))(click)).max()) == pytest.approx(1.0)


def test_a_lowpass_keeps_what_is_below_and_takes_what_is_above() -> None:
    for hz, kept in ((100, True), (1800, True), (2200, False), (7000, False)):
        change = decibels(Preprocessor(("lowpass=2000",))(tone(hz))) - decibels(tone(hz))
        assert abs(change) < 0.05 if kept else change < -60


def test_a_lowpass_does_not_delay() -> None:
    speech = say()
    out = Preprocessor(("lowpass=3000",))(speech)
    lags = range(-3, 4)
    fit = [float(np.dot(out[10:-10], np.roll(speech, lag)[10:-10])) for lag in lags]
    assert lags[int(np.argmax(fit))] == 0


def test_a_telephone_line_passes_its_band_alone() -> None:
    line = Preprocessor(("telephone",))
    assert decibels(line(tone(1000))) == pytest.approx(decibels(tone(1000)), abs=0.2)
    for hz in (100, 3800, 6000):
        assert decibels(line(tone(hz))) < decibels(tone(hz)) - 35


def test_denoising_brings_speech_without_pauses_nearer_to_what_it_was() -> None:
    spoken = say()
    voice = np.concatenate([spoken[start:end] for start, end in SpeechDetector().spans(spoken)])
    noise = np.random.default_rng(0).normal(0, 1, voice.size).astype(np.float32)
    noise *= np.float32(10 ** ((decibels(voice) - 5) / 20))
    out = Preprocessor(("denoise",))(voice + noise)
    # What of it is speech, however loud, and what is not (Le Roux et al. 2019, "SDR").
    speech = voice * np.float32(np.dot(out, voice) / np.dot(voice, voice))
    assert decibels(speech) - decibels(out - speech) > 5 + 3


def test_denoising_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "noisereduce", None)
    with pytest.raises(MissingExtraError, match=r"voxtrait\[denoise\]"):
        Preprocessor(("denoise",))(say())


def test_steps_run_in_the_order_of_their_names() -> None:
    hiss = tone(200, amplitude=0.05) + tone(6000, amplitude=0.5)
    filtered_last = Preprocessor(("level=-20", "lowpass=2000"))(hiss)
    levelled_last = Preprocessor(("lowpass=2000", "level=-20"))(hiss)
    assert decibels(levelled_last) == pytest.approx(-20, abs=0.1)
    assert decibels(filtered_last) < -35


def test_steps_are_written_out_in_full() -> None:
    assert parse_steps(["level", "lowpass=4000.0", "telephone"]) == ("level=-26", "lowpass=4000", "telephone")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("trim", "no preprocessing step 'trim', only level, lowpass, telephone, denoise"),
        ("lowpass", "lowpass needs a number from 200 to 7600 Hz"),
        ("lowpass=none", "not 'lowpass=none'"),
        ("lowpass=nan", "not 'lowpass=nan'"),
        ("lowpass=8000", "from 200 to 7600 Hz"),
        ("level=3", "from -60 to 0 dBFS"),
        ("telephone=2", "takes no number"),
        ("", "no preprocessing step ''"),
        ("\x1b[2J", r"no preprocessing step '\x1b[2J'"),
    ],
)
def test_a_step_that_makes_no_sense_is_named(step: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_steps([step])
    assert said in str(caught.value)
    with pytest.raises(BundleError) as refused:
        build_preprocessor([step])
    assert refused.value.code == "bundle_features"
    assert said in refused.value.message


def test_a_predictor_refuses_a_card_with_a_step_that_it_does_not_know() -> None:
    bundle = bundle_of(pitch_card(preprocess=("level", "unheard=1")))
    with pytest.raises(BundleError, match="unheard") as caught:
        Predictor(bundle)
    assert caught.value.code == "bundle_features"


def test_a_card_keeps_its_steps_and_none_are_needed() -> None:
    card = pitch_card(preprocess=("lowpass=4000", "telephone"))
    assert parse_card(card.model_dump_json().encode(), "here").preprocess == ("lowpass=4000", "telephone")
    plain = pitch_card().model_dump_json(exclude={"preprocess"}).encode()
    assert parse_card(plain, "here").preprocess == ()


@pytest.mark.parametrize("value", ['"level"', "[1]", "[null]", '["\\u001b[2J"]', str(["level"] * 17)])
def test_a_card_with_something_else_for_steps_is_refused(value: str) -> None:
    raw = pitch_card(preprocess=("level",)).model_dump_json()
    with pytest.raises(BundleError, match="preprocess"):
        parse_card(raw.replace('["level"]', value.replace("'", '"')).encode(), "here")


def test_windows_go_through_the_steps_before_their_features() -> None:
    talk, steps = dialogue(2), Preprocessor(("lowpass=2000", "level=-30"))
    detector, extractor = SpeechDetector(), build_features("mel-voice", FEATURES)
    windows = list(Listener(detector, extractor, 2.0, None, steps).windows([talk], Heard()))
    assert len(windows) > 2
    for window in windows:
        speech = np.concatenate([talk[piece.start : piece.end] for piece in window.pieces])
        np.testing.assert_array_equal(window.frames, extractor.extract(steps(speech)))


def test_a_bundle_predicts_through_its_steps() -> None:
    def answer(**changes: Any) -> Any:
        return Predictor(bundle_of(pitch_card(**changes))).predict(say(voice=WOMAN), rate=RATE)

    plain, levelled = answer(), answer(preprocess=("level=-20",))
    assert levelled.gender.female == pytest.approx(plain.gender.female, abs=0.02)
    assert answer(preprocess=("telephone",)).gender.female != plain.gender.female
    assert answer(preprocess=()).to_dict() == plain.to_dict()
