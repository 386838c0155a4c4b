"""One process, or several that torchrun started: which of them this is, and how they agree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

__all__ = ["Ranks", "joined_ranks"]


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train together.

    Attributes:
        rank: from 0; the first one writes files and talks.
        size: processes in all.
        device: where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return ``network`` with gradients averaged over all processes after each backward pass."""
        if self.size == 1:
            return network
        places = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=places)

    @contextmanager
    def first_then_others(self) -> Iterator[None]:
        """Let the first process through, and the others when it is done."""
        if not self.first:
            self.agree(0.0)
        yield
        if self.first:
            self.agree(0.0)

    def agree(self, value: float) -> float:
        """Return the first process's ``value`` in all of them; each waits for the others."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared.item())


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started, or be the only one.

    Without torchrun's environment there is one process. Processes on GPUs talk by NCCL, others by Gloo.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if size == 1:
        yield Ranks(0, 1, device)
        return
    # The others wait while the first one prepares a corpus.
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(days=7))
    yield Ranks(distributed.get_rank(), size, device)
    # Not after an error: it would wait for processes that wait for this one.
    distributed.destroy_process_group()
