"""Text for people: with colour on a terminal, and nowhere cut off."""

from __future__ import annotations

import io
from typing import Final, TextIO

from rich.console import Console, RenderableType

__all__ = ["GENDER_STYLES", "show", "width_of"]

GENDER_STYLES: Final[dict[str, str]] = {"female": "magenta", "male": "blue", "unsure": "yellow"}

#: Columns of a file or a pipe: wider than any line, so that nothing is folded.
_WIDE: Final = 10_000


def show(stream: TextIO, *contents: RenderableType) -> None:
    """Print one below the other: on a terminal with colour and folded to its width, elsewhere plain."""
    if stream.isatty():
        _print(_console(stream), contents)
        return
    page = io.StringIO()
    _print(_console(page), contents)
    # Rich fills the last column of a table with spaces.
    stream.writelines(line.rstrip() + "\n" for line in page.getvalue().split("\n")[:-1])


def width_of(stream: TextIO) -> int:
    """Return the columns of a terminal, or as many as anything needs elsewhere."""
    return _console(stream).width


def _console(stream: TextIO) -> Console:
    terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal,
        color_system="auto" if terminal else None,
        width=None if terminal else _WIDE,
        markup=False,
        highlight=False,
        emoji=False,
    )


def _print(console: Console, contents: tuple[RenderableType, ...]) -> None:
    for content in contents:
        console.print(content)
