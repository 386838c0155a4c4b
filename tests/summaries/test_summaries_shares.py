"""The arithmetic of shares: what they sum to, and what their intervals hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from summaries_toys import SHIPPED
from voxtrait.bundle import Card, Metric
from voxtrait.summaries.known import KnownErrors
from voxtrait.summaries.shares import FEWEST, Share, age_shares, gender_shares

Floats = NDArray[np.float64]
KNOWN = KnownErrors.of(SHIPPED)


def columns(female: Any, seconds: Any = 10.0) -> Floats:
    """Return `tally.GENDER_COLUMNS` of clusters with one answer each."""
    share = np.asarray(female, np.float64)
    length = np.broadcast_to(seconds, share.shape)
    parts = [
        share > 0.9,
        share < 0.1,
        (share >= 0.1) & (share <= 0.9),
        share >= 0.5,
        share,
        np.ones_like(share),
    ]
    return np.asarray(np.column_stack(parts) * length[:, None])


def card_with(*metrics: Metric) -> Card:
    return SHIPPED.model_copy(update={"metrics": metrics})


def perfect(on: str = "lab", n: int = 100_000, value: float = 1.0) -> tuple[Metric, ...]:
    """Return recalls of one condition without doubt."""
    accuracy = Metric(name="gender accuracy", on=on, value=value, n=n, baseline=0.5)
    return (accuracy, *(Metric(name=f"{who} recall", on=on, value=value, n=n) for who in ("female", "male")))


def width(share: Share) -> float:
    assert share.low is not None
    assert share.high is not None
    return share.high - share.low


chances = st.lists(st.floats(0, 1), min_size=FEWEST, max_size=30)


@settings(max_examples=25)
@given(chances, st.integers(0, 5))
def test_an_interval_contains_the_estimate(female: list[float], seed: int) -> None:
    found = gender_shares(columns(female), KNOWN, seed)
    assert found is not None
    assert found.corrected is not None
    for share in (found.corrected, found.expected):
        assert share.low is not None
        assert share.high is not None
        assert 0 <= share.low <= share.value <= share.high <= 1
    assert found.expected.value == pytest.approx(np.mean(female), abs=1e-6)


@settings(max_examples=25)
@given(st.lists(st.lists(st.floats(0.01, 50), min_size=9, max_size=9), min_size=1, max_size=12))
def test_shares_of_age_sum_to_one(seconds: list[list[float]]) -> None:
    found = age_shares(np.array(seconds))
    assert sum(share.value for share in found) == pytest.approx(1)
    has_interval = len(seconds) >= FEWEST
    assert all((share.low is not None) == has_interval for share in found)
    if has_interval:
        assert all(0 <= (share.low or 0) <= share.value <= (share.high or 0) <= 1 for share in found)


def test_more_clusters_narrow_the_interval() -> None:
    rng = np.random.default_rng(1)
    known = KnownErrors.of(card_with(*perfect()))
    widths = []
    for clusters in (10, 100, 1000):
        found = gender_shares(columns(rng.random(clusters) < 0.3), known)
        assert found is not None
        widths.append(width(found.headline))
    assert widths[0] > 2 * widths[1] > 4 * widths[2]
    assert widths[2] == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 1000), rel=0.15)


def test_known_error_is_taken_out_and_its_doubt_widens() -> None:
    # 30 % women whose every tenth is called a man: 27 % of the speech is called female, and 7 % of men's.
    female = np.repeat([1.0, 0.0], [340, 660])
    sure = gender_shares(columns(female), KnownErrors.of(card_with(*perfect(value=0.9))))
    doubtful = gender_shares(columns(female), KnownErrors.of(card_with(*perfect(value=0.9, n=60))))
    assert sure is not None
    assert doubtful is not None
    assert sure.expected.value == pytest.approx(0.34)
    assert sure.headline.value == pytest.approx((0.34 + 0.9 - 1) / 0.8, abs=0.01)
    assert width(doubtful.headline) > 1.5 * width(sure.headline)


def test_conditions_that_differ_widen_and_a_hopeless_one_is_left_out() -> None:
    metrics = (*perfect(), *perfect("street", value=0.85), *perfect("storm", value=0.6))
    known = KnownErrors.of(card_with(*metrics))
    assert [error.name for error in known.genders] == ["lab", "street"]
    female = np.repeat([1.0, 0.0], [400, 600])
    both, one = (
        gender_shares(columns(female), each) for each in (known, KnownErrors.of(card_with(*perfect())))
    )
    assert both is not None
    assert one is not None
    assert (both.headline.low or 0) < 0.36 < (one.headline.low or 0) < (one.headline.high or 0)


def test_what_was_never_heard_is_not_ruled_out() -> None:
    found = gender_shares(columns(np.zeros(20)), KnownErrors())
    assert found is not None
    assert found.corrected is None
    assert found.headline.value == 0
    assert 0.02 < (found.headline.high or 0) < 0.3


def test_few_clusters_have_no_interval_and_none_no_share() -> None:
    found = gender_shares(columns([0.9, 0.1, 0.2]), KNOWN)
    assert found is not None
    assert found.headline.low is None
    assert gender_shares(columns([]), KNOWN) is None
    assert age_shares(np.zeros((3, 9))) == [Share(0.0)] * 9


def test_the_shipped_card_has_its_conditions() -> None:
    names = [error.name for error in KNOWN.genders]
    assert "Common Voice, noisy 8 kHz telephone" in names
    assert "Common Voice, babble at 0 dB" not in names
    recorded = KNOWN.genders[names.index("Common Voice, as recorded")]
    # Worth as many speakers as there were of each gender, not as many clips.
    assert 150 < sum(recorded.female) < 400 < sum(recorded.male) < 1300


def test_the_truth_is_held_about_as_often_as_said() -> None:
    rng = np.random.default_rng(3)
    known = KnownErrors.of(card_with(*perfect(value=0.9, n=400)))
    held = 0
    for trial in range(60):
        is_female = rng.random(60) < 0.31
        called = np.where(rng.random(60) < 0.9, is_female, ~is_female)
        found = gender_shares(columns(called), known, trial)
        assert found is not None
        held += (found.headline.low or 0) <= 0.31 <= (found.headline.high or 0)
    assert 53 <= held <= 60
