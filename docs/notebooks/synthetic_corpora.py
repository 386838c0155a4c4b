"""Two small corpora for the notebooks, read aloud by espeak-ng: no human voice is in them.

Their labels are made up. A "woman" is a voice of higher pitch and the "older" voices read slower, so that
there is something to find; nothing that is found in them says anything about people.
"""

from __future__ import annotations

import csv
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

__all__ = ["make_corpora"]

_ESPEAK_RATE, _STUDIO_RATE, _TELEPHONE_RATE = 22_050, 16_000, 8_000
_TEXTS = (
    "The north wind and the sun were disputing which of them was the stronger.",
    "A traveller came along, wrapped in a warm cloak.",
    "They agreed that the one who first made him take his cloak off should win.",
    "Then the north wind blew as hard as he could, but the more he blew, the closer did the traveller fold "
    "his cloak around him.",
    "At last the north wind gave up.",
    "Then the sun shone out warmly, and at once the traveller took off his cloak.",
    "And so the north wind was obliged to confess that the sun was the stronger of the two.",
    "Some say the wind has been in a bad mood ever since.",
)
_BANDS = ("teens", "twenties", "thirties", "forties", "fifties", "sixties", "seventies")

Samples = NDArray[np.float32]


def make_corpora(folder: Path) -> list[Path]:
    """Write the corpora ``studio`` and ``telephone`` into ``folder`` and return their folders.

    The studio has 36 speakers, ages in years, 16 kHz, loud and clean. The telephone has 20 speakers, three
    quarters of them men, ages in bands, 8 kHz, soft, with hiss. Each has a ``metadata.csv``; there is
    one label that nobody understands and one recording that is not there.

    Raises:
        FileNotFoundError: if espeak-ng is not installed.
    """
    draw = random.Random(5)
    studio = [_speaker(draw, number, female=number % 8 in (1, 3, 6)) for number in range(36)]
    telephone = [_speaker(draw, number, female=number % 4 == 1) for number in range(36, 56)]
    corpora = [_write(folder / "studio", studio), _write(folder / "telephone", telephone, on_phone=True)]
    (corpora[1] / "36-0.wav").unlink()
    return corpora


def _speaker(draw: random.Random, number: int, *, female: bool) -> dict[str, Any]:
    age = 18 + int(57 * draw.random() ** 1.6)
    variant = f"f{number % 5 + 1}" if female else f"m{number % 7 + 1}"
    return {
        "number": number,
        "gender": "female" if female else "male",
        "age": age,
        "voice": f"en-us+{variant}",
        # espeak-ng's scale from 0 to 99. The ranges of the two overlap a little, as those of people do.
        "pitch": 10 + int(55 * draw.random()) if female else 35 + int(60 * draw.random()),
        "speed": 200 - round(1.2 * age),
        "level": 10 ** (-0.3 * draw.random()),
        "room": 10 ** (-4.0 + 0.8 * draw.random()),
        "texts": len(_TEXTS) if number == 3 else 2 + number % 3,
    }


def _write(folder: Path, speakers: list[dict[str, Any]], *, on_phone: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for speaker in speakers:
        number, age = speaker["number"], speaker["age"]
        for index in range(speaker["texts"]):
            samples = _speak(speaker, _TEXTS[(number + index) % len(_TEXTS)])
            name = f"{number}-{index}.wav"
            noise = np.random.default_rng(100 * number + index).standard_normal(len(samples))
            if on_phone:
                _telephone(folder / name, samples, noise)
            else:
                quiet = speaker["room"] * noise
                soundfile.write(folder / name, samples + quiet, _STUDIO_RATE, subtype="PCM_16")
            rows.append(
                {
                    "path": name,
                    "speaker": f"voice {number}",
                    "gender": "robot" if number == 55 else speaker["gender"],
                    "age": _BANDS[age // 10 - 1] if on_phone else age,
                }
            )
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


def _speak(speaker: dict[str, Any], text: str) -> Samples:
    command = ["espeak-ng", "-v", speaker["voice"], "-p", str(speaker["pitch"]), "-s", str(speaker["speed"])]
    wav = subprocess.run([*command, "--stdout", text], check=True, capture_output=True).stdout
    # To a pipe espeak-ng writes a header without the length: 44 bytes.
    samples = np.frombuffer(wav[44:], "<i2").astype(np.float32)
    samples *= 0.7 * speaker["level"] / np.abs(samples).max()
    return np.asarray(soxr.resample(samples, _ESPEAK_RATE, _STUDIO_RATE), dtype=np.float32)


def _telephone(file: Path, samples: Samples, noise: NDArray[np.float64]) -> None:
    """Write what arrives at the end of a line: soft, with hiss, without the upper half of the spectrum."""
    line = soxr.resample(0.2 * samples + 0.001 * noise, _STUDIO_RATE, _TELEPHONE_RATE)
    soundfile.write(file, line, _TELEPHONE_RATE, subtype="ULAW")
