"""What the classifiers of scikit-learn share: the search for their settings, and what is said of it.

One vector a recording is learnt from (`voxtrait.features.functionals`). Grid points are compared by
their UAR on speakers that they have not learnt from; the best one learns from all and becomes ONNX.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from voxtrait.errors import CorpusError, require
from voxtrait.systems.classical_onnx import Head, assemble
from voxtrait.systems.published import BANDS
from voxtrait.systems.system import LabelledVectors, Settings, Targets

__all__ = ["DEFAULTS", "ClassicalSettings", "Family", "FitOptions", "Fitted", "Folds", "classifier"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
#: Rows to learn from and rows to be judged on, several times.
Folds = list[tuple[Rows, Rows]]

#: Rows of held-out speakers that show what a feature is worth, and how often each is shuffled.
_IMPORTANCE_ROWS: Final = 400
_IMPORTANCE_REPEATS: Final = 2

#: The recipe of every classical system.
DEFAULTS: Final[Mapping[str, Any]] = {
    "target": {"bands": BANDS},
    "features": {"name": "functionals", "versions": 2},
    "train": {"gender_balance": 1.0},
    "bundle": {"window": 10.0},
}


class ClassicalSettings(Settings):
    """What every classical system lets one choose."""

    folds: int = Field(3, ge=2, le=20, description="parts that the speakers are divided into for the search")
    search_rows: int = Field(10_000, ge=50, description="most vectors that a grid point is judged with")
    rows: int = Field(100_000, ge=50, description="most vectors that the chosen one learns from")


@dataclass(frozen=True)
class FitOptions:
    """How to learn.

    Attributes:
        seed: of folds, of rows drawn and of the classifier.
        threads: that may work at once.
        minutes: of CPU for the search, shared between the tasks; what is left of the grid then is
            not tried, but one point always is. None tries all.
    """

    seed: int
    threads: int
    minutes: float | None = None


@dataclass(frozen=True)
class Fitted:
    """What was learnt.

    Attributes:
        model: an ONNX model as a bundle holds it.
        report: fit for JSON; for each of ``gender``, ``age``, ``joint`` that was learnt: ``rows``,
            ``speakers``, ``classes`` (speakers of each), ``rare`` (classes left out), ``folds``,
            ``search_rows``, ``grid`` (``settings``, ``uar`` and ``fold_uar`` of each point tried),
            ``untried`` (points), ``chosen``, ``importance_kind`` and ``importance``, pairs of a feature's
            place and its importance, the highest first.
    """

    model: bytes
    report: dict[str, Any]


@dataclass(frozen=True)
class Family:
    """One kind of classifier.

    Attributes:
        grid: setting -> the parameters that it varies, as scikit-learn names them.
        make: settings, seed and a grid point -> a pipeline whose last step is ``model``.
        finish: such a pipeline and the folds of what it will learn from -> the pipeline that learns
            at the end; None if what `make` returns gives probabilities itself.
    """

    grid: Callable[[Any], Mapping[str, tuple[Any, ...]]]
    make: Callable[..., Any]
    finish: Callable[[Any, Folds], Any] | None = None


def classifier(family: Family) -> Callable[..., Fitted]:
    """Return what learns classifiers of a family, for `voxtrait.systems.System.classifier`.

    It takes settings, vectors by task (``gender``: 1 is female; ``age``; ``joint``: the ages of female
    speakers, then of male ones), `Targets`, `FitOptions` and a function that is told what happens, and
    returns `Fitted`. Every speaker counts alike: a row's weight is divided by the rows of its speaker.

    It raises CorpusError ``corpus_too_small`` if there are not two classes with enough speakers, and
    VoxtraitError ``export`` if the ONNX model differs from scikit-learn's.
    """
    return partial(_learn, family)


def _learn(
    family: Family,
    settings: ClassicalSettings,
    data: Mapping[str, LabelledVectors],
    targets: Targets,
    options: FitOptions,
    say: Callable[[str], None],
) -> Fitted:
    for module in ("sklearn", "skl2onnx"):
        require(module, "train")
    tasks = {name: _usable(name, vectors, settings.folds, targets, say) for name, vectors in data.items()}
    report: dict[str, Any] = {}
    heads: dict[str, Head] = {}
    left = None if options.minutes is None else 60 * options.minutes
    for waiting, (name, task) in zip(range(len(tasks), 0, -1), tasks.items(), strict=True):
        search = _Search(family, settings, options, name, say)
        started = time.process_time()
        heads[name], report[name] = search.run(task, None if left is None else left / waiting)
        if left is not None:
            left = max(0.0, left - (time.process_time() - started))
        report[name]["rare"] = sorted(set(_present(data[name].classes)) - set(_present(task.classes)))
    examples = np.concatenate([task.values[:200] for task in tasks.values()])
    return Fitted(assemble(heads, targets, examples), report)


def _present(classes: NDArray[np.int64]) -> list[int]:
    return [int(name) for name in np.unique(classes[classes >= 0])]


def _usable(
    name: str, data: LabelledVectors, folds: int, targets: Targets, say: Callable[[str], None]
) -> LabelledVectors:
    """Return the rows whose class has a speaker for each fold, with every speaker's weight alike."""
    counts = {label: len(np.unique(data.speakers[data.classes == label])) for label in _present(data.classes)}
    rare = [label for label, speakers in counts.items() if speakers < folds]
    enough = [label for label in counts if label not in rare]
    sides = {label // len(targets.ages) for label in enough} if name == "joint" else set(enough)
    if len(sides) < 2:
        what = "genders" if name in ("gender", "joint") else "age groups"
        raise CorpusError(
            "corpus_too_small",
            f"There are not two {what} with at least {folds} speakers each among the recordings to learn "
            f"from; speakers by class: {counts or 'none'}. Add recordings, or choose fewer folds.",
        )
    if rare:
        say(f"{name}: classes with fewer than {folds} speakers are not learnt: {rare}")
    rows = np.flatnonzero(np.isin(data.classes, enough))
    _, speaker, recordings = np.unique(data.speakers[rows], return_inverse=True, return_counts=True)
    weights = data.weights[rows] / recordings[speaker]
    return LabelledVectors(data.values[rows], data.classes[rows], speaker, weights / weights.mean())


def _take(data: LabelledVectors, rows: Rows) -> LabelledVectors:
    return LabelledVectors(data.values[rows], data.classes[rows], data.speakers[rows], data.weights[rows])


def _spread(data: LabelledVectors, limit: int, least: int, rng: np.random.Generator) -> LabelledVectors:
    """Return at most ``limit`` rows at random, every speaker's first before anybody's second.

    Before all others come ``least`` speakers of each class, so that none is lost.
    """
    order = rng.permutation(len(data.classes))
    rows_of, speakers_of = Counter[int](), Counter[int]()
    turn = np.empty(len(order), np.int64)
    pairs = zip(data.speakers[order].tolist(), data.classes[order].tolist(), strict=True)
    for place, (speaker, label) in enumerate(pairs):
        turn[place] = rows_of[speaker]
        if not rows_of[speaker] and speakers_of[label] < least:
            turn[place] = -1
            speakers_of[label] += 1
        rows_of[speaker] += 1
    return _take(data, np.sort(order[np.argsort(turn, kind="stable")][:limit]))


def _folds(name: str, data: LabelledVectors, count: int, seed: int) -> Folds:
    """Divide the speakers, each class evenly.

    Raises:
        CorpusError: ``corpus_too_small`` if a class would be missing from what a fold is learnt from.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = [(train, held) for train, held in splitter.split(data.values, data.classes, data.speakers)]
    if any(_present(data.classes[train]) != _present(data.classes) for train, _ in folds):
        raise CorpusError(
            "corpus_too_small",
            f"The speakers cannot be divided into {count} folds that all hold every class of {name}: "
            "too few speakers, or speakers with several labels. Add recordings, or choose fewer folds.",
        )
    return folds


@dataclass(frozen=True)
class _Search:
    """Finds the settings for one task, and learns with them."""

    family: Family
    settings: ClassicalSettings
    options: FitOptions
    name: str
    say: Callable[[str], None]

    def run(self, data: LabelledVectors, seconds: float | None) -> tuple[Head, dict[str, Any]]:
        """Return the classifier and what is reported of it; see `Fitted`."""
        settings, seed = self.settings, self.options.seed
        rng = np.random.default_rng(seed)
        part = _spread(data, settings.search_rows, settings.folds, rng)
        folds = _folds(self.name, part, settings.folds, seed)
        points = _points(self.family.grid(settings))
        tried = list(self._try(points, part, folds, seconds))
        best = max(tried, key=lambda row: float(row["uar"]))
        data = _spread(data, settings.rows, settings.folds, rng)
        model = self._finish(best["settings"], data)
        kind, importance = self._importance(best["settings"], model, part, folds[0], rng)
        report = {
            "rows": len(data.classes),
            "speakers": len(np.unique(data.speakers)),
            "classes": {
                str(label): len(np.unique(data.speakers[data.classes == label]))
                for label in _present(data.classes)
            },
            "folds": len(folds),
            "search_rows": len(part.classes),
            "grid": tried,
            "untried": points[len(tried) :],
            "chosen": best["settings"],
            "importance_kind": kind,
            "importance": [
                [int(place), round(float(importance[place]), 6)]
                for place in np.argsort(-importance, kind="stable")
            ],
        }
        return Head(model, tuple(_present(data.classes))), report

    def _try(
        self, points: list[dict[str, Any]], data: LabelledVectors, folds: Folds, seconds: float | None
    ) -> Iterator[dict[str, Any]]:
        started = time.process_time()
        with ThreadPoolExecutor(min(self.options.threads, len(folds))) as pool:
            for number, point in enumerate(points):
                if number and seconds is not None and time.process_time() - started > seconds:
                    self.say(f"{self.name}: time is up, {len(points) - number} grid points are left out")
                    return
                scores = list(pool.map(partial(self._score, point, data), folds))
                uar = float(np.mean(scores))
                named = ", ".join(f"{key} {value}" for key, value in point.items())
                self.say(f"{self.name}: {named}: UAR {uar:.4f}")
                yield {
                    "settings": point,
                    "uar": round(uar, 6),
                    "fold_uar": [round(score, 6) for score in scores],
                }

    def _score(self, point: Mapping[str, Any], data: LabelledVectors, fold: tuple[Rows, Rows]) -> float:
        """Return the UAR of one fold's speakers."""
        train, held = fold
        # The folds are spread over the threads already.
        with _openmp(1):
            model = _fit(self._make(point), _take(data, train))
            return _recall(model, data.values[held], data.classes[held], data.weights[held])

    def _make(self, point: Mapping[str, Any]) -> Any:
        return self.family.make(self.settings, self.options.seed, **point)

    def _finish(self, point: Mapping[str, Any], data: LabelledVectors) -> Any:
        pipeline = self._make(point)
        if self.family.finish is not None:
            folds = _folds(self.name, data, self.settings.folds, self.options.seed)
            pipeline = self.family.finish(pipeline, folds)
        joblib = require("joblib", "train")
        with joblib.parallel_config("threading", n_jobs=self.options.threads), _openmp(self.options.threads):
            return _fit(pipeline, data)

    def _importance(
        self,
        point: Mapping[str, Any],
        model: Any,
        data: LabelledVectors,
        fold: tuple[Rows, Rows],
        rng: np.random.Generator,
    ) -> tuple[str, Floats]:
        """Return what kind of importance it is, and that of each feature."""
        if hasattr(model[-1], "feature_importances_"):
            return "impurity", np.asarray(model[-1].feature_importances_)
        from sklearn.inspection import permutation_importance

        train, held = fold
        judged = _spread(_take(data, held), _IMPORTANCE_ROWS, 1, rng)
        # So few rows at a time are not worth a second thread.
        with _openmp(1):
            found = permutation_importance(
                _fit(self._make(point), _take(data, train)),
                judged.values,
                judged.classes,
                scoring=_recall,
                n_repeats=_IMPORTANCE_REPEATS,
                random_state=self.options.seed,
                sample_weight=judged.weights,
            )
        return "permutation", np.asarray(found.importances_mean)


def _recall(
    model: Any, values: NDArray[np.float32], classes: NDArray[np.int64], sample_weight: Floats
) -> float:
    """Return the UAR of the model's likeliest classes, over the classes that are there."""
    from sklearn.metrics import recall_score

    return float(
        recall_score(
            classes,
            model.predict(values),
            labels=_present(classes),
            average="macro",
            sample_weight=sample_weight,
            zero_division=0,
        )
    )


def _points(grid: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def _fit(pipeline: Any, data: LabelledVectors) -> Any:
    return pipeline.fit(data.values, data.classes, model__sample_weight=data.weights)


def _openmp(threads: int) -> Any:
    return require("threadpoolctl", "train").threadpool_limits(threads, user_api="openmp")
