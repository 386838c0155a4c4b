"""The data set that `voxtrait annotate` writes: its rows, its columns, its files."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars as pl
import pytest
from batch_toys import heard, rows_of, run, sabotage, speech, toy_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import voxtrait
from voice_toys import dialogue, silence, wav
from voxtrait.batch import COLUMNS, Dataset, Settings, prediction_of, row_of, rows
from voxtrait.batch.ledger import Ledger
from voxtrait.batch.parts import PARTS, table_of
from voxtrait.batch.sink import Sink
from voxtrait.errors import UsageError
from voxtrait.labels import AGE_GROUPS
from voxtrait.results import AgeEstimate, GenderEstimate, Prediction, Problem, Segment, SpeakerSummary

_pandas: Any = pandas

#: Rows, segments and speakers that fill a part.
FULL = 8192


@pytest.fixture
def toy(workshop: Path) -> Path:
    return toy_in(workshop)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder of recordings, good and bad, whose names are hard to write down."""
    folder = tmp_path / 'in, "x"'
    folder.mkdir()
    names = ["a,b.wav", 'c"d.wav', "e\nf.wav", "g\rh.wav", "ü 日本.wav", "% ::.wav", "'.wav"]
    for number, name in enumerate(names):
        (folder / name).write_bytes(speech(number))
    for raw, content in {b"not\xff.wav": speech(9), b"bad\xfe\r.wav": b"RIFF", b"empty.wav": b""}.items():
        (folder / os.fsdecode(raw)).write_bytes(content)
    (folder / "quiet.wav").write_bytes(wav(silence(1)))
    (folder / "cut.wav").write_bytes(wav(dialogue(2))[:-9999])
    return folder


def test_parts_of_every_kind_hold_what_predict_says(odd: Path, toy: Path, tmp_path: Path) -> None:
    options = ["--segments", "--speakers", "--model", toy]
    found = {}
    for kind in PARTS:
        done = run(odd, "-o", tmp_path / kind, "--parts", kind, "--workers", "1", *options)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        found[kind] = rows_of(tmp_path / kind)
    assert found["parquet"] == found["jsonl"] == found["csv"]
    predicted = {
        answer.file: answer.to_dict()
        for answer in voxtrait.Predictor(toy).predict_many(
            [str(path) for path in odd.iterdir()], segments=True, speakers=True
        )
    }
    assert len(predicted) == 12
    for path, answer in predicted.items():
        name = path.encode("utf-8", "backslashreplace").decode()
        row = found["parquet"][name]
        # Bytes that are no text are written as they are named.
        expected = json.loads(json.dumps(answer).replace("\\udc", "\\\\udc"))
        assert prediction_of(row).to_dict() == expected
        status = os.stat(path)  # noqa: PTH116 - the name is no text
        assert row["size"] == status.st_size
        assert row["modified"] == datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, UTC)
    assert {row["status"] for row in found["csv"].values()} == {"ok", "no_speech", "error"}
    assert len(found["csv"][str(odd / "cut.wav")]["segments"]) > 1


def test_the_columns_are_the_documented_ones() -> None:
    documented = re.findall(r"^([a-z_]+(?:, [a-z_]+)*)  +\S+", rows.__doc__ or "", re.MULTILINE)
    names = [name for line in documented for name in line.split(", ")]
    assert names == list(COLUMNS) == rows.arrow_schema().names
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    section = guide.partition("### `voxtrait annotate`")[2].partition("\n### ")[0]
    table = re.findall(r"^\| (`[^|]+`) \| [a-z]", section.partition("| column |")[2], re.MULTILINE)
    assert [name for line in table for name in re.findall(r"`(\w+)`", line)] == list(COLUMNS)


