"""Data sets as `voxtrait annotate` writes them, of answers that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from voxtrait.batch import Dataset, Row, Settings, row_of
from voxtrait.batch.parts import table_of
from voxtrait.bundle import load_bundle
from voxtrait.labels import AGE_GROUPS

SHIPPED = load_bundle().card
#: Seconds and probability of female.
Turn = tuple[float, float]


def estimate(female: float, groups: Sequence[float] | None = None) -> dict[str, Any]:
    """Return gender and age of an answer; the label is unsure from 0.1 to 0.9."""
    label = "unsure" if 0.1 < female < 0.9 else "female" if female > 0.5 else "male"
    shares = dict(zip(AGE_GROUPS, groups or (0.0, 0.1, 0.5, 0.3, 0.1, 0, 0, 0, 0), strict=True))
    return {
        "gender": {"label": label, "female": female, "male": 1 - female},
        "age": {
            "years": 30.0,
            "low": 20.0,
            "high": 40.0,
            "coverage": 0.8,
            "group": max(shares, key=shares.__getitem__),
            "groups": shares,
        },
    }


def answered(
    file: str, turns: Sequence[Turn], groups: Sequence[float] | None = None, modified: datetime | None = None
) -> Row:
    """Return the row of a file in which somebody speaks in turns, a second apart."""
    segments, start = [], 0.0
    for seconds, female in turns:
        segments.append({"start": start, "end": start + seconds, "speaker": "S1", **estimate(female, groups)})
        start += seconds + 1
    speech = sum(seconds for seconds, _ in turns)
    whole = sum(seconds * female for seconds, female in turns) / speech
    speakers = [{"speaker": f"S{number}", "speech": seconds, **estimate(female, groups)}
                for number, (seconds, female) in enumerate(turns)]  # fmt: skip
    answer = {"file": file, "status": "ok", "duration": start, "speech": speech, **estimate(whole, groups),
              "segments": segments, "speakers": speakers, "error": None, "model": SHIPPED.title}  # fmt: skip
    return row_of(answer, SHIPPED.sha256, 1000, modified or datetime(2024, 3, 1, 12, tzinfo=UTC))


def unanswered(file: str, status: str) -> Row:
    """Return the row of a file without speech, or that could not be heard."""
    error = {"code": "corrupt", "message": "broken"} if status == "error" else None
    seconds = None if status == "error" else 4.0
    inside: list[Any] | None = None if error else []
    answer = {"file": file, "status": status, "duration": seconds, "speech": None if error else 0.0,
              "gender": None, "age": None, "segments": inside, "speakers": inside, "error": error,
              "model": SHIPPED.title}  # fmt: skip
    return row_of(answer, SHIPPED.sha256, None, None)


def dataset_in(
    folder: Path,
    parts: Sequence[Sequence[Row]],
    segments: bool = True,
    speakers: bool = False,
    kind: str = "parquet",
    bundle: str = SHIPPED.sha256,
) -> Dataset:
    """Write a data set; what it has no column for is null."""
    settings = Settings(SHIPPED.title, bundle, segments, speakers, parts=kind)
    dataset = Dataset.create(folder, settings)
    for number, rows in enumerate(parts):
        kept = [
            {
                **row,
                "segments": row["segments"] if segments else None,
                "speakers": row["speakers"] if speakers else None,
            }
            for row in rows
        ]
        dataset.format.write(table_of(kept), dataset.part(number))
    return dataset


def archive(files: int = 40) -> list[Row]:
    """Return rows of two folders and ten days; about a third of the time women speak."""
    return [
        answered(
            f"/radio/{('north', 'south')[number % 2]}/show-2024-03-{number % 10 + 1:02}-{number}.mp3",
            [(10.0, 0.02), (5.0, 0.97), (4.0 + number % 3, 0.05 if number % 5 else 0.6)],
        )
        for number in range(files)
    ]
