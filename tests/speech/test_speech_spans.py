from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrait.errors import UsageError
from voxtrait.speech import SpanFinder, SpeechSettings

Array = NDArray[np.float32]

DEFAULT = SpeechSettings()
SHORT = SpeechSettings(silence=4, shortest=2, longest=12)

#: Stretches of one probability each: like speech, and long enough to be cut.
PROBABILITIES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.34, 0.4, 0.49, 0.5, 0.6, 0.8, 1.0]), st.integers(1, 20)),
    max_size=30,
).map(lambda runs: np.repeat([p for p, _ in runs], [n for _, n in runs]).astype(np.float32))


@st.composite
def any_settings(draw: st.DrawFn) -> SpeechSettings:
    silence = draw(st.integers(1, 9))
    return SpeechSettings(
        silence=silence,
        shortest=draw(st.integers(1, 8)),
        pad=draw(st.integers(0, silence - 1)),
        longest=draw(st.integers(1, 40)),
    )


def spans(probabilities: list[float] | Array, how: SpeechSettings = DEFAULT) -> list[tuple[int, int]]:
    finder = SpanFinder(how)
    return [*finder.feed(np.asarray(probabilities, np.float32)), *finder.finish()]


@given(PROBABILITIES, any_settings(), st.lists(st.integers(1, 50), min_size=1))
def test_the_same_spans_whatever_the_pieces(
    probabilities: Array, how: SpeechSettings, sizes: list[int]
) -> None:
    finder, found, first = SpanFinder(how), [], 0
    while first < len(probabilities):
        size = sizes[first % len(sizes)]
        found += finder.feed(probabilities[first : first + size])
        first += size
    assert [*found, *finder.finish()] == spans(probabilities, how)


@given(PROBABILITIES, any_settings())
@settings(max_examples=300)
def test_spans_are_in_order_apart_bounded_and_hold_speech(probabilities: Array, how: SpeechSettings) -> None:
    found = spans(probabilities, how)
    for start, end in found:
        assert 0 <= start < end <= len(probabilities)
        assert end - start <= how.longest + how.silence + how.pad
    continued = set()
    for (first, end), (start, _) in pairwise(found):
        assert end <= start
        if end == start:
            assert end - first >= how.longest, "only a span cut for its length touches the next"
            continued.add(start)
    for start, end in found:
        if start not in continued:
            assert probabilities[start:end].max() >= how.convinced


@given(PROBABILITIES, any_settings())
def test_what_is_settled_stays_so(probabilities: Array, how: SpeechSettings) -> None:
    finder, settled = SpanFinder(how), 0
    for probability in probabilities:
        starts = [start for start, _ in finder.feed(np.array([probability]))]
        assert all(start >= settled for start in starts)
        assert finder.settled >= settled
        settled = finder.settled
    assert all(start >= settled for start, _ in finder.finish())


@given(PROBABILITIES)
def test_every_convincing_stretch_is_found(
    probabilities: Array,
) -> None:
    speech = np.zeros(len(probabilities), bool)
    for start, end in spans(probabilities, SHORT):
        speech[start:end] = True
    loud = np.flatnonzero(probabilities >= 0.8)
    runs = np.split(loud, np.flatnonzero(np.diff(loud) > 1) + 1)
    for run in runs:
        if len(run) >= SHORT.shortest:
            assert speech[run].all()


def test_a_span_has_its_padding() -> None:
    assert spans([0] * 10 + [0.9] * 10 + [0] * 20) == [(9, 21)]


def test_padding_stays_inside_the_recording() -> None:
    assert spans([0.9] * 10) == [(0, 10)]
    assert spans([0.9] * 10 + [0]) == [(0, 11)]


def test_a_short_gap_does_not_end_a_span() -> None:
    assert spans([0.9] * 10 + [0] * 7 + [0.9] * 10) == [(0, 27)]
    assert spans([0.9] * 10 + [0] * 8 + [0.9] * 10) == [(0, 11), (17, 28)]


def test_between_the_thresholds_a_span_goes_on_but_none_begins() -> None:
    assert spans([0.9] * 10 + [0.4] * 30) == [(0, 40)]
    assert spans([0.4] * 30) == []


@pytest.mark.parametrize("probabilities", [[0.9] * 5, [0.7] * 200, [0.45] * 50, []])
def test_the_short_and_the_unconvincing_are_dropped(probabilities: list[float]) -> None:
    assert spans([0.0] * 20 + probabilities + [0.0] * 20) == []


def test_a_long_span_is_cut_and_nothing_is_lost() -> None:
    assert spans([0.9] * 1500) == [(0, 625), (625, 1250), (1250, 1500)]


def test_the_rest_of_a_cut_is_kept_however_short() -> None:
    assert spans([0.9] * 626 + [0.0] * 20) == [(0, 625), (625, 627)]


def test_a_murmur_that_never_gets_quiet_is_cut_too() -> None:
    finder = SpanFinder(DEFAULT)
    finder.feed(np.full(10, 0.9, np.float32))
    found = finder.feed(np.full(10_000, 0.4, np.float32))
    assert [end - start for start, end in found] == [625] * 16
    assert finder.settled == 16 * 625


def test_padding_as_long_as_the_gap_is_refused() -> None:
    with pytest.raises(UsageError, match="pad=8"):
        SpeechSettings(pad=8)
