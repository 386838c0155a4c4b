"""``voxtrait annotate`` as people and machines see it: progress, messages, exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_toys import command, environment, lines_of, run, toy_in

from voice_toys import RATE, WOMAN, say, wav
from voxtrait.batch import Dataset

#: Makes a process that hears take half a second for files of this name.
_SLOW = """
import os, time
import voxtrait.predictor
opened = voxtrait.predictor.open_audio
def open_audio(source, **options):
    if "slow" in os.path.basename(str(getattr(source, "name", source))):
        time.sleep(0.06)
    return opened(source, **options)
voxtrait.predictor.open_audio = open_audio
"""

_DEAD = """
import os
import voxtrait.predictor
def begin(*_, **__):
    os._exit(1)
voxtrait.predictor.Predictor.__init__ = begin
"""


@pytest.fixture
def toy(workshop: Path) -> Path:
    return toy_in(workshop)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder of which a process has some three seconds of work, and of which it is given a part at once."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(38):
        (folder / f"slow{number}.wav").write_bytes(wav(say(voice=WOMAN)[: RATE + 9 * number]))
    (folder / "bad.wav").write_bytes(b"RIFF")
    (folder / "none.wav").write_bytes(wav(say()[:800] * 0))
    return folder


def _sabotaged(folder: Path, program: str) -> dict[str, str]:
    place = folder / "path"
    place.mkdir()
    (place / "sitecustomize.py").write_text(program)
    return {"PYTHONPATH": f"{place}{os.pathsep}{environment()['PYTHONPATH']}"}


def test_progress_for_machines(archive: Path, toy: Path, tmp_path: Path) -> None:
    options: list[str | Path] = ["-o", tmp_path / "out", "--model", toy, "--workers", "1", "--json-progress"]
    first = run("annotate", archive / "slow0.wav", *options)
    assert first.returncode == 0
    done = run("annotate", archive, *options, env=_sabotaged(tmp_path, _SLOW))
    assert (done.returncode, done.stdout) == (1, b"")
    *lines, last = lines_of(done.stderr)
    assert re.fullmatch(
        r"39 files \(1 had an answer before\), 0\.\d min in 0:\d\d: \d+ × real time, "
        rf"1 with an error, 1 without speech → {tmp_path}/out",
        last,
    )
    reports: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert len(reports) > 2
    for name in ("files", "before", "errors", "no_speech", "hours", "speech_hours", "seconds"):
        values = [report[name] for report in reports]
        assert values == sorted(values)
    assert all(report["files"] <= report["total"] == 40 for report in reports)
    assert any(report["seconds_left"] for report in reports)
    assert all(report["hours"] >= report["speech_hours"] for report in reports)
    end = reports[-1]
    assert {name: end[name] for name in ("files", "total", "before", "errors", "no_speech")} == {
        "files": 40, "total": 40, "before": 1, "errors": 1, "no_speech": 1,
    }  # fmt: skip
    assert end["seconds_left"] == 0
    heard = sum(
        row["duration"] or 0 for row in Dataset(tmp_path / "out").rows() if "slow0." not in row["file"]
    )
    assert end["hours"] == pytest.approx(heard / 3600, abs=1e-4)


def test_progress_for_people(archive: Path, toy: Path, tmp_path: Path) -> None:
    words = command("annotate", archive, "-o", tmp_path / "out", "--model", toy, "--workers", "1")
    terminal, end = pty.openpty()
    env = environment(TERM="xterm", **_sabotaged(tmp_path, _SLOW))
    with subprocess.Popen(words, stderr=end, env=env, stdin=subprocess.DEVNULL) as process:
        os.close(end)
        shown = b""
        try:
            while part := os.read(terminal, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        assert process.wait() == 1
    os.close(terminal)
    text = shown.decode()
    assert re.search(r"\d of 40 files, 0\.\d min, \d+ × real time.*, 0:0\d left", text)
    assert re.search(
        r"40 files, 0\.\d min in 0:\d\d: \d+ × real time, 1 with an error, 1 without speech → ", text
    )


def test_what_the_count_of_files_stumbles_over_is_said_once(toy: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "corpus.parquet"
    damaged.write_bytes(b"PAR1 no more")
    done = run("annotate", damaged, "-o", tmp_path / "out", "--model", toy)
    assert done.returncode == 2
    (line,) = lines_of(done.stderr)
    assert line.startswith("error[corpus_layout]: ")


def test_an_empty_list_is_no_error(toy: Path, tmp_path: Path) -> None:
    done = run("annotate", "-", "-o", tmp_path / "out", "--model", toy, input=b"\n\n")
    assert (done.returncode, lines_of(done.stderr)) == (0, [f"0 files → {tmp_path}/out"])
    assert list(Dataset(tmp_path / "out").rows()) == []


def test_a_terminal_is_no_list(toy: Path, tmp_path: Path) -> None:
    _, terminal = pty.openpty()
    done = run("annotate", "-", "-o", tmp_path / "out", "--model", toy, stdin=terminal)
    assert done.returncode == 2
    assert lines_of(done.stderr)[0].startswith("error[usage]: Nothing is piped")
    assert not (tmp_path / "out").exists()


def test_an_error_ends_a_run_whose_list_goes_on(archive: Path, toy: Path, tmp_path: Path) -> None:
    words = command("annotate", "-", "-o", tmp_path / "out", "--model", toy)
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**_sabotaged(tmp_path, _DEAD)),
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(f"{archive}\n".encode())
        process.stdin.flush()
        lines = lines_of(process.stderr.read())
        assert process.wait(30) == 2
    assert len(lines) == 1
    assert lines[0].startswith("error[workers]: ")
