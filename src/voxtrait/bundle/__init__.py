"""Model bundles: a model (``model.onnx``) and everything one must know to use it (``card.json``).

A bundle is a folder or its zip. Whatever trains a model saves a bundle; whatever uses a model loads
one and knows nothing of its architecture. Bundles come from strangers too: nothing in them is
unpickled, unpacked to disk or followed out of the bundle.
"""

from __future__ import annotations

from voxtrait.bundle.card import (
    AgeCard,
    CalibrationRow,
    Card,
    Corpus,
    EmbeddingCard,
    FeatureCard,
    GenderCard,
    IntervalRow,
    Metric,
    SplitSize,
    TrainingSummary,
)
from voxtrait.bundle.model import ModelBundle
from voxtrait.bundle.publish import Publication, publish_bundle
from voxtrait.bundle.store import DEFAULT_BUNDLE, available_bundles, load_bundle, save_bundle

__all__ = [
    "DEFAULT_BUNDLE",
    "AgeCard",
    "CalibrationRow",
    "Card",
    "Corpus",
    "EmbeddingCard",
    "FeatureCard",
    "GenderCard",
    "IntervalRow",
    "Metric",
    "ModelBundle",
    "Publication",
    "SplitSize",
    "TrainingSummary",
    "available_bundles",
    "load_bundle",
    "publish_bundle",
    "save_bundle",
]
