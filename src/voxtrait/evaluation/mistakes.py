"""The worst mistakes: to hear and see on the page, and copied out for a closer look."""

from __future__ import annotations

import base64
import csv
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from voxtrait.audio import AudioSource
from voxtrait.audio.inputs import source_name
from voxtrait.errors import AudioError, UsageError
from voxtrait.evaluation.age import age_answered, age_errors
from voxtrait.evaluation.clips import cut_excerpt, spectrogram_png, to_mp3
from voxtrait.evaluation.gender import gender_answered
from voxtrait.evaluation.recordings import Member, Recordings
from voxtrait.exports.wording import clock, percent
from voxtrait.speech import SpeechDetector

__all__ = ["Mistake", "check_copies", "copy_mistakes", "hear_mistakes", "worst_mistakes"]

#: Of each kind, each of another speaker.
_MOST: Final = 12
_TABLE: Final = "mistakes.csv"


@dataclass(frozen=True)
class Mistake:
    """A recording that was judged wrongly.

    Attributes:
        kind: "gender" or "age".
        path, speaker: of the manifest.
        truth, answer: in words.
        more: mistakes of the same kind on the same speaker, beside this one.
        audio, picture: ``data:`` addresses of an excerpt and its spectrogram; empty before
            `hear_mistakes`, and where the recording is gone meanwhile.
        excerpt: what the excerpt is, in words.
    """

    kind: str
    path: str
    speaker: str
    truth: str
    answer: str
    more: int
    audio: str = ""
    picture: str = ""
    excerpt: str = ""


def worst_mistakes(answers: pl.DataFrame) -> list[Mistake]:
    """Return the surest wrong genders, then the ages farthest outside the truth; one a speaker."""
    return [*_wrong_genders(gender_answered(answers)), *_wrong_ages(age_answered(answers))]


def _wrong_genders(table: pl.DataFrame) -> list[Mistake]:
    female = table["female"].to_numpy()
    says = np.where(female > 0.5, "female", "male")
    wrong = table.with_columns(
        says=pl.Series(says, dtype=pl.String), badness=pl.Series(np.maximum(female, 1 - female))
    ).filter(pl.col("says") != pl.col("gender"))
    found = []
    for row in _worst(wrong):
        unsure = ", left open as unsure" if row["label"] == "unsure" else ""
        answer = f"{row['says']} {percent(row['badness'])}{unsure}"
        found.append(
            Mistake("gender", row["path"], row["speaker"], row["gender"], answer, row["of_speaker"] - 1)
        )
    return found


def _wrong_ages(table: pl.DataFrame) -> list[Mistake]:
    years = table["years"].to_numpy().astype(np.float64)
    middle, outside = age_errors(table, years)
    wrong = table.with_columns(badness=pl.Series(outside), middle=pl.Series(middle)).filter(
        pl.col("badness") > 0
    )
    found = []
    for row in _worst(wrong):
        low, high = row["age_low"], row["age_high"]
        truth = f"{low:g} years" if low == high else f"{low:g} to {high:g} years"
        answer = f"{row['years']:.0f} years ({row['low']:.0f} to {row['high']:.0f})"
        found.append(Mistake("age", row["path"], row["speaker"], truth, answer, row["of_speaker"] - 1))
    return found


def _worst(wrong: pl.DataFrame) -> list[dict[str, Any]]:
    ranked = wrong.sort(["badness", "path"], descending=[True, False]).with_columns(
        of_speaker=pl.len().over("speaker")
    )
    return ranked.unique("speaker", keep="first", maintain_order=True).head(_MOST).to_dicts()


def hear_mistakes(mistakes: list[Mistake]) -> list[Mistake]:
    """Return the mistakes with their excerpts."""
    detector = SpeechDetector()
    heard: dict[str, tuple[str, str, str]] = {}
    for source in Recordings(dict.fromkeys(mistake.path for mistake in mistakes)):
        # It was there when it was answered: if it is gone since, the mistake stands without a player.
        try:
            heard[source_name(source)] = _excerpt(source, detector)
        except AudioError:
            continue
    nothing = ("", "", "")
    return [
        replace(mistake, audio=audio, picture=picture, excerpt=words)
        for mistake in mistakes
        for audio, picture, words in [heard.get(mistake.path, nothing)]
    ]


def _excerpt(source: AudioSource, detector: SpeechDetector) -> tuple[str, str, str]:
    excerpt = cut_excerpt(source, detector)
    audio = base64.b64encode(to_mp3(excerpt.samples)).decode("ascii")
    picture = base64.b64encode(spectrogram_png(excerpt.samples)).decode("ascii")
    return (
        f"data:audio/mpeg;base64,{audio}",
        f"data:image/png;base64,{picture}",
        f"{excerpt.seconds:.1f} s from {clock(excerpt.start)} on",
    )


def check_copies(folder: Path) -> None:
    """Find out whether ``folder`` is free, or holds an earlier evaluation's mistakes.

    Raises:
        UsageError: ``output`` if it holds something else.
    """
    if folder.exists() and not (folder / _TABLE).is_file():
        raise UsageError("output", f"{folder} is there and is no folder of mistakes: move it away.")


def copy_mistakes(mistakes: list[Mistake], folder: Path) -> None:
    """Copy the recordings into ``folder`` with a table of them; an earlier evaluation's is replaced.

    Raises:
        UsageError: ``output`` if the folder holds something else, or cannot be written.
    """
    check_copies(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _fill(mistakes, partial)
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    except OSError as error:
        raise UsageError("output", f"Cannot write {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(mistakes: list[Mistake], folder: Path) -> None:
    names = {
        mistake.path: f"{place:02}-{_file_name(mistake.path)}"
        for place, mistake in reversed(list(enumerate(mistakes, 1)))
    }
    copied = set()
    for source in Recordings(names):
        path = source_name(source)
        target = folder / names[path]
        if isinstance(source, Member):
            target.write_bytes(source.getvalue())
        elif Path(source).is_file():
            shutil.copyfile(source, target)
        else:
            continue
        copied.add(path)
    with (folder / _TABLE).open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["copy", "kind", "truth", "answer", "speaker", "path"])
        for mistake in mistakes:
            copy = names[mistake.path] if mistake.path in copied else ""
            table.writerow([copy, mistake.kind, mistake.truth, mistake.answer, mistake.speaker, mistake.path])


def _file_name(path: str) -> str:
    """Return the last part of a path, harmless on any file system."""
    return re.sub(r"[^\w.-]", "_", re.split(r"[/\\]", path)[-1])[-100:]
