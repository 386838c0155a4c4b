from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrait.corpora import assign_folds, assign_splits, check_disjoint, check_manifest, speaker_table
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
    min_size=1,
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
    folds = by_speaker(assign_folds(manifest, 4, seed), "fold")
    strata: dict[tuple[object, ...], list[str]] = {}
    for number, (gender, age, corpus, _) in enumerate(speakers):
        strata.setdefault((gender, age, corpus), []).append(f"s{number:03}")
    for members in strata.values():
        placed = [split[member] for member in members]
        for name, share in SHARES.items():
            assert abs(placed.count(name) - share * len(members)) < 1 + 1e-6
        sizes = [[folds[member] for member in members].count(fold) for fold in range(4)]
        assert max(sizes) - min(sizes) <= 1


@given(SPEAKERS, st.integers(0, 1000))
@settings(max_examples=30)
def test_the_order_of_the_rows_changes_nothing(speakers: Speakers, order: int) -> None:
    manifest = manifest_of(speakers)
    mixed = manifest.sample(fraction=1, shuffle=True, seed=order)
    assert by_speaker(assign_splits(mixed, SHARES, 3)) == by_speaker(assign_splits(manifest, SHARES, 3))
    assert by_speaker(assign_folds(mixed, 5, 3), "fold") == by_speaker(assign_folds(manifest, 5, 3), "fold")


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
    with pytest.raises(CorpusError, match="sum to 1"):
        assign_splits(manifest_of(PEOPLE), shares, 0)


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
