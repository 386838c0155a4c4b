"""What simple systems reach on the same held-out speakers: python benchmarks/baselines.py recipes/base.yaml

Embeddings of the untouched GE2E encoder over each recording's speech, with logistic regression for gender
and support vector regression for age, trained on the recipe's training speakers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from voxtrait.evaluation import Figure, age_figures, gender_figures
from voxtrait.systems.encoders.ge2e import Ge2eEncoder
from voxtrait.training.encoding import Encoders
from voxtrait.training.prepare import Prepared, balanced_labels, prepare, prepare_features
from voxtrait.training.recipe import Recipe, load_recipe

#: What the encoder reads.
FEATURES = (
    "features={name: mel-voice, config: {n_mels: 40, voice_every: 0}, versions: 1}",
    # Speakers of one split, instead of folds.
    "data.folds=0",
)


def answers(recipe: Recipe, prepared: Prepared) -> pl.DataFrame:
    """Return the manifest with the baselines' answers, in the columns of `collect_answers`."""
    source = prepare_features(recipe, prepared, lambda line: None)
    encoders = Encoders(recipe, prepared, source, torch.device("cpu"))
    embeddings = encoders.vectors(Ge2eEncoder.load(None), versions=1)[0]
    labels = balanced_labels(recipe, prepared)
    train = prepared.rows["train"]
    known = train[~np.isnan(labels.female[train])]
    gender = LogisticRegression(C=10.0, max_iter=2000)
    gender.fit(embeddings[known], labels.female[known], sample_weight=labels.gender_weight[known])
    female = gender.predict_proba(embeddings)[:, 1]
    middle = (labels.age_low + labels.age_high) / 2
    aged = train[~np.isnan(middle[train])]
    age = make_pipeline(StandardScaler(), SVR(C=9.0, epsilon=2.0, gamma=0.5 / embeddings.shape[1]))
    age.fit(embeddings[aged], middle[aged])
    years = age.predict(embeddings)
    return prepared.manifest.with_columns(
        female=pl.Series(female),
        label=pl.Series(np.where(female > 0.5, "female", "male")),
        years=pl.Series(years),
        low=pl.Series(years),
        high=pl.Series(years),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--cache", default="runs/cache", help="prepared data, as a training leaves them")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, FEATURES)
    prepared = prepare(recipe, Path(options.cache), lambda line: None)
    table = answers(recipe, prepared)
    voices = table.filter(pl.col("corpus").str.starts_with("cv-corpus"))
    train = voices.filter(pl.col("split") == "train")
    median = float(np.nanmedian(((train["age_low"] + train["age_high"]) / 2).to_numpy()))
    for split in ("validation", "test"):
        part = voices.filter(pl.col("split") == split)
        figures: list[Figure] = [*gender_figures(part), *age_figures(part, median)]
        for figure in figures:
            if figure.name not in ("gender decided", "gender wrong when decided", "age coverage"):
                print(
                    f"Common Voice, {split} | {figure.name} | {figure.value:.3f} | "
                    f"{figure.low:.3f} to {figure.high:.3f} | {figure.speakers} speakers"
                )


if __name__ == "__main__":
    main()
