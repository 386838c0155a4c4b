"""What a card says of a training, before its calibration."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np

from voxtrait.bundle import (
    AgeCard,
    CalibrationRow,
    Card,
    Corpus,
    EmbeddingCard,
    FeatureCard,
    GenderCard,
    IntervalRow,
    SplitSize,
    TrainingSummary,
)
from voxtrait.training.models import Made
from voxtrait.training.prepare import Prepared
from voxtrait.training.recipe import Recipe

__all__ = ["plain_card"]


def plain_card(recipe: Recipe, prepared: Prepared, made: Made) -> Card:
    """Return the card as it is before calibration: scores are taken at their word."""
    about, targets = recipe.bundle, made.targets
    as_is = CalibrationRow(speech=1.0, scale=1.0, bias=0.0)
    middle = IntervalRow(speech=1.0, low=0.1, high=0.9)
    return Card(
        name=about.name,
        version=about.version,
        licence=about.licence,
        origin=about.origin,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        description=about.description,
        preprocess=made.preprocess,
        features=FeatureCard(name=made.features.name, config=made.features.config),
        window=about.window,
        hop=about.window,
        min_speech=about.min_speech,
        gender=GenderCard(calibration=(as_is,), unsure_below=0.5) if targets.gender else None,
        age=AgeCard(grid=targets.ages.grid, interval=(middle,)) if targets.age else None,
        embedding=EmbeddingCard(size=made.embedding, threshold=0.5) if made.embedding else None,
        training=_summary(recipe, prepared),
    )


def _summary(recipe: Recipe, prepared: Prepared) -> TrainingSummary:
    manifest = prepared.manifest
    seconds = prepared.speech.sizes() / 16000
    names = manifest["corpus"].fill_null("").to_numpy()
    sources = [
        (source.name, source.licence, names == Path(source.path).name) for source in recipe.data.corpora
    ]
    if not sources:
        about = recipe.data
        sources = [(about.name or Path(str(about.manifest)).stem, about.licence, np.ones(len(names), bool))]
    corpora = [
        Corpus(
            name=name,
            licence=licence,
            speakers=len(np.unique(prepared.speakers[mine])),
            clips=int(mine.sum()),
            hours=round(float(seconds[mine].sum()) / 3600, 2),
        )
        for name, licence, mine in sources
    ]
    splits = {
        name: SplitSize(speakers=len(np.unique(prepared.speakers[rows])), clips=len(rows))
        for name, rows in prepared.rows.items()
    }
    text = json.dumps(recipe.model_dump(mode="json", exclude={"data": {"folder"}}), sort_keys=True)
    return TrainingSummary(corpora=tuple(corpora), seed=recipe.seed, recipe=text, splits=splits)
