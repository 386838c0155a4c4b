"""Recipe -> manifest, caches and labels: everything that the loop and the calibration draw from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from voxtrait.audio import find_sources
from voxtrait.corpora import ImportCounts, assign_splits, check_disjoint, read_corpus
from voxtrait.errors import CorpusError
from voxtrait.systems.base import EMBEDDING_SIZE, BaseConfig, BaseNetwork
from voxtrait.training.feature_cache import FeatureCache, FeaturePlan, build_feature_cache
from voxtrait.training.recipe import Recipe
from voxtrait.training.sampling import CropSampler, Labels
from voxtrait.training.speech_cache import SpeechCache, build_speech_cache

__all__ = ["Prepared", "noise_files", "prepare", "recipe_manifest"]

#: Recordings with fewer frames (0.3 s) of speech teach nothing.
_LEAST = 30
_TEACHER_FRAMES = 600


@dataclass(frozen=True)
class Prepared:
    """The corpora of a recipe, ready.

    Attributes:
        manifest: recordings with speech, in the order of the caches.
        rows: split name -> rows long enough to use.
        speakers: speaker number of every row.
    """

    manifest: pl.DataFrame
    speech: SpeechCache
    features: FeatureCache
    plan: FeaturePlan
    rows: dict[str, NDArray[np.int64]]
    speakers: NDArray[np.int64]


def recipe_manifest(recipe: Recipe) -> tuple[pl.DataFrame, ImportCounts]:
    """Read the recipe's corpora and divide their speakers.

    Raises:
        CorpusError: if a corpus is missing or unusable, or a split shares a speaker.
    """
    counts = ImportCounts()
    folder = Path(recipe.data.folder)
    parts = [read_corpus(folder / source.path, counts) for source in recipe.data.corpora]
    manifest = assign_splits(pl.concat(parts), recipe.data.shares, recipe.seed)
    check_disjoint(manifest)
    return manifest, counts


def noise_files(recipe: Recipe) -> tuple[str, ...]:
    """Return the recipe's noise files, in order."""
    folder = Path(recipe.data.folder)
    return tuple(str(path) for path in find_sources(folder / name for name in recipe.data.noises))


def prepare(recipe: Recipe, cache: Path, say: Callable[[str], None]) -> Prepared:
    """Decode, detect, augment and extract, or find it all in the cache.

    Raises:
        CorpusError: if a corpus cannot be used.
    """
    manifest, counts = recipe_manifest(recipe)
    say(f"{manifest.height} recordings of {manifest['speaker'].n_unique()} speakers")
    for what, unknown in (("gender", counts.unknown_genders), ("age", counts.unknown_ages)):
        if unknown:
            say(f"labels of {what} not understood and left empty: {unknown}")
    speech = build_speech_cache(manifest, cache, recipe.train.threads)
    hours = float(speech.sizes().sum()) / 16000 / 3600
    say(f"{len(speech)} recordings hold {hours:.2f} h of speech; {len(speech.skipped)} left out")
    for path, reason in speech.skipped.items():
        say(f"left out ({reason}): {path}")
    plan = FeaturePlan(
        recipe.features.name,
        recipe.features.config,
        recipe.augment,
        recipe.features.versions,
        noise_files(recipe),
        recipe.seed,
    )
    features = build_feature_cache(speech, plan, cache, recipe.train.threads)
    long_enough = np.diff(features.offsets) >= _LEAST
    split = np.array(speech.manifest["split"].to_list())
    rows = {
        name: np.flatnonzero((split == name) & long_enough).astype(np.int64) for name in recipe.data.shares
    }
    if not all(len(rows.get(name, ())) for name in ("train", "validation")):
        raise CorpusError("corpus_empty", "The splits train and validation must both hold recordings.")
    speakers = np.unique(speech.manifest["speaker"].to_numpy(), return_inverse=True)[1]
    return Prepared(speech.manifest, speech, features, plan, rows, speakers.astype(np.int64))


def balanced_labels(recipe: Recipe, prepared: Prepared) -> Labels:
    """Return the labels with the recipe's weights, counted on training speakers alone."""
    train = prepared.rows["train"]
    labels = Labels.of(prepared.manifest, 0.0)
    part = prepared.manifest[train.tolist()]
    gender, age = labels.gender_weight.copy(), labels.age_weight.copy()
    gender[train] = Labels.of(part, recipe.train.gender_balance).gender_weight
    age[train] = Labels.of(part, recipe.train.age_balance).age_weight
    return Labels(labels.female, labels.age_low, labels.age_high, gender, age)


@torch.no_grad()
def teacher_embeddings(prepared: Prepared, recipe: Recipe, cache: Path) -> NDArray[np.float32]:
    """Return unit embeddings of the clean recordings by the untouched encoder, (rows, 256)."""
    file = cache / f"teacher-{prepared.features.files[0].stem}.npy"
    if file.is_file():
        return np.asarray(np.load(file), dtype=np.float32)
    torch.set_num_threads(recipe.train.threads)
    start = recipe.network.get("start", "ge2e")
    network = BaseNetwork(BaseConfig(start=start, branch=0)).eval()
    sampler = CropSampler(prepared.features, prepared.plan.config["n_mels"], (1, 1), 32)
    out = np.zeros((len(prepared.speech), EMBEDDING_SIZE), dtype=np.float32)
    rows = np.concatenate(list(prepared.rows.values()))
    for batch in sampler.whole(rows, 0, _TEACHER_FRAMES):
        features, lengths = torch.from_numpy(batch.features), torch.from_numpy(batch.lengths)
        out[batch.rows] = network(features, lengths)[2].numpy()
    np.save(file, out)
    return out
