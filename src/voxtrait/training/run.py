"""A training from recipe to bundle: prepare, train, export, calibrate, save."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from voxtrait.bundle import Card, ModelBundle, save_bundle
from voxtrait.errors import RecipeError
from voxtrait.training.fit_card import fit_card, score_held_out
from voxtrait.training.folds import train_folds
from voxtrait.training.models import make_model
from voxtrait.training.plain_card import plain_card
from voxtrait.training.prepare import Prepared, prepare, prepare_features
from voxtrait.training.ranks import Ranks, joined_ranks
from voxtrait.training.recipe import Recipe, load_recipe, system_of
from voxtrait.training.runfolder import describe_run, draw_history, open_run
from voxtrait.training.sampling import FrameSource
from voxtrait.training.watch import RunLog, Watcher, open_run_log

__all__ = ["train"]


def train(
    recipe_file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    watcher: Watcher,
    overrides: Sequence[str] = (),
) -> Path | None:
    """Train what a recipe says and return the folder of its bundle; None in a process that only helps.

    The run folder ``out`` gets ``recipe.yaml``, ``run.json`` (what the run depends on), ``log.txt``,
    ``history.jsonl``, ``curve.png``, ``tensorboard/``, checkpoints and ``bundle/``; prepared data lie in
    a cache folder beside it, for the next run on the same corpora. A run that was killed goes on where
    it was, to the same result; a finished one is left as it is.

    Under ``torchrun`` several processes train together: the first one writes.

    Raises:
        RecipeError, CorpusError, MissingExtraError: before anything is trained.
    """
    recipe = load_recipe(recipe_file, overrides)
    folder = Path(out)
    with joined_ranks() as ranks:
        if ranks.first:
            open_run(folder, recipe)
        ranks.agree(0.0)
        if (folder / "bundle").is_dir():
            watcher.say(f"{folder} is finished; name another folder to train again")
            return folder / "bundle"
        with open_run_log(folder, watcher, writes=ranks.first) as log:
            _run(recipe, folder, log, ranks)
    return folder / "bundle" if ranks.first else None


def _run(recipe: Recipe, folder: Path, log: RunLog, ranks: Ranks) -> None:
    cache = folder.parent / "cache"
    cache.mkdir(exist_ok=True)
    joins = system_of(recipe)[0].ensemble
    # The first process prepares; the others find it in the cache.
    with ranks.first_then_others():
        prepared = prepare(recipe, cache, log.say)
        source = None if joins else prepare_features(recipe, prepared, log.say)
    if ranks.first:
        log.say(describe_run(folder, recipe, prepared, ranks))
    if prepared.folds:
        card, model = _cross_fitted(recipe, prepared, source, folder, log, ranks)
    else:
        made = make_model(recipe, prepared, source, folder, log, ranks)
        if not ranks.first:
            return
        plain = plain_card(recipe, prepared, made)
        rows = prepared.rows["validation"]
        heard = score_held_out(ModelBundle(plain.sealed(made.model), made.model), recipe, prepared, rows)
        card, model = fit_card(plain, heard, recipe, made.targets.ages), made.model
    log.say(f"exported {len(model) / 1e6:.2f} MB, equal to what was trained")
    draw_history(folder, recipe.train.keep)
    saved = save_bundle(folder / "bundle", card, model)
    log.say(f"{saved.title}: {len(model) / 1e6:.2f} MB in {folder / 'bundle'}")


def _cross_fitted(
    recipe: Recipe, prepared: Prepared, source: FrameSource | None, folder: Path, log: RunLog, ranks: Ranks
) -> tuple[Card, bytes]:
    """Train the final network on all speakers, and one without each fold to calibrate it."""
    if ranks.size > 1 or source is None:
        raise RecipeError(
            "recipe_field", "data.folds: folds are trained by one process, and not for an ensemble."
        )
    if recipe.train.keep != "last":
        raise RecipeError(
            "recipe_field", "train.keep: with folds the last epoch is kept; set it to last, and train.epochs."
        )
    # First, so that the folds find in the cache what it prepares.
    made = make_model(recipe, prepared.holding_out(None), source, folder, log, ranks)
    heard = train_folds(recipe, prepared, folder, log)
    return fit_card(plain_card(recipe, prepared, made), heard, recipe, made.targets.ages), made.model
