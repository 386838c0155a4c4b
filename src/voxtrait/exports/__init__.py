"""Predictions in files: one writer a format, found by name.

>>> writer = get_writer("jsonl")(stream, segments=True)
>>> for prediction in predictor.predict_many(paths, segments=True):
...     writer.write(prediction)
>>> writer.finish()
"""

from __future__ import annotations

from pathlib import PurePath

from voxtrait.errors import UsageError
from voxtrait.exports.audacity import AudacityWriter
from voxtrait.exports.base import Writer
from voxtrait.exports.csvfile import CSV_COLUMNS, CsvWriter
from voxtrait.exports.elan import ElanWriter
from voxtrait.exports.jsonfile import JsonLinesWriter, JsonWriter
from voxtrait.exports.rttm import RttmWriter
from voxtrait.exports.srt import SrtWriter
from voxtrait.exports.table import TableWriter
from voxtrait.exports.textgrid import TextGridWriter
from voxtrait.exports.webvtt import WebVttWriter

__all__ = ["CSV_COLUMNS", "EXPORTS", "Writer", "format_of", "get_writer"]

#: The formats by name.
EXPORTS: dict[str, type[Writer]] = {
    writer.name: writer
    for writer in (
        TableWriter,
        JsonWriter,
        JsonLinesWriter,
        CsvWriter,
        RttmWriter,
        TextGridWriter,
        ElanWriter,
        AudacityWriter,
        WebVttWriter,
        SrtWriter,
    )
}


def get_writer(name: str) -> type[Writer]:
    """Return the writer of a format.

    Raises:
        UsageError: ``usage`` if there is no such format.
    """
    if name not in EXPORTS:
        raise UsageError("usage", f"There is no format {name!a}: give one of {', '.join(EXPORTS)}.")
    return EXPORTS[name]


def format_of(path: PurePath) -> str | None:
    """Return the name of the format that the extension of a file means, or None."""
    suffix = path.suffix.lower()
    return next((name for name, writer in EXPORTS.items() if suffix in writer.suffixes), None)
