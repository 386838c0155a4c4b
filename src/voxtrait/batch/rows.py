"""One row a recording: the columns of an annotated data set, and answers to and from rows.

======================  ==========================  ===================================================
file                    string                      absolute path, address, or ``ARCHIVE::MEMBER``
status                  string                      ok, no_speech or error
duration, speech        double                      seconds of the recording and of the speech in it
gender                  string                      female, male or unsure
female, male            double                      calibrated probabilities
age                     double                      years
age_low, age_high       double                      interval in years
age_coverage            double                      probability that the interval holds the age
age_group               string                      the most probable group
age_groups              struct of double            probability of each group, by its name
segments                list of struct              ``start``, ``end`` (seconds), ``speaker``, then the
                                                    columns from ``gender`` to ``age_groups``; null
                                                    unless asked for
speakers                list of struct              ``speaker``, ``speech`` (seconds), then the same
                                                    columns; null unless asked for
warnings                list of struct              ``code``, ``message`` of what was odd
error, message          string                      code and sentence of what went wrong
model                   string                      name and version of the bundle
bundle                  string                      SHA-256 of its model
size                    int64                       bytes of the file (of its archive), null if unknown
modified                timestamp (microseconds,    when the file (its archive) was last changed, null
                        UTC)                        if unknown
======================  ==========================  ===================================================

Where there is no speech, or an error, what cannot be known is null. In JSON Lines ``modified`` is an
ISO 8601 string; in CSV structs and lists are JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from voxtrait.exports.wording import unicode_only
from voxtrait.labels import AGE_GROUPS
from voxtrait.results import Prediction

if TYPE_CHECKING:
    import pyarrow

__all__ = ["COLUMNS", "ESTIMATE_COLUMNS", "Row", "arrow_schema", "prediction_of", "row_of"]

#: Values by column, as Python's own types.
Row = dict[str, Any]

#: What is said of a voice: of a whole file, of a segment, of a speaker.
ESTIMATE_COLUMNS: Final = (
    "gender", "female", "male", "age", "age_low", "age_high", "age_coverage", "age_group", "age_groups",
)  # fmt: skip

COLUMNS: Final = (
    "file", "status", "duration", "speech", *ESTIMATE_COLUMNS, "segments", "speakers", "warnings",
    "error", "message", "model", "bundle", "size", "modified",
)  # fmt: skip


def arrow_schema() -> pyarrow.Schema:
    """Return the types of the columns as a pyarrow.Schema."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    groups = pa.struct([(name, number) for name in AGE_GROUPS])
    kinds: dict[str, pa.DataType] = {"gender": text, "age_group": text, "age_groups": groups}
    estimate = [(name, kinds.get(name, number)) for name in ESTIMATE_COLUMNS]
    segment = pa.struct([("start", number), ("end", number), ("speaker", text), *estimate])
    speaker = pa.struct([("speaker", text), ("speech", number), *estimate])
    return pa.schema(
        [
            ("file", text),
            ("status", text),
            ("duration", number),
            ("speech", number),
            *estimate,
            ("segments", pa.list_(segment)),
            ("speakers", pa.list_(speaker)),
            ("warnings", pa.list_(pa.struct([("code", text), ("message", text)]))),
            ("error", text),
            ("message", text),
            ("model", text),
            ("bundle", text),
            ("size", pa.int64()),
            ("modified", pa.timestamp("us", tz="UTC")),
        ]
    )


def row_of(answer: Mapping[str, Any], bundle: str, size: int | None, modified: datetime | None) -> Row:
    """Return the row of an answer.

    Args:
        answer: `Prediction.to_dict` of it.
        bundle: SHA-256 of the model.
        size, modified: of the file that was heard.
    """
    error = answer["error"] or {}
    segments, speakers = answer.get("segments"), answer.get("speakers")
    return {
        "file": answer["file"],
        "status": answer["status"],
        "duration": answer["duration"],
        "speech": answer["speech"],
        **_flat(answer),
        "segments": None if segments is None else [_flat_part(part) for part in segments],
        "speakers": None if speakers is None else [_flat_part(part) for part in speakers],
        "warnings": [
            {"code": warning["code"], "message": unicode_only(warning["message"])}
            for warning in answer.get("warnings", ())
        ],
        "error": error.get("code"),
        # Messages quote names, which may be no text.
        "message": None if "message" not in error else unicode_only(error["message"]),
        "model": answer["model"],
        "bundle": bundle,
        "size": size,
        "modified": modified,
    }


def prediction_of(row: Mapping[str, Any]) -> Prediction:
    """Return the answer that a row was made of; its numbers stay rounded."""
    parts = {
        name: None if row[name] is None else [_nested_part(part) for part in row[name]]
        for name in ("segments", "speakers")
    }
    error = None if row["error"] is None else {"code": row["error"], "message": row["message"]}
    head = {name: row[name] for name in ("file", "status", "duration", "speech", "model")}
    return Prediction.from_dict(
        {**head, **_nested(row), **parts, "warnings": row["warnings"] or (), "error": error}
    )


def _flat(part: Mapping[str, Any]) -> Row:
    gender, age = part["gender"] or {}, part["age"] or {}
    return {
        "gender": gender.get("label"),
        "female": gender.get("female"),
        "male": gender.get("male"),
        "age": age.get("years"),
        "age_low": age.get("low"),
        "age_high": age.get("high"),
        "age_coverage": age.get("coverage"),
        "age_group": age.get("group"),
        "age_groups": age.get("groups"),
    }


def _flat_part(part: Mapping[str, Any]) -> Row:
    head = {name: value for name, value in part.items() if name not in ("gender", "age")}
    return {**head, **_flat(part)}


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    gender = {"label": row["gender"], "female": row["female"], "male": row["male"]}
    age = {
        "years": row["age"],
        "low": row["age_low"],
        "high": row["age_high"],
        "coverage": row["age_coverage"],
        "group": row["age_group"],
        "groups": row["age_groups"],
    }
    return {
        "gender": None if row["gender"] is None else gender,
        "age": None if row["age"] is None else age,
    }


def _nested_part(part: Mapping[str, Any]) -> dict[str, Any]:
    head = {name: value for name, value in part.items() if name not in ESTIMATE_COLUMNS}
    return {**head, **_nested(part)}
