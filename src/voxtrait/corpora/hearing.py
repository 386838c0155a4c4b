"""Recordings decoded and listened to in parallel processes: what is in each of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, AudioStream, open_audio
from voxtrait.bundle import DEFAULT_BUNDLE, load_bundle
from voxtrait.errors import AudioError
from voxtrait.features import build_features
from voxtrait.listening import Heard, Listener
from voxtrait.parallel import map_in_order
from voxtrait.preprocess import build_preprocessor
from voxtrait.results import Problem
from voxtrait.scoring import Judge, Scores
from voxtrait.speech import SpeechDetector

__all__ = ["Hearing", "Recording", "hear_all"]

#: Recordings that a process is given at once.
_CHUNK: Final = 8
#: A recording's windows before every second one is left out: its voice is known by then.
_KEEP: Final = 20


@dataclass(frozen=True)
class Recording:
    """A recording to hear: its path, its bytes where it lies in an archive, and whether its voice counts."""

    path: str
    content: bytes | None = None
    voice: bool = True


@dataclass(frozen=True)
class Hearing:
    """What is in a recording.

    Attributes:
        path: the recording.
        duration, speech: in seconds; 0 if it cannot be heard.
        digest: of its samples at 16 kHz and 16 bits: the same for any two files, of whatever format and
            tags, that decode to the same audio; empty if it cannot be heard.
        voice: unit vector (E,) of its speech, as the default bundle hears it; None if not asked for, or
            if there is too little speech.
        error: why it cannot be heard.
        warnings: what was odd (``truncated``, ``damaged``).
    """

    path: str
    duration: float = 0.0
    speech: float = 0.0
    digest: str = ""
    voice: NDArray[np.float16] | None = None
    error: Problem | None = None
    warnings: tuple[Problem, ...] = ()


def hear_all(recordings: Iterable[Recording], workers: int) -> Generator[Hearing]:
    """Yield what is in each recording, in order; a bad one says why and stops nothing.

    Args:
        recordings: drawn as they are needed.
        workers: processes.

    Raises:
        CorpusError: ``corpus_reader`` if a process dies.
    """
    for heard in map_in_order(_hear_chunk, _chunks(recordings), workers, name=lambda chunk: chunk[0].path):
        yield from heard


def _chunks(recordings: Iterable[Recording]) -> Iterator[list[Recording]]:
    queue = iter(recordings)
    while chunk := list(islice(queue, _CHUNK)):
        yield chunk


_ear: _Ear | None = None


def _hear_chunk(chunk: list[Recording]) -> list[Hearing]:
    global _ear
    if _ear is None:
        _ear = _Ear()
    return [_ear.hear(recording) for recording in chunk]


class _Ear:
    """Detector, features and model of one process."""

    def __init__(self) -> None:
        bundle = load_bundle(DEFAULT_BUNDLE)
        card = bundle.card
        features = build_features(card.features.name, card.features.config)
        preprocess = build_preprocessor(card.preprocess)
        self._detector = SpeechDetector()
        self._listener = Listener(self._detector, features, card.window, _KEEP, preprocess)
        self._judge = Judge(bundle, threads=1, width=features.size)
        self._min_speech = card.min_speech

    def hear(self, recording: Recording) -> Hearing:
        source = recording.path if recording.content is None else recording.content
        try:
            with open_audio(source) as stream:
                return self._hear(recording, stream)
        except AudioError as error:
            return Hearing(recording.path, error=Problem(error.code, error.message))

    def _hear(self, recording: Recording, stream: AudioStream) -> Hearing:
        digest = blake2b(digest_size=16)
        blocks = _digested(stream, digest)
        voice = None
        if recording.voice:
            heard = Heard()
            scores = self._judge.score(list(self._listener.windows(blocks, heard)))
            speech = heard.speech / SAMPLE_RATE
            if scores and speech >= self._min_speech:
                # Half precision: a corpus has millions of them, and distances differ by far more.
                voice = Scores.of(scores).direction().astype(np.float16)
        else:
            detection = self._detector.stream()
            spans = [span for block in blocks for span in detection.feed(block)] + detection.finish()
            speech = sum(span.size for span in spans) / SAMPLE_RATE
        return Hearing(
            recording.path,
            stream.duration,
            speech,
            digest.hexdigest(),
            voice,
            warnings=tuple(stream.warnings),
        )


def _digested(blocks: Iterable[NDArray[np.float32]], digest: Any) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        digest.update(np.round(block * 32767).astype("<i2").tobytes())
        yield block
