from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrait.labels import AGE_GROUPS, GENDERS, MAX_AGE, age_interval, group_bounds, group_of, parse_gender


@pytest.mark.parametrize(
    ("text", "gender"),
    [
        ("female", "female"), ("F", "female"), (" Woman ", "female"), ("female_feminine", "female"),
        ("male", "male"), ("m", "male"), ("man", "male"), ("male_masculine", "male"),
        ("other", "other"), ("non-binary", "other"), ("transgender", "other"), ("intersex", "other"),
        ("", None), (None, None), ("do_not_wish_to_say", None), ("mal", None), ("females", None),
    ],
)  # fmt: skip
def test_spellings_of_gender(text: str | None, gender: str | None) -> None:
    assert parse_gender(text) == gender


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("teens", (13, 19)), ("teen", (13, 19)), ("twenties", (20, 29)), ("fourties", (40, 49)),
        ("forties", (40, 49)), (" Sixties ", (60, 69)), ("eighties", (80, 89)), ("nineties", (90, 99)),
        ("child", (0, 12)), ("37", (37, 37)), ("37.5", (37.5, 37.5)), ("0", (0, 0)), ("120", (120, 120)),
        ("30-39", (30, 39)), ("30 - 39", (30, 39)),
        ("", None), (None, None), ("old", None), ("-5", None), ("121", None), ("39-30", None), ("30-", None),
        ("nan", None), ("inf", None), ("1e400", None), ("20-130", None), ("1-2-3", None), ("1_0", None),
    ],
)  # fmt: skip
def test_spellings_of_age(text: str | None, interval: tuple[float, float] | None) -> None:
    assert age_interval(text) == interval


@given(st.text())
def test_any_text_is_a_label_or_none(text: str) -> None:
    assert parse_gender(text) in (*GENDERS, None)
    interval = age_interval(text)
    assert interval is None or 0 <= interval[0] <= interval[1] <= 120


@given(st.integers(0, 120), st.integers(0, 120))
def test_numbers_mean_what_they_say(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert age_interval(str(low)) == (low, low)
    assert age_interval(f"{low}-{high}") == (low, high)


def test_groups_meet_without_gap() -> None:
    bounds = [group_bounds(name) for name in AGE_GROUPS]
    assert bounds[0][0] == 0
    assert bounds[-1][1] > MAX_AGE
    assert all(before[1] == after[0] for before, after in pairwise(bounds))


@given(st.floats(0, MAX_AGE))
def test_an_age_lies_in_its_group(years: float) -> None:
    low, high = group_bounds(group_of(years))
    assert low <= years < high


@pytest.mark.parametrize(
    ("years", "group"), [(0, "child"), (12.99, "child"), (13, "teens"), (39.5, "thirties"), (119, "eighties")]
)
def test_groups_at_their_ends(years: float, group: str) -> None:
    assert group_of(years) == group


@pytest.mark.parametrize("name", [name for name in AGE_GROUPS if name not in ("child", "eighties")])
def test_a_band_is_its_group(name: str) -> None:
    interval = age_interval(name)
    assert interval is not None
    assert {group_of(interval[0]), group_of(interval[1]), group_of(sum(interval) / 2)} == {name}


def test_an_unknown_group() -> None:
    with pytest.raises(KeyError):
        group_bounds("nineties")
