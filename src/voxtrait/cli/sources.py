"""What the arguments of a command mean: files, folders, globs, stdin."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, cast

from voxtrait.errors import UsageError

if TYPE_CHECKING:
    from voxtrait.audio import AudioSource

__all__ = ["find_all"]


def find_all(paths: Iterable[str], resources: ExitStack) -> Iterator[AudioSource]:
    """Return the sources, found as they are needed, but the first of each path now.

    Args:
        paths: as given on the command line; "-" is stdin.
        resources: closes what stays open until all sources are read.

    Raises:
        AudioError: if a folder or a glob holds nothing.
        UsageError: for what cannot be meant.
    """
    given = list(paths)
    if given.count("-") > 1:
        raise UsageError("usage", "Standard input can be read once: give - once.")
    return chain.from_iterable([_search(path, resources) for path in given])


def _search(path: str, resources: ExitStack) -> Iterator[AudioSource]:
    from voxtrait.audio import find_sources

    if path == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("usage", "Nothing is piped into 'voxtrait predict -'; name a file instead.")
        return _standard_input(resources)
    if not path:
        raise UsageError("usage", "A PATH is empty: name a recording or a folder (. for this one).")
    found = find_sources([path])
    return chain([next(found)], found)


def _standard_input(resources: ExitStack) -> Iterator[BinaryIO]:
    """Yield stdin, named "<stdin>"; a pipe is copied here, where Ctrl-C ends the waiting for it."""
    if sys.stdin.seekable():
        yield sys.stdin.buffer
        return
    spool = resources.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115 - it is closed
    # Answers and messages call a source by this name.
    spool.name = sys.stdin.name
    copy = cast(BinaryIO, spool)
    try:
        shutil.copyfileobj(sys.stdin.buffer, copy)
    except OSError as error:
        raise UsageError("output", f"Cannot keep a copy of standard input: {error.strerror}.") from error
    yield copy
