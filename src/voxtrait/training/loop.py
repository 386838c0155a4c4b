"""The training loop: epochs of crops, moving average of the weights, early stopping."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxtrait.errors import RecipeError
from voxtrait.systems.system import Targets
from voxtrait.training.checkpoint import Progress, load_network, load_state, save_state, write_whole
from voxtrait.training.losses import (
    age_loss,
    age_targets,
    embedding_loss,
    gender_loss,
    joint_loss,
)
from voxtrait.training.ranks import Ranks
from voxtrait.training.recipe import TrainSection
from voxtrait.training.sampling import Batch, CropSampler, Labels
from voxtrait.training.validation import Validated, validate
from voxtrait.training.watch import EpochReport, RunLog

__all__ = ["Losses", "Trainer", "TrainingSet"]


@dataclass(frozen=True)
class TrainingSet:
    """Everything the loop draws from.

    Attributes:
        sampler: crops of the cached features.
        labels: of every row.
        speakers: speaker number of every row, shape (n,).
        train, validation: rows of the split; without validation the last epoch's network is kept.
        longest: frames of a recording that validation hears.
        teacher: unit embeddings of every row by the untouched encoder, shape (n, E), or None.
    """

    sampler: CropSampler
    labels: Labels
    speakers: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    longest: int
    teacher: NDArray[np.float32] | None = None

    def epoch_rows(self, clips: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return at most ``clips`` random recordings of each training speaker."""
        shuffled = rng.permutation(self.train)
        order = shuffled[np.argsort(self.speakers[shuffled], kind="stable")]
        _, starts, counts = np.unique(self.speakers[order], return_index=True, return_counts=True)
        place = np.arange(len(order)) - np.repeat(starts, counts)
        return order[place < clips]

    def validation_batches(self) -> Iterator[Batch]:
        """Yield the validation recordings as they are and, where there are versions, augmented."""
        for version in (0, 1):
            yield from self.sampler.whole(self.validation, version, self.longest)


class Losses:
    """The weighted sum of the losses of a batch.

    Args:
        data: for its labels.
        targets: the task.
        settings: the weights.
        device: where to compute.
    """

    def __init__(
        self, data: TrainingSet, targets: Targets, settings: TrainSection, device: torch.device
    ) -> None:
        labels = data.labels
        ages = age_targets(labels.age_low, labels.age_high, targets.ages, settings.age_spread)
        self._settings = settings
        self._device = device
        self._female = torch.from_numpy(labels.female).to(device)
        self._gender_weight = torch.from_numpy(labels.gender_weight).to(device)
        self._age_weight = torch.from_numpy(labels.age_weight).to(device)
        self._targets = torch.from_numpy(ages).to(device)
        self._ages = torch.tensor(targets.ages.grid, device=device)
        self._teacher = None if data.teacher is None else torch.from_numpy(data.teacher).to(device)

    def __call__(self, outputs: dict[str, Tensor], rows: NDArray[np.int64]) -> Tensor:
        chosen, settings = torch.from_numpy(rows).to(self._device), self._settings
        female, targets = self._female[chosen], self._targets[chosen]
        gender_weight, age_weight = self._gender_weight[chosen], self._age_weight[chosen]
        parts = []
        if "joint" in outputs:
            parts.append(joint_loss(outputs["joint"], female, targets, gender_weight * age_weight))
        else:
            if "gender" in outputs:
                loss = gender_loss(outputs["gender"], female, gender_weight, settings.smoothing)
                parts.append(settings.gender_weight * loss)
            if "age" in outputs:
                loss = age_loss(outputs["age"], targets, self._ages, age_weight, settings.age_mean_weight)
                parts.append(settings.age_weight * loss)
        if self._teacher is not None and settings.embedding_weight:
            loss = embedding_loss(outputs["embedding"], self._teacher[chosen])
            parts.append(settings.embedding_weight * loss)
        return torch.stack(parts).sum()


