from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_toys import FEATURES, RATE, WOMAN, say
from voxtrait.errors import BundleError
from voxtrait.features import build_features
from voxtrait.features.mel import mel_power
from voxtrait.features.voice import voice_tracks

NOISE = np.random.default_rng(2).normal(0, 0.1, RATE).astype(np.float32)

CONFIGS = st.fixed_dictionaries(
    {
        "n_fft": st.integers(16, 640),
        "hop": st.integers(16, 500),
        "n_mels": st.integers(1, 80),
        "voice_every": st.integers(0, 4),
    }
)


@given(CONFIGS, st.integers(0, 3000))
def test_frames_are_as_announced(config: dict[str, int], size: int) -> None:
    extractor = build_features("mel-voice", config)
    frames = extractor.extract(NOISE[:size])
    span, shift = extractor.frame_span, extractor.frame_shift
    assert (span, shift) == (config["n_fft"], config["hop"])
    assert frames.shape == (max(0, 1 + (size - span) // shift), extractor.size)
    assert frames.dtype == np.float32
    assert np.isfinite(frames).all()


def test_the_columns_of_the_default_model() -> None:
    frames = build_features("mel-voice", FEATURES).extract(say())
    assert frames.shape[1] == 44
    np.testing.assert_array_equal(frames[:, :40], mel_power(say(), 400, 160, 40))
    tracks = voice_tracks(say(), 320)
    np.testing.assert_array_equal(frames[::2, 40:], tracks)
    np.testing.assert_array_equal(frames[1::2, 40:], tracks[: len(frames) // 2])


def test_what_a_card_leaves_out_has_its_default() -> None:
    frames = build_features("mel-voice", {}).extract(say(voice=WOMAN))
    np.testing.assert_array_equal(frames, build_features("mel-voice", FEATURES).extract(say(voice=WOMAN)))


def test_the_voice_tracks_can_be_left_out() -> None:
    extractor = build_features("mel-voice", {"voice_every": 0, "n_mels": 13, "n_fft": 1024})
    assert extractor.size == 13
    np.testing.assert_array_equal(extractor.extract(NOISE), mel_power(NOISE, 1024, 160, 13))


def test_unknown_features_are_refused() -> None:
    with pytest.raises(BundleError, match=r"'mfcc', only mel-voice") as caught:
        build_features("mfcc", {})
    assert caught.value.code == "bundle_features"


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"bands": 3}, "bands"),
        ({"hop": 0}, "hop"),
        ({"hop": -160}, "hop"),
        ({"n_fft": 0}, "n_fft"),
        ({"n_fft": 10**12}, "n_fft"),
        ({"n_mels": 40.0}, "n_mels"),
        ({"n_mels": "40"}, "n_mels"),
        ({"voice_every": True}, "voice_every"),
        ({"voice_every": -1}, "voice_every"),
        ({"n_fft": 641}, "n_fft"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config: dict[str, Any], named: str) -> None:
    with pytest.raises(BundleError, match=named) as caught:
        build_features("mel-voice", config)
    assert caught.value.code == "bundle_features"
