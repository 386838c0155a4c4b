"""The formats: what each makes of the same answers."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from voxtrait.errors import UsageError
from voxtrait.exports import CSV_COLUMNS, EXPORTS, Writer, format_of, get_writer
from voxtrait.exports.wording import clock, gender_words, percent, printable
from voxtrait.labels import AGE_GROUPS
from voxtrait.results import AgeEstimate, GenderEstimate, Prediction, Problem, Segment, SpeakerSummary

SCHEMA = json.loads((Path(__file__).parents[1] / "contract/prediction.schema.json").read_text())

FEMALE = GenderEstimate("female", 0.982, 0.018)
MALE = GenderEstimate("male", 0.004, 0.996)
UNSURE = GenderEstimate("unsure", 0.45, 0.55)
AGE = AgeEstimate(
    34.12, 26.0, 45.04, 0.8, "thirties", {name: float(name == "thirties") for name in AGE_GROUPS}
)


def answer(file: str = "a.mp3") -> Prediction:
    segments = (
        Segment(0.5, 3.25, FEMALE, AGE, "S1"),
        Segment(4.0, 9.75, MALE, AGE, "S2"),
        Segment(10.0, 11.0, UNSURE, AGE, "S1"),
    )
    speakers = (SpeakerSummary("S1", 3.75, FEMALE, AGE), SpeakerSummary("S2", 5.75, MALE, AGE))
    warnings = (Problem("truncated", f"{file} breaks off."),)
    return Prediction(file, "ok", 12.0, 9.5, MALE, AGE, "toy 1.0", segments, speakers, warnings)


def silence(file: str = "b.wav") -> Prediction:
    return Prediction(file, "no_speech", 3.0, 0.0, None, None, "toy 1.0", (), ())


def failure(file: str = "c.wav") -> Prediction:
    problem = Problem("not_audio", f"{file} is not audio, nor video.")
    return Prediction(file, "error", None, None, None, None, "toy 1.0", error=problem)


def written(name: str, *predictions: Prediction, segments: bool = False, speakers: bool = False) -> str:
    stream = io.StringIO(newline="")
    writer = get_writer(name)(stream, segments=segments, speakers=speakers)
    for prediction in predictions:
        writer.write(prediction)
    writer.finish()
    assert not stream.closed
    return stream.getvalue()


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_registry() -> None:
    assert list(EXPORTS) == [
        "table", "json", "jsonl", "csv", "rttm", "textgrid", "elan", "audacity", "webvtt", "srt",
    ]  # fmt: skip
    for name, writer in EXPORTS.items():
        assert get_writer(name) is writer
        assert issubclass(writer, Writer)
        assert all(format_of(PurePath(f"x{suffix.upper()}")) == name for suffix in writer.suffixes)
    assert format_of(PurePath("x.wav")) is None
    with pytest.raises(UsageError, match=r"'x\\n': give one of table, json"):
        get_writer("x\n")


def test_json_keeps_the_contract() -> None:
    predictions = (answer(), silence(), failure())
    rows = json.loads(written("json", *predictions))
    assert rows == [json.loads(line) for line in written("jsonl", *predictions).splitlines()]
    for row, prediction in zip(rows, predictions, strict=True):
        Draft202012Validator(SCHEMA).validate(row)
        assert row == prediction.to_dict()


def test_an_array_without_elements() -> None:
    assert json.loads(written("json")) == []
    assert written("jsonl") == ""
    assert csv_rows(written("csv")) == []


def test_json_lines_are_written_at_once() -> None:
    stream = io.StringIO()
    writer = get_writer("jsonl")(stream)
    writer.write(answer())
    assert json.loads(stream.getvalue())["file"] == "a.mp3"


def test_csv_has_a_row_a_file() -> None:
    text = written("csv", answer(), silence(), failure())
    assert text.splitlines()[0] == ",".join(CSV_COLUMNS)
    assert "\r" not in text
    ok, quiet, failed = csv_rows(text)
    assert ok == {
        "file": "a.mp3", "status": "ok", "duration": "12.0", "speech": "9.5",
        "start": "", "end": "", "speaker": "", "speaker_speech": "",
        "gender": "male", "female": "0.004", "male": "0.996",
        "age": "34.1", "age_low": "26.0", "age_high": "45.0", "age_coverage": "0.8", "age_group": "thirties",
        "error": "", "message": "", "warnings": "truncated", "model": "toy 1.0",
    }  # fmt: skip
    assert (quiet["speech"], quiet["gender"], quiet["age"]) == ("0.0", "", "")
    assert (failed["duration"], failed["error"]) == ("", "not_audio")
    assert failed["message"] == "c.wav is not audio, nor video."


def test_csv_has_a_row_a_segment_or_a_voice() -> None:
    rows = csv_rows(written("csv", answer(), silence(), segments=True, speakers=True))
    assert [(row["start"], row["speaker"], row["gender"]) for row in rows] == [
        ("0.5", "S1", "female"),
        ("4.0", "S2", "male"),
        ("10.0", "S1", "unsure"),
        ("", "", ""),
    ]
    rows = csv_rows(written("csv", answer(), silence(), speakers=True))
    assert [(row["speaker"], row["speaker_speech"], row["speech"]) for row in rows] == [
        ("S1", "3.75", "9.5"),
        ("S2", "5.75", "9.5"),
        ("", "", "0.0"),
    ]


def test_csv_keeps_names_raw() -> None:
    names = ["=1+1.wav", "-a.wav", 'say "hi", you.wav', "two\nlines.wav"]
    assert [row["file"] for row in csv_rows(written("csv", *map(silence, names)))] == names


def test_a_table() -> None:
    lines = written("table", answer(), silence(), failure()).splitlines()
    assert lines[0].split() == ["file", "speech", "gender", "age", "group"]
    assert lines[2] == "a.mp3      0:09.5  male >99 %       34 (26–45)   thirties"
    assert lines[3] == "        warning  truncated: a.mp3 breaks off."
    assert lines[4] == "b.wav      0:00.0  no speech"
    assert lines[5] == "c.wav   error  not_audio: c.wav is not audio, nor video."
    assert len(lines) == 6, "what was not asked for is not drawn"


def test_a_timeline() -> None:
    text = written("table", answer(), silence(), segments=True, speakers=True)
    lines = text.splitlines()
    start = lines.index("a.mp3")
    bar = lines[start + 1].split()[0]
    assert len(bar) == 64
    assert bar == "·" * 3 + "█" * 14 + "·" * 4 + "▒" * 31 + "·" + "?" * 6 + "·" * 5
    assert lines[start + 2 : start + 8] == [
        "  0:00.5 – 0:03.2  S1   female 98 %      34 (26–45)",
        "  0:04.0 – 0:09.8  S2   male >99 %       34 (26–45)",
        "  0:10.0 – 0:11.0  S1   unsure (m 55 %)  34 (26–45)",
        "  S1   speaks 0:03.8  female 98 %      34 (26–45)",
        "  S2   speaks 0:05.8  male >99 %       34 (26–45)",
        "  in all  female 0:03.8 (39 %)  male 0:05.8 (61 %)",
    ]
    assert lines[-1] == "█ female   ▒ male   ? unsure   · no speech"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_narrow_terminal_loses_nothing(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal(newline="")
    writer = get_writer("table")(stream)
    name = "a/folder/of/some/length/with_an_endless_name_of_a_recording.wav"
    writer.write(answer(name))
    writer.finish()
    lines = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()
    assert name in "".join(line[: line.find("  ")] for line in lines)
    assert any("thirties" in line for line in lines)
    assert not any("…" in line for line in lines)
    assert max(map(len, lines)) <= columns


names = st.text(st.characters(codec=None, exclude_characters="\0/"), min_size=1, max_size=30)


@given(names)
def test_no_name_breaks_a_format(name: str) -> None:
    for form in EXPORTS:
        text = written(form, answer(name), failure(name), segments=True, speakers=True)
        text.encode("utf-8")
        if form == "jsonl":
            assert [json.loads(line)["file"] for line in text.split("\n")[:-1]] == [name, name]
        if form == "table":
            assert text.replace("\n", "").isprintable()


def test_wording() -> None:
    assert [clock(seconds) for seconds in (0, 59.96, 600, 3599.9, 3723.44)] == [
        "0:00.0", "1:00.0", "10:00.0", "59:59.9", "1:02:03.4",
    ]  # fmt: skip
    assert [percent(value) for value in (0.5, 0.9949, 0.996, 0.99999, 1.0)] == [
        "50 %", "99 %", ">99 %", ">99 %", "100 %",
    ]  # fmt: skip
    assert gender_words(UNSURE) == "unsure (m 55 %)"
    assert printable("a\x1b[31mb\nc\u202e\udce9é") == "a\\x1b[31mb\\nc\\u202e\\udce9é"
