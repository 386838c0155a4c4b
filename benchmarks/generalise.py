"""How the recipe does on what it was kept from, and with fewer speakers.

    python benchmarks/generalise.py recipes/base.yaml runs -o benchmarks/generalise.json

Leave-one-corpus-out and leave-languages-out: three trainings, each without one of the smaller corpora and
without a third of Common Voice's language groups, measured on what they were kept from. Learning curve: the
same recipe on 100, 200, 400, 800 and all training speakers, two draws each, measured on the same test
speakers, with the fitted law and what it foretells. Each training is a folder in the folder given,
beside the cache that they share with the default model's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from accuracy import LOCALE_GROUPS, figures, line
from held_out import AS_RECORDED, OUT_OF_DOMAIN, HeldOutAnswers, surroundings
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, load_audio
from voxtrait.augment import Augmenter
from voxtrait.bundle import load_bundle
from voxtrait.corpora import assign_splits, read_corpus, write_manifest
from voxtrait.evaluation import Figure
from voxtrait.features import build_features
from voxtrait.speech import SpeechDetector
from voxtrait.training.feature_cache import read_noises
from voxtrait.training.prepare import noise_files, recipe_manifest
from voxtrait.training.recipe import Recipe, load_recipe
from voxtrait.training.run import train
from voxtrait.training.watch import Silent

#: Kept from one training each: a corpus, and groups of languages.
LEFT_OUT = (
    ("librispeech-sample", ("Romance", "Turkic and Mongolic")),
    ("saarbruecken-voices", ("East and Southeast Asian", "Slavic and Baltic", "South Asian")),
    ("speechocean762", ("African and Near Eastern", "other European")),
)
SPEAKERS = (100, 200, 400, 800, None)
DRAWS = 2
FORETOLD = (20_000, 90_000)
_TIMED = 300
_CV = pl.col("corpus").str.starts_with("cv-corpus")


class Trainings:
    """Trains the recipe on splits of its corpora, and measures.

    Args:
        file: the recipe.
        folder: where the trainings go.
    """

    def __init__(self, file: str, folder: Path) -> None:
        self._file, self._folder = file, folder
        self.recipe: Recipe = load_recipe(file)
        self.manifest = recipe_manifest(self.recipe)[0].drop("split")
        self._around = surroundings(self.recipe)
        self.latest = folder

    def bundle(self, name: str, table: pl.DataFrame) -> str:
        """Train on the splits of ``table`` and return the bundle's folder."""
        manifest = (self._folder / f"{name}.parquet").resolve()
        write_manifest(table, manifest)
        settings = (f"data.manifest={manifest}", "data.corpora=[]", "data.folds=0")
        print(f"training {name}", flush=True)
        train(self._file, self._folder / name, Silent(), settings)
        self.latest = self._folder / name / "bundle"
        return str(self.latest)

    def figures(self, bundle: str, table: pl.DataFrame, median: float) -> list[Figure]:
        """Return the figures of a bundle on recordings that it was kept from."""
        answers = HeldOutAnswers(bundle).collect(table, AS_RECORDED, self._around)
        return figures(answers, median)


def _median(table: pl.DataFrame) -> float:
    train = table.filter((pl.col("split") == "train") & _CV)
    median = ((train["age_low"] + train["age_high"]) / 2).median()
    assert isinstance(median, float)
    return median


def left_out(trainings: Trainings) -> Iterator[dict[str, Any]]:
    """Yield the figures on each corpus and language group by the training that was kept from it."""
    manifest, folder = trainings.manifest, Path(trainings.recipe.data.folder)
    group = pl.col("locale").replace_strict(LOCALE_GROUPS, default=None)
    for number, (corpus, groups) in enumerate(LEFT_OUT, 1):
        kept_from = (pl.col("corpus") == corpus) | (_CV & group.is_in(groups).fill_null(False))
        # Whole speakers: some speak several languages.
        is_out = pl.col("speaker").is_in(manifest.filter(kept_from)["speaker"].unique().to_list())
        inside = assign_splits(manifest.filter(~is_out), {"train": 0.9, "validation": 0.1}, 1)
        table = pl.concat(
            [inside, manifest.filter(is_out).with_columns(split=pl.lit("test"))], how="diagonal"
        )
        bundle, median = trainings.bundle(f"left-out-{number}", table), _median(table)
        own, middle = table.filter(pl.col("corpus") == corpus), (pl.col("age_low") + pl.col("age_high")) / 2
        sets = {corpus: own}
        if corpus == "speechocean762":
            sets = {f"{corpus} from 14 years": own.filter(middle >= 14)}
        sets |= {name: table.filter(_CV & (group == name)) for name in groups}
        if number == 1:
            sets["Coswara"] = read_corpus(folder / OUT_OF_DOMAIN)
        for name, part in sets.items():
            for figure in trainings.figures(bundle, part, median):
                print(f"left out | {name} | {line(figure)}", flush=True)
                yield {"set": name, **asdict(figure)}


