"""The features of the default model: mel power and voice-quality tracks, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.features.mel import mel_power
from voxtrait.features.voice import VOICE_TRACKS, voice_tracks

__all__ = ["MelVoice", "MelVoiceConfig"]


@dataclass(frozen=True)
class MelVoiceConfig:
    """Settings of `MelVoice`, in samples at 16 kHz.

    Attributes:
        n_fft: length of a spectrogram frame.
        hop: from one frame to the next.
        n_mels: mel channels.
        voice_every: voice-quality tracks are measured on every n-th frame and repeated between,
            which halves their cost at 2; 0 leaves them out.
    """

    n_fft: int = 400
    hop: int = 160
    n_mels: int = 40
    voice_every: int = 2


class MelVoice:
    """Mel power (not log) in the first ``n_mels`` columns, voice-quality tracks in the last four."""

    name = "mel-voice"

    def __init__(self, config: MelVoiceConfig) -> None:
        self.config = config

    @property
    def frame_shift(self) -> int:
        return self.config.hop

    @property
    def frame_span(self) -> int:
        return self.config.n_fft

    @property
    def size(self) -> int:
        return self.config.n_mels + (len(VOICE_TRACKS) if self.config.voice_every else 0)

    def extract(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        config = self.config
        mel = mel_power(samples, config.n_fft, config.hop, config.n_mels)
        if not config.voice_every:
            return mel
        every = config.voice_every
        tracks = np.repeat(voice_tracks(samples, config.hop * every), every, axis=0)
        if len(tracks) < len(mel):
            tracks = np.pad(tracks, ((0, len(mel) - len(tracks)), (0, 0)), mode="edge")
        return np.concatenate([mel, tracks[: len(mel)]], axis=1)
