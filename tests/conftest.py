from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from evaluation_toys import Terminal, bundle_in, corpus_in
from training_toys import Train, command, environment
from voxtrait.bundle import CalibrationRow, GenderCard

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from service_toys import Service

# How long an example takes says more about the machine than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the session, for what is costly to make twice."""
    return tmp_path_factory.mktemp("workshop")


_SENTENCES = (
    "The north wind and the sun were disputing which of them was the stronger.",
    "They agreed that the one who first made the traveller take his cloak off should win.",
)

_RECIPE = """
system: finetuned-ge2e
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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def train(studio: Path) -> Train:
    """Train a recipe of the studio in a process of its own."""

    def run(*options: str, recipe: str = "recipe.yaml") -> subprocess.CompletedProcess[str]:
        words = command(studio, *options, recipe=recipe)
        return subprocess.run(
            words, capture_output=True, text=True, cwd=studio, env=environment(), check=False
        )

    return run


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture(scope="session")
def corpus(workshop: Path) -> Path:
    """A table of 14 recordings of 7 speakers."""
    return corpus_in(workshop / "evaluation-corpus")


@pytest.fixture(scope="session")
def pitch(workshop: Path) -> Path:
    """A bundle that tells gender and age, and embeds."""
    return bundle_in(workshop, "evaluation-pitch")


@pytest.fixture(scope="session")
def gender_only(workshop: Path) -> Path:
    """A bundle that tells nothing but gender, and that another way."""
    gender = GenderCard(calibration=(CalibrationRow(speech=1, scale=0.5, bias=1),), unsure_below=0.7)
    return bundle_in(workshop, "gender-only", gender=gender, age=None, embedding=None)


@pytest.fixture(scope="session")
def service(workshop: Path) -> Iterator[Service]:
    """A service with the shipped model, that takes 20 MB."""
    from service_toys import running_service

    options = ["--workers", "2", "--max-upload", "20", "--log-level", "debug"]
    with running_service(workshop / "service", *options) as running:
        yield running


@pytest.fixture(scope="session")
def page_address(workshop: Path) -> Iterator[str]:
    """The address of a service with the default model."""
    from service_toys import running_service

    with running_service(workshop / "page-service", "--workers", "1") as service:
        yield service.url


# Of a module: while Playwright runs, no other test could run an event loop.
@pytest.fixture(scope="module")
def browser(workshop: Path) -> Iterator[Browser]:
    """Chromium, whose microphone hears the interview of the examples."""
    from page_toys import chromium, made
    from service_toys import EXAMPLES

    talk = made(workshop, "talk.wav", "-i", EXAMPLES / "interview.m4a", "-ar", "48000", "-ac", "1")
    with chromium(talk) as running:
        yield running
