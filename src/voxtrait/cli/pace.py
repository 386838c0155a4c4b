"""How far `voxtrait annotate` is: a moving line for a person, a JSON object a second for a machine."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from voxtrait.cli.messages import say
from voxtrait.cli.progress import clock, moving_bar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from voxtrait.batch.annotate import Progress

__all__ = ["Pace"]

#: Seconds from one look to the next.
_EVERY: Final = 1.0


class Pace:
    """Shows the progress of a run on stderr; a context manager.

    Args:
        inputs: of the run; those that can be are counted meanwhile, so that the time left is known.
        as_json: print an object a second, wherever stderr leads.
    """

    def __init__(self, inputs: Sequence[str], *, as_json: bool) -> None:
        self._inputs = inputs
        self._as_json = as_json
        self._total: int | None = None
        self._began = time.monotonic()
        self._shown = self._began
        self._bar: tuple[Bar, TaskID] | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar[0].stop()

    def show(self, progress: Progress) -> None:
        """Show it, if the last time is long enough ago."""
        now = time.monotonic()
        if now - self._shown < _EVERY:
            return
        self._shown = now
        if self._as_json:
            say(json.dumps(self.figures(progress)))
        elif sys.stderr is not None and sys.stderr.isatty():
            self._draw(progress)

    def end(self, progress: Progress) -> None:
        """Show how it ended, where a machine reads it."""
        if self._as_json:
            say(json.dumps(self.figures(progress)))

    def figures(self, progress: Progress) -> dict[str, Any]:
        """Return what is known: files, errors, hours, speed, seconds passed and left (null: unknown)."""
        passed = max(time.monotonic() - self._began, 1e-3)
        total = progress.seen if progress.finished else self._total
        left = None
        if total is not None and progress.done:
            left = round(max(total - progress.there - progress.done, 0) * passed / progress.done, 1)
        return {
            "files": progress.there + progress.done,
            "total": total,
            "before": progress.there,
            "errors": progress.failed,
            "no_speech": progress.silent,
            "hours": round(progress.audio / 3600, 4),
            "speech_hours": round(progress.speech / 3600, 4),
            "files_a_second": round(progress.done / passed, 2),
            "times_real_time": round(progress.audio / passed, 1),
            "seconds": round(passed, 1),
            "seconds_left": left,
        }

    def summary(self, progress: Progress, output: Path) -> str:
        """Return the lines that the run leaves behind."""
        figures = self.figures(progress)
        files = f"{progress.done} file{'' if progress.done == 1 else 's'}"
        before = f" ({progress.there} had an answer before)" if progress.there else ""
        speed = ""
        if progress.done:
            speed = (
                f", {_hours(progress.audio)} in {clock(figures['seconds'])}: "
                f"{figures['times_real_time']:.0f} × real time"
            )
        counts = [
            f"{number} {what}"
            for number, what in ((progress.failed, "with an error"), (progress.silent, "without speech"))
            if number
        ]
        return f"{files}{before}{speed}" + "".join(f", {count}" for count in counts) + f" → {output}"

    def _draw(self, progress: Progress) -> None:
        figures = self.figures(progress)
        of = "" if figures["total"] is None else f" of {figures['total']}"
        left = "" if figures["seconds_left"] is None else f", {clock(figures['seconds_left'])} left"
        errors = f", {progress.failed} with an error" if progress.failed else ""
        words = (
            f"{figures['files']}{of} files, {_hours(progress.audio)}, "
            f"{figures['times_real_time']:.0f} × real time{errors}{left}"
        )
        if self._bar is None:
            self._bar = moving_bar()
            self._bar[0].start()
        bar, task = self._bar
        bar.update(task, description=words, completed=figures["files"], total=figures["total"])

    def _count(self) -> None:
        # The recordings come first: who looks for them should not share the interpreter with this.
        time.sleep(_EVERY)
        # What is wrong with an input the run itself says.
        with contextlib.suppress(Exception):
            counts = [_files_in(name) for name in self._inputs]
            self._total = None if None in counts else sum(count or 0 for count in counts)


def _files_in(name: str) -> int | None:
    """Return how many recordings an input names, or None if only reading it tells."""
    from voxtrait.audio import find_sources
    from voxtrait.audio.archives import archive_stem

    if name == "-" or "://" in name or archive_stem(name) is not None:
        return None
    if name.endswith(".parquet"):
        from pyarrow import parquet

        return int(parquet.read_metadata(name).num_rows)
    return sum(1 for _ in find_sources([name]))


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h" if seconds >= 360 else f"{seconds / 60:.1f} min"
