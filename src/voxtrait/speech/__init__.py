"""Blocks of samples -> spans of speech -> windows of frames."""

from voxtrait.speech.spans import Span, SpanFinder, SpeechSettings
from voxtrait.speech.vad import FRAME, SpeechDetector, SpeechStream
from voxtrait.speech.windows import Window, WindowCutter

__all__ = [
    "FRAME",
    "Span",
    "SpanFinder",
    "SpeechDetector",
    "SpeechSettings",
    "SpeechStream",
    "Window",
    "WindowCutter",
]
