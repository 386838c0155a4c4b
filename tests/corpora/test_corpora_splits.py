from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrait.corpora import (
    assign_folds,
    assign_random_splits,
    assign_splits,
    check_disjoint,
    check_manifest,
    check_official,
    speaker_table,
    split_warnings,
)
from voxtrait.errors import CorpusError

SHARES = {"train": 0.68, "validation": 0.14, "test": 0.18}
AGES: list[tuple[float, float] | None] = [None, (6.0, 6.0), (13.0, 19.0), (20.0, 29.0), (60.0, 69.0)]

#: Speakers, each with a gender, an age, a corpus and how many recordings.
SPEAKERS = st.lists(
    st.tuples(
        st.sampled_from(["female", "male", "other", None]),
        st.sampled_from(AGES),
        st.sampled_from(["one", "two"]),
        st.integers(1, 3),
    ),
    min_size=len(SHARES),
    max_size=60,
)
Speakers = list[tuple[str | None, tuple[float, float] | None, str, int]]


def manifest_of(speakers: Speakers) -> pl.DataFrame:
    rows = [
        {
            "path": f"/{number}-{clip}.wav",
            "speaker": f"s{number:03}",
            "gender": gender,
            "age_low": None if age is None else age[0],
            "age_high": None if age is None else age[1],
            "corpus": corpus,
        }
        for number, (gender, age, corpus, clips) in enumerate(speakers)
        for clip in range(clips)
    ]
    schema = {"age_low": pl.Float64, "age_high": pl.Float64, "gender": pl.String}
    return check_manifest(pl.DataFrame(rows, schema_overrides=schema), "made up")


def by_speaker(manifest: pl.DataFrame, name: str = "split") -> dict[str, str | int]:
    return dict(manifest.select("speaker", name).unique().rows())


@given(SPEAKERS, st.integers(0, 1000))
@settings(max_examples=60)
def test_a_split_shares_no_speaker_and_keeps_every_row(speakers: Speakers, seed: int) -> None:
    manifest = manifest_of(speakers)
    split = assign_splits(manifest, SHARES, seed)
    check_disjoint(split)
    assert split.drop("split").equals(manifest.drop("split"))
    assert set(split["split"]) <= set(SHARES)


@given(SPEAKERS, st.integers(0, 1000))
@settings(max_examples=60)
def test_shares_are_right_to_a_speaker_in_every_stratum(speakers: Speakers, seed: int) -> None:
    manifest = manifest_of(speakers)
    split = by_speaker(assign_splits(manifest, SHARES, seed))
    # A split that would have been empty was given one speaker more than its share.
    spare = 1 if min(list(split.values()).count(name) for name in SHARES) == 1 else 0
    folds = by_speaker(assign_folds(manifest, 4, seed))
    strata: dict[tuple[object, ...], list[str]] = {}
    for number, (gender, age, corpus, _) in enumerate(speakers):
        strata.setdefault((gender, age, corpus), []).append(f"s{number:03}")
    for members in strata.values():
        placed = [split[member] for member in members]
        for name, share in SHARES.items():
            assert abs(placed.count(name) - share * len(members)) < 1 + spare + 1e-6
        sizes = [[folds[member] for member in members].count(f"fold-{fold}") for fold in range(1, 5)]
        assert max(sizes) - min(sizes) <= 1


@given(SPEAKERS, st.integers(0, 1000))
@settings(max_examples=60)
def test_every_labelled_speaker_stands_in_one_fold(speakers: Speakers, seed: int) -> None:
    folds = by_speaker(assign_folds(manifest_of(speakers), 4, seed))
    for number, (gender, age, _, _) in enumerate(speakers):
        is_labelled = gender in ("female", "male") or age is not None
        assert folds[f"s{number:03}"] in (
            [f"fold-{fold}" for fold in range(1, 5)] if is_labelled else ["train"]
        )


@given(SPEAKERS, st.integers(0, 1000))
@settings(max_examples=30)
def test_the_order_of_the_rows_changes_nothing(speakers: Speakers, order: int) -> None:
    manifest = manifest_of(speakers)
    mixed = manifest.sample(fraction=1, shuffle=True, seed=order)
    assert by_speaker(assign_splits(mixed, SHARES, 3)) == by_speaker(assign_splits(manifest, SHARES, 3))
    assert by_speaker(assign_folds(mixed, 5, 3)) == by_speaker(assign_folds(manifest, 5, 3))


@given(SPEAKERS, st.integers(0, 1000))
@settings(max_examples=60)
def test_no_split_with_a_share_is_empty(speakers: Speakers, seed: int) -> None:
    split = assign_splits(manifest_of(speakers[:6]), {**SHARES, "none": 0.0}, seed)
    assert set(split["split"]) == set(SHARES)
    check_disjoint(split)


PEOPLE: Speakers = [("female", (20.0, 29.0), "one", 2)] * 100


