"""Validation speakers' scores -> a card's calibration: probabilities, intervals, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.bundle import AgeCard, CalibrationRow, GenderCard, IntervalRow
from voxtrait.systems.system import YEARS, AgeScale

__all__ = ["ADULT_VOICE", "Scored", "calibrate_age", "calibrate_gender", "voice_threshold"]

Array = NDArray[np.float64]

#: Points of a band that stand for the unknown exact age.
_BAND_POINTS = 5
_UNSURE_CHILD = 0.5
_SLIPS = 0.01
#: Windows that are compared with each other: their number squared is what it costs.
_MOST_WINDOWS = 4000
#: Years from which a voice counts for the calibration of gender.
ADULT_VOICE = 13


@dataclass(frozen=True)
class Scored:
    """Scores of validation recordings cut to one amount of speech.

    Attributes:
        speech: seconds of speech, their median where they differ.
        weights: (n,), so that each speaker counts alike.
        female: (n,) 1, 0 or NaN.
        age_low, age_high: (n,) years or NaN.
        gender: (n,) logits. age: (n, A) logits.
    """

    speech: float
    weights: Array
    female: Array
    age_low: Array
    age_high: Array
    gender: Array
    age: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Sequence[Scored]) -> Scored:
        """Put the scores of different speakers together."""
        counts = [len(part.weights) for part in parts]
        names = [name for name in vars(parts[0]) if name != "speech"]
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(speech=float(np.average([part.speech for part in parts], weights=counts)), **arrays)


def _weighted_quantile(values: Array, weights: Array, level: float) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, level)), len(values) - 1)])


def _platt(logits: Array, female: Array, weights: Array) -> tuple[float, float]:
    """Fit p = sigmoid(scale * logit + bias), each speaker weighted alike (Platt 1999).

    One label in a hundred is taken for a slip of whoever gave it: without that, a few firm
    contradictions would flatten and shift the curve for everybody.
    """
    from scipy.optimize import minimize

    share = weights / weights.sum()

    def loss(parameters: Array) -> float:
        margin = (parameters[0] * logits + parameters[1]) * (2 * female - 1)
        right = 1 / (1 + np.exp(-margin))
        return float(-(share * np.log(_SLIPS + (1 - 2 * _SLIPS) * right)).sum())

    found = minimize(loss, np.array([1.0, 0.0]), bounds=[(0.25, 3.0), (-10.0, 10.0)])
    return float(found.x[0]), float(found.x[1])


def calibrate_gender(
    scored: Sequence[Scored], whole: Scored, wrong: float, has_age: bool = True
) -> GenderCard:
    """Fit a calibration row for each amount of speech, and the threshold below which we are unsure.

    Args:
        scored: in ascending order of speech.
        whole: whole recordings as they are, for the threshold.
        wrong: aimed share of wrong answers among the decided ones of ``whole``.
        has_age: whether the model tells age, and so who may be a child.
    """
    rows = []
    for part in scored:
        known = ~np.isnan(part.female)
        scale, bias = _platt(part.gender[known], part.female[known], part.weights[known])
        rows.append(CalibrationRow(speech=part.speech, scale=scale, bias=bias))
    card = GenderCard(
        calibration=tuple(rows), unsure_below=0.5, unsure_child=_UNSURE_CHILD if has_age else None
    )
    known = ~np.isnan(whole.female)
    female = whole.female[known] > 0.5
    probability = card.probability(whole.gender[known], whole.speech)
    confidence = np.maximum(probability, 1 - probability)
    right = ((probability > 0.5) == female).astype(np.float64)
    threshold = _threshold(confidence, right, wrong)
    return card.model_copy(update={"unsure_below": threshold})


def _threshold(confidence: Array, right: Array, wrong: float) -> float:
    """Return the least confidence from which on at most ``wrong`` of the recordings are wrong."""
    order = np.argsort(-confidence)
    errors = np.cumsum((1 - right)[order]) / np.arange(1, len(order) + 1)
    fine = np.flatnonzero(errors <= wrong)
    least = confidence[order][fine[-1]] if len(fine) else confidence.max()
    return float(np.clip(least, 0.5, 0.999))


def _band_points(low: Array, high: Array) -> Array:
    """Return ages that stand for each interval, (n, points); an exact age stands for itself."""
    share = (np.arange(_BAND_POINTS) + 0.5) / _BAND_POINTS
    width = np.where(high > low, high - low + 1, 0.0)
    return np.asarray(low[:, None] + width[:, None] * share[None, :])


def _least_absolute_line(means: Array, ages: Array, weights: Array) -> tuple[float, float]:
    """Return scale and shift that make the mean absolute error of ``scale * means + shift`` least."""
    best = (np.inf, 1.0, 0.0)
    for scale in np.linspace(0.5, 2.0, 61).tolist():
        shift = _weighted_quantile(ages - scale * means, weights, 0.5)
        error = float((weights * np.abs(scale * means + shift - ages)).sum())
        best = min(best, (error, scale, shift))
    return best[1], float(np.clip(best[2], -100, 100))


def _best_temperature(
    card: AgeCard, logits: NDArray[np.float32], inside: NDArray[np.bool_], weights: Array
) -> float:
    """Return the temperature that gives the labelled ages, ``inside`` (n, A), the most probability."""
    from scipy.optimize import minimize_scalar

    def surprise(log_temperature: float) -> float:
        tried = card.model_copy(update={"temperature": float(np.exp(log_temperature))})
        mass = (tried.distribution(logits) * inside).sum(1)
        return float(-(weights * np.log(mass + 1e-9)).sum())

    return float(np.exp(minimize_scalar(surprise, bounds=(-1.5, 2.0), method="bounded").x))


def calibrate_age(scored: Sequence[Scored], scale: AgeScale, coverage: float) -> AgeCard:
    """Fit temperature, the line from mean to years, and the conformal margin of each amount of speech.

    Margins are split-conformal on quantiles of the predicted distribution (Romano et al. 2019). Age
    groups mean what they say and get no line.
    """
    known = [~np.isnan(part.age_low) for part in scored]
    logits = np.concatenate([part.age[mask] for part, mask in zip(scored, known, strict=True)])
    low, high, weights = (
        np.concatenate([getattr(part, name)[mask] for part, mask in zip(scored, known, strict=True)])
        for name in ("age_low", "age_high", "weights")
    )
    levels = (0.5 - coverage / 2, 0.5 + coverage / 2)
    plain = (IntervalRow(speech=1.0, low=levels[0], high=levels[1]),)
    card = AgeCard(grid=scale.grid, interval=plain, coverage=coverage)
    grid = np.asarray(scale.grid)
    if scale == YEARS:
        for _ in range(2):  # each depends a little on the other
            slope, shift = _least_absolute_line(card.distribution(logits) @ grid, (low + high) / 2, weights)
            card = card.model_copy(update={"scale": slope, "shift": shift})
            ages = slope * grid + shift
            inside = (ages >= low[:, None] - 2.0) & (ages <= high[:, None] + 2.0)
            temperature = _best_temperature(card, logits, inside, weights)
            card = card.model_copy(update={"temperature": temperature})
    else:
        inside = scale.classes(low, high)[:, None] == np.arange(len(scale))
        temperature = _best_temperature(card, logits, inside, weights)
        card = card.model_copy(update={"temperature": temperature})
    rows = []
    for part, mask in zip(scored, known, strict=True):
        probabilities = card.distribution(part.age[mask])
        lower, upper = (card.quantile(probabilities, level) for level in levels)
        points = _band_points(part.age_low[mask], part.age_high[mask])
        misses = np.maximum(lower[:, None] - points, points - upper[:, None]).ravel()
        margin = _weighted_quantile(misses, np.repeat(part.weights[mask], _BAND_POINTS), coverage)
        rows.append(IntervalRow(speech=part.speech, low=levels[0], high=levels[1], margin=margin))
    return card.model_copy(update={"interval": tuple(rows)})


def voice_threshold(
    embeddings: NDArray[np.float32], recordings: NDArray[np.int64], speakers: NDArray[np.int64]
) -> float:
    """Return the cosine distance that best parts windows of one recording from those of other speakers.

    Args:
        embeddings: (n, E) of windows, unit length.
        recordings, speakers: (n,) numbers.

    Where no recording has two windows, those of one speaker's recordings are compared.
    """
    chosen = slice(_MOST_WINDOWS)
    embeddings, recordings, speakers = embeddings[chosen], recordings[chosen], speakers[chosen]
    distance = 1 - embeddings @ embeddings.T
    above = np.triu(np.ones(distance.shape, dtype=bool), 1)
    is_same = above & (recordings[:, None] == recordings[None, :])
    if not is_same.any():
        is_same = above & (speakers[:, None] == speakers[None, :])
    same = np.sort(distance[is_same])
    other = np.sort(distance[above & (speakers[:, None] != speakers[None, :])])
    candidates = np.linspace(0.05, 0.95, 91)
    missed = 1 - np.searchsorted(same, candidates) / max(1, len(same))
    joined = np.searchsorted(other, candidates) / max(1, len(other))
    return float(candidates[np.argmin(missed + joined)])
