from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrait.speakers import group_voices, trace_voices


def voices(labels: list[int], spread: float = 0.15, seed: int = 0) -> NDArray[np.float32]:
    """Return an embedding of 32 values for each label: near one another for the same label alone."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(32, 32)))[0]
    found = centres[labels] + spread * rng.normal(size=(len(labels), 32)) / np.sqrt(32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def by_first_appearance(labels: list[int]) -> list[int]:
    order = list(dict.fromkeys(labels))
    return [order.index(label) for label in labels]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.integers(0, 100))
@settings(max_examples=60)
def test_voices_are_told_apart_and_numbered_by_their_first_words(labels: list[int], seed: int) -> None:
    found = group_voices(voices(labels, seed=seed), np.ones(len(labels)), 0.5)
    assert found.tolist() == by_first_appearance(labels)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0.1, 30), st.floats(0.01, 100)), min_size=1, max_size=30)
)
@settings(max_examples=40)
def test_neither_length_nor_loudness_makes_a_voice(windows: list[tuple[int, float, float]]) -> None:
    labels = [label for label, _, _ in windows]
    seconds = np.array([size for _, size, _ in windows])
    scale = np.array([[scale] for _, _, scale in windows], np.float32)
    assert group_voices(voices(labels) * scale, seconds, 0.5).tolist() == by_first_appearance(labels)


def test_the_threshold_decides() -> None:
    labels = [0, 1, 0, 1, 2]
    embeddings, seconds = voices(labels), np.ones(5)
    assert group_voices(embeddings, seconds, 0.5).tolist() == labels
    assert group_voices(embeddings, seconds, 2.0).tolist() == [0] * 5
    assert group_voices(embeddings, seconds, 0.0).tolist() == [0, 1, 2, 3, 4]


def test_one_window_and_none() -> None:
    assert group_voices(voices([3]), np.ones(1), 0.5).tolist() == [0]
    assert group_voices(np.zeros((0, 32), np.float32), np.zeros(0), 0.5).tolist() == []


def test_the_same_voice_twice_at_distance_nought() -> None:
    embedding = np.tile(voices([0]), (4, 1))
    assert group_voices(embedding, np.ones(4), 0.1).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("count", [600, 601, 5000])
def test_long_recordings(count: int) -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.integers(0, 4, count // 10 + 1), 10)[:count].tolist()
    began = time.process_time()
    found = group_voices(voices(labels), rng.uniform(0.5, 4, count), 0.5)
    assert found.tolist() == by_first_appearance(labels)
    assert time.process_time() - began < 20


Pieces = list[tuple[int, float]]


def heard_as(turns: list[Pieces], spread: float = 0.1) -> tuple[NDArray[np.float32], list[list[float]]]:
    """Return the embedding of each window, of which the voice of each piece has its share, and the pieces."""
    rng = np.random.default_rng(3)
    centres = np.linalg.qr(rng.normal(size=(32, 32)))[0]
    shares = np.array([sum(size * centres[voice] for voice, size in pieces) for pieces in turns])
    units = shares / np.linalg.norm(shares, axis=1, keepdims=True)
    noise = spread * rng.normal(size=units.shape) / np.sqrt(32)
    return np.asarray(units + noise, np.float32), [[size for _, size in pieces] for pieces in turns]


def traced(turns: list[Pieces], spread: float = 0.1) -> list[list[int]]:
    return [voices.tolist() for voices in trace_voices(*heard_as(turns, spread), 0.5)]


def numbered(turns: list[Pieces]) -> list[list[int]]:
    order = by_first_appearance([voice for pieces in turns for voice, _ in pieces])
    return [[order.pop(0) for _ in pieces] for pieces in turns]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(4, 8), st.floats(0.3, 0.7)), min_size=1, max_size=12),
    st.integers(0, 2),
)
@settings(max_examples=40)
def test_windows_are_divided_where_the_voice_changes(
    turns: list[tuple[int, int, float]], undivided: int
) -> None:
    windows: list[Pieces] = []
    for number, (voice, count, share) in enumerate(turns):
        if number and turns[number - 1][0] != voice and number % 3 != undivided:
            windows.append([(turns[number - 1][0], 3 * share), (voice, 3 - 3 * share)])
        windows += [[(voice, 1.5), (voice, 1.5)]] * count
    assert traced(windows) == numbered(windows)


def test_a_window_between_two_voices_is_no_third() -> None:
    windows: list[Pieces] = [[(0, 3.0)]] * 4 + [[(0, 1.5), (1, 1.5)]] * 3 + [[(1, 3.0)]] * 4
    found = traced(windows)
    assert {voice for pieces in found for voice in pieces} == {0, 1}
    assert found[:4] + found[-4:] == [[0]] * 4 + [[1]] * 4


def test_an_odd_sound_is_no_voice_but_a_short_answer_of_seconds_is() -> None:
    long: list[Pieces] = [[(0, 3.0)]] * 20
    assert traced([*long, [(1, 1.0)], *long]) == [[0]] * 41
    assert traced([*long, [(1, 3.0)], *long]) == [[0]] * 20 + [[1]] + [[0]] * 20


def test_who_speaks_briefly_is_a_voice_where_nobody_speaks_for_long() -> None:
    answer: Pieces = [(1, 1.8)]
    assert traced([[(0, 3.0)], answer]) == [[0], [1]]
    long: list[Pieces] = [[(0, 3.0)]] * 20
    assert traced([*long, answer]) == [[0]] * 21


def test_one_voice_that_varies_stays_one() -> None:
    assert traced([[(0, 3.0)]] * 60, spread=0.5) == [[0]] * 60


def test_turns_of_one_window_and_of_none() -> None:
    assert traced([[(2, 0.5)]]) == [[0]]
    assert trace_voices(np.zeros((0, 32), np.float32), [], 0.5) == []


def test_turns_in_a_long_recording() -> None:
    rng = np.random.default_rng(1)
    windows: list[Pieces] = [
        pieces for voice in rng.integers(0, 4, 300).tolist() for pieces in [[(voice, 1.5), (voice, 1.5)]] * 10
    ]
    assert traced(windows) == numbered(windows)


@given(st.integers(1, 20), st.floats(0, 2), st.integers(0, 50))
@settings(max_examples=40)
def test_whatever_the_embeddings_every_piece_has_a_voice(count: int, threshold: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pieces = [rng.uniform(0.1, 2, int(rng.integers(1, 4))).tolist() for _ in range(count)]
    embeddings = (rng.normal(size=(count, 3)) * rng.integers(0, 2, (count, 1))).astype(np.float32)
    found = trace_voices(embeddings, pieces, threshold)
    assert [len(voices) for voices in found] == [len(sizes) for sizes in pieces]
    voices_found = np.concatenate(found).tolist()
    assert voices_found == by_first_appearance(voices_found)
