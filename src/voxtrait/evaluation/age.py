"""How well age is told: in years, as an interval, as a band, and together with gender."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from voxtrait.evaluation.bands import answered_bands, band_names, band_of, true_bands
from voxtrait.evaluation.classes import Confusion, confusion_of, mean_recall
from voxtrait.evaluation.resampling import Array, Figure, Resamples, Statistic, figures_of, ratio

__all__ = [
    "age_answered",
    "age_errors",
    "age_figures",
    "age_statistics",
    "band_confusion",
    "band_figures",
    "band_statistics",
    "joint_answered",
    "joint_figures",
    "joint_statistics",
]


def age_answered(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that have a true age or band, and an answer."""
    return answers.filter(pl.col("age_low").is_not_null() & pl.col("years").is_not_null())


def age_figures(answers: pl.DataFrame, median: float) -> list[Figure]:
    """Return MAE to the middle and to the interval, ratio to the constant, correlation, CCC, coverage, width.

    "age CCC" is over the rows whose age is exact, "age CCC to the middle" over all where some are bands.

    Args:
        answers: from `collect_answers` or `answer_files`; rows without an age or without speech are
            left out.
        median: the training speakers' median age in years, the constant predictor's answer.
    """
    table = age_answered(answers)
    if table.is_empty():
        return []
    resamples = Resamples(table["speaker"])
    return figures_of(age_statistics(table, resamples, median), resamples.speakers)


def age_statistics(table: pl.DataFrame, resamples: Resamples, median: float) -> Iterator[Statistic]:
    """Yield what `age_figures` returns before its intervals; ``table`` is from `age_answered`."""
    years, low, high = (table[name].to_numpy().astype(np.float64) for name in ("years", "low", "high"))
    error, outside = age_errors(table, years)
    constant, constant_outside = age_errors(table, np.full(len(years), median))
    mae, constant_mae = resamples.mean(error), resamples.mean(constant)
    yield Statistic("age MAE", mae, float(constant.mean()))
    yield Statistic("age MAE outside the band", resamples.mean(outside), float(constant_outside.mean()))
    yield Statistic("age MAE ratio", ratio(mae, constant_mae), 1.0)
    every = np.ones(len(years))
    correlation, concordance = _agreement(table, resamples, every)
    yield Statistic("age correlation", correlation, 0.0)
    exact = (table["age_high"] == table["age_low"]).to_numpy()
    if exact.any():
        yield Statistic("age CCC", _agreement(table, resamples, exact.astype(np.float64))[1], 0.0)
    if not exact.all():
        yield Statistic("age CCC to the middle", concordance, 0.0)
    yield Statistic("age coverage", resamples.mean(_covered(table, low, high)))
    yield Statistic("age interval width", resamples.mean(high - low))


def age_errors(table: pl.DataFrame, years: Array) -> tuple[Array, Array]:
    """Return how far ``years`` (rows,) lie from the middle of the true interval, and how far outside it.

    A band of whole years ends where the next begins: 29.9 lies in the twenties.
    """
    low, high = (table[name].to_numpy().astype(np.float64) for name in ("age_low", "age_high"))
    end = high + (high > low)
    return np.abs(years - (low + high) / 2), np.maximum(0, np.maximum(low - years, years - end))


def _agreement(table: pl.DataFrame, resamples: Resamples, weights: Array) -> tuple[Array, Array]:
    """Return Pearson's correlation and the concordance correlation coefficient (Lin 1989).

    Both are 0 where nothing varies.
    """
    x = table["years"].to_numpy().astype(np.float64)
    y = ((table["age_low"] + table["age_high"]) / 2).to_numpy()
    # About one age near both means, so that sums of squares keep their digits.
    x, y = x - y.mean(), y - y.mean()
    columns = np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y]) * weights[:, None]
    count, *sums = resamples.sums(columns).T
    mean_x, mean_y, square_x, square_y, product = (ratio(total, count) for total in sums)
    # Rounding leaves a little below zero where nothing varies.
    variance_x, variance_y = np.maximum(0, square_x - mean_x**2), np.maximum(0, square_y - mean_y**2)
    covariance = product - mean_x * mean_y
    correlation = covariance / np.sqrt(variance_x * variance_y + 1e-12)
    concordance = 2 * covariance / (variance_x + variance_y + (mean_x - mean_y) ** 2 + 1e-12)
    return correlation, concordance


