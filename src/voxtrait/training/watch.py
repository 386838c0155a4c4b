"""Who is told how a training goes: the log, the history, TensorBoard, a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["EpochReport", "RunLog", "Silent", "Watcher", "open_run_log", "read_history"]


@dataclass(frozen=True)
class EpochReport:
    """Figures of one epoch; validation is by recording, half of it augmented where there are versions.

    Attributes:
        train_loss, loss: of training and of validation; without validation None, as all that follow.
        accuracy, uar: of gender; None where it is not learnt.
        mae: mean absolute error of age in years, to the middle of a band.
        age_ratio: the same, divided by that of the training speakers' median.
        age_correlation: of predicted and labelled age.
        seconds: that the epoch took.
    """

    epoch: int
    train_loss: float
    loss: float | None
    accuracy: float | None
    uar: float | None
    mae: float | None
    age_ratio: float | None
    age_correlation: float | None
    seconds: float

    def __str__(self) -> str:
        values = " ".join(
            f"{name} {value:.4g}"
            for name, value in asdict(self).items()
            if name != "epoch" and value is not None
        )
        return f"epoch {self.epoch:3d} {values}"


class Watcher(Protocol):
    """Whoever follows a training while it runs."""

    def say(self, line: str) -> None:
        """Take one line of text."""
        ...

    def step(self, epoch: int, epochs: int, share: float, loss: float) -> None:
        """Take note of a step: ``share`` of the epoch is done, ``loss`` is that of the last batch."""
        ...

    def epoch(self, report: EpochReport) -> None:
        """Take the figures of an epoch."""
        ...


class RunLog:
    """Writes a run's ``log.txt``, ``history.jsonl`` and ``tensorboard/``, and tells a watcher.

    Made by `open_run_log`.
    """

    def __init__(self, folder: Path | None, watcher: Watcher, writer: SummaryWriter | None) -> None:
        self._folder = folder
        self._watcher = watcher
        self._writer = writer

    def say(self, line: str) -> None:
        """Write a line to the log and show it."""
        self._append("log.txt", line)
        self._watcher.say(line)

    def step(self, epoch: int, epochs: int, share: float, loss: float) -> None:
        """Show a step."""
        self._watcher.step(epoch, epochs, share, loss)

    def epoch(self, report: EpochReport) -> None:
        """Write an epoch's figures everywhere."""
        self._append("log.txt", str(report))
        self._append("history.jsonl", json.dumps(asdict(report)))
        if self._writer is not None:
            for name, value in asdict(report).items():
                if name != "epoch" and value is not None:
                    self._writer.add_scalar(name, value, report.epoch)
            self._writer.flush()
        self._watcher.epoch(report)

    def rewind(self, epochs: int) -> None:
        """Forget what a killed run noted after the ``epochs`` that its checkpoint holds."""
        if self._folder is not None:
            kept = [json.dumps(entry) + "\n" for entry in read_history(self._folder)[:epochs]]
            (self._folder / "history.jsonl").write_text("".join(kept), encoding="utf-8")

    def _append(self, name: str, line: str) -> None:
        if self._folder is not None:
            with (self._folder / name).open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def read_history(folder: Path) -> list[dict[str, float | None]]:
    """Return the epochs of a run, as its ``history.jsonl`` holds them."""
    file = folder / "history.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    # A kill may leave half a line at the end.
    return [json.loads(line) for line in lines if line.endswith("}")]


class Silent:
    """A watcher of the processes that do not talk."""

    def say(self, line: str) -> None:
        """Take a line."""

    def step(self, epoch: int, epochs: int, share: float, loss: float) -> None:
        """Take a step."""

    def epoch(self, report: EpochReport) -> None:
        """Take an epoch."""


@contextmanager
def open_run_log(folder: Path, watcher: Watcher, writes: bool = True) -> Iterator[RunLog]:
    """Open the log of a run folder; what an earlier part of the same run wrote stays.

    Args:
        folder: the run's.
        watcher: told everything.
        writes: whether this process writes and talks at all.
    """
    if not writes:
        yield RunLog(None, Silent(), None)
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "tensorboard"))
    try:
        yield RunLog(folder, watcher, writer)
    finally:
        writer.close()
