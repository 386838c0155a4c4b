"""The live view of a training, on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

_PROGRAM = """
import time
from voxtrait.cli.live import TrainingView
from voxtrait.training.watch import EpochReport
with TrainingView() as view:
    view.say("1,460,150 parameters to train")
    for epoch in range(3):
        for share in (0.5, 1.0):
            view.step(epoch, 9, share, 1.25)
            time.sleep(0.3)
        view.epoch(EpochReport(epoch, 2.0, 1.0 / (epoch + 1), 0.9, 0.875, 7.5, 0.9, 0.4, 61.0))
    view.say("exported")
"""


def test_it_shows_epochs_and_the_time_left() -> None:
    terminal, end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stderr=end, env=environment) as process:
        os.close(end)
        shown = b""
        try:
            while part := os.read(terminal, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        assert process.wait() == 0
    os.close(terminal)
    text = shown.decode()
    assert "epoch 3 of 9, 100%, loss 1.250" in text
    assert "left at most" in text
    assert "0.875" in text
    assert "7.50" in text
    assert text.rstrip().endswith("exported")


def test_elsewhere_it_prints_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    lines = done.stderr.splitlines()
    assert lines[0] == "1,460,150 parameters to train"
    assert lines[1].startswith("epoch   0 train_loss 2 loss 1 ")
    assert lines[-1] == "exported"
