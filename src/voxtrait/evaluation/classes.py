"""Tables of truth against answer, and what is read off them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxtrait.evaluation.resampling import Array, Resamples, interval, ratio

__all__ = ["Confusion", "confusion_of", "mean_recall"]


@dataclass(frozen=True)
class Confusion:
    """Recordings by truth (rows) and answer (columns).

    Attributes:
        rows, columns: the classes.
        counts: recordings, shape (rows, columns).
        rates: counts over their row's sum, shape (rows, columns); NaN in an empty row.
        low, high: of the 95 % interval of each rate over speakers.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: NDArray[np.int64]
    rates: Array
    low: Array
    high: Array

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: lists of rows, null where there is no number."""
        out: dict[str, Any] = {"rows": list(self.rows), "columns": list(self.columns)}
        out["counts"] = self.counts.tolist()
        for name in ("rates", "low", "high"):
            rows = getattr(self, name).tolist()
            out[name] = [[value if np.isfinite(value) else None for value in row] for row in rows]
        return out


def confusion_of(
    truth: Sequence[str], answer: Sequence[str], columns: Sequence[str], resamples: Resamples
) -> Confusion:
    """Count ``answer`` by ``truth``; the rows are those of ``columns``' order, then other truths.

    Columns at the ends of which nobody was placed are left out, so that a set of adults has no row
    of children.
    """
    known = set(truth)
    rows = [name for name in columns if name in known] + sorted(known - set(columns))
    used = [name for name in columns if name in known or name in set(answer)]
    cells = _places(truth, rows) * len(used) + _places(answer, used)
    sums = resamples.counts(cells, len(rows) * len(used)).reshape(-1, len(rows), len(used))
    rates = ratio(sums, np.broadcast_to(sums.sum(axis=2, keepdims=True), sums.shape))
    bounds = np.array(
        [
            [interval(rates[:, row, column], resamples.speakers) for column in range(len(used))]
            for row in range(len(rows))
        ]
    ).reshape(len(rows), len(used), 3)
    return Confusion(
        tuple(rows),
        tuple(used),
        np.round(sums[0]).astype(np.int64),
        bounds[:, :, 0],
        bounds[:, :, 1],
        bounds[:, :, 2],
    )


def mean_recall(truth: Sequence[str], right: Array, resamples: Resamples) -> Array:
    """Return UAR (1 + DRAWS,): the mean over the true classes of the share that is ``right``.

    NaN if there are fewer than two classes, and in draws that miss one.
    """
    classes = sorted(set(truth))
    places = _places(truth, classes)
    recalls = ratio(resamples.counts(places, len(classes), right), resamples.counts(places, len(classes)))
    mean: Array = recalls.mean(axis=1)
    return mean if len(classes) > 1 else np.full_like(mean, np.nan)


def _places(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places[name] for name in names], dtype=np.int64)
