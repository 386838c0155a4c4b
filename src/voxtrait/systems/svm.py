"""A support vector machine on functionals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from voxtrait.systems.classical import DEFAULTS, ClassicalSettings, Family, Folds, classifier
from voxtrait.systems.system import TASKS, System

__all__ = ["SYSTEM", "SvmSettings"]

Positive = Annotated[float, Field(gt=0)]


class SvmSettings(ClassicalSettings):
    """The grid of the support vector machine. Its kernel is radial; vectors are standardised."""

    costs: tuple[Positive, ...] = Field(
        (1.0, 3.0, 10.0), min_length=1, description="costs of an error (C) to try"
    )
    gammas: tuple[Positive, ...] = Field(
        (0.0005, 0.0015, 0.005),
        min_length=1,
        description="inverse squared widths of the kernel (gamma) to try",
    )
    search_rows: int = Field(4_000, ge=50, description="most vectors that a grid point is judged with")
    rows: int = Field(12_000, ge=50, description="most vectors that the chosen one learns from")


def _grid(settings: SvmSettings) -> Mapping[str, tuple[Any, ...]]:
    return {"cost": settings.costs, "gamma": settings.gammas}


def _make(settings: SvmSettings, seed: int, *, cost: float, gamma: float) -> Any:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return Pipeline([("scale", StandardScaler()), ("model", SVC(C=cost, gamma=gamma, cache_size=500))])


def _finish(pipeline: Any, folds: Folds) -> Any:
    """Return the pipeline with probabilities: Platt's sigmoids, fitted on speakers not learnt from."""
    from sklearn.calibration import CalibratedClassifierCV

    calibrated = CalibratedClassifierCV(pipeline[-1], method="sigmoid", cv=folds, ensemble=False)
    return pipeline.set_params(model=calibrated)


SYSTEM = System(
    name="svm",
    about="A support vector machine with a radial kernel on statistics of cepstra, spectrum and prosody.",
    source="Cortes and Vapnik 1995, Support-vector networks; probabilities as Platt 1999",
    tasks=TASKS,
    settings=SvmSettings,
    reads=("functionals",),
    defaults=DEFAULTS,
    classifier=classifier(Family(_grid, _make, _finish)),
)
