"""What each choice of the default recipe is worth: python benchmarks/ablations.py recipes/base.yaml runs

Every variant is the recipe with one setting changed, cross-validated over the recipe's folds; figures are of
the held-out speakers of all corpora, each recording once as it is and once under random conditions, the mean
over folds and its standard error over them. Small differences are chance.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from voxtrait.parallel import map_in_order
from voxtrait.training.models import make_model
from voxtrait.training.prepare import prepare, prepare_features
from voxtrait.training.ranks import Ranks
from voxtrait.training.recipe import load_recipe
from voxtrait.training.watch import Silent, open_run_log, read_history

VARIANTS: dict[str, tuple[str, ...]] = {
    "the recipe as it is": (),
    "no augmentation": ("train.clean=1",),
    "half the augmented copies": ("features.versions=4",),
    "hidden layer of 256": ("network={hidden: 256}",),
    "hidden layer of 16": ("network={hidden: 16}",),
    "dropout 0.3": ("network={dropout: 0.3}",),
    "dropout 0.7": ("network={dropout: 0.7}",),
    "5 epochs": ("train.epochs=5",),
    "60 epochs": ("train.epochs=60",),
    "no averaging of weights": ("train.averaging=0",),
    "no label smoothing": ("train.smoothing=0",),
    "label smoothing 0.15": ("train.smoothing=0.15",),
    "genders as they come": ("train.gender_balance=0",),
    "genders weighted equal": ("train.gender_balance=1",),
    "age groups weighted equal": ("train.age_balance=1",),
    "age labels not blurred": ("train.age_spread=1",),
    "age labels blurred by 8 years": ("train.age_spread=8",),
    "no error of the mean age in the loss": ("train.age_mean_weight=0",),
    "weight decay 1e-4": ("train.weight_decay=1e-4",),
}
COLUMNS = ("loss", "accuracy", "uar", "age_ratio", "age_correlation")


@dataclass(frozen=True)
class _Task:
    """One training: a variant without a fold."""

    recipe: str
    settings: tuple[str, ...]
    fold: str
    cache: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("folder", type=Path, help="where the cache of the recipe's training lies")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON too")
    options = parser.parse_args()
    cache = options.folder / "cache"
    folds = prepare(load_recipe(options.recipe), cache, print).folds
    tasks = [_Task(options.recipe, each, fold, cache) for each in VARIANTS.values() for fold in folds]
    found, table = map_in_order(_last_epoch, tasks, 2), []
    for name, settings in VARIANTS.items():
        rows = list(islice(found, len(folds)))
        values = {column: np.array([row[column] for row in rows], np.float64) for column in COLUMNS}
        row = {
            column: (float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))))
            for column, each in values.items()
        }
        table.append({"variant": name, "settings": settings, **row})
        shown = " | ".join(f"{row[column][0]:.3f} ± {row[column][1]:.3f}" for column in COLUMNS)
        print(f"| {name} | {shown} |", flush=True)
    if options.output:
        options.output.write_text(json.dumps(table, indent=1) + "\n")


def _last_epoch(task: _Task) -> dict[str, float | None]:
    """Return the figures of the held-out fold after the last epoch."""
    torch.set_num_threads(1)
    recipe = load_recipe(task.recipe, (*task.settings, "train.threads=1"))
    prepared = prepare(recipe, task.cache, lambda line: None)
    source = prepare_features(recipe, prepared, lambda line: None)
    with tempfile.TemporaryDirectory() as folder, open_run_log(Path(folder), Silent()) as log:
        ranks = Ranks(0, 1, torch.device("cpu"))
        make_model(recipe, prepared.holding_out(task.fold), source, Path(folder), log, ranks)
        return read_history(Path(folder))[-1]


if __name__ == "__main__":
    main()
