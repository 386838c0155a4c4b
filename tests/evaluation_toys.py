"""A corpus of espeak-ng's voices for a bundle that hears pitch alone; the command line in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from voice_toys import bundle_of, pitch_card, say, wav
from voxtrait.bundle import save_bundle
from voxtrait.cli import run

#: name, voice of espeak-ng, gender, age; the last man has a high voice, the last woman a low one.
SPEAKERS = (
    ("ann", "en-us+f1", "female", "34"),
    ("bea", "en-us+f2", "female", "twenties"),
    ("cleo", "en-us+f3", "female", "61"),
    ("dan", "en-us+m1", "male", "45"),
    ("ed", "en-us+m3", "male", "thirties"),
    ("flo", "en-us", "female", "19"),
    ("<b>gus", "en-us+f4", "male", "52"),
)
TEXTS = ("The north wind and the sun were disputing.", "A traveller came along, wrapped in a warm cloak.")
#: A name that would be a tag, were it not escaped.
HOSTILE = "<img src=x onerror=alert(1)>&\"'.wav"


def bundle_in(folder: Path, name: str, **changes: Any) -> Path:
    """Return a bundle in ``folder`` that hears by pitch; made once."""
    where = folder / name
    if not where.exists():
        bundle = bundle_of(pitch_card(name=name, **changes))
        save_bundle(where, bundle.card, bundle.model)
    return where


def corpus_in(folder: Path, speakers: tuple[tuple[str, ...], ...] = SPEAKERS) -> Path:
    """Return the table of a corpus with two recordings a speaker; the last has a hostile name."""
    folder.mkdir(parents=True)
    rows = []
    for name, voice, gender, age in speakers:
        for number, text in enumerate(TEXTS):
            path = HOSTILE if (name, number) == ("<b>gus", 1) else f"{name[-3:]}-{number}.wav"
            (folder / path).write_bytes(wav(say(text, voice)))
            rows.append({"path": path, "speaker": name, "gender": gender, "age": age, "locale": "en"})
    table = folder / "metadata.csv"
    pl.DataFrame(rows).write_csv(table)
    return table


def metrics_in(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())


def figures_in(folder: Path) -> dict[str, Any]:
    return {figure["name"]: figure for figure in metrics_in(folder)["figures"]}


def alike(figures: dict[str, Any]) -> dict[str, Any]:
    """Return what equals ``figures`` but for the rounding of windows that ran in other company."""
    return {
        name: {
            key: pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value
            for key, value in figure.items()
        }
        for name, figure in figures.items()
    }


class Terminal:
    """Runs command lines and keeps what they print."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def run(self, *arguments: str | Path, code: int = 0) -> tuple[str, str]:
        """Return stdout and stderr of a command that ends with ``code``."""
        self._capture.readouterr()
        got = run([str(argument) for argument in arguments])
        out, err = self._capture.readouterr()
        assert got == code, err
        return out, err

    def complaint(self, *arguments: str | Path) -> str:
        """Return the one line of a command that is refused."""
        out, err = self.run(*arguments, code=2)
        assert out == ""
        assert err.count("\n") == 1
        return err
