"""``voxtrait predict`` on real recordings: what it finds, what it prints, how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_toys import EXAMPLES, NAMES, lines_of, run, toy_in
from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parents[1] / "contract/prediction.schema.json").read_text())
SILENT = {"noise.flac", "silence.wav"}


@pytest.fixture
def toy(workshop: Path) -> Path:
    return toy_in(workshop)


def answers(raw: bytes) -> list[dict[str, Any]]:
    """Return the objects of JSON Lines, each checked against the contract."""
    rows = [json.loads(line) for line in raw.split(b"\n")[:-1]]
    for row in rows:
        Draft202012Validator(SCHEMA).validate(row)
    return rows


def test_a_folder_as_json_lines(toy: Path) -> None:
    done = run("predict", EXAMPLES, "--format", "jsonl", "--model", toy)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = answers(done.stdout)
    assert [row["file"] for row in rows] == [str(EXAMPLES / name) for name in NAMES]
    assert {Path(row["file"]).name for row in rows if row["status"] == "no_speech"} == SILENT
    genders = {Path(row["file"]).name: row["gender"] and row["gender"]["label"] for row in rows}
    assert (genders["woman.mp3"], genders["man.ogg"]) == ("female", "male")
    assert all(row["model"] == "toy 0.1" and "segments" not in row for row in rows)


def test_every_format_says_the_same(toy: Path) -> None:
    paths = [EXAMPLES / "woman.mp3", EXAMPLES / "silence.wav"]
    made = {name: run("predict", *paths, "-f", name, "--model", toy) for name in ("json", "jsonl", "csv")}
    assert all(done.returncode == 0 for done in made.values())
    rows = answers(made["jsonl"].stdout)
    assert json.loads(made["json"].stdout) == rows
    flat = list(csv.DictReader(io.StringIO(made["csv"].stdout.decode(), newline="")))
    for row, columns in zip(rows, flat, strict=True):
        assert (columns["file"], columns["status"]) == (row["file"], row["status"])
        assert float(columns["speech"]) == row["speech"]
    assert float(flat[0]["female"]) == rows[0]["gender"]["female"]
    assert flat[1]["gender"] == flat[1]["age"] == ""


def test_a_table_is_what_people_get(toy: Path) -> None:
    done = run("predict", EXAMPLES / "man.ogg", EXAMPLES / "silence.wav", "--model", toy)
    assert (done.returncode, done.stderr) == (0, b"")
    head, rule, man, silence = lines_of(done.stdout)
    assert head.split() == ["file", "speech", "gender", "age", "group"]
    assert set(rule) == {"─"}
    assert "man.ogg" in man
    assert "male" in man
    assert silence.endswith("no speech")
    assert b"\x1b" not in done.stdout


def test_the_timeline_of_an_interview(toy: Path) -> None:
    done = run("predict", EXAMPLES / "interview.m4a", "--segments", "--speakers", "--model", toy)
    text = done.stdout.decode()
    assert done.returncode == 0
    assert text.count(" S1 ") >= 3
    assert text.count(" S2 ") >= 3
    bar = next(line for line in text.splitlines() if "█" in line)
    assert {"█", "▒", "·"} <= set(bar)
    assert "in all  female 0:" in text
    done = run(
        "predict", EXAMPLES / "interview.m4a", "--segments", "--speakers", "-f", "jsonl", "--model", toy
    )
    (row,) = answers(done.stdout)
    assert [voice["gender"]["label"] for voice in row["speakers"]] == ["female", "male"]
    assert sum(voice["speech"] for voice in row["speakers"]) == pytest.approx(row["speech"], abs=0.05)
    assert all(segment["start"] < segment["end"] <= row["duration"] for segment in row["segments"])


def test_a_csv_of_segments_has_a_row_for_files_without(toy: Path) -> None:
    paths = [EXAMPLES / name for name in ("interview.m4a", "silence.wav")]
    done = run("predict", *paths, "--segments", "--format", "csv", "--model", toy)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    assert len(rows) > 4
    assert {row["speaker"] for row in rows[:-1]} == {"S1", "S2"}
    assert float(rows[0]["start"]) < float(rows[0]["end"]) <= float(rows[1]["start"]) + 0.01
    assert (rows[-1]["status"], rows[-1]["start"]) == ("no_speech", "")


def test_a_channel_is_heard_alone(toy: Path) -> None:
    labels = []
    for channel in "12":
        done = run(
            "predict", EXAMPLES / "call.ogg", "--channel", channel, "--format", "jsonl", "--model", toy
        )
        labels.append(answers(done.stdout)[0]["gender"]["label"])
    assert labels == ["female", "male"]
    done = run("predict", EXAMPLES / "call.ogg", "--channel", "3", "--format", "jsonl", "--model", toy)
    assert done.returncode == 1
    assert answers(done.stdout)[0]["error"]["code"] == "bad_channel"


def test_what_cannot_be_heard_is_a_row(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("Not a recording at all, but a note.")
    (tmp_path / "empty.mp3").touch()
    shutil.copy(EXAMPLES / "man.ogg", tmp_path / "wrong.wav")
    arguments: list[str | Path] = [tmp_path, tmp_path / "gone.wav", "--model", toy]
    done = run("predict", *arguments, "--format", "jsonl")
    rows = answers(done.stdout)
    assert done.returncode == 1
    assert done.stderr == b"3 of 4 files failed.\n"
    codes = {Path(row["file"]).name: row["error"] and row["error"]["code"] for row in rows}
    assert codes == {
        "empty.mp3": "empty",
        "notes.wav": "not_audio",
        "wrong.wav": None,
        "gone.wav": "not_found",
    }
    done = run("predict", *arguments)
    text = done.stdout.decode()
    assert done.returncode == 1
    assert [line.split()[1:3] for line in text.splitlines() if "error" in line] == [
        ["error", "empty:"],
        ["error", "not_audio:"],
        ["error", "not_found:"],
    ]


def test_one_file_of_one(toy: Path, tmp_path: Path) -> None:
    done = run("predict", tmp_path / "gone.wav", "--model", toy)
    assert (done.returncode, done.stderr) == (1, b"1 of 1 file failed.\n")


def test_a_truncated_file_is_predicted_with_a_warning(toy: Path, tmp_path: Path) -> None:
    whole = (EXAMPLES / "old-man.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    done = run("predict", tmp_path / "cut.wav", "--model", toy)
    assert done.returncode == 0
    assert "warning  truncated: " in done.stdout.decode()
    done = run("predict", tmp_path / "cut.wav", "--model", toy, "--format", "csv")
    assert next(csv.DictReader(io.StringIO(done.stdout.decode())))["warnings"] == "truncated"


def test_globs_and_folders_in_folders(toy: Path, tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    shutil.copy(EXAMPLES / "silence.wav", deep / "one.wav")
    shutil.copy(EXAMPLES / "silence.wav", tmp_path / "two.WAV")
    (tmp_path / "readme.txt").write_text("no recording")
    pattern = str(tmp_path / "**" / "*.wav")
    done = run("predict", tmp_path, pattern, "--format", "jsonl", "--model", toy)
    assert done.returncode == 0
    assert [Path(row["file"]).name for row in answers(done.stdout)] == ["one.wav", "two.WAV", "one.wav"]


@pytest.mark.parametrize("seekable", [True, False])
def test_standard_input(toy: Path, seekable: bool) -> None:
    path = EXAMPLES / "woman.mp3"
    arguments = ("predict", "-", EXAMPLES / "silence.wav", "--format", "jsonl", "--model", toy)
    if seekable:
        with path.open("rb") as file:
            done = run(*arguments, stdin=file)
    else:
        done = run(*arguments, input=path.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    first, second = answers(done.stdout)
    assert (first["file"], first["status"]) == ("<stdin>", "ok")
    assert second["status"] == "no_speech"


def test_nothing_on_standard_input(toy: Path) -> None:
    done = run("predict", "-", "--format", "jsonl", "--model", toy, input=b"")
    assert done.returncode == 1
    assert answers(done.stdout)[0]["error"]["code"] == "empty"


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_name_that_is_not_utf8(toy: Path, tmp_path: Path, form: str) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9 \x1b[31m,.wav"
    try:
        shutil.copy(EXAMPLES / "silence.wav", os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    done = run("predict", tmp_path, "missing-\udce9.wav", "--format", form, "--model", toy)
    assert (done.returncode, done.stderr) == (1, b"1 of 2 files failed.\n")
    text = done.stdout.decode()
    assert "caf\\udce9" in text
    if form == "table":
        assert "\x1b" not in text
    if form == "jsonl":
        assert os.fsencode(answers(done.stdout)[0]["file"]) == name
    if form == "csv":
        assert len(list(csv.DictReader(io.StringIO(text, newline="")))) == 2


def test_other_encodings_of_the_terminal_lose_no_row(toy: Path) -> None:
    for form in ("table", "jsonl"):
        done = run(
            "predict", "ж.wav", EXAMPLES / "man.ogg", "--format", form, "--model", toy,
            env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        )  # fmt: skip
        assert done.returncode == 1
        assert len(done.stdout.split(b"\n")) > 2
    assert answers(done.stdout)[0]["file"] == "ж.wav"
