"""Features of the cached speech, clean and as heard under several random conditions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, load_audio
from voxtrait.augment import Augmenter, AugmentSettings
from voxtrait.features import FeatureExtractor, build_features
from voxtrait.parallel import map_in_order
from voxtrait.preprocess import Preprocessor, parse_steps
from voxtrait.training.reading import file_marks
from voxtrait.training.speech_cache import SpeechCache, as_floats
from voxtrait.training.store import ListColumn, Store, Watcher, list_array

__all__ = [
    "FeatureCache",
    "FeaturePlan",
    "build_feature_cache",
    "clean_store",
    "frames_of",
    "read_noises",
    "version_store",
]

#: Recordings that a process is given at once.
_CHUNK: Final = 16
#: Goes up when features or conditions change, so that an older cache is not taken for a new one.
_VERSION: Final = "3"
_BABBLE_VOICES: Final = 200
_FEWEST_VOICES: Final = 40


@dataclass(frozen=True)
class FeaturePlan:
    """What features are made and how.

    Attributes:
        name, config: the extractor, as in a bundle's card.
        augment: the conditions.
        versions: how often each recording is heard; version 0 is as it is, the others augmented.
        noises: files of environmental noise.
        seed: of the conditions.
        steps: preprocessing, as in a bundle's card; done last, to what the conditions have left.
    """

    name: str
    config: dict[str, Any]
    augment: AugmentSettings
    versions: int
    noises: tuple[str, ...]
    seed: int
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureCache:
    """Frames of every recording in every version; powers are kept as their logarithms.

    Attributes:
        size: values in a frame.
        columns: the frames of each version.
    """

    size: int
    columns: tuple[ListColumn, ...]

    @property
    def versions(self) -> int:
        """Versions of each recording."""
        return len(self.columns)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Frames of each recording in any version, shape (rows,)."""
        return self.columns[0].counts

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where each version lies; the name is a hash of what it holds."""
        return tuple(column.store.folder for column in self.columns)

    def key(self, version: int) -> str:
        """Return what changes whenever the frames of a version do."""
        return self.folders[version].name

    def read(self, row: int, version: int, start: int, stop: int) -> NDArray[np.floating]:
        """Return frames ``start`` to ``stop`` of a recording: a read-only view, shape (n, size)."""
        return self.columns[version].read(row, start, stop)


def read_noises(files: tuple[str, ...]) -> list[NDArray[np.float32]]:
    """Read noise files, leaving out those that are silent."""
    sounds = [load_audio(file) for file in files]
    return [sound for sound in sounds if sound.size and float(np.abs(sound).max()) > 1e-3]


def _stored_type(extractor: FeatureExtractor) -> type[np.floating]:
    """Return the type in which frames are kept: half precision does for spectra, once in logarithms."""
    return np.float16 if extractor.powers else np.float32


def frames_of(extractor: FeatureExtractor, samples: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return frames (T, size) of preprocessed speech (n,), as they are kept."""
    frames = extractor.extract(samples).copy()
    # Power spans more decades than half precision does.
    frames[:, : extractor.powers] = np.log(frames[:, : extractor.powers] + 1e-10)
    return frames.astype(_stored_type(extractor))


def clean_store(speech: Path, plan: FeaturePlan, folder: Path, rows: int) -> Store:
    """Return where the features of version 0 lie or will lie, of ``rows`` recordings of a speech store."""
    return _store(_about(speech, plan, 0, ()), folder, rows)


def version_store(speech: SpeechCache, plan: FeaturePlan, version: int, folder: Path) -> Store:
    """Return where the features of a version lie or will lie."""
    return _store(_about_version(speech, plan, version), folder, len(speech))


def build_feature_cache(
    speech: SpeechCache, plan: FeaturePlan, folder: Path, workers: int, watcher: Watcher | None = None
) -> FeatureCache:
    """Make the versions that are not there yet, in parallel.

    Raises:
        BundleError: ``bundle_features`` if there is no such extractor.
        ValueError: if there is no such preprocessing step.
        CorpusError: ``corpus_store`` if a cache is damaged, ``corpus_reader`` if a process dies.
        UsageError: ``no_space``, ``output`` if a cache cannot be written.
    """
    stores = [version_store(speech, plan, version, folder) for version in range(plan.versions)]
    wanting = {version: store for version, store in enumerate(stores) if not store.whole}
    if wanting:
        _fill(speech, plan, wanting, workers, watcher)
    columns = tuple(ListColumn.of(store, "frames") for store in stores)
    for column in columns:
        if not np.array_equal(column.counts, columns[0].counts):
            raise ValueError(
                f"the features {plan.name} give more or fewer frames of the same length of speech"
            )
    return FeatureCache(build_features(plan.name, plan.config).size, columns)


