"""Age bands: the age groups, or the older of them merged into one."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from voxtrait.errors import UsageError
from voxtrait.evaluation.resampling import Array
from voxtrait.labels import AGE_GROUPS, group_of

__all__ = ["answered_bands", "band_names", "band_of", "check_merge", "true_bands"]

_STARTS: Final = [first for first, _ in AGE_GROUPS.values()]


def check_merge(merge_from: float | None) -> None:
    """Refuse an age at which no age group but the first begins.

    Raises:
        UsageError: ``usage``.
    """
    if merge_from is not None and merge_from not in _STARTS[1:]:
        ages = ", ".join(map(str, _STARTS[1:]))
        raise UsageError("usage", f"Bands can be merged from {ages} years on, not from {merge_from:g}.")


def band_names(merge_from: float | None = None) -> list[str]:
    """Return the bands in order of age; those from ``merge_from`` years on are one, as "50-plus"."""
    if merge_from is None:
        return list(AGE_GROUPS)
    younger = [name for name, (first, _) in AGE_GROUPS.items() if first < merge_from]
    return [*younger, f"{merge_from:g}-plus"]


def band_of(years: float, merge_from: float | None = None) -> str:
    """Return the band of an age in years."""
    if merge_from is not None and years >= merge_from:
        return f"{merge_from:g}-plus"
    return group_of(years)


def true_bands(table: pl.DataFrame, merge_from: float | None = None) -> list[str | None]:
    """Return the band of the middle of each row's ``age_low`` to ``age_high``, None without an age."""
    middles = ((table["age_low"] + table["age_high"]) / 2).to_list()
    return [None if middle is None else band_of(middle, merge_from) for middle in middles]


def answered_bands(groups: Array, merge_from: float | None = None) -> list[str]:
    """Return the likeliest band of each row of ``groups``, the masses (n, 9) of the age groups."""
    names = band_names(merge_from)
    merged = np.column_stack([groups[:, : len(names) - 1], groups[:, len(names) - 1 :].sum(axis=1)])
    return [names[place] for place in merged.argmax(axis=1)]