class Trainer:
    """Trains a network; of several processes each holds one.

    Args:
        network: where training starts.
        data: what it draws from.
        targets: the task.
        settings: the optimisation.
        seed: of crops and dropout.
        folder: the run's. After each epoch it holds ``last.pt``, from which a killed run goes on to the
            same result, and ``network.pt``, the best network so far.
        log: told each step and epoch.
        ranks: the processes that train together.
    """

    def __init__(
        self,
        network: nn.Module,
        data: TrainingSet,
        targets: Targets,
        settings: TrainSection,
        seed: int,
        folder: Path,
        log: RunLog,
        ranks: Ranks,
    ) -> None:
        # Dropout differs between processes, the choice of recordings does not.
        torch.manual_seed(seed + 1_000_003 * ranks.rank)
        torch.set_num_threads(settings.threads)
        self._rows_rng = np.random.default_rng(seed)
        self._crops_rng = np.random.default_rng((seed, ranks.rank))
        self._data, self._targets, self._settings = data, targets, settings
        self._folder, self._log, self._ranks = folder, log, ranks
        self._budget = math.inf if settings.minutes is None else 60 * settings.minutes
        self._began, self._spent_before = time.process_time(), 0.0
        self._network = network.to(ranks.device)
        self._averaged = copy.deepcopy(self._network).eval()
        self._shared = ranks.wrap(self._network)
        self._losses = Losses(data, targets, settings, ranks.device)
        self._optimiser = _optimiser(self._network, settings)
        crops = len(data.epoch_rows(settings.clips, np.random.default_rng(seed)))
        self._steps = math.ceil(crops / settings.batch) * settings.epochs
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimiser, self._rate)
        self._scaler = torch.amp.GradScaler(ranks.device.type, enabled=self._mixed)

    @property
    def _mixed(self) -> bool:
        return self._settings.mixed and self._ranks.device.type == "cuda"

    def run(self) -> nn.Module:
        """Train and return the averaged network of the epoch that the settings keep.

        Raises:
            RecipeError: ``run_corrupt`` if ``last.pt`` cannot be read, ``diverged`` if the loss is no
                number.
        """
        progress = self._resumed()
        while not self._over(progress):
            started = time.monotonic()
            train_loss = _checked(self._epoch(progress), progress)
            if self._ranks.first:
                self._close_epoch(progress, train_loss, started)
            progress.epoch += 1
            progress.spent = self._spent()
            if self._ranks.first:
                save_state(self._folder / "last.pt", progress, self._parts(), self._rngs())
        load_network(self._averaged, self._folder / "network.pt")
        return self._averaged.cpu()

    def _close_epoch(self, progress: Progress, train_loss: float, started: float) -> None:
        """Validate, report, and keep the network if it is to be kept."""
        found: Validated = (None,) * 6
        if len(self._data.validation):
            found = validate(self._averaged, self._data, self._losses, self._targets)
            _checked(found[0] or 0.0, progress)
        self._log.epoch(EpochReport(progress.epoch, train_loss, *found, time.monotonic() - started))
        is_better = self._settings.keep == "last" or found[0] is None or found[0] < progress.best_loss
        progress.since = 0 if is_better else progress.since + 1
        if is_better:
            progress.best_loss = math.inf if found[0] is None else found[0]
            write_whole(self._averaged.state_dict(), self._folder / "network.pt")

    def _parts(self) -> dict[str, object]:
        return {
            "network": self._network,
            "averaged": self._averaged,
            "optimiser": self._optimiser,
            "schedule": self._schedule,
            "scaler": self._scaler,
        }

    def _rngs(self) -> dict[str, np.random.Generator]:
        return {"rows": self._rows_rng, "crops": self._crops_rng}

    def _resumed(self) -> Progress:
        last = self._folder / "last.pt"
        if not last.is_file():
            self._log.rewind(0)
            return Progress()
        progress = load_state(last, self._parts(), self._rngs())
        self._spent_before = progress.spent
        if not self._ranks.first:
            # The state is the first process's: the others draw other crops and dropout.
            again = (self._ranks.rank, progress.step)
            self._crops_rng = np.random.default_rng(again)
            torch.manual_seed(hash(again) % 2**63)
        else:
            self._log.rewind(progress.epoch)
            self._log.say(f"going on after {progress.epoch} epochs")
        return progress

    def _rate(self, step: int) -> float:
        share = max(step / self._steps, self._spent() / self._budget)
        return _rate_factor(share, self._settings.warmup, self._settings.schedule)

    def _over(self, progress: Progress) -> bool:
        settings = self._settings
        over = (
            progress.epoch >= settings.epochs
            or progress.since >= settings.patience
            or self._spent() >= self._budget
        )
        return bool(self._ranks.agree(float(over)))

    def _spent(self) -> float:
        """Return the seconds of processor time that this training took, in all its parts."""
        return self._spent_before + time.process_time() - self._began

    def _epoch(self, progress: Progress) -> float:
        """Train on one epoch and return the mean loss."""
        self._shared.train()
        rows = self._rows_rng.permutation(self._data.epoch_rows(self._settings.clips, self._rows_rng))
        mine = rows[self._ranks.rank :: self._ranks.size][: len(rows) // self._ranks.size]
        settings, done, losses = self._settings, 0, []
        for batch in self._data.sampler.epoch(mine, self._crops_rng, settings.clean, settings.masked):
            # A lone crop has no deviation for batch normalisation.
            if len(batch.rows) > 1:
                losses.append(self._step(batch, progress))
            done += len(batch.rows)
            if self._ranks.first and losses:
                self._log.step(progress.epoch, settings.epochs, done / len(mine), losses[-1])
            # Several processes must take the same number of steps.
            if self._ranks.size == 1 and self._spent() >= self._budget:
                break
        return float(np.mean(losses)) if losses else math.nan

    def _step(self, batch: Batch, progress: Progress) -> float:
        device = self._ranks.device
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, enabled=self._mixed):
            outputs = self._shared(
                torch.from_numpy(batch.features).to(device), torch.from_numpy(batch.lengths).to(device)
            )
        loss = self._losses({name: value.float() for name, value in outputs.items()}, batch.rows)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._schedule.step()
        progress.step += 1
        # A young average forgets its start quickly.
        decay = min(self._settings.averaging, progress.step / (progress.step + 10))
        _average(self._averaged, self._network, decay if self._settings.averaging else 0.0)
        return float(loss.item())


def _checked(loss: float, progress: Progress) -> float:
    if not math.isfinite(loss):
        raise RecipeError(
            "diverged", f"The loss of epoch {progress.epoch + 1} is no number; lower train.rate."
        )
    return loss


def _optimiser(network: nn.Module, settings: TrainSection) -> torch.optim.Optimizer:
    pretrained: Callable[[], list[nn.Parameter]] = getattr(network, "encoder_parameters", list)
    slow = pretrained()
    slow_ids = {id(parameter) for parameter in slow}
    fast = [parameter for parameter in network.parameters() if id(parameter) not in slow_ids]
    groups = [{"params": fast, "lr": settings.rate}]
    if slow:
        groups.insert(0, {"params": slow, "lr": settings.encoder_rate})
    makers: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
        "rmsprop": torch.optim.RMSprop,
    }
    return makers[settings.optimiser](groups, weight_decay=settings.weight_decay)


def _rate_factor(share: float, warmup: float, schedule: str) -> float:
    """Return what the learning rate is multiplied by when ``share`` of the training is done."""
    if share < warmup:
        return max(share, 1e-3) / warmup
    if schedule == "constant":
        return 1.0
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup)))


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    for kept, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
