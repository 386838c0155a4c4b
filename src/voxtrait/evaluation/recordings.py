"""Recordings of a manifest as sources, those in archives streamed; and work on many of them at once."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

from voxtrait.audio.archives import split_member, stream_members
from voxtrait.errors import CorpusError
from voxtrait.results import Problem

__all__ = ["Member", "Recordings", "Watch", "in_parallel"]

S = TypeVar("S")
T = TypeVar("T")

#: Items waiting for each thread.
_AHEAD: Final = 4


class Watch(Protocol):
    """What is told how far the work is: the command line's progress bar."""

    def count(self, sources: Iterable[T]) -> Iterator[T]:
        """Pass sources on and count them."""

    def heard(self, seconds: float) -> None:
        """Note that more audio was heard; called from any thread."""

    def file_done(self) -> None:
        """Note that a recording is done."""


class Member(io.BytesIO):
    """The bytes of a recording in an archive, called by its path in messages and answers."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


class Recordings:
    """Sources by their paths: files in order, then members of archives, each archive read once.

    Args:
        paths: of a manifest; ``archive::member`` is a member of a tar.

    Attributes:
        problems: path -> why a member could not be had, complete once iterated over.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._files: list[str] = []
        self._archives: dict[str, dict[str, str]] = {}
        self.problems: dict[str, Problem] = {}
        for path in paths:
            place = split_member(path)
            if place is None:
                self._files.append(path)
            else:
                archive, member = place
                self._archives.setdefault(archive, {})[member] = path

    def __iter__(self) -> Iterator[str | Member]:
        yield from self._files
        for archive, members in self._archives.items():
            yield from self._stream(archive, dict(members))

    def _stream(self, archive: str, wanted: dict[str, str]) -> Iterator[str | Member]:
        problem = Problem("not_found", f"It is not in the archive {archive}.")
        try:
            for member, content in stream_members(archive, list(wanted)):
                path = wanted.pop(member, None)
                if path is not None:
                    yield Member(content, path)
        except CorpusError as error:
            problem = Problem(error.code, error.message)
        self.problems.update(dict.fromkeys(wanted.values(), problem))


def in_parallel(work: Callable[[S], T], items: Iterable[S], threads: int) -> Iterator[T]:
    """Yield the results of ``work`` on each item, in order; items are drawn as they are needed."""
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
