"""Recipes: one YAML file says everything that a training needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voxtrait.errors import RecipeError, require
from voxtrait.systems import System, get_system
from voxtrait.systems.system import Settings
from voxtrait.training.sections import CorpusSource, Recipe, TrainSection

__all__ = ["CorpusSource", "Recipe", "TrainSection", "load_recipe", "system_of"]


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; each of ``overrides`` is ``section.key=value`` with a YAML value.

    What it leaves out is taken from its system's published settings, then from the fields' defaults.

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
    if not isinstance(content, dict) or not isinstance(content.get("system"), str):
        raise RecipeError("recipe_field", f"{file}: a recipe is a mapping that names a system.")
    recipe = _checked(merged(get_system(content["system"]).defaults, content), file)
    system_of(recipe)
    folder = (file.parent / recipe.data.folder).resolve()
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"folder": str(folder)})})


def system_of(recipe: Recipe) -> tuple[System, Settings]:
    """Return a recipe's system with the settings in its section ``network``.

    Raises:
        RecipeError: ``recipe_field`` for a wrong setting, or a task that the system does not learn.
    """
    system = get_system(recipe.system)
    if recipe.target.task not in system.tasks:
        raise RecipeError(
            "recipe_field",
            f"target.task: {system.name} learns {', '.join(system.tasks)}, not {recipe.target.task}.",
        )
    if system.reads and recipe.features.name not in system.reads:
        raise RecipeError(
            "recipe_field",
            f"features.name: {system.name} reads {' or '.join(system.reads)}, not {recipe.features.name}.",
        )
    if recipe.train.embedding_weight and system.teacher is None:
        raise RecipeError(
            "recipe_field", f"train.embedding_weight: {system.name} has no untouched encoder to stay near to."
        )
    try:
        return system, system.settings.model_validate(recipe.network)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, ("network", *first["loc"])))
        reason = first["msg"].removeprefix("Value error, ")
        raise RecipeError("recipe_field", f"{key}: {reason}.") from error


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with what it lacks taken from ``defaults``, section by section.

    A features section that names another extractor shares no settings with the default one.
    """
    out = dict(defaults)
    for key, value in given.items():
        before = out.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            if key == "features" and value.get("name", before.get("name")) != before.get("name"):
                before = {name: kept for name, kept in before.items() if name != "config"}
            value = merged(before, value)
        out[key] = value
    return out


def _checked(content: dict[str, Any], file: Path) -> Recipe:
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the recipe"
        reason = first["msg"].removeprefix("Value error, ")
        raise RecipeError("recipe_field", f"{file}: {key}: {reason}.") from error


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
