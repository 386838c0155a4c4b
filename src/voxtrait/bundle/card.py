"""The card of a bundle: what its model hears, says and was trained on, and how to read its scores.

Times are seconds, ages are years, probabilities lie in [0, 1]. The sections :class:`GenderCard` and
:class:`AgeCard` also hold the arithmetic from raw scores to calibrated answers, so that training,
evaluation and prediction cannot disagree about it.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from voxtrait.errors import BundleError
from voxtrait.labels import AGE_GROUPS, MAX_AGE, group_of

__all__ = [
    "SCHEMA_VERSION",
    "AgeCard",
    "CalibrationRow",
    "Card",
    "Corpus",
    "EmbeddingCard",
    "FeatureCard",
    "GenderCard",
    "IntervalRow",
    "Metric",
    "SplitSize",
    "TrainingSummary",
]

#: Version of the card's layout that this package writes and reads.
SCHEMA_VERSION: Final = 1

Floats = NDArray[np.float64]


def _printable(text: str) -> str:
    # Cards of strangers are printed on terminals, where an escape sequence is a command.
    if any(not (char.isprintable() or char in "\n\t") for char in text):
        raise ValueError("text must not hold control characters")
    return text


def _calendar_day(text: str) -> str:
    datetime.date.fromisoformat(text)
    return text


def _plain(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(value)
    except ValidationError:
        # Else the message lists the complaint of each type of the union.
        raise ValueError("a setting is a finite number, a printable text, true or false") from None


Text = Annotated[str, AfterValidator(_printable)]
Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Setting = Annotated[int | float | Text | bool, WrapValidator(_plain)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_calendar_day)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Probability = Annotated[float, Field(ge=0, le=1)]
AgeYears = Annotated[float, Field(ge=0, le=120)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Row(_Section):
    speech: Seconds = Field(description="Seconds of speech for which the row was fitted.")


class FeatureCard(_Section):
    """The features that the model reads: a name of the registry and its settings."""

    name: Line = Field(description="Name of the feature extractor.")
    config: dict[Line, Setting] = Field(description="Settings of the extractor.")


class CalibrationRow(_Row):
    """Platt's sigmoid for one amount of speech (Platt 1999): p = sigmoid(scale * logit + bias)."""

    scale: float = Field(ge=0, le=1000, description="Slope; 0 means that the score says nothing.")
    bias: float = Field(ge=-1000, le=1000, description="Offset, in log odds of female.")


class IntervalRow(_Row):
    """A calibrated age interval for one amount of speech: [q(low) - margin, q(high) + margin].

    With ``margin`` this is conformalised quantile regression (Romano et al. 2019).
    """

    low: Probability = Field(description="Lower quantile level of the predicted distribution.")
    high: Probability = Field(description="Upper quantile level of the predicted distribution.")
    margin: float = Field(default=0.0, ge=-100, le=100, description="Years added at both ends.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be less than high")
        return self


class GenderCard(_Section):
    """How the model's output ``gender`` (logit of female) becomes a probability and a label."""

    labels: tuple[Literal["female"], Literal["male"]] = Field(
        default=("female", "male"), description="Labels; the output is the logit of the first."
    )
    calibration: tuple[CalibrationRow, ...] = Field(
        min_length=1, max_length=100, description="Rows in ascending order of speech."
    )
    unsure_below: float = Field(
        ge=0.5, le=1, description="The larger probability must reach this, else the label is unsure."
    )
    unsure_child: float | None = Field(
        default=None, gt=0, le=1, description="Probability of a child from which the label is unsure."
    )

    @model_validator(mode="after")
    def _sorted(self) -> Self:
        _require_ascending([row.speech for row in self.calibration], "the speech of calibration rows")
        return self

    def log_odds(self, logit: ArrayLike, speech: ArrayLike) -> Floats:
        """Return the calibrated log odds of female, of the shape of ``logit`` and ``speech`` broadcast.

        Args:
            logit: (n,) the model's output.
            speech: () or (n,) seconds of speech behind each logit.

        Raises:
            BundleError: ``bundle_corrupt`` if a logit is not a finite number.
        """
        scale = _at_speech(self.calibration, [row.scale for row in self.calibration], speech)
        bias = _at_speech(self.calibration, [row.bias for row in self.calibration], speech)
        return np.asarray(scale * _finite("gender", logit) + bias)

    def probability(self, logit: ArrayLike, speech: ArrayLike) -> Floats:
        """Return the calibrated probability of female, from and of the shape of :meth:`log_odds`."""
        # tanh instead of exp: large scores must not overflow.
        return np.asarray(0.5 * (1 + np.tanh(self.log_odds(logit, speech) / 2)))


