"""A training with folds: networks that leave a part of the speakers out, and one that hears all."""

from __future__ import annotations

from pathlib import Path

import pytest

import voxtrait
from training_toys import Train
from voxtrait.training.fit_card import HeldOut

_FOLDS = ("--set", "data.folds=2", "--set", "train.keep=last")


@pytest.fixture(scope="module")
def crossed(studio: Path, train: Train) -> Path:
    done = train("-o", "runs/crossed", *_FOLDS)
    assert done.returncode == 0, done.stderr
    return studio / "runs" / "crossed"


def test_every_speaker_is_scored_by_the_network_that_has_not_heard_them(crossed: Path) -> None:
    for fold in ("fold-1", "fold-2"):
        heard = HeldOut.load(crossed / "folds" / fold / "held_out.npz")
        splits = voxtrait.load_bundle(crossed / "folds" / fold / "bundle").card.training.splits
        assert splits["validation"].speakers == splits["train"].speakers == 8
        assert len(heard.whole.weights) == splits["validation"].clips == 16
        assert heard.whole.weights.sum() == pytest.approx(8)


def test_the_final_network_hears_everybody(crossed: Path) -> None:
    bundle = voxtrait.load_bundle(crossed / "bundle")
    assert {name: size.speakers for name, size in bundle.card.training.splits.items()} == {
        "fold-1": 8,
        "fold-2": 8,
    }
    answer = voxtrait.predict(crossed.parent.parent / "corpus/clips/0-0.wav", model=bundle)
    assert answer.status == "ok"
    assert (crossed / "log.txt").read_text().count("epoch ") == 3


def test_a_fold_is_calibrated_by_the_others(crossed: Path) -> None:
    cards = [
        voxtrait.load_bundle(crossed / place / "bundle").card
        for place in (".", "folds/fold-1", "folds/fold-2")
    ]
    rows = {card.gender.calibration for card in cards if card.gender is not None}
    assert len(rows) == 3


def test_finished_folds_are_not_trained_again(studio: Path, crossed: Path, train: Train) -> None:
    before = voxtrait.load_bundle(crossed / "bundle").sha256
    scores = {file: file.stat().st_mtime_ns for file in crossed.glob("folds/*/held_out.npz")}
    for name in ("model.onnx", "card.json"):
        (crossed / "bundle" / name).unlink()
    (crossed / "bundle").rmdir()
    done = train("-o", "runs/crossed", *_FOLDS)
    assert done.returncode == 0, done.stderr
    assert voxtrait.load_bundle(crossed / "bundle").sha256 == before
    assert {file: file.stat().st_mtime_ns for file in scores} == scores


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("data.folds=2",), "train.keep"),
        (("data.folds=1",), "data.folds"),
    ],
)
def test_a_wrong_setting_is_named(train: Train, settings: tuple[str, ...], said: str) -> None:
    done = train("-o", "runs/wrong-folds", *(word for each in settings for word in ("--set", each)))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
