"""Where the time of a prediction goes: python benchmarks/stages.py [--data FOLDER] [--model BUNDLE] [-o FILE]

Makes the recordings of `benchmarks/speed.py` (an hour of mp3, clips of 5 s of mp3) and takes the stages
of a prediction one after the other, on one core and in one process: each is given what the stage before
it made. The medians of some rounds, in processor time, are printed as Markdown. They differ between
machines; the shares are what is claimed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from speed import make_recordings

from voxtrait.audio import open_audio
from voxtrait.audio.decode import decode
from voxtrait.audio.inputs import open_bytes
from voxtrait.bundle import ModelBundle, load_bundle
from voxtrait.features import build_features
from voxtrait.listening import FeatureWindow, Heard, Listener
from voxtrait.preprocess import build_preprocessor
from voxtrait.scoring import Judge, Scores
from voxtrait.speech import SpeechDetector

Blocks = list[NDArray[np.float32]]
Result = TypeVar("Result")

_CLIPS: Final = 100
_ROUNDS: Final = 7
_STAGES: Final = (
    "decoding",
    "resampling",
    "speech detection",
    "windows and features",
    "model",
    "summing up",
)
#: Windows of a recording before every second one is left out, and that go to the model together, as in
#: a prediction of whole files.
_KEEP: Final = 150
_BATCH: Final = 32


class Stages:
    """The stages, each as a function of one recording."""

    def __init__(self, bundle: ModelBundle) -> None:
        card = bundle.card
        extractor = build_features(card.features.name, card.features.config)
        self._detector = SpeechDetector()
        preprocess = build_preprocessor(card.preprocess)
        self._listener = Listener(self._detector, extractor, card.window, _KEEP, preprocess)
        self._judge = Judge(bundle, threads=1, width=extractor.size)

    def decode(self, path: Path) -> None:
        source = open_bytes(path, str(path))
        for _ in decode(source, str(path), []):
            pass
        source.close()

    def read(self, path: Path) -> Blocks:
        """Decode and resample."""
        with open_audio(path) as stream:
            return list(stream)

    def detect(self, blocks: Blocks) -> None:
        stream = self._detector.stream()
        for block in blocks:
            stream.feed(block)
        stream.finish()

    def listen(self, blocks: Blocks) -> list[FeatureWindow]:
        """Detect speech, cut windows and extract features."""
        return list(self._listener.windows(blocks, Heard()))

    def score(self, windows: list[FeatureWindow]) -> Scores | None:
        scores = [
            score
            for first in range(0, len(windows), _BATCH)
            for score in self._judge.score(windows[first : first + _BATCH])
        ]
        return Scores.of(scores) if scores else None

    def sum_up(self, scores: Scores | None) -> None:
        if scores is not None:
            self._judge.estimate(scores)

    def seconds(self, paths: Sequence[Path]) -> list[float]:
        """Return what each stage takes for all recordings, in the order of ``_STAGES``."""
        decoding, _ = _timed(self.decode, paths)
        reading, blocks = _timed(self.read, paths)
        detecting, _ = _timed(self.detect, blocks)
        listening, windows = _timed(self.listen, blocks)
        scoring, scores = _timed(self.score, windows)
        summing, _ = _timed(self.sum_up, scores)
        return [decoding, reading - decoding, detecting, listening - detecting, scoring, summing]


def _timed(work: Callable[..., Result], items: Iterable[object]) -> tuple[float, list[Result]]:
    """Return the processor seconds that ``work`` takes on all items, and its results."""
    began = time.process_time()
    results = [work(item) for item in items]
    return time.process_time() - began, results


def table(hour: list[float], clips: list[float]) -> str:
    """Return the seconds of the hour and the milliseconds of a clip, with their shares, as Markdown."""
    rows = ["| stage | an hour, s | share | a clip, ms | share |", "| --- | --- | --- | --- | --- |"]
    for stage, of_hour, of_clip in zip(_STAGES, hour, clips, strict=True):
        shares = of_hour / sum(hour), of_clip / sum(clips)
        rows.append(f"| {stage} | {of_hour:.2f} | {shares[0]:.2f} | {of_clip:.2f} | {shares[1]:.2f} |")
    rows.append(f"| all | {sum(hour):.2f} | 1 | {sum(clips):.2f} | 1 |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data", help="folder of labelled speech")
    parser.add_argument("--model", default="voxtrait-base")
    parser.add_argument("-o", "--output", help="write the table as Markdown")
    options = parser.parse_args()
    stages = Stages(load_bundle(options.model))
    with tempfile.TemporaryDirectory(prefix="voxtrait-stages-") as name:
        folder = Path(name)
        make_recordings(Path(options.data), folder, ten_hours=False)
        clips = sorted((folder / "clips").iterdir())[:_CLIPS]
        os.sched_setaffinity(0, {0})
        rounds = [(stages.seconds([folder / "hour.mp3"]), stages.seconds(clips)) for _ in range(_ROUNDS)]
    hour, many = (
        [statistics.median(figures) for figures in zip(*part, strict=True)]
        for part in zip(*rounds, strict=True)
    )
    text = table(hour, [1000 * seconds / _CLIPS for seconds in many])
    print(text)
    if options.output:
        Path(options.output).write_text(text + "\n")


if __name__ == "__main__":
    main()
