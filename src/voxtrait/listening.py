"""One recording -> windows of features: decode, detect speech, cut, extract, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.features import FeatureExtractor
from voxtrait.preprocess import Preprocessor
from voxtrait.speech import Span, SpeechDetector, Window, WindowCutter

__all__ = ["FeatureWindow", "Heard", "Listener"]

#: A longer pause ends a window, so that two voices taking turns seldom share one.
_PAUSE = SAMPLE_RATE // 2


@dataclass(frozen=True)
class FeatureWindow:
    """A window ready for the model.

    Attributes:
        pieces: where its speech lies, in samples.
        frames: features, shape (T, F).
        weight: samples of speech that it stands for; more than its own where others were left out.
    """

    pieces: tuple[Span, ...]
    frames: NDArray[np.float32]
    weight: int


@dataclass
class Heard:
    """What is known of a recording beside its windows: ``speech`` in samples so far."""

    speech: int = 0


class Listener:
    """Cuts recordings into windows of features.

    Args:
        detector: finds speech.
        extractor: the features that the model reads.
        window: seconds of speech in a window.
        keep: windows of a recording after which only every second is kept, after as many more every
            fourth, and so on: an answer for a whole file gains nothing from the ten-thousandth window.
            None keeps all.
        preprocess: what is done to the speech of each window before its features are extracted.
    """

    def __init__(
        self,
        detector: SpeechDetector,
        extractor: FeatureExtractor,
        window: float,
        keep: int | None,
        preprocess: Preprocessor | None = None,
    ) -> None:
        self._detector = detector
        self._extractor = extractor
        self._window = round(window * SAMPLE_RATE)
        self._keep = keep
        self._preprocess = preprocess or Preprocessor()

    def windows(self, blocks: Iterable[NDArray[np.float32]], heard: Heard) -> Iterator[FeatureWindow]:
        """Yield the windows of a recording, given in blocks (n,), in order and fill ``heard`` meanwhile.

        Raises:
            AudioError: if the recording turns out not to be audio.
        """
        cutter = WindowCutter(self._window, _PAUSE)
        stride, kept, seen = 1, 0, 0
        for window in self._cut(blocks, cutter, heard):
            place, seen = seen % stride, seen + 1
            if place:
                continue
            extracted = self._extract(window, stride)
            if extracted is None:
                continue
            yield extracted
            kept += 1
            if self._keep and kept == self._keep:
                stride, kept, seen = stride * 2, 0, 0

    def _cut(
        self, blocks: Iterable[NDArray[np.float32]], cutter: WindowCutter, heard: Heard
    ) -> Iterator[Window]:
        speech = self._detector.stream()
        buffer = _Buffer()
        for block in blocks:
            buffer.append(block)
            yield from self._take(speech.feed(block), buffer, cutter, heard)
            buffer.forget(speech.settled)
        yield from self._take(speech.finish(), buffer, cutter, heard)
        yield from cutter.finish()

    def _take(
        self, spans: list[Span], buffer: _Buffer, cutter: WindowCutter, heard: Heard
    ) -> Iterator[Window]:
        for span in spans:
            heard.speech += span.size
            yield from cutter.feed(span, buffer.cut(span))

    def _extract(self, window: Window, stride: int) -> FeatureWindow | None:
        frames = self._extractor.extract(self._preprocess(window.samples))
        if not len(frames):
            return None
        return FeatureWindow(window.pieces, frames, window.samples.size * stride)


class _Buffer:
    """The samples that speech may still be cut from."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.float32]] = []
        self._first = 0

    def append(self, block: NDArray[np.float32]) -> None:
        self._blocks.append(block)

    def cut(self, span: Span) -> NDArray[np.float32]:
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0][span.start - self._first : span.end - self._first].copy()

    def forget(self, before: int) -> None:
        while self._blocks and self._first < before:
            # A part of a block goes too: where every block ends a span, they are all one by now.
            head = self._blocks.pop(0)
            rest = head[before - self._first :]
            self._first += head.size - rest.size
            if rest.size:
                self._blocks.insert(0, rest)
