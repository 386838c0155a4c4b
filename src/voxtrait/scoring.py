"""Windows of features -> raw scores (the model) -> calibrated estimates (the card)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.bundle import ModelBundle
from voxtrait.errors import BundleError
from voxtrait.labels import AGE_GROUPS, MAX_AGE
from voxtrait.listening import FeatureWindow
from voxtrait.results import AgeEstimate, GenderEstimate
from voxtrait.speech import Span

__all__ = ["INDEPENDENT_ROWS", "Judge", "Scores", "WindowScore"]


#: Windows a run: enough for the matrix kernels, few enough that what they take stays near the processor
#: and that their lengths differ little.
_RUN: Final = 4
#: Operators that round to the range of all they are given: windows that share a run would change
#: each other's answers, so each has a run of its own, but in models that are marked.
_ROUNDING: Final = b"DynamicQuantize"
#: Name and value of the mark, among a model's metadata: what such operators are given has always one range.
INDEPENDENT_ROWS: Final = ("voxtrait.rows", "independent")


@dataclass(frozen=True)
class WindowScore:
    """What the model said of one window; ``weight`` in samples of speech."""

    pieces: tuple[Span, ...]
    weight: int
    gender: float
    age: NDArray[np.float32]
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class Scores:
    """Scores of several windows side by side: n windows, A ages, E embedding values."""

    pieces: tuple[tuple[Span, ...], ...]
    weights: NDArray[np.float64]
    gender: NDArray[np.float64]
    age: NDArray[np.float32]
    embedding: NDArray[np.float32]

    @classmethod
    def of(cls, windows: Sequence[WindowScore]) -> Scores:
        return cls(
            tuple(window.pieces for window in windows),
            np.array([window.weight for window in windows], np.float64),
            np.array([window.gender for window in windows], np.float64),
            np.stack([window.age for window in windows]),
            np.stack([window.embedding for window in windows]),
        )

    def direction(self) -> NDArray[np.float64]:
        """Return the mean direction (E,) of the windows' embeddings, each counted by its speech."""
        units = self.embedding / (np.linalg.norm(self.embedding, axis=1, keepdims=True) + 1e-12)
        mean = self.weights @ units
        return np.asarray(mean / (np.linalg.norm(mean) + 1e-12))

    def weighted(self, windows: list[int], weights: list[float]) -> Scores:
        """Return some of the windows, a window perhaps twice, with other weights and without embeddings."""
        return Scores(
            tuple(self.pieces[window] for window in windows),
            np.asarray(weights, np.float64),
            self.gender[windows],
            self.age[windows],
            np.zeros((len(windows), 0), np.float32),
        )


class Judge:
    """Runs a bundle's model and reads its answers through its card.

    Args:
        bundle: the model.
        threads: of ONNX Runtime.
        width: values in a frame of the features that it will be given; None leaves it unchecked.

    Raises:
        BundleError: ``bundle_features`` if the model reads frames of another width, or what
            `ModelBundle.session` raises.
    """

    def __init__(self, bundle: ModelBundle, threads: int, width: int | None = None) -> None:
        self._card = bundle.card
        self._session = bundle.session(threads)
        name, value = INDEPENDENT_ROWS
        marked = self._session.get_modelmeta().custom_metadata_map.get(name) == value
        self._run_size = _RUN if marked or _ROUNDING not in bundle.model else 1
        wanted = next(port.shape[2] for port in self._session.get_inputs() if port.name == "features")
        if width is not None and isinstance(wanted, int) and wanted != width:
            raise BundleError(
                "bundle_features",
                f"The features of {bundle.title} have {width} values a frame, but its model reads {wanted}.",
            )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def score(self, windows: Sequence[FeatureWindow]) -> list[WindowScore]:
        """Run the model on windows of any lengths and return their scores in the same order.

        Raises:
            BundleError: ``bundle_corrupt`` if the model fails on them.
        """
        # Windows of like length share a run: what is padded is computed too.
        order = sorted(range(len(windows)), key=lambda index: len(windows[index].frames))
        scores: dict[int, WindowScore] = {}
        for first in range(0, len(order), self._run_size):
            chosen = order[first : first + self._run_size]
            scores.update(zip(chosen, self._run([windows[index] for index in chosen]), strict=True))
        return [scores[index] for index in range(len(windows))]

    def _run(self, windows: list[FeatureWindow]) -> list[WindowScore]:
        lengths = np.array([len(window.frames) for window in windows], dtype=np.int64)
        features = np.zeros((len(windows), int(lengths.max()), windows[0].frames.shape[1]), np.float32)
        for place, window in zip(features, windows, strict=True):
            place[: len(window.frames)] = window.frames
        try:
            outputs = self._session.run(None, {"features": features, "lengths": lengths})
        # The runtime's errors have no common base but Exception.
        except Exception as error:
            reason = " ".join(ascii(str(error))[1:-1].split())[:200]
            raise BundleError(
                "bundle_corrupt", f"The model of {self._card.title} fails on {features.shape}: {reason}"
            ) from error
        results = dict(zip(self._outputs, outputs, strict=True))
        count = len(windows)
        gender = results.get("gender", np.zeros(count, np.float32))
        age = results.get("age", np.zeros((count, 0), np.float32))
        embedding = results.get("embedding", np.zeros((count, 0), np.float32))
        return [
            WindowScore(
                window.pieces,
                window.weight,
                float(gender[row]),
                age[row],
                embedding[row],
            )
            for row, window in enumerate(windows)
        ]

    def estimate(self, scores: Scores) -> tuple[GenderEstimate, AgeEstimate]:
        """Sum up windows of one voice, or of one file: scores are averaged by seconds of speech.

        A task that the bundle lacks is answered by "unsure".
        """
        weights = scores.weights / scores.weights.sum()
        speech = float(scores.weights.sum()) / SAMPLE_RATE
        age, child = self._age(weights @ scores.age, speech)
        return self._gender(float(weights @ scores.gender), speech, child), age

    def _age(self, logits: NDArray[np.float32], speech: float) -> tuple[AgeEstimate, float]:
        card = self._card.age
        if card is None:
            share = 1 / len(AGE_GROUPS)
            groups = dict.fromkeys(AGE_GROUPS, share)
            return AgeEstimate(MAX_AGE / 2, 0.0, float(MAX_AGE), 1.0, "unsure", groups), 0.0
        probabilities = card.distribution(logits[None])
        years, low, high = card.estimate(probabilities, speech)
        masses = card.groups(probabilities)[0]
        groups = {name: float(mass) for name, mass in zip(AGE_GROUPS, masses, strict=True)}
        estimate = AgeEstimate(
            years=float(years[0]),
            low=float(low[0]),
            high=float(high[0]),
            coverage=card.coverage,
            group=max(groups, key=groups.__getitem__),
            groups=groups,
        )
        return estimate, groups["child"]

    def _gender(self, logit: float, speech: float, child: float) -> GenderEstimate:
        card = self._card.gender
        if card is None:
            return GenderEstimate("unsure", 0.5, 0.5)
        female = float(card.probability(logit, speech))
        surest = max(female, 1 - female)
        is_child = card.unsure_child is not None and child >= card.unsure_child
        if is_child or surest < card.unsure_below:
            return GenderEstimate("unsure", female, 1 - female)
        return GenderEstimate("female" if female > 0.5 else "male", female, 1 - female)
