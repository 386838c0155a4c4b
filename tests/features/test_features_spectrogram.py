from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_toys import RATE, say
from voxtrait.errors import BundleError
from voxtrait.features import build_features

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import librosa

NOISE = np.random.default_rng(7).normal(0, 0.1, RATE).astype(np.float32)


@pytest.mark.parametrize("config", [{}, {"n_fft": 400, "hop": 160}, {"n_fft": 511, "hop": 100}])
def test_it_is_librosas(config: dict[str, int]) -> None:
    extractor = build_features("spectrogram", config)
    expected = librosa.stft(
        say().astype(np.float64),
        n_fft=extractor.frame_span,
        hop_length=extractor.frame_shift,
        center=False,
    )
    power = (np.abs(expected) ** 2).T
    np.testing.assert_allclose(extractor.extract(say()), power, rtol=1e-3, atol=1e-8 * power.max())


@given(st.integers(16, 640), st.integers(16, 500), st.integers(0, 3000))
def test_frames_are_as_announced(n_fft: int, hop: int, size: int) -> None:
    extractor = build_features("spectrogram", {"n_fft": n_fft, "hop": hop})
    frames = extractor.extract(NOISE[:size])
    assert (extractor.frame_span, extractor.frame_shift) == (n_fft, hop)
    assert frames.shape == (max(0, 1 + (size - n_fft) // hop), extractor.size)
    assert extractor.powers == extractor.size
    assert frames.dtype == np.float32
    assert (frames >= 0).all()


def test_a_tone_lies_in_its_bin() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    extractor = build_features("spectrogram", {})
    assert extractor.size == 129
    assert set(extractor.extract(tone).argmax(axis=1)) == {1000 * 256 // RATE}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"n_mels": 40}, "n_mels"),
        ({"hop": 0}, "hop"),
        ({"n_fft": 10**12}, "n_fft"),
        ({"n_fft": 256.0}, "n_fft"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config: dict[str, Any], named: str) -> None:
    with pytest.raises(BundleError, match=named) as caught:
        build_features("spectrogram", config)
    assert caught.value.code == "bundle_features"