_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_probability = st.integers(0, 10_000).map(lambda n: n / 10_000)
_years = st.integers(0, 1000).map(lambda n: n / 10)
_seconds = st.integers(0, 10**7).map(lambda n: n / 100)
_genders = st.builds(
    lambda label, p: GenderEstimate(label, p, round(1 - p, 4)),
    st.sampled_from(["female", "male", "unsure"]),
    _probability,
)
_ages = st.builds(
    AgeEstimate,
    _years,
    _years,
    _years,
    st.just(0.8),
    st.sampled_from([*AGE_GROUPS, "unsure"]),
    st.fixed_dictionaries(dict.fromkeys(AGE_GROUPS, _probability)),
)
_segments = st.builds(Segment, _seconds, _seconds, _genders, _ages, _texts)
_speakers = st.builds(SpeakerSummary, _texts, _seconds, _genders, _ages)
_problems = st.builds(Problem, _texts, _texts)
_predictions = st.one_of(
    st.builds(
        Prediction, _texts, st.just("ok"), _seconds, _seconds, _genders, _ages, _texts,
        st.none() | st.lists(_segments, max_size=3).map(tuple),
        st.none() | st.lists(_speakers, max_size=3).map(tuple),
        st.lists(_problems, max_size=2).map(tuple),
    ),
    st.builds(
        Prediction, _texts, st.just("no_speech"), _seconds, _seconds, st.none(), st.none(), _texts,
        st.none() | st.just(()), st.none() | st.just(()),
    ),
    st.builds(
        Prediction, _texts, st.just("error"), st.none(), st.none(), st.none(), st.none(), _texts,
        error=_problems,
    ),
)  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(_predictions, max_size=4, unique_by=lambda answer: answer.file),
    size=st.none() | st.integers(0, 2**60),
    modified=st.none() | st.datetimes(datetime(1980, 1, 1), timezones=st.just(UTC)),
)
def test_every_answer_comes_back_from_every_kind_of_part(
    tmp_path: Path, answers: list[Prediction], size: int | None, modified: datetime | None
) -> None:
    made = [row_of(answer.to_dict(), "0" * 64, size, modified) for answer in answers]
    for kind in PARTS.values():
        path = tmp_path / f"part{kind.suffix}"
        kind.write(table_of(made), path)
        read = kind.read(path).to_pylist()
        assert read == made
        assert [prediction_of(row).to_dict() for row in read] == [answer.to_dict() for answer in answers]
        assert kind.read(path, ["status", "file"]).to_pylist() == [
            {"file": row["file"], "status": row["status"]} for row in made
        ]


def _row(number: int, segments: int = 0) -> dict[str, Any]:
    gender = GenderEstimate("female", 0.9, 0.1)
    age = AgeEstimate(30.0, 20.0, 40.0, 0.8, "thirties", dict.fromkeys(AGE_GROUPS, 0.1))
    parts = tuple(Segment(float(n), n + 1.0, gender, age, "S1") for n in range(segments))
    answer = Prediction(f"/{number}.wav", "ok", 1.0, 1.0, gender, age, "toy 1", parts)
    return row_of(answer.to_dict(), "0" * 64, number, None)


def _weight(row: dict[str, Any]) -> int:
    return 1 + len(row["segments"] or ()) + len(row["speakers"] or ())


