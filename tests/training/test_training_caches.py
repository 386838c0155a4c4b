from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from voice_toys import FEATURES, MAN, RATE, WOMAN, say, silence, wav
from voxtrait.audio import load_audio
from voxtrait.augment import AugmentSettings
from voxtrait.corpora import check_manifest
from voxtrait.errors import CorpusError
from voxtrait.features import build_features
from voxtrait.speech import SpeechDetector
from voxtrait.training.feature_cache import (
    FeatureCache,
    FeaturePlan,
    build_feature_cache,
    read_noises,
    version_store,
)
from voxtrait.training.speech_cache import SpeechCache, build_speech_cache

QUIET = AugmentSettings(room=0, babble=0, codec=0, telephone=0, equaliser=1, noise=1, clip=0)
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def manifest(home: Path) -> pl.DataFrame:
    """Three voices, a silence, a text, a file that is not there; in no order."""
    files = {
        "b.wav": wav(np.concatenate([silence(0.5), say(voice=WOMAN), silence(0.7)])),
        "a.wav": wav(say(voice=MAN)),
        "long.wav": wav(np.tile(say(voice=MAN), 12)),
        "silence.wav": wav(silence(2)),
        "text.wav": b"this is not a recording, although it has the name of one",
    }
    for name, content in files.items():
        (home / name).write_bytes(content)
    paths = [str(home / name) for name in (*files, "none.wav")]
    table = pl.DataFrame(
        {
            "path": paths,
            "speaker": ["w", "m", "m", "x", "y", "z"],
            "gender": ["female", "male", "male", "male", "female", "male"],
            "split": ["train", "test", "test", "train", "train", "train"],
        }
    )
    return check_manifest(table, "made up")


@pytest.fixture(scope="module")
def speech(manifest: pl.DataFrame, home: Path) -> SpeechCache:
    return build_speech_cache(manifest, home / "cache", workers=2)


def test_the_cache_holds_the_speech_of_each_recording(speech: SpeechCache, home: Path) -> None:
    assert speech.manifest["path"].to_list() == [str(home / name) for name in ("a.wav", "b.wav", "long.wav")]
    assert speech.manifest["speaker"].to_list() == ["m", "w", "m"]
    detector = SpeechDetector()
    for row, path in enumerate(speech.manifest["path"]):
        samples = load_audio(path)
        assert speech.manifest["duration"][row] == pytest.approx(samples.size / RATE)
        expected = np.concatenate([samples[start:end] for start, end in detector.spans(samples)])
        found = speech.samples(row)
        assert found.size == speech.sizes()[row] == min(expected.size, 30 * RATE)
        np.testing.assert_allclose(found, expected[: found.size], atol=2e-5)


def test_what_is_skipped_says_why(speech: SpeechCache, home: Path) -> None:
    assert speech.skipped == {
        str(home / "silence.wav"): "no_speech",
        str(home / "text.wav"): "not_audio",
        str(home / "none.wav"): "not_found",
    }


def test_a_cache_that_is_there_is_used_and_takes_new_labels(
    speech: SpeechCache, manifest: pl.DataFrame, home: Path
) -> None:
    before = {file: file.stat().st_mtime_ns for file in speech.folder.iterdir()}
    shuffled = manifest.reverse().with_columns(gender=pl.lit("other"))
    again = build_speech_cache(shuffled, home / "cache", workers=1)
    assert again.folder == speech.folder
    assert {file: file.stat().st_mtime_ns for file in speech.folder.iterdir()} == before
    assert again.manifest["gender"].to_list() == ["other"] * 3
    np.testing.assert_array_equal(again.sizes(), speech.sizes())


