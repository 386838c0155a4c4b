"""Raw samples, for networks with a front of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Waveform", "WaveformConfig"]

_FRAME: Final = 160


@dataclass(frozen=True)
class WaveformConfig:
    """`Waveform` has no settings."""


class Waveform:
    """The samples themselves, in frames of 10 ms; what is left at the end is cut off."""

    name = "waveform"
    frame_shift = _FRAME
    frame_span = _FRAME
    size = _FRAME
    powers = 0

    def __init__(self, config: WaveformConfig) -> None:
        self.config = config

    def extract(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return frames, shape (len(samples) // 160, 160)."""
        return samples[: samples.size // _FRAME * _FRAME].reshape(-1, _FRAME)
