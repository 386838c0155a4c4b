"""A recording of ten hours never lies in memory whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from audio_toys import run

SCRIPT = """
import resource, sys
from voxtrait.audio import open_audio
with open_audio(sys.argv[1]) as stream:
    next(stream)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for block in stream:
        pass
print(stream.duration, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def grown(path: Path) -> tuple[float, float]:
    """Return the seconds heard, and by how many MB the process grew."""
    duration, kilobytes = run(sys.executable, "-c", SCRIPT, str(path)).split()
    return float(duration), int(kilobytes) / 1024


def silence(path: Path, hours: float, *options: str) -> Path:
    source = f"anullsrc=r=16000:cl=mono:d={hours * 3600}"
    run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, *options, str(path))
    return path


@pytest.mark.parametrize("name", ["a.flac", "a.wav"])
def test_half_an_hour(tmp_path: Path, name: str) -> None:
    duration, megabytes = grown(silence(tmp_path / name, 0.5))
    assert duration == 1800
    assert megabytes < 20


@pytest.mark.long
@pytest.mark.parametrize("name", ["a.flac", "a.opus", "a.mkv", "a.m4a"])
def test_ten_hours(tmp_path: Path, name: str) -> None:
    duration, megabytes = grown(silence(tmp_path / name, 10))
    assert duration == pytest.approx(36_000, abs=0.2)
    assert megabytes < 40
