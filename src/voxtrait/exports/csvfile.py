"""CSV with flat columns: a row a file, a segment or a voice.

The columns are always the same, so that tables of several runs can be stacked:

======================  ============================================================================
file                    name of the file, raw: one that begins with = + - or @ looks like a formula to
                        a spreadsheet, which should import the column as text
status                  ok, no_speech or error
duration, speech        seconds of the file and of the speech in it
start, end              of the segment in seconds (with segments)
speaker                 voice within the file (with segments or speakers)
speaker_speech          seconds of speech of that voice (with speakers alone)
gender, female, male    label (female, male, unsure) and probabilities
age, age_low, age_high  years and interval
age_coverage            probability that the interval holds the age
age_group               most probable group
error, message          code and sentence of what went wrong
warnings                codes of what was odd, separated by spaces
model                   name and version of the bundle
======================  ============================================================================

With segments, gender and age are those of the segment; with speakers alone, those of the voice. A
file without any still has its row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, Final, TextIO

from voxtrait.exports.base import Writer
from voxtrait.exports.wording import unicode_only
from voxtrait.results import Prediction

__all__ = ["CSV_COLUMNS", "CsvWriter"]

CSV_COLUMNS: Final = (
    "file", "status", "duration", "speech", "start", "end", "speaker", "speaker_speech",
    "gender", "female", "male", "age", "age_low", "age_high", "age_coverage", "age_group",
    "error", "message", "warnings", "model",
)  # fmt: skip


class CsvWriter(Writer):
    """One header, then rows as soon as they are known; UTF-8, commas, lines ended by a line feed."""

    name = "csv"
    suffixes = (".csv",)
    suffix = ".csv"
    media_type = "text/csv"

    def __init__(self, stream: TextIO, *, segments: bool = False, speakers: bool = False) -> None:
        super().__init__(stream, segments=segments, speakers=speakers)
        self._rows = csv.DictWriter(stream, CSV_COLUMNS, restval="", lineterminator="\n")
        self._rows.writeheader()

    def write(self, prediction: Prediction) -> None:
        answer = prediction.to_dict()
        error = answer["error"] or {}
        shared = {
            "file": unicode_only(answer["file"]),
            **{key: answer[key] for key in ("status", "duration", "speech", "model")},
            "error": error.get("code"),
            "message": unicode_only(error.get("message", "")),
            "warnings": " ".join(warning["code"] for warning in answer.get("warnings", ())),
        }
        self._rows.writerows(shared | _estimates(part) for part in self._parts(answer))

    def _parts(self, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield what has a row: the segments, else the voices, else the file."""
        parts = answer.get("segments") if self.segments else answer.get("speakers") if self.speakers else None
        if not parts:
            yield {"gender": answer["gender"], "age": answer["age"]}
            return
        for part in parts:
            yield {key: value for key, value in part.items() if key != "speech"} | (
                {"speaker_speech": part["speech"]} if "speech" in part else {}
            )

    def finish(self) -> None:
        pass


def _estimates(part: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a segment, a voice or a file."""
    gender, age = part["gender"], part["age"]
    columns = {key: value for key, value in part.items() if key not in ("gender", "age")}
    if gender:
        columns |= {"gender": gender["label"], "female": gender["female"], "male": gender["male"]}
    if age:
        columns |= {
            "age": age["years"],
            "age_low": age["low"],
            "age_high": age["high"],
            "age_coverage": age["coverage"],
            "age_group": age["group"],
        }
    return columns
