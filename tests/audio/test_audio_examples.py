"""The recordings that the project ships can be heard, and are described."""

from __future__ import annotations

from pathlib import Path

import pytest

from voxtrait import audio

EXAMPLES = Path(__file__).parents[2] / "examples"
LENGTHS = {
    "woman.mp3": 8.3, "man.ogg": 10.0, "old-man.wav": 9.5, "interview.m4a": 28.7, "call.ogg": 8.3,
    "phone.wav": 10.0, "noise.flac": 6.0, "silence.wav": 3.0,
}  # fmt: skip


def test_every_example_is_described_and_small() -> None:
    assert {path.name for path in audio.find_sources([EXAMPLES])} == set(LENGTHS)
    text = (EXAMPLES / "README.md").read_text()
    for name, seconds in LENGTHS.items():
        assert f"| `{name}` | {seconds} |" in text
    assert sum((EXAMPLES / name).stat().st_size for name in LENGTHS) < 1_500_000


@pytest.mark.parametrize("name", LENGTHS)
def test_an_example(name: str) -> None:
    with audio.open_audio(EXAMPLES / name) as stream:
        assert sum(map(len, stream)) > 0
    assert stream.duration == pytest.approx(LENGTHS[name], abs=0.06)
    assert stream.warnings == []


def test_the_public_names() -> None:
    functions = ["find_sources", "load_audio", "open_audio"]
    others = ["AUDIO_EXTENSIONS", "SAMPLE_RATE", "AudioSource", "AudioStream"]
    assert sorted(audio.__all__) == sorted(functions + others)
    assert all(hasattr(audio, name) for name in audio.__all__)
