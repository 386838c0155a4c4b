"""A table for people; with segments the timeline of each file under it, with speakers its voices."""

from __future__ import annotations

from typing import Final, TextIO

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from voxtrait.exports.base import Writer
from voxtrait.exports.screen import GENDER_STYLES, show, width_of
from voxtrait.exports.timeline import draw_timeline, draw_voices, legend
from voxtrait.exports.wording import age_words, clock, gender_words, printable
from voxtrait.results import Prediction

__all__ = ["TableWriter"]

_HEAD: Final = f"{'speech':>9}  {'gender':<15}  {'age':<11}  {'group':<9}"
#: Messages longer than this are folded.
_WIDEST: Final = 100
#: Columns that a name has on the smallest terminal, and between name and answer.
_NARROWEST: Final = 12
_GAP: Final = 3


class TableWriter(Writer):
    """Keeps all answers until the end, when the widths of the columns are known."""

    name = "table"
    suffixes = (".txt",)
    suffix = ".txt"
    for_people = True

    def __init__(self, stream: TextIO, *, segments: bool = False, speakers: bool = False) -> None:
        super().__init__(stream, segments=segments, speakers=speakers)
        self._table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        self._table.add_column("file", overflow="fold")
        # One column for the answer, its parts aligned by hand: a message runs over all of them.
        self._table.add_column(_HEAD, overflow="fold", max_width=_WIDEST)
        self._detailed: list[Prediction] = []

    def write(self, prediction: Prediction) -> None:
        self._table.add_row(Text(printable(prediction.file)), _answer(prediction))
        if (self.segments and prediction.segments) or (self.speakers and prediction.speakers):
            self._detailed.append(prediction)

    def finish(self) -> None:
        # Long names give way, so that the parts of the answer stay aligned.
        room = width_of(self.stream) - len(_HEAD) - _GAP
        self._table.columns[0].max_width = max(_NARROWEST, room)
        show(self.stream, self._table)
        for prediction in self._detailed:
            show(self.stream, "", Text(printable(prediction.file), "bold"))
            if self.segments and prediction.segments:
                show(self.stream, draw_timeline(prediction.segments, prediction.duration))
            if self.speakers and prediction.speakers:
                show(self.stream, draw_voices(prediction.speakers))
        if self.segments and self._detailed:
            show(self.stream, "", legend())


def _answer(prediction: Prediction) -> Text:
    text = Text()
    speech = "" if prediction.speech is None else clock(prediction.speech)
    if prediction.error is not None:
        text.append("error", "bold red").append(f"  {prediction.error.code}: ", "red")
        text.append(printable(prediction.error.message))
    elif prediction.gender is None or prediction.age is None:
        text.append(f"{speech:>9}  ").append("no speech", "dim")
    else:
        text.append(f"{speech:>9}  ")
        text.append(f"{gender_words(prediction.gender):<15}  ", GENDER_STYLES[prediction.gender.label])
        text.append(f"{age_words(prediction.age):<11}  {prediction.age.group}")
    for warning in prediction.warnings:
        text.append("\nwarning", "yellow").append(f"  {warning.code}: {printable(warning.message)}")
    return text
