"""A recording heard while it is being made: what is known of its voices so far, and at its end the answer.

>>> session = LiveSession(Predictor(), name="microphone")
>>> for block in blocks:
...     session.feed(block)
...     print(session.update())
>>> session.finish()

An update costs the same after a second as after a day: the windows that are finished are summed up, the
speech behind them is heard anew, and turns are found in the last minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.listening import FeatureWindow, Heard
from voxtrait.predictor import Predictor
from voxtrait.results import AgeEstimate, GenderEstimate, Prediction, Problem, Segment
from voxtrait.scoring import Scores, WindowScore
from voxtrait.speech import Span, Window
from voxtrait.timeline import MAX_PAUSE, build_timeline

__all__ = ["LiveSession", "LiveUpdate", "Turn"]

#: Seconds of the past in which turns are found.
_RECENT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of speech of one voice, from ``start`` to ``end`` in seconds; what is ``open`` may go on."""

    start: float
    end: float
    open: bool
    gender: GenderEstimate
    age: AgeEstimate

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        return {
            "start": round(self.start, 2),
            "end": round(self.end, 2),
            "open": self.open,
            "gender": self.gender.to_dict(),
            "age": self.age.to_dict(),
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form of the contract."""
        gender, age = GenderEstimate.from_dict(form["gender"]), AgeEstimate.from_dict(form["age"])
        return cls(form["start"], form["end"], form["open"], gender, age)


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """What is known of a recording so far.

    Attributes:
        time: seconds heard.
        speaking: whether somebody speaks there.
        speech: seconds of speech.
        gender, age: of all that speech; None until there is enough of it.
        turns: of the last minute, the oldest first. One that began before begins here where the oldest
            window of the last minute does. What is said of the last ones may change with what follows.
    """

    time: float
    speaking: bool
    speech: float
    gender: GenderEstimate | None
    age: AgeEstimate | None
    turns: tuple[Turn, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form of the contract."""
        return {
            "time": round(self.time, 2),
            "speaking": self.speaking,
            "speech": round(self.speech, 2),
            "gender": None if self.gender is None else self.gender.to_dict(),
            "age": None if self.age is None else self.age.to_dict(),
            "turns": [turn.to_dict() for turn in self.turns],
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """Read the JSON form of the contract; its numbers stay rounded."""
        gender, age = form["gender"], form["age"]
        return cls(
            time=form["time"],
            speaking=form["speaking"],
            speech=form["speech"],
            gender=None if gender is None else GenderEstimate.from_dict(gender),
            age=None if age is None else AgeEstimate.from_dict(age),
            turns=tuple(map(Turn.from_dict, form["turns"])),
        )


class LiveSession:
    """One recording; for one thread at a time.

    Args:
        predictor: its model hears; any number of sessions may share it.
        name: what to call the recording in the answer.
    """

    def __init__(self, predictor: Predictor, name: str = "<stream>") -> None:
        self._predictor = predictor
        self._name = name
        self._listener = predictor.listener(every_window=True)
        self._heard = Heard()
        self._stream = self._listener.stream(self._heard)
        self._samples = 0
        self._windows: list[WindowScore] = []
        self._recent: deque[WindowScore] = deque()
        self._total = _Total()
        #: Scores of speech that is in no finished window yet, by where it lies.
        self._ahead: dict[tuple[Span, ...], WindowScore] = {}
        self._known: _Known | None = None

    @property
    def time(self) -> float:
        """Seconds heard."""
        return self._samples / SAMPLE_RATE

    def feed(self, block: NDArray[np.float32]) -> None:
        """Take the next samples: mono, 16 kHz, in [-1, 1], of shape (n,), n as small or large as it comes.

        Raises:
            BundleError: ``bundle_corrupt`` if the model fails on them.
        """
        self._samples += block.size
        self._take(self._stream.feed(block))

    def update(self) -> LiveUpdate:
        """Return what is known so far; where nothing was said since the last time, that costs nothing.

        Raises:
            BundleError: as in `feed`.
        """
        speech = self._heard.speech + self._stream.pending
        if self._known is None or self._known.speech != speech:
            self._known = self._hear(speech)
        known, now = self._known, self.time
        turns = [segment for segment in known.segments if segment.end > now - _RECENT]
        return LiveUpdate(
            time=now,
            speaking=self._stream.speaking,
            speech=speech / SAMPLE_RATE,
            gender=known.gender,
            age=known.age,
            turns=tuple(
                Turn(
                    segment.start,
                    segment.end,
                    segment is turns[-1] and now - segment.end <= MAX_PAUSE,
                    segment.gender,
                    segment.age,
                )
                for segment in turns
            ),
        )

    def finish(self, warnings: Iterable[Problem] = ()) -> Prediction:
        """Take the end and return what `Predictor.predict` says of these samples, with segments and speakers.

        Args:
            warnings: what was odd about the recording.

        Raises:
            BundleError: as in `feed`.
        """
        self._take(self._stream.finish())
        speech = self._heard.speech / SAMPLE_RATE
        answer = self._predictor.sum_up(self._name, self._windows, speech, True, True)
        return replace(answer, duration=self.time, warnings=tuple(warnings))

    def _take(self, finished: list[FeatureWindow]) -> None:
        missing = [window for window in finished if window.pieces not in self._ahead]
        found = {score.pieces: score for score in self._predictor.judge.score(missing)}
        for window in finished:
            score = found.get(window.pieces) or self._ahead[window.pieces]
            self._windows.append(score)
            self._recent.append(score)
            self._total.add(score)
        oldest = self._samples - _RECENT * SAMPLE_RATE
        while self._recent and self._recent[0].pieces[-1].end < oldest:
            self._recent.popleft()

    def _hear(self, speech: int) -> _Known:
        """Run the model on what is new and read the answers."""
        self._look_ahead(self._stream.unfinished())
        ahead = list(self._ahead.values())
        judge, card = self._predictor.judge, self._predictor.bundle.card
        gender, age = None, None
        if speech >= card.min_speech * SAMPLE_RATE and (self._windows or ahead):
            gender, age = judge.estimate(self._total.scores(ahead))
        segments: tuple[Segment, ...] = ()
        if windows := [*self._recent, *ahead]:
            segments = build_timeline(Scores.of(windows), judge, card.embedding).segments
        return _Known(speech, gender, age, segments)

    def _look_ahead(self, windows: list[Window]) -> None:
        new = [self._listener.extract(window) for window in windows if window.pieces not in self._ahead]
        scores = self._predictor.judge.score([window for window in new if window is not None])
        found = self._ahead | {score.pieces: score for score in scores}
        self._ahead = {window.pieces: found[window.pieces] for window in windows if window.pieces in found}


@dataclass(frozen=True)
class _Known:
    """What was made of so many samples of speech."""

    speech: int
    gender: GenderEstimate | None
    age: AgeEstimate | None
    segments: tuple[Segment, ...]


class _Total:
    """The scores of all finished windows as those of a single one."""

    def __init__(self) -> None:
        self._weight = 0.0
        self._gender = 0.0
        self._age: NDArray[np.float64] | float = 0.0

    def add(self, window: WindowScore) -> None:
        self._weight += window.weight
        self._gender += window.weight * window.gender
        self._age = self._age + window.weight * window.age.astype(np.float64)

    def scores(self, more: list[WindowScore]) -> Scores:
        """Return them with more windows beside them, all without embeddings."""
        weights = [float(window.weight) for window in more]
        genders = [window.gender for window in more]
        ages = [window.age for window in more]
        if self._weight:
            weights.append(self._weight)
            genders.append(self._gender / self._weight)
            ages.append(np.asarray(self._age / self._weight, np.float32))
        nothing = np.zeros((len(weights), 0), np.float32)
        return Scores((), np.array(weights), np.array(genders), np.stack(ages), nothing)
