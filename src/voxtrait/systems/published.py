"""Sections that several published recipes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["BANDS", "NO_CONDITIONS", "PLAIN_TRAINING"]

#: Teens to fifties by decades, and sixty or older.
BANDS: Final = (13, 20, 30, 40, 50, 60)

#: Optimisation as in a first course: one rate, hard labels, no averaging of weights.
PLAIN_TRAINING: Final[Mapping[str, Any]] = {
    "optimiser": "adam",
    "schedule": "constant",
    "rate": 1e-3,
    "weight_decay": 0.0,
    "warmup": 0.0,
    "averaging": 0.0,
    "smoothing": 0.0,
    "age_weight": 1.0,
    "age_mean_weight": 0.0,
    "age_spread": 0.0,
}

#: None of the conditions that are met unless a recipe says otherwise.
NO_CONDITIONS: Final[Mapping[str, float]] = dict.fromkeys(
    ("room", "equaliser", "noise", "babble", "telephone", "codec", "clip"), 0.0
)
