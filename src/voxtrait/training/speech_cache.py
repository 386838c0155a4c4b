"""The speech of a corpus, decoded and cut out once: a store of 16-bit samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, load_audio
from voxtrait.errors import AudioError, CorpusError
from voxtrait.parallel import map_in_order
from voxtrait.speech import SpeechDetector, SpeechSettings
from voxtrait.training.reading import ReadingOrder, Source
from voxtrait.training.store import ListColumn, Store, Watcher, list_array

__all__ = ["SpeechCache", "SpeechOf", "build_speech_cache", "speech_store"]

#: Goes up when decoding or detection changes, so that an older cache is not taken for a new one.
_VERSION: Final = "3"
#: Longer recordings add cost, not speakers.
_MAX_SECONDS: Final = 30
_FULL_SCALE: Final = 32767


@dataclass(frozen=True)
class SpeechCache:
    """Speech with the pauses taken out, of every recording that has any.

    Attributes:
        manifest: the recordings, in the order of the cache, with their measured ``duration``.
        skipped: path -> why a recording is not among them.
        column: the samples, as 16-bit numbers.
    """

    manifest: pl.DataFrame
    skipped: dict[str, str]
    column: ListColumn

    def __len__(self) -> int:
        return self.manifest.height

    @property
    def folder(self) -> Path:
        """Where it lies; the name is a hash of what it holds."""
        return self.column.store.folder

    def samples(self, row: int) -> NDArray[np.float32]:
        """Return the speech of one recording, shape (n,), in [-1, 1]."""
        return as_floats(self.column.read(row))

    def sizes(self) -> NDArray[np.int64]:
        """Return samples of speech in each recording, shape (len,)."""
        return self.column.counts


@dataclass(frozen=True)
class Spoken:
    """The speech of a recording (n,), empty if there is none, and then why."""

    path: str
    speech: NDArray[np.int16]
    duration: float | None = None
    error: str | None = None


class SpeechOf:
    """Finds the speech of recordings."""

    def __init__(self) -> None:
        self._detector = SpeechDetector()

    def __call__(self, source: Source) -> Spoken:
        """Return the speech of a recording, at most 30 s; one that cannot be heard says why."""
        nothing = np.zeros(0, np.int16)
        try:
            samples = load_audio(source.path if source.content is None else source.content)
        except AudioError as error:
            return Spoken(source.path, nothing, None, error.code)
        duration = samples.size / SAMPLE_RATE
        parts = [samples[start:end] for start, end in self._detector.spans(samples)]
        if not parts:
            return Spoken(source.path, nothing, duration, "no_speech")
        speech = np.concatenate(parts)[: _MAX_SECONDS * SAMPLE_RATE]
        whole = np.round(np.clip(speech, -1, 1) * _FULL_SCALE).astype(np.int16)
        return Spoken(source.path, whole, duration)


def as_floats(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return 16-bit samples (n,) as floats in [-1, 1]."""
    return samples.astype(np.float32) / np.float32(_FULL_SCALE)


def speech_store(manifest: pl.DataFrame, folder: Path) -> tuple[ReadingOrder, Store]:
    """Return where the speech of a manifest's recordings lies or will lie within ``folder``.

    Raises:
        CorpusError: ``corpus_columns`` if a recording stands in two rows.
    """
    if manifest["path"].is_duplicated().any():
        twice = manifest.filter(pl.col("path").is_duplicated())["path"][0]
        raise CorpusError("corpus_columns", f"Two rows of the manifest are the same recording: {twice}.")
    order = ReadingOrder.of(manifest["path"].to_list())
    about = "\n".join([_VERSION, str(SpeechSettings()), str(_MAX_SECONDS), order.fingerprint()])
    key = sha256(about.encode()).hexdigest()[:16]
    return order, Store(folder / f"speech-{key}", order.sizes)


def build_speech_cache(
    manifest: pl.DataFrame, folder: Path, workers: int, watcher: Watcher | None = None
) -> SpeechCache:
    """Decode and detect, in parallel; what is there already of the same recordings is used.

    Args:
        manifest: the recordings; of those in an archive each archive is read once, from its start.
        folder: where caches lie.
        workers: processes.
        watcher: told of each recording.

    Raises:
        CorpusError: ``corpus_empty`` if no recording has speech, ``corpus_columns`` if a recording
            stands in two rows, ``corpus_archive`` if an archive is damaged, ``corpus_store`` if the
            cache is, ``corpus_reader`` if a process dies.
        UsageError: ``no_space``, ``output`` if the cache cannot be written.
    """
    order, store = speech_store(manifest, folder)
    if not store.whole:
        _fill(order, store, workers, watcher)
    table = pl.concat(
        [pl.DataFrame(store.read(shard, "path", "duration", "error")) for shard in range(len(store.sizes))]
    )
    is_heard = table["error"].is_null()
    skipped = dict(table.filter(~is_heard).select("path", "error").iter_rows())
    if not is_heard.any():
        raise CorpusError("corpus_empty", "None of the recordings holds speech.")
    rows = table.filter(is_heard).select("path", "duration")
    merged = rows.join(manifest.drop("duration"), on="path", how="left", maintain_order="left")
    return SpeechCache(merged, skipped, ListColumn.of(store, "speech", is_heard.to_numpy()))


def _fill(order: ReadingOrder, store: Store, workers: int, watcher: Watcher | None) -> None:
    if watcher is not None:
        watcher.expect(sum(store.sizes[shard] for shard in store.missing()))
    found = map_in_order(_speech_of_all, order.pending(store), workers, _begin)
    for shard, results in groupby(found, key=itemgetter(0)):
        store.write(shard, _columns(list(_told(results, watcher))))
    store.seal(
        {
            "holds": "speech",
            "columns": {
                "path": "as in the manifest",
                "duration": "seconds of the recording, with its pauses; null if it cannot be heard",
                "speech": f"samples without pauses, 16 bit, mono, {SAMPLE_RATE} Hz, at most {_MAX_SECONDS} s",
                "error": "why there is none, else null",
            },
        }
    )


def _told(results: Iterable[tuple[int, list[Spoken]]], watcher: Watcher | None) -> Iterator[Spoken]:
    for _, chunk in results:
        for spoken in chunk:
            if watcher is not None:
                watcher.heard(spoken.duration or 0.0)
                watcher.file_done()
            yield spoken


def _columns(rows: list[Spoken]) -> dict[str, pa.Array]:
    return {
        "path": pa.array([row.path for row in rows], pa.string()),
        "duration": pa.array([row.duration for row in rows], pa.float64()),
        "speech": list_array([row.speech for row in rows]),
        "error": pa.array([row.error for row in rows], pa.string()),
    }


_speech_of: SpeechOf | None = None


def _begin() -> None:
    global _speech_of
    _speech_of = SpeechOf()


def _speech_of_all(task: tuple[int, list[Source]]) -> tuple[int, list[Spoken]]:
    assert _speech_of is not None
    shard, sources = task
    return shard, [_speech_of(source) for source in sources]
