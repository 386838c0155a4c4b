"""A whole training, from a table of recordings to a bundle that predicts, on voices made by espeak-ng."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import voxtrait
from training_toys import Train
from voxtrait.training.recipe import load_recipe


@pytest.fixture(scope="module")
def trained(studio: Path, train: Train) -> Path:
    done = train("-o", "runs/toy")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("bundle")
    return studio / "runs" / "toy"


def test_the_bundle_predicts(trained: Path) -> None:
    answer = voxtrait.predict(trained.parent.parent / "corpus/clips/0-0.wav", model=trained / "bundle")
    assert answer.status == "ok"
    assert answer.model == "toy 0.1"
    assert answer.age is not None
    assert answer.age.low <= answer.age.years <= answer.age.high


def test_the_card_says_what_was_done(trained: Path) -> None:
    card = voxtrait.load_bundle(trained / "bundle").card
    assert {name: size.speakers for name, size in card.training.splits.items()} == {
        "train": 8,
        "validation": 4,
        "test": 4,
    }
    assert card.training.seed == 3
    assert json.loads(card.training.recipe)["network"]["branch"] == 16


def test_what_was_left_out_is_said(trained: Path) -> None:
    log = (trained / "log.txt").read_text()
    assert "broken.wav" in log
    assert log.count("epoch ") == 3


def test_the_run_folder_says_all_that_it_takes_to_repeat_it(trained: Path) -> None:
    about = json.loads((trained / "run.json").read_text())
    assert about["seed"] == 3
    assert len(about["manifest_sha256"]) == 64
    assert about["versions"]["torch"] == str(torch.__version__)
    assert [Path(path).name for path in about["left_out"]] == ["broken.wav"]
    again = load_recipe(trained / "recipe.yaml")
    assert (again.seed, again.network["branch"], again.train.epochs) == (3, 16, 3)


def test_the_history_can_be_looked_at(trained: Path) -> None:
    history = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in history] == [0, 1, 2]
    assert all(0 <= entry["uar"] <= 1 and entry["mae"] > 0 for entry in history)
    with Image.open(trained / "curve.png") as picture:
        assert picture.size > (600, 200)
        assert len(picture.convert("L").getcolors() or ()) > 4
    board = EventAccumulator(str(trained / "tensorboard"))
    board.Reload()
    written = [event.value for event in board.Scalars("uar")]
    assert written == pytest.approx([entry["uar"] for entry in history])


def test_a_finished_run_stays_as_it_is(trained: Path, train: Train) -> None:
    before = (trained / "bundle" / "card.json").stat().st_mtime_ns
    done = train("-o", "runs/toy")
    assert done.returncode == 0
    assert "finished" in done.stderr
    assert (trained / "bundle" / "card.json").stat().st_mtime_ns == before
    other = train("-o", "runs/toy", "--set", "seed=4")
    assert other.returncode == 2
    assert other.stderr.startswith("error[run_exists]: ")


def test_the_same_seed_gives_the_same_model(studio: Path, trained: Path, train: Train) -> None:
    done = train("-o", "runs/again")
    assert done.returncode == 0, done.stderr
    again = voxtrait.load_bundle(studio / "runs" / "again" / "bundle")
    assert again.sha256 == voxtrait.load_bundle(trained / "bundle").sha256


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("target.task=race", "target.task"),
        ("target.bands=[30, 20]", "target.bands"),
        ("preprocess=[loud]", "loud"),
        ("data.manifest=x.parquet", "data"),
        ("train.epochs=none", "train.epochs"),
        ("train.epoch=3", "train.epoch"),
        ("network.branch=-1", "branch"),
        ("system=magic", "system"),
        ("data.folder=nowhere", "nowhere"),
        ("features.config.n_melz=40", "n_melz"),
    ],
)
def test_a_wrong_setting_is_named(train: Train, setting: str, said: str) -> None:
    done = train("-o", "runs/wrong", "--set", setting)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
