"""Who is who inside one file: windows grouped by voice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["group_voices"]

#: More windows than this are grouped by a sample of them; the others join the nearest group.
_SAMPLE = 600


def group_voices(
    embeddings: NDArray[np.float32], seconds: NDArray[np.float64], threshold: float
) -> NDArray[np.int64]:
    """Return the voice of each window, numbered from 0 in the order of their first words.

    Average-linkage clustering by cosine distance, then one pass in which each window joins the voice
    whose weighted mean is nearest.

    Args:
        embeddings: (n, E), of any length; only directions count.
        seconds: (n,) of speech in each window; longer ones say more.
        threshold: distance up to which two groups are one voice.
    """
    count = len(embeddings)
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    embeddings = embeddings / (np.linalg.norm(embeddings, axis=1, keepdims=True) + 1e-12)
    picked = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    labels = _average_linkage(embeddings[picked], threshold)
    centres = _centres(embeddings[picked], seconds[picked], labels)
    nearest = np.argmax(embeddings @ centres.T, axis=1)
    _, first, number = np.unique(nearest, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number]


def _average_linkage(embeddings: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """Merge the two nearest groups until none are nearer than ``threshold``."""
    count = len(embeddings)
    labels = np.arange(count)
    sizes = np.ones(count)
    distance = 1.0 - (embeddings @ embeddings.T).astype(np.float64)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.min(axis=1)
    for _ in range(count - 1):
        left = int(np.argmin(nearest))
        right = int(np.argmin(distance[left]))
        if distance[left, right] > threshold:
            break
        merged = (sizes[left] * distance[left] + sizes[right] * distance[right]) / (
            sizes[left] + sizes[right]
        )
        merged[[left, right]] = np.inf
        distance[left], distance[:, left] = merged, merged
        distance[right], distance[:, right] = np.inf, np.inf
        sizes[left] += sizes[right]
        labels[labels == right] = left
        nearest = distance.min(axis=1)
    return labels


def _centres(
    embeddings: NDArray[np.float32], seconds: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    groups = np.unique(labels)
    sums = np.stack([seconds[labels == group] @ embeddings[labels == group] for group in groups])
    return np.asarray(sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-12), dtype=np.float32)