def test_a_recording_that_has_changed_is_heard_again(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    table = check_manifest(pl.DataFrame({"path": [str(file)], "speaker": ["m"]}), "made up")
    with pytest.raises(CorpusError):
        build_speech_cache(table, tmp_path, workers=1)
    file.write_bytes(wav(say(voice=MAN)))
    assert not build_speech_cache(table, tmp_path, workers=1).skipped


def test_no_speech_at_all_is_refused(manifest: pl.DataFrame, tmp_path: Path) -> None:
    silent = manifest.filter(pl.col("path").str.contains("silence|text"))
    for _ in range(2):
        with pytest.raises(CorpusError) as caught:
            build_speech_cache(silent, tmp_path, workers=1)
        assert caught.value.code == "corpus_empty"


def test_a_recording_in_two_rows_is_refused(manifest: pl.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"b\.wav"):
        build_speech_cache(pl.concat([manifest, manifest[:1]]), tmp_path, workers=1)


@pytest.fixture(scope="module")
def plan(home: Path) -> FeaturePlan:
    (home / "noise.wav").write_bytes(wav(NOISE))
    return FeaturePlan("mel-voice", FEATURES, QUIET, 3, (str(home / "noise.wav"),), seed=5)


@pytest.fixture(scope="module")
def cache(speech: SpeechCache, plan: FeaturePlan, home: Path) -> FeatureCache:
    return build_feature_cache(speech, plan, home / "cache", workers=2)


def test_features_of_every_version(speech: SpeechCache, plan: FeaturePlan, cache: FeatureCache) -> None:
    extractor = build_features(plan.name, plan.config)
    assert (cache.size, cache.versions) == (44, 3)
    for row, count in enumerate(cache.counts.tolist()):
        expected = extractor.extract(speech.samples(row))
        assert count == len(expected)
        expected[:, :40] = np.log(expected[:, :40] + 1e-10)
        clean, one, two = (cache.read(row, version, 0, count).astype(np.float32) for version in range(3))
        np.testing.assert_allclose(clean, expected, rtol=1e-3, atol=1e-3)
        assert np.abs(one - clean).mean() > 0.1
        assert np.abs(one - two).mean() > 0.1
        assert np.isfinite(one).all()
        assert np.isfinite(two).all()


def test_a_crop_is_a_view_of_the_file(cache: FeatureCache) -> None:
    whole = cache.read(1, 0, 0, int(cache.counts[1]))
    crop = cache.read(1, 0, 5, 25)
    np.testing.assert_array_equal(crop, whole[5:25])
    assert np.shares_memory(crop, whole)
    assert not crop.flags.writeable
    np.testing.assert_array_equal(cache.read(1, 0, len(whole) - 3, 10**9), whole[-3:])


def test_features_that_are_there_are_kept_and_others_are_the_same(
    speech: SpeechCache, plan: FeaturePlan, cache: FeatureCache, home: Path, tmp_path: Path
) -> None:
    more = build_feature_cache(speech, replace(plan, versions=4), home / "cache", workers=1)
    assert more.folders[:3] == cache.folders
    other_seed = build_feature_cache(speech, replace(plan, versions=2, seed=6), home / "cache", workers=1)
    assert other_seed.folders[0] == cache.folders[0]
    assert other_seed.folders[1] != cache.folders[1]
    elsewhere = build_feature_cache(speech, plan, tmp_path, workers=1)
    for one, other in zip(cache.folders, elsewhere.folders, strict=True):
        assert one.name == other.name
        assert [file.read_bytes() for file in sorted(one.iterdir())] == [
            file.read_bytes() for file in sorted(other.iterdir())
        ]


def test_a_key_covers_what_the_content_follows_from(speech: SpeechCache, plan: FeaturePlan) -> None:
    def names(changed: FeaturePlan, heard: SpeechCache = speech) -> list[str]:
        return [version_store(heard, changed, number, Path()).folder.name for number in (0, 1)]

    clean, one = names(plan)
    assert names(replace(plan, config={})) == [clean, one], "what is left out has its default"
    assert names(replace(plan, seed=1, noises=(), augment=AugmentSettings()))[0] == clean
    for changed in (
        replace(plan, seed=1),
        replace(plan, noises=()),
        replace(plan, augment=AugmentSettings()),
    ):
        assert names(changed)[1] != one
    for changed in (replace(plan, steps=("level",)), replace(plan, config={"n_mels": 30})):
        assert names(changed)[0] != clean
        assert names(changed)[1] != one
    assert names(replace(plan, steps=("level",))) == names(replace(plan, steps=("level=-26",)))
    other_split = replace(speech, manifest=speech.manifest.with_columns(split=pl.lit("train")))
    assert names(plan, other_split)[0] == clean
    assert names(plan, other_split)[1] != one, "babble is mixed from the recordings of the training split"


def test_steps_come_after_the_conditions(
    speech: SpeechCache, plan: FeaturePlan, cache: FeatureCache, tmp_path: Path
) -> None:
    quiet = build_feature_cache(speech, replace(plan, versions=2, steps=("lowpass=1000",)), tmp_path, 2)
    for version in (0, 1):
        low, high = (
            (quiet.read(0, version, 0, 100) - cache.read(0, version, 0, 100)).astype(np.float32)[:, bands]
            for bands in (slice(0, 8), slice(30, 40))
        )
        assert np.abs(low).mean() < 0.2
        assert high.mean() < -3


def test_silent_noises_are_left_out(home: Path, plan: FeaturePlan, manifest: pl.DataFrame) -> None:
    noises = read_noises((*plan.noises, str(home / "silence.wav")))
    assert [noise.size for noise in noises] == [RATE]
