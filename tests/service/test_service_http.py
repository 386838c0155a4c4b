"""Requests and answers over real sockets: each says what `predict` says, or one clear sentence."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import voxtrait
from service_toys import EXAMPLES, ROOT, Service, assert_alike, running_service, service_environment
from voxtrait.exports import EXPORTS
from voxtrait.results import Prediction

SCHEMA = json.loads((ROOT / "tests" / "contract" / "prediction.schema.json").read_text())
RECORDINGS = sorted(path for path in EXAMPLES.iterdir() if path.suffix not in (".md", ".py"))


def post(service: Service, path: Path, **parameters: Any) -> Any:
    with service.client() as client:
        files = {"file": (path.name, path.read_bytes())}
        return client.post("/v1/predict", params=parameters, files=files)


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["detail"].endswith((".", "?"))
    assert len(body["detail"].splitlines()) == 1
    return answer.status_code, body["code"]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_the_answer_is_that_of_predict(service: Service, path: Path) -> None:
    answer = post(service, path, segments=True, speakers=True)
    assert answer.status_code == 200
    expected = voxtrait.predict(path, segments=True, speakers=True).to_dict()
    assert_alike(answer.json(), {**expected, "file": path.name})
    jsonschema.validate(answer.json(), SCHEMA)


def test_a_raw_body_is_a_recording_too(service: Service) -> None:
    path = EXAMPLES / "man.ogg"
    with service.client() as client:
        for kind in ("audio/ogg", "application/octet-stream", ""):
            headers = {"content-type": kind} if kind else {}
            raw = client.post(
                "/v1/predict", params={"name": "x.ogg"}, content=path.read_bytes(), headers=headers
            )
            assert_alike(raw.json(), {**post(service, path).json(), "file": "x.ogg"})
        chunks = (path.read_bytes()[at : at + 777] for at in range(0, path.stat().st_size, 777))
        chunked = client.post("/v1/predict", content=chunks)
    assert_alike(chunked.json()["gender"], raw.json()["gender"])


def test_options_are_those_of_predict(service: Service) -> None:
    path = EXAMPLES / "interview.m4a"
    plain = post(service, path, model="voxtrait-base", channel=1)
    assert set(plain.json()) == set(voxtrait.predict(path).to_dict())
    assert problem(post(service, path, channel=3)) == (422, "bad_channel")
    assert problem(post(service, path, model="nobody")) == (404, "bundle_not_found")
    assert problem(post(service, path, segments="perhaps")) == (422, "usage")
    assert problem(post(service, path, format="xml")) == (422, "usage")
    assert problem(post(service, path, channel=0)) == (422, "usage")


@pytest.mark.parametrize("name", EXPORTS)
def test_every_format_by_predict_and_by_convert(service: Service, name: str) -> None:
    path = EXAMPLES / "interview.m4a"
    direct = post(service, path, format=name, segments=True, speakers=True)
    answer = post(service, path, segments=True, speakers=True).json()
    with service.client() as client:
        converted = client.post("/v1/convert", params={"format": name}, json=answer)
    assert direct.status_code == converted.status_code == 200
    assert len(direct.text.splitlines()) == len(converted.text.splitlines())
    assert direct.headers["content-type"].partition(";")[0] == EXPORTS[name].media_type
    if name == "json":
        assert converted.json() == answer
    else:
        assert f"interview{EXPORTS[name].suffix}" in direct.headers["content-disposition"]
        stream = io.StringIO(newline="")
        writer = EXPORTS[name](stream, segments=True, speakers=True)
        writer.write(Prediction.from_dict(answer))
        writer.finish()
        assert converted.text == stream.getvalue()


def test_csv_can_be_read(service: Service) -> None:
    text = post(service, EXAMPLES / "woman.mp3", format="csv").text
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["file"], row["gender"]) == ("woman.mp3", "female")


def test_a_format_with_a_timeline_adds_it(service: Service) -> None:
    answer = post(service, EXAMPLES / "interview.m4a", format="rttm")
    assert answer.text.count("SPEAKER ") == 6
    with service.client() as client:
        bare = post(service, EXAMPLES / "woman.mp3").json()
        assert problem(client.post("/v1/convert", params={"format": "rttm"}, json=bare)) == (
            409,
            "no_timeline",
        )


def test_what_is_no_recording_is_one_sentence(service: Service, tmp_path: Path) -> None:
    def told(name: str, content: bytes) -> tuple[int, str]:
        path = tmp_path / name
        path.write_bytes(content)
        return problem(post(service, path))

    assert told("notes.txt", b"nothing to be heard here\n" * 9) == (422, "not_audio")
    assert told("empty.wav", b"") == (422, "empty")
    assert told("cut.wav", (EXAMPLES / "phone.wav").read_bytes()[:30]) == (422, "corrupt")
    with service.client() as client:
        assert problem(client.post("/v1/predict")) == (422, "empty")
        assert problem(client.post("/v1/predict", files={"sound": ("a.wav", b"x")})) == (422, "usage")
        assert problem(client.post("/v1/predict", data={"file": "a.wav"}, files={"f": b"x"})) == (
            422,
            "usage",
        )
        form = {"content-type": "multipart/form-data"}
        assert problem(client.post("/v1/predict", content=b"--x", headers=form)) == (422, "usage")
        form = {"content-type": "multipart/form-data; boundary=x"}
        assert problem(client.post("/v1/predict", content=b"--x\r\nbad", headers=form)) == (422, "usage")


def test_addresses_and_methods_that_there_are_not(service: Service) -> None:
    with service.client() as client:
        assert problem(client.get("/v1/nothing")) == (404, "no_route")
        assert problem(client.get("/page/../app.py")) == (404, "no_route")
        wrong = client.get("/v1/predict")
        assert problem(wrong) == (405, "method")
        assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\voice.wav", "voice.wav"),
        ("..", ".."),
        ("a\x00b\nc.wav", "abc.wav"),
        ("\u202egnp.wav", "gnp.wav"),
        ("", "upload"),
        ("/", "upload"),
        ("x" * 5000, "x" * 200),
        ("Größe 東京.wav", "Größe 東京.wav"),
    ],
)
def test_names_are_names_and_no_paths(service: Service, given: str, kept: str) -> None:
    before = set(Path(service.folder).rglob("*"))
    with service.client() as client:
        answer = client.post(
            "/v1/predict", params={"name": given}, content=(EXAMPLES / "man.ogg").read_bytes()
        )
    assert answer.json()["file"] == kept
    assert set(Path(service.folder).rglob("*")) == before


def test_models_server_and_probes(service: Service) -> None:
    with service.client() as client:
        (model,) = client.get("/v1/models").json()["models"]
        assert (model["title"], model["default"]) == (voxtrait.load_bundle("voxtrait-base").title, True)
        assert model["tasks"] == ["gender", "age"]
        assert model["card"]["sha256"] == voxtrait.load_bundle("voxtrait-base").sha256
        server = client.get("/v1/server").json()
        assert server["max_upload"] == 20 << 20
        assert [one["name"] for one in server["formats"]] == list(EXPORTS)
        assert server["key_required"] is False
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}
        # Monitors look with HEAD.
        for path in ("/", "/healthz", "/readyz"):
            seen, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"] == seen.headers["content-type"]


def test_figures_count_what_was_answered(service: Service) -> None:
    def figure(name: str) -> float:
        with service.client() as client:
            lines = client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    audio, silent = (
        'voxtrait_audio_seconds_total{lane="predict"}',
        'voxtrait_answers_total{status="no_speech"}',
    )
    requests = 'voxtrait_requests_total{method="POST",route="/v1/predict",status="200"}'
    before = figure(audio), figure(silent), figure(requests)
    duration = post(service, EXAMPLES / "silence.wav").json()["duration"]
    after = figure(audio), figure(silent), figure(requests)
    assert after == pytest.approx((before[0] + duration, before[1] + 1, before[2] + 1))
    assert figure("voxtrait_uploads_in_flight") == 0


def test_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("# ours\nfirst-key\n\n  second-key  \n")
    with (
        running_service(tmp_path, "--api-key-file", keys, "--workers", "1") as service,
        service.client() as client,
    ):
        for path in ("/v1/models", "/metrics"):
            assert problem(client.get(path)) == (401, "key")
            for bad in ("Bearer wrong", "Bearer x y", "Basic Zmlyc3Qta2V5", "first-key", "Bearer first-key2"):
                refused = client.get(path, headers={"authorization": bad})
                assert problem(refused) == (401, "key")
                assert refused.headers["www-authenticate"] == "Bearer"
            for good in ("first-key", "second-key"):
                assert client.get(path, headers={"authorization": f"Bearer {good}"}).status_code == 200
        assert problem(client.post("/v1/predict", content=b"x")) == (401, "key")
        assert client.get("/v1/server").json()["key_required"] is True
        for open_path in ("/healthz", "/readyz", "/", "/openapi.json"):
            assert client.get(open_path).status_code == 200
        assert "first-key" not in json.dumps(service.log)


def test_other_pages_may_call_if_told_so(tmp_path: Path) -> None:
    origin = "https://voices.example"
    asks = {"origin": origin, "access-control-request-method": "POST"}
    with running_service(tmp_path, "--cors", origin, "--workers", "1") as service, service.client() as client:
        allowed = client.options("/v1/predict", headers=asks)
        assert allowed.headers["access-control-allow-origin"] == origin
        other = client.options("/v1/predict", headers={**asks, "origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


def test_a_page_of_another_origin_may_not(service: Service) -> None:
    with service.client() as client:
        answer = client.get("/v1/models", headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_the_log_tells_requests_and_nothing_of_them(tmp_path: Path) -> None:
    with running_service(tmp_path, "--workers", "1") as service:
        with service.client() as client:
            for name in ("secret-name.ogg", "secret-name.txt"):
                content = (EXAMPLES / "man.ogg").read_bytes() if name.endswith("ogg") else b"no audio"
                client.post("/v1/predict", files={"file": (name, content)})
                client.post("/v1/predict", params={"name": name}, content=content)
            client.get("/v1/nothing/secret-name")
        log = service.log
    lines = (service.folder / "stderr").read_text().splitlines()
    assert [json.loads(line) for line in lines][: len(log)] == log
    told = [(line["method"], line["route"], line["status"]) for line in log if line["event"] == "request"]
    assert told.count(("POST", "/v1/predict", 200)) == 2
    assert told.count(("POST", "/v1/predict", 422)) == 2
    assert "secret" not in json.dumps(log)
    assert all(
        line["seconds"] >= 0 and line["time"].endswith("Z") for line in log if line["event"] == "request"
    )


def test_settings_may_come_by_the_environment(tmp_path: Path) -> None:
    told = {
        "VOXTRAIT_WORKERS": "1",
        "VOXTRAIT_MAX_UPLOAD": "3",
        "VOXTRAIT_MAX_DURATION": "10",
        "VOXTRAIT_CORS": "https://one.example https://two.example",
    }
    with running_service(tmp_path, **told) as service, service.client() as client:
        server = client.get("/v1/server").json()
        assert (server["max_upload"], server["max_duration"], server["predict_duration"]) == (3 << 20, 10, 10)
        for origin in ("https://one.example", "https://two.example"):
            answer = client.get("/healthz", headers={"origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
        refused = post(service, EXAMPLES / "interview.m4a")
        assert problem(refused) == (413, "too_long")
        # A job would be no longer.
        assert "jobs" not in refused.json()["detail"]
        assert post(service, EXAMPLES / "woman.mp3").status_code == 200


@pytest.mark.parametrize(
    ("options", "environment", "named"),
    [
        ([], {"VOXTRAIT_PORT": "many"}, "VOXTRAIT_PORT"),
        (["--log-level", "loud"], {}, "loud"),
        (["--model", "nobody"], {}, "nobody"),
        (["--model", "voxtrait-base", "--model", "voxtrait-base"], {}, "two models"),
        (["--api-key-file", "none.txt"], {}, "none.txt"),
        (["--host", "203.0.113.9"], {}, "203.0.113.9"),
        ([], {"VOXTRAIT_DATABASE_URL": "mysql://here"}, "postgresql"),
    ],
)
def test_settings_that_make_no_sense(
    tmp_path: Path, options: list[str], environment: dict[str, str], named: str
) -> None:
    words = [sys.executable, "-m", "voxtrait", "serve", "--port", "0", *options]
    if "VOXTRAIT_PORT" in environment:
        words = words[:4]
    env = service_environment(tmp_path, **environment)
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error[")
    assert named in line
