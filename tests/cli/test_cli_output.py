"""Where results go: files, pipes, terminals; and what stays when a run is cut short."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_toys import EXAMPLES, command, environment, lines_of, run, toy_in

WOMAN, SILENCE = EXAMPLES / "woman.mp3", EXAMPLES / "silence.wav"

unix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals and signals are of Unix")


@pytest.fixture
def toy(workshop: Path) -> Path:
    return toy_in(workshop)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with more files than a test waits for."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number:04}.wav").symlink_to(SILENCE)
    return folder


@contextlib.contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command line, as a shell in the foreground would."""
    process = subprocess.Popen(
        command(*arguments),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A runner in the background has SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def on_terminal(*arguments: str | Path, which: str) -> bytes:
    """Run with stdout or stderr on a pseudo-terminal and return what appears there."""
    import pty

    master, terminal = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        env=environment(TERM="xterm-256color"),
        stdin=subprocess.PIPE,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, which: terminal},  # type: ignore[call-overload]
    )
    os.close(terminal)
    with process, open(master, "rb", buffering=0) as screen:  # noqa: PTH123 - a descriptor
        if "-" in arguments:
            # Standard input that comes slowly makes the run long. The first piece is more than a pipe
            # holds: when it is written, the other end is reading.
            recording = (EXAMPLES / "old-man.wav").read_bytes()
            process.stdin.write(recording[:200_000])
            time.sleep(2.5)
            process.stdin.write(recording[200_000:])
        process.stdin.close()
        seen = b""
        # The end of a terminal is an error on Linux, and empty elsewhere.
        with contextlib.suppress(OSError):
            while data := screen.read(65536):
                seen += data
        rest = (process.stdout or process.stderr).read()
        assert process.wait(60) == 0
    assert b"Traceback" not in seen + rest
    return seen


@pytest.mark.parametrize(
    ("name", "first"),
    [("a.json", "["), ("a.JSONL", "{"), ("a.csv", "file,"), ("a.txt", "file "), ("a", "file ")],
)
def test_a_file_of_results(toy: Path, tmp_path: Path, name: str, first: str) -> None:
    (tmp_path / name).write_text("old")
    done = run("predict", WOMAN, "-o", tmp_path / name, "--model", toy)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    text = (tmp_path / name).read_text()
    assert text.startswith(first)
    assert "woman.mp3" in text
    assert "\x1b" not in text
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_named_format_wins_over_the_extension(toy: Path, tmp_path: Path) -> None:
    run("predict", WOMAN, "-o", tmp_path / "a.csv", "--format", "jsonl", "--model", toy)
    assert json.loads((tmp_path / "a.csv").read_text())["status"] == "ok"


def test_a_dash_is_stdout(toy: Path) -> None:
    assert b"woman.mp3" in run("predict", WOMAN, "-o", "-", "--model", toy).stdout


@unix
def test_links_stay_and_devices_are_not_replaced(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert run("predict", WOMAN, "-o", tmp_path / "link.json", "--model", toy).returncode == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())[0]["status"] == "ok"
    assert run("predict", WOMAN, "-o", "/dev/null", "--model", toy).returncode == 0
    assert Path("/dev/null").is_char_device()


def test_a_failed_start_leaves_the_old_file(tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        (tmp_path / name).write_text("old")
        assert run("predict", WOMAN, "-o", tmp_path / name, "--model", "nothing").returncode == 2
        assert (tmp_path / name).read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_full_disk(toy: Path, form: str) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            command("predict", WOMAN, "--format", form, "--model", toy),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=120,
        )
    assert done.returncode == 2
    (line,) = lines_of(done.stderr)
    assert line == "error[output]: Cannot write standard output: No space left on device."
    done = run("predict", WOMAN, "--format", form, "-o", "/dev/full", "--model", toy)
    assert done.returncode == 2
    assert lines_of(done.stderr) == ["error[output]: Cannot write /dev/full: No space left on device."]


@unix
def test_rows_come_one_by_one_and_stay_after_ctrl_c(toy: Path, archive: Path) -> None:
    with started("predict", archive, "--format", "jsonl", "--model", toy) as process:
        assert process.stdout
        assert process.stderr
        first = process.stdout.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(30) == 130
        assert process.stderr.read() == b"Interrupted.\n"
    rows = [json.loads(line) for line in (first + rest).splitlines()]
    assert [row["status"] for row in rows] == ["no_speech"] * len(rows)
    assert 0 < len(rows) < 3000


@unix
def test_an_array_is_closed_after_ctrl_c(toy: Path, archive: Path) -> None:
    with started("predict", archive, "--format", "json", "--model", toy) as process:
        assert process.stdout
        start = process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert len(json.loads(start + process.stdout.read())) > 0
        assert process.wait(30) == 130


@unix
@pytest.mark.parametrize(("name", "stays"), [("a.csv", False), ("a.jsonl", True)])
def test_a_file_after_ctrl_c(toy: Path, archive: Path, tmp_path: Path, name: str, stays: bool) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with started("predict", archive, "-o", results / name, "--model", toy) as process:
        while not any(path.stat().st_size > 2000 for path in results.iterdir()):
            time.sleep(0.02)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert [path.name for path in results.iterdir()] == ([name] if stays else [])
    if stays:
        assert all(json.loads(line) for line in (results / name).read_text().splitlines())


@unix
def test_ctrl_c_while_waiting_for_standard_input(toy: Path) -> None:
    with started("predict", "-", "--model", toy) as process:
        assert process.stdin
        assert process.stderr
        # More than a pipe holds: when it is written, the other end is reading.
        process.stdin.write(bytes(2**20))
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"Interrupted.\n"
        assert process.wait(30) == 130


@unix
@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_a_reader_that_leaves_early(toy: Path, archive: Path, form: str) -> None:
    with started("predict", archive, "--format", form, "--model", toy) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


@unix
def test_colour_is_for_terminals(toy: Path) -> None:
    arguments = ("predict", WOMAN, "--segments", "--model", toy)
    seen = on_terminal(*arguments, which="stdout")
    assert b"\x1b[35m" in seen
    assert b"\x1b" not in run(*arguments).stdout


@unix
def test_a_bar_appears_when_it_takes_long(toy: Path) -> None:
    seen = on_terminal("predict", "-", "--format", "jsonl", "--model", toy, which="stderr")
    assert b"files, 0.00 h heard" in seen
    assert "× real time".encode() in seen
    # It leaves nothing behind: the line is erased at the end.
    assert seen.rstrip().endswith(b"\x1b[2K")


@unix
def test_a_short_run_shows_no_bar(toy: Path) -> None:
    assert on_terminal("predict", SILENCE, "--model", toy, which="stderr") == b""
