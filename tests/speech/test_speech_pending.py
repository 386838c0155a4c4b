from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_toys import FEATURES, dialogue, say, silence
from voxtrait.features import build_features
from voxtrait.listening import Heard, Listener
from voxtrait.speech import Span, SpanFinder, SpeechDetector, SpeechSettings, WindowCutter

SHORT = SpeechSettings(shortest=2, silence=3, longest=12)
DETECTOR = SpeechDetector()


@given(st.lists(st.sampled_from([0.0, 0.3, 0.4, 0.6, 0.9]), max_size=60), st.integers(0, 60))
def test_what_is_pending_is_what_the_end_would_close(probabilities: list[float], cut: int) -> None:
    running, ended = SpanFinder(SHORT), SpanFinder(SHORT)
    frames = np.array(probabilities[:cut], np.float32)
    assert running.feed(frames) == ended.feed(frames)
    pending = running.pending
    assert ([] if pending is None else [pending]) == ended.finish()
    assert running.pending == pending


def test_somebody_speaks_while_they_do() -> None:
    stream = DETECTOR.stream()
    stream.feed(silence(1))
    assert not stream.speaking
    assert stream.pending is None
    stream.feed(say()[:32_000])
    assert stream.speaking
    pending = stream.pending
    assert pending is not None
    assert pending.size > 24_000
    stream.feed(silence(2))
    assert not stream.speaking


def test_a_copy_of_a_cutter_is_another() -> None:
    cutter = WindowCutter(100, 50)
    cutter.feed(Span(0, 90), np.arange(90, dtype=np.float32))
    copy = cutter.copy()
    (left,) = copy.finish()
    assert left.pieces == (Span(0, 90),)
    assert copy.finish() == []
    (same,) = cutter.finish()
    np.testing.assert_array_equal(same.samples, left.samples)


@pytest.mark.parametrize("seconds", [1.7, 6.0, 13.3, 20.0])
def test_unfinished_windows_are_those_of_the_end(seconds: float) -> None:
    samples = dialogue(6)[: round(seconds * 16_000 / 512) * 512]
    extractor = build_features("mel-voice", FEATURES)
    listener = Listener(DETECTOR, extractor, 2.0, None)
    stream = listener.stream(Heard())
    before = stream.feed(samples)
    unfinished = [listener.extract(window) for window in stream.unfinished()]
    assert [window.pieces for window in before if window in unfinished] == []
    last = stream.finish()
    assert [window.pieces for window in unfinished if window] == [window.pieces for window in last]
    for one, other in zip(unfinished, last, strict=True):
        assert one is not None
        np.testing.assert_array_equal(one.frames, other.frames)
