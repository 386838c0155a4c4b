"""How often a model is known to err: the conditions that its card has figures of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.bundle import Card, Metric

__all__ = ["GenderError", "KnownErrors"]

Floats = NDArray[np.float64]

#: Below this sum of both recalls less 1 (Youden's J) a share cannot be told from the answers: correcting
#: divides by it.
_USABLE: Final = 0.6
#: Normal quantile of a 95 % interval.
_Z: Final = 1.96


@dataclass(frozen=True)
class GenderError:
    """Recalls under one condition, each as the two parameters of a Beta distribution.

    Attributes:
        name: of the condition.
        female, male: how often the likelier label is right for women and for men.
        decided: share of recordings that were not left unsure; None if not known.
    """

    name: str
    female: tuple[float, float]
    male: tuple[float, float]
    decided: float | None

    @property
    def usable(self) -> bool:
        """Whether the answers still tell women from men."""
        return _mean(self.female) + _mean(self.male) - 1 >= _USABLE


@dataclass(frozen=True)
class KnownErrors:
    """What the card of a model says of its errors.

    Attributes:
        genders: the conditions in which both recalls were measured and the model is usable.
    """

    genders: tuple[GenderError, ...] = ()

    @classmethod
    def of(cls, card: Card) -> KnownErrors:
        """Read the errors off a card: its metrics ``female recall`` and ``male recall``."""
        conditions: dict[str, dict[str, Metric]] = {}
        for metric in card.metrics:
            conditions.setdefault(metric.on, {})[metric.name] = metric
        genders = [_gender_error(name, found) for name, found in conditions.items()]
        return cls(tuple(error for error in genders if error is not None and error.usable))

    def recalls(self, rng: np.random.Generator, draws: int) -> tuple[Floats, Floats]:
        """Return recalls of women and of men (draws,): of a condition at random, within its doubt."""
        which = rng.integers(len(self.genders), size=draws)
        women = np.array([error.female for error in self.genders])[which]
        men = np.array([error.male for error in self.genders])[which]
        return rng.beta(women[:, 0], women[:, 1]), rng.beta(men[:, 0], men[:, 1])


def _gender_error(name: str, found: Mapping[str, Metric]) -> GenderError | None:
    if "female recall" not in found or "male recall" not in found:
        return None
    overall = found.get("gender accuracy")
    # The constant answer is the commoner gender: of the rarer one there are at least so many speakers.
    rarer = 0.0 if overall is None or overall.baseline is None else 1 - overall.baseline
    decided = found.get("gender decided")
    return GenderError(
        name,
        _beta(found["female recall"], rarer),
        _beta(found["male recall"], rarer),
        None if decided is None else decided.value,
    )


def _beta(recall: Metric, rarer: float) -> tuple[float, float]:
    """Return the posterior of a recall under Jeffreys' prior.

    It is worth as many speakers as its interval is wide: clips of one speaker are no independent trials.
    Where none was wrong the interval is a point, and the speakers of the rarer gender are counted.
    """
    value, low, high = recall.value, recall.low, recall.high
    worth = (recall.n or 0) * rarer
    if low is not None and high is not None and high > low:
        worth = max(0.0, value * (1 - value) / ((high - low) / (2 * _Z)) ** 2 - 1)
    return value * worth + 0.5, (1 - value) * worth + 0.5


def _mean(beta: tuple[float, float]) -> float:
    return beta[0] / sum(beta)
