"""The same figures for parts of the recordings: who fares worse, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from voxtrait.evaluation.age import age_figures
from voxtrait.evaluation.bands import band_names, true_bands
from voxtrait.evaluation.gender import gender_figures
from voxtrait.evaluation.resampling import Figure
from voxtrait.labels import GENDERS

__all__ = ["SUBGROUP_FIGURES", "Subgroup", "subgroups_of"]

#: What is measured in each.
SUBGROUP_FIGURES: Final = ("gender accuracy", "gender UAR", "gender decided", "age MAE")
#: Locales with fewer speakers are taken together.
_FEWEST: Final = 5
_OTHER: Final = "all others"
_UNKNOWN: Final = "not known"

_SECONDS: Final = ((2.0, "under 2 s"), (4.0, "2 to 4 s"), (8.0, "4 to 8 s"), (30.0, "8 to 30 s"))
_LONG: Final = "30 s and more"
_DECIBELS: Final = ((10.0, "under 10 dB"), (20.0, "10 to 20 dB"), (30.0, "20 to 30 dB"))
_CLEAN: Final = "30 dB and more"


@dataclass(frozen=True)
class Subgroup:
    """Recordings that have something in common.

    Attributes:
        by, name: what they have in common, as "duration" and "2 to 4 s".
        recordings, speakers: how many were answered.
        figures: by name, those of SUBGROUP_FIGURES that are defined.
    """

    by: str
    name: str
    recordings: int
    speakers: int
    figures: dict[str, Figure]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        head = {"by": self.by, "name": self.name, "recordings": self.recordings, "speakers": self.speakers}
        return {**head, "figures": [figure.to_dict() for figure in self.figures.values()]}


def subgroups_of(
    answers: pl.DataFrame, gender: str | None, median: float | None, merge_from: float | None
) -> list[Subgroup]:
    """Return the subgroups of the answered recordings: gender and band, locale, duration, SNR, corpus.

    Args:
        answers: from `answer_files`, with the column ``snr`` in dB.
        gender, median: what the constant predictor says; None where the bundle lacks the task.
        merge_from: bands from this age on are one.
    """
    table = answers.filter(pl.col("status") == "ok")
    found = []
    for by, label in _groupings(table, merge_from).items():
        names = label(table)
        for name in _order(table, names, merge_from):
            part = table.filter(pl.Series([each == name for each in names], dtype=pl.Boolean))
            found.append(Subgroup(by, name, part.height, part["speaker"].n_unique(), {}))
            figures = gender_figures(part) if gender is not None else []
            figures += age_figures(part, median) if median is not None else []
            found[-1].figures.update({fig.name: fig for fig in figures if fig.name in SUBGROUP_FIGURES})
    return found


_Labels = Callable[[pl.DataFrame], list[str | None]]


def _groupings(table: pl.DataFrame, merge_from: float | None) -> dict[str, _Labels]:
    return {
        "gender and band": lambda rows: _gender_and_band(rows, merge_from),
        "locale": _pooled_locales,
        "duration": lambda rows: [_binned(value, _SECONDS, _LONG) for value in rows["duration"]],
        "signal to noise": lambda rows: [_binned(value, _DECIBELS, _CLEAN) for value in rows["snr"]],
        "corpus": lambda rows: rows["corpus"].fill_null(_UNKNOWN).to_list(),
    }


def _gender_and_band(table: pl.DataFrame, merge_from: float | None) -> list[str | None]:
    bands = true_bands(table, merge_from)
    return [
        None if gender is None or band is None else f"{gender}, {band}"
        for gender, band in zip(table["gender"], bands, strict=True)
    ]


def _pooled_locales(table: pl.DataFrame) -> list[str | None]:
    named = table.with_columns(pl.col("locale").fill_null(_UNKNOWN))
    speakers = named.group_by("locale").agg(pl.col("speaker").n_unique())
    large = set(speakers.filter(pl.col("speaker") >= _FEWEST)["locale"])
    return [name if name in large or name == _UNKNOWN else _OTHER for name in named["locale"]]


def _binned(value: float | None, ends: tuple[tuple[float, str], ...], last: str) -> str:
    if value is None:
        return _UNKNOWN
    return next((name for end, name in ends if value < end), last)


def _order(table: pl.DataFrame, names: list[str | None], merge_from: float | None) -> list[str]:
    """Return the names: bands and bins in order, others by their number of speakers, the rest last."""
    sizes: dict[str, int] = dict(
        pl.DataFrame({"name": names, "speaker": table["speaker"]}, schema_overrides={"name": pl.String})
        .drop_nulls("name")
        .group_by("name")
        .agg(pl.col("speaker").n_unique())
        .iter_rows()
    )
    cells = [f"{gender}, {band}" for gender in GENDERS for band in band_names(merge_from)]
    bins = [*(name for _, name in _SECONDS), _LONG, *(name for _, name in _DECIBELS), _CLEAN]
    places = {name: place for place, name in enumerate([*cells, *bins])}
    last = [_OTHER, _UNKNOWN]
    return sorted(
        sizes,
        key=lambda name: (last.index(name) if name in last else -1, places.get(name, 0), -sizes[name], name),
    )
