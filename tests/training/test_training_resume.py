"""A training that is killed goes on to the same result; two processes train one model."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import voxtrait
from training_toys import Train, command, environment

_LONG = ("--set", "train.epochs=60", "--set", "train.patience=60")


def _epochs(run: Path) -> int:
    history = run / "history.jsonl"
    return history.read_text().count("\n") if history.is_file() else 0


@pytest.mark.long
def test_a_killed_training_goes_on_to_the_same_result(studio: Path, train: Train) -> None:
    assert train("-o", "runs/whole", *_LONG).returncode == 0
    killed = studio / "runs" / "killed"
    for least in (2, 10):
        with subprocess.Popen(
            command(studio, "-o", "runs/killed", *_LONG),
            cwd=studio,
            env=environment(),
            stderr=subprocess.DEVNULL,
        ) as process:
            while _epochs(killed) < least:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
        assert not (killed / "bundle").exists()
    done = train("-o", "runs/killed", *_LONG)
    assert done.returncode == 0, done.stderr
    assert "going on after" in done.stderr
    history = [json.loads(line) for line in (killed / "history.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in history] == list(range(60))
    whole = voxtrait.load_bundle(studio / "runs" / "whole" / "bundle")
    assert voxtrait.load_bundle(killed / "bundle").sha256 == whole.sha256


def test_a_damaged_checkpoint_is_said(studio: Path, train: Train) -> None:
    run = studio / "runs" / "damaged"
    assert train("-o", "runs/damaged").returncode == 0
    (run / "bundle" / "card.json").unlink()
    (run / "bundle" / "model.onnx").unlink()
    (run / "bundle").rmdir()
    (run / "last.pt").write_bytes(b"half a file")
    done = train("-o", "runs/damaged")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error[run_corrupt]: ")


def _small_files() -> None:
    """Let no file of this process grow beyond ten megabytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_a_full_disk_is_said_and_nothing_is_lost(studio: Path, train: Train) -> None:
    words = command(studio, "-o", "runs/full")
    done = subprocess.run(
        words,
        cwd=studio,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_small_files,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error[no_space]: ")
    assert not (studio / "runs" / "full" / "last.pt").exists()
    again = train("-o", "runs/full")
    assert again.returncode == 0, again.stderr
    assert _epochs(studio / "runs" / "full") == 3


def test_two_processes_train_one_model(studio: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    words = [*launcher, *command(studio, "-o", "runs/two")[1:]]
    done = subprocess.run(
        words, cwd=studio, env=environment(), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["runs/two/bundle"]
    run = studio / "runs" / "two"
    assert json.loads((run / "run.json").read_text())["processes"] == 2
    assert _epochs(run) == 3
    answer = voxtrait.predict(studio / "corpus/clips/0-0.wav", model=run / "bundle")
    assert answer.status == "ok"
