"""The training loop: epochs of crops, moving average of the weights, early stopping."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxtrait.systems.base import BaseNetwork
from voxtrait.training.losses import age_loss, age_targets, embedding_loss, gender_loss
from voxtrait.training.recipe import TrainSection
from voxtrait.training.sampling import Batch, CropSampler, Labels

__all__ = ["EpochReport", "TrainingSet", "train_network"]

#: Frames of a recording that validation hears.
_VALIDATION_FRAMES = 600


@dataclass(frozen=True)
class TrainingSet:
    """Everything the loop draws from.

    Attributes:
        sampler: crops of the cached features.
        labels: of every row.
        speakers: speaker number of every row, shape (n,).
        train, validation: rows of the split.
        teacher: unit embeddings of every row by the untouched encoder, shape (n, E).
    """

    sampler: CropSampler
    labels: Labels
    speakers: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    teacher: NDArray[np.float32]

    def epoch_rows(self, clips: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return at most ``clips`` random recordings of each training speaker."""
        shuffled = rng.permutation(self.train)
        order = shuffled[np.argsort(self.speakers[shuffled], kind="stable")]
        _, starts, counts = np.unique(self.speakers[order], return_index=True, return_counts=True)
        place = np.arange(len(order)) - np.repeat(starts, counts)
        return order[place < clips]


@dataclass(frozen=True)
class EpochReport:
    """Figures of one epoch; validation is by recording, half of it augmented."""

    epoch: int
    train_loss: float
    loss: float
    accuracy: float
    uar: float
    age_ratio: float
    age_correlation: float
    seconds: float

    def __str__(self) -> str:
        values = " ".join(f"{name} {value:.4g}" for name, value in asdict(self).items() if name != "epoch")
        return f"epoch {self.epoch:3d} {values}"


class _Losses:
    """The weighted sum of the losses of a batch."""

    def __init__(self, data: TrainingSet, ages: tuple[float, ...], settings: TrainSection) -> None:
        labels = data.labels
        self._settings = settings
        self._female = torch.from_numpy(labels.female)
        self._gender_weight = torch.from_numpy(labels.gender_weight)
        self._age_weight = torch.from_numpy(labels.age_weight)
        self._targets = torch.from_numpy(
            age_targets(labels.age_low, labels.age_high, ages, settings.age_spread)
        )
        self._ages = torch.tensor(ages)
        self._teacher = torch.from_numpy(data.teacher)

    def __call__(self, outputs: tuple[Tensor, Tensor, Tensor], rows: NDArray[np.int64]) -> Tensor:
        chosen, settings = torch.from_numpy(rows), self._settings
        gender, age, embedding = outputs
        loss = settings.gender_weight * gender_loss(
            gender, self._female[chosen], self._gender_weight[chosen], settings.smoothing
        )
        if settings.age_weight:
            loss = loss + settings.age_weight * age_loss(
                age, self._targets[chosen], self._ages, self._age_weight[chosen], settings.age_mean_weight
            )
        if settings.embedding_weight:
            loss = loss + settings.embedding_weight * embedding_loss(embedding, self._teacher[chosen])
        return loss


def train_network(
    network: BaseNetwork,
    data: TrainingSet,
    settings: TrainSection,
    seed: int,
    report: Callable[[EpochReport], None],
    keep: Callable[[BaseNetwork], None],
) -> BaseNetwork:
    """Train and return the averaged network of the epoch with the least validation loss.

    Args:
        network: where training starts.
        data: what it draws from.
        settings: the optimisation.
        seed: of crops and dropout.
        report: told each epoch's figures.
        keep: given the best network each time there is a better one, so that a kill loses little.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(settings.threads)
    rng = np.random.default_rng(seed)
    losses = _Losses(data, network.config.ages, settings)
    optimiser = _optimiser(network, settings)
    steps = math.ceil(len(data.epoch_rows(settings.clips, rng)) / settings.batch) * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rate_curve(steps, settings.warmup))
    averaged = copy.deepcopy(network).eval()
    best, best_loss, since = copy.deepcopy(averaged), math.inf, 0
    step = 0
    for epoch in range(settings.epochs):
        started = time.monotonic()
        network.train()
        train_losses = []
        rows = data.epoch_rows(settings.clips, rng)
        for batch in data.sampler.epoch(rows, rng, settings.clean, settings.masked):
            optimiser.zero_grad(set_to_none=True)
            loss = losses(_run(network, batch), batch.rows)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            step += 1
            # A young average forgets its start quickly.
            _average(averaged, network, min(settings.averaging, step / (step + 10)))
            train_losses.append(loss.item())
        result = _validate(averaged, data, losses, epoch, float(np.mean(train_losses)), started)
        report(result)
        since += 1
        if result.loss < best_loss:
            best, best_loss, since = copy.deepcopy(averaged), result.loss, 0
            keep(best)
        if since >= settings.patience:
            break
    return best


def _run(network: BaseNetwork, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    out: tuple[Tensor, Tensor, Tensor] = network(
        torch.from_numpy(batch.features), torch.from_numpy(batch.lengths)
    )
    return out


def _optimiser(network: BaseNetwork, settings: TrainSection) -> torch.optim.Optimizer:
    slow = network.encoder_parameters()
    slow_ids = {id(parameter) for parameter in slow}
    fast = [parameter for parameter in network.parameters() if id(parameter) not in slow_ids]
    return torch.optim.AdamW(
        [{"params": slow, "lr": settings.encoder_rate}, {"params": fast, "lr": settings.rate}],
        weight_decay=settings.weight_decay,
    )


def _rate_curve(steps: int, warmup: float) -> Callable[[int], float]:
    rising = max(1, int(steps * warmup))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising)))

    return factor


@torch.no_grad()
def _average(averaged: BaseNetwork, network: BaseNetwork, decay: float) -> None:
    for kept, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _validation_batches(data: TrainingSet) -> Iterator[Batch]:
    for version in (0, 1):
        yield from data.sampler.whole(data.validation, version, _VALIDATION_FRAMES)


@torch.no_grad()
def _validate(
    network: BaseNetwork, data: TrainingSet, losses: _Losses, epoch: int, train_loss: float, started: float
) -> EpochReport:
    network.eval()
    ages = torch.tensor(network.config.ages)
    rows, logits, years, totals = [], [], [], []
    for batch in _validation_batches(data):
        outputs = _run(network, batch)
        totals.append((losses(outputs, batch.rows).item(), len(batch.rows)))
        rows.append(batch.rows)
        logits.append(outputs[0].numpy())
        years.append((outputs[1].softmax(1) @ ages).numpy())
    row, logit, year = (np.concatenate(parts) for parts in (rows, logits, years))
    female = data.labels.female[row]
    middle = (data.labels.age_low[row] + data.labels.age_high[row]) / 2
    train_middle = (data.labels.age_low[data.train] + data.labels.age_high[data.train]) / 2
    recalls = [np.mean((logit > 0)[female == value] == value) for value in (0, 1)]
    known = ~np.isnan(middle)
    constant = np.abs(middle[known] - np.nanmedian(train_middle)).mean()
    return EpochReport(
        epoch=epoch,
        train_loss=train_loss,
        loss=sum(loss * count for loss, count in totals) / sum(count for _, count in totals),
        accuracy=float(np.mean(((logit > 0) == female)[~np.isnan(female)])),
        uar=float(np.mean(recalls)),
        age_ratio=float(np.abs(year - middle)[known].mean() / constant),
        age_correlation=float(np.corrcoef(year[known], middle[known])[0, 1]),
        seconds=time.monotonic() - started,
    )
