"""How tests train: in a process of its own, on one thread."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from voxtrait.training.watch import EpochReport

Train = Callable[..., "subprocess.CompletedProcess[str]"]


def command(folder: Path, *options: str, recipe: str = "recipe.yaml") -> list[str]:
    """Return the command that trains a recipe of ``folder``."""
    return [sys.executable, "-m", "voxtrait", "train", str(folder / recipe), *options]


def environment() -> dict[str, str]:
    """Return an environment whose programs compute on one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Quiet:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def step(self, epoch: int, epochs: int, share: float, loss: float) -> None:
        """Nobody watches."""

    def epoch(self, report: EpochReport) -> None:
        self.lines.append(str(report))
