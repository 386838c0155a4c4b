"""Trainable systems, one file each; a recipe names one of `SYSTEMS`."""

from __future__ import annotations

import importlib
from typing import Final

from voxtrait.errors import RecipeError
from voxtrait.systems.system import System

__all__ = ["SYSTEMS", "System", "get_system"]

#: Name -> module, which is imported only when the system is looked at.
SYSTEMS: Final = {
    "crnn": "voxtrait.systems.crnn",
    "dual-path-cnn": "voxtrait.systems.dual_path_cnn",
    "embedding-fnn": "voxtrait.systems.embedding_fnn",
    "ensemble": "voxtrait.systems.ensemble",
    "finetuned-ge2e": "voxtrait.systems.finetuned_ge2e",
    "ge2e-layers": "voxtrait.systems.ge2e_layers",
    "gradient-boosting": "voxtrait.systems.gradient_boosting",
    "mam-cnn": "voxtrait.systems.mam_cnn",
    "multitask-cnn": "voxtrait.systems.multitask_cnn",
    "random-forest": "voxtrait.systems.random_forest",
    "svm": "voxtrait.systems.svm",
}


def get_system(name: str) -> System:
    """Return the system that a recipe names.

    Raises:
        RecipeError: ``recipe_field`` if there is no such system.
        MissingExtraError: if it needs a package that is not installed.
    """
    if name not in SYSTEMS:
        raise RecipeError(
            "recipe_field", f"system: there is no system {name!r}; there are {', '.join(SYSTEMS)}."
        )
    found: System = importlib.import_module(SYSTEMS[name]).SYSTEM
    return found
