"""Requests to a service: what it refuses, and what never reaches it, as errors of the package."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from voxtrait.client.bodies import Body, GivenUp
from voxtrait.errors import AudioError, BundleError, ServiceError, UsageError, VoxtraitError, require

if TYPE_CHECKING:
    import httpx

__all__ = ["PATIENCE", "Transport", "error_of"]

#: Seconds that a service may keep a request waiting because it is busy, or away for a restart.
PATIENCE: Final = 120.0
#: Seconds until somebody must have answered the call at all.
_CONNECT: Final = 10.0
#: Codes that say nothing about the recording.
_OF_SERVICE: Final = frozenset({
    "busy", "database", "key", "missing_extra", "no_job", "no_space", "not_done", "origin", "stopping",
    "too_slow", "workers",
})  # fmt: skip
#: What a service says of itself that a client must know.
_LIMITS: Final = {"max_upload", "max_duration", "predict_duration"}
#: Statuses of a service, or of what stands before it, that asks to come again.
_LATER: Final = (429, 503)


def error_of(code: str, message: str) -> VoxtraitError:
    """Return the error that a service told by its code."""
    if code in _OF_SERVICE:
        return ServiceError(code, message)
    if code == "usage":
        return UsageError(code, message)
    return (BundleError if code.startswith("bundle_") else AudioError)(code, message)


class Transport:
    """Connections to one service; may be shared by threads.

    Args:
        url: where it is: ``http://`` or ``https://``, a host, and a path if it is not at the root.
        key: to show it; None shows none.
        timeout: seconds without a sign of it after which it is given up.

    Raises:
        MissingExtraError: without httpx.
        UsageError: ``usage`` if an argument makes no sense.
    """

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        require("httpx", "client")
        import httpx

        self.url = _checked(url)
        self.timeout = timeout
        if not timeout > 0:
            raise UsageError("usage", f"timeout={timeout} is not a time in seconds: give a positive number.")
        if key is not None and not (key and key.isascii() and key.isprintable()):
            raise UsageError("usage", "The key is none: it is empty, or has characters that no key has.")
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=self.url,
            headers=self.headers,
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT)),
        )
        self._server: dict[str, Any] | None = None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def server(self) -> dict[str, Any]:
        """Return what the service says of itself; asked once, before any recording goes there.

        Raises:
            ServiceError: ``not_voxtrait`` if it is another program.
        """
        if self._server is None:
            said = self.json("GET", "/v1/server")
            if not isinstance(said, dict) or not set(said) >= _LIMITS:
                raise self.stranger("something else")
            self._server = said
        return self._server

    def json(self, *request: Any, **options: Any) -> Any:
        """Send a request as `send` does and return the JSON of its answer."""
        answer = self.send(*request, **options)
        try:
            return answer.json()
        except ValueError as error:
            raise self.stranger("no JSON") from error

    def send(
        self,
        method: str,
        path: str,
        *,
        wish: Mapping[str, str] | None = None,
        body: Body | None = None,
        given_up: Event | None = None,
    ) -> httpx.Response:
        """Send a request and return its answer; one that is refused for load is sent again, for a while.

        Raises:
            VoxtraitError: what the service refused it with.
            ServiceError: ``unreached``, ``timed_out``, ``broken_off``, ``not_voxtrait``.
            GivenUp: once ``given_up`` is set.
        """
        given_up = given_up or Event()
        waited = 0.0
        while True:
            answer = self._send(method, path, wish, body, given_up)
            if answer.is_success:
                return answer
            pause = _pause(answer)
            if pause is None or waited + pause > PATIENCE:
                raise self.refusal(answer.status_code, answer.content, answer.headers)
            waited += pause
            if given_up.wait(pause):
                raise GivenUp

    def _send(
        self, method: str, path: str, wish: Mapping[str, str] | None, body: Body | None, given_up: Event
    ) -> httpx.Response:
        content, headers = None, {}
        if body is not None:
            content = body.blocks(given_up)
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(body.size)}
        with self._faults():
            return self._http.request(method, path, params=wish, content=content, headers=headers)

    def events(self, path: str) -> Generator[Any]:
        """Yield the data of server-sent events until the service ends them; None for a sign of life.

        Raises:
            VoxtraitError, ServiceError: as `send`.
        """
        headers = {"Accept": "text/event-stream"}
        with self._faults(), self._http.stream("GET", path, headers=headers) as answer:
            if not answer.is_success:
                answer.read()
                raise self.refusal(answer.status_code, answer.content, answer.headers)
            data: list[str] = []
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    data.append(line[5:])
                elif not line and data:
                    yield json.loads("\n".join(data))
                    data.clear()
                else:
                    yield None

    def stranger(self, what: str) -> ServiceError:
        """Return the error for who is no voxtrait service."""
        return ServiceError("not_voxtrait", f"{self.url} is no voxtrait service: it answered {what}.")

    def unreached(self, reason: str) -> ServiceError:
        """Return the error for an address at which nobody answers."""
        return ServiceError(
            "unreached",
            f"Nobody answers at {self.url} ({reason.rstrip('.')}): is 'voxtrait serve' running there?",
        )

    def refusal(self, status: int, body: bytes | bytearray, headers: Mapping[str, str]) -> VoxtraitError:
        """Return the error that an answer tells."""
        if status == 401:
            said = "does not know this key" if self.headers else "asks for a key"
            return ServiceError("key", f"{self.url} {said}: give one of those in its --api-key-file.")
        try:
            problem = json.loads(body)
            code, detail = str(problem["code"]), str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            if status in (502, 503, 504):
                return ServiceError("unreached", f"The service behind {self.url} does not answer ({status}).")
            to = headers.get("Location")
            return self.stranger(f"{status}, and points to {to}" if to else str(status))
        # Another service may tell its problems in the same way.
        return self.stranger(str(status)) if code in ("no_route", "method") else error_of(code, detail)

    @contextmanager
    def _faults(self) -> Generator[None]:
        """Turn what httpx raises into errors of the package."""
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = str(error).partition("] ")[2] or str(error)
            raise self.unreached(reason or f"not within {_CONNECT:g} seconds") from error
        except httpx.TimeoutException as error:
            message = f"{self.url} gave no sign for {self.timeout:g} seconds."
            raise ServiceError("timed_out", message) from error
        except httpx.TransportError as error:
            reason = str(error).rstrip(".") or type(error).__name__
            raise ServiceError("broken_off", f"The connection to {self.url} broke off ({reason}).") from error


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise UsageError(
            "usage", f"{url[:200]!a} is no address of a service: give one such as http://127.0.0.1:8000."
        )
    return url.rstrip("/")


def _pause(answer: httpx.Response) -> float | None:
    """Return the seconds after which a refused request may be sent again; None is never."""
    if answer.status_code not in _LATER:
        return None
    asked = answer.headers.get("retry-after", "")
    return float(asked) if asked.isdecimal() else 1.0
