"""Data sets summed up: seconds, what they are counted by, breakdowns, notes."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from summaries_toys import SHIPPED, answered, archive, dataset_in, unanswered
from voxtrait.batch import Row
from voxtrait.errors import UsageError
from voxtrait.labels import AGE_GROUPS
from voxtrait.summaries import DayPattern, Summary, card_of, summarise

DAYS = DayPattern(r"(\d{4}-\d\d-\d\d)")
MIXED = [(30.0, 0.02), (10.0, 0.98), (5.0, 0.6)]


def summed(folder: Path, rows: list[Row], segments: bool = True, speakers: bool = False) -> Summary:
    return summarise(dataset_in(folder, [rows], segments, speakers), SHIPPED)


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_seconds_by_segment(tmp_path: Path, kind: str) -> None:
    rows = [answered("/a/1.mp3", MIXED), unanswered("/a/2.mp3", "no_speech"), unanswered("/a/3.mp3", "error")]
    summary = summarise(dataset_in(tmp_path / "out", [rows[:2], rows[2:]], kind=kind), SHIPPED)
    assert summary.unit == "segments"
    assert summary.statuses == {"ok": 1, "no_speech": 1, "error": 1}
    assert summary.seconds == pytest.approx(
        {"audio": 52, "speech": 45, "heard": 45, "female": 10, "male": 30, "unsure": 5, "unanswered": 0}
    )
    assert summary.gender is not None
    assert summary.gender.labelled == pytest.approx(10 / 40)
    assert summary.gender.expected.value == pytest.approx((0.6 + 9.8 + 3) / 45)
    assert any("could not be heard" in note for note in summary.notes)
    assert any("too few for an interval" in note for note in summary.notes)


def test_what_seconds_are_counted_by(tmp_path: Path) -> None:
    rows = [answered("/a/1.mp3", MIXED)]
    voices = summed(tmp_path / "voices", rows, segments=False, speakers=True)
    files = summed(tmp_path / "files", rows, segments=False)
    assert (voices.unit, files.unit) == ("speakers", "files")
    assert voices.seconds["female"] == pytest.approx(10)
    # The one answer for the file is unsure.
    assert files.seconds["unsure"] == pytest.approx(45)
    assert "one answer for that file" in files.notes[0]


def test_ages_by_gender(tmp_path: Path) -> None:
    old = (0, 0, 0, 0, 0, 0, 1.0, 0, 0)
    rows = [answered("/a/1.mp3", [(30, 0.0)]), answered("/a/2.mp3", [(10, 1.0)], old)]
    pyramid = summed(tmp_path / "out", rows).pyramid
    assert pyramid["sixties"] == pytest.approx((0.25, 0))
    assert pyramid["twenties"] == pytest.approx((0, 0.375))
    assert sum(map(sum, pyramid.values())) == pytest.approx(1)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_order_of_parts_is_irrelevant(
    tmp_path_factory: pytest.TempPathFactory, random: object, size: int
) -> None:
    rows, other = archive(24), archive(24)
    random.shuffle(other)  # type: ignore[attr-defined]
    parts = [other[first : first + size * 5] for first in range(0, 24, size * 5)]
    one = summarise(dataset_in(tmp_path_factory.mktemp("one"), [rows]), SHIPPED, DAYS)
    two = summarise(dataset_in(tmp_path_factory.mktemp("two"), parts), SHIPPED, DAYS)
    left, right = one.to_dict(), two.to_dict()
    assert {**left, "dataset": ""} == {**right, "dataset": ""}
    assert one.rows("folder").equals(two.rows("folder"))


def test_breakdowns_sum_to_the_whole(tmp_path: Path) -> None:
    rows = [*archive(), answered("/radio/north/undated.mp3", MIXED)]
    summary = summarise(dataset_in(tmp_path / "out", [rows]), SHIPPED, DAYS)
    assert (summary.clusters, summary.cluster_count) == ("days", 11)
    for by, count in (("file", 41), ("folder", 2), ("day", 10), ("month", 1)):
        found = summary.rows(by)
        assert len(found) == count
        whole = 45 if by in ("file", "folder") else 0
        assert found["heard"].sum() == pytest.approx(40 * 20 - 1 + whole, abs=1)
        assert sum(found[name].sum() for name in AGE_GROUPS) == pytest.approx(found["heard"].sum())
    days = summary.rows("day")
    assert days["day"][0] == datetime.date(2024, 3, 1)
    # Four files a day are too few for an interval, not for a share.
    assert days["low"].null_count() == 10
    assert days["share"].null_count() == 0
    folders = summary.rows("folder")
    assert (folders["low"] <= folders["share"]).all()
    assert (folders["share"] <= folders["high"]).all()
    assert any("1 of 41 files have no day" in note for note in summary.notes)


def test_many_folders_are_resampled_and_else_files(tmp_path: Path) -> None:
    rows = [answered(f"/a/{number}/{part}.mp3", MIXED) for number in range(25) for part in range(2)]
    assert summed(tmp_path / "many", rows).clusters == "folders"
    assert summed(tmp_path / "few", archive()).clusters == "files"


def test_poor_speech_is_said_to_be(tmp_path: Path) -> None:
    rows = [answered(f"/a/{number}.mp3", [(10, 0.3)]) for number in range(10)]
    notes = summed(tmp_path / "out", rows).notes
    assert any("0 % was decided, less than under any condition" in note for note in notes)
    assert not any("decided" in note for note in summed(tmp_path / "good", archive()).notes)


def test_an_unknown_model_is_not_corrected(tmp_path: Path) -> None:
    dataset = dataset_in(tmp_path / "out", [archive()], bundle="0" * 64)
    assert card_of(dataset, None) is None
    summary = summarise(dataset, None)
    assert summary.gender is not None
    assert summary.gender.headline == summary.gender.expected
    assert any("--model" in note for note in summary.notes)
    with pytest.raises(UsageError, match="was annotated with"):
        card_of(dataset, "voxtrait-base")
    assert card_of(dataset_in(tmp_path / "own", [archive()]), None) == SHIPPED


def test_no_speech_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no speech with an answer in its 2 files") as caught:
        summed(tmp_path / "out", [unanswered("/a/1.mp3", "no_speech"), unanswered("/a/2.mp3", "error")])
    assert caught.value.code == "nothing_to_do"
    with pytest.raises(UsageError, match="in its 0 files"):
        summarise(dataset_in(tmp_path / "empty", []), SHIPPED, DAYS)
