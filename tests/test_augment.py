from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from voice_toys import RATE, WOMAN, say
from voxtrait.augment import (
    Augmenter,
    AugmentSettings,
    add_noise,
    babble,
    codec,
    overdrive,
    reverberate,
    telephone,
)

Array = NDArray[np.float32]

NOISE = np.random.default_rng(9).normal(0, 0.1, RATE).astype(np.float32)
NEVER: dict[str, Any] = dict.fromkeys(
    ("room", "equaliser", "noise", "babble", "telephone", "codec", "clip"), 0.0
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decibels(signal: Array, noise: Array) -> float:
    return float(10 * np.log10(np.mean(signal.astype(float) ** 2) / np.mean(noise.astype(float) ** 2)))


def shift_of(heard: Array, original: Array) -> int:
    """Return by how many samples ``heard`` comes late."""
    size = 1 << (len(heard) + len(original)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size)), size)
    best = int(np.argmax(np.abs(cross)))
    return best if best < size // 2 else best - size


def share_above(samples: Array, hertz: float) -> float:
    power = np.abs(np.fft.rfft(samples * np.hanning(samples.size))) ** 2
    return float(power[int(hertz / RATE * samples.size) :].sum() / power.sum())


def test_the_same_seed_makes_the_same_sound() -> None:
    augmenter = Augmenter(AugmentSettings(), [NOISE], [say(), say(voice=WOMAN)])
    voice = say()
    differ = 0
    for seed in range(25):
        one, other = augmenter(voice, rng(seed)), augmenter(voice, rng(seed))
        np.testing.assert_array_equal(one, other)
        assert one.shape == voice.shape
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
        assert np.abs(one).max() <= 1.6
        differ += not np.array_equal(one, voice)
    assert differ > 15


def test_the_original_is_left_alone() -> None:
    voice = say().copy()
    before = voice.copy()
    augmenter = Augmenter(AugmentSettings(**(dict.fromkeys(NEVER, 1.0))), [NOISE], [say()])
    for seed in range(3):
        augmenter(voice, rng(seed))
    np.testing.assert_array_equal(voice, before)


def test_nothing_asked_for_changes_nothing() -> None:
    augmenter = Augmenter(AugmentSettings(**NEVER), [NOISE], [say()])
    for seed in range(5):
        np.testing.assert_array_equal(augmenter(say(), rng(seed)), say())


@pytest.mark.parametrize("condition", sorted(NEVER))
def test_each_condition_is_met_when_asked_for(condition: str) -> None:
    augmenter = Augmenter(AugmentSettings(**{**NEVER, condition: 1.0}), [NOISE], [say(voice=WOMAN)])
    heard = augmenter(say(), rng(1))
    assert heard.shape == say().shape
    assert np.isfinite(heard).all()
    assert not np.allclose(heard, say(), atol=1e-3)
    # It is still the same speech; a reflection may be what is heard best.
    assert abs(shift_of(heard, say())) <= (400 if condition == "room" else 20)


def test_conditions_are_met_as_often_as_asked() -> None:
    augmenter = Augmenter(AugmentSettings(**{**NEVER, "clip": 0.3}), [], [])
    voice = say()[:800]
    met = sum(not np.array_equal(augmenter(voice, rng(seed)), voice) for seed in range(1000))
    assert met == pytest.approx(300, abs=60)


def test_without_noises_and_voices_there_is_no_noise() -> None:
    augmenter = Augmenter(AugmentSettings(**{**NEVER, "noise": 1.0, "babble": 1.0}), [], [])
    np.testing.assert_array_equal(augmenter(say(), rng()), say())


@given(st.floats(-10, 40), st.integers(0, 1000), st.floats(0.01, 1))
@settings(max_examples=30)
def test_noise_lies_as_far_below_as_asked(snr: float, seed: int, level: float) -> None:
    voice = say() * np.float32(level * 0.02)
    heard = add_noise(voice, NOISE, snr, rng(seed))
    assert np.abs(heard).max() < 0.9, "too quiet for the peak to be fitted"
    assert decibels(voice, heard - voice) == pytest.approx(snr, abs=0.1)


@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
def test_a_fitted_peak_keeps_the_ratio(snr: float) -> None:
    voice = say() / np.abs(say()).max()
    heard = add_noise(voice, NOISE, snr, rng(3))
    assert np.abs(heard).max() <= 0.95 + 1e-6
    # One factor for both: least squares finds it, and what is left is the noise.
    factor = float(heard @ voice / (voice @ voice))
    assert decibels(factor * voice, heard - np.float32(factor) * voice) == pytest.approx(snr, abs=0.5)


