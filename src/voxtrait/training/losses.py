"""Losses: gender with smoothed labels, age as a distribution that takes bands as intervals."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voxtrait.systems.system import AgeScale

__all__ = ["age_loss", "age_targets", "embedding_loss", "gender_loss", "joint_loss"]


def age_targets(
    low: NDArray[np.float64], high: NDArray[np.float64], scale: AgeScale, spread: float
) -> NDArray[np.float32]:
    """Return the target distribution over the classes of ``scale`` of each interval of years, (n, A).

    An interval is a flat distribution blurred by a Gaussian of ``spread`` years (label distribution
    learning, Geng 2016): an exact age is a Gaussian, a band a plateau with soft shoulders, because a
    voice of 39 and one of 40 differ little whatever band they fell in. Without blur the class of the
    middle has it all. Unknown intervals (NaN) give a row of zeros.
    """
    from scipy.special import ndtr

    if not spread:
        return np.asarray(scale.classes(low, high)[:, None] == np.arange(len(scale)), dtype=np.float32)
    first, last = scale.edges[0], scale.edges[-1]
    years = np.arange(np.ceil(first), np.ceil(last), dtype=np.float64)
    member = scale.classes(years, years)[:, None] == np.arange(len(scale))
    # Ages beyond the scale count to its ends.
    low, high = (np.clip(age, first, last)[:, None] for age in (low, high))
    # A closed interval of whole years reaches half a year beyond each end.
    mass = ndtr((high + 0.5 - years) / spread) - ndtr((low - 0.5 - years) / spread)
    total = mass.sum(1, keepdims=True)
    return np.asarray(np.nan_to_num(mass / np.where(total > 0, total, 1.0)) @ member, dtype=np.float32)


def gender_loss(logits: Tensor, female: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Weighted binary cross-entropy; ``female`` is 1, 0 or NaN where the label is not one of the two."""
    known = ~female.isnan()
    if not known.any():
        return logits.sum() * 0.0
    target = female[known] * (1 - smoothing) + 0.5 * smoothing
    loss = functional.binary_cross_entropy_with_logits(logits[known], target, reduction="none")
    weight = weights[known]
    return (loss * weight).sum() / weight.sum()


def age_loss(logits: Tensor, targets: Tensor, ages: Tensor, weights: Tensor, mean_weight: float) -> Tensor:
    """Cross-entropy to the target distribution plus the error of the mean in decades.

    Args:
        logits: (B, A). targets: (B, A), rows of zeros where the age is unknown. ages: (A,) years.
        weights: (B,). mean_weight: of the error of the mean.
    """
    known = targets.sum(1) > 0
    if not known.any():
        return logits.sum() * 0.0
    logits, targets, weight = logits[known], targets[known], weights[known]
    log_probabilities = functional.log_softmax(logits, dim=1)
    cross_entropy = -(targets * log_probabilities).sum(1)
    years = (log_probabilities.exp() * ages).sum(1)
    error = functional.smooth_l1_loss(years / 10, (targets * ages).sum(1) / 10, reduction="none")
    return ((cross_entropy + mean_weight * error) * weight).sum() / weight.sum()


def joint_loss(logits: Tensor, female: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy over gender x age.

    Args:
        logits: (B, 2 A), the ages of female speakers, then those of male ones.
        female: (B,), 1, 0 or NaN. targets: (B, A), rows of zeros where the age is unknown.
        weights: (B,).
    """
    known = ~female.isnan() & (targets.sum(1) > 0)
    if not known.any():
        return logits.sum() * 0.0
    share = female[known].unsqueeze(1)
    joint = torch.cat([targets[known] * share, targets[known] * (1 - share)], dim=1)
    loss = -(joint * functional.log_softmax(logits[known], dim=1)).sum(1)
    weight = weights[known]
    return (loss * weight).sum() / weight.sum()


def embedding_loss(embedding: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine between unit embeddings (B, E) and those of the untouched encoder."""
    return (1.0 - (embedding * teacher).sum(1)).mean()
