"""JSON: the objects of the contract, as one array or one a line; always UTF-8."""

from __future__ import annotations

import json

from voxtrait.exports.base import Writer
from voxtrait.exports.wording import unicode_only
from voxtrait.results import Prediction

__all__ = ["JsonLinesWriter", "JsonWriter"]


def _line(prediction: Prediction) -> str:
    return unicode_only(json.dumps(prediction.to_dict(), ensure_ascii=False, allow_nan=False))


class JsonLinesWriter(Writer):
    """One object a line, as soon as it is known."""

    name = "jsonl"
    suffixes = (".jsonl", ".ndjson")
    suffix = ".jsonl"
    media_type = "application/jsonl"
    appends = True

    def write(self, prediction: Prediction) -> None:
        self.stream.write(_line(prediction) + "\n")

    def finish(self) -> None:
        pass


class JsonWriter(Writer):
    """One array, an element a line."""

    name = "json"
    suffixes = (".json",)
    suffix = ".json"
    media_type = "application/json"
    _empty = True

    def write(self, prediction: Prediction) -> None:
        self.stream.write(("[\n" if self._empty else ",\n") + _line(prediction))
        self._empty = False

    def finish(self) -> None:
        self.stream.write("[]\n" if self._empty else "\n]\n")
