"""The state of a training after an epoch, from which it goes on to the same result."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from voxtrait.errors import RecipeError
from voxtrait.training.store import writing_into

__all__ = ["Progress", "load_network", "load_state", "save_state", "write_whole"]


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        epoch: epochs done.
        step: steps done.
        best_loss: least validation loss.
        since: epochs since there was a better one.
        spent: seconds of processor time.
    """

    epoch: int = 0
    step: int = 0
    best_loss: float = float("inf")
    since: int = 0
    spent: float = 0.0


def write_whole(content: Any, file: Path) -> None:
    """Save with torch; the file is replaced whole or not at all.

    Raises:
        UsageError: ``no_space`` if the disk is full, ``output`` if the file cannot be written.
    """
    # In memory first: torch reports a full disk as a fault of its own.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    partial = file.with_name(file.name + ".partial")
    with writing_into(file.parent):
        partial.write_bytes(buffer.getbuffer())
        partial.replace(file)


def save_state(
    file: Path, progress: Progress, parts: dict[str, Any], rngs: dict[str, np.random.Generator]
) -> None:
    """Write everything that the next epoch depends on.

    Args:
        file: replaced whole or not at all.
        progress: how far the training is.
        parts: name -> whatever has a ``state_dict``.
        rngs: name -> generator.
    """
    state = {
        "progress": vars(progress),
        "parts": {name: part.state_dict() for name, part in parts.items()},
        "rngs": {name: rng.bit_generator.state for name, rng in rngs.items()},
        "torch": torch.get_rng_state(),
    }
    write_whole(state, file)


def load_state(file: Path, parts: dict[str, Any], rngs: dict[str, np.random.Generator]) -> Progress:
    """Put back what `save_state` wrote and return how far the training had come.

    Raises:
        RecipeError: ``run_corrupt`` if the file is not such a state.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        for name, rng in rngs.items():
            rng.bit_generator.state = state["rngs"][name]
        torch.set_rng_state(state["torch"])
        return Progress(**state["progress"])
    # Torch raises whatever its unpickler or a module raises.
    except Exception as error:
        raise RecipeError(
            "run_corrupt", f"{file} cannot be gone on from; remove its folder and train anew."
        ) from error


def load_network(network: nn.Module, file: Path) -> None:
    """Load the weights of the best epoch."""
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
