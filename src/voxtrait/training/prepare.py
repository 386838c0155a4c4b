"""Recipe -> manifest, speech and features: everything that the loop and the calibration draw from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, find_sources
from voxtrait.corpora import (
    ImportCounts,
    assign_folds,
    assign_splits,
    check_disjoint,
    read_corpus,
    read_manifest,
)
from voxtrait.errors import CorpusError
from voxtrait.features import build_features
from voxtrait.training.feature_cache import FeatureCache, FeaturePlan, build_feature_cache
from voxtrait.training.recipe import Recipe
from voxtrait.training.sampling import Labels
from voxtrait.training.speech_cache import SpeechCache, build_speech_cache

__all__ = ["Prepared", "balanced_labels", "feature_plan", "manifest_hash", "noise_files", "prepare",
           "prepare_features", "recipe_manifest"]  # fmt: skip

#: Recordings with less speech (about 0.3 s) teach nothing.
_LEAST = 5040
_FOLD = "fold-"


@dataclass(frozen=True)
class Prepared:
    """The corpora of a recipe, ready.

    Attributes:
        manifest: recordings with speech, in the order of the cache.
        rows: split name -> rows long enough to use.
        speakers: speaker number of every row.
        cache: folder of what is prepared.
    """

    manifest: pl.DataFrame
    speech: SpeechCache
    rows: dict[str, NDArray[np.int64]]
    speakers: NDArray[np.int64]
    cache: Path

    @property
    def folds(self) -> tuple[str, ...]:
        """Names of the splits that take turns in being held out."""
        return tuple(name for name in self.rows if name.startswith(_FOLD))

    def holding_out(self, fold: str | None) -> Prepared:
        """Return the same with all folds but ``fold`` in training, and that one as validation."""
        heard = [name for name in ("train", *self.folds) if name in self.rows and name != fold]
        rows = {name: rows for name, rows in self.rows.items() if name not in ("train", *self.folds)}
        rows["train"] = np.sort(np.concatenate([self.rows[name] for name in heard]))
        if fold is not None:
            rows["validation"] = self.rows[fold]
        return replace(self, rows=rows)


def recipe_manifest(recipe: Recipe) -> tuple[pl.DataFrame, ImportCounts]:
    """Read the recipe's corpora or manifest and divide their speakers, where no split is given yet.

    Raises:
        CorpusError: if a corpus is missing or unusable, or a split shares a speaker.
    """
    counts = ImportCounts()
    if recipe.data.manifest is None:
        parts = [read_corpus(recipe.data_folder / source.path, counts) for source in recipe.data.corpora]
        manifest = pl.concat(parts)
    else:
        manifest = read_manifest(recipe.data_folder / recipe.data.manifest)
    if manifest["split"].is_null().all():
        if recipe.data.folds:
            manifest = assign_folds(manifest, recipe.data.folds, recipe.seed)
        else:
            manifest = assign_splits(manifest, recipe.data.shares, recipe.seed)
    check_disjoint(manifest)
    return manifest, counts


def manifest_hash(manifest: pl.DataFrame) -> str:
    """Return the SHA-256, in hex, of a manifest's rows in any order: recordings, labels and splits."""
    rows = manifest.select(sorted(manifest.columns)).sort("path")
    return sha256(rows.write_csv(separator="\t").encode()).hexdigest()


def noise_files(recipe: Recipe) -> tuple[str, ...]:
    """Return the recipe's noise files, in order."""
    return tuple(str(path) for path in find_sources(recipe.data_folder / name for name in recipe.data.noises))


