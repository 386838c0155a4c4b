"""The speech of a corpus, decoded and cut out once: one flat file of 16-bit samples and its index."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, load_audio
from voxtrait.errors import AudioError, CorpusError
from voxtrait.speech import SpeechDetector, SpeechSettings

__all__ = ["SpeechCache", "build_speech_cache"]

_CHUNK = 64
#: Goes up when decoding or detection changes, so that an older cache is not taken for a new one.
_VERSION = "2"
#: Longer recordings add cost, not speakers.
_MAX_SECONDS = 30


@dataclass(frozen=True)
class SpeechCache:
    """Speech with the pauses taken out, of every recording that has any.

    Attributes:
        manifest: the recordings, in the order of the cache.
        skipped: path -> why a recording is not among them.
    """

    manifest: pl.DataFrame
    offsets: NDArray[np.int64]
    skipped: dict[str, str]
    file: Path

    def __len__(self) -> int:
        return self.manifest.height

    def samples(self, row: int) -> NDArray[np.float32]:
        """Return the speech of one recording, shape (n,), in [-1, 1]."""
        start, end = self.offsets[row : row + 2].tolist()
        pcm = np.fromfile(self.file, dtype=np.int16, count=end - start, offset=2 * start)
        return pcm.astype(np.float32) / np.float32(32767)

    def sizes(self) -> NDArray[np.int64]:
        """Return samples of speech in each recording, shape (len,)."""
        return np.diff(self.offsets)


_detector: SpeechDetector | None = None


def _speech_of(path: str) -> tuple[NDArray[np.int16], float] | str:
    global _detector
    if _detector is None:
        _detector = SpeechDetector()
    try:
        samples = load_audio(path)
    except AudioError as error:
        return error.code
    parts = [samples[start:end] for start, end in _detector.spans(samples)]
    if not parts:
        return "no_speech"
    speech = np.concatenate(parts)[: _MAX_SECONDS * SAMPLE_RATE]
    return np.round(np.clip(speech, -1, 1) * 32767).astype(np.int16), samples.size / SAMPLE_RATE


def _speech_of_all(paths: Sequence[str]) -> list[tuple[NDArray[np.int16], float] | str]:
    return [_speech_of(path) for path in paths]


def build_speech_cache(manifest: pl.DataFrame, folder: Path, workers: int) -> SpeechCache:
    """Decode and detect, in parallel; a cache of the same recordings that is already there is used.

    Raises:
        CorpusError: ``corpus_empty`` if no recording has speech, ``corpus_columns`` if a recording
            stands in two rows.
    """
    if manifest["path"].is_duplicated().any():
        twice = manifest.filter(pl.col("path").is_duplicated())["path"][0]
        raise CorpusError("corpus_columns", f"Two rows of the manifest are the same recording: {twice}.")
    about = "\n".join([_VERSION, str(SpeechSettings()), *sorted(manifest["path"])])
    key = sha256(about.encode()).hexdigest()[:16]
    home = folder / f"speech-{key}"
    index_file, samples_file = home / "index.json", home / "speech.int16"
    if not index_file.is_file():
        home.mkdir(parents=True, exist_ok=True)
        _fill(manifest, samples_file, index_file, workers)
    index = json.loads(index_file.read_text())
    if not index["paths"]:
        raise CorpusError("corpus_empty", "None of the recordings holds speech.")
    rows = pl.DataFrame({"path": index["paths"], "duration": index["durations"]})
    table = rows.join(manifest.drop("duration"), on="path", how="left", maintain_order="left")
    offsets = np.concatenate([[0], np.cumsum(index["sizes"])]).astype(np.int64)
    return SpeechCache(table, offsets, index["skipped"], samples_file)


def _fill(manifest: pl.DataFrame, samples_file: Path, index_file: Path, workers: int) -> None:
    paths = sorted(manifest["path"].unique())
    index: dict[str, list[object]] = {"paths": [], "durations": [], "sizes": []}
    skipped: dict[str, str] = {}
    # Two runs may fill the cache at once: each its own files, the last to finish stays.
    partial_samples = samples_file.with_suffix(f".{os.getpid()}.partial")
    with partial_samples.open("wb") as output:
        for path, found in zip(paths, _in_parallel(paths, workers), strict=True):
            if isinstance(found, str):
                skipped[path] = found
                continue
            speech, duration = found
            output.write(speech.tobytes())
            for name, value in (("paths", path), ("durations", duration), ("sizes", speech.size)):
                index[name].append(value)
    partial_samples.replace(samples_file)
    # Written last and renamed: an index that is there belongs to a whole cache.
    partial = index_file.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps({**index, "skipped": skipped}))
    partial.replace(index_file)


def _in_parallel(paths: list[str], workers: int) -> Iterator[tuple[NDArray[np.int16], float] | str]:
    chunks = [paths[i : i + _CHUNK] for i in range(0, len(paths), _CHUNK)]
    # Spawned, not forked: a fork of a process with threads may inherit a lock that nobody opens.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for results in pool.map(_speech_of_all, chunks):
            yield from results
