"""``voxtrait train``: a recipe to a bundle."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from voxtrait.cli.messages import say
from voxtrait.cli.output import open_output, writing_to
from voxtrait.errors import MissingExtraError, require

__all__ = ["train"]


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file; see recipes/.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as train.epochs=3; repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="RUN_FOLDER", help="By default runs/ and the recipe's name."),
    ] = None,
) -> int:
    """Train a model; its bundle then works with every command. Needs pip install 'voxtrait[train]'.

    Prints the bundle's folder.

    \b
    Example:
      voxtrait train recipes/base.yaml
      voxtrait train recipes/base.yaml --set train.epochs=3 --set seed=1 -o runs/short
    """
    run = _training()
    bundle: Path = run.train(recipe, output or Path("runs") / recipe.stem, say, settings or ())
    with open_output(None) as stream, writing_to(None):
        stream.write(f"{bundle}\n")
    return 0


def _training() -> ModuleType:
    """Import the training room, or say which packages it lacks.

    Raises:
        MissingExtraError: if one is not installed.
    """
    try:
        return importlib.import_module("voxtrait.training.run")
    except MissingExtraError:
        raise
    except ImportError as error:
        if error.name and not error.name.startswith("voxtrait"):
            require(error.name, "train")
        raise
