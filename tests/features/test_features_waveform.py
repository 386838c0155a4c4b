"""Raw samples in frames of 10 ms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrait.errors import BundleError
from voxtrait.features import build_features


@given(st.integers(0, 1000))
def test_frames_are_the_samples_without_the_rest(count: int) -> None:
    samples = np.arange(count, dtype=np.float32)
    extractor = build_features("waveform", {})
    frames = extractor.extract(samples)
    assert frames.shape == (count // 160, 160)
    assert frames.dtype == np.float32
    assert (frames.reshape(-1) == samples[: frames.size]).all()
    shape = 1 + (count - extractor.frame_span) // extractor.frame_shift
    assert len(frames) == max(0, shape)
    assert (extractor.size, extractor.powers) == (160, 0)


def test_it_has_no_settings() -> None:
    with pytest.raises(BundleError, match="'waveform' have no setting hop"):
        build_features("waveform", {"hop": 160})
