"""How far speech stands above what is heard between it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, AudioSource, open_audio
from voxtrait.audio.inputs import source_name
from voxtrait.errors import AudioError
from voxtrait.evaluation.recordings import Watch, in_parallel
from voxtrait.predictor import usable_cores
from voxtrait.speech import FRAME, Span, SpeechDetector

__all__ = ["measure_levels", "signal_to_noise"]

#: Frames between the speech, a quarter of a second, without which the noise is not known.
_FEWEST: Final = 8
#: Power of digital silence for this purpose: -100 dB.
_FLOOR: Final = 1e-10
_RANGE: Final = (-10.0, 60.0)


def signal_to_noise(powers: NDArray[np.float64], spans: Iterable[Span]) -> float | None:
    """Estimate the signal-to-noise ratio in dB, within -10 to 60; None where too little lies between speech.

    The mean power of the frames inside the detector's spans, less that of the frames outside them, over
    the latter. Noise is taken to be as loud under the speech as between it, so what follows the speech
    in level (clipping, a codec, a room) is not in it.

    Args:
        powers: mean square of each frame of 512 samples, shape (n,).
        spans: of speech, in samples.
    """
    inside = np.zeros(len(powers), dtype=bool)
    for span in spans:
        inside[span.start // FRAME : -(-span.end // FRAME)] = True
    if not inside.any() or (~inside).sum() < _FEWEST:
        return None
    noise = max(float(powers[~inside].mean()), _FLOOR)
    signal = max(float(powers[inside].mean()) - noise, _FLOOR)
    return float(np.clip(10 * np.log10(signal / noise), *_RANGE))


def measure_levels(sources: Iterable[AudioSource], watch: Watch) -> dict[str, float | None]:
    """Return the signal-to-noise ratio of each source by its name; None where there is none to tell."""
    detector = SpeechDetector()

    def measure(source: AudioSource) -> tuple[str, float | None]:
        name = source_name(source)
        try:
            return name, _of_source(source, detector, watch)
        except AudioError:
            return name, None

    found = {}
    for name, ratio in in_parallel(measure, watch.count(sources), usable_cores()):
        found[name] = ratio
        watch.file_done()
    return found


def _of_source(source: AudioSource, detector: SpeechDetector, watch: Watch) -> float | None:
    stream, spans, powers = detector.stream(), [], []
    rest = np.zeros(0, np.float32)
    with open_audio(source) as audio:
        for block in audio:
            watch.heard(block.size / SAMPLE_RATE)
            spans += stream.feed(block)
            samples = np.concatenate([rest, block])
            whole = samples.size - samples.size % FRAME
            powers.append(np.square(samples[:whole].reshape(-1, FRAME), dtype=np.float64).mean(axis=1))
            rest = samples[whole:]
    spans += stream.finish()
    return signal_to_noise(np.concatenate(powers), spans)
