"""``voxtrait convert``, and the formats of the timeline in ``voxtrait predict``."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import srt
from cli_toys import EXAMPLES, lines_of, run, toy_in

from voxtrait.batch import Dataset, Settings, row_of
from voxtrait.batch.parts import table_of
from voxtrait.cli import run as command

TALK, SILENCE = EXAMPLES / "interview.m4a", EXAMPLES / "silence.wav"


@pytest.fixture(scope="module")
def heard(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON Lines with the timelines of two recordings, one without speech, and one that failed."""
    folder = tmp_path_factory.mktemp("heard")
    for name, source in (("a/x.m4a", TALK), ("a/x.wav", EXAMPLES / "woman.mp3"), ("b/y.wav", SILENCE)):
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / "in" / name)
    (folder / "in" / "b" / "z.wav").write_text("no recording")
    arguments = ("--segments", "--model", toy_in(workshop), "-o", folder / "heard.jsonl")
    assert run("predict", folder / "in", *arguments).returncode == 1
    return folder / "heard.jsonl"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def cues(text: str) -> list[tuple[float, float]]:
    return [(cue.start.total_seconds(), cue.end.total_seconds()) for cue in srt.parse(text)]


def spans(row: dict[str, Any]) -> list[tuple[float, float]]:
    return [(part["start"], part["end"]) for part in row["segments"]]


def data_set(folder: Path, rows: list[dict[str, Any]], parts: str = "parquet") -> Path:
    """Write a data set as ``voxtrait annotate`` does, a part a row."""
    dataset = Dataset.create(folder, Settings("toy 0.1", "0" * 64, segments=True, parts=parts))
    for number, row in enumerate(rows):
        dataset.format.write(table_of([row_of(row, "0" * 64, None, None)]), dataset.part(number))
    return folder


def test_a_file_a_recording(heard: Path, tmp_path: Path) -> None:
    done = run("convert", heard, "--format", "srt", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, b"")
    assert lines_of(done.stderr) == ["1 of 4 recordings had errors and are left out."]
    assert files_in(tmp_path / "out") == ["a/x.m4a.srt", "a/x.wav.srt", "b/y.wav.srt"]
    for row in rows_of(heard)[:3]:
        place = Path(row["file"]).relative_to(heard.parent / "in")
        assert cues((tmp_path / "out" / f"{place}.srt").read_text()) == spans(row)
    assert (tmp_path / "out/b/y.wav.srt").read_text() == ""


@pytest.mark.parametrize("parts", ["parquet", "jsonl"])
def test_a_data_set_says_the_same(heard: Path, tmp_path: Path, parts: str) -> None:
    data = data_set(tmp_path / "data", rows_of(heard), parts)
    for source, target in ((heard, "one"), (data, "other")):
        assert run("convert", source, "-f", "textgrid", "-o", tmp_path / target).returncode == 1
    names = files_in(tmp_path / "one")
    assert files_in(tmp_path / "other") == names
    assert len(names) == 3
    assert all(
        (tmp_path / "one" / name).read_text() == (tmp_path / "other" / name).read_text() for name in names
    )


def test_one_file_for_all(heard: Path, tmp_path: Path) -> None:
    done = run("convert", heard, "--format", "rttm", "-o", tmp_path / "all.rttm")
    assert done.returncode == 1
    lines = [line.split() for line in (tmp_path / "all.rttm").read_text().splitlines()]
    turns = [(line[1], float(line[3]), float(line[4])) for line in lines if line[0] == "SPEAKER"]
    expected = [
        (name, start, end - start)
        for name, row in zip(("x", str(heard.parent / "in/a/x.wav")), rows_of(heard), strict=False)
        for start, end in spans(row)
    ]
    assert [turn[0] for turn in turns] == [name.replace(" ", "%20") for name, *_ in expected]
    assert [turn[1:] for turn in turns] == [pytest.approx(each[1:], abs=1e-6) for each in expected]
    assert files_in(tmp_path) == ["all.rttm"]


