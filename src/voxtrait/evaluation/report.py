"""What an evaluation leaves behind: metrics.json, answers.parquet, report.html."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure as Canvas

from voxtrait.corpora.outputs import written_whole
from voxtrait.errors import UsageError
from voxtrait.evaluation.age import age_answered
from voxtrait.evaluation.gender import gender_answered
from voxtrait.evaluation.mistakes import Mistake, check_copies, copy_mistakes, hear_mistakes, worst_mistakes
from voxtrait.evaluation.plots import (
    age_plot,
    inline_svg,
    plain_style,
    reliability_plot,
    risk_plot,
    score_plot,
)
from voxtrait.evaluation.resampling import Figure
from voxtrait.evaluation.run import Evaluation
from voxtrait.evaluation.subgroups import SUBGROUP_FIGURES, Subgroup
from voxtrait.evaluation.wording import baseline_words, figure_words, interval_words, shown

__all__ = ["ANSWERS", "METRICS", "PAGE", "Picture", "check_folder", "picture", "render", "write_evaluation"]

METRICS, ANSWERS, PAGE = "metrics.json", "answers.parquet", "report.html"
_MISTAKES: Final = "mistakes"
_TILES: Final = (
    "gender accuracy",
    "gender UAR",
    "gender decided",
    "age MAE",
    "age band UAR",
    "gender and band accuracy",
)


@dataclass(frozen=True)
class Picture:
    """A plot for a page: an SVG element and what stands below it."""

    svg: Markup
    caption: str


def picture(canvas: Canvas, caption: str) -> Picture:
    """Return a plot, drawn under `plain_style`, for a page."""
    # The element is ours: matplotlib escapes the texts in it.
    return Picture(Markup(inline_svg(canvas, caption)), caption)


def render(template: str, **content: Any) -> str:
    """Return a page of this room; all text that is not marked as HTML is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        shown=shown,
        interval_words=interval_words,
        figure_words=figure_words,
        baseline_words=baseline_words,
    )
    return environment.get_template(template).render(content)


def check_folder(folder: Path, copies: bool) -> None:
    """Find out before the work whether an evaluation can be written into ``folder``.

    Raises:
        UsageError: ``output`` if not.
    """
    nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise UsageError(
            "output", f"Cannot write into {folder}: {nearest} is no folder that can be written to."
        )
    if copies:
        check_copies(folder / _MISTAKES)


def write_evaluation(evaluation: Evaluation, folder: Path, copies: bool) -> None:
    """Write the three files into ``folder``; a file appears whole or not at all.

    Args:
        evaluation: what to write.
        folder: made if it is not there.
        copies: copy the worst mistakes out to its folder ``mistakes``.

    Raises:
        UsageError: ``output`` if something cannot be written.
    """
    metrics = evaluation.metrics()
    mistakes = hear_mistakes(worst_mistakes(evaluation.answers))
    page = _page(evaluation, metrics, mistakes)
    # The page comes last: whoever finds it finds the others.
    with written_whole(folder / ANSWERS) as file:
        evaluation.answers.write_parquet(file)
    if copies:
        copy_mistakes(mistakes, folder / _MISTAKES)
    with written_whole(folder / METRICS) as file:
        file.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    with written_whole(folder / PAGE) as file:
        file.write_text(page, encoding="utf-8", errors="backslashreplace")


def _page(evaluation: Evaluation, metrics: dict[str, Any], mistakes: list[Mistake]) -> str:
    figures, baseline = evaluation.figures, evaluation.chosen.baseline
    ages = [figure for figure in figures if figure.name.startswith("age ")]
    joint = [figure for figure in figures if figure.name.startswith("gender and band")]
    by_name = {figure.name: figure for figure in figures}
    groups: dict[str, list[Subgroup]] = {}
    for group in evaluation.subgroups:
        groups.setdefault(group.by, []).append(group)
    says = [baseline.gender, None if baseline.years is None else f"{baseline.years:g} years"]
    return render(
        "report.html",
        metrics=metrics,
        hours=_hours(evaluation.cost.audio),
        tiles=[by_name[name] for name in _TILES if name in by_name],
        gender=[figure for figure in figures if figure not in ages and figure not in joint],
        age=ages,
        joint=joint,
        gender_plots=_gender_plots(evaluation, by_name),
        age_plots=_age_plots(evaluation),
        subgroups=groups,
        measured=_measured,
        mistakes=mistakes,
        constant=" and ".join(f"“{word}”" for word in says if word is not None) or "nothing",
    )


def _measured(groups: list[Subgroup]) -> list[str]:
    """Return the figures that some of the groups have."""
    return [name for name in SUBGROUP_FIGURES if any(name in group.figures for group in groups)]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _gender_plots(evaluation: Evaluation, figures: dict[str, Figure]) -> list[Picture]:
    table, curves = gender_answered(evaluation.answers), evaluation.curves
    if table.is_empty():
        return []
    mark = {}
    if "gender wrong when decided" in figures:
        mark[""] = figures["gender decided"].value, figures["gender wrong when decided"].value
    error = shown("gender ECE", figures["gender ECE"].value)
    with plain_style():
        return [
            picture(
                reliability_plot({"": curves["reliability"]}),
                f"Reliability: how often answers of each confidence are right. On the dashed line confidence "
                f"is what it says. Expected calibration error {error}; grey bars: recordings.",
            ),
            picture(
                risk_plot({"": curves["risk_coverage"]}, mark),
                "Risk and coverage: wrong answers if only the surest are given. The diamond is where this "
                "model draws its line, which also leaves likely children open.",
            ),
            picture(
                score_plot(table),
                "Scores: probability of “female” among recordings labelled female and male; from 1 up the "
                "scale is logarithmic.",
            ),
        ]


def _age_plots(evaluation: Evaluation) -> list[Picture]:
    table = age_answered(evaluation.answers)
    if table.is_empty():
        return []
    with plain_style():
        caption = (
            "Answered over true age, one point a recording (2000 at most); where only a band is known, the "
            "point lies anywhere in it."
        )
        return [picture(age_plot(table), caption)]
