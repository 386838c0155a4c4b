"""Decoders that die, hang, fail and leak: each costs its file alone, or nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_toys import (
    archive_of,
    assert_no_orphans,
    command,
    environment,
    family,
    heard,
    named,
    run,
    sabotage,
    speech,
    toy_in,
)


@pytest.fixture
def toy(workshop: Path) -> Path:
    return toy_in(workshop)


def test_each_misfortune_costs_its_file_alone(toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    good = archive_of(folder, 40)
    for name in ("dies-always", "dies-once", "exits", "hangs", "leaks", "strange"):
        (folder / f"{name}.wav").write_bytes(speech(7))
    # Where a folder is searched they come between the others.
    for place, name in enumerate(("dies-always", "hangs", "dies-once")):
        (folder / f"00{place}5.b").mkdir()
        (folder / f"00{place}5.b" / f"{name}-2.wav").write_bytes(speech(8))
    os.mkfifo(folder / "nobody-writes.wav")
    env = sabotage(tmp_path, TOY_MARK=str(tmp_path))
    options = ["--model", toy, "--workers", "2", "--time-limit", "4"]
    done = run(folder, "-o", tmp_path / "out", *options, env=env)
    rows = named(tmp_path / "out")
    assert len(rows) == 50
    errors = {name: row["error"] for name, row in rows.items() if row["error"]}
    assert errors == {
        "dies-always.wav": "decoder_died",
        "dies-always-2.wav": "decoder_died",
        "exits.wav": "decoder_died",
        "hangs.wav": "timed_out",
        "hangs-2.wav": "timed_out",
        "nobody-writes.wav": "timed_out",
        "strange.wav": "internal",
    }
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("50 files")
    assert "7 with an error" in line
    assert "SIGSEGV" in rows["dies-always.wav"]["message"]
    assert "exit code 3" in rows["exits.wav"]["message"]
    assert "4 s" in rows["hangs.wav"]["message"]
    run(*good, "-o", tmp_path / "alone", "--model", toy, "--workers", "1")
    assert named(tmp_path / "alone").items() <= rows.items()
    # What kills is opened twice, what hangs once.
    opened = heard(tmp_path)
    counts = {name: opened.count(name) for name in errors}
    assert counts == {
        "dies-always.wav": 2,
        "dies-always-2.wav": 2,
        "exits.wav": 2,
        "hangs.wav": 1,
        "hangs-2.wav": 1,
        "nobody-writes.wav": 1,
        "strange.wav": 2,
    }
    assert_no_orphans(str(tmp_path))


def test_what_was_being_read_when_another_killed_has_two_tries_of_its_own(toy: Path, tmp_path: Path) -> None:
    killer, ahead = tmp_path / "waits-and-dies-always.wav", tmp_path / "read-late-and-dies-once.wav"
    killer.write_bytes(speech(20))
    ahead.write_bytes(speech(21))
    env = sabotage(tmp_path)
    words = command("-", "-o", tmp_path / "out", "--model", toy, "--workers", "1")
    log = Path(env["TOY_LOG"])

    def times(line: str) -> int:
        return log.read_text().splitlines().count(line) if log.exists() else 0

    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        print(killer, file=process.stdin, flush=True)
        wait_for(lambda: times(killer.name) == 1)
        with process.stdin as names:
            print(ahead, file=names)
        wait_for(lambda: times(f"reads {ahead.name}") == 1)
        Path(f"{log}.go").touch()
        wait_for(lambda: times(killer.name) == 2)
        Path(f"{log}.read").touch()
        assert process.wait(60) == 1
    assert (times(killer.name), times(ahead.name)) == (2, 2)
    errors = {name: row["error"] for name, row in named(tmp_path / "out").items()}
    assert errors == {killer.name: "decoder_died", ahead.name: None}


def test_a_fault_of_the_program_is_said_once_for_its_file(toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    archive_of(folder, 5)
    (folder / "0002b.wav").write_bytes(speech(3))
    strange = folder / "strange.wav"
    strange.write_bytes(speech(4))
    # The last try of this file is right: the third.
    done = run(folder, "-o", tmp_path / "out", "--model", toy, "--workers", "1", env=sabotage(tmp_path))
    rows = named(tmp_path / "out")
    assert (done.returncode, rows["strange.wav"]["error"]) == (1, "internal")
    assert "KeyError" in rows["strange.wav"]["message"]
    assert [row["status"] for row in rows.values()].count("ok") == 6
    again = run(folder, "-o", tmp_path / "out", "--model", toy, "--retry-errors", env=sabotage(tmp_path))
    assert again.returncode == 0
    assert {row["status"] for row in named(tmp_path / "out").values()} == {"ok"}


def test_a_process_killed_from_outside_costs_nothing(toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 6)
    (tmp_path / "in" / "waits.wav").write_bytes(speech(5))
    env = sabotage(tmp_path, TOY_MARK=str(tmp_path))
    with subprocess.Popen(
        command(tmp_path / "in", "-o", tmp_path / "out", "--model", toy, "--workers", "1"),
        env=env,
        stderr=subprocess.PIPE,
    ) as process:
        log = Path(env["TOY_LOG"])
        wait_for(lambda: log.exists() and "waits.wav" in log.read_text())
        for victim in set(family(str(tmp_path))) - {process.pid}:
            if b"spawn_main" in Path(f"/proc/{victim}/cmdline").read_bytes():
                os.kill(victim, signal.SIGKILL)
        Path(f"{log}.go").touch()
        assert process.wait(60) == 0
    rows = named(tmp_path / "out")
    assert [row["status"] for row in rows.values()] == ["ok"] * 7


def test_a_slow_file_does_not_keep_others_waiting(toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 40)
    (tmp_path / "in" / "waits-0.wav").write_bytes(speech(5))
    env = sabotage(tmp_path, TOY_MARK=str(tmp_path))
    options = ["--model", toy, "--workers", "2", "--json-progress"]
    with subprocess.Popen(
        command(tmp_path / "in", "-o", tmp_path / "out", *options), env=env, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        # All but those of its own chunk.
        progress: dict[str, Any] = {"files": 0}
        while progress["files"] < 41 - 16:
            progress = json.loads(process.stderr.readline())
        assert progress["files"] < 41
        Path(env["TOY_LOG"] + ".go").touch()
        process.stderr.read()
        assert process.wait(60) == 0
    assert len(named(tmp_path / "out")) == 41


@pytest.mark.long
def test_a_run_that_was_stopped_for_a_while_gives_no_file_up(toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 2)
    (tmp_path / "in" / "waits.wav").write_bytes(speech(5))
    env = sabotage(tmp_path, TOY_MARK=str(tmp_path))
    options = ["--model", toy, "--workers", "1", "--time-limit", "5"]
    with subprocess.Popen(
        command(tmp_path / "in", "-o", tmp_path / "out", *options),
        env=env,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        log = Path(env["TOY_LOG"])
        wait_for(lambda: log.exists() and "waits.wav" in log.read_text())
        # It is looked at before and after.
        time.sleep(1)
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(5)
        os.killpg(process.pid, signal.SIGCONT)
        time.sleep(0.5)
        Path(f"{log}.go").touch()
        assert process.wait(60) == 0
    assert {row["status"] for row in named(tmp_path / "out").values()} == {"ok"}


@pytest.mark.parametrize("fault", ["os._exit(9)", "os.kill(os.getpid(), 11)", "raise RuntimeError('odd')"])
def test_processes_that_cannot_begin_end_the_run(fault: str, toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 2)
    place = tmp_path / "path"
    place.mkdir()
    (place / "sitecustomize.py").write_text(
        "import os, sys\n"
        "import voxtrait.predictor\n"
        "def begin(*_, **__):\n"
        f"    {fault}\n"
        "voxtrait.predictor.Predictor.__init__ = begin\n"
    )
    env = environment(PYTHONPATH=f"{place}:{environment()['PYTHONPATH']}", TOY_MARK=str(tmp_path))
    done = run(tmp_path / "in", "-o", tmp_path / "out", "--model", toy, env=env)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error[workers]: ")
    assert_no_orphans(str(tmp_path))


def test_a_long_list_of_what_is_not_there(toy: Path, tmp_path: Path) -> None:
    names = "".join(f"{tmp_path}/{number}.wav\n" for number in range(1000))
    done = run("-", "-o", tmp_path / "out", "--model", toy, "--workers", "1", input=names)
    assert done.returncode == 1
    assert "1000 with an error" in done.stderr
    assert {row["error"] for row in named(tmp_path / "out").values()} == {"not_found"}
    nothing = "".join(f"{tmp_path}/{number}/*.wav\n" for number in range(5000))
    done = run("-", "-o", tmp_path / "none", "--model", toy, env=sabotage(tmp_path), input=nothing)
    assert "5000 with an error" in done.stderr


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
