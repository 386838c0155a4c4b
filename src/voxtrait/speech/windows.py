"""Spans of speech -> windows: stretches of speech alone, long enough to judge a voice by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.speech.spans import Span

__all__ = ["Window", "WindowCutter", "plan_parts"]


@dataclass(frozen=True)
class Window:
    """Speech with the pauses taken out.

    Attributes:
        pieces: where it lies in the recording, in samples, in order.
        samples: the pieces one after the other, shape (n,).
    """

    pieces: tuple[Span, ...]
    samples: NDArray[np.float32]

    @property
    def start(self) -> int:
        return self.pieces[0].start

    @property
    def end(self) -> int:
        return self.pieces[-1].end


def plan_parts(size: int, window: int) -> list[int]:
    """Return the sizes of the parts that ``size`` samples are cut into: equal, near ``window``.

    Sizes differ by at most 1. Less than 3/2 of a window is one part; of more, each part holds between
    3/4 and 5/4 of a window, to a sample.
    """
    count = max(1, round(size / window))
    small, larger = divmod(size, count)
    return [small + (index < larger) for index in range(count)]


class WindowCutter:
    """Cuts a stream of speech spans into windows; every sample of speech falls in exactly one.

    Windows have the aimed size, but for the last one or two before a pause or the end, which hold
    between 3/4 and 5/4 of it; all the speech between two pauses is one window, however short, if
    it is less than 3/2 of the aimed size. Less than two and a half windows and a span are held.

    Args:
        window: aimed size in samples.
        pause: a gap of more samples ends a window that already holds ``window // 2`` samples, so that
            a change of voice after a pause does not share a window while single words still do.
    """

    def __init__(self, window: int, pause: int) -> None:
        self._window = window
        self._pause = pause
        self._pieces: list[tuple[Span, NDArray[np.float32]]] = []
        self._size = 0

    def copy(self) -> WindowCutter:
        """Return another cutter that holds the same speech: what is done to one, the other does not see."""
        other = WindowCutter(self._window, self._pause)
        other._pieces, other._size = list(self._pieces), self._size
        return other

    def feed(self, span: Span, samples: NDArray[np.float32]) -> list[Window]:
        """Take the next span with its samples, shape (span.size,), and return finished windows."""
        done = []
        paused = bool(self._pieces) and span.start - self._pieces[-1][0].end > self._pause
        if paused and self._size >= self._window // 2:
            done += self.finish()
        self._pieces.append((span, samples))
        self._size += span.size
        # Two and a half windows wait, so that what is left at the end still divides evenly.
        while self._size >= 2.5 * self._window:
            done.append(self._take(self._window))
        return done

    def finish(self) -> list[Window]:
        """Return what is left, as windows of even size."""
        return [self._take(size) for size in plan_parts(self._size, self._window)] if self._size else []

    def _take(self, size: int) -> Window:
        taken: list[tuple[Span, NDArray[np.float32]]] = []
        need = size
        while need:
            span, samples = self._pieces.pop(0)
            if span.size > need:
                cut = span.start + need
                self._pieces.insert(0, (Span(cut, span.end), samples[need:]))
                span, samples = Span(span.start, cut), samples[:need]
            taken.append((span, samples))
            need -= span.size
        self._size -= size
        merged = np.concatenate([samples for _, samples in taken])
        return Window(tuple(span for span, _ in taken), merged)