def test_the_seed_decides() -> None:
    manifest = manifest_of(PEOPLE)
    one, again, other = (by_speaker(assign_splits(manifest, SHARES, seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_small_strata_do_not_all_favour_one_split() -> None:
    alone: Speakers = [("female", (float(age), float(age)), f"c{age}", 1) for age in range(100)]
    counts = [
        list(by_speaker(assign_splits(manifest_of(alone), SHARES, 0)).values()).count(x) for x in SHARES
    ]
    assert counts == pytest.approx([68, 14, 18], abs=15)
    assert min(counts) > 3


def test_a_split_of_nothing_gets_nobody() -> None:
    split = assign_splits(manifest_of(PEOPLE), {"train": 0.5, "none": 0.0, "test": 0.5}, 0)
    assert sorted(split["split"].unique()) == ["test", "train"]


def test_an_older_split_is_replaced() -> None:
    manifest = manifest_of(PEOPLE).with_columns(split=pl.lit("old"))
    assert "old" not in assign_splits(manifest, SHARES, 0)["split"].to_list()


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "test": -0.5}])
def test_shares_that_make_no_sense(shares: dict[str, float]) -> None:
    for assign in (assign_splits, assign_random_splits):
        with pytest.raises(CorpusError, match="sum to 1"):
            assign(manifest_of(PEOPLE), shares, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_more_splits_than_speakers(count: int) -> None:
    with pytest.raises(CorpusError, match="at least 3 speakers") as caught:
        assign_splits(manifest_of(PEOPLE[:count]), SHARES, 0)
    assert caught.value.code == "corpus_too_small"


def test_a_random_split_keeps_the_shares_and_leaks_speakers() -> None:
    manifest = manifest_of([("male", None, "one", 3)] * 100)
    split = assign_random_splits(manifest, {"train": 0.8, "test": 0.2}, 0)
    assert split.drop("split").equals(manifest.drop("split"))
    assert (split["split"] == "test").sum() == 60
    assert by_path(assign_random_splits(manifest.reverse(), {"train": 0.8, "test": 0.2}, 0)) == by_path(split)
    assert by_path(assign_random_splits(manifest, {"train": 0.8, "test": 0.2}, 1)) != by_path(split)
    with pytest.raises(CorpusError, match="more than one split"):
        check_disjoint(split)


def by_path(manifest: pl.DataFrame) -> dict[str, str]:
    return dict(manifest.select("path", "split").rows())


def test_official_splits_must_be_there_and_disjoint() -> None:
    manifest = manifest_of(PEOPLE[:3])
    with pytest.raises(CorpusError, match="carries no splits") as caught:
        check_official(manifest)
    assert caught.value.code == "corpus_layout"
    check_official(manifest.with_columns(split=pl.Series(["train"] * 2 + ["test"] * 2 + [None] * 2)))
    with pytest.raises(CorpusError) as caught:
        check_official(manifest.with_columns(split=pl.Series(["train", "test"] * 3)))
    assert caught.value.code == "shared_speakers"


def test_what_a_split_cannot_teach_is_said() -> None:
    people: Speakers = [
        ("male", (20.0, 29.0), "one", 1),
        ("female", None, "one", 1),
        ("male", (60.0, 60.0), "one", 1),
    ]
    manifest = manifest_of(people).with_columns(split=pl.Series(["train", "train", None]))
    assert split_warnings(manifest) == []
    assert split_warnings(manifest.with_columns(split=pl.Series(["train", "test", "train"]))) == [
        "The split test holds no recording labelled male.",
        "The split test holds no recording with an age.",
        "The split train holds no recording labelled female.",
    ]
    assert split_warnings(manifest_of([(None, None, "one", 1)])) == [
        "The corpus holds no recording labelled female or male.",
        "The corpus holds no recording with an age.",
    ]


def test_a_shared_speaker_is_refused() -> None:
    manifest = manifest_of(PEOPLE[:3]).with_columns(split=pl.Series(["train"] * 3 + ["test"] * 3))
    with pytest.raises(CorpusError, match=r"1 speakers .* s001") as caught:
        check_disjoint(manifest)
    assert caught.value.code == "shared_speakers"


def test_rows_without_a_split_share_nothing() -> None:
    check_disjoint(manifest_of(PEOPLE[:1]).with_columns(split=pl.Series(["train", None])))


def test_speakers_get_the_label_that_most_of_their_recordings_carry() -> None:
    manifest = check_manifest(
        pl.DataFrame(
            {
                "path": ["1", "2", "3", "4"],
                "speaker": ["a", "a", "a", "b"],
                "gender": ["male", "female", "male", None],
                "age_low": [20.0, 30.0, 30.0, None],
                "age_high": [29.0, 39.0, 39.0, None],
                "corpus": ["x", "x", "x", "x"],
            }
        ),
        "made up",
    )
    assert speaker_table(manifest).select("speaker", "gender", "group", "clips").rows() == [
        ("a", "male", "thirties", 3),
        ("b", None, None, 1),
    ]
