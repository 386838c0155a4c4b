"""What is wrong with a corpus: its files, its copies, its splits, its labels, its speakers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from voxtrait.audio.archives import split_member, stream_members
from voxtrait.bundle import DEFAULT_BUNDLE, load_bundle
from voxtrait.corpora.hearing import Hearing, Recording, hear_all
from voxtrait.errors import CorpusError
from voxtrait.speakers import group_voices

__all__ = ["FINDINGS", "QUICK_FINDINGS", "audit", "voice_limit", "without_bad_files"]

#: Kinds of findings that need the manifest and a look at the disk, and what they mean.
QUICK_FINDINGS: Final = {
    "missing_file": "no file (or no member of the archive) is there",
    "shared_speaker": "a speaker stands in two splits",
    "conflicting_gender": "recordings of one speaker carry different genders",
    "conflicting_age": "ages of one speaker lie more than 10 years apart",
}
#: All kinds of findings, in the order in which they are listed.
FINDINGS: Final = {
    "missing_file": QUICK_FINDINGS["missing_file"],
    "corrupt_file": "it cannot be decoded",
    "damaged_file": "it breaks off, or pieces of it cannot be decoded",
    "no_speech": "it holds too little speech to be answered",
    "same_audio": "the same audio as another recording, under another name",
    **{kind: meaning for kind, meaning in QUICK_FINDINGS.items() if kind != "missing_file"},
    "several_voices": "it does not sound like the other recordings of its speaker",
}

_BAD_FILES: Final = ("missing_file", "corrupt_file", "same_audio")
_SCHEMA: Final = pl.Schema(dict.fromkeys(("kind", "path", "other", "speaker", "detail"), pl.String()))
#: A speaker who records over many releases grows older: neighbouring bands are no contradiction.
_YEARS_APART: Final = 10
#: Times the bundle's own distance between voices in one recording: other days and microphones add to it.
_MARGIN: Final = 1.3


@dataclass(frozen=True)
class _Finding:
    kind: str
    path: str
    other: str | None
    speaker: str
    detail: str


def audit(
    manifest: pl.DataFrame,
    workers: int,
    *,
    quick: bool = False,
    tick: Callable[[Hearing], None] = lambda hearing: None,
) -> pl.DataFrame:
    """Return what is wrong: ``kind`` (see `FINDINGS`), ``path``, ``other``, ``speaker``, ``detail``.

    A speaker-wide finding names one recording of each side. Ages of a speaker conflict if one interval
    ends more than 10 years before another begins, so neighbouring bands do not. Two recordings are the
    same audio if they decode to the same samples. Voices are told apart by the mean embedding of each
    recording, clustered by average linkage at `voice_limit`; a recording outside its speaker's largest
    cluster is a finding.

    Args:
        manifest: the recordings.
        workers: processes that decode.
        quick: decode nothing; only `QUICK_FINDINGS` can be found.
        tick: told of each recording once it was heard.

    Raises:
        CorpusError: ``corpus_reader`` if a process dies.
    """
    missing = _missing_files(manifest)
    findings = [*missing, *_label_findings(manifest)]
    if not quick:
        absent = pl.Series([finding.path for finding in missing], dtype=pl.String)
        present = manifest.filter(~pl.col("path").is_in(absent.implode()))
        findings += _Listening(present).findings(workers, tick)
    table = pl.DataFrame([astuple(finding) for finding in findings], schema=_SCHEMA, orient="row")
    kinds = {kind: place for place, kind in enumerate(FINDINGS)}
    return table.sort(pl.col("kind").replace_strict(kinds, return_dtype=pl.Int64), maintain_order=True)


def without_bad_files(manifest: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose file is there, can be decoded, and is no copy of one that stays."""
    bad = findings.filter(pl.col("kind").is_in(_BAD_FILES)).select("path")
    return manifest.join(bad, on="path", how="anti", maintain_order="left")


