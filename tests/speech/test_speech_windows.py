from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrait.speech import Span, Window, WindowCutter
from voxtrait.speech.windows import plan_parts

WINDOW, PAUSE = 60, 10
#: A span after a gap, both in samples; some spans are longer than several windows.
SPANS = st.lists(st.tuples(st.integers(0, 25), st.integers(1, 300)), max_size=25)


def laid_out(gaps: list[tuple[int, int]]) -> list[Span]:
    spans, place = [], 0
    for gap, size in gaps:
        spans.append(Span(place + gap, place + gap + size))
        place = spans[-1].end
    return spans


def cut(spans: list[Span], window: int = WINDOW, pause: int = PAUSE) -> list[Window]:
    """Cut spans of a recording in which each sample is its own number."""
    cutter = WindowCutter(window, pause)
    windows = []
    for span in spans:
        windows += cutter.feed(span, np.arange(span.start, span.end, dtype=np.float32))
    return windows + cutter.finish()


@given(st.integers(1, 10_000), st.integers(1, 400))
def test_parts_sum_up_and_are_near_a_window(size: int, window: int) -> None:
    parts = plan_parts(size, window)
    assert sum(parts) == size
    assert max(parts) - min(parts) <= 1
    if size < 1.5 * window:
        assert parts == [size]
    else:
        assert len(parts) > 1
        assert min(parts) > 0.75 * window - 1
        assert max(parts) < 1.25 * window + 1


@given(SPANS)
@settings(max_examples=300)
def test_each_sample_of_speech_falls_in_one_window(gaps: list[tuple[int, int]]) -> None:
    spans = laid_out(gaps)
    windows = cut(spans)
    heard = [sample for window in windows for sample in window.samples.tolist()]
    assert heard == [sample for span in spans for sample in range(span.start, span.end)]
    for window in windows:
        places = [place for piece in window.pieces for place in range(piece.start, piece.end)]
        assert places == window.samples.tolist()
        assert (window.start, window.end) == (places[0], places[-1] + 1)


@given(SPANS)
@settings(max_examples=300)
def test_windows_have_the_sizes_that_are_promised(gaps: list[tuple[int, int]]) -> None:
    windows = cut(laid_out(gaps))
    for before, window, after in zip([None, *windows], windows, [*windows[1:], None], strict=False):
        size = window.samples.size
        assert size < 1.5 * WINDOW
        begins = before is None or window.start - before.end > PAUSE
        ends = after is None or after.start - window.end > PAUSE
        # Either of the aimed size, or a share of the last two before a pause or the end, or alone.
        if size != WINDOW and not (begins and ends):
            assert 0.75 * WINDOW - 1 < size < 1.25 * WINDOW + 1
        if size < WINDOW // 2:
            assert after is None, "only the end leaves less than half a window"


@given(SPANS)
def test_a_pause_inside_a_window_comes_in_its_first_half(gaps: list[tuple[int, int]]) -> None:
    for window in cut(laid_out(gaps)):
        size = 0
        for piece, following in zip(window.pieces, window.pieces[1:], strict=False):
            size += piece.size
            assert following.start - piece.end <= PAUSE or size < WINDOW // 2 or size > WINDOW


@given(SPANS, st.integers(1, 200), st.integers(0, 30))
def test_what_waits_is_bounded(gaps: list[tuple[int, int]], window: int, pause: int) -> None:
    cutter = WindowCutter(window, pause)
    taken = given_out = 0
    for span in laid_out(gaps):
        taken += span.size
        given_out += sum(w.samples.size for w in cutter.feed(span, np.zeros(span.size, np.float32)))
        assert taken - given_out < 2.5 * window


def test_a_change_of_voice_after_a_pause_does_not_share_a_window() -> None:
    windows = cut([Span(0, 40), Span(60, 100)])
    assert [(window.start, window.end) for window in windows] == [(0, 40), (60, 100)]


def test_single_words_share_a_window() -> None:
    assert len(cut([Span(0, 10), Span(100, 110), Span(200, 215)])) == 1


def test_nothing_gives_no_window() -> None:
    assert cut([]) == []


@pytest.mark.parametrize(("size", "sizes"), [(60, [60]), (89, [89]), (90, [45, 45]), (250, [60, 60, 65, 65])])
def test_sizes(size: int, sizes: list[int]) -> None:
    assert [window.samples.size for window in cut([Span(0, size)])] == sizes
