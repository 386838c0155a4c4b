"""A random forest on functionals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from voxtrait.systems.classical import DEFAULTS, ClassicalSettings, Family, classifier
from voxtrait.systems.system import TASKS, System

__all__ = ["SYSTEM", "ForestSettings"]

AtLeastOne = Annotated[int, Field(ge=1)]


class ForestSettings(ClassicalSettings):
    """The forest and its grid."""

    trees: int = Field(300, ge=1, le=2000, description="trees of the forest")
    leaves: int = Field(
        256, ge=2, le=4096, description="most leaves of a tree, on which the size of the model hangs"
    )
    depths: tuple[AtLeastOne, ...] = Field((8, 20), min_length=1, description="greatest depths to try")
    leaf_rows: tuple[AtLeastOne, ...] = Field(
        (3, 10), min_length=1, description="fewest vectors in a leaf, to try"
    )


def _grid(settings: ForestSettings) -> Mapping[str, tuple[Any, ...]]:
    return {"depth": settings.depths, "leaf_rows": settings.leaf_rows}


def _make(settings: ForestSettings, seed: int, *, depth: int, leaf_rows: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline

    forest = RandomForestClassifier(
        settings.trees,
        max_depth=depth,
        min_samples_leaf=leaf_rows,
        max_leaf_nodes=settings.leaves,
        random_state=seed,
    )
    return Pipeline([("model", forest)])


SYSTEM = System(
    name="random-forest",
    about="A random forest on statistics of cepstra, spectrum and prosody.",
    source="Breiman 2001, Random forests",
    tasks=TASKS,
    settings=ForestSettings,
    reads=("functionals",),
    defaults=DEFAULTS,
    classifier=classifier(Family(_grid, _make)),
)
