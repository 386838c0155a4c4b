"""The readers on the labelled speech of the project, where it lies beside the repository."""

from __future__ import annotations

import polars as pl
import pytest

from voice_toys import DATA
from voxtrait.corpora import ImportCounts, assign_splits, check_disjoint, read_corpus

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no labelled speech in {DATA} (or VOXTRAIT_DATA)"),
]

TABLES = {
    "speechocean762": 2500,
    "coswara-counting": 146,
    "librispeech-sample": 351,
    "saarbruecken-voices": 159,
}


@pytest.fixture(scope="module")
def common_voice() -> tuple[pl.DataFrame, ImportCounts]:
    counts = ImportCounts()
    folders = sorted(DATA.glob("cv-corpus-*"))
    return pl.concat([read_corpus(folder, counts) for folder in folders]), counts


def test_all_of_common_voice_is_read(common_voice: tuple[pl.DataFrame, ImportCounts]) -> None:
    manifest, counts = common_voice
    assert manifest.height == counts.rows == 5072
    assert manifest["corpus"].n_unique() == 6
    locales = manifest.filter(pl.col("corpus") == "cv-corpus-6.1-sample")["locale"]
    assert set(locales) == {folder.name for folder in (DATA / "cv-corpus-6.1-sample").iterdir()}
    assert counts.missing_files == []
    assert set(counts.unknown_genders) <= {"do_not_wish_to_say"}
    assert counts.unknown_ages == {}
    assert manifest["gender"].drop_nulls().len() > 4000
    assert manifest["age_low"].drop_nulls().len() > 4000


def test_its_splits_share_no_speaker(common_voice: tuple[pl.DataFrame, ImportCounts]) -> None:
    split = assign_splits(common_voice[0], {"train": 0.7, "test": 0.3}, 1)
    check_disjoint(split)
    speakers = split.select("speaker", "split").unique()
    assert (speakers["split"] == "train").mean() == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize(("name", "rows"), TABLES.items())
def test_the_tables_are_read(name: str, rows: int) -> None:
    counts = ImportCounts()
    manifest = read_corpus(DATA / name, counts)
    assert manifest.height == counts.rows == rows
    assert (counts.unknown_genders, counts.unknown_ages, counts.missing_files) == ({}, {}, [])
    assert set(manifest["gender"]) == {"female", "male"}
    assert set(manifest["corpus"]) == {name}
    has_ages = name != "librispeech-sample"
    assert manifest["age_low"].is_null().all() == (not has_ages)
    assert manifest["age_low"].equals(manifest["age_high"])