def learning_curve(trainings: Trainings) -> Iterator[dict[str, Any]]:
    """Yield gender error and age MAE on the same test speakers for growing numbers of training speakers."""
    table = assign_splits(trainings.manifest, {"train": 0.7, "validation": 0.1, "test": 0.2}, 1)
    test, median = table.filter((pl.col("split") == "test") & _CV), _median(table)
    labelled = pl.col("gender").is_in(["female", "male"]) | pl.col("age_low").is_not_null()
    speakers = table.filter((pl.col("split") == "train") & labelled)["speaker"].unique().sort()
    for count in SPEAKERS:
        for draw in range(DRAWS if count else 1):
            size = count or len(speakers)
            chosen = speakers.sample(size, seed=draw, shuffle=True).to_list()
            unused = (pl.col("split") == "train") & ~pl.col("speaker").is_in(chosen)
            part = table.with_columns(split=pl.when(unused).then(pl.lit("unused")).otherwise("split"))
            bundle = trainings.bundle(f"curve-{size}-{draw}", part)
            found = {each.name: each for each in trainings.figures(bundle, test, median)}
            row = {
                "speakers": size,
                "draw": draw,
                "gender error": 1 - found["gender accuracy"].value,
                "gender error, speakers alike": 1 - found["gender accuracy, speakers alike"].value,
                "age MAE": found["age MAE"].value,
                "age MAE ratio, speakers alike": found["age MAE ratio, speakers alike"].value,
            }
            print(row, flush=True)
            yield row


def cost(trainings: Trainings) -> dict[str, float]:
    """Return processor seconds that an hour of recordings takes: to read, and to hear once, augmented."""
    recipe, manifest = trainings.recipe, trainings.manifest
    samples = manifest.sample(_TIMED, seed=0)["path"].to_list()
    detector, began = SpeechDetector(), time.process_time()
    recordings = [load_audio(path) for path in samples]
    speech = [np.concatenate([each[a:b] for a, b in detector.spans(each)] or [each]) for each in recordings]
    read = time.process_time() - began
    augmenter = Augmenter(recipe.augment, read_noises(noise_files(recipe)), speech[:50])
    extractor = build_features(recipe.features.name, recipe.features.config)
    # The rooms are simulated once.
    augmenter(speech[0], np.random.default_rng(0))
    began = time.process_time()
    for number, each in enumerate(speech):
        extractor.extract(augmenter(each, np.random.default_rng(number)))
    heard = time.process_time() - began
    session = load_bundle(str(trainings.latest)).session(1)
    began = time.process_time()
    for each in speech:
        frames = extractor.extract(each)
        if len(frames):
            session.run(None, {"features": frames[None], "lengths": np.array([len(frames)])})
    encoded = time.process_time() - began
    hours = sum(each.size for each in recordings) / SAMPLE_RATE / 3600
    return {
        "hours": hours,
        "hours of speech": sum(each.size for each in speech) / SAMPLE_RATE / 3600,
        "read and find speech": read / hours,
        "augment and extract, once": heard / hours,
        "encode, once": encoded / hours,
    }


def fitted_law(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Fit error = floor + scale * speakers ** -power and say what it foretells (Hestness et al. 2017).

    The range is that of fits to resampled trainings: it knows nothing of whether the law goes on.
    """
    sizes = np.array([row["speakers"] for row in rows], np.float64)
    errors = np.array([row[name] for row in rows], np.float64)
    best = _fit(sizes, errors)
    rng, foretold = np.random.default_rng(0), []
    for _ in range(200):
        chosen = rng.integers(len(rows), size=len(rows))
        if len(np.unique(sizes[chosen])) >= 3:
            foretold.append(_law(_fit(sizes[chosen], errors[chosen]), np.array(FORETOLD, np.float64)))
    low, high = np.percentile(foretold, [10, 90], axis=0)
    values = _law(best, np.array(FORETOLD, np.float64))
    return {
        "of": name,
        "floor": best[0],
        "scale": best[1],
        "power": best[2],
        "foretold": {
            str(size): [float(value), float(least), float(most)]
            for size, value, least, most in zip(FORETOLD, values, low, high, strict=True)
        },
    }


def _law(parameters: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    floor, scale, power = parameters
    return np.asarray(floor + scale * sizes**-power)


def _fit(sizes: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import least_squares

    def residuals(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return _law(parameters, sizes) / errors - 1

    start = [errors.min() / 2, (errors.max() - errors.min() / 2) * 10, 0.5]
    return np.asarray(least_squares(residuals, start, bounds=([0, 0, 0.02], [np.inf, np.inf, 2])).x)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    trainings = Trainings(options.recipe, options.folder)
    curve = list(learning_curve(trainings))
    laws = [fitted_law(curve, name) for name in list(curve[0])[2:]]
    for law in laws:
        print(law)
    kept_from, spent = list(left_out(trainings)), cost(trainings)
    print(spent)
    found = {"left_out": kept_from, "curve": curve, "laws": laws, "cost": spent}
    options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
