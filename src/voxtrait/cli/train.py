"""``voxtrait train``: a recipe to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxtrait.cli.extras import importing
from voxtrait.cli.output import open_output, writing_to

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

    The same command goes on with a run that was killed. Prints the bundle's folder.

    \b
    Example:
      voxtrait train recipes/base.yaml
      voxtrait train recipes/crnn.yaml --set train.epochs=3 --set seed=1 -o runs/short
      torchrun --nproc-per-node 2 -m voxtrait train recipes/crnn.yaml
    """
    from voxtrait.cli.live import TrainingView

    with importing("train"):
        from voxtrait.training.run import train as run

        with TrainingView() as view:
            bundle = run(recipe, output or Path("runs") / recipe.stem, view, settings or ())
    if bundle is None:
        return 0
    with open_output(None) as stream, writing_to(None):
        stream.write(f"{bundle}\n")
    return 0
