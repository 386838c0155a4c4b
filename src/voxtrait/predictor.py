"""The composition of the rooms: recordings in, predictions out."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.ahead import drawn_ahead, put_unless
from voxtrait.audio import SAMPLE_RATE, AudioSource, AudioStream, open_audio
from voxtrait.audio.inputs import source_name
from voxtrait.bundle import DEFAULT_BUNDLE, ModelBundle, load_bundle
from voxtrait.errors import AudioError, UsageError
from voxtrait.features import build_features
from voxtrait.listening import FeatureWindow, Heard, Listener
from voxtrait.preprocess import build_preprocessor
from voxtrait.results import Prediction, Problem
from voxtrait.scoring import Judge, Scores, WindowScore
from voxtrait.speech import SpeechDetector
from voxtrait.timeline import build_timeline

__all__ = ["Predictor", "predict"]

#: Windows that go to the model together.
_BATCH: Final = 32
#: Windows waiting for the model; listening pauses beyond, so memory stays flat.
_QUEUE: Final = 64
#: Seconds that the model waits for the next window before it runs on those it has.
_PATIENCE: Final = 0.02
#: Files being listened to or waiting for an earlier one's answer.
_AHEAD: Final = 64
#: Blocks of a recording after which decoding it gets a thread, and how many are decoded ahead.
_SHORT: Final = 6
_DECODED: Final = 4
#: A file's windows before every second one is left out, where only its total is asked for.
_KEEP: Final = 150


@dataclass
class _Job:
    """One recording on its way."""

    source: AudioSource
    name: str
    heard: Heard = field(default_factory=Heard)
    scores: list[WindowScore] = field(default_factory=list)
    #: Its last window has been scored.
    listened: bool = False
    duration: float | None = None
    warnings: tuple[Problem, ...] = ()
    error: AudioError | None = None
    #: Not the recording's fault but the program's: raised where its answer would stand.
    fault: Exception | None = None


class Predictor:
    """Predicts with one bundle; may be shared by threads.

    Args:
        model: a bundle, or what `load_bundle` takes: a shipped name, a folder, a zip, a hub name.
        threads: recordings that are decoded and searched for speech at once; None is one a core.

    Attributes:
        bundle: the model.
        judge: what runs it.

    Raises:
        BundleError: if the bundle cannot be used.
        UsageError: if ``threads`` is less than 1.
    """

    def __init__(
        self, model: str | os.PathLike[str] | ModelBundle = DEFAULT_BUNDLE, *, threads: int | None = None
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError("usage", f"threads must be at least 1, not {threads}.")
        self.bundle = model if isinstance(model, ModelBundle) else load_bundle(model)
        card = self.bundle.card
        self._threads = threads or usable_cores()
        self._extractor = build_features(card.features.name, card.features.config)
        self._preprocess = build_preprocessor(card.preprocess)
        self._detector = SpeechDetector()
        self.judge = Judge(self.bundle, threads=1, width=self._extractor.size)

    def predict(
        self,
        source: AudioSource,
        *,
        rate: int | None = None,
        channel: int | None = None,
        segments: bool = False,
        speakers: bool = False,
        name: str | None = None,
    ) -> Prediction:
        """Predict one recording.

        Args:
            source: a path, bytes, a binary file object, or an array of samples (n,) or
                (n, channels) with its ``rate``.
            rate: samples a second of an array.
            channel: use this channel alone, counted from 1; None mixes all.
            segments: add the timeline.
            speakers: add one row a voice.
            name: what to call the source in the answer.

        Raises:
            AudioError: if the source cannot be heard.
        """
        job = _Job(source, name or source_name(source))
        with open_audio(source, rate=rate, channel=channel) as stream:
            listener = self.listener(segments or speakers)
            windows = listener.windows(stream, job.heard)
            while batch := list(islice(windows, _BATCH)):
                job.scores += self.judge.score(batch)
            _note_end(job, stream)
        return self._sum_up(job, segments, speakers)

    def predict_many(
        self,
        sources: Iterable[AudioSource],
        *,
        channel: int | None = None,
        segments: bool = False,
        speakers: bool = False,
        tick: Callable[[float], None] | None = None,
    ) -> Iterator[Prediction]:
        """Predict many recordings, each answer in turn; a bad one is an answer with status "error".

        Decoding and speech detection of several recordings go on while the model runs on windows of
        any of them.

        Args:
            sources: paths, bytes or file objects; drawn as they are needed.
            channel, segments, speakers: as in `predict`.
            tick: told the seconds of audio heard each time there is more, from another thread.
        """
        queued = iter(sources)
        waiting: deque[_Job] = deque()
        with _Listening(self.listener(segments or speakers), channel, self._threads, tick) as work:
            while True:
                for source in islice(queued, _AHEAD - len(waiting)):
                    job = _Job(source, source_name(source))
                    waiting.append(job)
                    work.submit(job)
                if not waiting:
                    return
                while waiting and waiting[0].listened:
                    yield self._sum_up(waiting.popleft(), segments, speakers)
                if waiting:
                    self._score(work.take(_BATCH))

    def predict_together(
        self,
        sources: Sequence[AudioSource],
        *,
        channel: int | None = None,
        segments: bool = False,
        speakers: bool = False,
        tick: Callable[[int, float], None] | None = None,
    ) -> list[Prediction]:
        """Predict a few short recordings on the calling thread, their windows in common runs of the model.

        Args:
            sources, channel, segments, speakers: as in `predict_many`.
            tick: told the place of each source when it is opened, with 0.0, and then with the seconds of
                audio each time there is more.
        """
        listener = self.listener(segments or speakers)
        jobs = [_Job(source, source_name(source)) for source in sources]
        waiting: list[tuple[_Job, FeatureWindow | None]] = []
        for place, job in enumerate(jobs):
            try:
                if tick is not None:
                    tick(place, 0.0)
                with open_audio(job.source, channel=channel) as stream:
                    blocks = _told(stream, tick and partial(tick, place))
                    for window in listener.windows(blocks, job.heard):
                        waiting.append((job, window))
                        if len(waiting) == _BATCH:
                            self._score(waiting)
                            waiting.clear()
                    _note_end(job, stream)
            except AudioError as error:
                job.error = error
        self._score(waiting)
        return [self._sum_up(job, segments, speakers) for job in jobs]

    def _score(self, items: list[tuple[_Job, FeatureWindow | None]]) -> None:
        """Run the model on the windows that are there; an item without one ends its recording."""
        windows = [(job, window) for job, window in items if window is not None]
        if windows:
            scores = self.judge.score([window for _, window in windows])
            for (job, _), score in zip(windows, scores, strict=True):
                job.scores.append(score)
        # Only now: a recording is done when its last window has its score.
        for job, window in items:
            job.listened |= window is None

    def _sum_up(self, job: _Job, segments: bool, speakers: bool) -> Prediction:
        if job.fault is not None:
            raise job.fault
        if job.error is not None:
            problem = Problem(job.error.code, job.error.message)
            return Prediction(job.name, "error", None, None, None, None, self.bundle.title, error=problem)
        answer = self.sum_up(job.name, job.scores, job.heard.speech / SAMPLE_RATE, segments, speakers)
        return replace(answer, duration=job.duration, warnings=job.warnings)

    def sum_up(
        self, name: str, windows: list[WindowScore], speech: float, segments: bool, speakers: bool
    ) -> Prediction:
        """Return what the windows of a recording say together, without its length and warnings.

        Args:
            name: of the recording.
            windows: emptied.
            speech: seconds in the recording.
            segments, speakers: as in `predict`.
        """
        title = self.bundle.title
        if not windows or speech < self.bundle.card.min_speech:
            empty = () if segments else None
            voices = () if speakers else None
            return Prediction(name, "no_speech", None, speech, None, None, title, empty, voices)
        scores = Scores.of(windows)
        # A day has 25,000 windows: once is enough of them.
        windows.clear()
        gender, age = self.judge.estimate(scores)
        timeline = None
        if segments or speakers:
            timeline = build_timeline(scores, self.judge, self.bundle.card.embedding)
        return Prediction(
            name,
            "ok",
            None,
            speech,
            gender,
            age,
            title,
            segments=timeline.segments if timeline and segments else None,
            speakers=timeline.speakers if timeline and speakers else None,
        )

    def listener(self, every_window: bool) -> Listener:
        """Return what cuts recordings into windows: every one, or as many as a total needs."""
        keep = None if every_window else _KEEP
        return Listener(self._detector, self._extractor, self.bundle.card.window, keep, self._preprocess)


def predict(
    source: AudioSource,
    *,
    model: str | os.PathLike[str] | ModelBundle = DEFAULT_BUNDLE,
    rate: int | None = None,
    channel: int | None = None,
    segments: bool = False,
    speakers: bool = False,
) -> Prediction:
    """Predict one recording with a bundle that stays loaded; see `Predictor.predict`.

    Raises:
        AudioError: if the source cannot be heard.
        BundleError: if the model cannot be used.
    """
    predictor = Predictor(model) if isinstance(model, ModelBundle) else _shared_predictor(os.fspath(model))
    return predictor.predict(source, rate=rate, channel=channel, segments=segments, speakers=speakers)


@lru_cache(maxsize=4)
def _shared_predictor(model: str) -> Predictor:
    return Predictor(model)


def usable_cores() -> int:
    """Return the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _told(
    blocks: Iterable[NDArray[np.float32]], tick: Callable[[float], None] | None
) -> Iterator[NDArray[np.float32]]:
    for block in blocks:
        if tick is not None:
            tick(block.size / SAMPLE_RATE)
        yield block


