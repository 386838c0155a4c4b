"""A whole training, from a table of recordings to a bundle that predicts, on voices made by espeak-ng."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import voxtrait

_SENTENCES = (
    "The north wind and the sun were disputing which of them was the stronger.",
    "They agreed that the one who first made the traveller take his cloak off should win.",
)

_RECIPE = """
system: base
seed: 3
data:
  folder: corpus
  corpora: [{path: metadata.csv, name: made by espeak-ng, licence: CC0-1.0}]
  shares: {train: 0.5, validation: 0.25, test: 0.25}
features: {config: {n_fft: 400, hop: 160, n_mels: 40, voice_every: 2}, versions: 2}
network: {start: random, frame_step: 2, branch: 16, hidden: 16}
train: {epochs: 3, batch: 8, crop: [1.0, 2.0], threads: 1, warmup: 0.1, averaging: 0.5}
bundle: {name: toy, version: "0.1", licence: CC0-1.0, origin: made, description: A toy., window: 2.0}
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus of sixteen voices and a recipe for it."""
    folder = tmp_path_factory.mktemp("workshop")
    clips = folder / "corpus" / "clips"
    clips.mkdir(parents=True)
    rows = []
    for number in range(16):
        gender, age = ("female", "male")[number % 2], (25, 65)[number // 2 % 2]
        voice, pitch = f"en-us+{gender[0]}{number // 4 + 1}", 30 + 3 * number
        for index, sentence in enumerate(_SENTENCES):
            name = f"clips/{number}-{index}.wav"
            subprocess.run(
                ["espeak-ng", "-v", voice, "-p", str(pitch), "-w", str(folder / "corpus" / name), sentence],
                check=True,
            )
            rows.append({"path": name, "speaker": f"voice{number}", "gender": gender, "age": age})
    (clips / "broken.wav").write_bytes(b"RIFF, but no more")
    rows.append({"path": "clips/broken.wav", "speaker": "nobody", "gender": "male", "age": 40})
    with (folder / "corpus" / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "speaker", "gender", "age"])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "recipe.yaml").write_text(_RECIPE)
    return folder


def _train(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "voxtrait", "train", str(folder / "recipe.yaml"), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.fixture(scope="module")
def trained(studio: Path) -> Path:
    done = _train(studio, "-o", "runs/toy")
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


def test_the_same_seed_gives_the_same_model(studio: Path, trained: Path) -> None:
    done = _train(studio, "-o", "runs/again")
    assert done.returncode == 0, done.stderr
    again = voxtrait.load_bundle(studio / "runs" / "again" / "bundle")
    assert again.sha256 == voxtrait.load_bundle(trained / "bundle").sha256


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.epochs=none", "train.epochs"),
        ("train.epoch=3", "train.epoch"),
        ("network.branch=-1", "branch"),
        ("system=magic", "system"),
        ("data.folder=nowhere", "nowhere"),
        ("features.config.n_melz=40", "n_melz"),
    ],
)
def test_a_wrong_setting_is_named(studio: Path, setting: str, said: str) -> None:
    done = _train(studio, "-o", "runs/wrong", "--set", setting)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
