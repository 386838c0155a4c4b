"""Where results go: stdout, or a file that appears as a whole."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from voxtrait.cli.messages import abandon_output
from voxtrait.errors import UsageError

__all__ = ["check_output", "open_output", "writing_to"]


def check_output(path: Path) -> None:
    """Find out before the work whether a file can be written.

    Raises:
        UsageError: ``usage`` if the name is that of a recording; ``output`` if it cannot be written.
    """
    from voxtrait.audio import AUDIO_EXTENSIONS

    folder = path.absolute().parent
    if path.suffix.lower() in AUDIO_EXTENSIONS:
        raise UsageError("usage", f"-o {path} names a recording, which results would overwrite.")
    if path.is_dir():
        raise UsageError("output", f"{path} is a folder: name a file in it.")
    if not folder.is_dir():
        raise UsageError("output", f"There is no folder {folder} to write {path.name} into.")


@contextmanager
def writing_to(path: Path | None) -> Iterator[None]:
    """Say what could not be written, and why; None is stdout.

    Raises:
        UsageError: ``output``.
        BrokenPipeError: if the reader is gone.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if path is None:
            abandon_output()
        name = "standard output" if path is None else path
        raise UsageError("output", f"Cannot write {name}: {error.strerror or error}.") from error


@contextmanager
def open_output(path: Path | None, *, appends: bool = False, encoding: str | None = None) -> Iterator[TextIO]:
    """Open a file, always UTF-8, or stdout if ``path`` is None, for one run; write under `writing_to`.

    A file gets its name when the run is over, unless ``appends``: then it is written as it grows, for
    it is whole at any time. What is no regular file (a pipe, a device) is never replaced.

    Args:
        encoding: of stdout; None is that of the terminal. No character makes it fail.

    Raises:
        UsageError: ``output`` if it cannot be opened or closed.
    """
    if path is None:
        yield _standard_output(encoding)
        return
    replaces = not appends and (path.is_file() or not path.exists())
    # A link stays a link: what it points to is replaced.
    target = path.resolve()
    part = target.with_name(f".{target.name[:200]}.{os.getpid()}.part") if replaces else target
    with writing_to(path):
        stream = part.open("w", encoding="utf-8", newline="")
    try:
        try:
            yield stream
        finally:
            with writing_to(path):
                stream.close()
        if replaces:
            with writing_to(path):
                part.replace(target)
    finally:
        if replaces:
            part.unlink(missing_ok=True)


def _standard_output(encoding: str | None) -> TextIO:
    if sys.stdout is None:
        raise UsageError("output", "Standard output is closed: name a file with -o.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace", newline="")
    return sys.stdout
