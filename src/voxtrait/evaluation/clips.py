"""Excerpts of recordings for the page: a few seconds of mp3, and their spectrogram."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, AudioSource, open_audio
from voxtrait.speech import SpeechDetector

__all__ = ["Excerpt", "cut_excerpt", "spectrogram_png", "to_mp3"]

_LONGEST: Final = 10 * SAMPLE_RATE
#: Heard before the first word.
_LEAD: Final = SAMPLE_RATE // 5
#: mp3, because every browser plays it.
_BITS: Final = 32_000
_WINDOW, _HOP = 512, 160
_ROWS, _COLUMNS = 128, 480
_DYNAMICS: Final = 60.0


@dataclass(frozen=True)
class Excerpt:
    """Up to ten seconds of a recording from its first speech on.

    Attributes:
        start: in seconds.
        samples: shape (n,), 16 kHz.
    """

    start: float
    samples: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        return self.samples.size / SAMPLE_RATE


def cut_excerpt(source: AudioSource, detector: SpeechDetector) -> Excerpt:
    """Return the excerpt that begins with the first speech; without any, the beginning.

    Raises:
        AudioError: if the source cannot be heard.
    """
    speech = detector.stream()
    blocks: list[NDArray[np.float32]] = []
    first = seen = 0
    start: int | None = None
    with open_audio(source) as stream:
        for block in stream:
            spans = speech.feed(block)
            blocks.append(block)
            seen += block.size
            if start is None and spans:
                start = max(0, spans[0].start - _LEAD)
            if start is not None and seen >= start + _LONGEST:
                break
            # What lies before any speech yet to come is of no use.
            while start is None and len(blocks) > 1 and first + blocks[0].size < speech.settled - _LEAD:
                first += blocks.pop(0).size
        else:
            spans = speech.finish()
            if start is None:
                start = max(first, spans[0].start - _LEAD) if spans else first
    place = start - first
    return Excerpt(start / SAMPLE_RATE, np.concatenate(blocks)[place : place + _LONGEST])


def to_mp3(samples: NDArray[np.float32]) -> bytes:
    """Return ``samples`` (n,) at 16 kHz as an mp3 of 32 kb/s."""
    import av

    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as output:
        stream = output.add_stream("libmp3lame", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = _BITS
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def spectrogram_png(samples: NDArray[np.float32]) -> bytes:
    """Return a picture of ``samples`` (n,): time to the right, 0 Hz to 8 kHz upwards, 60 dB of levels."""
    from matplotlib.image import imsave

    # The difference lifts the upper half of the picture, where speech is faint.
    lifted = np.diff(samples, prepend=samples[:1])
    padded = np.pad(lifted, (0, max(0, _WINDOW - lifted.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, : _WINDOW // 2]) ** 2
    bands = power.reshape(len(power), _ROWS, -1).mean(axis=2)
    edges = np.linspace(0, len(bands), min(_COLUMNS, len(bands)) + 1).astype(int)
    columns = np.stack([bands[a:b].mean(axis=0) for a, b in pairwise(edges)])
    levels = 10 * np.log10(columns + 1e-12)
    top = float(levels.max())
    buffer = io.BytesIO()
    imsave(buffer, levels.T[::-1], cmap="magma", vmin=top - _DYNAMICS, vmax=top, format="png")
    return buffer.getvalue()
