"""How fast prediction is: python benchmarks/speed.py [--data FOLDER] [--model BUNDLE] [-o docs/speed.md]

Makes its recordings from labelled speech (an hour of mp3, ten hours of it, thousands of 5 s clips), then
measures whole `voxtrait predict` processes and, in the same run, what decoding and resampling alone cost.
Seconds differ between machines; the ratios are what is claimed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from voxtrait.audio import SAMPLE_RATE, find_sources, load_audio, open_audio

_CLIP_SECONDS = 5
_CLIPS = 2000
_HOUR = 3600


@dataclass(frozen=True)
class Run:
    """One process: wall seconds and its peak of resident memory in MB."""

    seconds: float
    peak: float


def run(arguments: Sequence[str], cores: set[int]) -> Run:
    """Run ``python -m voxtrait`` with ``arguments`` on some cores and wait for it."""

    def stay_on_cores() -> None:
        os.sched_setaffinity(0, cores)

    started = time.monotonic()
    with tempfile.TemporaryFile() as nowhere:
        process = subprocess.Popen(
            [sys.executable, "-m", "voxtrait", *arguments], stdout=nowhere, preexec_fn=stay_on_cores
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"voxtrait {' '.join(arguments)} ended with {process.returncode}")
    return Run(time.monotonic() - started, usage.ru_maxrss / 1024)


def speech(data: Path, seconds: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return ``seconds`` of labelled speech, recording after recording, at 16 kHz."""
    parts: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    have = 0
    paths = list(find_sources([data / "librispeech-sample", data / "cv-corpus-6.1-sample" / "de"]))
    while have < seconds * SAMPLE_RATE:
        for path in paths:
            parts.append(load_audio(path))
            have += parts[-1].size
    return np.concatenate(parts)[: seconds * SAMPLE_RATE]


def make_recordings(data: Path, folder: Path, ten_hours: bool) -> None:
    """Write hour.mp3 (44.1 kHz), ten-hours.mp3 and clips/*.mp3."""
    base = speech(data, 1200)
    soundfile.write(folder / "part.wav", base, SAMPLE_RATE)
    _ffmpeg(
        "-stream_loop", "2", "-i", folder / "part.wav", "-ar", "44100", "-b:a", "128k", folder / "hour.mp3"
    )
    if ten_hours:
        listing = folder / "list.txt"
        listing.write_text("file 'hour.mp3'\n" * 10)
        _ffmpeg("-f", "concat", "-i", listing, "-c", "copy", folder / "ten-hours.mp3")
    clips = folder / "clips"
    clips.mkdir()
    size = _CLIP_SECONDS * SAMPLE_RATE
    different = 100
    for index in range(different):
        part = folder / "clip.wav"
        soundfile.write(part, base[index * size : (index + 1) * size], SAMPLE_RATE)
        _ffmpeg("-i", part, "-ar", "48000", "-b:a", "64k", clips / f"{index:05d}.mp3")
    for index in range(different, _CLIPS):
        os.link(clips / f"{index % different:05d}.mp3", clips / f"{index:05d}.mp3")


def _ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def decode_alone(path: Path) -> None:
    """Decode and resample a recording, keeping nothing."""
    with open_audio(path) as stream:
        for _ in stream:
            pass


def measure(folder: Path, model: str, ten_hours: bool) -> list[tuple[str, str]]:
    """Return rows of (what, figure)."""
    one, two = {0}, {0, 1}
    hour, clips, clip = folder / "hour.mp3", folder / "clips", folder / "clips" / "00000.mp3"
    predict = ["predict", "--model", model, "--format", "jsonl"]
    run([*predict, str(clip)], one)
    os.sched_setaffinity(0, one)
    decoding = timed(lambda: decode_alone(hour))
    os.sched_setaffinity(0, two)
    first = run([*predict, str(hour)], one)
    second = run([*predict, str(hour)], two)
    timeline = run([*predict, "--segments", "--speakers", str(hour)], two)
    many = run([*predict, str(clips)], two)
    short = min((run([*predict, str(clip)], two) for _ in range(3)), key=lambda one_run: one_run.seconds)
    importing = min(
        timed(lambda: subprocess.run([sys.executable, "-c", "import voxtrait"], check=True)) for _ in range(3)
    )
    bare = min(timed(lambda: subprocess.run([sys.executable, "-c", ""], check=True)) for _ in range(3))
    rows = [
        ("one hour of mp3, one core", f"{_HOUR / first.seconds:.0f} times real time"),
        ("the same, decoding and resampling alone, one core", f"{_HOUR / decoding:.0f} times real time"),
        ("whole prediction over decoding alone, one core", f"{decoding / first.seconds:.2f} of its speed"),
        ("one hour of mp3, two cores", f"{_HOUR / second.seconds:.0f} times real time"),
        ("the same with --segments --speakers, two cores", f"{_HOUR / timeline.seconds:.0f} times real time"),
        ("peak memory, one hour", f"{second.peak:.0f} MB"),
        (
            f"{_CLIPS} clips of {_CLIP_SECONDS} s mp3, two cores",
            f"{_CLIPS / many.seconds:.0f} clips a second",
        ),
        (f"one clip of {_CLIP_SECONDS} s, whole process", f"{short.seconds:.2f} s"),
        ("import voxtrait, less an empty Python", f"{importing - bare:.2f} s"),
    ]
    if ten_hours:
        long = run([*predict, str(folder / "ten-hours.mp3")], two)
        rows += [
            ("ten hours of mp3, two cores", f"{10 * _HOUR / long.seconds:.0f} times real time"),
            ("peak memory, ten hours", f"{long.peak:.0f} MB"),
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data", help="folder of labelled speech")
    parser.add_argument("--model", default="voxtrait-base")
    parser.add_argument("--ten-hours", action="store_true", help="measure a ten-hour file too")
    parser.add_argument("-o", "--output", help="write the table as Markdown")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="voxtrait-speed-"))
    try:
        make_recordings(Path(options.data), folder, options.ten_hours)
        rows = measure(folder, options.model, options.ten_hours)
    finally:
        shutil.rmtree(folder)
    table = "\n".join(
        f"| {what} | {figure} |" for what, figure in [("what", "figure"), ("---", "---"), *rows]
    )
    print(table)
    if options.output:
        Path(options.output).write_text(table + "\n")


if __name__ == "__main__":
    main()
