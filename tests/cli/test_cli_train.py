"""``voxtrait train`` hands its arguments on; the training itself is tested with its room."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cli_toys import environment

#: A training room that says what it was asked.
PROGRAM = """
import json, sys, types
from pathlib import Path
room = types.ModuleType("voxtrait.training.run")
def train(recipe, out, watcher, overrides):
    watcher.say("epoch 1")
    print(json.dumps([str(recipe), str(out), list(overrides)]))
    return Path(out) / "bundle"
room.train = train
sys.modules["voxtrait.training.run"] = room
from voxtrait.cli import main
main()
"""


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "train", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_arguments_reach_the_training() -> None:
    done = train("recipes/base.yaml", "--set", "seed=1", "--set", "train.epochs=3", "-o", "runs/short")
    assert (done.returncode, done.stderr) == (0, "epoch 1\n")
    asked, bundle = done.stdout.splitlines()
    assert json.loads(asked) == ["recipes/base.yaml", "runs/short", ["seed=1", "train.epochs=3"]]
    assert bundle == str(Path("runs/short/bundle"))


def test_a_run_folder_of_its_own() -> None:
    asked, _ = train("recipes/base.yaml").stdout.splitlines()
    assert json.loads(asked) == ["recipes/base.yaml", str(Path("runs/base")), []]
