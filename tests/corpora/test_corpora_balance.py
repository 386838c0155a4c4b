"""Cells, and the three ways to make them alike."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrait.corpora import check_manifest
from voxtrait.corpora.balance import downsample, oversample, weigh
from voxtrait.corpora.cells import add_cells, cell_counts, group_names
from voxtrait.errors import CorpusError
from voxtrait.labels import group_of

CELL = ("gender", "group")
TWENTIES, SIXTIES, SEVENTIES = (20.0, 29.0), (60.0, 69.0), (70.0, 79.0)

#: Speakers, each with a gender, an age and how many recordings.
Speakers = list[tuple[str | None, tuple[float, float] | None, int]]
SPEAKERS = st.lists(
    st.tuples(
        st.sampled_from(["female", "male", "other", None]),
        st.sampled_from([TWENTIES, SIXTIES, SEVENTIES, None]),
        st.integers(1, 6),
    ),
    max_size=30,
).map(lambda more: [("female", TWENTIES, 1), ("male", SIXTIES, 2), *more])


def manifest_of(speakers: Speakers, **columns: Any) -> pl.DataFrame:
    rows = [
        {
            "path": f"/{number}-{clip}.wav",
            "speaker": f"s{number:02}",
            "gender": gender,
            "age_low": None if age is None else age[0],
            "age_high": None if age is None else age[1],
        }
        for number, (gender, age, clips) in enumerate(speakers)
        for clip in range(clips)
    ]
    schema = {"gender": pl.String, "age_low": pl.Float64, "age_high": pl.Float64}
    table = pl.DataFrame(rows, schema_overrides=schema)
    return check_manifest(table.with_columns(**columns), "made up")


def labelled(manifest: pl.DataFrame, merge_from: int | None = None) -> pl.DataFrame:
    return add_cells(manifest, merge_from).drop_nulls(CELL)


@given(st.floats(0, 120))
def test_the_group_of_an_age_is_that_of_the_labels(years: float) -> None:
    manifest = manifest_of([("female", (years, years), 1)])
    assert add_cells(manifest)["group"].to_list() == [group_of(years)]


def test_groups_from_an_age_on_are_one() -> None:
    manifest = manifest_of([("male", SIXTIES, 2), ("male", SEVENTIES, 1), ("male", (59.0, 59.0), 1)])
    assert group_names(60)[-2:] == ["fifties", "60-plus"]
    assert cell_counts(manifest, 60).select("group", "recordings", "speakers").rows() == [
        ("fifties", 1, 1),
        ("60-plus", 3, 2),
    ]
    # Nothing but the cells is merged.
    assert downsample(manifest, 9, 0, 60).equals(manifest)


@pytest.mark.parametrize("age", [0, 45, 90])
def test_an_age_where_no_group_begins(age: int) -> None:
    with pytest.raises(CorpusError, match=f"No age group begins at {age} years") as caught:
        weigh(manifest_of([("male", SIXTIES, 2)]), age)
    assert caught.value.code == "corpus_layout"


@given(SPEAKERS, st.integers(1, 8), st.integers(0, 99), st.sampled_from([None, 60]))
@settings(max_examples=60)
def test_a_cell_keeps_what_it_may_of_as_many_speakers_as_possible(
    speakers: Speakers, most: int, seed: int, merge_from: int | None
) -> None:
    manifest = manifest_of(speakers)
    kept = downsample(manifest, most, seed, merge_from)
    assert kept.equals(manifest.filter(pl.col("path").is_in(kept["path"].implode())))
    assert kept.height == labelled(kept, merge_from).height
    before, after = (
        labelled(table, merge_from).group_by(CELL).agg(pl.len(), pl.col("speaker").n_unique()).sort(CELL)
        for table in (manifest, kept)
    )
    wanted = before.with_columns(pl.col("len", "speaker").clip(upper_bound=most))
    assert after.rows() == wanted.rows()


@given(SPEAKERS, st.integers(0, 99))
@settings(max_examples=30)
def test_the_order_of_the_rows_changes_nothing(speakers: Speakers, seed: int) -> None:
    manifest = manifest_of(speakers)
    mixed = manifest.sample(fraction=1, shuffle=True, seed=seed)
    assert set(downsample(manifest, 2, seed)["path"]) == set(downsample(mixed, 2, seed)["path"])
    one, other = (oversample(table, seed).select("path", "weight") for table in (manifest, mixed))
    assert dict(one.rows()) == dict(other.rows())


def test_the_seed_chooses_recordings_and_speakers() -> None:
    manifest = manifest_of([("male", TWENTIES, 5)] * 20)
    chosen = [frozenset(downsample(manifest, 10, seed)["path"]) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    speakers = [set(downsample(manifest, 10, seed)["speaker"]) for seed in (1, 2)]
    assert speakers[0] != speakers[1]


@given(SPEAKERS, st.integers(0, 99), st.sampled_from([None, 60]))
@settings(max_examples=60)
def test_repeats_make_all_cells_as_large_as_the_largest(
    speakers: Speakers, seed: int, merge_from: int | None
) -> None:
    manifest = manifest_of(speakers)
    repeated = oversample(manifest, seed, merge_from)
    assert repeated.drop("weight").equals(manifest.drop("weight"))
    cells = labelled(repeated, merge_from).filter(pl.col("gender") != "other")
    assert (cells["weight"] == cells["weight"].round()).all()
    sums = cells.group_by(CELL).agg(
        pl.len(), pl.col("weight").sum(), (pl.col("weight").max() - pl.col("weight").min()).alias("apart")
    )
    assert set(sums["weight"]) == {sums["len"].max()}
    assert max(sums["apart"]) <= 1


@given(SPEAKERS, st.sampled_from([None, 60]))
@settings(max_examples=60)
def test_weights_make_all_cells_count_the_same(speakers: Speakers, merge_from: int | None) -> None:
    weighed = weigh(manifest_of(speakers), merge_from)
    cells = labelled(weighed, merge_from).filter(pl.col("gender") != "other")
    assert cells["weight"].mean() == pytest.approx(1)
    sums = cells.group_by(CELL).agg(pl.col("weight").sum())["weight"].to_list()
    assert sums == pytest.approx([sums[0]] * len(sums))
    others = weighed.join(cells, on="path", how="anti")
    assert others["weight"].is_null().all()


def test_only_the_training_split_is_balanced() -> None:
    people: Speakers = [("male", TWENTIES, 4), ("female", TWENTIES, 2), ("male", TWENTIES, 6)]
    split = pl.Series(["train"] * 6 + ["test"] * 4 + [None] * 2)
    manifest = manifest_of(people, split=split, weight=pl.lit(7.0))
    kept = downsample(manifest, 1, 0)
    assert kept["split"].to_list() == ["train"] * 2 + ["test"] * 4 + [None] * 2
    assert oversample(manifest, 0)["weight"].to_list() == [1.0] * 4 + [2.0] * 2 + [7.0] * 6
    assert weigh(manifest)["weight"].to_list() == [0.75] * 4 + [1.5] * 2 + [7.0] * 6
    with pytest.raises(CorpusError, match="for the split train, but there are only dev, test"):
        weigh(manifest.with_columns(split=pl.Series(["dev", "test"] * 6)))


def test_a_label_that_nobody_carries_divides_nothing() -> None:
    ageless = manifest_of([("male", None, 3), ("female", None, 1)])
    assert weigh(ageless)["weight"].to_list() == pytest.approx([2 / 3] * 3 + [2])
    genderless = manifest_of([(None, TWENTIES, 3), (None, SIXTIES, 1)])
    assert oversample(genderless, 0)["weight"].to_list() == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("people", "named"),
    [
        ([(None, None, 3)], "carries a gender or an age"),
        ([("male", None, 3), (None, SIXTIES, 1)], "carries both a gender and an age"),
        ([("male", SIXTIES, 3), ("other", SIXTIES, 1)], "one cell .gender male, age sixties."),
    ],
)
def test_what_cannot_be_weighed(people: Speakers, named: str) -> None:
    for call in (weigh, lambda manifest: oversample(manifest, 0)):
        with pytest.raises(CorpusError, match=named) as caught:
            call(manifest_of(people))
        assert caught.value.code == "corpus_too_small"


def test_one_cell_can_be_thinned_out() -> None:
    assert downsample(manifest_of([("male", SIXTIES, 3)]), 2, 0).height == 2
