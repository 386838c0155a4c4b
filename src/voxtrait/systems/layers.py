"""What a network is made of, as it runs on one window: for people who choose a system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Layer", "list_layers"]


@dataclass(frozen=True)
class Layer:
    """A layer without layers of its own.

    Attributes:
        name: its place in the network.
        kind: its class.
        shape: of its output for one window, without the batch.
        parameters: that are trained with it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@torch.no_grad()
def list_layers(network: nn.Module, frames: int, size: int) -> list[Layer]:
    """Return the layers in the order in which they run on one window of (frames, size) features."""
    found: list[Layer] = []
    names = {module: name for name, module in network.named_modules()}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        out: Tensor = output[0] if isinstance(output, tuple) else output
        count = sum(parameter.numel() for parameter in module.parameters())
        found.append(Layer(names[module], type(module).__name__, tuple(out.shape[1:]), count))

    leaves = [module for module in names if not list(module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        network.eval()(torch.rand(2, frames, size), torch.tensor([frames, frames]))
    finally:
        for hook in hooks:
            hook.remove()
    return found
