"""Features of the cached speech, clean and as heard under several random conditions."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, load_audio
from voxtrait.augment import Augmenter, AugmentSettings
from voxtrait.features import FeatureExtractor, build_features
from voxtrait.training.speech_cache import SpeechCache

__all__ = ["FeatureCache", "FeaturePlan", "build_feature_cache", "read_noises"]

_CHUNK = 48
#: Goes up when features or conditions change, so that an older cache is not taken for a new one.
_VERSION = "2"
_BABBLE_VOICES = 200


@dataclass(frozen=True)
class FeaturePlan:
    """What features are made and how.

    Attributes:
        name, config: the extractor, as in a bundle's card.
        augment: the conditions.
        versions: how often each recording is heard; version 0 is as it is, the others augmented.
        noises: files of environmental noise.
        seed: of the conditions.
    """

    name: str
    config: dict[str, Any]
    augment: AugmentSettings
    versions: int
    noises: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class FeatureCache:
    """Frames of every recording in every version, in half precision (mel power as its logarithm)."""

    files: tuple[Path, ...]
    offsets: NDArray[np.int64]
    size: int

    def open(self) -> list[NDArray[np.float16]]:
        """Return one memory-mapped array a version, shape (all frames, size)."""
        return [np.load(file, mmap_mode="r") for file in self.files]


def read_noises(files: tuple[str, ...]) -> list[NDArray[np.float32]]:
    """Read noise files, leaving out those that are silent."""
    sounds = [load_audio(file) for file in files]
    return [sound for sound in sounds if sound.size and float(np.abs(sound).max()) > 1e-3]


def build_feature_cache(speech: SpeechCache, plan: FeaturePlan, folder: Path, workers: int) -> FeatureCache:
    """Make the versions that are not there yet, in parallel."""
    extractor = build_features(plan.name, plan.config)
    frames = np.maximum(0, 1 + (speech.sizes() - extractor.frame_span) // extractor.frame_shift)
    offsets = np.concatenate([[0], np.cumsum(frames)])
    files = []
    for version in range(plan.versions):
        about = asdict(plan) | {
            "augment": plan.augment.model_dump() if version else None,
            "noises": plan.noises if version else None,
            "seed": plan.seed if version else None,
            "versions": version,
            "code": _VERSION,
            "speech": str(speech.file),
        }
        key = sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]
        file = folder / f"features-{key}.npy"
        if not file.is_file():
            _fill(speech, plan, version, offsets, file, workers)
        files.append(file)
    return FeatureCache(tuple(files), offsets, extractor.size)


def _fill(
    speech: SpeechCache,
    plan: FeaturePlan,
    version: int,
    offsets: NDArray[np.int64],
    file: Path,
    workers: int,
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    size = build_features(plan.name, plan.config).size
    shape = (int(offsets[-1]), size)
    array = np.lib.format.open_memmap(partial, "w+", dtype=np.float16, shape=shape)
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_prepare, initargs=(speech, plan)) as pool:
        chunks = [range(i, min(i + _CHUNK, len(speech))) for i in range(0, len(speech), _CHUNK)]
        for rows, parts in zip(chunks, pool.map(_features_of, chunks, [version] * len(chunks)), strict=True):
            for row, part in zip(rows, parts, strict=True):
                array[offsets[row] : offsets[row + 1]] = part
    array.flush()
    partial.replace(file)


_state: tuple[SpeechCache, FeaturePlan, FeatureExtractor, Augmenter] | None = None


def _prepare(speech: SpeechCache, plan: FeaturePlan) -> None:
    global _state
    # Babble comes from training speakers alone: a voice to be tested is never heard in training.
    split = speech.manifest["split"].to_list()
    rows = np.array([row for row, name in enumerate(split) if name in (None, "train")])
    chosen = np.random.default_rng(plan.seed).permutation(rows)[:_BABBLE_VOICES]
    voices = [voice for voice in map(speech.samples, chosen) if voice.size > SAMPLE_RATE]
    augmenter = Augmenter(plan.augment, read_noises(plan.noises), voices)
    _state = speech, plan, build_features(plan.name, plan.config), augmenter


def _features_of(rows: range, version: int) -> list[NDArray[np.float16]]:
    assert _state is not None
    speech, plan, extractor, augmenter = _state
    out = []
    for row in rows:
        samples = speech.samples(row)
        if version:
            samples = augmenter(samples, np.random.default_rng((plan.seed, version, row)))
        frames = extractor.extract(samples)
        mels = plan.config["n_mels"]
        # Power spans more decades than half precision does.
        frames[:, :mels] = np.log(frames[:, :mels] + 1e-10)
        out.append(frames.astype(np.float16))
    return out