class AgeCard(_Section):
    """How the model's output ``age`` (logits over a grid of ages) becomes years and an interval."""

    grid: tuple[AgeYears, ...] = Field(
        min_length=2, max_length=400, description="Ages in years, ascending; one logit each."
    )
    temperature: float = Field(default=1.0, ge=0.01, le=100, description="Logits are divided by this.")
    coverage: float = Field(default=0.8, gt=0, lt=1, description="Share of speakers inside the interval.")
    interval: tuple[IntervalRow, ...] = Field(
        min_length=1, max_length=100, description="Rows in ascending order of speech."
    )
    scale: float = Field(default=1.0, gt=0, le=100, description="Age meant = scale * grid + shift.")
    shift: float = Field(default=0.0, ge=-100, le=100, description="Age meant = scale * grid + shift.")

    @model_validator(mode="after")
    def _sorted(self) -> Self:
        _require_ascending(self.grid, "the ages of the grid")
        _require_ascending([row.speech for row in self.interval], "the speech of interval rows")
        return self

    def distribution(self, logits: ArrayLike) -> Floats:
        """Return probabilities (n, len(grid)) from logits (n, len(grid)).

        Raises:
            BundleError: ``bundle_corrupt`` if the logits have another width or are not finite.
        """
        scores = self._over_grid(logits) / self.temperature
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))

    def estimate(self, probabilities: ArrayLike, speech: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return years, low and high, each (n,) within [0, 100], with low <= years <= high.

        Args:
            probabilities: (n, len(grid)), rows that sum to 1, from :meth:`distribution`.
            speech: () or (n,) seconds of speech behind each row.

        Raises:
            BundleError: ``bundle_corrupt`` if the probabilities have another width or are not finite.
        """
        masses = self._over_grid(probabilities)
        years = masses @ self._tables().ages
        low, high, margin = (
            _at_speech(self.interval, [getattr(row, name) for row in self.interval], speech)
            for name in ("low", "high", "margin")
        )
        # The mean of a skewed distribution can lie outside its quantiles, and a negative margin can
        # make them cross: widening to hold the mean never costs coverage.
        lower = np.minimum(self.quantile(masses, low) - margin, years)
        upper = np.maximum(self.quantile(masses, high) + margin, years)
        return np.clip(years, 0, MAX_AGE), np.clip(lower, 0, MAX_AGE), np.clip(upper, 0, MAX_AGE)

    def quantile(self, probabilities: ArrayLike, level: ArrayLike) -> Floats:
        """Return the age (n,) below which lies the share ``level``, () or (n,) in [0, 1], of each row.

        Each mass is spread evenly over the ages nearest to its grid point, so the cumulative
        distribution is piecewise linear and a peak at 30 has its median at 30. Not clipped.

        Raises:
            BundleError: ``bundle_corrupt`` if the probabilities have another width or are not finite.
        """
        masses = self._over_grid(probabilities)
        edges = self._tables().edges
        below = np.zeros((len(masses), len(edges)))
        np.cumsum(masses, axis=1, out=below[:, 1:])
        wanted = np.broadcast_to(np.asarray(level, np.float64), len(masses)) * below[:, -1]
        right = np.clip((below < wanted[:, None]).sum(axis=1), 1, len(self.grid))
        rows = np.arange(len(masses))
        start, mass = below[rows, right - 1], below[rows, right] - below[rows, right - 1]
        part = np.divide(wanted - start, mass, out=np.zeros_like(mass), where=mass > 0)
        return np.asarray(edges[right - 1] + part * (edges[right] - edges[right - 1]))

    def spread(self, edges: ArrayLike) -> Floats:
        """Return the share (len(grid), K) of each grid point's mass between each two of ``edges`` (K + 1,).

        Masses are spread as for :meth:`quantile`; what lies outside counts to the first and the last.
        """
        own = self._tables().edges
        inner = np.asarray(edges, np.float64)[1:-1]
        below = np.clip((inner - own[:-1, None]) / (own[1:, None] - own[:-1, None]), 0, 1)
        return np.diff(below, axis=1, prepend=0, append=1)

    def groups(self, probabilities: ArrayLike) -> Floats:
        """Return the mass (n, 9) of each age group, in the order of ``labels.AGE_GROUPS``.

        Raises:
            BundleError: ``bundle_corrupt`` if the probabilities have another width or are not finite.
        """
        return np.asarray(self._over_grid(probabilities) @ self._tables().member)

    def _tables(self) -> _AgeTables:
        return _age_tables(self.grid, self.scale, self.shift)

    def _over_grid(self, values: ArrayLike) -> Floats:
        array = _finite("age", values)
        if array.ndim != 2 or array.shape[1] != len(self.grid):
            raise BundleError(
                "bundle_corrupt",
                f"The model's age scores have the shape {array.shape}; its card has a grid of "
                f"{len(self.grid)} ages.",
            )
        return array


class _AgeTables(NamedTuple):
    """What follows from a grid of G ages and its calibration."""

    #: (G,) what the grid stands for.
    ages: Floats
    #: (G + 1,) ages between which the mass of each grid point is spread.
    edges: Floats
    #: (G, 9) 1 where a grid point is in a group, in the order of ``labels.AGE_GROUPS``.
    member: Floats


# Not of the card: copies of a card with other values must not take it over.
@lru_cache(maxsize=64)
def _age_tables(grid: tuple[float, ...], scale: float, shift: float) -> _AgeTables:
    ages = scale * np.asarray(grid) + shift
    middles = (ages[:-1] + ages[1:]) / 2
    edges = np.concatenate(([2 * ages[0] - middles[0]], middles, [2 * ages[-1] - middles[-1]]))
    names = list(AGE_GROUPS)
    member = np.zeros((len(grid), len(names)))
    for row, age in enumerate(ages.tolist()):
        member[row, names.index(group_of(age))] = 1
    return _AgeTables(ages, edges, member)


class EmbeddingCard(_Section):
    """The model's output ``embedding``: a vector a voice, compared by cosine distance."""

    size: int = Field(ge=1, le=4096, description="Length of the vector.")
    threshold: float = Field(ge=0, le=2, description="Cosine distance up to which two spans are one voice.")


class Corpus(_Section):
    """A corpus that the model was trained on."""

    name: Line = Field(description="Name and release.")
    licence: Line = Field(description="Licence of the recordings.")
    speakers: Count = Field(description="Speakers used.")
    clips: Count = Field(description="Recordings used.")
    hours: float = Field(ge=0, description="Hours of audio used.")


class SplitSize(_Section):
    """The size of one split (train, dev, test); no speaker is in two of them."""

    speakers: Count = Field(description="Speakers.")
    clips: Count = Field(description="Recordings.")


class TrainingSummary(_Section):
    """What the model was trained on and how, enough to train it again."""

    corpora: tuple[Corpus, ...] = Field(description="Corpora used.")
    seed: int | None = Field(default=None, description="Seed of the run.")
    recipe: Text = Field(default="", description="The recipe, as text.")
    splits: dict[Line, SplitSize] = Field(default_factory=dict, description="Size of each split by name.")
    notes: Text = Field(default="", description="Anything else worth knowing.")


class Metric(_Section):
    """A measured figure, with its 95 % interval over speakers."""

    name: Line = Field(description='What was measured, such as "gender accuracy".')
    on: Line = Field(description="Test set and condition.")
    value: float = Field(description="The figure.")
    low: float | None = Field(default=None, description="Lower end of the interval.")
    high: float | None = Field(default=None, description="Upper end of the interval.")
    n: Count | None = Field(default=None, description="Speakers behind the figure.")
    baseline: float | None = Field(default=None, description="The figure of a constant predictor.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low must not be greater than high")
        return self


class Card(_Section):
    """Everything one must know to use ``model.onnx``; the content of ``card.json``."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, description="Version of this layout.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=100, description="Name of the model.")
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+_-]*$", max_length=40, description="Its version.")
    licence: Line = Field(description="Licence of the weights.")
    origin: Text = Field(description="What the weights derive from.")
    created: Day = Field(description="Day of the training, as YYYY-MM-DD.")
    description: Text = Field(description="What the model is for and what it cannot know.")
    features: FeatureCard = Field(description="What the model reads.")
    preprocess: tuple[Line, ...] = Field(
        default=(), max_length=16, description="Steps that its speech goes through before, in order."
    )
    window: Seconds = Field(description="Seconds of audio in one window.")
    hop: Seconds = Field(description="Seconds from one window to the next.")
    min_speech: float = Field(ge=0, le=3600, description="Less speech than this gives no prediction.")
    gender: GenderCard | None = Field(default=None, description="Present if the model tells gender.")
    age: AgeCard | None = Field(default=None, description="Present if the model tells age.")
    embedding: EmbeddingCard | None = Field(default=None, description="Present if it tells voices apart.")
    training: TrainingSummary = Field(description="What the model was trained on.")
    metrics: tuple[Metric, ...] = Field(default=(), description="Measured figures.")
    sha256: str = Field(default="0" * 64, pattern=r"^[0-9a-f]{64}$", description="SHA-256 of model.onnx.")
    model_bytes: Count = Field(default=0, description="Size of model.onnx in bytes.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hop > self.window:
            raise ValueError("hop must not be longer than window")
        if self.gender is None and self.age is None:
            raise ValueError("a card needs a gender or an age section")
        if self.gender is not None and self.gender.unsure_child is not None and self.age is None:
            raise ValueError("gender.unsure_child needs an age section")
        return self

    @property
    def title(self) -> str:
        """Name and version, such as "voxtrait-base 1.0"."""
        return f"{self.name} {self.version}"

    def sealed(self, model: bytes) -> Card:
        """Return this card with the hash and the size of ``model`` filled in."""
        digest = hashlib.sha256(model).hexdigest()
        return self.model_copy(update={"sha256": digest, "model_bytes": len(model)})


def _require_ascending(values: Sequence[float], what: str) -> None:
    if any(second <= first for first, second in pairwise(values)):
        raise ValueError(f"{what} must ascend")


def _at_speech(rows: Sequence[_Row], values: Sequence[float], speech: ArrayLike) -> Floats:
    """Interpolate a column of rows linearly in the logarithm of speech; constant outside the rows."""
    known = [row.speech for row in rows]
    seconds = np.log(np.clip(np.asarray(speech, np.float64), known[0], known[-1]))
    return np.asarray(np.interp(seconds, [math.log(second) for second in known], values))


def _finite(output: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).all():
        raise BundleError("bundle_corrupt", f"The model's {output} scores hold values that are not numbers.")
    return array
