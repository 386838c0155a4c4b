"""Genders and age groups: their names here, their spellings in the corpora, their years.

The spellings of Common Voice changed over its releases: ``fourties`` for the forties,
``male_masculine`` since release 17. An age band is an interval of years, never a made-up exact age.
"""

from __future__ import annotations

import re
from typing import Final, Literal

__all__ = [
    "AGE_GROUPS",
    "GENDERS",
    "MAX_AGE",
    "Gender",
    "age_interval",
    "group_bounds",
    "group_of",
    "parse_gender",
]

Gender = Literal["female", "male", "other"]

GENDERS: Final[tuple[Gender, ...]] = ("female", "male", "other")

#: Oldest age in years that the product speaks of.
MAX_AGE: Final = 100

#: Age groups in order, each with its first and last whole year.
AGE_GROUPS: Final[dict[str, tuple[int, int]]] = {
    "child": (0, 12),
    "teens": (13, 19),
    "twenties": (20, 29),
    "thirties": (30, 39),
    "forties": (40, 49),
    "fifties": (50, 59),
    "sixties": (60, 69),
    "seventies": (70, 79),
    "eighties": (80, MAX_AGE),
}

_GENDER_SPELLINGS: Final[dict[str, Gender]] = {
    "female": "female",
    "f": "female",
    "woman": "female",
    "female_feminine": "female",
    "male": "male",
    "m": "male",
    "man": "male",
    "male_masculine": "male",
    "other": "other",
    "non-binary": "other",
    "non_binary": "other",
    "transgender": "other",
    "intersex": "other",
}

_BAND_SPELLINGS: Final[dict[str, tuple[int, int]]] = {
    **AGE_GROUPS,
    "teen": AGE_GROUPS["teens"],
    "fourties": AGE_GROUPS["forties"],
    "eighties": (80, 89),
    "nineties": (90, 99),
}

_YEARS: Final = re.compile(r"(\d+(?:\.\d*)?)(?: *- *(\d+(?:\.\d*)?))?", re.ASCII)


def parse_gender(text: str | None) -> Gender | None:
    """Return the gender that a corpus spelling means, or None if it is empty or unknown."""
    return _GENDER_SPELLINGS.get((text or "").strip().lower())


def age_interval(text: str | None) -> tuple[float, float] | None:
    """Return the closed interval of years that a corpus spelling means, or None.

    A band ("fourties") gives its first and last year, a number gives an interval with both ends
    equal, ``"30-39"`` gives what it says.
    """
    word = (text or "").strip().lower()
    if word in _BAND_SPELLINGS:
        low, high = _BAND_SPELLINGS[word]
        return float(low), float(high)
    years = _YEARS.fullmatch(word)
    if years is None:
        return None
    low_age, high_age = float(years[1]), float(years[2] or years[1])
    return (low_age, high_age) if low_age <= high_age <= 120 else None


def group_of(years: float) -> str:
    """Return the age group of an age in years (12.9 is a child, 13.0 a teen)."""
    for name, (_, last) in AGE_GROUPS.items():
        if years < last + 1:
            return name
    return "eighties"


def group_bounds(name: str) -> tuple[float, float]:
    """Return the half-open interval of years [low, high) of an age group.

    Raises:
        KeyError: if there is no such group.
    """
    first, last = AGE_GROUPS[name]
    return float(first), float(last + 1)
