"""Gradient-boosted trees on functionals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from voxtrait.systems.classical import DEFAULTS, ClassicalSettings, Family, classifier
from voxtrait.systems.system import TASKS, System

__all__ = ["SYSTEM", "BoostingSettings"]

Rate = Annotated[float, Field(gt=0, le=1)]
Leaves = Annotated[int, Field(ge=2, le=255)]


class BoostingSettings(ClassicalSettings):
    """The boosting and its grid."""

    bins: int = Field(63, ge=2, le=255, description="steps that a feature's values are rounded to")
    iterations: int = Field(150, ge=1, le=2000, description="rounds of boosting, each a tree a class")
    leaf_rows: int = Field(20, ge=1, description="fewest vectors in a leaf")
    shrinkage: float = Field(1.0, ge=0, description="penalty on the values of leaves (L2)")
    rates: tuple[Rate, ...] = Field((0.05, 0.1), min_length=1, description="learning rates to try")
    leaves: tuple[Leaves, ...] = Field((6, 16), min_length=1, description="most leaves of a tree, to try")


def _grid(settings: BoostingSettings) -> Mapping[str, tuple[Any, ...]]:
    return {"rate": settings.rates, "leaves": settings.leaves}


def _make(settings: BoostingSettings, seed: int, *, rate: float, leaves: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    # Its own early stopping would judge by speakers that it learns from.
    boosting = HistGradientBoostingClassifier(
        learning_rate=rate,
        max_bins=settings.bins,
        max_iter=settings.iterations,
        max_leaf_nodes=leaves,
        min_samples_leaf=settings.leaf_rows,
        l2_regularization=settings.shrinkage,
        early_stopping=False,
        random_state=seed,
    )
    return Pipeline([("model", boosting)])


SYSTEM = System(
    name="gradient-boosting",
    about="Gradient-boosted decision trees on statistics of cepstra, spectrum and prosody.",
    source="Friedman 2001, Greedy function approximation; with histograms as in Ke et al. 2017, LightGBM",
    tasks=TASKS,
    settings=BoostingSettings,
    reads=("functionals",),
    defaults=DEFAULTS,
    classifier=classifier(Family(_grid, _make)),
)
