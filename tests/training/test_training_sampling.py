from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrait.corpora import check_manifest
from voxtrait.training.sampling import CropSampler, Labels, Vectors, speaker_weights

SIZES = [5, 40, 12, 30, 1, 25]
MELS, WIDTH = 2, 3


class Recordings:
    """Three versions of six recordings; each frame holds its version, its recording and its place."""

    size = WIDTH
    versions = 3
    counts = np.array(SIZES, dtype=np.int64)

    def key(self, version: int) -> str:
        return f"version {version}"

    def read(self, row: int, version: int, start: int, stop: int) -> NDArray[np.float16]:
        place = np.arange(SIZES[row])
        columns = [np.full(len(place), np.log(1.0 + row)), np.log(1.0 + place), np.full(len(place), version)]
        frames = np.stack(columns, axis=1).astype(np.float16)[start:stop]
        frames.setflags(write=False)
        return frames


@pytest.fixture(scope="module")
def cache() -> Recordings:
    return Recordings()


ROWS = np.arange(len(SIZES), dtype=np.int64)


def test_an_epoch_hears_each_row_once_in_crops_of_its_own(cache: Recordings) -> None:
    sampler = CropSampler(cache, MELS, (8, 20), batch=4)
    for seed in range(20):
        batches = list(sampler.epoch(ROWS, np.random.default_rng(seed), clean=0.3))
        assert [len(batch.rows) for batch in batches] == [4, 2]
        assert sorted(np.concatenate([batch.rows for batch in batches])) == ROWS.tolist()
        for batch in batches:
            aimed = batch.lengths.max()
            assert batch.features.shape == (len(batch.rows), aimed, WIDTH)
            for row, length, features in zip(batch.rows, batch.lengths, batch.features, strict=True):
                assert length in (aimed, SIZES[row])
                assert length <= 20
                np.testing.assert_allclose(features[:length, 0], 1 + row, rtol=2e-3)
                steps = np.diff(features[:length, 1])
                np.testing.assert_allclose(steps, 1, atol=0.1)
                assert len(set(features[:length, 2])) == 1
                assert not features[length:].any()


def test_crops_differ_from_epoch_to_epoch_and_reach_both_ends(cache: Recordings) -> None:
    sampler, rng = CropSampler(cache, MELS, (10, 10), batch=1), np.random.default_rng(0)
    starts, versions = set(), set()
    for _ in range(300):
        (batch,) = sampler.epoch(np.array([1]), rng, clean=0.2)
        starts.add(round(float(batch.features[0, 0, 1])) - 1)
        versions.add(int(batch.features[0, 0, 2]))
    assert starts == set(range(31))
    assert versions == {0, 1, 2}


@pytest.mark.parametrize(("clean", "versions"), [(1.0, {0}), (0.0, {1, 2})])
def test_the_share_of_clean_crops(cache: Recordings, clean: float, versions: set[int]) -> None:
    sampler, rng = CropSampler(cache, MELS, (5, 9), batch=6), np.random.default_rng(0)
    heard = {
        int(f[0, 2]) for _ in range(20) for batch in sampler.epoch(ROWS, rng, clean) for f in batch.features
    }
    assert heard == versions


def test_the_same_seed_draws_the_same_crops(cache: Recordings) -> None:
    sampler = CropSampler(cache, MELS, (5, 20), batch=2)
    one, other = (list(sampler.epoch(ROWS, np.random.default_rng(4), 0.5)) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.features, second.features)


def test_whole_recordings_the_long_ones_first(cache: Recordings) -> None:
    batches = list(CropSampler(cache, MELS, (1, 1), batch=4).whole(ROWS, version=2, longest=28))
    assert np.concatenate([batch.rows for batch in batches]).tolist() == [1, 3, 5, 2, 0, 4]
    assert np.concatenate([batch.lengths for batch in batches]).tolist() == [28, 28, 25, 12, 5, 1]
    for batch in batches:
        assert (batch.features[:, 0, 2] == 2).all()
        np.testing.assert_allclose(batch.features[:, 0, 1], 1, rtol=1e-3)


CLASSES = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y", "z", None])), min_size=1)


