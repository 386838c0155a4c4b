"""Folders and days of files."""

from __future__ import annotations

import datetime
from pathlib import Path

import polars as pl
import pytest

from voxtrait.errors import UsageError
from voxtrait.summaries import DayColumn, DayPattern
from voxtrait.summaries.groups import folder_names

FIRST = datetime.date(2024, 3, 1)


def frame(*files: str) -> pl.DataFrame:
    modified = [
        datetime.datetime(2024, 3, 1 + number, 23, tzinfo=datetime.UTC) for number in range(len(files))
    ]
    return pl.DataFrame({"file": files, "modified": modified})


def test_folders_begin_where_files_part() -> None:
    files = pl.Series(
        ["/a/b/x/1.mp3", "/a/b/y/deep/2.mp3", "/a/b/3.mp3", "/a/b/z.zip::in/4.mp3", "/a/b/x/5.mp3"]
    )
    assert folder_names(files).to_list() == ["x", "y/deep", ".", "z.zip/in", "x"]
    assert folder_names(files[:1]).to_list() == ["."]
    assert folder_names(pl.Series(["1.mp3", "s3://bucket/a/2.mp3", "/b/3.mp3"])).to_list() == [
        ".", "s3://bucket/a", "/b",
    ]  # fmt: skip


def test_many_folders_are_taken_together_above() -> None:
    files = pl.Series([f"/r/{station}/{day}/1.mp3" for station in "abc" for day in range(30)])
    assert folder_names(files).unique().sort().to_list() == ["a", "b", "c"]
    assert folder_names(files, most=None).n_unique() == 90


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        (r"_(\d{8})_", "/a/x_20240301_1.mp3"),
        (r"(\d{4}-\d\d-\d\d)", "/a/2024-03-01/x.mp3"),
        (r"(?P<day>\d+)\.(?P<month>\d+)\.(?P<year>\d{4})", "/a/1.3.2024.mp3"),
    ],
)
def test_days_in_names(pattern: str, file: str) -> None:
    assert DayPattern(pattern).days(frame(file, "/a/none.mp3")).to_list() == [FIRST, None]


@pytest.mark.parametrize(
    ("pattern", "code", "says"),
    [
        ("(", "usage", "no regular expression"),
        (r"\d{8}", "usage", "one group"),
        (r"(\d)(\d)", "usage", "one group"),
        (r"show-(\d+)", "days", "matches no file"),
        (r"_(\d{8})_", "days", "20241399"),
    ],
)
def test_patterns_that_cannot_be_used(pattern: str, code: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        DayPattern(pattern).days(frame("/a/x_20241399_1.mp3"))
    assert caught.value.code == code
    assert "\n" not in caught.value.message


def test_days_of_the_data_set() -> None:
    days = DayColumn("modified").days(frame("/a/1.mp3", "/a/2.mp3"))
    assert days.to_list() == [FIRST, datetime.date(2024, 3, 2)]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_days_of_a_table(tmp_path: Path, suffix: str) -> None:
    table = tmp_path / f"shows{suffix}"
    aired = ["2024-03-01 20:15", "", "2024-05-01"]
    rows = pl.DataFrame({"file": ["1.mp3", f"{tmp_path}/2.mp3", "other.mp3"], "aired": aired})
    if suffix == ".parquet":
        rows.write_parquet(table)
    else:
        rows.write_csv(table, separator="\t" if suffix == ".tsv" else ",")
    days = DayColumn("aired", table).days(frame(f"{tmp_path}/1.mp3", f"{tmp_path}/2.mp3", "/elsewhere.mp3"))
    assert days.to_list() == [FIRST, None, None]


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    table = tmp_path / "shows.csv"
    files = frame(str(tmp_path / "1.mp3"))

    def error(text: str, column: str = "aired") -> UsageError:
        table.write_text(text)
        with pytest.raises(UsageError) as caught:
            DayColumn(column, table).days(files)
        return caught.value

    assert "no column 'file'" in error("path,aired\n1.mp3,2024-03-01\n").message
    assert "no column 'aired'" in error("file,when\n1.mp3,2024-03-01\n").message
    assert "no day for any file" in error("file,aired\nother.mp3,2024-03-01\n").message
    assert error("").code == "table"
    found = error("file,aired\n1.mp3,on Sunday\n")
    assert (found.code, "'on Sunday'" in found.message) == ("days", True)
    with pytest.raises(UsageError, match="no column 'aired'"):
        DayColumn("aired").days(files)
    with pytest.raises(UsageError, match="holds no dates"):
        DayColumn("status").days(files)
    with pytest.raises(UsageError, match="cannot be read"):
        DayColumn("aired", tmp_path / "none.csv").days(files)
