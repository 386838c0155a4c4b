"""How tests train: in a process of its own, on one thread."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Train = Callable[..., "subprocess.CompletedProcess[str]"]


def command(folder: Path, *options: str, recipe: str = "recipe.yaml") -> list[str]:
    """Return the command that trains a recipe of ``folder``."""
    return [sys.executable, "-m", "voxtrait", "train", str(folder / recipe), *options]


def environment() -> dict[str, str]:
    """Return an environment whose programs compute on one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
