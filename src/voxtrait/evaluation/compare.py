"""Evaluations side by side: on the recordings that all of them answered, with paired differences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait.corpora.outputs import written_whole
from voxtrait.errors import CorpusError, UsageError
from voxtrait.evaluation.age import (
    age_answered,
    age_statistics,
    band_statistics,
    joint_answered,
    joint_statistics,
)
from voxtrait.evaluation.gender import Point, gender_answered, gender_statistics, reliability, risk_coverage
from voxtrait.evaluation.plots import (
    figure_plot,
    plain_style,
    reliability_plot,
    risk_plot,
    standalone_svg,
)
from voxtrait.evaluation.report import ANSWERS, METRICS, Picture, picture, render
from voxtrait.evaluation.resampling import Figure, Resamples, Statistic, interval
from voxtrait.evaluation.run import SCHEMA_VERSION

__all__ = ["COMPARED", "Comparison", "Run", "compare_runs", "load_run", "write_comparison"]

#: The figures that runs are compared by.
COMPARED: Final = (
    "gender accuracy",
    "gender UAR",
    "gender ECE",
    "gender decided",
    "age MAE ratio",
    "age correlation",
    "age band UAR",
    "gender and band accuracy",
)
#: Of these less is better.
_LESS: Final = ("gender ECE", "age MAE ratio")
_TRUTH: Final = ("path", "speaker", "gender", "age_low", "age_high")
_NEEDED: Final = (*_TRUTH, "status", "female", "label", "years", "low", "high", "groups")


@dataclass(frozen=True)
class Run:
    """What `voxtrait evaluate` left in a folder.

    Attributes:
        name: the folder, as it was given.
        model: name and version of the bundle.
        megabytes: size of its model.
        cost: seconds of processor time an hour of audio.
        baseline: gender and years of the constant predictor, None where the bundle lacks the task.
        merge_from: bands from this age on were one.
        answers: a row a recording.
    """

    name: str
    model: str
    megabytes: float
    cost: float
    baseline: tuple[str | None, float | None]
    merge_from: float | None
    answers: pl.DataFrame


@dataclass(frozen=True)
class Difference:
    """A run's figure less that of the first run, with its 95 % interval over the same draws of speakers."""

    figure: Figure

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.figure.low > 0 or self.figure.high < 0

    @property
    def verdict(self) -> str:
        """ "better" or "worse" where the difference is clear, else empty."""
        if not self.clear:
            return ""
        return "better" if (self.figure.value < 0) == (self.figure.name in _LESS) else "worse"


@dataclass(frozen=True)
class Comparison:
    """Runs on the recordings that they share.

    Attributes:
        runs: in the order given; differences are to the first.
        recordings, speakers: shared and answered by every run.
        left_out: run -> its recordings that are not among them.
        merge_from: bands from this age on are one: the coarsest of the runs'.
        figures: name -> run -> figure.
        differences: name -> run -> difference to the first run.
        tables: run -> its answers on the shared recordings.
    """

    runs: tuple[Run, ...]
    recordings: int
    speakers: int
    left_out: dict[str, int]
    merge_from: float | None
    figures: dict[str, dict[str, Figure]]
    differences: dict[str, dict[str, Difference]]
    tables: dict[str, pl.DataFrame]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "recordings": self.recordings,
            "speakers": self.speakers,
            "merge_from": self.merge_from,
            "runs": [
                {
                    "name": run.name,
                    "model": run.model,
                    "megabytes": run.megabytes,
                    "cpu_seconds_per_hour": run.cost,
                    "left_out": self.left_out[run.name],
                }
                for run in self.runs
            ],
            "figures": [
                {"run": run, **figure.to_dict(), "difference": self._difference(name, run)}
                for name, figures in self.figures.items()
                for run, figure in figures.items()
            ],
        }

    def _difference(self, name: str, run: str) -> dict[str, Any] | None:
        found = self.differences[name].get(run)
        if found is None:
            return None
        value = found.figure.to_dict()
        return {**{key: value[key] for key in ("value", "low", "high")}, "clear": found.clear}


