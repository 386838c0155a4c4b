"""What is counted of a corpus, and drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrait.corpora import check_manifest
from voxtrait.corpora.plots import plot_stats
from voxtrait.corpora.stats import describe
from voxtrait.errors import UsageError

COLUMNS = ("path", "speaker", "gender", "age_low", "age_high", "locale", "corpus", "split", "duration")
ROWS = [
    ("/1", "a", "female", 20.0, 29.0, "de", "one", "train", 1800.0),
    ("/2", "a", "female", 20.0, 29.0, "de", "one", "train", 2.5),
    ("/3", "a", "female", 30.0, 39.0, "fr", "one", "train", None),
    ("/4", "b", "male", 30.0, 39.0, "fr", "two", "test", 1797.5),
    ("/5", "c", None, None, None, None, "two", None, None),
]


def manifest_of(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return check_manifest(pl.DataFrame(rows, schema=list(COLUMNS), orient="row"), "made up")


def test_counts() -> None:
    stats = describe(manifest_of(ROWS))
    assert (stats.recordings, stats.speakers, stats.hours, stats.without_duration) == (5, 3, 1.0, 2)
    assert stats.cells.rows() == [
        ("female", "twenties", 2, 1, pytest.approx(1802.5 / 3600)),
        ("female", "thirties", 1, 1, None),
        ("male", "thirties", 1, 1, pytest.approx(1797.5 / 3600)),
        (None, None, 1, 1, None),
    ]
    assert stats.locales.drop("hours").rows() == [
        ("de", 2, 1, 1, 0),
        ("fr", 2, 2, 1, 1),
        (None, 1, 1, 0, 0),
    ]
    assert stats.corpora.drop("hours").rows() == [("one", 3, 1, 1, 0), ("two", 2, 2, 0, 1)]
    assert stats.splits.select("name", "hours").rows() == [
        ("train", pytest.approx(1802.5 / 3600)),
        ("test", pytest.approx(1797.5 / 3600)),
        (None, None),
    ]
    assert stats.clips == {"least": 1, "quarter": 1, "median": 1, "three quarters": 2, "most": 3}
    assert stats.clip_bins.rows() == [(1, 2, 2), (2, 3, 0), (3, 5, 1)]
    assert stats.duration_bins.rows()[0] == (2, 3, 1)
    assert stats.duration_bins.rows()[-1] == (600, None, 2)


def test_the_counts_are_json() -> None:
    content = json.loads(json.dumps(describe(manifest_of(ROWS)).to_dict(), allow_nan=False))
    assert content["recordings"] == 5
    assert content["cells"][0]["group"] == "twenties"
    assert content["duration_bins"][-1]["high"] is None


def test_unknown_durations_are_no_hours() -> None:
    stats = describe(manifest_of(ROWS).with_columns(duration=pl.lit(None, pl.Float64)))
    assert (stats.hours, stats.without_duration) == (None, 5)
    assert stats.duration_bins.is_empty()


@given(
    st.lists(st.floats(0, 5000), min_size=1, max_size=30),
    st.lists(st.integers(1, 300), min_size=1, max_size=4),
)
def test_every_recording_and_every_speaker_is_in_one_bin(seconds: list[float], clips: list[int]) -> None:
    speakers = [f"s{number}" for number, count in enumerate(clips) for _ in range(count)]
    table = pl.DataFrame({"path": [f"/{n}" for n in range(len(speakers))], "speaker": speakers})
    lengths = pl.Series([*seconds, *[None] * len(speakers)][: len(speakers)], dtype=pl.Float64)
    stats = describe(check_manifest(table.with_columns(duration=lengths), "made up"))
    assert stats.clip_bins["speakers"].sum() == len(clips)
    assert stats.duration_bins["recordings"].sum() == lengths.drop_nulls().len()
    for bins in (stats.clip_bins, stats.duration_bins):
        assert bins["high"][:-1].to_list() == bins["low"][1:].to_list()


def test_pictures(tmp_path: Path) -> None:
    files = plot_stats(describe(manifest_of(ROWS)), tmp_path / "new")
    assert sorted(file.name for file in files) == [
        "clips-per-speaker.png",
        "durations.png",
        "gender-age.png",
        "locales.png",
    ]
    assert sorted((tmp_path / "new").iterdir()) == sorted(files)
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_what_is_unknown_is_not_drawn(tmp_path: Path) -> None:
    manifest = check_manifest(pl.DataFrame({"path": ["/1"], "speaker": ["a"]}), "made up")
    files = plot_stats(describe(manifest), tmp_path)
    assert sorted(file.stem for file in files) == ["clips-per-speaker", "gender-age"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"Cannot write .*gender-age\.png") as caught:
        plot_stats(describe(manifest_of(ROWS)), tmp_path / "file")
    assert caught.value.code == "output"
