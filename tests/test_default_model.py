"""The shipped model on real speech that it never heard: bounds that only a broken one misses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import voxtrait
from voice_toys import DATA
from voxtrait.corpora import read_corpus
from voxtrait.evaluation import CONDITIONS, collect_answers
from voxtrait.evaluation.answers import Surroundings

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no labelled speech in {DATA} (or VOXTRAIT_DATA)"),
]


@pytest.fixture(scope="module")
def predictor() -> voxtrait.Predictor:
    return voxtrait.Predictor()


@pytest.fixture(scope="module")
def coswara(predictor: voxtrait.Predictor) -> pl.DataFrame:
    table = read_corpus(DATA / "coswara-counting")
    return collect_answers(predictor, table, CONDITIONS["as recorded"], Surroundings())


def test_gender_of_speakers_never_heard(coswara: pl.DataFrame) -> None:
    heard = coswara.filter(pl.col("status") == "ok")
    right = (heard["female"] > 0.5) == (heard["gender"] == "female")
    assert heard.height >= 130
    assert right.mean() >= 0.92  # type: ignore[operator]


def test_answers_that_are_decided_are_seldom_wrong(coswara: pl.DataFrame) -> None:
    decided = coswara.filter(pl.col("label").is_in(["female", "male"]))
    assert decided.height >= 0.5 * coswara.height
    assert (decided["label"] != decided["gender"]).mean() <= 0.04  # type: ignore[operator]


def test_age_intervals_hold_most_ages(coswara: pl.DataFrame) -> None:
    heard = coswara.filter(pl.col("years").is_not_null())
    inside = (heard["low"] <= heard["age_low"]) & (heard["age_low"] <= heard["high"])
    assert 0.6 <= float(inside.mean()) <= 0.97  # type: ignore[arg-type]


def test_silent_recordings_are_not_speech(coswara: pl.DataFrame) -> None:
    silent = coswara.filter(pl.col("path").str.ends_with("00010.opus"))
    assert silent["status"].to_list() == ["no_speech"]
    assert silent["female"].to_list() == [None]


@pytest.mark.parametrize(
    "name", ["rain", "rooster", "sea-waves", "helicopter", "clock-tick", "fire-crackling"]
)
def test_noise_gets_no_gender(predictor: voxtrait.Predictor, name: str) -> None:
    answers: Iterator[voxtrait.Prediction] = predictor.predict_many(
        sorted((DATA / "esc-10" / name).glob("*"))
    )
    assert sum(answer.status == "ok" for answer in answers) <= 1


def test_the_telephone_changes_few_answers(predictor: voxtrait.Predictor) -> None:
    table = read_corpus(DATA / "librispeech-sample").gather_every(6)
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    answers = collect_answers(
        predictor, table, CONDITIONS["noisy 8 kHz telephone"], Surroundings(noises=[noise])
    )
    heard = answers.filter(pl.col("status") == "ok")
    assert heard.height >= 0.95 * table.height
    assert ((heard["female"] > 0.5) == (heard["gender"] == "female")).mean() >= 0.9  # type: ignore[operator]


def test_a_name_alone_loads_the_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert voxtrait.load_bundle("voxtrait-base").sha256 == voxtrait.load_bundle().sha256