def _about_version(speech: SpeechCache, plan: FeaturePlan, version: int) -> dict[str, Any]:
    voices = speech.manifest["path"][_babble_rows(speech, plan.seed)].to_list() if version else ()
    return _about(speech.folder, plan, version, voices)


def _about(speech: Path, plan: FeaturePlan, version: int, voices: Sequence[str]) -> dict[str, Any]:
    """Return all that the content of a version follows from."""
    about: dict[str, Any] = {
        "holds": "features",
        "code": _VERSION,
        "speech": speech.name,
        "name": plan.name,
        "config": asdict(build_features(plan.name, plan.config).config),
        "preprocess": parse_steps(plan.steps),
        "version": version,
    }
    if version:
        about |= {
            "augment": plan.augment.model_dump(),
            "seed": plan.seed,
            "noises": list(zip(plan.noises, file_marks(plan.noises), strict=True)),
            "voices": voices,
        }
    return about


def _store(about: dict[str, Any], folder: Path, rows: int) -> Store:
    key = sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return Store.of(folder / f"features-{key}", rows)


def _babble_rows(speech: SpeechCache, seed: int) -> list[int]:
    # A voice to be tested is never heard in training. Those without a label are never tested, whatever
    # the split, so folds and leave-one-corpus-out trainings of the same corpora share these features.
    table = speech.manifest
    labelled = (table["gender"].is_in(["female", "male"]) | table["age_low"].is_not_null()).fill_null(False)
    rows = np.flatnonzero(~labelled.to_numpy())
    if len(rows) < _FEWEST_VOICES:
        rows = np.flatnonzero((table["split"].fill_null("train") == "train").to_numpy())
    chosen: list[int] = np.random.default_rng(seed).permutation(rows)[:_BABBLE_VOICES].tolist()
    return chosen


def _fill(
    speech: SpeechCache,
    plan: FeaturePlan,
    stores: Mapping[int, Store],
    workers: int,
    watcher: Watcher | None,
) -> None:
    if watcher is not None:
        watcher.expect(sum(store.sizes[shard] for store in stores.values() for shard in store.missing()))
    extractor = build_features(plan.name, plan.config)
    # Clean features alone need neither noise nor voices.
    babble = _babble_rows(speech, plan.seed) if any(stores) else []
    heard = plan if any(stores) else replace(plan, noises=())
    found = map_in_order(_features_of, _pending(stores), workers, _begin, (speech.column, heard, babble))
    for (version, shard), results in groupby(found, key=itemgetter(0)):
        rows: list[int] = []
        parts: list[NDArray[np.floating]] = []
        for _, chunk, frames in results:
            rows += chunk
            parts += frames
            _tell(watcher, speech.sizes(), chunk)
        columns = {
            "path": pa.array(speech.manifest["path"][rows].to_list(), pa.string()),
            "frames": list_array(parts, extractor.size),
        }
        stores[version].write(shard, columns)
    for version, store in stores.items():
        store.seal(_about_version(speech, plan, version))


def _pending(stores: Mapping[int, Store]) -> Iterator[tuple[tuple[int, int], range]]:
    for version, store in stores.items():
        ends = np.cumsum(store.sizes).tolist()
        for shard in store.missing():
            for start in range(ends[shard] - store.sizes[shard], ends[shard], _CHUNK):
                yield (version, shard), range(start, min(start + _CHUNK, ends[shard]))


def _tell(watcher: Watcher | None, sizes: NDArray[np.int64], rows: range) -> None:
    if watcher is not None:
        for row in rows:
            watcher.heard(int(sizes[row]) / SAMPLE_RATE)
            watcher.file_done()


class _Maker:
    """Makes the frames of one recording, in a process of its own."""

    def __init__(self, speech: ListColumn, plan: FeaturePlan, babble: Sequence[int]) -> None:
        self._speech = speech
        self._seed = plan.seed
        self._extractor = build_features(plan.name, plan.config)
        self._preprocess = Preprocessor(plan.steps)
        voices = [voice for voice in map(self._samples, babble) if voice.size > SAMPLE_RATE]
        self._augmenter = Augmenter(plan.augment, read_noises(plan.noises), voices)

    def frames(self, row: int, version: int) -> NDArray[np.floating]:
        samples = self._samples(row)
        if version:
            samples = self._augmenter(samples, np.random.default_rng((self._seed, version, row)))
        return frames_of(self._extractor, self._preprocess(samples))

    def _samples(self, row: int) -> NDArray[np.float32]:
        return as_floats(self._speech.read(row))


_maker: _Maker | None = None


def _begin(speech: ListColumn, plan: FeaturePlan, babble: Sequence[int]) -> None:
    global _maker
    _maker = _Maker(speech, plan, babble)


def _features_of(
    task: tuple[tuple[int, int], range],
) -> tuple[tuple[int, int], range, list[NDArray[np.floating]]]:
    assert _maker is not None
    (version, shard), rows = task
    return (version, shard), rows, [_maker.frames(row, version) for row in rows]
