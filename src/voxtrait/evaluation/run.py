"""One evaluation: which recordings, what the constant predictor says, the answers, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait.bundle import Card
from voxtrait.corpora import MANIFEST_SCHEMA, check_disjoint, read_corpus, read_manifest
from voxtrait.errors import CorpusError, UsageError
from voxtrait.evaluation.age import age_figures, band_confusion, band_figures, joint_figures
from voxtrait.evaluation.answers import Cost, answer_files
from voxtrait.evaluation.bands import check_merge
from voxtrait.evaluation.classes import Confusion
from voxtrait.evaluation.gender import (
    Point,
    gender_answered,
    gender_confusion,
    gender_figures,
    reliability,
    risk_coverage,
)
from voxtrait.evaluation.levels import measure_levels
from voxtrait.evaluation.recordings import Recordings, Watch
from voxtrait.evaluation.resampling import Figure
from voxtrait.evaluation.subgroups import Subgroup, subgroups_of
from voxtrait.predictor import Predictor

__all__ = [
    "SCHEMA_VERSION",
    "Baseline",
    "Chosen",
    "Evaluation",
    "choose",
    "read_recordings",
    "run_evaluation",
]

#: Version of the layout of metrics.json.
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class Baseline:
    """A predictor that says the same of everybody.

    Attributes:
        gender: the commoner one; None where the bundle tells no gender.
        years: the median age; None where it tells no age.
        source: where both were read off.
    """

    gender: str | None
    years: float | None
    source: str


@dataclass(frozen=True)
class Chosen:
    """The recordings to be judged on.

    Attributes:
        manifest: the labelled recordings.
        split: their name in the manifest, None where it has no splits.
        unlabelled: recordings left out, as they lack the labels that the bundle predicts.
        baseline: the constant predictor.
        caution: whether their speakers may have been heard in training, in one sentence.
    """

    manifest: pl.DataFrame
    split: str | None
    unlabelled: int
    baseline: Baseline
    caution: str


@dataclass(frozen=True)
class Evaluation:
    """Answers and what they were asked of.

    Attributes:
        card: of the bundle.
        source: the manifest, as it was given.
        chosen: the recordings.
        answers: from `answer_files`, with ``snr`` in dB.
        cost: of the answers.
        merge_from: bands from this age on are one.
    """

    card: Card
    source: str
    chosen: Chosen
    answers: pl.DataFrame
    cost: Cost
    merge_from: float | None

    @cached_property
    def figures(self) -> list[Figure]:
        """All figures over all recordings; of a task that the bundle lacks there are none."""
        gender, years = self.chosen.baseline.gender, self.chosen.baseline.years
        found: list[Figure] = []
        if gender is not None:
            found += gender_figures(self.answers, gender)
        if years is not None:
            found += age_figures(self.answers, years)
            found += band_figures(self.answers, years, self.merge_from)
        if gender is not None and years is not None:
            found += joint_figures(self.answers, gender, years, self.merge_from)
        return found

    @cached_property
    def subgroups(self) -> list[Subgroup]:
        """The same for parts of the recordings."""
        baseline = self.chosen.baseline
        return subgroups_of(self.answers, baseline.gender, baseline.years, self.merge_from)

    @cached_property
    def confusion(self) -> dict[str, Confusion]:
        """Truth against answer, "gender" and "age band"."""
        gender = gender_confusion(self.answers) if self.card.gender else None
        band = band_confusion(self.answers, self.merge_from) if self.card.age else None
        tables = {"gender": gender, "age band": band}
        return {name: table for name, table in tables.items() if table is not None}

    @cached_property
    def curves(self) -> dict[str, list[Point]]:
        """The curves "reliability" and "risk_coverage", empty where no gender was answered."""
        table = gender_answered(self.answers)
        if table.is_empty():
            return {"reliability": [], "risk_coverage": []}
        return {"reliability": reliability(table), "risk_coverage": risk_coverage(table)}

    @property
    def skipped(self) -> list[dict[str, str]]:
        """Path, code and message of each recording that could not be heard."""
        errors = self.answers.filter(pl.col("status") == "error")
        return errors.select("path", "code", "message").to_dicts()

    def metrics(self) -> dict[str, Any]:
        """Return the content of metrics.json; docs/guide.md describes it."""
        baseline, statuses = self.chosen.baseline, self.answers["status"]
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.card.title,
            "model_sha256": self.card.sha256,
            "model_bytes": self.card.model_bytes,
            "manifest": self.source,
            "split": self.chosen.split,
            "recordings": self.answers.height,
            "speakers": self.answers["speaker"].n_unique(),
            "statuses": {name: int((statuses == name).sum()) for name in ("ok", "no_speech", "error")},
            "unlabelled": self.chosen.unlabelled,
            "merge_from": self.merge_from,
            "baseline": asdict(baseline),
            "cost": self.cost.to_dict(),
            "notes": list(self._notes()),
            "figures": [figure.to_dict() for figure in self.figures],
            "confusion": {name: table.to_dict() for name, table in self.confusion.items()},
            **{name: [point.to_dict() for point in points] for name, points in self.curves.items()},
            "subgroups": [group.to_dict() for group in self.subgroups],
            "skipped": self.skipped,
        }

    def _notes(self) -> Iterator[str]:
        yield self.chosen.caution
        yield f"The constant answer is read off {self.chosen.baseline.source}."
        if self.chosen.unlabelled:
            count = self.chosen.unlabelled
            yield f"{count} recordings lack the labels that this model predicts and were left out."
        if self.answers["speaker"].n_unique() == 1:
            yield "All recordings are of one speaker: no interval can be given."
        genders = gender_answered(self.answers)["gender"].unique().to_list()
        if len(genders) == 1:
            yield f"All answered recordings are labelled {genders[0]}: there is no UAR of gender."
        if (failed := len(self.skipped)) > 0:
            yield f"{failed} recordings could not be heard; they are in no figure."


def read_recordings(source: Path) -> pl.DataFrame:
    """Read a manifest (Parquet), or a corpus that `voxtrait.corpora.read_corpus` knows.

    Raises:
        CorpusError: if it is neither.
    """
    if source.suffix == ".parquet" and source.is_file():
        try:
            columns = set(pl.read_parquet_schema(source))
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise CorpusError("corpus_layout", f"{source} is not a Parquet file: {reason}") from error
        if columns <= set(MANIFEST_SCHEMA):
            return read_manifest(source)
    return read_corpus(source)


def choose(manifest: pl.DataFrame, card: Card, split: str | None) -> Chosen:
    """Choose the labelled recordings of a split.

    Args:
        manifest: all recordings.
        card: of the bundle: what it predicts must be labelled.
        split: its name; None is "test" where there is one, else everything.

    Raises:
        CorpusError: ``shared_speakers`` if a speaker of the manifest stands in two splits,
            ``corpus_empty`` if no recording is labelled.
        UsageError: ``usage`` if there is no such split.
    """
    check_disjoint(manifest)
    names = manifest["split"].drop_nulls().unique().sort().to_list()
    if split is None and "test" in names:
        split = "test"
    if split is not None and split not in names:
        has = f"its splits are {', '.join(names)}" if names else "it has no splits"
        raise UsageError("usage", f"There is no split {split!a} in the manifest: {has}.")
    rows = manifest if split is None else manifest.filter(pl.col("split") == split)
    labels = [*(["gender"] if card.gender else []), *(["age_low"] if card.age else [])]
    labelled = rows.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in labels))
    if labelled.is_empty():
        what = " or ".join(name.removesuffix("_low") for name in labels)
        raise CorpusError(
            "corpus_empty",
            f"None of the {rows.height} recordings has a {what}, which {card.title} could be judged on.",
        )
    caution = (
        "No speaker of this split stands in another split of the manifest; whether the model was trained on "
        "that manifest the bundle does not say."
        if split is not None
        else "The bundle does not list the speakers that it was trained on: if some of these are among them, "
        "the figures flatter it."
    )
    baseline = _baseline(manifest, labelled, card)
    return Chosen(labelled, split, rows.height - labelled.height, baseline, caution)


def _baseline(manifest: pl.DataFrame, labelled: pl.DataFrame, card: Card) -> Baseline:
    gender, years = _constants(manifest.filter(pl.col("split") == "train"))
    source = "the train split of the manifest"
    if (card.gender and gender is None) or (card.age and years is None):
        gender, years = _constants(labelled)
        source = "these recordings themselves"
    return Baseline(gender if card.gender else None, years if card.age else None, source)


def _constants(table: pl.DataFrame) -> tuple[str | None, float | None]:
    """Return the commoner gender and the median age, None without labels."""
    genders = table.filter(pl.col("gender").is_in(["female", "male"]))["gender"]
    middles = ((table["age_low"] + table["age_high"]) / 2).drop_nulls().to_numpy()
    return (
        genders.mode().sort()[0] if len(genders) else None,
        float(np.median(middles)) if len(middles) else None,
    )


def run_evaluation(
    predictor: Predictor,
    source: Path,
    split: str | None,
    merge_from: float | None,
    progress: Callable[[], AbstractContextManager[Watch]],
) -> Evaluation:
    """Ask the predictor about every recording and measure how noisy those are that it answered.

    Args:
        predictor: of the bundle.
        source: what `read_recordings` reads.
        split: as for `choose`.
        merge_from: bands from this age on are one.
        progress: is told how far each of the two passes is.

    Raises:
        CorpusError: what `read_recordings` and `choose` raise; ``corpus_empty`` if no recording could be
            answered.
        UsageError: ``usage`` for a split or a merging that there is not.
    """
    check_merge(merge_from)
    card = predictor.bundle.card
    chosen = choose(read_recordings(source), card, split)
    with progress() as watch:
        answers, cost = answer_files(predictor, chosen.manifest, watch)
    answered = answers.filter(pl.col("status") == "ok")
    if answered.is_empty():
        raise CorpusError("corpus_empty", _why_nothing(answers))
    with progress() as watch:
        levels = measure_levels(Recordings(answered["path"]), watch)
    snr = answers["path"].replace_strict(levels, default=None, return_dtype=pl.Float64)
    return Evaluation(card, str(source), chosen, answers.with_columns(snr=snr), cost, merge_from)


def _why_nothing(answers: pl.DataFrame) -> str:
    errors = answers.filter(pl.col("status") == "error")
    if errors.is_empty():
        return f"None of the {answers.height} recordings holds speech."
    return f"None of the {answers.height} recordings could be answered; the first: {errors['message'][0]}"