class _Clock:
    """Ten seconds and more pass between two looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 11
        return self.now


def _patiently(reader: Callable[[], int]) -> int:
    """Read again where a reader opens the last part twice, and it has grown between."""
    for _ in range(20):
        with contextlib.suppress(OSError, pl.exceptions.ComputeError, duckdb.Error):
            return reader()
    return reader()


def test_whoever_reads_while_it_grows_finds_whole_files(tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "out", Settings("toy 1", "0" * 64, segments=True))
    sink = Sink(dataset, Ledger(dataset), _Clock())
    sink.add(_row(0))
    glob = str(dataset.folder / "*.parquet")
    readers: dict[str, Callable[[], int]] = {
        "polars": lambda: pl.scan_parquet(glob).select(pl.len()).collect().item(),
        "duckdb": lambda: len(duckdb.read_parquet(glob).fetchall()),
        "pandas": lambda: sum(len(_pandas.read_parquet(part, columns=["file"])) for part in dataset.parts()),
    }
    ended = threading.Event()

    def write() -> None:
        # Every part takes some 14 rows.
        for number in range(1, 40):
            sink.add(_row(number, 600))
            time.sleep(0.01)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    counts: dict[str, list[int]] = {name: [] for name in readers}
    while not ended.is_set():
        for name, reader in readers.items():
            counts[name].append(_patiently(reader))
    writer.join()
    for name, reader in readers.items():
        assert counts[name] == sorted(counts[name])
        assert len(set(counts[name])) > 2
        assert reader() == 40
    assert readers["pandas"]() == len(_pandas.read_parquet(dataset.folder)) == 40
    parts = [table.to_pylist() for table in dataset.tables()]
    assert len(parts) == 3
    assert [row["file"] for part in parts for row in part] == [f"/{number}.wav" for number in range(40)]
    for part in parts:
        assert sum(map(_weight, part[:-1])) < FULL
    assert all(sum(map(_weight, part)) >= FULL for part in parts[:-1])


def test_rows_that_change_stay_in_their_parts_and_are_never_two(tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "out", Settings("toy 1", "0" * 64, segments=True))
    first = Sink(dataset, Ledger(dataset))
    for number in range(30):
        first.add(_row(number, 600))
    first.flush()
    before = [{row["file"] for row in table.to_pylist()} for table in dataset.tables(["file"])]
    assert len(before) == 3
    ledger = Ledger(dataset)
    second = Sink(dataset, ledger)
    changed = (1, 2, 20, 29)
    for number in changed:
        assert ledger.take(f"/{number}.wav", 7, None)
        assert ledger.take(f"/{number}.wav", 7, None) is None
        second.add({**_row(number), "size": 7})
    assert ledger.take("/new.wav", 7, None)
    second.add({**_row(30), "file": "/new.wav"})
    second.flush()
    second.flush()
    after = [{row["file"] for row in table.to_pylist()} for table in dataset.tables(["file"])]
    assert after == [*before[:2], before[2] | {"/new.wav"}]
    sizes = {row["file"]: row["size"] for row in dataset.rows()}
    assert sizes == {f"/{n}.wav": 7 if n in changed else n for n in range(30)} | {"/new.wav": 30}


@pytest.mark.parametrize("kind", PARTS)
def test_a_damaged_part_is_named(kind: str, tmp_path: Path) -> None:
    dataset = Dataset.create(tmp_path / "out", Settings("toy 1", "0" * 64, parts=kind))
    sink = Sink(dataset, Ledger(dataset))
    sink.add(_row(0))
    sink.flush()
    (part,) = dataset.parts()
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(UsageError, match=re.escape(str(part))) as caught:
        list(dataset.rows())
    assert caught.value.code == "dataset"


@pytest.mark.parametrize(
    "info", [None, b"", b"[]", b"\xff", b'{"schema": 2}', b'{"schema": 1}', b'{"schema": 1, "parts": "x"}']
)
def test_what_is_no_data_set_is_said_to_be_none(info: bytes | None, tmp_path: Path) -> None:
    if info is not None:
        (tmp_path / "_annotate.json").write_bytes(info)
    with pytest.raises(UsageError) as caught:
        Dataset(tmp_path)
    assert caught.value.code == "dataset"
    assert str(tmp_path) in caught.value.message


def test_settings_come_back(tmp_path: Path) -> None:
    given = Settings("toy 1", "0" * 64, True, False, 2, "jsonl", ("rttm", "srt"))
    Dataset.create(tmp_path / "out", given)
    assert Dataset(tmp_path / "out").settings == given
    assert given.difference(given) is None
    assert given.difference(Settings("toy 1", "1" * 64, True, False, None, "jsonl")) == (
        f"bundle {'0' * 64} instead of {'1' * 64}, channel 2 instead of none, "
        "formats rttm srt instead of none"
    )


def test_a_document_goes_with_its_recording(toy: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.wav").write_bytes(speech(number))
    options = [folder, "-o", out, "--model", toy, "--workers", "1", "-f", "rttm", "-f", "jsonl", "-f", "rttm"]
    env = sabotage(tmp_path)
    assert run(*options, env=env).returncode == 0
    heard(tmp_path)
    place = out / "_exports"
    documents = [
        f"{file}.{kind}" for kind in ("jsonl", "rttm") for file in (f"{folder}/0.wav", f"{folder}/1.wav")
    ]
    found = [place / document.rpartition(".")[2] / document[1:] for document in documents]
    assert sorted(path for path in place.rglob("*") if path.is_file()) == sorted(found)
    assert found[2].read_text().startswith("SPKR-INFO 0 1 ")
    assert json.loads(found[0].read_text()) == prediction_of(rows_of(out)[f"{folder}/0.wav"]).to_dict()
    # What cannot be heard any more has no document.
    (folder / "0.wav").write_bytes(b"RIFF")
    assert run(*options, env=env).returncode == 1
    assert heard(tmp_path) == ["0.wav"]
    assert [path.exists() for path in found] == [False, True, False, True]
