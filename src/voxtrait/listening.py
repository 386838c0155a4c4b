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

__all__ = ["FeatureWindow", "Heard", "Listener", "ListeningStream"]

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
    """Cuts recordings into windows of features; one serves any number of streams and threads.

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
        self.detector = detector
        self.window = round(window * SAMPLE_RATE)
        self.keep = keep
        self._extractor = extractor
        self._preprocess = preprocess or Preprocessor()

    def stream(self, heard: Heard) -> ListeningStream:
        """Begin a recording, of which ``heard`` is filled meanwhile."""
        return ListeningStream(self, heard)

    def windows(self, blocks: Iterable[NDArray[np.float32]], heard: Heard) -> Iterator[FeatureWindow]:
        """Yield the windows of a recording, given in blocks (n,), in order and fill ``heard`` meanwhile.

        Raises:
            AudioError: if the recording turns out not to be audio.
        """
        stream = self.stream(heard)
        for block in blocks:
            yield from stream.feed(block)
        yield from stream.finish()

    def extract(self, window: Window, stands_for: int = 1) -> FeatureWindow | None:
        """Return the features of a window that stands for so many, or None if it is too short for any."""
        frames = self._extractor.extract(self._preprocess(window.samples))
        if not len(frames):
            return None
        return FeatureWindow(window.pieces, frames, window.samples.size * stands_for)


class ListeningStream:
    """One recording on its way to windows: blocks of any size in, windows out as they are finished.

    Args:
        listener: how to listen.
        heard: filled meanwhile.
    """

    def __init__(self, listener: Listener, heard: Heard) -> None:
        self._listener = listener
        self._heard = heard
        self._speech = listener.detector.stream()
        self._cutter = WindowCutter(listener.window, _PAUSE)
        self._buffer = _Buffer()
        self._stride, self._kept, self._seen = 1, 0, 0

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks where the recording has got to."""
        return self._speech.speaking

    @property
    def pending(self) -> int:
        """Samples of speech in a span that is not closed yet."""
        span = self._speech.pending
        return span.size if span else 0

    def feed(self, block: NDArray[np.float32]) -> list[FeatureWindow]:
        """Take the next samples, shape (n,), and return the windows that they finish."""
        self._buffer.append(block)
        windows = self._take(self._speech.feed(block))
        self._buffer.forget(self._speech.settled)
        return windows

    def finish(self) -> list[FeatureWindow]:
        """Take the end of the recording and return the last windows."""
        return self._take(self._speech.finish()) + self._keep(self._cutter.finish())

    def unfinished(self) -> list[Window]:
        """Return the windows of the speech that is in no finished one, as if the recording ended here.

        They hold two and a half windows and a span of speech at most; but for the last two, those that
        come with the next samples begin and end where these do.
        """
        cutter = self._cutter.copy()
        span = self._speech.pending
        windows = cutter.feed(span, self._buffer.cut(span)) if span else []
        return windows + cutter.finish()

    def _take(self, spans: list[Span]) -> list[FeatureWindow]:
        windows: list[FeatureWindow] = []
        for span in spans:
            self._heard.speech += span.size
            windows += self._keep(self._cutter.feed(span, self._buffer.cut(span)))
        return windows

    def _keep(self, windows: list[Window]) -> list[FeatureWindow]:
        """Return the features of the windows that are not left out."""
        kept = []
        for window in windows:
            place, self._seen = self._seen % self._stride, self._seen + 1
            if place:
                continue
            extracted = self._listener.extract(window, self._stride)
            if extracted is None:
                continue
            kept.append(extracted)
            self._kept += 1
            if self._listener.keep and self._kept == self._listener.keep:
                self._stride, self._kept, self._seen = self._stride * 2, 0, 0
        return kept


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
