"""Voice activity detection: Silero VAD through ONNX Runtime, its state carried across blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.speech.spans import Span, SpanFinder, SpeechSettings

__all__ = ["FRAME", "SpeechDetector", "SpeechStream"]

#: Samples of a frame: 32 ms.
FRAME: Final = 512
_CONTEXT: Final = 64
#: Frames a call (10 s): enough to hide the cost of a call, little enough to stay in the cache.
_MAX_FRAMES: Final = 320
#: Recordings whose loudest sample so far is below this are raised to it, at most so many times: the
#: detector is deaf to quiet speech.
_QUIET: Final = 0.05
_MOST_GAIN: Final = 10.0
_MODEL: Final = Path(__file__).parent.parent / "weights" / "silero-vad" / "model.onnx"


class SpeechDetector:
    """The detector's model; one serves any number of streams and threads.

    Args:
        settings: how probabilities become spans.
    """

    def __init__(self, settings: SpeechSettings | None = None) -> None:
        import onnxruntime

        self.settings = settings or SpeechSettings()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session: Any = onnxruntime.InferenceSession(
            str(_MODEL), options, providers=["CPUExecutionProvider"]
        )

    def stream(self) -> SpeechStream:
        """Start a recording."""
        return SpeechStream(self)

    def spans(self, samples: NDArray[np.float32]) -> list[Span]:
        """Return the spans of a whole recording, shape (n,)."""
        stream = self.stream()
        return [*stream.feed(samples), *stream.finish()]


class SpeechStream:
    """One recording's way through the detector: feed blocks of any size, get spans of samples."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._session = detector.session
        self._finder = SpanFinder(detector.settings)
        self._hidden = np.zeros((1, 1, 128), dtype=np.float32)
        self._cell = np.zeros((1, 1, 128), dtype=np.float32)
        self._context = np.zeros(_CONTEXT, dtype=np.float32)
        self._rest = np.zeros(0, dtype=np.float32)
        self._seen = 0
        self._peak = _QUIET / _MOST_GAIN

    @property
    def settled(self) -> int:
        """No span yet to come begins before this sample."""
        return self._finder.settled * FRAME

    @property
    def pending(self) -> Span | None:
        """The span that is not closed yet, up to the last whole frame; None if there is none."""
        frames = self._finder.pending
        return None if frames is None else Span(frames[0] * FRAME, frames[1] * FRAME)

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks in the last whole frame."""
        return self._finder.speaking

    def feed(self, block: NDArray[np.float32]) -> list[Span]:
        """Take the next samples, shape (n,), and return the spans that they close."""
        self._seen += block.size
        samples = np.concatenate([self._rest, block]) if self._rest.size else block
        whole = samples.size - samples.size % FRAME
        self._rest = samples[whole:].copy()
        return self._detect(samples[:whole])

    def finish(self) -> list[Span]:
        """Take the end of the recording and return the last spans."""
        spans = []
        if self._rest.size:
            spans = self._detect(np.pad(self._rest, (0, FRAME - self._rest.size)))
            self._rest = self._rest[:0]
        spans += self._spans(self._finder.finish())
        return [Span(start, min(end, self._seen)) for start, end in spans if start < self._seen]

    def _spans(self, frames: list[tuple[int, int]]) -> list[Span]:
        return [Span(start * FRAME, end * FRAME) for start, end in frames]

    def _detect(self, samples: NDArray[np.float32]) -> list[Span]:
        spans = []
        for first in range(0, samples.size, FRAME * _MAX_FRAMES):
            frames = self._raised(samples[first : first + FRAME * _MAX_FRAMES].reshape(-1, FRAME))
            rows = np.empty((len(frames), _CONTEXT + FRAME), np.float32)
            rows[:, _CONTEXT:] = frames
            rows[0, :_CONTEXT] = self._context
            rows[1:, :_CONTEXT] = frames[:-1, -_CONTEXT:]
            self._context = frames[-1, -_CONTEXT:].copy()
            probabilities, self._hidden, self._cell = self._session.run(
                ["speech_probs", "hn", "cn"], {"input": rows, "h": self._hidden, "c": self._cell}
            )
            spans += self._spans(self._finder.feed(probabilities.reshape(-1)))
        return spans

    def _raised(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raise quiet frames, shape (n, FRAME), by what is known of the level up to each of them."""
        loudest = np.maximum(frames.max(axis=1), -frames.min(axis=1))
        peaks = np.maximum.accumulate(np.maximum(loudest, self._peak))
        self._peak = float(peaks[-1])
        if peaks[0] >= _QUIET:
            return frames
        return np.asarray(frames * np.maximum(_QUIET / peaks, 1.0)[:, None], dtype=np.float32)
