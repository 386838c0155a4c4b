"""Any recording in, blocks of samples out: float32, mono, 16 kHz, in [-1, 1].

>>> with open_audio("meeting.m4a") as stream:
...     for block in stream:
...         ...
>>> samples = load_audio("clip.mp3")
"""

from __future__ import annotations

from .inputs import AudioSource
from .sources import AUDIO_EXTENSIONS, find_sources
from .stream import SAMPLE_RATE, AudioStream, load_audio, open_audio

__all__ = [
    "AUDIO_EXTENSIONS",
    "SAMPLE_RATE",
    "AudioSource",
    "AudioStream",
    "find_sources",
    "load_audio",
    "open_audio",
]
