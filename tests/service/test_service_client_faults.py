"""What can go wrong between a client and a service is told as one of the package's own errors."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from scripted_toys import SERVER, Answer, scripted

import voxtrait
from service_toys import EXAMPLES
from voxtrait import Client

MAN = EXAMPLES / "man.ogg"
SILENT = {
    "file": "man.ogg",
    "status": "no_speech",
    "duration": 9.5,
    "speech": 0.0,
    "gender": None,
    "age": None,
    "error": None,
    "model": "toy 0.1",
}
JOBS = SERVER | {"max_duration": 3600.0}
OTHERS = {
    "a page": Answer(b"<html>", 200),
    "no page": Answer(b"<html>", 404),
    "other JSON": Answer({"hello": "world"}),
    "a list": Answer([1]),
    "another's problem": Answer({"code": "no_route", "detail": "Nothing here."}, 404),
    "a way elsewhere": Answer(b"", 301, {"Location": "https://example.org/"}),
}


def problem(code: str, status: int, **headers: str) -> Answer:
    return Answer(
        {"type": "about:blank", "status": status, "code": code, "detail": "That was wrong."}, status, headers
    )


def job(state: str, heard: float | None = None) -> dict[str, Any]:
    return {"id": "j", "state": state, "heard": heard}


def events(*states: Any) -> Answer:
    return Answer("".join(f"event: job\ndata: {json.dumps(state)}\n\n" for state in states).encode())


@pytest.mark.parametrize("what", OTHERS)
def test_another_program_is_sent_nothing(what: str) -> None:
    with scripted({"/v1/server": [OTHERS[what]]}) as server, Client(server.url) as client:
        for call in (client.models, lambda: client.predict(MAN), lambda: list(client.predict_many([MAN]))):
            with pytest.raises(voxtrait.ServiceError, match="is no voxtrait service") as raised:
                call()
            assert raised.value.code == "not_voxtrait"
        with pytest.raises(voxtrait.ServiceError):
            client.stream(rate=16_000)
    assert set(server.asked) == {"GET /v1/server"}


def test_what_a_proxy_says_of_a_service_that_is_away() -> None:
    with scripted({"/v1/server": [Answer(b"Bad gateway", 502)]}) as server, Client(server.url) as client:
        with pytest.raises(voxtrait.ServiceError) as raised:
            client.models()
        assert raised.value.code == "unreached"


def test_load_is_waited_out() -> None:
    refusals = [
        problem("busy", 429, **{"Retry-After": "0"}),
        problem("stopping", 503, **{"Retry-After": "0"}),
    ]
    with scripted({"/v1/predict": [*refusals, Answer(SILENT)]}) as server, Client(server.url) as client:
        assert client.predict(MAN).file == str(MAN)
        assert server.asked.count("POST /v1/predict") == 3


def test_load_is_not_waited_out_for_ever() -> None:
    busy = problem("busy", 429, **{"Retry-After": "100000"})
    with scripted({"/v1/predict": [busy]}) as server, Client(server.url) as client:
        with pytest.raises(voxtrait.ServiceError, match="That was wrong") as raised:
            client.predict(MAN)
        assert (raised.value.code, server.asked.count("POST /v1/predict")) == ("busy", 1)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("not_audio", 422, voxtrait.AudioError),
        ("too_large", 413, voxtrait.AudioError),
        ("internal", 500, voxtrait.AudioError),
        ("bundle_not_found", 404, voxtrait.BundleError),
        ("usage", 422, voxtrait.UsageError),
        ("too_slow", 408, voxtrait.ServiceError),
        ("no_space", 507, voxtrait.ServiceError),
    ],
)
def test_a_refusal_is_an_error_with_its_code(code: str, status: int, kind: type[Exception]) -> None:
    with scripted({"/v1/predict": [problem(code, status)]}) as server, Client(server.url) as client:
        with pytest.raises(kind, match="That was wrong") as raised:
            client.predict(MAN)
        assert getattr(raised.value, "code", None) == code


@pytest.mark.parametrize("answer", [Answer({"file": "a"}), Answer(b"{"), Answer([]), Answer(b"", 0)])
def test_an_answer_that_is_none(answer: Answer) -> None:
    with scripted({"/v1/predict": [answer]}) as server, Client(server.url) as client:
        with pytest.raises(voxtrait.ServiceError) as raised:
            client.predict(MAN)
        assert raised.value.code == ("not_voxtrait" if answer.status else "broken_off")


def test_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with Client(url, timeout=0.2) as client, pytest.raises(voxtrait.ServiceError) as raised:
            client.models()
    assert raised.value.code == "timed_out"


def test_events_that_break_off_are_asked_for_again() -> None:
    script = {
        "/v1/server": [Answer(JOBS)],
        "/v1/predict": [problem("too_long", 413)],
        "/v1/jobs": [Answer(job("queued"), 202)],
        "/v1/jobs/j/events": [
            events(job("running", 3.0)), problem("stopping", 503, **{"Retry-After": "1"}),
            events(job("running", 5.0), job("done", 9.5)),
        ],
        "/v1/jobs/j/result": [Answer(SILENT)],
        "/v1/jobs/j": [Answer(b"", 204)],
    }  # fmt: skip
    told: list[float] = []
    with scripted(script) as server, Client(server.url) as client:
        (row,) = client.predict_many([MAN], tick=told.append)
        assert (row.status, told) == ("no_speech", [3.0, 2.0, 4.5])
    assert server.asked[-1] == "DELETE /v1/jobs/j"
    assert server.asked.count("POST /v1/jobs") == 1


def test_what_is_too_long_for_any_job_is_sent_once() -> None:
    with scripted({"/v1/predict": [problem("too_long", 413)]}) as server, Client(server.url) as client:
        with pytest.raises(voxtrait.AudioError) as raised:
            client.predict(MAN)
        assert raised.value.code == "too_long"
    assert server.asked == ["GET /v1/server", "POST /v1/predict"]


def test_what_is_large_is_a_job_at_once(tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    script = {
        "/v1/server": [Answer(JOBS | {"max_upload": 1 << 30})],
        "/v1/jobs": [Answer(job("queued"), 202)],
        "/v1/jobs/j/events": [events(job("done", 9.5))],
        "/v1/jobs/j/result": [Answer(SILENT)],
        "/v1/jobs/j": [Answer(b"", 204)],
    }
    with scripted(script) as server, Client(server.url) as client:
        assert client.predict(path).status == "no_speech"
    assert "POST /v1/predict" not in server.asked


def test_a_job_that_somebody_deletes() -> None:
    script = {
        "/v1/server": [Answer(JOBS)],
        "/v1/predict": [problem("too_long", 413)],
        "/v1/jobs": [Answer(job("queued"), 202)],
        "/v1/jobs/j/events": [events(job("running"), {"id": "j"})],
        "/v1/jobs/j": [problem("no_job", 404)],
    }
    with scripted(script) as server, Client(server.url) as client:
        with pytest.raises(voxtrait.ServiceError) as raised:
            client.predict(MAN)
        assert raised.value.code == "no_job"


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://a", "http://", "http://a b", "http://a:x", "http://a?b=1"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(voxtrait.UsageError, match="is no address of a service"):
        Client(url)


@pytest.mark.parametrize("wish", [{"key": ""}, {"key": "a\nb"}, {"key": "schlüssel"}, {"timeout": 0}])
def test_arguments_that_make_no_sense(wish: dict[str, Any]) -> None:
    with pytest.raises(voxtrait.UsageError):
        Client("http://127.0.0.1", **wish)


def test_a_path_before_the_service_is_kept() -> None:
    answers = {"/voices/v1/server": [Answer(SERVER)],
               "/voices/v1/models": [Answer({"models": []})]}  # fmt: skip
    with scripted(answers) as server, contextlib.closing(Client(f"{server.url}/voices/")) as client:
        assert client.models() == []


def test_what_is_too_large_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "large.wav"
    path.write_bytes(bytes(SERVER["max_upload"] + 1))
    with scripted({}) as server, Client(server.url) as client:
        with pytest.raises(voxtrait.AudioError, match="larger than the 1,048,576 bytes") as raised:
            client.predict(path)
        assert raised.value.code == "too_large"
        assert server.asked == ["GET /v1/server"]
