"""What an epoch's network makes of the validation speakers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxtrait.systems.system import Targets

if TYPE_CHECKING:
    from voxtrait.training.loop import TrainingSet

__all__ = ["Validated", "validate"]

#: Loss, accuracy, UAR, MAE, age ratio and correlation, as `EpochReport` has them; None where unknown.
Validated = tuple[float | None, float | None, float | None, float | None, float | None, float | None]


@torch.no_grad()
def validate(
    network: nn.Module,
    data: TrainingSet,
    losses: Callable[[dict[str, Tensor], NDArray[np.int64]], Tensor],
    targets: Targets,
) -> Validated:
    """Return loss, accuracy, UAR, MAE, age ratio and correlation on the validation recordings.

    Arguments are as in training.
    """
    network.eval()
    device = next(network.parameters()).device
    ages = torch.tensor(targets.ages.grid, device=device)
    rows, logits, years, totals = [], [], [], []
    for batch in data.validation_batches():
        outputs = network(
            torch.from_numpy(batch.features).to(device), torch.from_numpy(batch.lengths).to(device)
        )
        totals.append((losses(outputs, batch.rows).item(), len(batch.rows)))
        rows.append(batch.rows)
        if targets.gender:
            logits.append(outputs["gender"].cpu().numpy())
        if targets.age:
            years.append((outputs["age"].softmax(1) @ ages).cpu().numpy())
    row = np.concatenate(rows)
    accuracy, uar = _gender(np.concatenate(logits), data.labels.female[row]) if logits else (None, None)
    mae, ratio, correlation = _age(np.concatenate(years), row, data) if years else (None, None, None)
    loss = sum(loss * count for loss, count in totals) / sum(count for _, count in totals)
    return loss, accuracy, uar, mae, ratio, correlation


def _gender(logits: NDArray[np.float32], female: NDArray[np.float32]) -> tuple[float | None, float | None]:
    right = (logits > 0) == (female > 0.5)
    known = ~np.isnan(female)
    recalls = [right[female == value].mean() for value in (0, 1) if (female == value).any()]
    return (float(right[known].mean()), float(np.mean(recalls))) if recalls else (None, None)


def _age(
    years: NDArray[np.float32], row: NDArray[np.int64], data: TrainingSet
) -> tuple[float | None, float | None, float | None]:
    middle = (data.labels.age_low + data.labels.age_high) / 2
    constant = np.nanmedian(middle[data.train])
    truth = middle[row]
    known = ~np.isnan(truth)
    if not known.any():
        return None, None, None
    error = float(np.abs(years - truth)[known].mean())
    spread = float(np.abs(constant - truth[known]).mean())
    varies = known.sum() > 1 and np.ptp(truth[known]) > 0 and np.ptp(years[known]) > 0
    return (
        error,
        error / spread if spread else None,
        float(np.corrcoef(years[known], truth[known])[0, 1]) if varies else None,
    )
