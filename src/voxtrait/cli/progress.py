"""A progress bar on stderr, for a run that takes long and a person who watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import RLock, Timer
from typing import TYPE_CHECKING, Final, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["ProgressLine", "clock", "moving_bar"]

T = TypeVar("T")

#: Seconds before it appears.
_DELAY: Final = 2.0


class ProgressLine:
    """Files done, audio heard, and how many times faster than real time; a context manager.

    It shows only if stderr is a terminal, after two seconds, and leaves nothing behind.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._began = time.monotonic()
        self._heard = 0.0
        self._done = self._found = 0
        self._all_found = False
        self._bar: tuple[Progress, TaskID] | None = None
        self._timer: Timer | None = None

    def __enter__(self) -> Self:
        if sys.stderr is not None and sys.stderr.isatty():
            self._timer = Timer(_DELAY, self._appear)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._timer = None
            if self._bar is not None:
                self._bar[0].stop()
                self._bar = None

    def count(self, sources: Iterable[T]) -> Iterator[T]:
        """Pass sources on and count them."""
        for source in sources:
            self._found += 1
            yield source
        self._all_found = True

    def expect(self, files: int) -> None:
        """Note how many files there will be, where that is known."""
        with self._lock:
            self._found, self._all_found = files, True
            self._refresh()

    def heard(self, seconds: float) -> None:
        """Note that more was heard; called from any thread."""
        with self._lock:
            self._heard += seconds
            self._refresh()

    def file_done(self) -> None:
        """Note that a file has its answer."""
        with self._lock:
            self._done += 1
            self._refresh()

    @contextmanager
    def out_of_the_way(self) -> Iterator[None]:
        """Take the bar off the terminal while results are written to the same one."""
        with self._lock:
            if self._bar is None:
                yield
                return
            self._bar[0].stop()
            try:
                yield
            finally:
                self._bar[0].start()

    def _appear(self) -> None:
        with self._lock:
            if self._timer is None:
                return
            self._bar = moving_bar()
            self._refresh()
            self._bar[0].start()

    def _refresh(self) -> None:
        if self._bar is not None:
            bar, task = self._bar
            total = self._found if self._all_found else None
            bar.update(task, description=self._words(), completed=self._done, total=total)

    def _words(self) -> str:
        of = f" of {self._found}" if self._all_found else ""
        speed = self._heard / max(time.monotonic() - self._began, 1e-3)
        return f"{self._done}{of} files, {self._heard / 3600:.2f} h heard, {speed:.0f} × real time"


def moving_bar() -> tuple[Progress, TaskID]:
    """Return a bar for stderr that is not started yet, and its one task."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        console=Console(stderr=True),
        transient=True,
        # Rich would send what goes to stdout to stderr.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    return bar, bar.add_task("", total=None)


def clock(seconds: float) -> str:
    """Return a time as ``m:ss``, from an hour on as ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