def _note_end(job: _Job, stream: AudioStream) -> None:
    job.duration = stream.duration
    job.warnings = tuple(stream.warnings)


class _Listening:
    """Threads that turn recordings into windows, in front of a bounded queue."""

    def __init__(
        self, listener: Listener, channel: int | None, threads: int, tick: Callable[[float], None] | None
    ) -> None:
        self._listener = listener
        self._channel = channel
        self._tick = tick
        self._queue: queue.Queue[tuple[_Job, FeatureWindow | None]] = queue.Queue(_QUEUE)
        self._stopped = threading.Event()
        self._running = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="voxtrait-listen")

    def __enter__(self) -> _Listening:
        return self

    def __exit__(self, *exception: object) -> None:
        # The reader may leave early: nobody empties the queue then, so the threads must not wait for it.
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, job: _Job) -> None:
        self._running += 1
        self._pool.submit(self._listen, job)

    def take(self, most: int) -> list[tuple[_Job, FeatureWindow | None]]:
        """Wait for an item and return it with those that follow closely.

        A model run on many windows costs less for each, so a little patience pays while other
        recordings are being listened to.
        """
        items = [self._queue.get()]
        self._running -= items[-1][1] is None
        while len(items) < most:
            try:
                items.append(self._queue.get(timeout=_PATIENCE if self._running else 0.0))
            except queue.Empty:
                break
            self._running -= items[-1][1] is None
        return items

    def _listen(self, job: _Job) -> None:
        try:
            with (
                open_audio(job.source, channel=self._channel) as stream,
                # Closed first, whatever happens: its thread may not read from a stream that is closed.
                closing(self._blocks(stream)) as blocks,
            ):
                for window in self._listener.windows(blocks, job.heard):
                    if not self._put(job, window):
                        return
                _note_end(job, stream)
        except AudioError as error:
            job.error = error
        except Exception as error:
            # Kept to itself, it would leave the reader waiting for ever.
            job.fault = error
        self._put(job, None)

    def _blocks(self, stream: AudioStream) -> Generator[NDArray[np.float32]]:
        """Yield the blocks; those of a long recording are decoded on a thread of their own."""
        blocks = _told(stream, self._tick)
        yield from islice(blocks, _SHORT)
        with closing(drawn_ahead(blocks, _DECODED)) as rest:
            for block in rest:
                if self._stopped.is_set():
                    return
                yield block

    def _put(self, job: _Job, window: FeatureWindow | None) -> bool:
        return put_unless(self._stopped, self._queue, (job, window))