@given(CLASSES, st.floats(0, 1))
def test_weights_balance_speakers(rows: list[tuple[str, str | None]], power: float) -> None:
    # One class a speaker, and as many rows as come.
    known = dict(rows)
    speakers = [speaker for speaker, _ in rows]
    weights = speaker_weights(speakers, [known[speaker] for speaker in speakers], power)
    assert weights.dtype == np.float32
    by_class: dict[str | None, dict[str, float]] = {}
    for speaker, weight in zip(speakers, weights.tolist(), strict=True):
        by_class.setdefault(known[speaker], {}).setdefault(speaker, weight)
        assert by_class[known[speaker]][speaker] == weight
    unlabelled = by_class.pop(None, {})
    assert set(unlabelled.values()) <= {1.0}
    largest = max(map(len, by_class.values()), default=1)
    for members in by_class.values():
        share = len(members) / largest
        assert sum(members.values()) / largest == pytest.approx(share ** (1 - power), rel=1e-5)


def test_labels_of_a_manifest() -> None:
    manifest = check_manifest(
        pl.DataFrame(
            {
                "path": ["1", "2", "3", "4", "5"],
                "speaker": ["a", "b", "c", "d", "d"],
                "gender": ["female", "male", "male", "other", None],
                "age_low": [20.0, 6.0, None, 60.0, 20.0],
                "age_high": [29.0, 6.0, None, 69.0, 29.0],
            }
        ),
        "made up",
    )
    labels = Labels.of(manifest, 1.0)
    np.testing.assert_array_equal(labels.female, [1, 0, 0, np.nan, np.nan])
    np.testing.assert_array_equal(labels.age_low, [20, 6, np.nan, 60, 20])
    np.testing.assert_array_equal(labels.gender_weight, [2, 1, 1, 1, 1])
    np.testing.assert_array_equal(labels.age_weight, [1, 2, 1, 2, 1])
    assert set(Labels.of(manifest, 0.0).gender_weight) == {1}
    weighted = Labels.of(manifest.with_columns(weight=pl.Series([2.0, None, 0.5, 1.0, 1.0])), 1.0)
    np.testing.assert_array_equal(weighted.gender_weight, [4, 1, 0.5, 1, 1])
    np.testing.assert_array_equal(weighted.age_weight, [2, 2, 0.5, 2, 1])


def test_crops_from_the_start(cache: Recordings) -> None:
    sampler = CropSampler(cache, MELS, (5, 9), batch=6, begins="first")
    for batch in sampler.epoch(ROWS, np.random.default_rng(0), clean=0.5):
        np.testing.assert_allclose(batch.features[:, 0, 1], 1, rtol=1e-3)


def test_crops_that_are_windows(cache: Recordings) -> None:
    sampler, rng = CropSampler(cache, MELS, (8, 8), batch=1, begins="windows"), np.random.default_rng(0)
    starts = set()
    for _ in range(200):
        (batch,) = sampler.epoch(np.array([1]), rng, clean=0.2)
        starts.add(round(float(batch.features[0, 0, 1])) - 1)
    assert starts == {0, 8, 16, 24, 32}


def test_vectors_are_recordings_of_one_frame() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    sampler = CropSampler(Vectors(values), 0, (1, 1), batch=3)
    for version in (0, 1, 5):
        batches = list(sampler.whole(np.arange(4), version, 9))
        assert [batch.features.shape for batch in batches] == [(3, 1, 3), (1, 1, 3)]
        found = np.concatenate([batch.features[:, 0] for batch in batches])
        np.testing.assert_array_equal(found, values[min(version, 1)])
    assert Vectors(values).key(0) != Vectors(values).key(1)


def test_masks_blank_out_bands_and_moments_but_never_everything(cache: Recordings) -> None:
    sampler = CropSampler(cache, MELS, (16, 16), batch=1)
    share = []
    for seed in range(60):
        (batch,) = sampler.epoch(np.array([1]), np.random.default_rng(seed), clean=0.5, masked=1.0)
        (plain,) = sampler.epoch(np.array([1]), np.random.default_rng(seed), clean=0.5, masked=0.0)
        kept = batch.features != 0
        np.testing.assert_array_equal(batch.features[kept], plain.features[kept])
        share.append(kept[0, :, 0].mean())
    assert 0.6 < np.mean(share) < 1
    assert min(share) >= 0.5
