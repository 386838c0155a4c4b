"""Recordings for the tests of ``voxtrait.audio``: made by espeak-ng and ffmpeg, kept for the session."""

from __future__ import annotations

import io
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 22_050
SPOKEN = "The north wind and the sun were disputing which was the stronger."
VIDEO = ("-f", "lavfi", "-i", "testsrc=s=32x32:r=25:d=3")


def run(*command: str, data: bytes | None = None) -> bytes:
    """Return what a command writes to stdout; its complaint is the error if it fails."""
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, f"{command[0]} failed: {done.stderr.decode(errors='replace')[-2000:]}"
    return done.stdout


@cache
def speech() -> NDArray[np.float32]:
    """Three seconds of a synthetic voice at ``RATE``, after 0.1 s of silence."""
    wav = run("espeak-ng", "-v", "en-us+f3", "-s", "160", "--stdout", SPOKEN)
    # espeak-ng writes to a pipe and does not know the length: the data begin after 44 bytes.
    samples = np.frombuffer(wav[44:], "<i2").astype(np.float32) / 32768
    return np.concatenate([np.zeros(RATE // 10, np.float32), samples])[: 3 * RATE]


def resampled(samples: NDArray[np.float32], rate: int, to: int = 16_000) -> NDArray[np.float32]:
    result: NDArray[np.float32] = soxr.resample(samples, rate, to, quality="VHQ")
    return result


def wav(samples: NDArray[Any], rate: int = RATE, subtype: str = "PCM_16", kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype=subtype, format=kind)
    return file.getvalue()


def tone(hertz: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


_ENCODED: dict[tuple[str, ...], bytes] = {}


def encode(folder: Path, name: str, *options: str, before: tuple[str, ...] = ()) -> bytes:
    """Return the speech as ffmpeg encodes it; ``name`` ends in the extension of the container."""
    key = (name, *options, *before)
    if key not in _ENCODED:
        source, target = folder / "speech.wav", folder / name
        if not source.exists():
            source.write_bytes(wav(speech()))
        run("ffmpeg", "-v", "error", "-y", *before, "-i", str(source), *options, str(target))
        _ENCODED[key] = target.read_bytes()
    return _ENCODED[key]


def piped(*options: str) -> bytes:
    """Return the speech as ffmpeg writes it to a pipe, where no header can be corrected."""
    return run("ffmpeg", "-v", "error", "-f", "wav", "-i", "-", *options, "-", data=wav(speech()))


def likeness(heard: NDArray[np.float32], original: NDArray[np.float32], lag: int = 3200) -> float:
    """Return the correlation at the best shift of at most ``lag`` samples, to an eighth of a sample."""
    size = 1 << (len(heard) + len(original)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size)), 8 * size) * 8
    best = max(cross[: 8 * lag + 1].max(), cross[-8 * lag :].max())
    return float(best / np.sqrt((heard.astype(float) ** 2).sum() * (original.astype(float) ** 2).sum()))


def level_at(samples: NDArray[np.float32], hertz: float, rate: int = 16_000) -> float:
    """Return the level of a tone in dB of full scale."""
    window = np.hanning(len(samples))
    wave = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / rate)
    return float(20 * np.log10(2 * abs((samples * window * wave).sum()) / window.sum() + 1e-12))
