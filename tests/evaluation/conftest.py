from __future__ import annotations

from pathlib import Path

import pytest
from evaluation_toys import Terminal, bundle_in, corpus_in


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
    from voxtrait.bundle import CalibrationRow, GenderCard

    gender = GenderCard(calibration=(CalibrationRow(speech=1, scale=0.5, bias=1),), unsure_below=0.7)
    return bundle_in(workshop, "gender-only", gender=gender, age=None, embedding=None)
