from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrait.corpora import check_manifest
from voxtrait.training.feature_cache import FeatureCache
from voxtrait.training.sampling import CropSampler, Labels, speaker_weights

SIZES = [5, 40, 12, 30, 1, 25]
MELS, WIDTH = 2, 3


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    """Three versions of six recordings; each frame holds its version, its recording and its place."""
    folder = tmp_path_factory.mktemp("features")
    offsets = np.concatenate([[0], np.cumsum(SIZES)]).astype(np.int64)
    rows = np.repeat(np.arange(len(SIZES)), SIZES)
    frames = np.concatenate([np.arange(size) for size in SIZES])
    files = []
    for version in range(3):
        content = np.stack([np.log(1.0 + rows), np.log(1.0 + frames), np.full(len(rows), version)], axis=1)
        files.append(folder / f"{version}.npy")
        np.save(files[-1], content.astype(np.float16))
    return FeatureCache(tuple(files), offsets, WIDTH)


ROWS = np.arange(len(SIZES), dtype=np.int64)


def test_an_epoch_hears_each_row_once_in_crops_of_its_own(cache: FeatureCache) -> None:
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


def test_crops_differ_from_epoch_to_epoch_and_reach_both_ends(cache: FeatureCache) -> None:
    sampler, rng = CropSampler(cache, MELS, (10, 10), batch=1), np.random.default_rng(0)
    starts, versions = set(), set()
    for _ in range(300):
        (batch,) = sampler.epoch(np.array([1]), rng, clean=0.2)
        starts.add(round(float(batch.features[0, 0, 1])) - 1)
        versions.add(int(batch.features[0, 0, 2]))
    assert starts == set(range(31))
    assert versions == {0, 1, 2}


@pytest.mark.parametrize(("clean", "versions"), [(1.0, {0}), (0.0, {1, 2})])
def test_the_share_of_clean_crops(cache: FeatureCache, clean: float, versions: set[int]) -> None:
    sampler, rng = CropSampler(cache, MELS, (5, 9), batch=6), np.random.default_rng(0)
    heard = {
        int(f[0, 2]) for _ in range(20) for batch in sampler.epoch(ROWS, rng, clean) for f in batch.features
    }
    assert heard == versions


def test_the_same_seed_draws_the_same_crops(cache: FeatureCache) -> None:
    sampler = CropSampler(cache, MELS, (5, 20), batch=2)
    one, other = (list(sampler.epoch(ROWS, np.random.default_rng(4), 0.5)) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.features, second.features)


def test_whole_recordings_the_long_ones_first(cache: FeatureCache) -> None:
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


def test_masks_blank_out_bands_and_moments_but_never_everything(cache: FeatureCache) -> None:
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