def test_noise_goes_round_where_it_is_short_and_begins_anywhere() -> None:
    short = NOISE[:100]
    quiet = np.full(1000, 1e-3, np.float32)
    one, other = (add_noise(quiet, short, 20, rng(seed)) - quiet for seed in (1, 2))
    np.testing.assert_allclose(one[:900], one[100:], atol=1e-6)
    assert not np.allclose(one, other)


def test_silence_may_be_given_noise() -> None:
    assert np.isfinite(add_noise(np.zeros(500, np.float32), NOISE, 10, rng())).all()
    assert np.isfinite(add_noise(say(), np.zeros(500, np.float32), 10, rng())).all()


def test_babble_is_of_the_size_and_of_several_voices() -> None:
    voices = [say(), say(voice=WOMAN)]
    heard = babble(voices, 3 * RATE, rng())
    assert heard.shape == (3 * RATE,)
    assert heard.dtype == np.float32
    # Three to eight voices of power 1.
    assert 2 < float(np.mean(heard**2)) < 14


@pytest.mark.parametrize("seed", range(3))
def test_a_telephone_passes_its_band_alone(seed: int) -> None:
    loud = rng(seed).uniform(-1, 1, 2 * RATE).astype(np.float32)
    assert share_above(loud, 4000) > 0.4
    heard = telephone(loud, rng(seed))
    assert heard.shape == loud.shape
    assert share_above(heard, 4000) < 1e-3
    power = np.abs(np.fft.rfft(heard)) ** 2
    hertz = np.fft.rfftfreq(heard.size, 1 / RATE)
    passed = power[(hertz > 500) & (hertz < 3000)].mean()
    assert power[hertz < 150].mean() < 0.05 * passed


def test_a_telephone_adds_the_noise_of_its_line() -> None:
    voice = say()
    clean, noisy = telephone(voice, rng(), snr=60), telephone(voice, rng(), snr=10)
    # Of white noise a part falls outside of the line's band, but none is filtered here: it comes after.
    assert decibels(clean, noisy - clean) == pytest.approx(10, abs=0.7)


def test_a_telephone_turns_silence_into_almost_silence() -> None:
    assert np.abs(telephone(np.zeros(800, np.float32), rng())).max() < 0.01


CODECS = [("mp3", 16), ("mp3", 48), ("opus", 8), ("opus", 24), ("aac", 16), ("aac", 32)]


@pytest.mark.parametrize(("name", "kilobits"), CODECS)
def test_a_codec_keeps_time_and_what_is_said(name: str, kilobits: int) -> None:
    heard = codec(say(), name, kilobits)
    assert heard.shape == say().shape
    assert heard.dtype == np.float32
    assert abs(shift_of(heard, say())) <= 4
    assert 0.8 < np.corrcoef(heard, say())[0, 1] < 0.99999
    # Nothing is lost at the end either.
    loud = np.flatnonzero(np.abs(say()) > 0.05)[-1600:]
    assert np.corrcoef(heard[loud], say()[loud])[0, 1] > 0.7


@pytest.mark.parametrize(("name", "kilobits"), CODECS[::2])
@pytest.mark.parametrize("size", [1, 100, 1023, 1025])
def test_a_codec_takes_little(name: str, kilobits: int, size: int) -> None:
    heard = codec(NOISE[:size], name, kilobits)
    assert heard.shape == (size,)
    assert np.isfinite(heard).all()


@pytest.mark.parametrize("change", [lambda x: reverberate(x, rng(4)), lambda x: overdrive(x, 3.0)])
def test_rooms_and_overdrive_stay_within_full_scale(change: Callable[[Array], Array]) -> None:
    for level in (0.01, 1.0, 4.0):
        heard = change(say() * np.float32(level))
        assert heard.shape == say().shape
        assert np.abs(heard).max() <= 1.0


def test_a_room_keeps_the_level_and_smears_the_pauses() -> None:
    click = np.zeros(RATE, np.float32)
    click[2000] = 0.1
    tails = []
    for seed in range(8):
        heard = reverberate(click, rng(seed))
        assert int(np.argmax(np.abs(heard))) == pytest.approx(2000, abs=20)
        assert np.abs(heard[:1950]).max() < 1e-3
        tails.append(float((heard[2200:] ** 2).sum() / (heard**2).sum()))
        assert (heard**2).sum() == pytest.approx((click**2).sum(), rel=0.01)
    assert max(tails) > 0.2
    assert min(tails) < max(tails)


def test_overdrive_clips_more_with_more_gain() -> None:
    clipped = [np.mean(np.abs(overdrive(say(), gain)) >= 1) for gain in (1.0, 2.0, 6.0)]
    assert clipped == sorted(clipped)
    assert clipped[0] < 0.001 < clipped[2]


@pytest.mark.parametrize(
    "wrong", [{"noise": 1.5}, {"noise": -0.1}, {"snr": (30, 0)}, {"babble_snr": (9, 6)}, {"pitch": 0.1}]
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        AugmentSettings(**wrong)
