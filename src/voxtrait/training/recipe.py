"""Recipes: one YAML file says everything that a training needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from voxtrait.augment import AugmentSettings
from voxtrait.errors import BundleError, RecipeError, require
from voxtrait.features import build_features

__all__ = ["Recipe", "load_recipe"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CorpusSource(_Section):
    """One corpus: where it lies and what is said of it in the model's card."""

    path: str = Field(description="folder or table, relative to the recipe's data folder")
    licence: str = Field(description="its licence, for the card")
    name: str = Field(description="its name, for the card")


class DataSection(_Section):
    """Which recordings, and how speakers are divided."""

    folder: str = Field(description="data folder, relative to the recipe file")
    corpora: tuple[CorpusSource, ...] = Field(min_length=1)
    shares: dict[str, float] = Field(
        default={"train": 0.68, "validation": 0.14, "test": 0.18},
        description="share of speakers in each split",
    )
    noises: tuple[str, ...] = Field((), description="folders of environmental sounds to augment with")

    @field_validator("shares")
    @classmethod
    def _whole(cls, shares: dict[str, float]) -> dict[str, float]:
        if min(shares.values(), default=0) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
            raise ValueError("shares must not be negative and must sum to 1")
        return shares


class FeatureSection(_Section):
    """The features, as in a bundle's card."""

    name: str = "mel-voice"
    config: dict[str, int | float | bool | str] = Field(
        {}, validate_default=True, description="its settings; those left out are filled in"
    )
    versions: int = Field(6, ge=1, le=64, description="times each recording is stored; all but one augmented")

    @field_validator("config")
    @classmethod
    def _complete(cls, config: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        try:
            return asdict(build_features(info.data.get("name", ""), config).config)
        except BundleError as error:
            raise ValueError(error.message.rstrip(".")) from error


class TrainSection(_Section):
    """The optimisation."""

    epochs: int = Field(20, ge=1)
    batch: int = Field(64, ge=1, description="crops a step")
    clips: int = Field(2, ge=1, description="crops a speaker and epoch, at most one a recording")
    crop: tuple[float, float] = Field((1.5, 4.5), description="shortest and longest crop in seconds")
    clean: float = Field(0.25, ge=0, le=1, description="share of crops without augmentation")
    masked: float = Field(0.0, ge=0, le=1, description="share of crops with bands and moments blanked out")
    rate: float = Field(1e-3, gt=0, description="learning rate of new layers")
    encoder_rate: float = Field(2e-4, ge=0, description="learning rate of pretrained layers")
    weight_decay: float = Field(1e-4, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    averaging: float = Field(0.998, ge=0, lt=1, description="decay of the moving average of the weights")
    smoothing: float = Field(0.05, ge=0, lt=0.5, description="label smoothing of gender")
    gender_weight: float = Field(1.0, ge=0)
    age_weight: float = Field(0.5, ge=0)
    age_mean_weight: float = Field(1.0, ge=0, description="of the error of the mean age, within the age loss")
    age_spread: float = Field(4.0, gt=0, description="years of blur of an age label")
    embedding_weight: float = Field(1.0, ge=0, description="of staying near the untouched encoder")
    gender_balance: float = Field(0.5, ge=0, le=1, description="0 as they come, 1 genders weighted equal")
    age_balance: float = Field(0.4, ge=0, le=1, description="the same for age groups")
    patience: int = Field(6, ge=1, description="epochs without a better validation loss before stopping")
    threads: int = Field(2, ge=1)

    @field_validator("crop")
    @classmethod
    def _ascending(cls, crop: tuple[float, float]) -> tuple[float, float]:
        if not 0 < crop[0] <= crop[1]:
            raise ValueError("the shortest crop must be positive and not longer than the longest")
        return crop


class BundleSection(_Section):
    """What the bundle says of itself, and how it is used."""

    name: str
    version: str
    licence: str
    origin: str
    description: str
    window: float = Field(3.0, gt=0, description="seconds of speech in a window")
    min_speech: float = Field(0.4, ge=0, description="seconds of speech below which there is no answer")
    error_when_decided: float = Field(0.01, gt=0, lt=0.5, description="aimed share of wrong decided answers")
    coverage: float = Field(0.8, gt=0, lt=1, description="of the age interval")


class Recipe(_Section):
    """A whole training."""

    system: str = Field(description="a name in voxtrait.systems")
    seed: int = 0
    data: DataSection
    features: FeatureSection = FeatureSection()
    augment: AugmentSettings = AugmentSettings()
    network: dict[str, Any] = Field(default={}, description="the system's own settings")
    train: TrainSection = TrainSection()
    bundle: BundleSection


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; each of ``overrides`` is ``section.key=value`` with a YAML value.

    Raises:
        RecipeError: ``recipe_not_found``, ``recipe_syntax`` or ``recipe_field``, which names the key.
    """
    yaml = require("yaml", "train")
    file = Path(path)
    if not file.is_file():
        raise RecipeError("recipe_not_found", f"There is no recipe {file}.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        for override in overrides:
            _set(content, override, yaml)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError("recipe_syntax", f"{file} is not YAML: {' '.join(str(error).split())}") from error
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the recipe"
        reason = first["msg"].removeprefix("Value error, ")
        raise RecipeError("recipe_field", f"{file}: {key}: {reason}.") from error
    folder = (file.parent / recipe.data.folder).resolve()
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"folder": str(folder)})})


def _set(content: Any, override: str, yaml: Any) -> None:
    key, equals, text = override.partition("=")
    if not key or not equals:
        raise RecipeError("recipe_field", f"--set takes key=value, not {override!r}.")
    place = content
    *sections, last = key.split(".")
    for section in sections:
        place = place.setdefault(section, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise RecipeError("recipe_field", f"--set {override}: the recipe has no section {key!r}.")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError("recipe_field", f"--set {override}: the value is not YAML.") from error
