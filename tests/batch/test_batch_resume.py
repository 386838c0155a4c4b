"""A run that is killed, stopped or out of room loses nothing, and the next one goes on."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from batch_toys import (
    archive_of,
    assert_no_orphans,
    command,
    environment,
    heard,
    named,
    noise,
    rows_of,
    run,
    sabotage,
    speech,
    toy_in,
)
from pyarrow import parquet

from voxtrait.batch.annotate import annotate
from voxtrait.errors import UsageError


@pytest.fixture
def toy(workshop: Path) -> Path:
    return toy_in(workshop)


@pytest.mark.parametrize(
    ("formats", "kills"),
    [
        pytest.param(["--format", "rttm", "--speakers"], 3, id="few"),
        pytest.param([], 40, id="many", marks=pytest.mark.long),
    ],
)
def test_killed_at_any_moment_it_ends_as_if_undisturbed(
    formats: list[str], kills: int, toy: Path, tmp_path: Path
) -> None:
    archive_of(tmp_path / "in", 120)
    (tmp_path / "in" / "bad.wav").write_bytes(b"RIFF")
    options = [tmp_path / "in", "--model", toy, "--workers", "1", *formats]
    undisturbed = run(*options, "-o", tmp_path / "whole")
    # Rows are written at once, and slowly, so that a kill may come anywhere.
    env = sabotage(tmp_path, TOY_EVERY="0", TOY_MARK=str(tmp_path))
    moments = random.Random(1)
    out = tmp_path / "out"
    killed = 0
    while killed < kills:
        with subprocess.Popen(command(*options, "-o", out), env=env, stderr=subprocess.DEVNULL) as process:
            parts = (out / "part-00000.parquet", out / ".part-00000.parquet.partial")
            before = [part.stat().st_mtime_ns if part.exists() else 0 for part in parts]
            deadline = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < deadline:
                if before != [part.stat().st_mtime_ns if part.exists() else 0 for part in parts]:
                    break
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.1))
            process.kill()
        if process.returncode >= 0:
            break
        killed += 1
        for file, row in (rows_of(out) if (out / "_annotate.json").exists() else {}).items():
            if formats and row["status"] != "error":
                assert (out / "_exports" / "rttm" / f"{file[1:]}.rttm").exists()
    assert killed > 1
    done = run(*options, "-o", out)
    assert (done.returncode, undisturbed.returncode) == (1 if "1 with an error" in done.stderr else 0, 1)
    assert rows_of(out) == rows_of(tmp_path / "whole")
    assert not list(out.glob(".part-*"))
    assert_no_orphans(str(tmp_path))
    if formats:
        documents = [
            {file.relative_to(place): file.read_text() for file in place.rglob("*.rttm")}
            for place in (out / "_exports", tmp_path / "whole" / "_exports")
        ]
        assert documents[0] == documents[1]
        assert len(documents[0]) == 120


def test_a_second_run_hears_what_is_new_or_changed_and_nothing_else(toy: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    files = archive_of(folder, 6)
    (folder / "bad.wav").write_bytes(b"RIFF")
    env = sabotage(tmp_path)
    options = [folder, "-o", out, "--model", toy, "--workers", "1"]
    assert run(*options, env=env).returncode == 1
    assert sorted(heard(tmp_path)) == ["0000.wav", *[f"000{n}.wav" for n in range(1, 6)], "bad.wav"]
    first = named(out)
    done = run(*options, env=env)
    assert (done.returncode, heard(tmp_path)) == (0, [])
    assert done.stderr.startswith("0 files (7 had an answer before)")

    files[0].write_bytes(speech(33))
    files[1].unlink()
    files[2].touch()
    (folder / "new.wav").write_bytes(speech(34))
    (out / ".part-00000.parquet.partial").write_bytes(b"left over")
    assert run(*options, env=env).returncode == 0
    assert sorted(heard(tmp_path)) == ["0000.wav", "0002.wav", "new.wav"]
    second = named(out)
    assert second.keys() == first.keys() | {"new.wav"}
    assert second["0000.wav"]["duration"] > first["0000.wav"]["duration"]
    same = {name for name in first if second[name] == first[name]}
    assert same == {"0001.wav", "0003.wav", "0004.wav", "0005.wav", "bad.wav"}
    assert second["0002.wav"] | {"modified": None} == first["0002.wav"] | {"modified": None}
    assert not list(out.glob(".part-*"))

    assert run(*options, "--retry-errors", env=env).returncode == 1
    assert heard(tmp_path) == ["bad.wav"]
    assert named(out) == second


def test_what_is_wrong_with_an_output_is_said_before_anything_is_heard(toy: Path, tmp_path: Path) -> None:
    folder, out, env = tmp_path / "in", tmp_path / "out", sabotage(tmp_path)
    archive_of(folder, 2)
    # A run without a row binds nobody.
    wrong = run(tmp_path / "nothing" / "*.wav", "-o", out, "--model", toy, "--segments", env=env)
    assert wrong.stderr.startswith("error[not_found]: ")
    assert run(folder, "-o", out, "--model", toy, env=env).returncode == 0
    heard(tmp_path)

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").touch()
    text = tmp_path / "text"
    text.write_text("text")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "_annotate.json").write_bytes((out / "_annotate.json").read_bytes())
    (damaged / "part-00000.parquet").write_bytes((out / "part-00000.parquet").read_bytes()[:-100])
    later = tmp_path / "later"
    later.mkdir()
    (later / "_annotate.json").write_text(json.dumps({"schema": 99}))
    cases: list[tuple[str, Path, dict[str, Any]]] = [
        ("output_differs", out, {"segments": True}),
        ("output_differs", out, {"channel": 1}),
        ("output_differs", out, {"parts": "csv"}),
        ("output_differs", out, {"formats": ["rttm"]}),
        ("output", other, {}),
        ("output", text, {}),
        ("output", text / "in", {}),
        ("dataset", damaged, {}),
        ("dataset", later, {}),
        ("usage", tmp_path / "new", {"parts": "xml"}),
        ("usage", tmp_path / "new", {"formats": ["wav"]}),
        ("usage", tmp_path / "new", {"formats": ["table"]}),
        ("usage", tmp_path / "new", {"engine": "steam"}),
        ("usage", tmp_path / "new", {"workers": 0}),
    ]
    for code, place, options in cases:
        with pytest.raises(UsageError) as caught:
            annotate([str(folder)], place, model=toy, **options)
        assert caught.value.code == code
        assert str(place) in caught.value.message or code == "usage"
    assert heard(tmp_path) == []
    assert len(named(out)) == 2
    done = run(folder, "-o", out, "--model", toy, "--segments", env=env)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"error[output_differs]: {out} was written otherwise")
    assert "segments True instead of False" in line


def test_a_full_disk_costs_nothing_that_was_there(toy: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")
    try:
        files = archive_of(tmp_path / "in", 30)
        out = place / "out"
        options = ["-o", out, "--model", toy, "--workers", "1"]
        assert run(*files[:10], *options).returncode == 0
        before = rows_of(out)
        filler = place / "filler"
        filler.write_bytes(bytes(os.statvfs(place).f_bavail * 4096 - 4096))
        done = run(*files, *options, env=environment(TOY_MARK=str(tmp_path)))
        assert done.returncode == 2
        assert done.stderr.startswith("error[no_space]: ")
        assert rows_of(out) == before
        assert not list(out.glob(".part-*"))
        assert_no_orphans(str(tmp_path))
        filler.unlink()
        done = run(*files, *options)
        assert (done.returncode, len(rows_of(out))) == (0, 30)
        assert done.stderr.startswith("20 files (10 had an answer before)")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_limit_of_file_size_is_an_error_and_no_crash(toy: Path, tmp_path: Path) -> None:
    files = archive_of(tmp_path / "in", 3)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = run(*files, "-o", tmp_path / "out", "--model", toy, "--workers", "1", preexec_fn=limit)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, line.startswith("error[output]: ")) == (2, True), line
    assert run(*files, "-o", tmp_path / "out", "--model", toy, "--workers", "1").returncode == 0
    assert len(rows_of(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("sign", "code", "word", "group"),
    [(signal.SIGTERM, 143, "Terminated.", False), (signal.SIGINT, 130, "Interrupted.", True)],
)
def test_a_run_that_is_told_to_end_keeps_what_was_heard(
    sign: signal.Signals, code: int, word: str, group: bool, toy: Path, tmp_path: Path
) -> None:
    archive_of(tmp_path / "in", 20)
    (tmp_path / "in" / "waits.wav").write_bytes(noise(70))
    env = sabotage(tmp_path, TOY_MARK=str(tmp_path))
    options = [tmp_path / "in", "-o", tmp_path / "out", "--model", toy, "--workers", "1"]
    with subprocess.Popen(
        command(*options, "--json-progress"),
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        while json.loads(process.stderr.readline())["files"] < 20:
            pass
        busy = run(*options, env=env)
        assert (busy.returncode, str(process.pid) in busy.stderr) == (2, True)
        assert busy.stderr.startswith("error[output_busy]: ")
        if group:
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)
        rest = process.stderr.read()
        assert process.wait(30) == code
    assert rest.splitlines()[-1] == word
    assert "Traceback" not in rest
    assert len(rows_of(tmp_path / "out")) == 20
    assert_no_orphans(str(tmp_path))
    Path(env["TOY_LOG"] + ".go").touch()
    heard(tmp_path)
    assert run(*options, env=env).returncode == 0
    assert heard(tmp_path) == ["waits.wav"]


def test_processes_that_are_beginning_do_not_complain_of_ctrl_c(toy: Path, tmp_path: Path) -> None:
    archive_of(tmp_path / "in", 40)
    env = environment(TOY_MARK=str(tmp_path))
    words = command(tmp_path / "in", "-o", tmp_path / "out", "--model", toy, "--workers", "3")
    for wait in (0.02, 0.15):
        with subprocess.Popen(
            words, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            while not (tmp_path / "out" / "_lock").exists():
                time.sleep(0.01)
            time.sleep(wait)
            os.killpg(process.pid, signal.SIGINT)
            assert process.stderr is not None
            assert process.stderr.read() == "Interrupted.\n"
            assert process.wait(30) == 130
        (tmp_path / "out" / "_lock").unlink()
    assert_no_orphans(str(tmp_path))


def test_an_old_part_that_grows_a_row_stays_readable_as_one(toy: Path, tmp_path: Path) -> None:
    files = archive_of(tmp_path / "in", 4)
    out = tmp_path / "out"
    options = ["-o", out, "--model", toy, "--workers", "1"]
    assert run(*files, *options).returncode == 0
    # As after a run of thousands: the rows stand in a part that is not the last.
    part = out / "part-00000.parquet"
    table = parquet.read_table(part)
    parquet.write_table(table.slice(0, 2), part)
    parquet.write_table(table.slice(2), out / "part-00007.parquet")
    first, last = (str(table["file"][place]) for place in (0, 3))
    for file in (first, last):
        Path(file).write_bytes(speech(40))
    new = tmp_path / "in" / "new.wav"
    new.write_bytes(speech(41))
    assert run(*files, new, *options).returncode == 0
    assert sorted(path.name for path in out.glob("part-*")) == ["part-00000.parquet", "part-00007.parquet"]
    assert first in parquet.read_table(part)["file"].to_pylist()
    rows = rows_of(out)
    assert len(rows) == 5
    assert rows[first]["size"] == rows[last]["size"] == Path(first).stat().st_size
    assert pyarrow.concat_tables(map(parquet.read_table, sorted(out.glob("part-*")))).num_rows == 5