def voice_limit() -> float:
    """Return the cosine distance between groups of a speaker's recordings beyond which they are two voices.

    It is 1.3 times the distance up to which the default bundle's card takes two windows of one recording
    for one voice. At it, of 205 speakers in four corpora recorded speaker by speaker none is suspected
    wrongly; of two such speakers under one name 78 to 96 % are found if their genders differ, 33 to
    80 % if not (``benchmarks/audit_voices.py``).
    """
    embedding = load_bundle(DEFAULT_BUNDLE).card.embedding
    assert embedding is not None
    return _MARGIN * embedding.threshold


def _missing_files(manifest: pl.DataFrame) -> list[_Finding]:
    """Return the recordings without a file; of those in an archive, whether that is there."""
    findings = []
    for path, speaker in manifest.select("path", "speaker").iter_rows():
        place = split_member(path)
        # Path.is_file() raises for some names, such as one too long.
        if not os.path.isfile(place[0] if place else path):  # noqa: PTH113
            what = "archive" if place else "file"
            findings.append(_Finding("missing_file", path, None, speaker, f"there is no such {what}"))
    return findings


def _label_findings(manifest: pl.DataFrame) -> Iterator[_Finding]:
    yield from _disagreements(manifest, "split", "shared_speaker")
    yield from _disagreements(manifest, "gender", "conflicting_gender")
    aged = manifest.drop_nulls("age_low").sort("age_low", maintain_order=True)
    youngest, oldest = pl.col("age_high").arg_min(), pl.col("age_low").arg_max()
    ages = aged.group_by("speaker", maintain_order=True).agg(
        pl.col("path").get(youngest).alias("path"),
        pl.col("path").get(oldest).alias("other"),
        pl.col("age_low").get(youngest).alias("from"),
        pl.col("age_high").min().alias("to"),
        pl.col("age_low").max().alias("later_from"),
        pl.col("age_high").get(oldest).alias("later_to"),
    )
    apart = ages.filter(pl.col("later_from") - pl.col("to") > _YEARS_APART).sort("speaker")
    for speaker, path, other, *years in apart.iter_rows():
        low, high, later_low, later_high = years
        detail = f"{_years(low, high)} and {_years(later_low, later_high)} years"
        yield _Finding("conflicting_age", path, other, speaker, detail)


