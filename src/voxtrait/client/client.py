"""The client: `Predictor`'s methods, answered by a service."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Event
from typing import Any, Final, Self

from voxtrait.audio import AudioSource
from voxtrait.audio.inputs import source_name
from voxtrait.client.bodies import Body, GivenUp, body_of
from voxtrait.client.live import LiveStream
from voxtrait.client.transport import PATIENCE, Transport
from voxtrait.errors import AudioError, BundleError, ServiceError, VoxtraitError
from voxtrait.results import Prediction, Problem

__all__ = ["Client"]

#: Recordings on their way to the service, or being heard there, at once.
_AT_ONCE: Final = 8
#: Recordings waiting for an earlier one's answer.
_AHEAD: Final = 64
#: Bytes from which a recording is a job at once: to send it again, if it is long, costs more than a job does.
_JOB_SIZE: Final = 64 << 20
_OVER: Final = ("done", "failed")
#: Seconds before events that broke off are asked for again; each time it is in vain, twice as many.
_PAUSE: Final = 0.25


class Client:
    """Predicts with a service of `voxtrait serve`; may be shared by threads. Close it, or use ``with``.

    Its answers are those of a `Predictor` with the service's model, rounded as in JSON.

    Args:
        url: where the service is, such as ``http://127.0.0.1:8000``.
        key: of the service, where it asks for one.
        timeout: seconds without a sign of the service after which it is given up.

    Raises:
        MissingExtraError: without httpx (``pip install 'voxtrait[client]'``).
        UsageError: ``usage`` if an argument makes no sense.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 300.0) -> None:
        self._transport = Transport(url, key, timeout)
        self._models: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the service."""
        self._transport.close()

    def predict(
        self,
        source: AudioSource,
        *,
        rate: int | None = None,
        channel: int | None = None,
        segments: bool = False,
        speakers: bool = False,
        model: str | None = None,
        name: str | None = None,
    ) -> Prediction:
        """Predict one recording; it is read from disk as it is sent, and a long one is heard as a job.

        Args:
            source, rate, channel, segments, speakers, name: as in `Predictor.predict`.
            model: name or title of one of `models`; None is the service's first.

        Raises:
            AudioError: if the source cannot be heard; ``too_long``, ``too_large`` if the service takes none
                of its length or size.
            BundleError: ``bundle_not_found`` if the service has no such model.
            ServiceError: if the service cannot be reached, or cannot answer.
        """
        errand = _Errand(_wish(channel, segments, speakers, model))
        with body_of(source, rate, name) as body:
            return self._hear(body, errand)

    def predict_many(
        self,
        sources: Iterable[AudioSource],
        *,
        channel: int | None = None,
        segments: bool = False,
        speakers: bool = False,
        model: str | None = None,
        tick: Callable[[float], None] | None = None,
    ) -> Iterator[Prediction]:
        """Predict many recordings, each answer in turn; a bad one is an answer with status "error".

        A few are on their way at once. Who closes the iterator early gives up what is on its way.

        Args:
            sources: paths, bytes or file objects; drawn as they are needed.
            channel, segments, speakers, model: as in `predict`.
            tick: told the seconds of audio heard each time there is more, from another thread.

        Raises:
            BundleError, ServiceError: as `predict`, in the turn of the recording.
        """
        errand = _Errand(_wish(channel, segments, speakers, model), tick)
        queued = iter(sources)
        waiting: deque[Future[Prediction]] = deque()
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="voxtrait-client")
        try:
            while True:
                for source in islice(queued, _AHEAD - len(waiting)):
                    waiting.append(pool.submit(self._answer, source, errand))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            errand.given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
            # Their threads may be waiting for the very answers that nobody wants.
            for path in list(errand.jobs):
                self._forget(path)

    def models(self) -> list[dict[str, Any]]:
        """Return what the service says of its models: ``name``, ``title``, ``card``, ...; one is ``default``.

        Raises:
            ServiceError: if the service cannot be reached, or cannot answer.
        """
        self._transport.server()
        answer = self._transport.json("GET", "/v1/models")
        try:
            return [dict(model) for model in answer["models"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._transport.stranger("no list of models") from error

    def title(self, model: str | None = None) -> str:
        """Return the title of the model that answers who asks for ``model``; asked of the service once.

        Raises:
            BundleError: ``bundle_not_found`` if the service has no such model.
            ServiceError: if the service cannot be reached, or cannot answer.
        """
        self._models = self._models or self.models()
        for known in self._models:
            if model in (known.get("name"), known.get("title")) or (model is None and known.get("default")):
                return str(known["title"])
        titles = ", ".join(str(known.get("title")) for known in self._models)
        raise BundleError(
            "bundle_not_found", f"{self._transport.url} has no model {model!a}: it has {titles}."
        )

    def stream(
        self,
        *,
        rate: int | None = None,
        channels: int = 1,
        encoding: str = "pcm_s16le",
        model: str | None = None,
        name: str = "<stream>",
    ) -> LiveStream:
        """Open a live stream, to be heard while it is made.

        Args:
            rate, channels: of the samples, where ``encoding`` is "pcm_s16le".
            encoding: "pcm_s16le", 16-bit samples, the channels of each side by side; or "webm", as the
                MediaRecorder of a browser makes it.
            model: as in `predict`.
            name: what to call the recording in its answer.

        Raises:
            MissingExtraError: without websockets (``pip install 'voxtrait[client]'``).
            UsageError, BundleError, ServiceError: if the service cannot be reached, or refuses.
        """
        self._transport.server()
        start: dict[str, Any] = {"type": "start", "encoding": encoding, "model": model, "name": name}
        if rate is not None:
            start |= {"rate": rate, "channels": channels}
        return LiveStream(self._transport, start)

    def _answer(self, source: AudioSource, errand: _Errand) -> Prediction:
        try:
            with body_of(source, None, None) as body:
                return self._hear(body, errand)
        except AudioError as error:
            problem, title = Problem(error.code, error.message), self.title(errand.wish.get("model"))
            return Prediction(source_name(source), "error", None, None, None, None, title, error=problem)

    def _hear(self, body: Body, errand: _Errand) -> Prediction:
        server = self._transport.server()
        if body.size > server["max_upload"]:
            message = f"{body.name} is larger than the {server['max_upload']:,} bytes that the service takes."
            raise AudioError("too_large", message)
        wish = errand.wish | {"name": body.sent_name}
        try:
            if body.size <= _JOB_SIZE:
                try:
                    return self._hear_now(body, wish, errand)
                except AudioError as error:
                    if error.code != "too_long" or server["max_duration"] <= server["predict_duration"]:
                        raise
            return self._hear_as_job(body, wish, errand)
        except AudioError as error:
            raise AudioError(error.code, _with_name(error.message, body)) from error

    def _hear_now(self, body: Body, wish: dict[str, str], errand: _Errand) -> Prediction:
        answer = self._transport.json("POST", "/v1/predict", wish=wish, body=body, given_up=errand.given_up)
        prediction = self._read(answer, body)
        errand.tell(prediction.duration or 0.0)
        return prediction

    def _hear_as_job(self, body: Body, wish: dict[str, str], errand: _Errand) -> Prediction:
        job = self._transport.json("POST", "/v1/jobs", wish=wish, body=body, given_up=errand.given_up)
        if not isinstance(job, dict) or "id" not in job:
            raise self._transport.stranger("no job")
        # Not its links: between here and the service there may be others that rename.
        path = f"/v1/jobs/{job['id']}"
        errand.jobs.add(path)
        try:
            self._wait(path, errand)
            answer = self._transport.json("GET", f"{path}/result", given_up=errand.given_up)
            return self._read(answer, body)
        finally:
            errand.jobs.discard(path)
            self._forget(path)

    def _wait(self, path: str, errand: _Errand) -> None:
        """Wait until a job is over; a service that is restarted meanwhile goes on with it."""
        heard, pause, waited = 0.0, _PAUSE, 0.0
        while True:
            lost = ServiceError("broken_off", f"{self._transport.url} says nothing more of the job.")
            try:
                for job in self._transport.events(f"{path}/events"):
                    if errand.given_up.is_set():
                        raise GivenUp
                    if job is not None:
                        if "state" not in job:
                            raise ServiceError("no_job", "Somebody else has deleted the job.")
                        now = job.get("heard") or heard
                        errand.tell(now - heard)
                        heard, pause, waited = now, _PAUSE, 0.0
                        if job["state"] in _OVER:
                            return
            except ServiceError as error:
                if error.code not in ("broken_off", "timed_out", "unreached", "stopping", "database"):
                    raise
                lost = error
            if waited + pause > PATIENCE:
                raise lost
            if errand.given_up.wait(pause):
                raise GivenUp
            waited, pause = waited + pause, 2 * pause

    def _forget(self, path: str) -> None:
        # Once: it is forgotten without being told so, only later.
        once = Event()
        once.set()
        with contextlib.suppress(VoxtraitError, GivenUp):
            self._transport.send("DELETE", path, given_up=once)

    def _read(self, answer: Any, body: Body) -> Prediction:
        try:
            prediction = Prediction.from_dict(answer)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._transport.stranger("no prediction") from error
        warnings = tuple(
            replace(warning, message=_with_name(warning.message, body)) for warning in prediction.warnings
        )
        return replace(prediction, file=body.name, warnings=warnings)


@dataclass
class _Errand:
    """What one call asks for, and whether somebody waits for it.

    Attributes:
        wish: options of its requests.
        tick: told the seconds of audio heard, each time there are more.
        given_up: set when nobody waits any more.
        jobs: paths of those that the service has for it.
    """

    wish: dict[str, str]
    tick: Callable[[float], None] | None = None
    given_up: Event = field(default_factory=Event)
    jobs: set[str] = field(default_factory=set)

    def tell(self, seconds: float) -> None:
        """Tell of more seconds heard."""
        if self.tick is not None and seconds > 0:
            self.tick(seconds)


def _wish(channel: int | None, segments: bool, speakers: bool, model: str | None) -> dict[str, str]:
    wish = {"segments": str(segments).lower(), "speakers": str(speakers).lower()}
    if channel is not None:
        wish["channel"] = str(channel)
    return wish if model is None else wish | {"model": model}


def _with_name(message: str, body: Body) -> str:
    """Return a message of the service with the name that a recording has here."""
    if message.startswith(f"{body.sent_name} "):
        return body.name + message[len(body.sent_name) :]
    return message
