"""What storing features costs: python benchmarks/feature_speed.py [--clips 2000] [--workers 2]

Runs `voxtrait corpus features` on labelled clips (mp3) into an empty folder, and before and after it as
many processes that only decode and resample the same clips. Then it draws random crops from the store, and
the same crops from one flat array on disk. Seconds differ between machines; the ratios are what is
claimed. Processor time tells the cost where other programs take a part of the machine.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from voxtrait.audio import load_audio
from voxtrait.corpora import ImportCounts, read_corpus, write_manifest
from voxtrait.parallel import map_in_order
from voxtrait.training.store import ListColumn, Store

_CORPUS = "cv-corpus-6.1-sample"
_CHUNK = 16
_CROPS = 48
_STEPS = 200
_CROP = (150, 450)
_ROUNDS = 9


@dataclass(frozen=True)
class Cost:
    """Wall seconds, and processor seconds of all processes."""

    wall: float
    processor: float


def cost_of(work: Callable[[], object]) -> Cost:
    """Return what ``work`` costs with the processes that it starts."""

    def used() -> float:
        whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(found.ru_utime + found.ru_stime for found in map(resource.getrusage, whose))

    wall, processor = time.monotonic(), used()
    work()
    return Cost(time.monotonic() - wall, used() - processor)


def decode_all(paths: Sequence[str]) -> None:
    """Decode and resample recordings, keeping nothing."""
    for path in paths:
        load_audio(path)


def decode_alone(paths: Sequence[str], workers: int) -> None:
    """Do so in ``workers`` processes."""
    chunks = (paths[first : first + _CHUNK] for first in range(0, len(paths), _CHUNK))
    for _ in map_in_order(decode_all, chunks, workers):
        pass


def store_features(manifest: Path, folder: Path, workers: int) -> Path:
    """Run the command and return the folder of the features."""
    arguments = ["corpus", "features", str(manifest), "-o", str(folder), "--workers", str(workers)]
    done = subprocess.run(
        [sys.executable, "-m", "voxtrait", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(done.stdout.strip())


def flat_copy(column: ListColumn, file: Path) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Write all frames into one array on disk; return it, mapped, and where each row begins."""
    offsets = np.concatenate([[0], np.cumsum(column.counts)])
    np.save(file, np.concatenate([column.read(row) for row in range(len(column.counts))]))
    return np.load(file, mmap_mode="r"), offsets


def crop_seconds(counts: NDArray[np.int64], read: Callable[[int, int, int], NDArray[np.float16]]) -> float:
    """Return the seconds of some training steps' crops, each copied as a step does."""
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    for _ in range(_STEPS):
        length = int(rng.integers(*_CROP))
        for row in rng.integers(len(counts), size=_CROPS).tolist():
            start = int(rng.integers(0, max(0, int(counts[row]) - length) + 1))
            np.array(read(row, start, start + length), dtype=np.float32)
    return time.perf_counter() - began


def crop_ratio(features: Path, recordings: int, folder: Path) -> float:
    """Return the time of random crops from the store over that from a flat array; the best of rounds."""
    column = ListColumn.of(Store.of(features, recordings), "frames")
    flat, offsets = flat_copy(column, folder / "flat.npy")

    def from_flat(row: int, start: int, stop: int) -> NDArray[np.float16]:
        first, last = int(offsets[row]), int(offsets[row + 1])
        return flat[first + start : min(first + stop, last)]

    rounds = [
        (crop_seconds(column.counts, column.read), crop_seconds(column.counts, from_flat))
        for _ in range(_ROUNDS)
    ]
    return min(stored for stored, _ in rounds) / min(plain for _, plain in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data", help="folder of labelled speech")
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    parts = [
        read_corpus(locale, ImportCounts()) for locale in sorted((Path(options.data) / _CORPUS).iterdir())
    ]
    table = pl.concat(parts).sort("path").gather_every(max(1, sum(map(len, parts)) // options.clips))
    paths = table["path"].to_list()[: options.clips]
    with tempfile.TemporaryDirectory(prefix="voxtrait-features-") as name:
        folder = Path(name)
        write_manifest(table.head(options.clips), folder / "corpus.parquet")
        before = cost_of(lambda: decode_alone(paths, options.workers))
        stored: list[Path] = []
        whole = cost_of(
            lambda: stored.append(
                store_features(folder / "corpus.parquet", folder / "stores", options.workers)
            )
        )
        after = cost_of(lambda: decode_alone(paths, options.workers))
        recordings = sum(1 for part in stored[0].glob("part-*.arrow") for _ in pl.read_ipc(part)["path"])
        crops = crop_ratio(stored[0], recordings, folder)
    rows = [
        (f"storing features of {len(paths)} clips over decoding them alone, wall time",
         2 * whole.wall / (before.wall + after.wall)),
        ("the same, processor time", 2 * whole.processor / (before.processor + after.processor)),
        ("random crops from the store over those from one flat array", crops),
    ]  # fmt: skip
    print("| what | ratio |\n| --- | --- |")
    for what, ratio in rows:
        print(f"| {what} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
