from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voice_toys import RATE, WOMAN, say
from voxtrait.features.mel import mel_filters, mel_power

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import librosa

NOISE = np.random.default_rng(5).normal(0, 0.1, 2 * RATE).astype(np.float32)


def oracle(samples: NDArray[np.float32], n_fft: int, hop: int, n_mels: int) -> NDArray[np.float64]:
    return np.asarray(
        librosa.feature.melspectrogram(
            y=samples.astype(np.float64), sr=RATE, n_fft=n_fft, hop_length=hop, n_mels=n_mels, center=False
        )
    ).T


@pytest.mark.parametrize(
    ("n_fft", "hop", "n_mels"), [(400, 160, 40), (400, 160, 80), (512, 128, 64), (1024, 400, 23)]
)
@pytest.mark.parametrize("sound", ["man", "woman", "noise"])
def test_it_is_librosas(n_fft: int, hop: int, n_mels: int, sound: str) -> None:
    samples = {"man": say(), "woman": say(voice=WOMAN), "noise": NOISE}[sound]
    expected = oracle(samples, n_fft, hop, n_mels)
    found = mel_power(samples, n_fft, hop, n_mels)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    # Between the pauses single precision has a floor, far below anything that is heard.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9 * expected.max())


@given(st.integers(0, 3000), st.sampled_from([(400, 160), (256, 100), (512, 512), (100, 300)]))
def test_as_many_frames_as_fit(size: int, frame: tuple[int, int]) -> None:
    n_fft, hop = frame
    found = mel_power(NOISE[:size], n_fft, hop, 40)
    starts = [start for start in range(0, size, hop) if start + n_fft <= size]
    assert found.shape == (len(starts), 40)


@given(st.integers(0, 190), st.integers(400, 2000))
def test_a_frame_sees_its_own_samples_alone(first: int, size: int) -> None:
    whole = mel_power(NOISE, 400, 160, 40)
    part = mel_power(NOISE[first * 160 : first * 160 + size], 400, 160, 40)
    np.testing.assert_allclose(part, whole[first : first + len(part)], rtol=1e-4)


def test_power_goes_with_the_square_of_the_level() -> None:
    np.testing.assert_allclose(
        mel_power(2 * NOISE, 400, 160, 40), 4 * mel_power(NOISE, 400, 160, 40), rtol=1e-5
    )


def test_the_stored_filters_cannot_be_spoilt() -> None:
    with pytest.raises(ValueError, match="read-only"):
        mel_filters(40, 400)[0, 0] = 1
