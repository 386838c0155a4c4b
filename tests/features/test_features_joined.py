"""Several features in one array, and cards that ask for nonsense."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrait.errors import BundleError
from voxtrait.features import build_features
from voxtrait.features.joined import join_configs

PARTS: list[tuple[str, dict[str, Any]]] = [
    ("mel-voice", {"hop": 320, "n_mels": 20, "voice_every": 0}),
    ("waveform", {}),
    ("mel-voice", {"n_fft": 512}),
]


@given(st.integers(0, 6000), st.permutations(PARTS))
def test_the_header_tells_where_the_frames_of_each_part_are(
    count: int, parts: list[tuple[str, dict[str, Any]]]
) -> None:
    samples = np.random.default_rng(count).uniform(-1, 1, count).astype(np.float32)
    joined = build_features("joined", join_configs(parts))
    rows = joined.extract(samples)
    frames = [build_features(name, config).extract(samples) for name, config in parts]
    assert rows.dtype == np.float32
    assert rows.shape[1] == joined.size == 160
    if not all(map(len, frames)):
        assert len(rows) == 0
        assert count < joined.frame_span
        return
    counts = [len(part) for part in frames]
    assert rows[0].tolist() == [*counts, *[0.0] * (joined.size - len(parts))]
    assert len(rows) == 1 + sum(counts)
    start = 1
    for part in frames:
        taken = rows[start : start + len(part)]
        assert (taken[:, : part.shape[1]] == part).all()
        assert not taken[:, part.shape[1] :].any()
        start += len(part)


def test_the_header_fits_narrow_parts() -> None:
    narrow = ("mel-voice", {"n_mels": 1, "voice_every": 0})
    joined = build_features("joined", join_configs([narrow] * 3))
    assert joined.size == 3
    assert joined.extract(np.ones(720, np.float32))[0].tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    "parts",
    [
        "",
        "{",
        "7",
        "[]",
        "[" * 100_000,
        '["mel-voice"]',
        '[{"name": "mel-voice"}]',
        '[{"name": 1, "config": {}}]',
        '[{"name": "mel-voice", "config": []}]',
        '[{"name": "mel-voice", "config": {}, "more": 1}]',
        '[{"name": "mel-voice", "config": {"no": 1}}]',
        '[{"name": "mel-voice", "config": {"hop": "x"}}]',
        '[{"name": "unheard-of", "config": {}}]',
        json.dumps([{"name": "waveform", "config": {}}] * 33),
        json.dumps([{"name": "joined", "config": join_configs([("waveform", {})])}]),
        7,
    ],
)
def test_a_card_that_asks_for_nonsense_is_refused(parts: Any) -> None:
    with pytest.raises(BundleError) as caught:
        build_features("joined", {"parts": parts})
    assert caught.value.code == "bundle_features"
