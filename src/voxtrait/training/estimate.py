"""How long the caches of a manifest will take to make and how large they will be, from a sample of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.features import build_features
from voxtrait.preprocess import Preprocessor
from voxtrait.training.feature_cache import FeaturePlan, clean_store, frames_of
from voxtrait.training.reading import ReadingOrder
from voxtrait.training.speech_cache import SpeechOf, as_floats, speech_store

__all__ = ["Forecast", "forecast"]

#: Recordings that are tried.
_SAMPLE: Final = 64


@dataclass(frozen=True)
class Forecast:
    """What is left to do.

    Attributes:
        recordings: to be decoded; those of which only the features are missing are not counted.
        seconds: of one process.
        size: bytes on disk.
    """

    recordings: int
    seconds: float
    size: float


@dataclass
class _Cost:
    """What recordings cost together: seconds and bytes."""

    count: int = 0
    speech_seconds: float = 0.0
    speech_size: int = 0
    feature_seconds: float = 0.0
    feature_size: int = 0


def forecast(manifest: pl.DataFrame, plan: FeaturePlan, folder: Path) -> Forecast:
    """Estimate what the speech and the clean features of a manifest need beyond what is in ``folder``.

    About 64 recordings are decoded: files by chance, of an archive its first members.

    Raises:
        CorpusError: as `build_speech_cache`, if the manifest or an archive cannot be used.
        BundleError, ValueError: as `build_feature_cache`, if the plan cannot be followed.
    """
    order, store = speech_store(manifest, folder)
    total = sum(store.sizes)
    undecoded = sum(store.sizes[shard] for shard in store.missing())
    features = clean_store(store.folder, plan, folder, total)
    made = sum(
        features.sizes[shard] for shard in range(len(features.sizes)) if features.file(shard).is_file()
    )
    if features.sealed and not undecoded:
        return Forecast(0, 0.0, 0.0)
    cost = _try(order, plan)
    unmade = total - made
    return Forecast(
        undecoded,
        (undecoded * cost.speech_seconds + unmade * cost.feature_seconds) / cost.count,
        (undecoded * cost.speech_size + unmade * cost.feature_size) / cost.count,
    )


def _try(order: ReadingOrder, plan: FeaturePlan) -> _Cost:
    speech_of, preprocess = SpeechOf(), Preprocessor(plan.steps)
    extractor = build_features(plan.name, plan.config)
    cost = _Cost()
    for source in order.sample(_SAMPLE):
        began = time.perf_counter()
        spoken = speech_of(source)
        heard = time.perf_counter()
        cost.count += 1
        cost.speech_seconds += heard - began
        cost.speech_size += spoken.speech.nbytes + len(spoken.path)
        if spoken.error is None:
            frames = frames_of(extractor, preprocess(as_floats(spoken.speech)))
            cost.feature_seconds += time.perf_counter() - heard
            cost.feature_size += frames.nbytes + len(spoken.path)
    return cost
