"""How fast and how frugal `voxtrait annotate` is: python benchmarks/annotate.py [ROW...] [--data FOLDER]

Makes its recordings from labelled speech, then measures whole processes, each beside what it is compared with
in the same run, in turns. Seconds differ between machines and hours; the ratios are what is claimed. Rows:
hour, clips, usual, workers, ray, tiny, day; by default all, which takes half an hour on two cores. Each row
that is measured takes its place in benchmarks/annotate.json and in docs/annotate-speed.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile
from speed import _ffmpeg, decode_alone, speech, timed

from voxtrait.audio import SAMPLE_RATE
from voxtrait.batch import Dataset

_HERE = Path(__file__).parent
_RESULTS = _HERE / "annotate.json"
_PAGE = _HERE.parent / "docs" / "annotate-speed.md"
_CLIPS = 5000
_TINY = 100_000
_DIFFERENT = 500
_TURNS = 3

Row = tuple[str, str, str]


@dataclass
class Run:
    """A process and its children: wall seconds, peak of their memory in MB, and what they said.

    Memory is the sum of proportional set sizes: what processes share counts once.
    """

    seconds: float = 0.0
    peak: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)


def run(command: Sequence[object], cores: int = 2) -> Run:
    """Run a Python program on some cores and wait for it."""
    here = set(range(cores))
    found = Run()
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=subprocess.DEVNULL,
            stderr=said,
            preexec_fn=lambda: os.sched_setaffinity(0, here),
        )
        over = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, found, started, over))
        sampler.start()
        code = process.wait()
        found.seconds = time.monotonic() - started
        over.set()
        sampler.join()
        said.seek(0)
        lines = said.read().splitlines()
    if code:
        raise SystemExit(f"{' '.join(map(str, command))[:200]} ended with {code}: {lines[-3:]}")
    found.progress = [json.loads(line) for line in lines if line.startswith("{")]
    return found


def _sample(pid: int, found: Run, started: float, over: threading.Event) -> None:
    while not over.wait(0.25):
        memory = sum(_proportional(one) for one in _family(pid)) / 1024
        found.memory.append((time.monotonic() - started, memory))
        found.peak = max(found.peak, memory)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


class Bench:
    """Recordings, made when they are first needed, and the rows measured on them."""

    def __init__(self, data: Path, folder: Path, model: str) -> None:
        self.data, self.folder, self.model = data, folder, model
        self._outputs = 0

    def annotate(self, *arguments: object, cores: int = 2) -> tuple[Run, Dataset]:
        """Annotate into a new data set."""
        self._outputs += 1
        output = self.folder / f"out{self._outputs}"
        command = ["-m", "voxtrait", "annotate", *arguments, "-o", output, "--model", self.model]
        return run([*command, "--json-progress"], cores), Dataset(output)

    def decode(self, paths: Sequence[Path], processes: int) -> float:
        """Return the seconds that decoding and resampling alone take in as many processes."""
        runs = self._spread(_HERE / "annotate.py", ["--decode"], paths, processes)
        return max(float(one.progress[-1]["seconds"]) for one in runs)

    def usual(self, paths: Sequence[Path], processes: int) -> float:
        """Return the seconds that the usual way of the field takes in as many processes."""
        return max(one.seconds for one in self._spread(_HERE / "usual_way.py", [], paths, processes))

    def _spread(self, program: Path, head: list[str], paths: Sequence[Path], processes: int) -> list[Run]:
        runs: list[Run] = []
        shares = [paths[first::processes] for first in range(processes)]
        threads = [
            threading.Thread(target=lambda share=share: runs.append(run([program, *head, *share])))
            for share in shares
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return runs

    def hour(self) -> Path:
        """An hour of read speech, mp3, 44.1 kHz, 128 kbit/s."""
        path = self.folder / "hour.mp3"
        if not path.exists():
            part = self.folder / "part.wav"
            soundfile.write(part, speech(self.data, 1200), SAMPLE_RATE)
            _ffmpeg("-stream_loop", "2", "-i", part, "-ar", "44100", "-b:a", "128k", path)
        return path

    def clips(self, count: int, seconds: float, suffix: str, *options: str) -> list[Path]:
        """Clips of read speech, of which every five hundredth is the same."""
        folder = self.folder / f"clips-{count}-{seconds}{suffix}"
        if not folder.exists():
            folder.mkdir()
            size = round(seconds * SAMPLE_RATE)
            samples = speech(self.data, 2500)
            part = self.folder / "clip.wav"
            for index in range(_DIFFERENT):
                soundfile.write(part, samples[index * size : (index + 1) * size], SAMPLE_RATE)
                _ffmpeg("-i", part, *options, folder / f"{index:06}{suffix}")
            for index in range(_DIFFERENT, count):
                os.link(folder / f"{index % _DIFFERENT:06}{suffix}", folder / f"{index:06}{suffix}")
        return sorted(folder.iterdir())


def in_turns(*measures: Callable[[], float]) -> list[float]:
    """Return the median seconds of each, taken in turns."""
    taken = [[measure() for measure in measures] for _ in range(_TURNS)]
    return [statistics.median(seconds) for seconds in zip(*taken, strict=True)]


def measure_hour(bench: Bench) -> list[Row]:
    hour = bench.hour()
    rows: list[Row] = []
    for cores, place in ((2, "two cores"), (1, "one core")):
        decoding, whole, timeline = in_turns(
            lambda: bench.decode([hour], 1),
            lambda: bench.annotate(hour, cores=cores)[0].seconds,  # noqa: B023
            lambda: bench.annotate(hour, "--segments", "--speakers", cores=cores)[0].seconds,  # noqa: B023
        )
        rows += [
            (
                f"one hour of mp3, {place}: speed over decoding and resampling alone",
                f"{decoding / whole:.2f}",
                "0.5",
            ),
            (f"the same with --segments --speakers, {place}", f"{decoding / timeline:.2f}", "0.25"),
            (f"one hour of mp3, {place}: times real time", f"{3600 / whole:.0f}", ""),
            (f"the same with --segments --speakers, {place}: times real time", f"{3600 / timeline:.0f}", ""),
        ]
    return rows


def measure_clips(bench: Bench) -> list[Row]:
    clips = bench.clips(_CLIPS, 5, ".mp3", "-ar", "48000", "-b:a", "64k")
    folder = clips[0].parent
    decoding, whole = in_turns(lambda: bench.decode(clips, 2), lambda: bench.annotate(folder)[0].seconds)
    return [
        (
            f"{_CLIPS} clips of 5 s mp3, two cores: speed over decoding alone",
            f"{decoding / whole:.2f}",
            "0.5",
        ),
        (f"{_CLIPS} clips of 5 s mp3, two cores: clips a second", f"{_CLIPS / whole:.0f}", "250"),
        ("decoding and resampling them alone: clips a second", f"{_CLIPS / decoding:.0f}", ""),
    ]


def measure_usual(bench: Bench) -> list[Row]:
    clips = bench.clips(_CLIPS, 5, ".mp3", "-ar", "48000", "-b:a", "64k")
    rows: list[Row] = []
    for what, recordings in (
        (f"{_DIFFERENT} clips of 5 s", clips[:_DIFFERENT]),
        ("4 hours", [bench.hour()] * 4),
    ):
        folder = bench.folder / f"usual-{len(recordings)}"
        folder.mkdir(exist_ok=True)
        for index, recording in enumerate(recordings):
            if not (folder / f"{index}.mp3").exists():
                os.link(recording, folder / f"{index}.mp3")
        some = sorted(folder.iterdir())
        usual, ours = in_turns(
            lambda: bench.usual(some, 2),  # noqa: B023
            lambda: bench.annotate(folder)[0].seconds,  # noqa: B023
        )
        rows.append(
            (
                f"throughput over librosa, Resemblyzer and a small network, two cores, {what} of mp3",
                f"{usual / ours:.1f}",
                "6",
            )
        )
    return rows


def measure_workers(bench: Bench) -> list[Row]:
    clips = bench.clips(_CLIPS, 5, ".mp3", "-ar", "48000", "-b:a", "64k")[0].parent
    one, two = in_turns(
        lambda: bench.annotate(clips, "--workers", 1)[0].seconds,
        lambda: bench.annotate(clips, "--workers", 2)[0].seconds,
    )
    return [("two processes over one, clips of 5 s", f"{one / two:.2f}", "1.8")]


def measure_ray(bench: Bench) -> list[Row]:
    clips = bench.clips(_CLIPS, 5, ".mp3", "-ar", "48000", "-b:a", "64k")[0].parent
    rows: list[Row] = []
    tens = bench.folder / "tens"
    tens.mkdir(exist_ok=True)
    for index in range(24):
        if not (tens / f"{index:02}.mp3").exists():
            cut = ("-ss", index * 100, "-t", 600, "-c", "copy")
            _ffmpeg("-i", bench.hour(), *cut, tens / f"{index:02}.mp3")
    for what, folder in ((f"{_CLIPS} clips of 5 s", clips), ("24 files of 10 min", tens)):
        local, ray = in_turns(
            lambda: bench.annotate(folder)[0].seconds,  # noqa: B023
            lambda: bench.annotate(folder, "--engine", "ray")[0].seconds,  # noqa: B023
        )
        rows += [
            (f"--engine ray over local, {what}, two cores", f"{local / ray:.2f}", ""),
            (f"seconds more, {what}", f"{ray - local:.0f}", ""),
        ]
    return rows


def measure_tiny(bench: Bench) -> list[Row]:
    folder = bench.clips(_TINY, 1, ".wav")[0].parent
    found, dataset = bench.annotate(folder)
    rows = sum(1 for _ in dataset.rows(["file"]))
    if rows != _TINY:
        raise SystemExit(f"{rows} rows of {_TINY} files")
    points = [(one["seconds"], one["files"]) for one in found.progress]
    early = _rate(points, 0.05, 0.25)
    late = _rate(points, 0.75, 0.95)
    tenth = found.seconds / 10
    first = statistics.median(memory for when, memory in found.memory if tenth < when < 2 * tenth)
    last = statistics.median(memory for when, memory in found.memory if when > 9 * tenth)
    begun = next(one["seconds"] for one in found.progress if one["hours"])
    return [
        (f"{_TINY:,} files of 1 s: seconds until some of them are heard, at most", f"{begun:.1f}", "2"),
        (
            f"{_TINY:,} files of 1 s: throughput late in the run over early",
            f"{late / early:.2f}",
            "0.9 to 1.1",
        ),
        (f"{_TINY:,} files of 1 s: memory in the last tenth over the second", f"{last / first:.2f}", "1"),
        (f"{_TINY:,} files of 1 s: peak memory of all processes, MB", f"{found.peak:.0f}", ""),
    ]


def _rate(points: list[tuple[float, int]], start: float, end: float) -> float:
    """Return files a second between two shares of the files."""
    inside = [point for point in points if start * _TINY <= point[1] <= end * _TINY]
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])


def measure_day(bench: Bench) -> list[Row]:
    hour, day = bench.hour(), bench.folder / "day.mp3"
    listing = bench.folder / "list.txt"
    listing.write_text("file 'hour.mp3'\n" * 24)
    _ffmpeg("-f", "concat", "-i", listing, "-c", "copy", day)
    whole, answers = bench.annotate(day, "--segments")
    _, pieces = bench.annotate(hour, "--segments")
    plain, _ = bench.annotate(day)
    (one,), (part,) = list(answers.rows()), list(pieces.rows())
    share, expected = _female_share(one["segments"]), _female_share(part["segments"])
    return [
        ("a day of mp3: peak memory of all processes, MB", f"{plain.peak:.0f}", "below 400"),
        ("the same with --segments, MB", f"{whole.peak:.0f}", "below 400"),
        (
            "a day of mp3: seconds of speech over those of its hours",
            f"{one['speech'] / part['speech'] / 24:.4f}",
            "1",
        ),
        ("a day of mp3: share of female speech, less that of its hours", f"{share - expected:+.4f}", "0"),
        ("a day of mp3, two cores: times real time", f"{86_400 / plain.seconds:.0f}", ""),
    ]


def _female_share(segments: list[dict[str, Any]]) -> float:
    seconds = dict.fromkeys(("female", "male", "unsure"), 0.0)
    for segment in segments:
        seconds[segment["gender"]] += segment["end"] - segment["start"]
    return seconds["female"] / (seconds["female"] + seconds["male"])


MEASURES: dict[str, Callable[[Bench], list[Row]]] = {
    "hour": measure_hour,
    "clips": measure_clips,
    "usual": measure_usual,
    "workers": measure_workers,
    "ray": measure_ray,
    "tiny": measure_tiny,
    "day": measure_day,
}


def write_page() -> None:
    """Write the results of all rows, as they stand, into the docs."""
    results = json.loads(_RESULTS.read_text())
    lines = ["| what | measured | aim |", "| --- | --- | --- |"]
    for name in MEASURES:
        lines += [f"| {what} | {figure} | {aim} |" for what, figure, aim in results.get(name, ())]
    _PAGE.write_text("\n".join(lines) + "\n")


def decode_all(paths: Sequence[str]) -> None:
    """Decode and resample recordings, keeping nothing."""
    for path in paths:
        decode_alone(Path(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(MEASURES))
    parser.add_argument("--data", default="../shared/data", help="folder of labelled speech")
    parser.add_argument("--model", default="voxtrait-base")
    parser.add_argument("--decode", nargs="+", metavar="FILE", help="decode files and end")
    options = parser.parse_args()
    if options.decode:
        # Without the start of Python, which the other side pays.
        seconds = timed(lambda: decode_all(options.decode))
        print(json.dumps({"seconds": seconds}), file=sys.stderr)
        return
    folder = Path(tempfile.mkdtemp(prefix="voxtrait-annotate-"))
    try:
        bench = Bench(Path(options.data), folder, options.model)
        for name in options.rows or MEASURES:
            rows = MEASURES[name](bench)
            results = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
            _RESULTS.write_text(json.dumps({**results, name: rows}, indent=1) + "\n")
            write_page()
            for what, figure, aim in rows:
                print(f"{what}: {figure}" + (f" (aim {aim})" if aim else ""), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
