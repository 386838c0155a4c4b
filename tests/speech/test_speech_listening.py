from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from voice_toys import FEATURES, MAN, WOMAN, dialogue, say, silence
from voxtrait.features import build_features
from voxtrait.listening import FeatureWindow, Heard, Listener
from voxtrait.speech import SpeechDetector

DETECTOR = SpeechDetector()
EXTRACTOR = build_features("mel-voice", FEATURES)


def listen(
    samples: NDArray[np.float32], block: int = 160_000, keep: int | None = None, window: float = 2.0
) -> tuple[list[FeatureWindow], int]:
    heard = Heard()
    blocks = (samples[first : first + block] for first in range(0, samples.size, block))
    windows = list(Listener(DETECTOR, EXTRACTOR, window, keep).windows(blocks, heard))
    return windows, heard.speech


def places(windows: list[FeatureWindow]) -> list[tuple[int, int]]:
    return [(piece.start, piece.end) for window in windows for piece in window.pieces]


@pytest.fixture(scope="module")
def talk() -> NDArray[np.float32]:
    return np.concatenate([silence(0.4), dialogue(10, pause=0.8)])


@pytest.mark.parametrize("block", [500, 16_000, 10**9])
def test_the_same_windows_whatever_the_blocks(talk: NDArray[np.float32], block: int) -> None:
    expected, speech = listen(talk)
    found, heard = listen(talk, block)
    assert heard == speech
    assert places(found) == places(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)


def test_windows_hold_the_features_of_their_own_samples(talk: NDArray[np.float32]) -> None:
    for window in listen(talk)[0]:
        speech = np.concatenate([talk[piece.start : piece.end] for piece in window.pieces])
        np.testing.assert_array_equal(window.frames, EXTRACTOR.extract(speech))
        assert window.weight == speech.size


def test_all_speech_is_in_the_windows(talk: NDArray[np.float32]) -> None:
    windows, speech = listen(talk)
    assert sum(window.weight for window in windows) == speech
    assert speech == sum(span.size for span in DETECTOR.spans(talk))


@pytest.mark.parametrize("keep", [8, 20, 30])
def test_thinning_keeps_weights_that_sum_to_the_speech(talk: NDArray[np.float32], keep: int) -> None:
    every, speech = listen(talk, window=0.8)
    kept, heard = listen(talk, keep=keep, window=0.8)
    assert heard == speech
    assert len(kept) < len(every)
    assert set(places(kept)) <= set(places(every))
    strides = [round(window.weight / sum(piece.size for piece in window.pieces)) for window in kept]
    assert strides == [2 ** (place // keep) for place in range(len(kept))]
    # Windows differ a little in size, and the last one may stand for some that never came.
    assert sum(window.weight for window in kept) == pytest.approx(speech, rel=0.12)


def test_nothing_is_thinned_below_the_limit(talk: NDArray[np.float32]) -> None:
    every, _ = listen(talk)
    assert places(listen(talk, keep=len(every) + 1)[0]) == places(every)


def test_silence_gives_no_window() -> None:
    assert listen(silence(5)) == ([], 0)


def test_memory_does_not_grow_with_the_recording() -> None:
    """A block of four seconds ends a span every time, which once kept the whole recording."""
    turn = np.concatenate([say(voice=MAN), silence(0.5), say(voice=WOMAN), silence(0.5)])

    def most_of(turns: int) -> int:
        def blocks() -> Iterator[Any]:
            for _ in range(turns):
                yield turn.copy()

        tracemalloc.start()
        for _ in Listener(DETECTOR, EXTRACTOR, 2.0, 1).windows(blocks(), Heard()):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert most_of(30) < most_of(6) + 2 * turn.nbytes
