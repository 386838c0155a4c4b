from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voice_toys import MAN, RATE, WOMAN, say
from voxtrait.features.voice import VOICE_TRACKS, voice_tracks

VOICING, PITCH, DOUBLING, CEPSTRAL = range(4)
Array = NDArray[np.float32]


def voiced(f0: float, rng: np.random.Generator, seconds: float = 0.6) -> Array:
    """Return harmonics that fall as those of a voice do (9 dB an octave), with random phases."""
    time = np.arange(round(seconds * RATE)) / RATE
    orders = np.arange(1, int(7500 / f0) + 1)
    waves = np.cos(2 * np.pi * f0 * orders[:, None] * time + rng.uniform(0, 2 * np.pi, (orders.size, 1)))
    return np.asarray(0.1 * (orders[:, None] ** -1.5 * waves).sum(0), dtype=np.float32)


def pulses(period: int, seconds: float = 0.6) -> Array:
    train = np.zeros(round(seconds * RATE), np.float32)
    train[::period] = 0.5
    return train


def inner(tracks: Array) -> Array:
    """Return the frames that see nothing of the zeros around the recording."""
    return tracks[3:-4]


def pitch_of(tracks: Array) -> Array:
    """Return pitch in Hz."""
    return np.asarray(160 * 2 ** (tracks[:, PITCH] / tracks[:, VOICING]), dtype=np.float32)


@given(st.floats(80, 400), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_pitch_and_voicing_of_a_voice(f0: float, seed: int) -> None:
    tracks = inner(voice_tracks(voiced(f0, np.random.default_rng(seed)), 160))
    np.testing.assert_allclose(pitch_of(tracks), f0, rtol=0.02)
    assert tracks[:, VOICING].min() > 0.9
    assert tracks[:, CEPSTRAL].min() > 0.05


@pytest.mark.parametrize("f0", [80, 100, 125, 160, 200, 250, 320, 400])
def test_pitch_and_voicing_of_pulses(f0: int) -> None:
    tracks = inner(voice_tracks(pulses(RATE // f0), 160))
    np.testing.assert_allclose(pitch_of(tracks), f0, rtol=0.02)
    assert tracks[:, VOICING].min() > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_little_voicing(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.1, RATE).astype(np.float32)
    tracks = voice_tracks(noise, 160)
    assert np.median(tracks[:, VOICING]) < 0.3
    assert tracks[:, VOICING].max() < 0.6
    assert np.median(tracks[:, CEPSTRAL]) < 0.1


def test_noise_hides_a_voice_by_degrees() -> None:
    rng = np.random.default_rng(1)
    voice = voiced(150, rng)
    noise = rng.normal(0, voice.std(), voice.size).astype(np.float32)
    voicing = [
        np.median(inner(voice_tracks(voice + level * noise, 160))[:, VOICING]) for level in (0, 0.3, 1, 3)
    ]
    assert voicing == sorted(voicing, reverse=True)


def test_every_second_pulse_weaker_is_period_doubling() -> None:
    even, creaky = pulses(80), pulses(80)
    creaky[::160] *= 0.8
    doubling = [np.median(inner(voice_tracks(x, 160))[:, DOUBLING]) for x in (even, creaky)]
    assert doubling[1] > doubling[0] + 0.015


def test_silence_is_all_zeros() -> None:
    np.testing.assert_array_equal(voice_tracks(np.zeros(RATE, np.float32), 160), 0)


@given(st.floats(1e-3, 3))
@settings(max_examples=20)
def test_the_level_does_not_matter(gain: float) -> None:
    voice = say()[RATE // 2 : RATE]
    tracks, expected = voice_tracks(voice * np.float32(gain), 160), voice_tracks(voice, 160)
    # Not so in the pauses, where nothing but the floor is left.
    speaks = expected[:, VOICING] > 0.5
    np.testing.assert_allclose(tracks[speaks], expected[speaks], atol=0.02)


def test_a_woman_speaks_higher_than_a_man() -> None:
    medians = []
    for voice in (MAN, WOMAN):
        tracks = voice_tracks(say(voice=voice), 320)
        medians.append(np.median(pitch_of(tracks[tracks[:, VOICING] > 0.7])))
    assert medians[0] < 140 < 160 < medians[1]


@given(st.integers(0, 5000), st.sampled_from([80, 160, 320]), st.sampled_from([200, 400, 512, 640]))
def test_as_many_frames_as_fit_and_each_finite(size: int, hop: int, span: int) -> None:
    noise = np.random.default_rng(size).normal(0, 0.3, size).astype(np.float32)
    tracks = voice_tracks(noise, hop, span)
    assert tracks.shape == (len(range(0, size - span + 1, hop)), len(VOICE_TRACKS))
    assert tracks.dtype == np.float32
    assert np.isfinite(tracks).all()
    assert np.abs(tracks[:, [VOICING, DOUBLING]]).max(initial=0) <= 1


def test_a_frame_is_centred_like_that_of_the_spectrogram() -> None:
    # A voice that begins at one second: half a frame before, half the frame is silent.
    samples = np.concatenate([np.zeros(RATE, np.float32), voiced(200, np.random.default_rng(0), 1.0)])
    for span in (320, 400, 640):
        voicing = voice_tracks(samples, 40, span)[:, VOICING]
        centres = np.arange(len(voicing)) * 40 + span // 2
        assert voicing[centres < RATE - 320].max() == 0
        assert voicing[(centres > RATE + 320) & (centres < 2 * RATE - 320)].min() > 0.9


def test_many_frames_are_the_same_as_few() -> None:
    voice = say()
    whole = voice_tracks(voice, 160)
    for first in (0, 100, 127, 128, 129, 200):
        alone = voice_tracks(voice[160 * first :], 160)
        # The first frame of a part has lost what lay before it.
        np.testing.assert_allclose(alone[2:], whole[first + 2 :], atol=1e-4)
