"""From prepared corpora to an ONNX model, for each kind of system."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxtrait.audio import SAMPLE_RATE
from voxtrait.bundle import FeatureCard
from voxtrait.features import FeatureExtractor, build_features
from voxtrait.systems.system import LabelledVectors, System, Targets
from voxtrait.training.calibration import ADULT_VOICE
from voxtrait.training.encoding import LONGEST, Embedding, Encoders
from voxtrait.training.export import export_onnx, quantised
from voxtrait.training.loop import Trainer, TrainingSet
from voxtrait.training.prepare import Prepared, balanced_labels
from voxtrait.training.ranks import Ranks
from voxtrait.training.recipe import Recipe, system_of
from voxtrait.training.sampling import CropSampler, FrameSource, Labels, Vectors
from voxtrait.training.scorer import WHOLE, Scorer
from voxtrait.training.watch import RunLog

__all__ = ["Made", "make_model"]


@dataclass(frozen=True)
class Made:
    """A trained model.

    Attributes:
        model: the ONNX file.
        features: what it reads.
        preprocess: what comes before the features.
        targets: what it tells.
        embedding: values of its embedding; 0 without one.
    """

    model: bytes
    features: FeatureCard
    preprocess: tuple[str, ...]
    targets: Targets
    embedding: int = 0


@dataclass(frozen=True)
class _Job:
    """A training: what `make_model` takes, and the recipe's system with its settings."""

    recipe: Recipe
    system: System
    settings: Any
    prepared: Prepared
    folder: Path
    log: RunLog
    ranks: Ranks