def _years(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _disagreements(manifest: pl.DataFrame, column: str, kind: str) -> Iterator[_Finding]:
    """Yield a finding for each speaker whose recordings carry more than one value in ``column``."""
    counted = (
        manifest.drop_nulls(column)
        .group_by("speaker", column)
        .agg(pl.col("path").first(), pl.len().alias("count"))
        .filter(pl.len().over("speaker") > 1)
        .sort("speaker", "count", column, descending=[False, True, False])
    )
    for (speaker,), rows in counted.group_by("speaker", maintain_order=True):
        detail = ", ".join(f"{value} {count}" for value, count in rows.select(column, "count").iter_rows())
        yield _Finding(kind, rows["path"][-1], rows["path"][0], str(speaker), f"recordings: {detail}")


class _Listening:
    """The findings that need the recordings to be decoded."""

    def __init__(self, manifest: pl.DataFrame) -> None:
        rows = manifest.select("path", "speaker", "split").rows()
        self._speaker = {path: speaker for path, speaker, _ in rows}
        self._split = {path: split for path, _, split in rows}
        several = manifest.filter(pl.len().over("speaker") > 1)
        #: Voices of the speakers with several recordings, and how much speech each is known from.
        self._voices: dict[str, dict[str, tuple[NDArray[np.float16], float]]] = {
            speaker: {} for speaker in several["speaker"].unique(maintain_order=True)
        }
        self._first: dict[str, str] = {}
        self._lost: dict[str, str] = {}
        self._min_speech = load_bundle(DEFAULT_BUNDLE).card.min_speech

    def findings(self, workers: int, tick: Callable[[Hearing], None]) -> Iterator[_Finding]:
        """Hear all recordings and yield what is wrong with them."""
        for hearing in hear_all(self._recordings(), workers):
            tick(hearing)
            yield from self._judge(hearing)
            if hearing.voice is not None:
                voices = self._voices[self._speaker[hearing.path]]
                voices[hearing.path] = hearing.voice, hearing.speech
        for path, reason in self._lost.items():
            yield self._finding("missing_file", path, reason)
        limit = voice_limit()
        strangers = [found for voices in self._voices.values() for found in self._strangers(voices, limit)]
        # The clearest first.
        yield from (finding for _, finding in sorted(strangers, key=lambda found: -found[0]))

    def _finding(self, kind: str, path: str, detail: str, other: str | None = None) -> _Finding:
        return _Finding(kind, path, other, self._speaker[path], detail)

    def _recordings(self) -> Iterator[Recording]:
        """Yield files as they stand in the manifest, then the members of each archive in one pass."""
        archives: dict[str, dict[str, str]] = {}
        for path in self._speaker:
            place = split_member(path)
            if place is None:
                yield Recording(path, voice=self._speaker[path] in self._voices)
            else:
                archives.setdefault(place[0], {})[place[1]] = path
        for archive, members in archives.items():
            reason = "the archive does not hold it"
            try:
                for name, content in stream_members(archive, list(members)):
                    path = members.pop(name)
                    yield Recording(path, content, voice=self._speaker[path] in self._voices)
            except CorpusError as error:
                reason = error.message
            self._lost |= dict.fromkeys(members.values(), reason)

    def _judge(self, hearing: Hearing) -> Iterator[_Finding]:
        path, error = hearing.path, hearing.error
        if error is not None:
            kind = "missing_file" if error.code == "not_found" else "corrupt_file"
            yield self._finding(kind, path, f"{error.code}: {error.message}")
            return
        for warning in hearing.warnings:
            yield self._finding("damaged_file", path, f"{warning.code}: {warning.message}")
        if hearing.speech < self._min_speech:
            detail = f"{hearing.speech:.2f} s of speech in {hearing.duration:.1f} s"
            yield self._finding("no_speech", path, f"{detail}; an answer needs {self._min_speech:g} s")
        first = self._first.setdefault(hearing.digest, path)
        if first != path:
            yield self._finding("same_audio", path, self._copy(first, path), first)

    def _copy(self, first: str, path: str) -> str:
        """Say what two names of the same audio contradict each other in."""
        contradictions = [
            f"{what} {facts[first]} and {facts[path]}"
            for what, facts in (("splits", self._split), ("speakers", self._speaker))
            if facts[first] != facts[path] and facts[first] and facts[path]
        ]
        return ", ".join(contradictions) or "of the same speaker"

    def _strangers(
        self, voices: dict[str, tuple[NDArray[np.float16], float]], limit: float
    ) -> Iterator[tuple[float, _Finding]]:
        """Yield the recordings outside the largest cluster of a speaker's, after their distance from it."""
        if len(voices) < 2:
            return
        paths = list(voices)
        units = np.stack([voice for voice, _ in voices.values()]).astype(np.float32)
        speech = np.array([seconds for _, seconds in voices.values()])
        clusters = group_voices(units, speech, limit)
        sizes = np.bincount(clusters)
        main = max(range(len(sizes)), key=lambda voice: (sizes[voice], speech[clusters == voice].sum()))
        distances = 1 - units @ units[clusters == main].T
        nearest = np.flatnonzero(clusters == main)[distances.argmin(axis=1)]
        means = distances.mean(axis=1).tolist()
        for row in np.flatnonzero(clusters != main).tolist():
            mates = sizes[clusters[row]]
            detail = (
                f"{mates} of {len(paths)} recordings in one of {len(sizes)} voices, "
                f"at distance {means[row]:.2f} from the main one"
            )
            yield means[row], self._finding("several_voices", paths[row], detail, paths[int(nearest[row])])