def prepare(recipe: Recipe, cache: Path, say: Callable[[str], None]) -> Prepared:
    """Decode and detect speech, or find it in the cache.

    Raises:
        CorpusError: if a corpus cannot be used.
    """
    manifest, counts = recipe_manifest(recipe)
    say(
        f"{manifest.height} recordings of {manifest['speaker'].n_unique()} speakers, "
        f"manifest {manifest_hash(manifest)[:12]}"
    )
    for what, unknown in (("gender", counts.unknown_genders), ("age", counts.unknown_ages)):
        if unknown:
            say(f"labels of {what} not understood and left empty: {unknown}")
    speech = build_speech_cache(manifest, cache, recipe.train.threads)
    hours = float(speech.sizes().sum()) / SAMPLE_RATE / 3600
    say(f"{len(speech)} recordings hold {hours:.2f} h of speech; {len(speech.skipped)} left out")
    for path, reason in speech.skipped.items():
        say(f"left out ({reason}): {path}")
    long_enough = speech.sizes() >= _LEAST
    split = np.array(speech.manifest["split"].fill_null("").to_list())
    names = [name for name in dict.fromkeys(split.tolist()) if name]
    rows = {
        name: np.flatnonzero((split == name) & long_enough).astype(np.int64)
        for name in sorted(names, key=_usual_order)
    }
    folds = [name for name in rows if name.startswith(_FOLD)]
    for name in folds or ("train", "validation"):
        if not len(rows.get(name, ())):
            raise CorpusError(
                "corpus_empty", f"The split {name} holds no recording with speech; give it speakers."
            )
        _check_labels(recipe, name, speech.manifest[rows[name].tolist()])
    speakers = np.unique(speech.manifest["speaker"].to_numpy(), return_inverse=True)[1]
    return Prepared(speech.manifest, speech, rows, speakers.astype(np.int64), cache)


def _usual_order(split: str) -> tuple[int, str]:
    usual = ("train", "validation", "test")
    return (usual.index(split) if split in usual else len(usual), split)


def _check_labels(recipe: Recipe, split: str, part: pl.DataFrame) -> None:
    """Refuse a split in which there is nothing to tell apart."""
    labels, targets = Labels.of(part, 0.0), recipe.target.targets()
    classes = targets.ages.classes(labels.age_low, labels.age_high)
    found = {
        "gender": len(np.unique(labels.female[~np.isnan(labels.female)])),
        "age": len(np.unique(classes[classes >= 0])),
    }
    for task, wanted in (("gender", targets.gender), ("age", targets.age)):
        if wanted and found[task] < 2:
            what = "genders" if task == "gender" else "age groups"
            raise CorpusError(
                "corpus_too_small",
                f"The split {split} holds {found[task]} {what}: to tell {what} apart takes two or more.",
            )


def feature_plan(recipe: Recipe) -> FeaturePlan:
    """Return what features the recipe makes and how."""
    return FeaturePlan(
        name=recipe.features.name,
        config=recipe.features.config,
        augment=recipe.augment,
        versions=recipe.features.versions,
        noises=noise_files(recipe),
        seed=recipe.seed,
        steps=recipe.preprocess,
    )


def prepare_features(recipe: Recipe, prepared: Prepared, say: Callable[[str], None]) -> FeatureCache:
    """Augment and extract, or find it in the cache."""
    plan = feature_plan(recipe)
    features = build_feature_cache(prepared.speech, plan, prepared.cache, recipe.train.threads)
    extractor = build_features(plan.name, plan.config)
    say(f"features {plan.name}, {extractor.size} values a frame, {plan.versions} versions")
    return features


def balanced_labels(recipe: Recipe, prepared: Prepared) -> Labels:
    """Return the labels with the recipe's weights, counted on training speakers alone."""
    train = prepared.rows["train"]
    labels = Labels.of(prepared.manifest, 0.0)
    part = prepared.manifest[train.tolist()]
    gender, age = labels.gender_weight.copy(), labels.age_weight.copy()
    gender[train] = Labels.of(part, recipe.train.gender_balance).gender_weight
    age[train] = Labels.of(part, recipe.train.age_balance).age_weight
    return Labels(labels.female, labels.age_low, labels.age_high, gender, age)