class _Chained(nn.Module):
    """A frozen front and the network that was trained on its vectors."""

    def __init__(self, front: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.front, self.network = front, network

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        vectors = self.front(features, lengths).unsqueeze(1)
        out: dict[str, Tensor] = self.network(vectors, torch.ones_like(lengths))
        return out


def make_model(
    recipe: Recipe,
    prepared: Prepared,
    source: FrameSource | None,
    folder: Path,
    log: RunLog,
    ranks: Ranks,
) -> Made:
    """Train the recipe's system and export it; only the first of several processes exports.

    Args:
        recipe: what to train.
        prepared: its recordings.
        source: their features; None for an ensemble, whose members have their own.
        folder: the run's.
        log: told how it goes.
        ranks: the processes that train together.

    Raises:
        RecipeError, CorpusError, MissingExtraError: as the system does.
        VoxtraitError: ``export`` if the exported model differs from the trained one.
    """
    system, settings = system_of(recipe)
    job = _Job(recipe, system, settings, prepared, folder, log, ranks)
    if source is None:
        return _ensemble(job)
    features = FeatureCard(name=recipe.features.name, config=recipe.features.config)
    model, embedding = b"", 0
    if system.classifier is not None:
        model = _classifier(job, source)
    else:
        network = _network(job, source)
        if ranks.first:
            model, embedding = export_onnx(network, source.size), _embedding_size(network, source.size)
            if recipe.bundle.eight_bits:
                model = quantised(model)
    return Made(model, features, recipe.preprocess, recipe.target.targets(), embedding)


def _ensemble(job: _Job) -> Made:
    """Join the bundles that the recipe names."""
    from voxtrait.systems.ensemble import average_weights, compose, fit_weights, load_members, member_scores

    recipe, prepared, settings = job.recipe, job.prepared, job.settings
    members = load_members(settings)
    window, weights = recipe.bundle.window, average_weights(members)
    if settings.method == "stacking":
        rows = prepared.rows["validation"]
        labels = Labels.of(prepared.manifest, 0.0)
        scores = []
        for member in members:
            sums = Scorer(member, recipe, prepared, window).score(rows.tolist(), WHOLE, (0,))
            gender, age = np.array([each.gender for each in sums]), np.stack([each.age for each in sums])
            scores.append(member_scores(member.card, window, gender, age))
        _, number, counts = np.unique(prepared.speakers[rows], return_inverse=True, return_counts=True)
        # As in calibration: a child's voice does not tell a gender.
        female = np.where(labels.age_high[rows] < ADULT_VOICE, np.nan, labels.female[rows])
        weights = fit_weights(
            scores, female, labels.age_low[rows], labels.age_high[rows], 1.0 / counts[number]
        )
    for member, gender_weight, age_weight in zip(members, weights.gender, weights.age, strict=True):
        job.log.say(f"{member.title} counts {gender_weight:.2f} for gender, {age_weight:.2f} for age")
    parts = compose(members, weights, window)
    size = parts.embedding.size if parts.embedding else 0
    return Made(parts.model, parts.features, parts.preprocess, parts.targets, size)


def _network(job: _Job, source: FrameSource) -> nn.Module:
    recipe, system, prepared = job.recipe, job.system, job.prepared
    assert system.network is not None
    torch.manual_seed(recipe.seed)
    targets = recipe.target.targets()
    extractor = build_features(recipe.features.name, recipe.features.config)
    encoders = Encoders(recipe, prepared, source, job.ranks.device)
    teacher = None
    if system.teacher is not None and recipe.train.embedding_weight:
        teacher = encoders.vectors(Embedding(system.teacher(job.settings)), versions=1)[0]
    front = system.frozen(job.settings) if system.frozen is not None else None
    seen: FrameSource = source
    if front is not None:
        seen = Vectors(encoders.vectors(front, source.versions))
    network = system.network(job.settings, targets, seen.size)
    count = sum(parameter.numel() for parameter in network.parameters())
    job.log.say(f"{system.name} with {count:,} parameters to train on {job.ranks.device}")
    data = _training_set(job, seen, extractor, teacher)
    best = Trainer(network, data, targets, recipe.train, recipe.seed, job.folder, job.log, job.ranks).run()
    return best if front is None else _Chained(front, best).eval()


def _training_set(
    job: _Job, source: FrameSource, extractor: FeatureExtractor, teacher: NDArray[np.float32] | None
) -> TrainingSet:
    recipe, prepared = job.recipe, job.prepared
    settings, is_vector = recipe.train, isinstance(source, Vectors)
    rate = SAMPLE_RATE / extractor.frame_shift
    shortest, longest = (max(1, round(seconds * rate)) for seconds in settings.crop)
    powers = 0 if is_vector else extractor.powers
    batch = max(2, settings.batch // job.ranks.size)
    sampler = CropSampler(source, powers, (shortest, longest), batch, settings.crop_from)
    return TrainingSet(
        sampler,
        balanced_labels(recipe, prepared),
        prepared.speakers,
        prepared.rows["train"],
        prepared.rows.get("validation", np.array([], np.int64)),
        max(longest, round(LONGEST * rate)),
        teacher,
    )


def _embedding_size(network: nn.Module, size: int) -> int:
    with torch.no_grad():
        out = network.eval()(torch.rand(2, 150, size), torch.tensor([150, 120]))
    return int(out["embedding"].shape[1]) if "embedding" in out else 0


def _classifier(job: _Job, source: FrameSource) -> bytes:
    from voxtrait.systems.classical import FitOptions

    recipe, system = job.recipe, job.system
    assert system.classifier is not None
    targets = recipe.target.targets()
    options = FitOptions(recipe.seed, recipe.train.threads, recipe.train.minutes)
    data = _labelled_vectors(recipe, targets, job.prepared, source)
    fitted = system.classifier(job.settings, data, targets, options, job.log.say)
    names = build_features(recipe.features.name, recipe.features.config).names()  # type: ignore[attr-defined]
    report = {"features": list(names), **fitted.report}
    (job.folder / "classifier.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    model: bytes = fitted.model
    return model


def _labelled_vectors(
    recipe: Recipe, targets: Targets, prepared: Prepared, source: FrameSource
) -> dict[str, LabelledVectors]:
    """Return training vectors in every version with the classes of each output of the task."""
    rows = prepared.rows["train"]
    rows = rows[source.counts[rows] > 0]
    labels = balanced_labels(recipe, prepared)
    values = np.concatenate(
        [np.stack([source.read(row, version, 0, 1)[0] for row in rows.tolist()])
         for version in range(source.versions)]
    ).astype(np.float32)  # fmt: skip
    ages = targets.ages.classes(labels.age_low, labels.age_high)
    female = labels.female
    gender = np.where(np.isnan(female), -1, np.nan_to_num(female)).astype(np.int64)
    joint = np.where((gender < 0) | (ages < 0), -1, ages + (1 - gender) * len(targets.ages))
    weights = {
        "gender": labels.gender_weight[rows],
        "age": labels.age_weight[rows],
        "joint": labels.gender_weight[rows] * labels.age_weight[rows],
    }
    classes = {"gender": gender, "age": ages, "joint": joint}
    return {
        name: LabelledVectors(
            values,
            np.tile(classes[name][rows], source.versions),
            np.tile(prepared.speakers[rows], source.versions),
            np.tile(weights[name], source.versions).astype(np.float64),
        )
        for name in targets.sizes
    }
