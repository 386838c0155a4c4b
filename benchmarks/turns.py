"""How well voices in one recording are told apart: python benchmarks/turns.py [--half report] [-o FILE]

Recordings of several minutes are made from real speakers who take turns of 3 to 8 s with gaps of up to
0.8 s, all at one level: two women, two men, three of both genders, and one voice alone; and brief ones, of
6 to 22 s, as somebody makes who tries it: two women, two men, a woman and a man, one voice. Speakers are
divided in two halves: what tells voices apart is chosen on the recordings of the one, reported on those of
the other. The encoder that embeds voices has heard none of them. Two voices of one recording come from two
rooms and microphones or from one, as the corpora have it.

The diarisation error rate is that of pyannote.metrics (Bredin 2017): speech missed, alarmed falsely or
given to another voice, over all speech, after the best one-to-one match of voices; beside it stands that of
taking each recording for one voice. Where there is speech is taken from the same detector on each turn
alone. Intervals are of 95 %, bootstrapped over recordings.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from voxtrait.audio import SAMPLE_RATE, load_audio
from voxtrait.bundle import DEFAULT_BUNDLE
from voxtrait.corpora import read_corpus
from voxtrait.predictor import Predictor
from voxtrait.results import Segment
from voxtrait.speech import SpeechDetector
from voxtrait.training.recipe import load_recipe

Samples = NDArray[np.float32]
Frames = NDArray[np.int64]

CORPORA: Final = ("librispeech-sample", "speechocean762")
HALVES: Final = ("choose", "report")
_WOMEN, _MEN, _ONE = ("female", "female"), ("male", "male"), ("either",)
#: Genders of the voices of each kind of recording, and how many there are of it.
LONG: Final = {
    "two women": (_WOMEN, 7),
    "two men": (_MEN, 7),
    "three mixed": (("female", "male", "either"), 6),
    "one voice": (_ONE, 6),
}
BRIEF: Final = {
    "brief, two women": (_WOMEN, 60),
    "brief, two men": (_MEN, 60),
    "brief, a woman and a man": (("female", "male"), 60),
    "brief, one voice": (_ONE, 60),
}
#: Seconds after which no turn begins, and the seeds that draw the recordings.
_LONG_SECONDS, _LONG_SEED = (120.0, 300.0), 7
_BRIEF_SECONDS, _BRIEF_SEED = (6.0, 22.0), 11
#: Adults alone, with so many seconds of speech.
_YOUNGEST, _LEAST = 14, 45.0
_LEVEL, _ROOM = 10 ** (-26 / 20), 10 ** (-62 / 20)
#: Frames a second in which errors are counted.
_RATE: Final = 100
_COLLAR: Final = 0.25
_DRAWS: Final = 1000


@dataclass(frozen=True)
class Voice:
    """A speaker with all their speech, the pauses at the ends of clips cut off, shape (n,)."""

    name: str
    gender: str
    tape: Samples


@dataclass(frozen=True)
class Recording:
    """Samples (n,), and for each of its frames the number of the voice that speaks, -1 for none."""

    kind: str
    genders: tuple[str, ...]
    samples: Samples
    truth: Frames


@dataclass(frozen=True)
class Score:
    """Seconds of one recording."""

    kind: str
    speech: float
    wrong: float
    wrong_if_one: float
    collar_speech: float
    collar_wrong: float
    collar_wrong_if_one: float
    voices: int
    found: int
    alike: float
    alike_right: float
    totals_off: float


def voices_of(folder: Path, half: str, detector: SpeechDetector) -> list[Voice]:
    """Return the adults of one half of the speakers."""
    found = []
    for corpus in CORPORA:
        table = read_corpus(folder / corpus).filter(pl.col("age_low").fill_null(99) >= _YOUNGEST)
        names = sorted(table["speaker"].unique())
        mine = set(np.random.default_rng(1).permutation(names)[HALVES.index(half) :: len(HALVES)].tolist())
        for (name, gender), part in table.sort("path").group_by("speaker", "gender", maintain_order=True):
            if name not in mine or part.height < 2:
                continue
            tape = np.concatenate([_trimmed(load_audio(path), detector) for path in part["path"]])
            if tape.size >= _LEAST * SAMPLE_RATE:
                found.append(Voice(str(name), str(gender), tape))
    return found


def _trimmed(samples: Samples, detector: SpeechDetector) -> Samples:
    spans = list(detector.spans(samples))
    if not spans:
        return samples[:0]
    speech = samples[spans[0].start : spans[-1].end]
    return np.asarray(speech * (_LEVEL / np.sqrt(np.mean(speech**2))), np.float32)


def make_recording(
    kind: str,
    genders: Sequence[str],
    seconds: tuple[float, float],
    voices: list[Voice],
    rng: np.random.Generator,
    detector: SpeechDetector,
) -> Recording:
    """Return a recording in which voices take turns until some seconds, or their speech, are over."""
    chosen: list[Voice] = []
    for gender in genders:
        fitting = [voice for voice in voices if gender in ("either", voice.gender) and voice not in chosen]
        chosen.append(fitting[int(rng.integers(len(fitting)))])
    left = [voice.tape for voice in chosen]
    parts: list[Samples] = []
    labels: list[Frames] = []
    limit, size, last = rng.uniform(*seconds) * SAMPLE_RATE, 0, -1
    while size < limit:
        able = [
            k
            for k in range(len(chosen))
            if (k != last or len(chosen) == 1) and left[k].size > 3 * SAMPLE_RATE
        ]
        if not able:
            break
        last = int(rng.choice(able))
        turn = left[last][: round(rng.uniform(3, 8) * SAMPLE_RATE)]
        left[last] = left[last][turn.size :]
        gap = round(rng.uniform(0, 0.8) * _RATE) * SAMPLE_RATE // _RATE
        # Whole frames, so that sound and truth stay in step.
        turn = turn[: turn.size // (SAMPLE_RATE // _RATE) * (SAMPLE_RATE // _RATE)]
        parts += [turn, np.zeros(gap, np.float32)]
        labels += [_speech_frames(turn, last, detector), np.full(gap * _RATE // SAMPLE_RATE, -1)]
        size += turn.size + gap
    samples = np.concatenate(parts)
    noise = rng.normal(scale=_ROOM, size=samples.size)
    return Recording(
        kind,
        tuple(voice.gender for voice in chosen),
        (samples + noise).astype(np.float32),
        np.concatenate(labels),
    )


def _speech_frames(turn: Samples, voice: int, detector: SpeechDetector) -> Frames:
    """Return ``voice`` where a turn has speech or a pause of up to half a second, else -1."""
    frames = np.full(turn.size * _RATE // SAMPLE_RATE, -1)
    end = None
    for span in detector.spans(turn):
        start = span.start if end is None or span.start - end > SAMPLE_RATE // 2 else end
        end = span.end
        frames[start * _RATE // SAMPLE_RATE : end * _RATE // SAMPLE_RATE] = voice
    return frames


def frames_of(segments: tuple[Segment, ...], count: int) -> Frames:
    """Return the number of the voice in each frame, -1 for none."""
    frames = np.full(count, -1)
    for segment in segments:
        assert segment.speaker is not None
        frames[round(segment.start * _RATE) : round(segment.end * _RATE)] = int(segment.speaker[1:]) - 1
    return frames


def matched(truth: Frames, found: Frames) -> tuple[NDArray[np.float64], dict[int, int]]:
    """Return seconds by (voice, voice found), the last row and column for none, and the best match."""
    shape = truth.max(initial=0) + 2, found.max(initial=0) + 2
    # -1 becomes the last row and column.
    table = np.zeros(shape)
    np.add.at(table, (truth, found), 1 / _RATE)
    rows, columns = linear_sum_assignment(table[:-1, :-1], maximize=True)
    return table, dict(zip(rows.tolist(), columns.tolist(), strict=True))


def error(truth: Frames, found: Frames) -> tuple[float, float]:
    """Return seconds of speech, and seconds missed, alarmed falsely or given to the wrong voice."""
    table, match = matched(truth, found)
    speech, alarms = table[:-1].sum(), table[-1, :-1].sum()
    right = sum(table[row, column] for row, column in match.items())
    return float(speech), float(speech - right + alarms)


def score(recording: Recording, segments: tuple[Segment, ...]) -> Score:
    """Return how far segments are from the truth."""
    truth = recording.truth
    found = frames_of(segments, truth.size)
    one = np.where(found >= 0, 0, -1)
    near = np.zeros(truth.size, bool)
    for change in np.flatnonzero(np.diff(truth)) + 1:
        near[max(0, change - round(_COLLAR * _RATE)) : change + round(_COLLAR * _RATE)] = True
    table, match = matched(truth, found)
    totals = table[:-1].sum(axis=1)
    given = [table[:, match[voice]].sum() if voice in match else 0.0 for voice in range(len(totals))]
    # A pair of one gender: speech of either that went to its own voice, and not to one of the other.
    speaking = np.unique(truth[truth >= 0]).tolist()
    genders = recording.genders
    alike = [voice for voice in speaking if genders.count(genders[voice]) > 1]
    heard = [table[voice, :-1].sum() for voice in alike]
    return Score(
        recording.kind,
        *error(truth, found),
        error(truth, one)[1],
        *error(truth[~near], found[~near]),
        error(truth[~near], one[~near])[1],
        len(speaking),
        len(np.unique(found[found >= 0])),
        float(sum(heard)),
        float(sum(table[voice, match[voice]] for voice in alike if voice in match)),
        float(np.abs(totals - given).sum()),
    )


Figure = Callable[[list[Score]], float]


def _share(above: str, below: str) -> Figure:
    def figure(scores: list[Score]) -> float:
        whole = sum(getattr(each, below) for each in scores)
        return sum(getattr(each, above) for each in scores) / whole if whole else float("nan")

    return figure


FIGURES: Final[dict[str, Figure]] = {
    "error rate": _share("wrong", "speech"),
    "error rate if one voice": _share("wrong_if_one", "speech"),
    "error rate, collar 0.25 s": _share("collar_wrong", "collar_speech"),
    "error rate if one voice, collar 0.25 s": _share("collar_wrong_if_one", "collar_speech"),
    "voices found right": lambda scores: float(np.mean([each.found == each.voices for each in scores])),
    "voices found, less true": lambda scores: float(np.mean([each.found - each.voices for each in scores])),
    "speech of alike pairs given right": _share("alike_right", "alike"),
    "speaking time off": _share("totals_off", "speech"),
}


def figures(scores: list[Score]) -> list[dict[str, Any]]:
    """Return every figure of every kind with its interval over recordings."""
    rows = []
    groups = {"all": list(LONG), "all brief": list(BRIEF)} | {kind: [kind] for kind in (*LONG, *BRIEF)}
    for kind, kinds in groups.items():
        mine = [each for each in scores if each.kind in kinds]
        draws = np.random.default_rng(0).integers(len(mine), size=(_DRAWS, len(mine)))
        for name, figure in FIGURES.items():
            value = figure(mine)
            if np.isnan(value):
                continue
            drawn = [figure([mine[place] for place in draw]) for draw in draws]
            low, high = np.nanpercentile(drawn, [2.5, 97.5]).tolist()
            rows.append(
                {"kind": kind, "name": name, "value": value, "low": low, "high": high, "files": len(mine)}
            )
    return rows


def make_all(folder: Path, half: str) -> list[Recording]:
    """Return the recordings of one half of the speakers, the same at every call."""
    detector = SpeechDetector()
    voices = voices_of(folder, half, detector)
    made = []
    for kinds, seconds, seed in ((LONG, _LONG_SECONDS, _LONG_SEED), (BRIEF, _BRIEF_SECONDS, _BRIEF_SEED)):
        rng = np.random.default_rng(seed)
        for kind, (genders, count) in kinds.items():
            made += [make_recording(kind, genders, seconds, voices, rng, detector) for _ in range(count)]
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="recipes/base.yaml", help="whose folder of corpora is used")
    parser.add_argument("--model", default=DEFAULT_BUNDLE)
    parser.add_argument("--half", choices=HALVES, default="report", help="of the speakers")
    parser.add_argument(
        "-o", "--output", help="write the figures and the scores of all recordings as JSON too"
    )
    options = parser.parse_args()
    predictor = Predictor(options.model)
    scores = []
    for recording in make_all(Path(load_recipe(options.recipe).data.folder), options.half):
        answer = predictor.predict(recording.samples, rate=SAMPLE_RATE, segments=True)
        scores.append(score(recording, answer.segments or ()))
    rows = figures(scores)
    print("recordings | figure | value | 95 % interval | files")
    for row in rows:
        values = f"{row['value']:.3f} | {row['low']:.3f} - {row['high']:.3f}"
        print(f"{row['kind']} | {row['name']} | {values} | {row['files']}")
    if options.output:
        sheet = {"half": options.half, "figures": rows, "recordings": [asdict(each) for each in scores]}
        Path(options.output).write_text(json.dumps(sheet, indent=1) + "\n")


if __name__ == "__main__":
    main()
