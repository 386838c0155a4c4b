"""The sheet of figures of a bundle: python benchmarks/accuracy.py recipes/base.yaml RUN_OR_BUNDLE [-o FILE]

Given the folder of a training with folds, each speaker is answered by the network that has not heard
them (cross-validation); given a bundle, the speakers of one split are measured. Held-out speakers of the
recipe's corpora as recorded and under simulated conditions, a corpus that no training saw, and sounds
that are not speech; every figure with a 95 % interval over speakers, beside a constant predictor.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from held_out import (
    AS_RECORDED,
    Held,
    HeldOutAnswers,
    held_out_sets,
    long_recordings,
    not_speech,
    surroundings,
    training_median,
)

from voxtrait.evaluation import Figure, age_figures, child_figures, gender_figures
from voxtrait.evaluation.age import age_answered, age_errors
from voxtrait.evaluation.answers import Surroundings
from voxtrait.evaluation.gender import gender_answered
from voxtrait.evaluation.resampling import Resamples, Statistic, figures_of, ratio
from voxtrait.evaluation.subgroups import subgroups_of
from voxtrait.training.recipe import Recipe, load_recipe

#: Language -> the group it is counted in.
_GROUPS = {
    "Germanic": "af da de en fy-NL nl nn-NO sv-SE",
    "Romance": "ca es fr it pt rm-sursilv rm-vallader ro",
    "Slavic and Baltic": "cs hsb lt lv mk pl ru sl uk",
    "other European": "br cy el et eu fi ga-IE hu ka mt eo ia ab",
    "Turkic and Mongolic": "cv ky mn sah tr tt",
    "South Asian": "as dv hi or pa-IN ta",
    "East and Southeast Asian": "cnh id ja th vi zh-CN zh-HK zh-TW",
    "African and Near Eastern": "ar fa kab lg rw",
}
LOCALE_GROUPS = {locale: group for group, locales in _GROUPS.items() for locale in locales.split()}
Row = tuple[str, str, Figure]


def figures(answers: pl.DataFrame, median: float) -> list[Figure]:
    """Return all figures of one set under one condition."""
    found = [*gender_figures(answers), *age_figures(answers, median), *child_figures(answers)]
    return [*found, *_speakers_alike(answers, median)]


def _speakers_alike(answers: pl.DataFrame, median: float) -> Iterator[Figure]:
    """Yield the main figures with each speaker counted alike, however many recordings they gave."""
    table = gender_answered(answers).with_columns(alike=1 / pl.len().over("speaker"))
    if not table.is_empty():
        resamples = Resamples(table["speaker"])
        right = (table["female"] > 0.5) == (table["gender"] == "female")
        mean = resamples.mean(right.to_numpy(), table["alike"].to_numpy())
        yield from figures_of([Statistic("gender accuracy, speakers alike", mean)], resamples.speakers)
    table = age_answered(answers).with_columns(alike=1 / pl.len().over("speaker"))
    if not table.is_empty():
        resamples = Resamples(table["speaker"])
        weights, size = table["alike"].to_numpy(), table.height
        mine = resamples.mean(age_errors(table, table["years"].to_numpy())[0], weights)
        constant = resamples.mean(age_errors(table, np.full(size, median))[0], weights)
        alike = Statistic("age MAE ratio, speakers alike", ratio(mine, constant), 1.0)
        yield from figures_of([alike], resamples.speakers)


def measure(recipe: Recipe, held: HeldOutAnswers, split: str | None) -> Iterator[Row]:
    """Yield (set, condition, figure) for everything on the sheet but what is not speech."""
    around, median = surroundings(recipe), training_median(recipe)
    for each in held_out_sets(recipe, split):
        for condition in each.conditions:
            answers = held.collect(each.table, condition, around)
            yield from _named(each.name, condition.name, figures(answers, median))
            if each.name == "Common Voice" and condition is AS_RECORDED:
                yield from _subgroups(answers, median)
                yield from _long(each, held, around, median)


def _named(name: str, condition: str, found: list[Figure]) -> Iterator[Row]:
    for figure in found:
        print(f"{name} | {condition} | {line(figure)}", flush=True)
        yield name, condition, figure


def _long(each: Held, held: HeldOutAnswers, around: Surroundings, median: float) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        joined = long_recordings(each.table, folder)
        answers = held.collect(joined, AS_RECORDED, around)
        yield from _named(each.name, "10 s, joined from one speaker's recordings", figures(answers, median))


def _subgroups(answers: pl.DataFrame, median: float) -> Iterator[Row]:
    table = answers.with_columns(
        duration="speech",
        snr=pl.lit(None, pl.Float64),
        locale=pl.col("locale").replace_strict(LOCALE_GROUPS, default="not known"),
    )
    named = {"gender and band": "", "locale": "languages: ", "duration": "speech of "}
    for group in subgroups_of(table, "male", median, 60.0):
        if group.by in named:
            yield from _named("Common Voice", named[group.by] + group.name, list(group.figures.values()))


def line(figure: Figure) -> str:
    """Return a figure as one row of text."""
    baseline = "" if figure.baseline is None else f"{figure.baseline:.3f}"
    return (
        f"{figure.name} | {figure.value:.3f} | {figure.low:.3f} - {figure.high:.3f} | "
        f"{baseline} | {figure.speakers}"
    )


def false_alarms(recipe: Recipe, held: HeldOutAnswers) -> dict[str, dict[str, int]]:
    """Return, for each kind of sound, how many there are, are answered, and have a gender decided."""
    predictor, found = held.predictor(None), {}
    for kind, files in not_speech(Path(recipe.data.folder)).items():
        answers = list(predictor.predict_many(files))
        decided = [answer.gender is not None and answer.gender.label != "unsure" for answer in answers]
        found[kind] = {
            "of": len(answers),
            "answered": sum(answer.status == "ok" for answer in answers),
            "decided": sum(decided),
        }
        print(f"not speech | {kind} | {found[kind]}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("bundle", help="a bundle, or the folder of a training with folds")
    parser.add_argument("-o", "--output", help="write the figures as JSON too")
    parser.add_argument("--split", default="test", help="of a bundle: whose speakers to measure on")
    options = parser.parse_args()
    recipe, held = load_recipe(options.recipe), HeldOutAnswers(options.bundle)
    split = None if held.has_folds else options.split
    if next(held_out_sets(recipe, split)).table.is_empty():
        parser.error(
            f"the recipe has no Common Voice speakers in the split {split}; give a training's folder"
        )
    rows = list(measure(recipe, held, split))
    alarms = false_alarms(recipe, held)
    if options.output:
        named = [{"set": name, "condition": condition, **asdict(figure)} for name, condition, figure in rows]
        sheet = {"figures": named, "not_speech": alarms}
        Path(options.output).write_text(json.dumps(sheet, indent=1) + "\n")


if __name__ == "__main__":
    main()
