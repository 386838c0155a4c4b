"""Errors as the answers of RFC 9457, `application/problem+json`, with the codes of the command line."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match

from voxtrait.errors import AudioError, VoxtraitError

__all__ = [
    "PROBLEMS",
    "STOPPING",
    "ProblemBody",
    "Refusal",
    "audio_refusal",
    "first_fault",
    "install_problems",
    "no_space",
    "problem_response",
    "refusal_of",
    "stopping",
]

_log = logging.getLogger("voxtrait.service")

#: Statuses of codes; of others an `AudioError` is 422, as the request was well formed but its content is not.
_STATUS: Final = {
    "too_long": 413,
    "bundle_not_found": 404,
    "no_space": 507,
    "internal": 500,
    "workers": 503,
    "missing_extra": 501,
}
#: Seconds after which who was refused because of load may try again.
_LATER: Final = "5"
#: What is said of the code ``stopping``.
STOPPING: Final = "The service is being stopped: try again soon."


class ProblemBody(BaseModel):
    """An error: ``code`` is for programs, ``detail`` one sentence for people."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    code: str = Field(examples=["not_audio"])
    detail: str = Field(examples=["notes.txt is not an audio or video file that can be read."])


class Refusal(Exception):  # noqa: N818 - no error of the program
    """An answer that is an error: its status, its code and one sentence."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def no_space() -> Refusal:
    """Return the refusal for a disk that is full."""
    return Refusal(
        507, "no_space", "The disk of the service is full: try again later.", {"Retry-After": _LATER}
    )


def stopping() -> Refusal:
    """Return the refusal for what comes when the service ends."""
    return Refusal(503, "stopping", STOPPING, {"Retry-After": _LATER})


def first_fault(errors: Sequence[Mapping[str, Any]], skip: int = 0) -> str:
    """Return where the first of pydantic's errors lies, and what it is, without a full stop.

    Args:
        errors: at least one.
        skip: parts of the place that nobody needs to know.
    """
    place = ".".join(str(part) for part in errors[0]["loc"][skip:])
    reason = errors[0]["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{place}: {reason}" if place else reason


def problem_response(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return an error as an answer."""
    body = ProblemBody(title=HTTPStatus(status).phrase, status=status, code=code, detail=detail)
    return JSONResponse(body.model_dump(), status, headers=headers, media_type="application/problem+json")


def refusal_of(error: VoxtraitError) -> Refusal:
    """Return the refusal that an error of the package is."""
    status = _STATUS.get(error.code, 422)
    headers = {"Retry-After": _LATER} if status in (503, 507) else None
    return Refusal(status, error.code, error.message, headers)


#: What the description of the interface says of any route.
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "model": ProblemBody,
        "content": {"application/problem+json": {}},
        "description": HTTPStatus(status).phrase,
    }
    for status in (400, 401, 404, 405, 408, 409, 413, 422, 429, 500, 503, 507)
}


def install_problems(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Let every error of an application be a problem.

    Args:
        app: the application.
        routes: all that it answers by methods.
    """

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return problem_response(error.status, error.code, error.message, error.headers)

    @app.exception_handler(VoxtraitError)
    async def failed(_: Request, error: VoxtraitError) -> Response:
        found = refusal_of(error)
        return problem_response(found.status, found.code, found.message, found.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return problem_response(422, "usage", f"{first_fault(error.errors(), skip=1)}.")

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 404:
            return problem_response(404, "no_route", "There is nothing at this address: see /openapi.json.")
        if error.status_code == 405:
            allowed = ", ".join(_methods(request, routes))
            detail = f"{request.method} is not for this address: use {allowed}."
            return problem_response(405, "method", detail, {"Allow": allowed})
        return problem_response(error.status_code, "usage", str(error.detail), headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        # Nobody reads it; the log does.
        return Response(status_code=499)

    @app.exception_handler(OSError)
    async def disk(_: Request, error: OSError) -> Response:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fault(error)
        found = no_space()
        return problem_response(found.status, found.code, found.message, found.headers)

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> Response:
        return _fault(error)


def _methods(request: Request, routes: Sequence[BaseRoute]) -> list[str]:
    """Return the methods of an address; the framework's error names those of one route alone."""
    fitting = (route for route in routes if route.matches(request.scope)[0] != Match.NONE)
    return sorted({method for route in fitting for method in getattr(route, "methods", None) or ()})


def _fault(error: Exception) -> Response:
    _log.error("fault", exc_info=error)
    return problem_response(500, "internal", "The service failed at this request; its log says why.")


def audio_refusal(code: str, message: str) -> Refusal:
    """Return the refusal for a recording that cannot be heard."""
    return refusal_of(AudioError(code, message))
