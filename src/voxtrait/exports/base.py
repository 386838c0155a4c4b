"""What every writer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, TextIO

from voxtrait.results import Prediction

__all__ = ["Writer"]


class Writer(ABC):
    """Writes predictions to a text stream, which stays open.

    Args:
        stream: where to; opened with ``newline=""``.
        segments, speakers: what was asked of the predictor; the writer shows it.

    Attributes:
        name: of the format.
        suffixes: file extensions that mean it, in lower case.
        appends: a file cut off after any ``write`` is whole, as far as it goes.
        for_people: nothing is written before ``finish``, and then in the encoding of the terminal;
            other formats are UTF-8.
        suffix: of the files that get their names here, one a recording.
        media_type: of a document, as HTTP calls it.
        needs_timeline: it shows segments, and nothing but what they and the speakers say.
        holds_several: one document may hold several recordings.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    appends: ClassVar[bool] = False
    for_people: ClassVar[bool] = False
    suffix: ClassVar[str]
    media_type: ClassVar[str] = "text/plain"
    needs_timeline: ClassVar[bool] = False
    holds_several: ClassVar[bool] = True

    def __init__(self, stream: TextIO, *, segments: bool = False, speakers: bool = False) -> None:
        self.stream = stream
        self.segments = segments
        self.speakers = speakers

    @abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Write the answer for one file, or keep it for the end."""

    @abstractmethod
    def finish(self) -> None:
        """Write what belongs at the end; call it once, after the last answer."""
