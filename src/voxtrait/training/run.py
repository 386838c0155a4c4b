"""A training from recipe to bundle: prepare, train, export, calibrate, save."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voxtrait.bundle import (
    AgeCard,
    CalibrationRow,
    Card,
    Corpus,
    EmbeddingCard,
    FeatureCard,
    GenderCard,
    IntervalRow,
    ModelBundle,
    SplitSize,
    TrainingSummary,
    save_bundle,
)
from voxtrait.training.fit_card import fit_card
from voxtrait.training.models import Made, make_model
from voxtrait.training.prepare import Prepared, prepare, prepare_features
from voxtrait.training.ranks import Ranks, joined_ranks
from voxtrait.training.recipe import Recipe, load_recipe, system_of
from voxtrait.training.runfolder import describe_run, draw_history, open_run
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
        source = None if joins else prepare_features(recipe, prepared, cache, log.say)
    if ranks.first:
        log.say(describe_run(folder, recipe, prepared, ranks))
    made = make_model(recipe, prepared, source, folder, log, ranks)
    if not ranks.first:
        return
    log.say(f"exported {len(made.model) / 1e6:.2f} MB, equal to what was trained")
    draw_history(folder)
    bundle = _bundle(recipe, prepared, made)
    save_bundle(folder / "bundle", bundle.card, bundle.model)
    log.say(f"{bundle.title}: {len(bundle.model) / 1e6:.2f} MB in {folder / 'bundle'}")


def _bundle(recipe: Recipe, prepared: Prepared, made: Made) -> ModelBundle:
    """Return the model with its card, calibrated on the validation speakers."""
    card = _plain_card(recipe, prepared, made).sealed(made.model)
    return ModelBundle(
        fit_card(ModelBundle(card, made.model), recipe, prepared, made.targets.ages), made.model
    )


def _plain_card(recipe: Recipe, prepared: Prepared, made: Made) -> Card:
    """Return the card as it is before calibration: scores are taken at their word."""
    about, targets = recipe.bundle, made.targets
    as_is = CalibrationRow(speech=1.0, scale=1.0, bias=0.0)
    middle = IntervalRow(speech=1.0, low=0.1, high=0.9)
    return Card(
        name=about.name,
        version=about.version,
        licence=about.licence,
        origin=about.origin,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        description=about.description,
        preprocess=made.preprocess,
        features=FeatureCard(name=made.features.name, config=made.features.config),
        window=about.window,
        hop=about.window,
        min_speech=about.min_speech,
        gender=GenderCard(calibration=(as_is,), unsure_below=0.5) if targets.gender else None,
        age=AgeCard(grid=targets.ages.grid, interval=(middle,)) if targets.age else None,
        embedding=EmbeddingCard(size=made.embedding, threshold=0.5) if made.embedding else None,
        training=_summary(recipe, prepared),
    )


def _summary(recipe: Recipe, prepared: Prepared) -> TrainingSummary:
    manifest = prepared.manifest
    seconds = prepared.speech.sizes() / 16000
    names = manifest["corpus"].fill_null("").to_numpy()
    sources = [
        (source.name, source.licence, names == Path(source.path).name) for source in recipe.data.corpora
    ]
    if not sources:
        about = recipe.data
        sources = [(about.name or Path(str(about.manifest)).stem, about.licence, np.ones(len(names), bool))]
    corpora = [
        Corpus(
            name=name,
            licence=licence,
            speakers=len(np.unique(prepared.speakers[mine])),
            clips=int(mine.sum()),
            hours=round(float(seconds[mine].sum()) / 3600, 2),
        )
        for name, licence, mine in sources
    ]
    splits = {
        name: SplitSize(speakers=len(np.unique(prepared.speakers[rows])), clips=len(rows))
        for name, rows in prepared.rows.items()
    }
    text = json.dumps(recipe.model_dump(mode="json", exclude={"data": {"folder"}}), sort_keys=True)
    return TrainingSummary(corpora=tuple(corpora), seed=recipe.seed, recipe=text, splits=splits)
