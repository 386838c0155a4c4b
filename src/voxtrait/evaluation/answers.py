"""A bundle's answers on labelled recordings, as they lie on disk or as they would sound elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, load_audio
from voxtrait.augment import add_noise, babble, codec, overdrive, reverberate, telephone
from voxtrait.errors import AudioError
from voxtrait.evaluation.recordings import Recordings, Watch
from voxtrait.labels import AGE_GROUPS
from voxtrait.predictor import Predictor
from voxtrait.results import Prediction, Problem

__all__ = ["CONDITIONS", "Condition", "Cost", "Surroundings", "answer_files", "collect_answers"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Surroundings:
    """Sounds that conditions mix in, none of them heard in training: noises and other voices."""

    noises: Sequence[Array] = ()
    voices: Sequence[Array] = ()


@dataclass(frozen=True)
class Condition:
    """A way in which speech may reach us.

    Attributes:
        name: for tables.
        apply: samples, chance and surroundings -> samples.
    """

    name: str
    apply: Callable[[Array, np.random.Generator, Surroundings], Array]


def _noisy_telephone(samples: Array, rng: np.random.Generator, around: Surroundings) -> Array:
    noise = around.noises[int(rng.integers(len(around.noises)))]
    return telephone(add_noise(samples, noise, 15.0, rng), rng, snr=25.0)


def _babble(samples: Array, rng: np.random.Generator, around: Surroundings) -> Array:
    return add_noise(samples, babble(around.voices, samples.size, rng), 10.0, rng)


def _noise(samples: Array, rng: np.random.Generator, around: Surroundings) -> Array:
    return add_noise(samples, around.noises[int(rng.integers(len(around.noises)))], 5.0, rng)


#: What `collect_answers` can put recordings through, by name.
CONDITIONS: Final[dict[str, Condition]] = {
    condition.name: condition
    for condition in (
        Condition("as recorded", lambda samples, rng, around: samples),
        Condition("noisy 8 kHz telephone", _noisy_telephone),
        Condition("opus 24 kb/s", lambda samples, rng, around: codec(samples, "opus", 24)),
        Condition("mp3 16 kb/s", lambda samples, rng, around: codec(samples, "mp3", 16)),
        Condition("far-field room", lambda samples, rng, around: reverberate(samples, rng)),
        Condition("babble at 10 dB", _babble),
        Condition("noise at 5 dB", _noise),
        Condition("clipped", lambda samples, rng, around: overdrive(samples, 4.0)),
        Condition("first 2 s", lambda samples, rng, around: samples[: 2 * SAMPLE_RATE]),
    )
}


def collect_answers(
    predictor: Predictor,
    manifest: pl.DataFrame,
    condition: Condition,
    around: Surroundings,
    threads: int = 2,
    seed: int = 0,
) -> pl.DataFrame:
    """Predict every recording of ``manifest`` under ``condition``.

    Returns:
        the manifest's columns and ``status``, ``speech`` (seconds), ``female`` (probability),
        ``label``, ``years``, ``low``, ``high``, ``child`` (probability), ``groups`` (probability of
        each age group); null without speech.
    """

    def answer(row: int) -> Prediction:
        try:
            samples = load_audio(paths[row])
            rng = np.random.default_rng((seed, row))
            return predictor.predict(condition.apply(samples, rng, around), rate=SAMPLE_RATE)
        except AudioError as error:
            problem = Problem(error.code, error.message)
            return Prediction(paths[row], "error", None, None, None, None, "", error=problem)

    paths = manifest["path"].to_list()
    with ThreadPoolExecutor(threads) as pool:
        predictions = list(pool.map(answer, range(len(paths))))
    return manifest.hstack(
        pl.DataFrame([_flat(prediction) for prediction in predictions], schema=_ANSWER_SCHEMA)
    )


@dataclass(frozen=True)
class Cost:
    """What answering took: seconds of ``audio``, of work of all cores (``cpu``), by the clock (``wall``)."""

    audio: float
    cpu: float
    wall: float

    def to_dict(self) -> dict[str, float]:
        """Return the JSON form, with the two figures that compare."""
        return {
            **{name: round(value, 2) for name, value in asdict(self).items()},
            "cpu_seconds_per_hour": round(self.cpu / max(self.audio, 1e-9) * 3600, 2),
            "audio_seconds_per_second": round(self.audio / max(self.wall, 1e-9), 1),
        }


def answer_files(predictor: Predictor, manifest: pl.DataFrame, watch: Watch) -> tuple[pl.DataFrame, Cost]:
    """Predict every recording of ``manifest`` from its file, on as many cores as ``predictor`` uses.

    Returns:
        the columns of `collect_answers`, null where the bundle lacks the task, with ``duration`` as
        heard, and for what cannot be heard ``code`` and ``message``; and the cost.
    """
    card = predictor.bundle.card
    recordings = Recordings(manifest["path"])
    clock, work = time.monotonic(), time.process_time()

    def rows() -> Iterator[dict[str, Any]]:
        for prediction in predictor.predict_many(watch.count(recordings), tick=watch.heard):
            watch.file_done()
            yield _file_row(prediction)

    # In chunks: a million rows are small as columns, and large as Python objects.
    answered, parts = rows(), []
    while chunk := list(islice(answered, _ROWS)):
        parts.append(pl.DataFrame(chunk, schema=_FILE_SCHEMA))
    cpu, wall = time.process_time() - work, time.monotonic() - clock
    absent = [
        {"path": path, "status": "error", "code": problem.code, "message": problem.message}
        for path, problem in recordings.problems.items()
    ]
    answers = pl.concat([*parts, pl.DataFrame(absent, schema=_FILE_SCHEMA)])
    lacking = [*(_GENDER if card.gender is None else ()), *(_AGE if card.age is None else ())]
    answers = answers.with_columns(pl.lit(None, _FILE_SCHEMA[name]).alias(name) for name in lacking)
    cost = Cost(float(answers["duration"].sum()), cpu, wall)
    table = manifest.drop("duration").join(answers, on="path", how="left", maintain_order="left")
    return table, cost


_ROWS: Final = 4096

_ANSWER_SCHEMA: Final = {
    "status": pl.String(),
    "speech": pl.Float64(),
    "female": pl.Float64(),
    "label": pl.String(),
    "years": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "child": pl.Float64(),
    "groups": pl.Array(pl.Float32(), len(AGE_GROUPS)),
}
_FILE_SCHEMA: Final = {
    "path": pl.String(),
    "duration": pl.Float64(),
    **_ANSWER_SCHEMA,
    "code": pl.String(),
    "message": pl.String(),
}
_GENDER: Final = ("female", "label")
_AGE: Final = ("years", "low", "high", "child", "groups")


def _flat(prediction: Prediction) -> dict[str, object]:
    gender, age = prediction.gender, prediction.age
    return {
        "status": prediction.status,
        "speech": prediction.speech,
        "female": gender and gender.female,
        "label": gender and gender.label,
        "years": age and age.years,
        "low": age and age.low,
        "high": age and age.high,
        "child": age and age.groups["child"],
        "groups": age and [age.groups[name] for name in AGE_GROUPS],
    }


def _file_row(prediction: Prediction) -> dict[str, object]:
    error = prediction.error
    return {
        "path": prediction.file,
        "duration": prediction.duration,
        **_flat(prediction),
        "code": error and error.code,
        "message": error and error.message,
    }
