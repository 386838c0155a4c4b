"""A training on the terminal: its last epochs, and how long it will take."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Self

from voxtrait.cli.messages import say
from voxtrait.cli.progress import clock

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

    from voxtrait.training.watch import EpochReport

__all__ = ["TrainingView"]

#: Epochs shown; more are in the log.
_SHOWN: Final = 12
_REFRESHES: Final = 4


class TrainingView:
    """Shows a training on stderr: a table that moves on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._reports: list[EpochReport] = []
        self._live: Live | None = None
        self._began = 0.0
        self._first = 0.0
        self._line = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def say(self, line: str) -> None:
        """Print a line; what moves is over with it."""
        self._stop()
        say(line)

    def step(self, epoch: int, epochs: int, share: float, loss: float) -> None:
        """Show how far the training is."""
        if sys.stderr is None or not sys.stderr.isatty():
            return
        done = epoch + share
        if self._live is None:
            self._start()
            self._began, self._first = time.monotonic(), done
        passed, advanced = time.monotonic() - self._began, done - self._first
        left = f", {clock(passed / advanced * (epochs - done))} left at most" if advanced > 0 else ""
        self._line = f"epoch {epoch + 1} of {epochs}, {share:.0%}, loss {loss:.3f}{left}"
        assert self._live is not None
        self._live.update(self._page())

    def epoch(self, report: EpochReport) -> None:
        """Show the figures of an epoch."""
        self._reports.append(report)
        if self._live is None:
            say(str(report))
        else:
            self._live.update(self._page())

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True),
            refresh_per_second=_REFRESHES,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _page(self) -> Group:
        from rich.box import SIMPLE_HEAD
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in ("epoch", "training loss", "validation loss", "gender UAR", "age MAE", "seconds"):
            table.add_column(column, justify="right")
        validated = [report for report in self._reports if report.loss is not None]
        best = min(validated, key=lambda report: report.loss or 0.0, default=None)
        for report in self._reports[-_SHOWN:]:
            table.add_row(
                str(report.epoch + 1),
                f"{report.train_loss:.3f}",
                "" if report.loss is None else f"{report.loss:.3f}",
                "" if report.uar is None else f"{report.uar:.3f}",
                "" if report.mae is None else f"{report.mae:.2f}",
                f"{report.seconds:.0f}",
                style="bold" if report is best else None,
            )
        line = Text(self._line)
        return Group(table, line) if self._reports else Group(line)
