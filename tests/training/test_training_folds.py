"""A training with folds: networks that leave a part of the speakers out, and one that hears all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import voxtrait
from training_toys import Train
from voxtrait.training.fit_card import HeldOut
from voxtrait.training.losses import softened

_FOLDS = ("--set", "data.folds=2", "--set", "train.keep=last", "--set", "train.soft=0.5")


@pytest.fixture(scope="module")
def crossed(studio: Path, train: Train) -> Path:
    done = train("-o", "runs/crossed", *_FOLDS)
    assert done.returncode == 0, done.stderr
    return studio / "runs" / "crossed"


def test_every_speaker_is_scored_by_the_network_that_has_not_heard_them(crossed: Path) -> None:
    parts = [HeldOut.load(crossed / "folds" / f"fold-{fold}" / "held_out.npz") for fold in (1, 2)]
    rows = np.concatenate([part.rows for part in parts])
    assert len(rows) == len(np.unique(rows)) == 32
    for fold, part in zip((1, 2), parts, strict=True):
        splits = voxtrait.load_bundle(crossed / "folds" / f"fold-{fold}" / "bundle").card.training.splits
        assert splits["validation"].clips == len(part.rows)
        assert splits["train"].clips == 32 - len(part.rows)


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
        (("data.folds=2", "train.keep=last", "train.soft=1.5"), "train.soft"),
    ],
)
def test_a_wrong_setting_is_named(train: Train, settings: tuple[str, ...], said: str) -> None:
    done = train("-o", "runs/wrong-folds", *(word for each in settings for word in ("--set", each)))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_soft_labels_weaken_what_is_contradicted_and_fill_in_what_is_unknown() -> None:
    hard = np.array([1.0, 0.0, np.nan, 1.0], np.float32)
    soft = np.array([0.0, 0.1, 0.8, np.nan], np.float32)
    assert softened(hard, soft, 0.5) == pytest.approx([0.5, 0.05, 0.8, 1.0])
    ages = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    mixed = softened(ages, np.array([[0.5, 0.5], [0.3, 0.7]], np.float32), 0.25)
    assert mixed == pytest.approx(np.array([[0.875, 0.125], [0.3, 0.7]]))
