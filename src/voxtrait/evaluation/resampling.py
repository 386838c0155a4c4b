"""Figures with 95 % intervals from a bootstrap over speakers (Efron 1979), all draws at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

__all__ = ["DRAWS", "Array", "Figure", "Resamples", "Statistic", "figures_of", "interval", "ratio"]

Array = NDArray[np.float64]

#: Resampled sets of speakers.
DRAWS: Final = 1000
#: Speakers whose weights are multiplied together: bounds the memory that many of them take.
_BLOCK: Final = 2000


@dataclass(frozen=True)
class Figure:
    """A measured figure with its 95 % interval over ``speakers``; NaN ends where one speaker gives none.

    ``baseline`` is the same figure for a constant predictor, None where that means nothing.
    """

    name: str
    value: float
    low: float
    high: float
    speakers: int
    baseline: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: what is not a number is null."""
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in asdict(self).items()
        }


class Statistic(NamedTuple):
    """A figure before its interval: ``samples`` (1 + DRAWS,) begin with the value itself."""

    name: str
    samples: Array
    baseline: float | None = None


class Resamples:
    """Sums over recordings: over all of them, and over those of speakers drawn with replacement.

    A speaker drawn twice has all recordings counted twice.

    Args:
        speakers: the speaker of each row, shape (rows,).
        seed: of the draws; the same for the same number of speakers.
    """

    def __init__(self, speakers: pl.Series | NDArray[Any], seed: int = 0) -> None:
        names, numbers = np.unique(np.asarray(speakers), return_inverse=True)
        self.speakers = len(names)
        self._numbers = numbers.reshape(-1)
        rng = np.random.default_rng(seed)
        # Nobody is drawn 65,536 times.
        self._weights = np.ones((1 + DRAWS, self.speakers), dtype=np.uint16)
        for draw in self._weights[1:]:
            draw[:] = np.bincount(rng.integers(self.speakers, size=self.speakers), minlength=self.speakers)

    def sums(self, columns: ArrayLike) -> Array:
        """Return the sums (1 + DRAWS, k) of ``columns`` (rows, k), row 0 those of all recordings."""
        table = np.asarray(columns, np.float64)
        each = [np.bincount(self._numbers, column, minlength=self.speakers) for column in table.T]
        return self._draw(np.stack(each, axis=1))

    def counts(self, cells: ArrayLike, size: int, weights: ArrayLike | None = None) -> Array:
        """Return the sums (1 + DRAWS, size) of ``weights`` (rows,), by default 1, in each of the cells.

        Args:
            cells: the cell of each row, 0 .. size - 1, shape (rows,).
            size: number of cells.
            weights: of the rows.
        """
        places = self._numbers * size + np.asarray(cells, np.int64)
        per_speaker = np.bincount(places, weights, minlength=self.speakers * size)
        return self._draw(per_speaker.reshape(self.speakers, size).astype(np.float64))

    def mean(self, values: ArrayLike, weights: ArrayLike | None = None) -> Array:
        """Return the weighted mean (1 + DRAWS,) of ``values`` (rows,); NaN where nothing has weight."""
        values = np.asarray(values, np.float64)
        scale = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
        total, weight = self.sums(np.column_stack([values * scale, scale])).T
        return ratio(total, weight)

    def _draw(self, per_speaker: Array) -> Array:
        total = np.zeros((len(self._weights), per_speaker.shape[1]))
        for first in range(0, self.speakers, _BLOCK):
            block = slice(first, first + _BLOCK)
            total += self._weights[:, block].astype(np.float64) @ per_speaker[block]
        return total


def ratio(above: Array, below: Array) -> Array:
    """Return ``above / below``, NaN where ``below`` is 0."""
    out: Array = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=out, where=below != 0)
    return out


def interval(samples: Array, speakers: int) -> tuple[float, float, float]:
    """Return the value and the 2.5 and 97.5 % percentiles of ``samples`` (1 + DRAWS,).

    Draws that leave the figure undefined are left out; one speaker has no interval.
    """
    defined = samples[1:][np.isfinite(samples[1:])]
    if speakers < 2 or not defined.size:
        return float(samples[0]), np.nan, np.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(samples[0]), float(low), float(high)


def figures_of(statistics: Iterable[Statistic], speakers: int) -> list[Figure]:
    """Return the figures that are defined: that of a class without recordings is not."""
    return [
        Figure(name, *interval(samples, speakers), speakers, baseline)
        for name, samples, baseline in statistics
        if np.isfinite(samples[0])
    ]
