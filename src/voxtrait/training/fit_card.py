"""Scores of speakers that a network has not heard, and the calibration of a card from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.bundle import Card, EmbeddingCard, ModelBundle
from voxtrait.systems.system import AgeScale
from voxtrait.training.calibration import (
    ADULT_VOICE,
    Scored,
    calibrate_age,
    calibrate_gender,
    voice_threshold,
)
from voxtrait.training.prepare import Prepared
from voxtrait.training.recipe import Recipe
from voxtrait.training.sampling import Labels
from voxtrait.training.scorer import WHOLE, Scorer, Summed
from voxtrait.training.store import writing_into

__all__ = ["HeldOut", "fit_card", "score_held_out"]

#: Seconds of speech that a calibration row is fitted for; a recording counts from 0.8 of it.
_AMOUNTS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_FEWEST: Final = 60
#: Recordings of a speaker that calibration hears: more say little that is new.
_MOST: Final = 4


@dataclass(frozen=True)
class HeldOut:
    """Scores of recordings whose speakers the network has not heard.

    Attributes:
        amounts: cut to some amount of speech, as recorded and augmented, in ascending order.
        whole: the same recordings, whole, as recorded.
        threshold: cosine distance up to which two windows are one voice; None without embeddings.
    """

    amounts: tuple[Scored, ...]
    whole: Scored
    threshold: float | None

    @classmethod
    def joined(cls, parts: Sequence[HeldOut]) -> HeldOut:
        """Put the scores of several networks together; none may have scored a recording of another's."""
        amounts = {scored.speech for part in parts for scored in part.amounts}
        thresholds = [part.threshold for part in parts if part.threshold is not None]
        return cls(
            tuple(
                Scored.joined([found for part in parts for found in part.amounts if found.speech == amount])
                for amount in sorted(amounts)
            ),
            Scored.joined([part.whole for part in parts]),
            float(np.median(thresholds)) if thresholds else None,
        )

    def save(self, file: Path) -> None:
        """Write the scores; the file is replaced whole or not at all."""
        arrays: dict[str, Any] = {}
        for place, scored in enumerate((self.whole, *self.amounts)):
            arrays |= {f"{place}_{name}": value for name, value in vars(scored).items()}
        if self.threshold is not None:
            arrays["threshold"] = self.threshold
        partial = file.with_suffix(".partial")
        with writing_into(file.parent):
            with partial.open("wb") as stream:
                np.savez_compressed(stream, **arrays)
            partial.replace(file)

    @classmethod
    def load(cls, file: Path) -> HeldOut:
        """Read what `save` wrote."""
        with np.load(file) as arrays:
            names = [name.partition("_") for name in arrays.files if name[0].isdigit()]
            scored: dict[int, dict[str, Any]] = {}
            for place, _, name in names:
                value = arrays[f"{place}_{name}"]
                scored.setdefault(int(place), {})[name] = float(value) if name == "speech" else value
            whole, *amounts = (Scored(**scored[place]) for place in sorted(scored))
            threshold = float(arrays["threshold"]) if "threshold" in arrays.files else None
            return cls(tuple(amounts), whole, threshold)


def score_held_out(
    bundle: ModelBundle, recipe: Recipe, prepared: Prepared, rows: NDArray[np.int64]
) -> HeldOut:
    """Hear ``rows`` with a bundle that has not heard their speakers, as prediction would.

    They are heard as recorded and, where the recipe augments, under its random conditions too: a
    probability must mean the same where the recording is poor.
    """
    scorer = Scorer(bundle, recipe, prepared)
    labels, sizes = Labels.of(prepared.manifest, 0.0), prepared.speech.sizes()
    chosen = _few_of_each(rows, prepared.speakers)
    amounts: list[Scored] = []
    for amount in _AMOUNTS:
        enough = chosen[sizes[chosen] >= 0.8 * amount * SAMPLE_RATE]
        if len(enough) >= _FEWEST or not amounts:
            heard = enough if len(enough) else chosen
            sums = scorer.score(heard.tolist(), amount, (0, 1) if scorer.augments else (0,))
            amounts.append(_scored(sums, labels, prepared, amount))
    whole = scorer.score(chosen.tolist(), WHOLE, (0,))
    return HeldOut(
        tuple(amounts),
        _scored(whole, labels, prepared, float(np.median(sizes[chosen])) / SAMPLE_RATE),
        _threshold(whole, prepared) if bundle.card.embedding is not None else None,
    )


def fit_card(card: Card, heard: HeldOut, recipe: Recipe, ages: AgeScale) -> Card:
    """Return ``card`` calibrated from the scores of held-out speakers."""
    about = recipe.bundle
    fitted: dict[str, Any] = {}
    if card.gender is not None:
        fitted["gender"] = calibrate_gender(
            heard.amounts, heard.whole, about.error_when_decided, has_age=card.age is not None
        )
    if card.age is not None:
        fitted["age"] = calibrate_age(heard.amounts, ages, about.coverage)
    if card.embedding is not None and heard.threshold is not None:
        fitted["embedding"] = EmbeddingCard(size=card.embedding.size, threshold=heard.threshold)
    return card.model_copy(update=fitted)


def _few_of_each(rows: NDArray[np.int64], speakers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return at most four of each speaker's rows, in order, spread evenly."""
    order = np.argsort(speakers[rows], kind="stable")
    _, starts, counts = np.unique(speakers[rows][order], return_index=True, return_counts=True)
    kept = [
        order[start + np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(np.int64))]
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True)
    ]
    return np.sort(rows[np.concatenate(kept)])


def _threshold(whole: list[Summed], prepared: Prepared) -> float:
    windows = [window for summed in whole for window in summed.windows]
    recordings = np.array([summed.row for summed in whole for _ in summed.windows])
    embeddings = np.stack([window.embedding for window in windows])
    return voice_threshold(embeddings, recordings, prepared.speakers[recordings])


def _scored(sums: list[Summed], labels: Labels, prepared: Prepared, amount: float) -> Scored:
    rows = np.array([summed.row for summed in sums])
    speakers = prepared.speakers[rows]
    _, number, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    # A child's voice does not tell a gender: children would only teach doubt about adults.
    is_child = labels.age_high[rows] < ADULT_VOICE
    return Scored(
        speech=amount,
        weights=1.0 / counts[number],
        female=np.where(is_child, np.nan, labels.female[rows].astype(np.float64)),
        age_low=labels.age_low[rows],
        age_high=labels.age_high[rows],
        gender=np.array([summed.gender for summed in sums]),
        age=np.stack([summed.age for summed in sums]),
    )
