"""What operators see: metrics for Prometheus, and a line of JSON a request, with nothing of its content."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Metrics", "Observer", "log_always", "log_as_json"]

_log = logging.getLogger("voxtrait.service")

#: Seconds: answers of clips lie at the lower end, uploads of long files at the upper.
_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
#: What a record has beside what was logged with it.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class Metrics:
    """The service's figures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route")
        self.requests = Counter(
            "voxtrait_requests", "Requests answered.", (*labels, "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "voxtrait_request_seconds",
            "From the request's head to the end of its answer.",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.audio = Counter(
            "voxtrait_audio_seconds", "Audio heard, by how it came.", ("lane",), registry=self.registry
        )
        self.answers = Counter(
            "voxtrait_answers", "Recordings answered, by status or error code.", ("status",),
            registry=self.registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "voxtrait_uploads_in_flight",
            "Uploads on their way, from their first byte.",
            registry=self.registry,
        )
        self.jobs = Gauge("voxtrait_jobs", "Jobs by state.", ("state",), registry=self.registry)
        self.streams = Gauge("voxtrait_streams", "Live streams open.", registry=self.registry)

    def count(self, lane: str, answer: dict[str, Any]) -> None:
        """Count the answer for a recording, as `Prediction.to_dict`."""
        self.audio.labels(lane).inc(answer["duration"] or 0.0)
        error = answer["error"]
        self.answers.labels(error["code"] if error else answer["status"]).inc()

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self.registry)


class Observer:
    """Counts and logs requests, around an application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._note(scope, status, time.monotonic() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # The pattern and not the address, which may hold anything.
        route = getattr(scope.get("route"), "path", None) or "none"
        method = scope["method"] if route != "none" else "any"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        quiet = route in ("/healthz", "/readyz", "/metrics", "/page/{path:path}", "none")
        _log.log(
            logging.DEBUG if quiet else logging.INFO,
            "request",
            extra={"method": method, "route": route, "status": status, "seconds": round(seconds, 4)},
        )


class _JsonFormatter(logging.Formatter):
    """A record as one line of JSON, with what was given in ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _OWN},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json(level: str) -> None:
    """Let the service and its server log to stderr, a JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    for name in ("voxtrait", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    # A line a connection, and addresses of people: what happens is in the lines above.
    logging.getLogger("uvicorn.error").setLevel(max(logging.getLevelName(level.upper()), logging.WARNING))
    logging.getLogger("uvicorn.access").disabled = True


def log_always(message: str) -> None:
    """Log a message at info, whatever the level."""
    _log.handle(_log.makeRecord(_log.name, logging.INFO, __file__, 0, message, (), None))
