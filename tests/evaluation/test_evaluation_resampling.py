"""All draws at once give what one draw after the other gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrait.evaluation.resampling import DRAWS, Resamples, Statistic, figures_of, interval, ratio

Rows = NDArray[np.int64]


def plain_bootstrap(statistic: Callable[[Rows], float], speakers: list[str], seed: int = 0) -> list[float]:
    """Return a statistic of the recordings, then of the recordings of each resampled set of speakers."""
    names = sorted(set(speakers))
    of_speaker = [[row for row, name in enumerate(speakers) if name == each] for each in names]
    rng = np.random.default_rng(seed)
    found = [statistic(np.arange(len(speakers)))]
    for _ in range(DRAWS):
        drawn = rng.integers(len(names), size=len(names))
        found.append(statistic(np.array([row for speaker in drawn for row in of_speaker[speaker]])))
    return found


def total(values: NDArray[np.float64], rows: Rows) -> float:
    return float(values[rows].sum())


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[str], NDArray[np.float64]]:
    speakers = draw(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=20))
    values = draw(st.lists(st.floats(-100, 100, width=16), min_size=len(speakers), max_size=len(speakers)))
    return speakers, np.array(values)


@settings(max_examples=8)
@given(recordings())
def test_the_mean_over_all_draws(made: tuple[list[str], NDArray[np.float64]]) -> None:
    speakers, values = made
    expected = plain_bootstrap(lambda rows: float(values[rows].mean()), speakers)
    resamples = Resamples(np.array(speakers))
    assert resamples.speakers == len(set(speakers))
    np.testing.assert_allclose(resamples.mean(values), expected, atol=1e-9)


@settings(max_examples=6)
@given(recordings(), st.data())
def test_sums_and_counts_over_all_draws(
    made: tuple[list[str], NDArray[np.float64]], data: st.DataObject
) -> None:
    speakers, values = made
    cells = np.array([data.draw(st.integers(0, 2)) for _ in speakers])
    resamples = Resamples(np.array(speakers))
    counts, weighted = resamples.counts(cells, 3), resamples.counts(cells, 3, values)
    for cell in range(3):
        member = (cells == cell).astype(np.float64)
        number = plain_bootstrap(partial(total, member), speakers)
        np.testing.assert_allclose(counts[:, cell], number)
        np.testing.assert_allclose(resamples.sums(member[:, None])[:, 0], number)
        expected = plain_bootstrap(partial(total, values * member), speakers)
        np.testing.assert_allclose(weighted[:, cell], expected, atol=1e-9)


def test_many_speakers_are_summed_block_by_block() -> None:
    speakers = np.arange(5000) % 4500
    sums = Resamples(speakers).sums(np.column_stack([np.ones(5000), speakers]))
    assert sums[0].tolist() == [5000, speakers.sum()]
    # Each draw has 4500 speakers, of whom a ninth has two recordings.
    assert sums[1:, 0].mean() == pytest.approx(5000, rel=0.001)


def test_an_interval_narrows_with_the_speakers_not_with_their_recordings() -> None:
    rng = np.random.default_rng(1)
    voices = rng.normal(size=100)

    def width(speakers: int, each: int) -> float:
        resamples = Resamples(np.repeat(np.arange(speakers), each))
        _, low, high = interval(resamples.mean(np.repeat(voices[:speakers], each)), speakers)
        return high - low

    assert width(25, 1) == pytest.approx(width(25, 40))
    assert width(100, 1) < 0.7 * width(25, 1)


def test_one_speaker_has_no_interval_and_nothing_has_no_figure() -> None:
    resamples = Resamples(np.array(["ann", "ann"]))
    known = Statistic("accuracy", resamples.mean(np.array([1.0, 0.0])), 0.5)
    nothing = Statistic("recall", resamples.mean(np.array([1.0, 0.0]), np.zeros(2)))
    (figure,) = figures_of([known, nothing], resamples.speakers)
    assert figure.to_dict() == {
        "name": "accuracy", "value": 0.5, "low": None, "high": None, "speakers": 1, "baseline": 0.5,
    }  # fmt: skip


def test_nothing_over_nothing_is_no_number() -> None:
    found = ratio(np.array([1.0, 0.0, 2.0]), np.array([2.0, 0.0, 0.0]))
    assert found[0] == 0.5
    assert np.isnan(found[1:]).all()
