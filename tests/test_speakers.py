from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrait.speakers import group_voices


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
