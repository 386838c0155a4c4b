"""What the sheet of figures is measured on: sets of recordings, conditions, and who may answer them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, find_sources, load_audio
from voxtrait.augment import add_noise, babble
from voxtrait.corpora import read_corpus
from voxtrait.evaluation import CONDITIONS, Condition, collect_answers
from voxtrait.evaluation.answers import Surroundings
from voxtrait.predictor import Predictor
from voxtrait.speech import SpeechDetector
from voxtrait.training.feature_cache import read_noises
from voxtrait.training.prepare import recipe_manifest
from voxtrait.training.recipe import Recipe

Array = NDArray[np.float32]

#: Sounds that the recipe keeps out of training.
HELD_OUT_NOISES = ("esc-10/rooster", "esc-10/sea-waves")
#: Never trained on; choices were made on it.
OUT_OF_DOMAIN = "coswara-counting"
AS_RECORDED = CONDITIONS["as recorded"]
#: Recordings of a speaker under simulated conditions: more say little that is new.
_MOST = 2
_LONG = 10.0


@dataclass(frozen=True)
class Held:
    """A set to measure on.

    Attributes:
        name: for tables.
        table: its recordings; ``split`` says which network has not heard them.
        conditions: how they are heard.
    """

    name: str
    table: pl.DataFrame
    conditions: tuple[Condition, ...] = (AS_RECORDED,)


class HeldOutAnswers:
    """Answers by networks that have not heard the speaker.

    Args:
        bundle: a bundle; or the folder of a training with folds, whose speakers of fold-1 are then answered
            by the network without fold-1, and so on, and all others by the final one.
    """

    def __init__(self, bundle: str) -> None:
        run = Path(bundle)
        self._folds = {path.parent.name: str(path) for path in sorted(run.glob("folds/*/bundle"))}
        self._final = str(run / "bundle") if self._folds else bundle

    @property
    def has_folds(self) -> bool:
        """Whether every speaker of the training corpora is held out from some network."""
        return bool(self._folds)

    @cache  # noqa: B019  (one object lives as long as the program)
    def predictor(self, split: str | None) -> Predictor:
        """Return who answers recordings of ``split``."""
        return Predictor(self._folds.get(split or "", self._final))

    def collect(self, table: pl.DataFrame, condition: Condition, around: Surroundings) -> pl.DataFrame:
        """Return what `collect_answers` does, part by part."""
        splits = table["split"].fill_null("")
        parts = [
            collect_answers(self.predictor(split), table.filter(splits == split), condition, around)
            for split in sorted(splits.unique())
        ]
        return pl.concat(parts)


@cache
def _detector() -> SpeechDetector:
    return SpeechDetector()


def _until(seconds: float) -> Condition:
    """Return the condition in which a recording ends when so much speech has been heard."""

    def apply(samples: Array, rng: np.random.Generator, around: Surroundings) -> Array:
        left = round(seconds * SAMPLE_RATE)
        for start, end in _detector().spans(samples):
            if end - start >= left:
                return samples[: start + left]
            left -= end - start
        return samples

    return Condition(f"first {seconds:g} s of speech", apply)


def _loud_babble(samples: Array, rng: np.random.Generator, around: Surroundings) -> Array:
    return add_noise(samples, babble(around.voices, samples.size, rng), 0.0, rng)


SIMULATED = (
    *(each for each in CONDITIONS.values() if each.name not in ("as recorded", "first 2 s")),
    Condition("babble at 0 dB", _loud_babble),
    _until(1.0),
    _until(3.0),
)


def held_out_sets(recipe: Recipe, split: str | None) -> Iterator[Held]:
    """Yield the sets of a recipe.

    Args:
        recipe: whose corpora.
        split: whose speakers; None for those of all folds.
    """
    manifest, _ = recipe_manifest(recipe)
    mine = pl.col("split").str.starts_with("fold-") if split is None else pl.col("split") == split
    held = manifest.filter(mine)
    middle = (pl.col("age_low") + pl.col("age_high")) / 2
    voices = held.filter(pl.col("corpus").str.starts_with("cv-corpus"))
    yield Held("Common Voice", voices)
    yield Held("Common Voice", few_of_each(voices), SIMULATED)
    ocean = held.filter(pl.col("corpus") == "speechocean762")
    yield Held("speechocean762", ocean)
    yield Held("speechocean762 from 14 years", ocean.filter(middle >= 14))
    yield Held("speechocean762 under 13 years", ocean.filter(middle < 13))
    yield Held("LibriSpeech", held.filter(pl.col("corpus") == "librispeech-sample"))
    yield Held("Saarbruecken voices", held.filter(pl.col("corpus") == "saarbruecken-voices"))
    yield Held("Coswara", read_corpus(Path(recipe.data.folder) / OUT_OF_DOMAIN))


def few_of_each(table: pl.DataFrame) -> pl.DataFrame:
    """Return at most two recordings of each speaker."""
    return table.filter(pl.int_range(pl.len()).over("speaker") < _MOST)


def long_recordings(table: pl.DataFrame, folder: str) -> pl.DataFrame:
    """Return recordings of about ten seconds, each joined from one speaker's, written into ``folder``."""
    rows: list[pl.DataFrame] = []
    for _, part in table.sort("path").group_by("speaker", maintain_order=True):
        joined, seconds = [], 0.0
        for path in part["path"]:
            joined.append(load_audio(path))
            seconds += joined[-1].size / SAMPLE_RATE
            if seconds >= _LONG:
                rows.append(_written(np.concatenate(joined), part, Path(folder) / f"{len(rows)}.wav"))
                break
    return pl.concat(rows)


