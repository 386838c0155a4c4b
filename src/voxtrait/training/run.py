"""A training from recipe to bundle: prepare, train, export, calibrate, evaluate, save."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

import voxtrait
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
from voxtrait.errors import RecipeError
from voxtrait.features import build_features
from voxtrait.systems import SYSTEMS
from voxtrait.systems.base import EMBEDDING_SIZE, BaseConfig, BaseNetwork
from voxtrait.training.export import export_onnx
from voxtrait.training.fit_card import fit_cards
from voxtrait.training.loop import EpochReport, TrainingSet, train_network
from voxtrait.training.prepare import Prepared, balanced_labels, prepare, teacher_embeddings
from voxtrait.training.recipe import Recipe, load_recipe
from voxtrait.training.sampling import CropSampler

__all__ = ["train"]


def train(
    recipe_file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    say: Callable[[str], None],
    overrides: Sequence[str] = (),
) -> Path:
    """Train what a recipe says and return the folder of its bundle.

    The run folder ``out`` gets ``recipe.json``, ``log.txt``, ``network.pt`` and ``bundle/``; prepared
    data lie in a cache folder beside it, for the next run on the same corpora.

    Raises:
        RecipeError, CorpusError, MissingExtraError: before anything is trained.
    """
    recipe = load_recipe(recipe_file, overrides)
    config = _network_config(recipe)
    build_features(recipe.features.name, recipe.features.config)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    cache = folder.parent / "cache"
    cache.mkdir(exist_ok=True)
    with (folder / "log.txt").open("w", encoding="utf-8") as log:

        def tell(line: str) -> None:
            log.write(line + "\n")
            log.flush()
            say(line)

        (folder / "recipe.json").write_text(recipe.model_dump_json(indent=1))
        tell(f"voxtrait {voxtrait.__version__}, torch {torch.__version__}, seed {recipe.seed}")
        prepared = prepare(recipe, cache, tell)
        network = _train(recipe, config, prepared, folder, tell)
        bundle = make_bundle(recipe, prepared, network, tell)
        save_bundle(folder / "bundle", bundle.card, bundle.model)
        tell(f"{bundle.title}: {len(bundle.model) / 1e6:.2f} MB in {folder / 'bundle'}")
    return folder / "bundle"


def _network_config(recipe: Recipe) -> BaseConfig:
    """Return the network's settings, checked before hours are spent on anything else."""
    if recipe.system not in SYSTEMS:
        raise RecipeError(
            "recipe_field", f"system: there is no system {recipe.system!r}; there are {', '.join(SYSTEMS)}."
        )
    try:
        return BaseConfig.model_validate(recipe.network)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise RecipeError("recipe_field", f"network.{key}: {first['msg']}.") from error


def _train(
    recipe: Recipe, config: BaseConfig, prepared: Prepared, folder: Path, say: Callable[[str], None]
) -> BaseNetwork:
    settings = recipe.train
    torch.manual_seed(recipe.seed)
    network = BaseNetwork(config)
    shortest, longest = (round(seconds * 100) for seconds in settings.crop)
    mels = prepared.plan.config["n_mels"]
    data = TrainingSet(
        CropSampler(prepared.features, mels, (shortest, longest), settings.batch),
        balanced_labels(recipe, prepared),
        prepared.speakers,
        prepared.rows["train"],
        prepared.rows["validation"],
        teacher_embeddings(prepared, recipe, folder.parent / "cache"),
    )

    def report(result: EpochReport) -> None:
        say(str(result))

    def keep(best: BaseNetwork) -> None:
        partial = folder / "network.partial"
        torch.save(best.state_dict(), partial)
        partial.replace(folder / "network.pt")

    return train_network(network, data, settings, recipe.seed, report, keep)


def make_bundle(
    recipe: Recipe, prepared: Prepared, network: BaseNetwork, say: Callable[[str], None]
) -> ModelBundle:
    """Export a trained network and calibrate it on the validation speakers."""
    model = export_onnx(network, size=prepared.features.size)
    say(f"exported {len(model) / 1e6:.2f} MB, equal to torch at several lengths")
    plain = _plain_card(recipe, prepared, network).sealed(model)
    fitted = fit_cards(ModelBundle(plain, model), recipe, prepared)
    sections = {"gender": fitted.gender, "age": fitted.age, "embedding": fitted.embedding}
    return ModelBundle(plain.model_copy(update=sections), model)


def _plain_card(recipe: Recipe, prepared: Prepared, network: BaseNetwork) -> Card:
    """Return the card as it is before calibration: scores are taken at their word."""
    about = recipe.bundle
    as_is = CalibrationRow(speech=1.0, scale=1.0, bias=0.0)
    middle = IntervalRow(speech=1.0, low=0.1, high=0.9)
    return Card(
        name=about.name,
        version=about.version,
        licence=about.licence,
        origin=about.origin,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        description=about.description,
        features=FeatureCard(name=prepared.plan.name, config=prepared.plan.config),
        window=about.window,
        hop=about.window,
        min_speech=about.min_speech,
        gender=GenderCard(calibration=(as_is,), unsure_below=0.5),
        age=AgeCard(grid=network.config.ages, interval=(middle,)),
        embedding=EmbeddingCard(size=EMBEDDING_SIZE, threshold=0.5),
        training=_summary(recipe, prepared),
    )


def _summary(recipe: Recipe, prepared: Prepared) -> TrainingSummary:
    manifest = prepared.manifest
    seconds = prepared.speech.sizes() / 16000
    names = manifest["corpus"].to_numpy()
    corpora = []
    for source in recipe.data.corpora:
        mine = names == Path(source.path).name
        corpora.append(
            Corpus(
                name=source.name,
                licence=source.licence,
                speakers=len(np.unique(prepared.speakers[mine])),
                clips=int(mine.sum()),
                hours=round(float(seconds[mine].sum()) / 3600, 2),
            )
        )
    splits = {
        name: SplitSize(speakers=len(np.unique(prepared.speakers[rows])), clips=len(rows))
        for name, rows in prepared.rows.items()
    }
    text = json.dumps(recipe.model_dump(mode="json", exclude={"data": {"folder"}}), sort_keys=True)
    return TrainingSummary(corpora=tuple(corpora), seed=recipe.seed, recipe=text, splits=splits)
