"""Make the synthetic recordings in this folder: ``python examples/make_examples.py [FOLDER]``.

Needs espeak-ng and ffmpeg on the machine, and numpy. No human voice is in them, so that they can be
shipped, changed and shared freely. The same versions of the tools give the same bytes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 22_050  # Hz, of espeak-ng

WOMAN, MAN, OLD_MAN = "en-us+f5", "en-gb-x-rp+m3", "en-us+grandpa"
HOST, GUEST, CALLER = "en-gb-scotland+f2", "en-us+m7", "en-us+linda"

WIND = (
    "The north wind and the sun were disputing which of them was the stronger, "
    "when a traveller came along, wrapped in a warm cloak."
)
SUN = (
    "Then the sun shone out warmly, and at once the traveller took off his cloak. "
    "And so the north wind was obliged to confess that the sun was the stronger of the two."
)
INTERVIEW = [
    (HOST, "Good evening, and welcome. Tonight we speak about the old lighthouse on the island."),
    (GUEST, "Thank you. I have kept the light for almost thirty years, in every kind of weather."),
    (HOST, "And what do you remember best?"),
    (GUEST, "The winter storms. You could hear the sea through walls that are two metres thick."),
    (HOST, "It must have been lonely at times."),
    (GUEST, "Never. There were the birds, and there was the radio."),
]

Samples = NDArray[np.float64]


def speak(voice: str, text: str, *, speed: int = 150, peak: float = 0.6) -> Samples:
    """Return a text as a voice of espeak-ng reads it (``espeak-ng --voices=variant`` lists them)."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    samples = np.frombuffer(wav[44:], "<i2").astype(np.float64)
    return np.asarray(samples * (peak / np.abs(samples).max()))


def pause(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE))


def hiss(length: int, seed: int, *, smooth: int = 1) -> Samples:
    """Return noise of unit power; ``smooth`` samples are averaged to make it darker."""
    noise = np.random.default_rng(seed).standard_normal(length + smooth - 1)
    noise = np.convolve(noise, np.ones(smooth), "valid")
    return np.asarray(noise / noise.std())


def rain(seconds: float, seed: int) -> Samples:
    """Return a soft hiss with drops: short decaying bursts at random times."""
    length = round(seconds * RATE)
    generator = np.random.default_rng(seed)
    drops = np.zeros(length)
    at = generator.integers(0, length, round(40 * seconds))
    drops[at] = generator.exponential(1.0, len(at))
    decay = np.exp(-np.arange(400) / 60) * hiss(400, seed + 1)
    return 0.015 * hiss(length, seed + 2, smooth=3) + 0.04 * np.convolve(drops, decay)[:length]


def interview() -> Samples:
    """Two people in turn, with pauses, before the hum of a room."""
    parts = [pause(1.0)]
    for number, (voice, text) in enumerate(INTERVIEW):
        parts += [speak(voice, text, speed=165), pause(1.8 if number == 3 else 0.5)]
    talk = np.concatenate([*parts, pause(0.8)])
    return talk + 0.004 * hiss(len(talk), 1, smooth=20)


def call() -> Samples:
    """Two channels: she on the left, he on the right."""
    question = speak(WOMAN, "Hello, this is the library. The book you asked for is here.", speed=165)
    answer = speak(MAN, "Oh, how kind of you to call. I will come for it tomorrow.", speed=165)
    left = np.concatenate([question, pause(0.4), 0 * answer])
    right = np.concatenate([0 * question, pause(0.4), answer])
    return np.stack([left, right], axis=1)


def write(path: Path, samples: Samples, *options: str) -> None:
    """Encode with ffmpeg, without dates and versions in the file."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    raw = (samples * 32767).round().clip(-32768, 32767).astype("<i2").tobytes()
    source = ["-f", "s16le", "-ar", str(RATE), "-ac", str(channels), "-i", "-"]
    clean = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    command = ["ffmpeg", "-v", "error", "-y", *source, *clean, *options, str(path)]
    subprocess.run(command, input=raw, check=True)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "woman.mp3", speak(WOMAN, WIND), "-ar", "48000", "-b:a", "48k")
    write(folder / "man.ogg", speak(MAN, SUN), "-c:a", "libopus", "-b:a", "24k")
    write(folder / "old-man.wav", speak(OLD_MAN, WIND, speed=130), "-ar", "16000")
    write(folder / "interview.m4a", interview(), "-ar", "32000", "-b:a", "48k")
    write(folder / "call.ogg", call(), "-c:a", "libopus", "-b:a", "48k")
    write(folder / "phone.wav", speak(CALLER, SUN, speed=160), "-ar", "8000", "-c:a", "pcm_mulaw")
    write(folder / "noise.flac", rain(6.0, 7), "-ar", "16000")
    write(folder / "silence.wav", pause(3.0), "-ar", "8000")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
