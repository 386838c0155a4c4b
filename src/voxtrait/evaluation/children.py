"""How well children are told from adults: a child's voice does not tell a gender."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from voxtrait.evaluation.resampling import Array, Figure, Resamples, Statistic, figures_of

__all__ = ["child_figures"]

_CHILD_BELOW: Final = 13
_ADULT_FROM: Final = 18
#: Probability of a child from which an answer counts as "child".
_CALLED: Final = 0.5


def child_figures(answers: pl.DataFrame) -> list[Figure]:
    """Return the AUC of children (under 13) against adults (from 18), and the adults called child.

    Args:
        answers: from `collect_answers` or `answer_files`; recordings without an age count as adults' for the
            second figure alone. Rows without speech are left out.
    """
    table = answers.filter(pl.col("child").is_not_null())
    if table.is_empty():
        return []
    resamples = Resamples(table["speaker"])
    return figures_of(_statistics(table, resamples), resamples.speakers)


def _statistics(table: pl.DataFrame, resamples: Resamples) -> Iterator[Statistic]:
    probability = table["child"].to_numpy()
    child = (table["age_high"] < _CHILD_BELOW).fill_null(False).to_numpy()
    adult = (table["age_low"] >= _ADULT_FROM).fill_null(False).to_numpy()
    if child.any() and adult.any():
        yield Statistic("child AUC", _auc(probability, child, adult, resamples), 0.5)
    grown = (table["age_low"] >= _ADULT_FROM).fill_null(True).to_numpy()
    if grown.any():
        yield Statistic("adults called child", resamples.mean(probability >= _CALLED, grown))


def _auc(probability: Array, child: Array, adult: Array, resamples: Resamples) -> Array:
    """Return the share of pairs (1 + DRAWS,) in which the child is the likelier child; ties count half."""
    levels, place = np.unique(probability, return_inverse=True)
    children = resamples.counts(place, len(levels), child)
    adults = resamples.counts(place, len(levels), adult)
    below = np.cumsum(adults, axis=1) - adults / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((children * below).sum(1) / (children.sum(1) * adults.sum(1)))
