"""How well gender is told: figures, the table of truth and answer, calibration, abstention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait.evaluation.classes import Confusion, confusion_of, mean_recall
from voxtrait.evaluation.resampling import Array, Figure, Resamples, Statistic, figures_of, interval, ratio

__all__ = [
    "Point",
    "gender_answered",
    "gender_confusion",
    "gender_figures",
    "gender_statistics",
    "reliability",
    "risk_coverage",
]

#: Bins of confidence, as wide as each other, from 0.5 to 1.
_BINS: Final = 10
#: Shares of the recordings for which the risk is measured.
_COVERAGES: Final = tuple(share / 20 for share in range(1, 21))
_ANSWERS: Final = ("female", "male", "unsure", "no_speech")


@dataclass(frozen=True)
class Point:
    """A point of a curve, with the 95 % interval of ``y`` over speakers, and the recordings behind it."""

    x: float
    y: float
    low: float
    high: float
    recordings: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: an end that is not known is null."""
        ends = {name: getattr(self, name) for name in ("low", "high")}
        known = {name: value if np.isfinite(value) else None for name, value in ends.items()}
        return {"x": self.x, "y": self.y, **known, "recordings": self.recordings}


def gender_answered(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that are labelled female or male and have an answer."""
    return answers.filter(pl.col("gender").is_in(["female", "male"]) & pl.col("female").is_not_null())


def gender_figures(answers: pl.DataFrame, constant: str | None = None) -> list[Figure]:
    """Return accuracy, UAR, share decided, wrong of the decided, ECE, and precision, recall, F1 by class.

    Args:
        answers: from `collect_answers` or `answer_files`; rows without the label female or male, or
            without speech, are left out. An "unsure" answer counts as its likelier label in all figures
            but the two about deciding.
        constant: what the constant predictor says; by default the commoner gender of these rows.
    """
    table = gender_answered(answers)
    if table.is_empty():
        return []
    resamples = Resamples(table["speaker"])
    return figures_of(gender_statistics(table, resamples, constant), resamples.speakers)


def gender_statistics(
    table: pl.DataFrame, resamples: Resamples, constant: str | None = None
) -> Iterator[Statistic]:
    """Yield what `gender_figures` returns before its intervals; ``table`` is from `gender_answered`."""
    truth, says = _is_female(table), table["female"].to_numpy() > 0.5
    right = (says == truth).astype(np.float64)
    decided = (table["label"] != "unsure").to_numpy().astype(np.float64)
    share = float(truth.mean())
    baseline = max(share, 1 - share) if constant is None else share if constant == "female" else 1 - share
    yield Statistic("gender accuracy", resamples.mean(right), baseline)
    yield Statistic("gender UAR", mean_recall(table["gender"].to_list(), right, resamples), 0.5)
    yield Statistic("gender decided", resamples.mean(decided))
    yield Statistic("gender wrong when decided", resamples.mean(1 - right, decided))
    yield Statistic("gender ECE", _calibration_error(table, resamples))
    for name in ("female", "male"):
        is_class = (table["gender"] == name).to_numpy()
        says_class = says if name == "female" else ~says
        hit, said, true = resamples.sums(np.column_stack([is_class & says_class, says_class, is_class])).T
        yield Statistic(f"{name} precision", ratio(hit, said))
        yield Statistic(f"{name} recall", ratio(hit, true))
        yield Statistic(f"{name} F1", ratio(2 * hit, said + true))


def gender_confusion(answers: pl.DataFrame) -> Confusion | None:
    """Return the table of truth and answer over all labelled recordings, "unsure" and "no_speech" included.

    None if no recording that could be heard has a gender.
    """
    table = answers.filter(pl.col("gender").is_not_null() & (pl.col("status") != "error"))
    if table.is_empty():
        return None
    said = table["label"].fill_null("no_speech").to_list()
    return confusion_of(table["gender"].to_list(), said, _ANSWERS, Resamples(table["speaker"]))


def reliability(table: pl.DataFrame) -> list[Point]:
    """Return, for each bin of confidence that holds recordings, mean confidence and accuracy.

    Args:
        table: from `gender_answered`.
    """
    resamples = Resamples(table["speaker"])
    bins, confidence, right = _binned(table)
    accuracy = ratio(resamples.counts(bins, _BINS, right), resamples.counts(bins, _BINS))
    sizes = np.bincount(bins, minlength=_BINS)
    return [
        Point(
            float(confidence[bins == place].mean()), *interval(accuracy[:, place], resamples.speakers), size
        )
        for place, size in enumerate(sizes.tolist())
        if size
    ]


def risk_coverage(table: pl.DataFrame) -> list[Point]:
    """Return the share of wrong answers among the surest 5, 10 ... 100 % of the recordings.

    El-Yaniv and Wiener 2010, "On the foundations of noise-free selective classification".

    Args:
        table: from `gender_answered`.
    """
    resamples = Resamples(table["speaker"])
    _, confidence, right = _binned(table)
    order = np.argsort(np.argsort(-confidence, kind="stable"))
    points = []
    for share in _COVERAGES:
        kept = order < max(1, round(share * len(order)))
        risk = resamples.mean(1 - right, kept)
        points.append(
            Point(float(kept.mean()), *interval(risk, resamples.speakers), recordings=int(kept.sum()))
        )
    return points


def _is_female(table: pl.DataFrame) -> Any:
    return (table["gender"] == "female").to_numpy()


def _binned(table: pl.DataFrame) -> tuple[Any, Array, Array]:
    """Return bin, confidence and rightness of each row's likelier label."""
    female = table["female"].to_numpy()
    confidence = np.maximum(female, 1 - female)
    right = ((female > 0.5) == _is_female(table)).astype(np.float64)
    bins = np.minimum(((confidence - 0.5) * 2 * _BINS).astype(np.int64), _BINS - 1)
    return bins, confidence, right


def _calibration_error(table: pl.DataFrame, resamples: Resamples) -> Array:
    """Return the mean gap between confidence and accuracy over ten bins of confidence (Guo et al. 2017)."""
    bins, confidence, right = _binned(table)
    gaps = resamples.counts(bins, _BINS, confidence - right)
    return ratio(np.abs(gaps).sum(axis=1), resamples.counts(bins, _BINS).sum(axis=1))
