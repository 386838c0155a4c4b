"""The sections of a recipe: every field with its type, its limits and what it means."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from voxtrait.augment import AugmentSettings
from voxtrait.errors import BundleError
from voxtrait.features import build_features
from voxtrait.preprocess import parse_steps
from voxtrait.systems.system import YEARS, AgeScale, Targets, Task

__all__ = ["CorpusSource", "Recipe", "TrainSection"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CorpusSource(_Section):
    """One corpus: where it lies and what is said of it in the model's card."""

    path: str = Field(description="folder or table, relative to the data folder")
    licence: str = Field(description="its licence, for the card")
    name: str = Field(description="its name, for the card")


class DataSection(_Section):
    """Which recordings, and how speakers are divided."""

    folder: str = Field(".", description="data folder, relative to the recipe file")
    corpora: tuple[CorpusSource, ...] = Field((), description="corpora to read, instead of a manifest")
    manifest: str | None = Field(None, description="a manifest, relative to the data folder")
    name: str = Field("", description="of the manifest's corpus, for the card")
    licence: str = Field("unknown", description="of the manifest's corpus, for the card")
    shares: dict[str, float] = Field(
        default={"train": 0.68, "validation": 0.14, "test": 0.18},
        description="share of speakers in each split; a manifest's own splits go before",
    )
    folds: int = Field(
        0,
        ge=0,
        le=50,
        description="parts of the speakers instead of shares: as many networks, each without one part, "
        "calibrate the final one, which hears all; 0 for shares",
    )
    noises: tuple[str, ...] = Field((), description="folders of environmental sounds to augment with")

    @field_validator("shares")
    @classmethod
    def _whole(cls, shares: dict[str, float]) -> dict[str, float]:
        if min(shares.values(), default=0) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
            raise ValueError("shares must not be negative and must sum to 1")
        return shares

    @field_validator("folds")
    @classmethod
    def _several(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one part leaves nothing to train on; give 0, or 2 and more")
        return folds

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.manifest is None) == (not self.corpora):
            raise ValueError("give either a manifest or corpora")
        return self


class TargetSection(_Section):
    """What the model shall tell."""

    task: Task = Field("both", description="both (a head each), gender, age, or gender_age (one head)")
    bands: tuple[float, ...] | None = Field(
        None, description="first years of the age groups to choose from; null for single years"
    )

    @field_validator("bands")
    @classmethod
    def _ascending(cls, bands: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if bands is not None and (len(bands) < 2 or any(low >= high for low, high in pairwise(bands))):
            raise ValueError("bands are two or more ascending ages")
        return bands

    def targets(self) -> Targets:
        """Return the task with its scale of ages."""
        return Targets(self.task, YEARS if self.bands is None else AgeScale.bands(self.bands))


class FeatureSection(_Section):
    """The features, as in a bundle's card."""

    name: str = Field("mel-voice", description="a name of the registry")
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

    epochs: int = Field(20, ge=1, description="passes over the training speakers, at most")
    minutes: float | None = Field(
        None, gt=0, description="of processor time after which the training stops; null for no limit"
    )
    batch: int = Field(64, ge=2, description="crops a step")
    clips: int = Field(2, ge=1, description="crops a speaker and epoch, at most one a recording")
    crop: tuple[float, float] = Field((1.5, 4.5), description="shortest and longest crop in seconds")
    crop_from: Literal["random", "first", "windows"] = Field(
        "random", description="crops begin anywhere, at the start, or where windows of their length do"
    )
    clean: float = Field(0.25, ge=0, le=1, description="share of crops without augmentation")
    masked: float = Field(0.0, ge=0, le=1, description="share of crops with bands and moments blanked out")
    optimiser: Literal["adamw", "adam", "rmsprop"] = Field("adamw", description="its algorithm")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="the rate after the warm-up")
    rate: float = Field(1e-3, gt=0, description="learning rate of new layers")
    encoder_rate: float = Field(2e-4, ge=0, description="learning rate of pretrained layers")
    weight_decay: float = Field(1e-4, ge=0, description="of the optimiser; decoupled from the rate in adamw")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    averaging: float = Field(0.998, ge=0, lt=1, description="decay of the moving average of the weights")
    smoothing: float = Field(0.05, ge=0, lt=0.5, description="label smoothing of gender")
    gender_weight: float = Field(1.0, ge=0, description="of the loss of gender")
    age_weight: float = Field(0.5, ge=0, description="of the loss of age")
    age_mean_weight: float = Field(1.0, ge=0, description="of the error of the mean age, within the age loss")
    age_spread: float = Field(4.0, ge=0, description="years of blur of an age label; 0 for a plain class")
    embedding_weight: float = Field(0.0, ge=0, description="of staying near the untouched encoder")
    gender_balance: float = Field(0.5, ge=0, le=1, description="0 as they come, 1 genders weighted equal")
    age_balance: float = Field(0.4, ge=0, le=1, description="the same for age groups")
    keep: Literal["best", "last"] = Field("best", description="the epoch whose network is kept")
    patience: int = Field(6, ge=1, description="epochs without a better validation loss before stopping")
    threads: int = Field(2, ge=1, description="processor threads, and processes that prepare data")
    mixed: bool = Field(True, description="half precision where the device computes faster in it")

    @field_validator("crop")
    @classmethod
    def _ascending(cls, crop: tuple[float, float]) -> tuple[float, float]:
        if not 0 < crop[0] <= crop[1]:
            raise ValueError("the shortest crop must be positive and not longer than the longest")
        return crop


class BundleSection(_Section):
    """What the bundle says of itself, and how it is used."""

    name: str = Field(description="in lower case, as the card has it")
    version: str = Field("1.0", description="of this training")
    licence: str = Field("unknown", description="of the weights")
    origin: str = Field("", description="what the weights derive from")
    description: str = Field("", description="what the model is for and what it cannot know")
    window: float = Field(3.0, gt=0, le=60, description="seconds of speech in a window")
    min_speech: float = Field(0.4, ge=0, description="seconds of speech below which there is no answer")
    error_when_decided: float = Field(0.01, gt=0, lt=0.5, description="aimed share of wrong decided answers")
    eight_bits: bool = Field(False, description="LSTM layers in 8 bits: smaller and faster")
    coverage: float = Field(0.8, gt=0, lt=1, description="of the age interval")


class Recipe(_Section):
    """A whole training."""

    system: str = Field(description="a name in voxtrait.systems")
    seed: int = Field(0, ge=0, description="of the split, the conditions, the crops and the network")
    data: DataSection
    target: TargetSection = TargetSection()
    preprocess: tuple[str, ...] = Field((), description="steps before the features, as in a bundle's card")
    features: FeatureSection = Field(default_factory=FeatureSection)
    augment: AugmentSettings = AugmentSettings()
    network: dict[str, Any] = Field(default={}, description="the system's own settings")
    train: TrainSection = TrainSection()
    bundle: BundleSection

    @field_validator("preprocess")
    @classmethod
    def _known(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        return parse_steps(steps)

    @property
    def data_folder(self) -> Path:
        """The folder that paths of the data section start at."""
        return Path(self.data.folder)
