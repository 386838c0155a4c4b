"""Shares of speech with 95 % intervals; `voxtrait.summaries` says what they hold and why."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from voxtrait.summaries.known import KnownErrors

__all__ = ["DRAWS", "FEWEST", "GenderShares", "Share", "age_shares", "gender_shares"]

Floats = NDArray[np.float64]

#: Draws behind an interval.
DRAWS: Final = 1000
#: Clusters that an interval needs: fewer say nothing of how they differ.
FEWEST: Final = 5
#: Clusters whose weights are drawn at once: bounds the memory that many of them take.
_BLOCK: Final = 2000
#: Quantiles of the exponential distribution: a look-up costs less than a logarithm.
_EXPONENTIAL: Final = -np.log1p(-(np.arange(2**16) + 0.5) / 2**16).astype(np.float32)

#: Concentration of the Dirichlet distribution of true age shares around the answered ones: such that the
#: intervals hold the truth in archives whose ages are not spread as in training (docs/shares.md).
_CONCENTRATION: Final = 6.0
#: What is added to it for each group: one that no answer speaks of is not ruled out.
_UNHEARD: Final = 0.05


@dataclass(frozen=True)
class Share:
    """A share of speech, 0 to 1, and its 95 % interval; None where there are too few clusters for one."""

    value: float
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: None if end is None else round(end, 4) for name, end in asdict(self).items()}


@dataclass(frozen=True)
class GenderShares:
    """The share of women's speech in that of women and men.

    Attributes:
        labelled: by labels, what is unsure left out.
        expected: by calibrated probabilities.
        corrected: corrected for the known error of the model; None if no error is known.
    """

    labelled: float | None
    expected: Share
    corrected: Share | None

    @property
    def headline(self) -> Share:
        """The share to quote."""
        return self.expected if self.corrected is None else self.corrected

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "labelled": None if self.labelled is None else round(self.labelled, 4),
            "expected": self.expected.to_dict(),
            "corrected": None if self.corrected is None else self.corrected.to_dict(),
        }


def gender_shares(seconds: Floats, known: KnownErrors, seed: int = 0) -> GenderShares | None:
    """Return the share of women's speech, or None if there is no speech with a gender.

    Args:
        seconds: a row a cluster, in an order of its own, and the columns `tally.GENDER_COLUMNS`.
        known: errors of the model.
        seed: of the draws.
    """
    seconds = seconds[seconds[:, 5] > 0]
    if not len(seconds):
        return None
    rng = np.random.default_rng(seed)
    women, men, _, called, expected, gendered = seconds.sum(axis=0)
    apparent = _apparent(seconds[:, 3], seconds[:, 5], called / gendered, rng)
    likely = _apparent(seconds[:, 4], seconds[:, 5], expected / gendered, rng)
    has_interval = len(seconds) >= FEWEST
    corrected = None
    if known.genders:
        # The share that is called female has women that were heard as such and men that were not.
        of_women, of_men = known.recalls(rng, DRAWS)
        shares = np.clip((apparent + of_men - 1) / (of_women + of_men - 1), 0, 1)
        corrected = _share(float(np.median(shares)), shares, has_interval)
    labelled = float(women / (women + men)) if women + men > 0 else None
    return GenderShares(labelled, _share(float(expected / gendered), likely, has_interval), corrected)


def age_shares(seconds: Floats, seed: int = 0) -> list[Share]:
    """Return the share of each age group in all speech.

    Args:
        seconds: by age group, by probability, a row a cluster, in an order of its own.
        seed: of the draws.
    """
    seconds = seconds[seconds.sum(axis=1) > 0]
    if not len(seconds):
        return [Share(0.0)] * seconds.shape[1]
    rng = np.random.default_rng(seed)
    values = seconds.sum(axis=0) / seconds.sum()
    drawn = _resampled(seconds, rng)
    drawn = drawn / drawn.sum(axis=1, keepdims=True)
    drawn = np.clip(values + _widening(len(seconds)) * (drawn - values), 0, None)
    spread = rng.gamma(_CONCENTRATION * drawn / drawn.sum(axis=1, keepdims=True) + _UNHEARD)
    spread = spread / spread.sum(axis=1, keepdims=True)
    has_interval = len(seconds) >= FEWEST
    return [_share(float(value), draws, has_interval) for value, draws in zip(values, spread.T, strict=True)]


def _apparent(part: Floats, whole: Floats, share: float, rng: np.random.Generator) -> Floats:
    """Return draws (DRAWS,) of a share of sums over clusters.

    One more cluster, of mean size and of a share that is anything, is drawn with them: that nobody of
    ten was heard as a woman does not mean that there is none among thousands.
    """
    drawn = _resampled(np.column_stack([part, whole]), rng)
    weight = rng.exponential(size=DRAWS) * whole.mean()
    shares = (drawn[:, 0] + weight * rng.beta(0.5, 0.5, DRAWS)) / (drawn[:, 1] + weight)
    return np.asarray(np.clip(share + _widening(len(whole)) * (shares - share), 0, 1))


def _resampled(clusters: Floats, rng: np.random.Generator) -> Floats:
    """Return sums (DRAWS, k) of clusters (n, k) under random weights: the Bayesian bootstrap."""
    total = np.zeros((DRAWS, clusters.shape[1]))
    for first in range(0, len(clusters), _BLOCK):
        block = clusters[first : first + _BLOCK].astype(np.float32)
        total += _EXPONENTIAL[rng.integers(2**16, size=(DRAWS, len(block)), dtype=np.uint16)] @ block
    return total


def _widening(clusters: int) -> float:
    """Return the factor by which draws of so few clusters lie too close together."""
    if clusters < 2:
        return 1.0
    few = float(stats.t.ppf(0.975, clusters - 1) / stats.norm.ppf(0.975))
    return few * math.sqrt((clusters + 1) / (clusters - 1))


def _share(value: float, draws: Floats, has_interval: bool) -> Share:
    if not has_interval:
        return Share(value)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Share(value, min(float(low), value), max(float(high), value))
