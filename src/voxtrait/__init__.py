"""voxtrait: gender and age of speakers from voice recordings.

    >>> import voxtrait
    >>> answer = voxtrait.predict("interview.mp3")  # doctest: +SKIP
    >>> answer.gender.label, answer.age.years  # doctest: +SKIP
    ('female', 34.1)

`predict` answers for one recording; a `Predictor` keeps the model and handles many; a `Client` has a service
of `voxtrait serve` do it.
"""

import os

from voxtrait.bundle import ModelBundle, available_bundles, load_bundle
from voxtrait.client import Client
from voxtrait.errors import (
    AudioError,
    BundleError,
    CorpusError,
    MissingExtraError,
    RecipeError,
    ServiceError,
    UsageError,
    VoxtraitError,
)
from voxtrait.predictor import Predictor, predict
from voxtrait.results import AgeEstimate, GenderEstimate, Prediction, Problem, Segment, SpeakerSummary

__all__ = [
    "AgeEstimate",
    "AudioError",
    "BundleError",
    "Client",
    "CorpusError",
    "GenderEstimate",
    "MissingExtraError",
    "ModelBundle",
    "Prediction",
    "Predictor",
    "Problem",
    "RecipeError",
    "Segment",
    "ServiceError",
    "SpeakerSummary",
    "UsageError",
    "VoxtraitError",
    "__version__",
    "available_bundles",
    "load_bundle",
    "predict",
]

__version__ = "0.1.0"

# Unless told so before it is loaded, ONNX Runtime keeps an identifier of the machine and reports its use.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
