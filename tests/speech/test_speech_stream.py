from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from voice_toys import MAN, RATE, SPOKEN, WOMAN, dialogue, say, silence
from voxtrait.speech import FRAME, Span, SpeechDetector

Array = NDArray[np.float32]

DETECTOR = SpeechDetector()


@pytest.fixture(scope="module")
def talk() -> Array:
    return np.concatenate([silence(0.7), dialogue(4), silence(2.3), say()])


def in_blocks(samples: Array, sizes: list[int]) -> list[Span]:
    stream, found, first, turn = DETECTOR.stream(), [], 0, 0
    while first < samples.size:
        size = sizes[turn % len(sizes)]
        found += stream.feed(samples[first : first + size])
        first, turn = first + size, turn + 1
    return found + stream.finish()


@pytest.mark.parametrize("sizes", [[160_000], [512], [511, 1, 513], [100, 4000, 0, 7], [163_840]])
def test_the_same_spans_whatever_the_blocks(talk: Array, sizes: list[int]) -> None:
    whole = DETECTOR.spans(talk)
    assert len(whole) >= 5
    assert in_blocks(talk, sizes) == whole


@pytest.mark.parametrize("gain", [0.3, 0.05, 0.02])
def test_quiet_speech_is_found_too(talk: Array, gain: float) -> None:
    quiet = talk * np.float32(gain)
    found, expected = DETECTOR.spans(quiet), DETECTOR.spans(talk)
    assert sum(s.size for s in found) == pytest.approx(sum(s.size for s in expected), rel=0.1)
    assert in_blocks(quiet, [100, 4000, 0, 7]) == found


def test_speech_is_found_where_it_is(talk: Array) -> None:
    spans = DETECTOR.spans(talk)
    marked = np.zeros(talk.size, bool)
    for start, end in spans:
        marked[start:end] = True
    frames = talk[: talk.size // FRAME * FRAME].reshape(-1, FRAME)
    loud = np.repeat(np.sqrt((frames**2).mean(1)) > 0.05, FRAME)
    assert marked[: loud.size][loud].mean() > 0.95
    quiet = np.convolve(np.abs(talk), np.ones(RATE // 2), "same") == 0
    assert not marked[quiet].any()


def test_spans_are_in_order_and_inside(talk: Array) -> None:
    for cut_at in (talk.size, talk.size - 1, 40_000, 40_001):
        spans = DETECTOR.spans(talk[:cut_at])
        assert all(0 <= span.start < span.end <= cut_at for span in spans)
        assert all(one.end < other.start for one, other in pairwise(spans))


@pytest.mark.parametrize("level", [0.0, 1e-5, 0.001, 0.03, 0.3])
def test_silence_and_noise_are_no_speech(level: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1, 20 * RATE).clip(-3, 3) * level
    assert DETECTOR.spans(noise.astype(np.float32)) == []


@pytest.mark.parametrize("hertz", [50, 440, 3000])
def test_a_tone_is_no_speech(hertz: float) -> None:
    tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(10 * RATE) / RATE)
    assert DETECTOR.spans(tone.astype(np.float32)) == []


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_almost_nothing_is_no_speech(size: int) -> None:
    assert DETECTOR.spans(np.full(size, 0.1, np.float32)) == []


def test_a_stream_that_ends_may_be_asked_again() -> None:
    stream = DETECTOR.stream()
    found = [*stream.feed(say()), *stream.finish()]
    assert found
    assert stream.finish() == []


def test_no_span_begins_before_what_is_settled(talk: Array) -> None:
    stream, settled = DETECTOR.stream(), 0
    for first in range(0, talk.size, 3000):
        assert all(span.start >= settled for span in stream.feed(talk[first : first + 3000]))
        assert settled <= stream.settled <= min(first + 3000, talk.size)
        settled = stream.settled
    assert all(span.start >= settled for span in stream.finish())


def test_one_detector_serves_threads() -> None:
    recordings = [say(SPOKEN, voice) for voice in (MAN, WOMAN)] * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(DETECTOR.spans, recordings))
    assert found == [DETECTOR.spans(recording) for recording in recordings[:2]] * 4