def load_run(folder: Path) -> Run:
    """Read what `voxtrait evaluate` wrote.

    Raises:
        UsageError: ``usage`` if the folder holds no evaluation.
        CorpusError: ``corpus_layout`` if its files are damaged or of another version.
    """
    if not ((folder / METRICS).is_file() and (folder / ANSWERS).is_file()):
        raise UsageError(
            "usage",
            f"{folder} holds no evaluation: run 'voxtrait evaluate BUNDLE MANIFEST -o FOLDER' first and name "
            "that FOLDER.",
        )
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        if metrics["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"its version is {metrics['schema_version']}, not {SCHEMA_VERSION}")
        answers = pl.read_parquet(folder / ANSWERS, columns=list(_NEEDED))
        return Run(
            str(folder),
            str(metrics["model"]),
            float(metrics["model_bytes"]) / 1e6,
            float(metrics["cost"]["cpu_seconds_per_hour"]),
            (metrics["baseline"]["gender"], metrics["baseline"]["years"]),
            metrics["merge_from"],
            answers,
        )
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorpusError(
            "corpus_layout", f"{folder} is not what voxtrait evaluate writes ({reason}): evaluate again."
        ) from error


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Compare runs on the recordings, by path, that every one of them answered.

    The labels are those of the first run.

    Raises:
        UsageError: ``usage`` for fewer than two runs or one given twice, ``nothing_to_do`` if they share no
            recording.
    """
    names = [run.name for run in runs]
    if len(set(names)) < max(2, len(names)):
        raise UsageError("usage", "Give two or more different folders to compare.")
    tables = _shared(runs)
    first = tables[names[0]]
    if first.is_empty():
        raise UsageError(
            "nothing_to_do",
            f"{' and '.join(names)} share no recording that all of them answered: compare evaluations of the "
            "same manifest.",
        )
    merges = [run.merge_from for run in runs if run.merge_from is not None]
    merge_from = min(merges) if merges else None
    gender = next((run.baseline[0] for run in runs if run.baseline[0] is not None), None)
    years = next((run.baseline[1] for run in runs if run.baseline[1] is not None), None)
    figures, differences = _measure(tables, gender, years, merge_from)
    return Comparison(
        tuple(runs),
        first.height,
        first["speaker"].n_unique(),
        {run.name: run.answers.height - first.height for run in runs},
        merge_from,
        {name: figures[name] for name in COMPARED if name in figures},
        {name: differences.get(name, {}) for name in COMPARED if name in figures},
        tables,
    )


def _shared(runs: Sequence[Run]) -> dict[str, pl.DataFrame]:
    """Return each run's answers on what all of them answered, in the same order, with the first's labels."""
    truth = runs[0].answers.select(_TRUTH)
    for run in runs:
        truth = truth.join(run.answers.filter(pl.col("status") == "ok").select("path"), on="path", how="semi")
    truth = truth.sort("path")
    said = [name for name in _NEEDED if name not in _TRUTH]
    return {
        run.name: truth.join(run.answers.select("path", *said), on="path", maintain_order="left")
        for run in runs
    }


def _measure(
    tables: dict[str, pl.DataFrame], gender: str | None, years: float | None, merge_from: float | None
) -> tuple[dict[str, dict[str, Figure]], dict[str, dict[str, Difference]]]:
    """Return name -> run -> figure, and name -> run -> difference to the first run."""
    figures: dict[str, dict[str, Figure]] = {}
    differences: dict[str, dict[str, Difference]] = {}
    first = next(iter(tables))
    of_first: dict[str, Statistic] = {}
    for name, table in tables.items():
        for statistic, speakers in _statistics(table, gender, years, merge_from):
            key = statistic.name
            figure = Figure(key, *interval(statistic.samples, speakers), speakers, statistic.baseline)
            figures.setdefault(key, {})[name] = figure
            if name == first:
                of_first[key] = statistic
            elif key in of_first:
                gap = interval(statistic.samples - of_first[key].samples, speakers)
                differences.setdefault(key, {})[name] = Difference(Figure(key, *gap, speakers))
    return figures, differences


def _statistics(
    table: pl.DataFrame, gender: str | None, years: float | None, merge_from: float | None
) -> Iterator[tuple[Statistic, int]]:
    """Yield the statistics to compare, each with its number of speakers, drawn alike for every run."""
    found: list[tuple[Statistic, int]] = []
    genders, ages, both = gender_answered(table), age_answered(table), joint_answered(table)
    if not genders.is_empty():
        draws = Resamples(genders["speaker"])
        found += [(each, draws.speakers) for each in gender_statistics(genders, draws, gender)]
    if years is not None and not ages.is_empty():
        draws = Resamples(ages["speaker"])
        found += [(each, draws.speakers) for each in age_statistics(ages, draws, years)]
        found += [(each, draws.speakers) for each in band_statistics(ages, draws, years, merge_from)]
    if gender is not None and years is not None and not both.is_empty():
        draws = Resamples(both["speaker"])
        found += [(each, draws.speakers) for each in joint_statistics(both, draws, gender, years, merge_from)]
    for statistic, size in found:
        if statistic.name in COMPARED and np.isfinite(statistic.samples[0]):
            yield statistic, size


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write compare.html and compare.svg into ``folder``, each whole or not at all.

    Raises:
        UsageError: ``output`` if they cannot be written.
    """
    with plain_style():
        overview = figure_plot(comparison.figures)
        pictures = [
            picture(overview, "Figures with their 95 % intervals over speakers, each on a scale of its own.")
        ]
        pictures += _gender_pictures(comparison)
        svg = standalone_svg(overview)
    page = render("compare.html", comparison=comparison, pictures=pictures)
    with written_whole(folder / "compare.svg") as file:
        file.write_text(svg, encoding="utf-8")
    with written_whole(folder / "compare.html") as file:
        file.write_text(page, encoding="utf-8", errors="backslashreplace")


def _gender_pictures(comparison: Comparison) -> list[Picture]:
    reliable: dict[str, list[Point]] = {}
    risky: dict[str, list[Point]] = {}
    for run, table in comparison.tables.items():
        genders = gender_answered(table)
        if not genders.is_empty():
            reliable[run], risky[run] = reliability(genders), risk_coverage(genders)
    if not reliable:
        return []
    return [
        picture(
            reliability_plot(reliable),
            "Reliability: on the dashed line, confidence is what it says; grey bars: recordings.",
        ),
        picture(risk_plot(risky, {}), "Risk and coverage: wrong answers if only the surest are given."),
    ]
