"""The features of the default model: mel power and voice-quality tracks, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.features.mel import mel_power
from voxtrait.features.voice import MAX_SPAN, VOICE_TRACKS, voice_tracks

__all__ = ["MelVoice", "MelVoiceConfig"]

#: Settings come from strangers' cards: beyond these they ask for more memory than sense.
_LIMITS: Final = {"n_fft": (16, 4096), "hop": (16, 4096), "n_mels": (1, 256), "voice_every": (0, 16)}


@dataclass(frozen=True)
class MelVoiceConfig:
    """Settings of `MelVoice`, in samples at 16 kHz.

    Attributes:
        n_fft: length of a spectrogram frame.
        hop: from one frame to the next.
        n_mels: mel channels.
        voice_every: voice-quality tracks are measured on every n-th frame and repeated between,
            which halves their cost at 2; 0 leaves them out.

    Raises:
        ValueError: for a setting that is not a whole number within reason.
    """

    n_fft: int = 400
    hop: int = 160
    n_mels: int = 40
    voice_every: int = 2

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        if self.voice_every and self.n_fft > MAX_SPAN:
            raise ValueError(f"n_fft must be at most {MAX_SPAN} beside voice tracks, not {self.n_fft}")


class MelVoice:
    """Mel power (not log) in the first ``n_mels`` columns, voice-quality tracks in the last four."""

    name = "mel-voice"

    def __init__(self, config: MelVoiceConfig) -> None:
        self.config = config

    @property
    def frame_shift(self) -> int:
        """Samples from one frame to the next."""
        return self.config.hop

    @property
    def frame_span(self) -> int:
        """Samples that one frame of the spectrogram looks at."""
        return self.config.n_fft

    @property
    def size(self) -> int:
        """Values in a frame."""
        return self.config.n_mels + (len(VOICE_TRACKS) if self.config.voice_every else 0)

    @property
    def powers(self) -> int:
        """Leading values of a frame that are powers."""
        return self.config.n_mels

    def extract(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return frames, shape (1 + (len(samples) - n_fft) // hop, size), or none of fewer samples."""
        config = self.config
        mel = mel_power(samples, config.n_fft, config.hop, config.n_mels)
        if not config.voice_every:
            return mel
        every = config.voice_every
        tracks = np.repeat(voice_tracks(samples, config.hop * every, config.n_fft), every, axis=0)
        return np.concatenate([mel, tracks[: len(mel)]], axis=1)
