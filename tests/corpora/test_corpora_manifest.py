from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from voxtrait.corpora import MANIFEST_SCHEMA, check_manifest, read_manifest, write_manifest
from voxtrait.errors import CorpusError


def rows(*changes: dict[str, Any]) -> pl.DataFrame:
    plain = {"path": "/a.wav", "speaker": "s", "gender": "female", "age_low": 20.0, "age_high": 29.0}
    given = [{**plain, "path": f"/{number}.wav", **change} for number, change in enumerate(changes)]
    return pl.DataFrame(given, strict=False)


def test_columns_are_completed_and_put_in_order() -> None:
    manifest = check_manifest(pl.DataFrame({"speaker": ["s"], "path": ["a"]}), "here")
    assert manifest.schema == MANIFEST_SCHEMA
    assert manifest.row(0) == ("a", "s", *[None] * 8)


def test_a_number_is_a_name_too() -> None:
    assert check_manifest(rows({"speaker": 7}), "here")["speaker"].to_list() == ["7"]


def test_nan_is_unknown() -> None:
    nan = float("nan")
    manifest = check_manifest(rows({"age_low": nan, "age_high": nan, "duration": nan, "weight": nan}), "here")
    assert manifest.select("age_low", "age_high", "duration", "weight").row(0) == (None,) * 4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"path": None}, "without a path"),
        ({"path": ""}, "without a path"),
        ({"speaker": None}, "without a speaker"),
        ({"speaker": ""}, "without a speaker"),
        ({"gender": "Female"}, "gender other than female, male, other"),
        ({"age_low": None}, "half an age interval"),
        ({"age_high": None}, "half an age interval"),
        ({"age_low": 30.0}, "upside down"),
        ({"age_low": -1.0}, "0 to 120"),
        ({"age_high": 121.0}, "0 to 120"),
        ({"weight": 0.0}, "weight that is not a positive number"),
        ({"weight": -2.0}, "weight that is not a positive number"),
        ({"weight": float("inf")}, "weight that is not a positive number"),
        ({"path": "/0.wav"}, "another row"),
        ({"age_low": "young"}, "wrong type"),
        ({"sentence": "hello"}, "not a manifest"),
    ],
)
def test_a_wrong_row_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(CorpusError, match=named) as caught:
        check_manifest(rows({}, {"gender": None}, change), "here.parquet")
    assert caught.value.code == "corpus_columns"
    assert str(caught.value).startswith("here.parquet")


def test_ends_of_the_range_are_ages() -> None:
    ends = rows({"age_low": 0.0, "age_high": 0.0}, {"age_low": 120.0, "age_high": 120.0})
    assert check_manifest(ends, "here").height == 2


@pytest.mark.parametrize("columns", [["path"], ["speaker"], ["path", "speaker", "age"]])
def test_other_columns_are_refused(columns: list[str]) -> None:
    with pytest.raises(CorpusError, match="a manifest has path, speaker, gender"):
        check_manifest(pl.DataFrame({name: ["x"] for name in columns}), "here")


def test_no_row_is_refused() -> None:
    with pytest.raises(CorpusError, match="no recording") as caught:
        check_manifest(pl.DataFrame(schema=MANIFEST_SCHEMA), "here")
    assert caught.value.code == "corpus_empty"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest = check_manifest(rows({}, {"gender": None, "split": "train", "duration": 1.5}), "here")
    file = tmp_path / "new" / "manifest.parquet"
    write_manifest(manifest, file)
    write_manifest(manifest, file)
    assert read_manifest(file).equals(manifest)
    assert [item.name for item in file.parent.iterdir()] == ["manifest.parquet"]


def test_relative_paths_begin_at_the_manifest(tmp_path: Path) -> None:
    write_manifest(
        rows({"path": "clips/a.wav"}, {"path": "/b.wav"}, {"path": "C:\\c.wav"}), tmp_path / "m.parquet"
    )
    paths = read_manifest(tmp_path / "m.parquet")["path"].to_list()
    assert paths == [str(tmp_path / "clips" / "a.wav"), "/b.wav", "C:\\c.wav"]


def test_a_manifest_from_before_there_were_weights(tmp_path: Path) -> None:
    check_manifest(rows({}), "here").drop("weight").write_parquet(tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet")["weight"].to_list() == [None]


def test_a_bad_manifest_replaces_nothing(tmp_path: Path) -> None:
    file = tmp_path / "m.parquet"
    write_manifest(rows({}), file)
    before = file.read_bytes()
    with pytest.raises(CorpusError):
        write_manifest(rows({"speaker": ""}), file)
    assert file.read_bytes() == before


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        read_manifest(tmp_path / "none.parquet")
    assert caught.value.code == "corpus_not_found"
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(CorpusError) as caught:
        read_manifest(tmp_path / "text.parquet")
    assert caught.value.code == "corpus_layout"