def test_from_json_to_csv_and_back_to_json_lines(heard: Path, tmp_path: Path, workshop: Path) -> None:
    arguments = ("--segments", "--model", toy_in(workshop), "-o", tmp_path / "a.json")
    assert run("predict", TALK, SILENCE, *arguments).returncode == 0
    expected = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "pretty.json").write_text(json.dumps(expected, indent=3) + "\n\n")
    for source in ("a.json", "pretty.json"):
        done = run("convert", tmp_path / source, "-f", "jsonl", "-o", tmp_path / "b.jsonl")
        assert (done.returncode, done.stderr) == (0, b"")
        assert rows_of(tmp_path / "b.jsonl") == expected
    assert run("convert", tmp_path / "b.jsonl", "-f", "csv", "-o", tmp_path / "c.csv").returncode == 0
    flat = list(csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text(), newline="")))
    assert [(float(row["start"]), float(row["end"])) for row in flat if row["start"]] == spans(expected[0])


def test_what_is_not_needed_need_not_be_there(tmp_path: Path, workshop: Path) -> None:
    assert run("predict", TALK, "--model", toy_in(workshop), "-o", tmp_path / "a.jsonl").returncode == 0
    assert run("convert", tmp_path / "a.jsonl", "-f", "csv", "-o", tmp_path / "a.csv").returncode == 0
    done = run("convert", tmp_path / "a.jsonl", "-f", "elan", "-o", tmp_path / "out")
    assert done.returncode == 2
    (line,) = lines_of(done.stderr)
    assert line.startswith("error[usage]: The result for ")
    assert "--segments" in line
    assert files_in(tmp_path) == ["a.csv", "a.jsonl"]


def test_a_recording_that_stands_twice_is_said(heard: Path, tmp_path: Path) -> None:
    done = run("convert", heard, heard, "-f", "audacity", "-o", tmp_path / "out")
    assert (
        lines_of(done.stderr)[0]
        == "3 of 8 results are of a recording that came before: the last one is kept."
    )
    assert len(files_in(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("name", "content", "line", "words"),
    [
        ("a.jsonl", b'GOOD\n{"file": \n', 2, "Expecting value"),
        ("a.jsonl", b"GOOD\n\nGOOD\nCUT", 4, "Expecting value"),
        ("a.jsonl", b'GOOD\n{"file": "a"}\n', 2, "no 'gender'"),
        ("a.jsonl", b"[1]\n", 1, "list"),
        ("a.jsonl", b"GOOD\nBACK\n", 2, "a segment from"),
        ("a.jsonl", b"GOOD\n\xff\xfe\x00\n", 2, ""),
        ("a.json", b"[\nGOOD,\nGOOD", 3, "cut off"),
        ("a.json", b"[\nGOOD,\nCUT", 3, "Expecting value"),
        ("a.json", b"[\nGOOD\nGOOD\n]\n", 3, "instead of , or ]"),
        ("a.json", b"[\nGOOD\n]\nGOOD\n", 4, "follows"),
        ("a.json", b'{"file": 1}', 1, "instead of ["),
        ("a.json", b"", 1, "cut off"),
        ("a.json", b'[\n\n{"file": "a"}\n]', 3, "no 'gender'"),
    ],
)
def test_damage_is_named_with_its_line(
    name: str,
    content: bytes,
    line: int,
    words: str,
    heard: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = heard.read_bytes().splitlines()[0]
    back = json.loads(good)
    back["segments"].reverse()
    for word, text in ((b"GOOD", good), (b"CUT", good[:-700]), (b"BACK", json.dumps(back).encode())):
        content = content.replace(word, text)
    (tmp_path / name).write_bytes(content)
    for target in ("out", "out.rttm"):
        assert command(["convert", str(tmp_path / name), "-f", "rttm", "-o", str(tmp_path / target)]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(f"error[results]: {tmp_path / name}, line {line}, is no result")
        assert words in said
    assert files_in(tmp_path) == [name]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["HEARD", "-f", "srt", "-o", "FOLDER/a.srt"], "usage", "give a folder"),
        (["HEARD", "-f", "table", "-o", "FOLDER/out"], "usage", "for people"),
        (["HEARD", "-f", "docx", "-o", "FOLDER/out"], "usage", "textgrid"),
        (["FOLDER/none.jsonl", "-f", "srt", "-o", "FOLDER/out"], "results", "none.jsonl"),
        (["FOLDER", "-f", "srt", "-o", "FOLDER/out"], "dataset", "annotate"),
        ([TALK, "-f", "srt", "-o", "FOLDER/out"], "usage", "neither"),
        (["HEARD", "-f", "srt", "-o", "HEARD/out"], "output", "heard.jsonl"),
        (["HEARD", "-f", "rttm", "-o", "FOLDER/none/a.rttm"], "output", "none"),
        (["HEARD", "-f", "rttm"], "usage", "--output"),
    ],
)
def test_wrong_usage(
    arguments: list[str | Path],
    code: str,
    words: str,
    heard: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(part).replace("FOLDER", str(tmp_path)).replace("HEARD", str(heard)) for part in arguments]
    assert command(["convert", *given]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"error[{code}]: ")
    assert words in line
    assert files_in(tmp_path) == []