def _covered(table: pl.DataFrame, low: Array, high: Array) -> Array:
    """Return the share of each speaker's possible ages that lies in [low, high].

    An exact age is inside or not; of a band each year is as likely as another.
    """
    age_low, age_high = (table[name].to_numpy().astype(np.float64) for name in ("age_low", "age_high"))
    width = age_high + 1 - age_low
    overlap = np.clip(np.minimum(high, age_high + 1) - np.maximum(low, age_low), 0, None) / width
    exact = (low <= age_low) & (age_low <= high)
    return np.where(age_high > age_low, overlap, exact.astype(np.float64))


def _bands(table: pl.DataFrame, merge_from: float | None) -> tuple[list[str], list[str]]:
    """Return the true and the answered band of each row of `age_answered`."""
    truth = [band for band in true_bands(table, merge_from) if band is not None]
    groups = np.array(table["groups"].to_list(), dtype=np.float64)
    return truth, answered_bands(groups, merge_from)


def band_figures(answers: pl.DataFrame, median: float, merge_from: float | None = None) -> list[Figure]:
    """Return accuracy and UAR of the likeliest band against the band of the true age.

    Args:
        answers: from `collect_answers` or `answer_files`.
        median: the constant predictor's age.
        merge_from: bands from this age on are one, in truth and answer.
    """
    table = age_answered(answers)
    if table.is_empty():
        return []
    resamples = Resamples(table["speaker"])
    return figures_of(band_statistics(table, resamples, median, merge_from), resamples.speakers)


def band_statistics(
    table: pl.DataFrame, resamples: Resamples, median: float, merge_from: float | None
) -> Iterator[Statistic]:
    """Yield what `band_figures` returns before its intervals; ``table`` is from `age_answered`."""
    truth, answer = _bands(table, merge_from)
    yield from _class_statistics("age band", truth, answer, band_of(median, merge_from), resamples)


def band_confusion(answers: pl.DataFrame, merge_from: float | None = None) -> Confusion | None:
    """Return the table of true and answered bands; None if no recording has an age and an answer."""
    table = age_answered(answers)
    if table.is_empty():
        return None
    return confusion_of(*_bands(table, merge_from), band_names(merge_from), Resamples(table["speaker"]))


def joint_figures(
    answers: pl.DataFrame, gender: str, median: float, merge_from: float | None = None
) -> list[Figure]:
    """Return accuracy and UAR of gender and band together, each a class of its own.

    Args:
        answers: from `collect_answers` or `answer_files`; rows labelled female or male with an age.
        gender, median: what the constant predictor says.
        merge_from: bands from this age on are one, in truth and answer.
    """
    table = joint_answered(answers)
    if table.is_empty():
        return []
    resamples = Resamples(table["speaker"])
    return figures_of(joint_statistics(table, resamples, gender, median, merge_from), resamples.speakers)


def joint_answered(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `age_answered` that are labelled female or male, and are answered so."""
    return age_answered(answers).filter(
        pl.col("gender").is_in(["female", "male"]) & pl.col("female").is_not_null()
    )


def joint_statistics(
    table: pl.DataFrame, resamples: Resamples, gender: str, median: float, merge_from: float | None
) -> Iterator[Statistic]:
    """Yield what `joint_figures` returns before its intervals; ``table`` is from `joint_answered`."""
    true_band, band = _bands(table, merge_from)
    said = np.where(table["female"].to_numpy() > 0.5, "female", "male").tolist()
    truth = [f"{name}, {old}" for name, old in zip(table["gender"], true_band, strict=True)]
    answer = [f"{name}, {old}" for name, old in zip(said, band, strict=True)]
    constant = f"{gender}, {band_of(median, merge_from)}"
    yield from _class_statistics("gender and band", truth, answer, constant, resamples)


def _class_statistics(
    name: str, truth: list[str], answer: list[str], constant: str, resamples: Resamples
) -> Iterator[Statistic]:
    right = np.array([told == true for told, true in zip(answer, truth, strict=True)], np.float64)
    yield Statistic(f"{name} accuracy", resamples.mean(right), truth.count(constant) / len(truth))
    yield Statistic(f"{name} UAR", mean_recall(truth, right, resamples), 1 / len(set(truth)))
