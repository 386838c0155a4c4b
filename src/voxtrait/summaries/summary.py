"""What an archive holds: totals, shares, and the breakdowns by folder and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import polars as pl

from voxtrait.batch import Dataset
from voxtrait.bundle import Card, available_bundles, load_bundle
from voxtrait.errors import UsageError
from voxtrait.labels import AGE_GROUPS
from voxtrait.summaries.groups import DayColumn, DayPattern, folder_names
from voxtrait.summaries.known import KnownErrors
from voxtrait.summaries.shares import FEWEST, GenderShares, Share, age_shares, gender_shares
from voxtrait.summaries.tally import AGE_COLUMNS, GENDER_COLUMNS, UNITS, tally_files, unit_of

__all__ = ["ROW_COLUMNS", "Summary", "card_of", "summarise"]

#: Columns of a breakdown after the name: seconds; the share of women's speech with its interval; seconds of
#: each age group by probability.
ROW_COLUMNS: Final = (
    "files", "audio", "speech", "heard", "female", "male", "unsure", "expected", "share", "low", "high",
    *AGE_GROUPS,
)  # fmt: skip

_SHARES: Final = dict.fromkeys(("expected", "share", "low", "high"), pl.Float64)
#: Folders from which on they, and no longer their files, are what is resampled.
_FOLDERS: Final = 20


@dataclass(frozen=True)
class Summary:
    """What was heard in an archive, and by whom.

    Attributes:
        folder: of the data set.
        model, bundle: name and version of the model, and the SHA-256 of it.
        unit: what seconds are counted by, a name of `UNITS`.
        known: errors of the model; empty if they are not known.
        files: a row a file: `tally_files`, ``folder``, ``day`` (null if not known) and ``cluster``.
        clusters: what was resampled: days, folders or files.
        gender: share of women's speech; None if the model tells no gender.
        ages: share of speech by age group; empty if the model tells no age.
    """

    folder: str
    model: str
    bundle: str
    unit: str
    known: KnownErrors
    files: pl.DataFrame
    clusters: str
    gender: GenderShares | None
    ages: Mapping[str, Share]

    @cached_property
    def statuses(self) -> dict[str, int]:
        """Files by status."""
        counts = dict(self.files["status"].value_counts().iter_rows())
        return {name: counts.get(name, 0) for name in ("ok", "no_speech", "error")}

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Seconds of ``audio``, ``speech``, ``heard`` (with an answer), ``unanswered``, and by label."""
        sums = self.files.select(pl.sum("duration", "speech", "heard", "female", "male", "unsure")).row(
            0, named=True
        )
        audio = float(sums.pop("duration"))
        return {"audio": audio, **sums, "unanswered": max(0.0, sums["speech"] - sums["heard"])}

    @cached_property
    def pyramid(self) -> dict[str, tuple[float, float]]:
        """Share of all speech by age group, by probability: of women, and of the others."""
        sums = self.files.select(pl.sum(*AGE_COLUMNS)).row(0)
        whole = sum(sums) or 1.0
        sides = sums[: len(AGE_GROUPS)], sums[len(AGE_GROUPS) :]
        return {
            name: (women / whole, others / whole)
            for name, women, others in zip(AGE_GROUPS, *sides, strict=True)
        }

    @property
    def has_days(self) -> bool:
        """Whether days are known."""
        return self.files["day"].null_count() < len(self.files)

    @property
    def cluster_count(self) -> int:
        """How many clusters have speech."""
        return self.files.filter(pl.col("heard") > 0)["cluster"].n_unique()

    @property
    def notes(self) -> list[str]:
        """What one should read first, a sentence each."""
        return list(_notes(self))

    def rows(self, by: str) -> pl.DataFrame:
        """Return a breakdown: the name of each file, folder, day or month, then `ROW_COLUMNS`.

        Sorted by name; what has no day is left out.
        """
        files = self.files.drop_nulls("day") if by in ("day", "month") else self.files
        if by == "month":
            files = files.with_columns(month=pl.col("day").dt.truncate("1mo"))
        sums = files.group_by(by).agg(
            pl.len().alias("files"),
            pl.sum("duration").alias("audio"),
            pl.sum("speech", "heard", "female", "male", "unsure", "expected_female", "gendered"),
            *((pl.col(f"women_{name}") + pl.col(f"others_{name}")).sum().alias(name) for name in AGE_GROUPS),
        )
        if by == "file":
            expected = pl.when(pl.col("gendered") > 0).then(pl.col("expected_female") / pl.col("gendered"))
            none = [pl.lit(None, pl.Float64).alias(name) for name in ("share", "low", "high")]
            shares = sums.with_columns(expected.alias("expected"), *none)
        else:
            shares = sums.join(self._shares(files, by), on=by)
        return shares.select(by, *ROW_COLUMNS).sort(by)

    def _shares(self, files: pl.DataFrame, by: str) -> pl.DataFrame:
        # The files of a day share voices, so days are drawn inside a folder too.
        inner = "cluster" if self.clusters == "days" and by != "day" else "file"
        sums = files.group_by(by, inner).agg(pl.sum(*GENDER_COLUMNS)).sort(by, inner)
        rows = []
        for (name,), part in sums.group_by(by, maintain_order=True):
            found = gender_shares(part.select(GENDER_COLUMNS).to_numpy(), self.known)
            head = found.headline if found else Share(0.0)
            values = (found.expected.value, head.value, head.low, head.high) if found else (None,) * 4
            rows.append((name, *values))
        return pl.DataFrame(rows, schema={by: sums[by].dtype, **_SHARES}, orient="row")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, without the breakdowns."""
        return {
            "schema_version": 1,
            "dataset": self.folder,
            "model": self.model,
            "bundle": self.bundle,
            "summed_by": self.unit,
            "files": {"all": len(self.files), **self.statuses},
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "women": None if self.gender is None else self.gender.to_dict(),
            "ages": {name: share.to_dict() for name, share in self.ages.items()},
            "women_and_others_by_age": {
                name: [round(share, 4) for share in both] for name, both in self.pyramid.items()
            },
            "resampled": {"by": self.clusters, "count": self.cluster_count},
            "conditions": [error.name for error in self.known.genders],
            "notes": self.notes,
        }


def card_of(dataset: Dataset, bundle: str | None) -> Card | None:
    """Return the card of the model that a data set was annotated with, or None if nobody has it.

    Args:
        dataset: whose model.
        bundle: where it is; None looks among those that come with voxtrait.

    Raises:
        BundleError: if the bundle cannot be read.
        UsageError: ``usage`` if it is another one.
    """
    wanted = dataset.settings.bundle
    if bundle is None:
        cards = (load_bundle(name).card for name in available_bundles())
        return next((card for card in cards if card.sha256 == wanted), None)
    card = load_bundle(bundle).card
    if card.sha256 != wanted:
        raise UsageError(
            "usage",
            f"--model {bundle} is {card.title}, SHA-256 {card.sha256[:12]}; {dataset.folder} was annotated "
            f"with {dataset.settings.model}, {wanted[:12]}.",
        )
    return card


def summarise(dataset: Dataset, card: Card | None, days: DayPattern | DayColumn | None = None) -> Summary:
    """Sum a data set up.

    Args:
        dataset: what `voxtrait annotate` wrote.
        card: of its model; None if not known: then nothing is corrected.
        days: where days are read off.

    Raises:
        UsageError: ``dataset`` if a part is damaged; ``nothing_to_do`` if nothing in it was answered;
            ``usage``, ``days`` or ``table`` for days that cannot be read.
    """
    files = tally_files(dataset)
    if not files["heard"].sum() > 0:
        raise UsageError(
            "nothing_to_do",
            f"{dataset.folder} has no speech with an answer in its {len(files)} files: nothing to sum up.",
        )
    found = pl.Series("day", [None] * len(files), pl.Date) if days is None else days.days(files)
    files = files.with_columns(found, folder_names(files["file"]))
    cluster, files = _clustered(files)
    known = KnownErrors() if card is None else KnownErrors.of(card)
    columns = (*GENDER_COLUMNS, *AGE_COLUMNS)
    sums = files.group_by("cluster").agg(pl.sum(*columns)).sort("cluster")
    by_age = sums.select(pl.col(f"women_{name}") + pl.col(f"others_{name}") for name in AGE_GROUPS).to_numpy()
    shares = age_shares(by_age) if by_age.sum() > 0 else []
    return Summary(
        folder=str(dataset.folder),
        model=dataset.settings.model,
        bundle=dataset.settings.bundle,
        unit=unit_of(dataset),
        known=known,
        files=files,
        clusters=cluster,
        gender=gender_shares(sums.select(GENDER_COLUMNS).to_numpy(), known),
        ages=dict(zip(AGE_GROUPS, shares, strict=True)) if shares else {},
    )


def _clustered(files: pl.DataFrame) -> tuple[str, pl.DataFrame]:
    """Add ``cluster``: what shares voices, and is resampled as one."""
    inner = folder_names(files["file"], most=None)
    days = files["day"].cast(pl.String)
    choices: Sequence[tuple[str, pl.Series, int]] = (
        ("days", days.fill_null(files["file"]), FEWEST),
        ("folders", inner, _FOLDERS),
    )
    for name, keys, fewest in choices:
        has_keys = name != "days" or days.null_count() < len(days)
        if has_keys and keys.filter(files["heard"] > 0).n_unique() >= fewest:
            return name, files.with_columns(keys.alias("cluster"))
    return "files", files.with_columns(cluster="file")


def _notes(summary: Summary) -> Sequence[str]:
    notes = [UNITS[summary.unit]]
    if summary.gender is not None and summary.gender.corrected is None:
        notes.append(
            f"How often {summary.model} errs is not known here, so nothing is corrected and the intervals "
            "know of the files alone: give its bundle with --model, with recalls of both genders in its card."
        )
    seconds = summary.seconds
    decided = (seconds["female"] + seconds["male"]) / max(
        seconds["female"] + seconds["male"] + seconds["unsure"], 1e-9
    )
    measured = [error.decided for error in summary.known.genders if error.decided is not None]
    if summary.gender is not None and measured and decided < min(measured):
        notes.append(
            f"Of this speech {100 * decided:.0f} % was decided, less than under any condition that the model "
            f"was measured in ({100 * min(measured):.0f} %): it is poorer, shorter or younger than those, "
            "and the shares may lie outside of their intervals."
        )
    if summary.cluster_count < FEWEST:
        notes.append(f"There are fewer than {FEWEST} files with speech: too few for an interval.")
    undated = summary.files["day"].null_count()
    if summary.has_days and undated:
        notes.append(f"{undated} of {len(summary.files)} files have no day and are left out by day.")
    if summary.statuses["error"]:
        count = summary.statuses["error"]
        notes.append(f"{count} {'file' if count == 1 else 'files'} could not be heard.")
    return notes
