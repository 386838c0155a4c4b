"""Speech probabilities of frames -> spans, one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from voxtrait.errors import UsageError

__all__ = ["Span", "SpanFinder", "SpeechSettings"]


class Span(NamedTuple):
    """Samples [start, end) of speech."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class SpeechSettings:
    """How probabilities become spans; all but the thresholds in frames of 32 ms.

    Attributes:
        threshold: speech begins at this probability.
        release: it ends below this one, once ``silence`` frames in a row stay below ``threshold``.
        silence: a shorter gap does not end a span.
        shortest: a span with fewer frames is dropped.
        convinced: a span none of whose frames reaches this probability is dropped: noises that
            resemble speech seldom get there, speech nearly always does.
        pad: frames added at each end; fewer than ``silence``.
        longest: a span is cut at this many frames, so that memory stays bounded; where a short gap
            lies there, after the gap.

    Raises:
        UsageError: ``usage`` if ``pad`` is not less than ``silence``.
    """

    threshold: float = 0.5
    release: float = 0.35
    silence: int = 8
    shortest: int = 6
    convinced: float = 0.8
    pad: int = 1
    longest: int = 625

    def __post_init__(self) -> None:
        if not 0 <= self.pad < self.silence:
            raise UsageError("usage", f"pad={self.pad} must lie between 0 and silence={self.silence}.")


class SpanFinder:
    """Turns a stream of frame probabilities into spans of frames [start, end), in order.

    Spans never overlap, and touch only where one was cut for its length; feeding the stream in any
    pieces gives the same spans.
    """

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._frame = 0
        self._start: int | None = None
        self._quiet_since: int | None = None
        self._peak = 0.0
        self._rest_of_a_cut = False
        self._last_end = 0

    @property
    def settled(self) -> int:
        """No span yet to come begins before this frame."""
        return self._padded_start(self._frame if self._start is None else self._start)

    @property
    def pending(self) -> tuple[int, int] | None:
        """The span that `finish` would close now, or None."""
        if self._start is None:
            return None
        end = self._frame if self._quiet_since is None else self._quiet_since
        return self._span(self._start, end, self._frame)

    @property
    def speaking(self) -> bool:
        """Whether the last frame lies in speech that is going on."""
        return self._quiet_since is None and self.pending is not None

    def feed(self, probabilities: NDArray[np.float32]) -> list[tuple[int, int]]:
        """Take the next frames' probabilities, shape (n,), and return the spans they close."""
        settings = self._settings
        closed = []
        for probability in probabilities.tolist():
            if probability >= settings.threshold:
                if self._start is None:
                    self._start, self._peak, self._rest_of_a_cut = self._frame, 0.0, False
                self._quiet_since = None
                self._peak = max(self._peak, probability)
            elif self._start is not None:
                if self._quiet_since is None and probability < settings.release:
                    self._quiet_since = self._frame
                if self._quiet_since is not None and self._frame - self._quiet_since + 1 >= settings.silence:
                    closed += self._close(self._quiet_since, self._frame + 1)
            if (
                self._start is not None
                and self._quiet_since is None
                and self._frame - self._start + 1 >= settings.longest
            ):
                closed += self._cut()
            self._frame += 1
        return closed

    def finish(self) -> list[tuple[int, int]]:
        """Close what is still running at the end of the stream."""
        if self._start is None:
            return []
        end = self._frame if self._quiet_since is None else self._quiet_since
        return self._close(end, self._frame)

    def _cut(self) -> list[tuple[int, int]]:
        assert self._start is not None
        if self._peak < self._settings.convinced:
            self._start = None
            return []
        span = (self._padded_start(self._start), self._frame + 1)
        self._last_end = self._start = span[1]
        self._rest_of_a_cut = True
        return [span]

    def _padded_start(self, start: int) -> int:
        return max(start - self._settings.pad, self._last_end)

    def _close(self, end: int, limit: int) -> list[tuple[int, int]]:
        start, self._start, self._quiet_since = self._start, None, None
        assert start is not None
        span = self._span(start, end, limit)
        if span is None:
            return []
        # One frame stays between two spans, so that they never touch.
        self._last_end = span[1] + 1
        return [span]

    def _span(self, start: int, end: int, limit: int) -> tuple[int, int] | None:
        """Return frames [start, end) with their margins if they are speech."""
        is_speech = end - start >= self._settings.shortest and self._peak >= self._settings.convinced
        if end <= start or not (is_speech or self._rest_of_a_cut):
            return None
        return self._padded_start(start), min(end + self._settings.pad, limit)
