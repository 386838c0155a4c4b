"""Figures for gender and age, each with a 95 % interval bootstrapped over speakers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["Figure", "age_figures", "bootstrap", "expected_calibration_error", "gender_figures"]

Array = NDArray[np.float64]

_RESAMPLES = 1000
_BINS = 10


@dataclass(frozen=True)
class Figure:
    """A measured figure with its 95 % interval over ``speakers``.

    ``baseline`` is the same figure for a constant predictor, None where that means nothing.
    """

    name: str
    value: float
    low: float
    high: float
    speakers: int
    baseline: float | None = None


def bootstrap(
    statistic: Callable[[Array], float], speakers: NDArray[np.int64], seed: int = 0
) -> tuple[float, float, float]:
    """Return a statistic with the 2.5 and 97.5 % percentiles over resampled speakers.

    Args:
        statistic: takes one weight a row; a speaker drawn twice has weight 2.
        speakers: speaker number of each row, 0 .. n - 1, shape (rows,).
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    count = int(speakers.max()) + 1
    value = statistic(np.ones(len(speakers)))
    draws = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    with np.errstate(invalid="ignore", divide="ignore"):
        samples = np.array([statistic(draw[speakers].astype(np.float64)) for draw in draws])
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(value), float(low), float(high)


def expected_calibration_error(female: Array, is_female: Array, weights: Array) -> float:
    """Return the mean gap between confidence and accuracy over ten bins of confidence (Guo et al. 2017)."""
    confidence = np.maximum(female, 1 - female)
    correct = ((female > 0.5) == (is_female > 0.5)).astype(np.float64)
    bins = np.minimum(((confidence - 0.5) * 2 * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, weights * (confidence - correct), minlength=_BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def _speaker_numbers(table: pl.DataFrame) -> NDArray[np.int64]:
    return np.unique(table["speaker"].to_numpy(), return_inverse=True)[1].astype(np.int64)


def _mean(values: Array, weights: Array) -> float:
    return float((values * weights).sum() / weights.sum())


def gender_figures(answers: pl.DataFrame) -> list[Figure]:
    """Return accuracy, UAR, share decided, wrong of the decided, and ECE.

    Args:
        answers: from `collect_answers`; rows without the label female or male, or without speech, are
            left out. An "unsure" answer counts as its likelier label in accuracy and UAR.
    """
    table = answers.filter(pl.col("gender").is_in(["female", "male"]) & pl.col("female").is_not_null())
    if table.is_empty():
        return []
    speakers = _speaker_numbers(table)
    female = table["female"].to_numpy()
    truth = (table["gender"] == "female").to_numpy().astype(np.float64)
    right = ((female > 0.5) == (truth > 0.5)).astype(np.float64)
    decided = (table["label"] != "unsure").to_numpy().astype(np.float64)

    def uar(weights: Array) -> float:
        recalls = [_mean(right, weights * (truth == value)) for value in (0.0, 1.0)]
        return float(np.mean(recalls))

    majority = max(truth.mean(), 1 - truth.mean())
    statistics: list[tuple[str, Callable[[Array], float], float | None]] = [
        ("gender accuracy", lambda weights: _mean(right, weights), float(majority)),
        ("gender UAR", uar, 0.5),
        ("gender decided", lambda weights: _mean(decided, weights), None),
        ("gender wrong when decided", lambda weights: _mean(1 - right, weights * decided), None),
        ("gender ECE", lambda weights: expected_calibration_error(female, truth, weights), None),
    ]
    return _measure(statistics, speakers)


def age_figures(answers: pl.DataFrame, median: float) -> list[Figure]:
    """Return MAE to the middle and to the interval, ratio to the constant, correlation, CCC, coverage.

    Args:
        answers: from `collect_answers`; rows without an age or without speech are left out.
        median: the training speakers' median age in years, the constant predictor's answer.
    """
    table = answers.filter(pl.col("age_low").is_not_null() & pl.col("years").is_not_null())
    if table.is_empty():
        return []
    speakers = _speaker_numbers(table)
    years, low, high, age_low, age_high = (
        table[name].to_numpy().astype(np.float64) for name in ("years", "low", "high", "age_low", "age_high")
    )
    middle = (age_low + age_high) / 2
    error = np.abs(years - middle)
    outside = np.maximum(0, np.maximum(age_low - years, years - age_high - (age_high > age_low)))
    constant = np.abs(median - middle)
    constant_outside = np.maximum(0, np.maximum(age_low - median, median - age_high - (age_high > age_low)))
    covered = _covered(low, high, age_low, age_high)

    def moments(weights: Array) -> tuple[float, float, float, float, float]:
        mean_x, mean_y = _mean(years, weights), _mean(middle, weights)
        variances = _mean((years - mean_x) ** 2, weights), _mean((middle - mean_y) ** 2, weights)
        return mean_x, mean_y, *variances, _mean((years - mean_x) * (middle - mean_y), weights)

    def correlation(weights: Array) -> float:
        _, _, variance_x, variance_y, covariance = moments(weights)
        return covariance / float(np.sqrt(variance_x * variance_y + 1e-12))

    def concordance(weights: Array) -> float:
        mean_x, mean_y, variance_x, variance_y, covariance = moments(weights)
        return 2 * covariance / (variance_x + variance_y + (mean_x - mean_y) ** 2 + 1e-12)

    statistics: list[tuple[str, Callable[[Array], float], float | None]] = [
        ("age MAE", lambda weights: _mean(error, weights), float(constant.mean())),
        ("age MAE outside the band", lambda weights: _mean(outside, weights), float(constant_outside.mean())),
        ("age MAE ratio", lambda weights: _mean(error, weights) / _mean(constant, weights), 1.0),
        ("age correlation", correlation, 0.0),
        ("age CCC", concordance, 0.0),
        ("age coverage", lambda weights: _mean(covered, weights), None),
    ]
    return _measure(statistics, speakers)


def _covered(low: Array, high: Array, age_low: Array, age_high: Array) -> Array:
    """Return the share of each speaker's possible ages that lies in [low, high].

    An exact age is inside or not; of a band each year is as likely as another.
    """
    width = age_high + 1 - age_low
    overlap = np.clip(np.minimum(high, age_high + 1) - np.maximum(low, age_low), 0, None) / width
    exact = (low <= age_low) & (age_low <= high)
    return np.where(age_high > age_low, overlap, exact.astype(np.float64))


def _measure(
    statistics: list[tuple[str, Callable[[Array], float], float | None]], speakers: NDArray[np.int64]
) -> list[Figure]:
    count = len(np.unique(speakers))
    return [
        Figure(name, *bootstrap(statistic, speakers), count, baseline)
        for name, statistic, baseline in statistics
    ]
