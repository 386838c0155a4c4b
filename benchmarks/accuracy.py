"""The sheet of figures of a bundle: python benchmarks/accuracy.py recipes/base.yaml BUNDLE [-o FILE]

Held-out speakers of the recipe's corpora, as recorded and under simulated conditions, and corpora that
no training saw; every figure with a 95 % interval over speakers, beside a constant predictor.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import polars as pl

from voxtrait.audio import find_sources, load_audio
from voxtrait.corpora import read_corpus
from voxtrait.evaluation import CONDITIONS, Figure, age_figures, collect_answers, gender_figures
from voxtrait.evaluation.answers import Surroundings
from voxtrait.predictor import Predictor
from voxtrait.training.prepare import recipe_manifest
from voxtrait.training.recipe import Recipe, load_recipe

#: Sounds that the recipe keeps out of training.
HELD_OUT_NOISES = ("esc-10/rooster", "esc-10/sea-waves")
NOT_SPEECH = (
    "chainsaw",
    "clock-tick",
    "dog-bark",
    "fire-crackling",
    "helicopter",
    "rain",
    "rooster",
    "sea-waves",
    "baby-cry",
    "person-sneeze",
)
OUT_OF_DOMAIN = "coswara-counting"
_VOICES = 60


def test_sets(recipe: Recipe, split: str) -> dict[str, pl.DataFrame]:
    """Return the sets to measure on, by name; none shares a speaker with training."""
    manifest, _ = recipe_manifest(recipe)
    held_out = manifest.filter(pl.col("split") == split)
    middle = (pl.col("age_low") + pl.col("age_high")) / 2
    common_voice = held_out.filter(pl.col("corpus").str.starts_with("cv-corpus"))
    children = held_out.filter(pl.col("corpus") == "speechocean762")
    return {
        "Common Voice": common_voice,
        "speechocean762 from 14 years": children.filter(middle >= 14),
        "speechocean762 under 13 years": children.filter(middle < 13),
        "LibriSpeech": held_out.filter(pl.col("corpus") == "librispeech-sample"),
        "Saarbruecken voices": held_out.filter(pl.col("corpus") == "saarbruecken-voices"),
        "Coswara": read_corpus(Path(recipe.data.folder) / OUT_OF_DOMAIN),
    }


def surroundings(recipe: Recipe, split: str) -> Surroundings:
    """Return noises that training never met, and held-out voices to mix babble from."""
    folder = Path(recipe.data.folder)
    noises = [load_audio(path) for path in find_sources(folder / name for name in HELD_OUT_NOISES)]
    manifest, _ = recipe_manifest(recipe)
    voices = manifest.filter((pl.col("split") == split) & (pl.col("corpus") == "librispeech-sample"))
    paths = voices.unique("speaker", maintain_order=True)["path"].to_list()[:_VOICES]
    return Surroundings([noise for noise in noises if noise.any()], [load_audio(path) for path in paths])


def training_median(recipe: Recipe) -> float:
    """Return the median age of the Common Voice recordings in training: the constant's answer."""
    manifest, _ = recipe_manifest(recipe)
    train = manifest.filter((pl.col("split") == "train") & pl.col("corpus").str.starts_with("cv-corpus"))
    median = ((train["age_low"] + train["age_high"]) / 2).median()
    assert isinstance(median, float)
    return median


def measure(recipe: Recipe, bundle: str, split: str) -> list[tuple[str, str, Figure]]:
    """Return (set, condition, figure) for everything on the sheet."""
    predictor = Predictor(bundle)
    around, median = surroundings(recipe, split), training_median(recipe)
    rows = []
    for name, table in test_sets(recipe, split).items():
        conditions = CONDITIONS if name == "Common Voice" else {"as recorded": CONDITIONS["as recorded"]}
        for condition in conditions.values():
            answers = collect_answers(predictor, table, condition, around)
            figures = [*gender_figures(answers), *age_figures(answers, median)]
            rows += [(name, condition.name, figure) for figure in figures]
            for figure in figures:
                print(f"{name} | {condition.name} | {line(figure)}", flush=True)
    return rows


def line(figure: Figure) -> str:
    """Return a figure as one row of text."""
    baseline = "" if figure.baseline is None else f"{figure.baseline:.3f}"
    return (
        f"{figure.name} | {figure.value:.3f} | {figure.low:.3f} - {figure.high:.3f} | "
        f"{baseline} | {figure.speakers}"
    )


def false_alarms(recipe: Recipe, bundle: str) -> dict[str, tuple[int, int]]:
    """Return how many of each class of environmental sounds are answered, and of how many."""
    predictor = Predictor(bundle)
    folder = Path(recipe.data.folder) / "esc-10"
    found = {}
    for name in NOT_SPEECH:
        answers = list(predictor.predict_many(find_sources([folder / name])))
        found[name] = (sum(answer.status == "ok" for answer in answers), len(answers))
        print(f"not speech | {name} | answered {found[name][0]} of {found[name][1]}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("bundle")
    parser.add_argument("-o", "--output", help="write the figures as JSON too")
    parser.add_argument("--split", default="test", help="whose speakers to measure on")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe)
    rows = measure(recipe, options.bundle, options.split)
    alarms = false_alarms(recipe, options.bundle)
    if options.output:
        sheet = {
            "figures": [
                {"set": name, "condition": condition, **asdict(fig)} for name, condition, fig in rows
            ],
            "not_speech": alarms,
        }
        Path(options.output).write_text(json.dumps(sheet, indent=1) + "\n")


if __name__ == "__main__":
    main()
