"""The linear power spectrogram, for networks that look at it as an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.features.mel import power_spectra

__all__ = ["Spectrogram", "SpectrogramConfig"]

#: Settings come from strangers' cards: beyond these they ask for more memory than sense.
_LIMITS: Final = {"n_fft": (16, 4096), "hop": (16, 4096)}


@dataclass(frozen=True)
class SpectrogramConfig:
    """Settings of `Spectrogram`, in samples at 16 kHz.

    Attributes:
        n_fft: length of a frame.
        hop: from one frame to the next.

    Raises:
        ValueError: for a setting that is not a whole number within reason.
    """

    n_fft: int = 256
    hop: int = 128

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


class Spectrogram:
    """Power (not log) of the short-time Fourier transform under a Hann window, a column a bin."""

    name = "spectrogram"

    def __init__(self, config: SpectrogramConfig) -> None:
        self.config = config

    @property
    def frame_shift(self) -> int:
        """Samples from one frame to the next."""
        return self.config.hop

    @property
    def frame_span(self) -> int:
        """Samples that one frame looks at."""
        return self.config.n_fft

    @property
    def size(self) -> int:
        """Values in a frame."""
        return self.config.n_fft // 2 + 1

    @property
    def powers(self) -> int:
        """Leading values of a frame that are powers: all."""
        return self.size

    def extract(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return frames, shape (1 + (len(samples) - n_fft) // hop, size), or none of fewer samples."""
        none = np.zeros((0, self.size), dtype=np.float32)
        parts = power_spectra(samples, self.config.n_fft, self.config.hop)
        return np.concatenate([none, *parts])
