"""Results read back from the files that ``voxtrait predict`` writes as JSON, one at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO, get_args

from voxtrait.errors import UsageError
from voxtrait.exports.jsonfile import JsonLinesWriter, JsonWriter
from voxtrait.results import Prediction, Status

__all__ = ["check_result", "read_results"]

#: Characters read at a time.
_CHUNK: Final = 1 << 16
_SPACE: Final = " \t\r\n"


def read_results(path: Path) -> Iterator[Prediction]:
    """Yield the answers in a file of JSON Lines or with a JSON array, as its extension says.

    Raises:
        UsageError: ``usage`` for another extension; ``results`` if the file cannot be read, or with the line
            where something else than an answer stands.
    """
    suffix = path.suffix.lower()
    if suffix not in (*JsonLinesWriter.suffixes, *JsonWriter.suffixes):
        raise UsageError(
            "usage",
            f"{path} is neither the folder of a data set nor a .jsonl or .json file of 'voxtrait predict'.",
        )
    try:
        yield from _lines(path) if suffix in JsonLinesWriter.suffixes else _array(path)
    except OSError as error:
        raise UsageError("results", f"{path} cannot be read: {error.strerror or error}.") from error


def _lines(path: Path) -> Iterator[Prediction]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.isspace():
                try:
                    element = json.loads(line)
                except ValueError as error:
                    raise _damaged(path, number, error) from error
                yield _result(path, number, element)


def _array(path: Path) -> Iterator[Prediction]:
    """Read an array without holding more of it than an element and a chunk."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8") as stream:
        text = _Text(path, stream)
        text.take("[")
        if text.next() == "]":
            text.take("]")
        else:
            while True:
                text.next()
                line = text.line
                yield _result(path, line, text.element(decoder))
                if text.take(",]") == "]":
                    break
        if text.next():
            raise _damaged(path, text.line, "something follows the array")


class _Text:
    """What is not yet read of a JSON file, from ``line`` on."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self.line = 1
        self._path = path
        self._stream = stream
        self._text = ""

    def next(self) -> str:
        """Skip white space and return the next character, "" at the end."""
        while True:
            rest = self._text.lstrip(_SPACE)
            self._drop(len(self._text) - len(rest))
            if rest or not self._more():
                return rest[:1]

    def take(self, expected: str) -> str:
        """Take the next character, one of ``expected``."""
        found = self.next()
        if not found or found not in expected:
            reason = f"{found!a} instead of {' or '.join(expected)}" if found else "it is cut off"
            raise _damaged(self._path, self.line, reason)
        self._drop(1)
        return found

    def element(self, decoder: json.JSONDecoder) -> Any:
        """Take the next element."""
        while True:
            try:
                element, end = decoder.raw_decode(self._text)
            except ValueError as error:
                # As much again: an element of any size is tried few times.
                if not self._more(len(self._text)):
                    raise _damaged(self._path, self.line, error) from error
                continue
            self._drop(end)
            return element

    def _more(self, least: int = 0) -> bool:
        try:
            chunk = self._stream.read(max(_CHUNK, least))
        except ValueError as error:
            raise _damaged(self._path, self.line, error) from error
        self._text += chunk
        return bool(chunk)

    def _drop(self, count: int) -> None:
        self.line += self._text.count("\n", 0, count)
        self._text = self._text[count:]


def _result(path: Path, line: int, element: Any) -> Prediction:
    try:
        prediction = Prediction.from_dict(element)
        check_result(prediction)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise _damaged(path, line, reason) from error
    return prediction


def check_result(prediction: Prediction) -> None:
    """Raise if the writers could not rely on an answer.

    Raises:
        ValueError, TypeError: saying what is wrong.
    """
    if not isinstance(prediction.file, str) or prediction.status not in get_args(Status):
        raise ValueError("file or status is none")
    reached = 0.0
    for segment in prediction.segments or ():
        if not (reached <= segment.start < segment.end and math.isfinite(segment.end)):
            raise ValueError(f"a segment from {segment.start} to {segment.end} after {reached}")
        reached = segment.end


def _damaged(path: Path, line: int, reason: object) -> UsageError:
    # Where in the text the decoder stood is another line than that of the file.
    words = " ".join(str(getattr(reason, "msg", reason)).split())[:200]
    return UsageError("results", f"{path}, line {line}, is no result of 'voxtrait predict' ({words}).")