def _written(samples: Array, part: pl.DataFrame, file: Path) -> pl.DataFrame:
    import soundfile

    soundfile.write(file, samples[: round(_LONG * SAMPLE_RATE)], SAMPLE_RATE, subtype="PCM_16")
    return part.head(1).with_columns(path=pl.lit(str(file)))


def surroundings(recipe: Recipe) -> Surroundings:
    """Return noises and voices that training never met."""
    folder = Path(recipe.data.folder)
    noises = read_noises(tuple(map(str, find_sources(folder / name for name in HELD_OUT_NOISES))))
    return Surroundings(noises, read_noises(tuple(read_corpus(folder / OUT_OF_DOMAIN)["path"])))


def training_median(recipe: Recipe) -> float:
    """Return the median age of the Common Voice recordings that are trained on: the constant's answer."""
    manifest, _ = recipe_manifest(recipe)
    heard = pl.col("split").str.contains("^(train|fold-.*)$")
    train = manifest.filter(heard & pl.col("corpus").str.starts_with("cv-corpus"))
    median = ((train["age_low"] + train["age_high"]) / 2).median()
    assert isinstance(median, float)
    return median


def not_speech(folder: Path) -> dict[str, list[str]]:
    """Return files without speech by kind: those of ESC-10, and music and noise made here."""
    kinds = {
        path.name: [str(file) for file in find_sources([path])]
        for path in sorted((folder / "esc-10").iterdir())
        if path.is_dir()
    }
    made = Path(tempfile.mkdtemp(prefix="voxtrait-sounds-"))
    for kind, sound in (("made: music", _music), ("made: noise", _noise)):
        kinds[kind] = []
        for number in range(40):
            file = made / f"{kind[6:]}-{number}.wav"
            _save(sound(np.random.default_rng(number)), file)
            kinds[kind].append(str(file))
    return kinds


def _save(samples: Array, file: Path) -> None:
    import soundfile

    soundfile.write(file, 0.5 * samples / np.abs(samples).max(), SAMPLE_RATE, subtype="PCM_16")


def _music(rng: np.random.Generator) -> Array:
    """Return five seconds of chords: decaying tones with overtones, on a scale, about two a second."""
    time = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    out = np.zeros(time.size)
    for start in np.arange(0, 5, rng.uniform(0.3, 0.7)):
        after = np.maximum(time - start, 0)
        envelope = (time >= start) * np.exp(-after * rng.uniform(1.5, 5))
        for note in rng.choice([0, 2, 4, 5, 7, 9, 11, 12], size=int(rng.integers(1, 4)), replace=False):
            frequency = 130.8 * 2 ** (note / 12 + rng.integers(0, 3))
            overtones = sum(
                np.sin(2 * np.pi * frequency * k * time) / k ** rng.uniform(1, 2) for k in range(1, 9)
            )
            out += envelope * overtones
    return out.astype(np.float32)


def _noise(rng: np.random.Generator) -> Array:
    """Return five seconds of noise whose spectrum falls by 0 to 12 dB an octave, swelling or not."""
    size = 5 * SAMPLE_RATE
    spectrum = np.fft.rfft(rng.normal(size=size)) / np.maximum(np.arange(size // 2 + 1), 1) ** rng.uniform(
        0, 2
    )
    swell = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(0.1, 3) * np.arange(size) / SAMPLE_RATE)
    return (np.fft.irfft(spectrum, size) * swell).astype(np.float32)
