"""Cross-fitting: networks that each leave a fold of the speakers out tell how the final one errs.

What a network says of speakers it has heard says nothing of new ones. Here every labelled speaker is
scored by the one network that has not heard them (Wolpert 1992, "Stacked generalization"): these scores
calibrate the final network, which may then hear everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from voxtrait.bundle import ModelBundle, load_bundle, save_bundle
from voxtrait.parallel import map_in_order
from voxtrait.training.fit_card import HeldOut, fit_card, score_held_out
from voxtrait.training.models import make_model
from voxtrait.training.plain_card import plain_card
from voxtrait.training.prepare import Prepared, prepare, prepare_features
from voxtrait.training.ranks import Ranks
from voxtrait.training.recipe import Recipe
from voxtrait.training.watch import RunLog, Silent, open_run_log

__all__ = ["train_folds"]

_SCORES = "held_out.npz"


@dataclass(frozen=True)
class _Fold:
    """One network to train: without the speakers of ``name``."""

    recipe: Recipe
    cache: Path
    folder: Path
    name: str


def train_folds(recipe: Recipe, prepared: Prepared, folder: Path, log: RunLog) -> HeldOut:
    """Train a network without each fold and return what each says of the speakers it has not heard.

    ``folder``/folds/NAME gets a run folder each; its bundle is calibrated on the speakers of the other
    folds. As many processes as the recipe has threads train at once. What is finished is not done again.
    """
    single = recipe.model_copy(update={"train": recipe.train.model_copy(update={"threads": 1})})
    folds = [_Fold(single, prepared.cache, folder / "folds" / name, name) for name in prepared.folds]
    workers = min(recipe.train.threads, len(folds))
    log.say(f"{len(folds)} networks, each without one fold of the speakers, {workers} at once")
    heard = []
    for fold, scores in zip(folds, map_in_order(_train_fold, folds, workers), strict=True):
        log.say(f"{fold.name}: trained and scored, log in {fold.folder}")
        heard.append(scores)
    ages = recipe.target.targets().ages
    for place, fold in enumerate(folds):
        bundle = load_bundle(fold.folder / "bundle")
        others = HeldOut.joined(heard[:place] + heard[place + 1 :])
        save_bundle(fold.folder / "bundle", fit_card(bundle.card, others, recipe, ages), bundle.model)
    return HeldOut.joined(heard)


def _train_fold(fold: _Fold) -> HeldOut:
    scores = fold.folder / _SCORES
    if scores.is_file():
        return HeldOut.load(scores)
    fold.folder.mkdir(parents=True, exist_ok=True)
    with open_run_log(fold.folder, Silent()) as log:
        prepared = prepare(fold.recipe, fold.cache, log.say)
        source = prepare_features(fold.recipe, prepared, log.say)
        part = prepared.holding_out(fold.name)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        made = make_model(fold.recipe, part, source, fold.folder, log, Ranks(0, 1, device))
    card = plain_card(fold.recipe, part, made).sealed(made.model)
    bundle = ModelBundle(card, made.model)
    save_bundle(fold.folder / "bundle", card, made.model)
    heard = score_held_out(bundle, fold.recipe, part, part.rows["validation"])
    heard.save(scores)
    return heard
