"""``voxtrait models`` and ``voxtrait info``; and the default model that the package ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_toys import EXAMPLES, lines_of, run, toy_in
from jsonschema import Draft202012Validator

from voxtrait.bundle import DEFAULT_BUNDLE

SCHEMA = json.loads((Path(__file__).parents[1] / "contract/prediction.schema.json").read_text())


def test_a_card_for_people(workshop: Path) -> None:
    done = run("info", toy_in(workshop))
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert text.startswith("toy 0.1\n")
    for words in (
        "CC0-1.0",
        "Made up in a test.",
        "It knows nothing of age.",
        "made up",
        "0.800 – 0.950",
        "0.500",
    ):
        assert words in text
    assert "\x1b" not in text


def test_a_card_for_programs(workshop: Path) -> None:
    bundle = toy_in(workshop)
    done = run("info", bundle, "--format", "json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((bundle / "card.json").read_text())


def test_the_default_model_is_listed() -> None:
    listed = json.loads(run("models", "--format", "json").stdout)
    (base,) = [row for row in listed if row["name"] == DEFAULT_BUNDLE]
    assert base["tasks"] == ["gender", "age", "speakers"]
    assert 0 < base["size"] <= 8_000_000
    lines = lines_of(run("models").stdout)
    assert lines[0].split() == ["name", "version", "size", "tasks", "licence"]
    assert any(line.startswith(f"{DEFAULT_BUNDLE} ") for line in lines)


def test_the_default_model_has_a_card() -> None:
    done = run("info")
    text = done.stdout.decode()
    assert done.returncode == 0
    assert text.startswith(f"{DEFAULT_BUNDLE} ")
    for part in ("licence", "origin", "Trained on", "Measured", "constant answer"):
        assert part in text


def test_the_default_model_predicts_the_examples() -> None:
    done = run("predict", EXAMPLES, "--segments", "--speakers", "--format", "json")
    assert (done.returncode, done.stderr) == (0, b"")
    rows = {Path(row["file"]).name: row for row in json.loads(done.stdout)}
    for row in rows.values():
        Draft202012Validator(SCHEMA).validate(row)
        assert row["model"].startswith(f"{DEFAULT_BUNDLE} ")
    silent = {name for name, row in rows.items() if row["status"] == "no_speech"}
    assert silent == {"noise.flac", "silence.wav"}
    assert len(rows["interview.m4a"]["speakers"]) == 2


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_the_default_model_in_other_formats(form: str) -> None:
    done = run("predict", EXAMPLES / "woman.mp3", "--format", form)
    assert done.returncode == 0
    assert b"woman.mp3" in done.stdout