def test_nothing_and_nothing_but_errors(heard: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "failed.jsonl").write_bytes(heard.read_bytes().splitlines(keepends=True)[-1])
    for target in ("out", "out.rttm"):
        done = run("convert", tmp_path / "empty.jsonl", "-f", "rttm", "-o", tmp_path / target)
        assert (done.returncode, done.stderr[:22]) == (2, b"error[nothing_to_do]: ")
        done = run("convert", tmp_path / "failed.jsonl", "-f", "rttm", "-o", tmp_path / target)
        assert (done.returncode, done.stderr) == (1, b"1 of 1 recording had errors and are left out.\n")
    assert files_in(tmp_path) == ["empty.jsonl", "failed.jsonl"]


def test_predict_writes_the_timeline_unasked(heard: Path, tmp_path: Path, workshop: Path) -> None:
    toy = toy_in(workshop)
    expected = spans(rows_of(heard)[0])
    done = run("predict", TALK, "--format", "srt", "--model", toy)
    assert (done.returncode, done.stderr) == (0, b"")
    assert cues(done.stdout.decode()) == [pytest.approx(span, abs=0.006) for span in expected]
    assert run("predict", TALK, "-o", tmp_path / "a.srt", "--model", toy).returncode == 0
    assert (tmp_path / "a.srt").read_bytes() == done.stdout
    done = run("predict", TALK, SILENCE, "--format", "rttm", "--model", toy)
    assert done.stdout.count(b"SPEAKER interview 1 ") == len(expected)
    assert done.stdout.count(b"SPKR-INFO interview 1 <NA> <NA> <NA> adult_") == 2
    done = run("predict", SILENCE, "--format", "webvtt", "--model", toy)
    assert (done.returncode, done.stdout) == (0, b"WEBVTT\n")


def test_predict_writes_several_recordings_only_where_they_fit(tmp_path: Path, workshop: Path) -> None:
    done = run("predict", TALK, SILENCE, "-o", tmp_path / "a.TextGrid", "--model", toy_in(workshop))
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = lines_of(done.stderr)
    assert line.startswith("error[usage]: textgrid holds one recording")
    assert "voxtrait convert" in line
    assert "voxtrait annotate" in line
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", ["a.srt", "a.rttm"])
def test_predict_says_what_a_timeline_cannot(name: str, tmp_path: Path, workshop: Path) -> None:
    (tmp_path / "b.wav").write_text("no recording")
    done = run("predict", tmp_path / "b.wav", "-o", tmp_path / name, "--model", toy_in(workshop))
    assert done.returncode == 1
    reason, count = lines_of(done.stderr)
    assert reason.startswith("error[not_audio]: ")
    assert count == "1 of 1 file failed."
    assert not (tmp_path / "a.srt").exists()
