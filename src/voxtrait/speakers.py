"""Who is who inside one file: windows grouped by voice, and divided where one voice follows another.

`group_voices` is average-linkage clustering. `trace_voices` finds turns too: the embedding of a window in
which the voice changes lies between those of the two, so each window is read as one voice or as one
followed by another after a pause, and the likeliest reading of all windows is the Viterbi path. Clustering
finds too many voices, windows of two among them; those that explain little are taken away one by one, as
mixtures are pruned by description length (Figueiredo and Jain 2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["group_voices", "trace_voices"]

#: More windows than this are grouped by a sample of them; the others join the nearest group.
_SAMPLE: Final = 600
#: Turns begin with clusters of a smaller threshold, and of these with so many that speak most.
_CLOSER: Final = 0.85
_MOST: Final = 50
#: What a voice must explain better than the others do, in seconds at the distance of the threshold: a share
#: of all speech within bounds, so that who speaks a few seconds of a brief recording is a voice, ...
_NEEDED: Final = (3.0, 5.0)
_NEEDED_SHARE: Final = 0.2
#: ... and on average, as a share of the threshold.
_APART: Final = 0.33
#: What a change of voice must explain, in the same seconds.
_CHANGE: Final = 0.15
#: Times that a path is found and the voices are learnt anew from the windows which they have alone.
_ROUNDS: Final = 3

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


def group_voices(embeddings: NDArray[np.float32], seconds: Array, threshold: float) -> Numbers:
    """Return the voice of each window, numbered from 0 in the order of their first words.

    Average-linkage clustering by cosine distance, then one pass in which each window joins the voice
    whose weighted mean is nearest.

    Args:
        embeddings: (n, E), of any length; only directions count.
        seconds: (n,) of speech in each window; longer ones say more.
        threshold: distance up to which two groups are one voice.
    """
    if len(embeddings) == 0:
        return np.zeros(0, dtype=np.int64)
    units = _units(embeddings)
    picked = _sample(len(units))
    labels = _average_linkage(units[picked], threshold)
    return _by_first_words(np.argmax(units @ _centres(units[picked], seconds[picked], labels).T, axis=1))


def trace_voices(
    embeddings: NDArray[np.float32], pieces: Sequence[Sequence[float]], threshold: float
) -> list[Numbers]:
    """Return the voice of each piece of each window, numbered from 0 in the order of their first words.

    Args:
        embeddings: (n, E) of the windows in order, of any length; only directions count.
        pieces: seconds of speech of each piece of each window. Between two pieces is a pause: the voice
            changes there or between windows, once in a window at most.
        threshold: distance up to which two groups of windows are one voice.
    """
    if len(embeddings) == 0:
        return []
    units = _units(embeddings)
    windows = [
        _Window(unit, np.asarray(sizes, np.float64)) for unit, sizes in zip(units, pieces, strict=True)
    ]
    picked = _sample(len(units))
    seconds = np.array([window.seconds for window in windows])[picked]
    labels = _average_linkage(units[picked], _CLOSER * threshold)
    largest = np.argsort(-np.bincount(labels, seconds)[np.unique(labels)], kind="stable")[:_MOST]
    centres = _centres(units[picked], seconds, labels)[largest]
    centres = _needed([windows[i] for i in picked], centres, threshold)
    for _ in range(_ROUNDS):
        first, last, cut = _likeliest(windows, centres, _CHANGE * threshold)
        centres = _learnt(windows, first, last, centres)
    voices = [
        np.where(np.arange(window.sizes.size) < cut[i], first[i], last[i]) for i, window in enumerate(windows)
    ]
    numbers = _by_first_words(np.concatenate(voices))
    return np.split(numbers, np.cumsum([each.size for each in voices])[:-1])


@dataclass(frozen=True)
class _Window:
    """Its embedding (E,), of length 1, and the seconds of its pieces (p,)."""

    unit: NDArray[np.float32]
    sizes: Array

    @property
    def seconds(self) -> float:
        return float(self.sizes.sum())

    def fit(self, centres: NDArray[np.float32], alike: Array, change: float) -> Array:
        """Return how well each reading fits, (c, K, K): voice k up to cut c, then voice l.

        It is the cosine between the window and the sum of the directions of its voices, times its seconds,
        less ``change`` if they are two. Cut 0 lies before the first piece, where k and l must be one.

        Args:
            centres: (K, E), of length 1.
            alike: (K, K) their cosines.
        """
        near = (centres @ self.unit).astype(np.float64)
        share = (np.cumsum(self.sizes[:-1]) / self.seconds)[:, None, None]
        mixed = share * near[:, None] + (1 - share) * near
        length = np.sqrt(np.maximum(share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * alike, 1e-12))
        alone = np.full(alike.shape, -np.inf)
        np.fill_diagonal(alone, self.seconds * near)
        return np.concatenate([alone[None], self.seconds * mixed / length - change])


def _likeliest(
    windows: list[_Window], centres: NDArray[np.float32], change: float
) -> tuple[Numbers, Numbers, Numbers]:
    """Return the reading of each window, the likeliest for all together: its first voice, its last, its cut.

    A change between windows costs what one inside a window costs.
    """
    alike = (centres @ centres.T).astype(np.float64)
    enter = change * (np.eye(len(centres)) - 1)
    score = np.zeros(len(centres))
    steps: list[tuple[Numbers, Numbers]] = []
    for window in windows:
        came = score[:, None] + enter
        total = came.max(axis=0)[:, None] + window.fit(centres, alike, change).max(axis=0)
        steps.append((came.argmax(axis=0), total.argmax(axis=0)))
        score = total.max(axis=0)
    first, last, cut = np.zeros((3, len(windows)), dtype=np.int64)
    voice = int(score.argmax())
    for i in reversed(range(len(windows))):
        before, firsts = steps[i]
        first[i], last[i] = firsts[voice], voice
        cut[i] = windows[i].fit(centres, alike, change)[:, first[i], last[i]].argmax()
        voice = int(before[first[i]])
    return first, last, cut


def _needed(windows: list[_Window], centres: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """Take away the voices without which windows can be read nearly as well, the least needed first."""
    seconds = np.array([window.seconds for window in windows])
    needed = np.clip(_NEEDED_SHARE * seconds.sum(), *_NEEDED)
    change = _CHANGE * threshold
    while len(centres) > 1:
        alike = (centres @ centres.T).astype(np.float64)
        fits = np.stack([window.fit(centres, alike, change).max(axis=0) for window in windows])
        first, last = np.divmod(fits.reshape(len(fits), -1).argmax(axis=1), len(centres))
        needs = np.empty(len(centres))
        for voice in range(len(centres)):
            mine = np.flatnonzero((first == voice) | (last == voice))
            others = np.delete(np.delete(fits[mine], voice, axis=1), voice, axis=2)
            lost = (fits[mine, first[mine], last[mine]] - others.max(axis=(1, 2))).sum()
            spoken = seconds[mine] @ ((first[mine] == voice) / 2 + (last[mine] == voice) / 2)
            needs[voice] = lost / (max(needed, _APART * spoken) * max(threshold, 1e-9))
        least = int(needs.argmin())
        if needs[least] >= 1:
            break
        centres = np.delete(_learnt(windows, first, last, centres), least, axis=0)
    return centres


def _learnt(
    windows: list[_Window], first: Numbers, last: Numbers, centres: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean directions of the windows that voices have alone; the old where there is none."""
    alone = np.flatnonzero(first == last)
    if not alone.size:
        return centres
    units = np.stack([windows[i].unit for i in alone])
    seconds = np.array([windows[i].seconds for i in alone])
    learnt = centres.copy()
    learnt[np.unique(first[alone])] = _centres(units, seconds, first[alone])
    return learnt


def _units(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(embeddings / (np.linalg.norm(embeddings, axis=1, keepdims=True) + 1e-12), np.float32)


def _sample(count: int) -> Numbers:
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))


def _by_first_words(voices: Numbers) -> Numbers:
    """Number voices from 0 in the order in which they appear."""
    _, first, number = np.unique(voices, return_index=True, return_inverse=True)
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


def _centres(embeddings: NDArray[np.float32], seconds: Array, labels: Numbers) -> NDArray[np.float32]:
    groups = np.unique(labels)
    sums = np.stack([seconds[labels == group] @ embeddings[labels == group] for group in groups])
    return np.asarray(sums / (np.linalg.norm(sums, axis=1, keepdims=True) + 1e-12), dtype=np.float32)
