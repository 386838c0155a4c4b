"""`voxtrait.Client` says what a `Predictor` says, and `voxtrait predict --server` what it prints without."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from jobs_toys import wait_until

import voxtrait
from service_toys import EXAMPLES, Service, assert_alike, running_service, service_environment
from voice_toys import RATE, dialogue, say, wav
from voxtrait import Client, Predictor
from voxtrait.audio import AudioSource

MAN = EXAMPLES / "man.ogg"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor()


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def long(workshop: Path) -> Path:
    """A recording of 16 minutes, which is a job."""
    path = workshop / "service-long.flac"
    silence = np.zeros(16 * 60 * RATE, np.float32)
    soundfile.write(path, np.concatenate([dialogue(2), silence]), RATE, subtype="PCM_16")
    return path


def sources() -> dict[str, tuple[Any, dict[str, Any]]]:
    samples, rate = soundfile.read(EXAMPLES / "call.ogg")
    voice = np.round(say() * 32767).astype(np.int16)
    return {
        "path": (MAN, {}),
        "text": (str(EXAMPLES / "silence.wav"), {}),
        "bytes": (MAN.read_bytes(), {}),
        "file object": (io.BytesIO(MAN.read_bytes()), {}),
        "integers": (voice, {"rate": RATE}),
        "floats of two channels": (samples, {"rate": rate, "channel": 2}),
        "channels first": (samples.T.astype(np.float32), {"rate": rate}),
        "beyond full scale": (say() * np.float32(3), {"rate": RATE}),
        "timeline": (EXAMPLES / "interview.m4a", {"segments": True, "speakers": True}),
        "name": (MAN, {"name": "völlig/anders?&#.mp3"}),
    }


@pytest.mark.parametrize("kind", sources())
def test_it_says_what_a_predictor_says(kind: str, client: Client, predictor: Predictor) -> None:
    source, wish = sources()[kind]
    assert_alike(client.predict(source, **wish).to_dict(), predictor.predict(source, **wish).to_dict())


@pytest.mark.parametrize(
    ("source", "wish"),
    [
        (MAN, {"channel": 7}),
        ("/nowhere/gone.wav", {}),
        (EXAMPLES, {}),
        (EXAMPLES / "README.md", {}),
        (b"", {}),
        (np.zeros(10), {}),
        (np.zeros(10), {"rate": 7}),
        (np.zeros((5, 5, 5)), {"rate": RATE}),
        (MAN, {"rate": RATE}),
    ],
)
def test_it_raises_what_a_predictor_raises(
    source: Any, wish: dict[str, Any], client: Client, predictor: Predictor
) -> None:
    with pytest.raises(voxtrait.AudioError) as expected:
        predictor.predict(source, **wish)
    with pytest.raises(voxtrait.AudioError) as raised:
        client.predict(source, **wish)
    assert (raised.value.code, raised.value.message) == (expected.value.code, expected.value.message)


def test_many_in_turn(client: Client, predictor: Predictor, tmp_path: Path) -> None:
    whole = wav(dialogue(1))
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "\udcff.wav").write_bytes(whole)
    given: list[AudioSource] = [
        *sorted(EXAMPLES.iterdir()),
        "gone.wav",
        *sorted(tmp_path.iterdir()),
        whole,
    ] * 2
    told: list[float] = []
    rows = [row.to_dict() for row in client.predict_many(given, tick=told.append)]
    assert_alike(rows, [row.to_dict() for row in predictor.predict_many(given)])
    assert {row["status"] for row in rows} == {"ok", "no_speech", "error"}
    assert sum(told) == pytest.approx(sum(row["duration"] or 0 for row in rows), abs=0.5)
    assert list(client.predict_many([])) == []


def test_the_models(client: Client, predictor: Predictor) -> None:
    (model,) = client.models()
    assert client.title() == client.title(model["name"]) == model["title"] == predictor.bundle.title
    assert client.predict(MAN, model=model["name"]) == client.predict(MAN)
    for call in (lambda: client.predict(MAN, model="nobody"), lambda: client.title("nobody")):
        with pytest.raises(voxtrait.BundleError, match="'nobody'") as raised:
            call()
        assert raised.value.code == "bundle_not_found"


def test_a_long_recording_is_a_job(
    client: Client, predictor: Predictor, service: Service, long: Path
) -> None:
    told: list[float] = []
    (row,) = client.predict_many([long], segments=True, tick=told.append)
    assert_alike(row.to_dict(), predictor.predict(long, segments=True).to_dict())
    assert row.duration is not None
    assert sum(told) == pytest.approx(row.duration, abs=0.1)
    asked = [
        ("POST", "/v1/jobs", 202),
        ("GET", "/v1/jobs/{id}/events", 200),
        ("GET", "/v1/jobs/{id}/result", 200),
        ("DELETE", "/v1/jobs/{id}", 204),
    ]
    # A request may be logged after it was answered.
    wait_until(lambda: _asked_of_jobs(service)[-4:] == asked)


def test_a_long_recording_that_fails_as_a_job(client: Client, long: Path) -> None:
    with pytest.raises(voxtrait.AudioError) as raised:
        client.predict(long, channel=2)
    assert (raised.value.code, raised.value.message.startswith(str(long))) == ("bad_channel", True)


def test_who_leaves_early_leaves_no_job(client: Client, service: Service, long: Path) -> None:
    begun = threading.Event()

    def tick(seconds: float) -> None:
        if seconds > 60:
            begun.set()

    answers = client.predict_many([MAN, long, long, long], tick=tick)
    assert next(answers).status == "ok"
    assert begun.wait(60)
    answers.close()  # type: ignore[attr-defined]
    wait_until(lambda: _count(service, "POST", 202) <= _count(service, "DELETE", 204))


def _asked_of_jobs(service: Service) -> list[tuple[str, str, int]]:
    """Return method, address and status of what the service has logged about jobs."""
    lines = [line for line in service.log if "/jobs" in line.get("route", "")]
    return [(line["method"], line["route"], line["status"]) for line in lines]


def _count(service: Service, method: str, status: int) -> int:
    return sum((way, said) == (method, status) for way, _, said in _asked_of_jobs(service))


def test_a_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# of tests\n\nopen-sesame\nanother\n")
    (tmp_path / "wrong").write_text("wrong\n")
    with running_service(tmp_path, "--workers", "1", "--api-key-file", tmp_path / "keys") as service:
        for key, said in ((None, "asks for a key"), ("wrong", "does not know this key")):
            with Client(service.url, key=key) as client:
                for call in (client.models, lambda: client.predict(MAN)):
                    with pytest.raises(voxtrait.ServiceError, match=said) as raised:
                        call()
                    assert raised.value.code == "key"
                with pytest.raises(voxtrait.ServiceError) as raised, client.stream(rate=RATE):
                    pass
                assert raised.value.code == "key"
        with Client(service.url, key="another") as client, client.stream(rate=RATE) as live:
            assert client.predict(MAN).status == "ok"
            live.send(bytes(RATE))
            assert live.finish().status == "no_speech"
        for name, code in (("keys", 0), ("wrong", 2)):
            options = ["--server", service.url, "--api-key-file", str(tmp_path / name)]
            assert _predict(MAN, *options).returncode == code


def _predict(*arguments: str | Path, program: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``voxtrait predict`` after a program, which sees ``sys``."""
    run = f"import atexit, sys\n{program}\nfrom voxtrait.cli import run\nsys.exit(run(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", run, "predict", *arguments],
        env=service_environment(Path("/nowhere"), TMPDIR=os.environ.get("TMPDIR", "/tmp")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "options", [["-f", "jsonl"], ["-f", "json", "--speakers"], ["-f", "csv", "--segments", "--channel", "2"]]
)
def test_predict_prints_the_same_with_a_server(service: Service, options: list[str]) -> None:
    paths = [str(EXAMPLES), str(EXAMPLES / "README.md"), "gone.wav"]
    here = _predict(*paths, *options)
    there = _predict(*paths, *options, "--server", service.url)
    assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)
    assert there.returncode == 1


def test_predict_with_a_server_loads_no_model(service: Service) -> None:
    tell = "atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    done = _predict(MAN, "--server", service.url, program=tell)
    assert done.returncode == 0
    assert not {"onnxruntime", "fastapi", "websockets"} & set(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--server", "http://127.0.0.1:9"], "unreached"),
        (["--server", "127.0.0.1:8000"], "usage"),
        (["--api-key-file", "keys"], "usage"),
        (["--server", "http://127.0.0.1:9", "--api-key-file", "/nowhere/keys"], "usage"),
    ],
)
def test_predict_says_what_is_wrong_with_a_server(options: list[str], code: str) -> None:
    done = _predict(MAN, "-f", "jsonl", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error[{code}]: ")
    assert done.stderr.count("\n") == 1


def test_predict_asks_the_model_that_is_named(service: Service, tmp_path: Path) -> None:
    done = _predict(MAN, "--server", service.url, "--model", "nobody", "-o", tmp_path / "a.csv")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "error[bundle_not_found]" in done.stderr


@pytest.mark.parametrize("package", ["httpx", "websockets"])
def test_a_missing_package_is_one_line(package: str, service: Service) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\nimport voxtrait\n"
        "with voxtrait.Client(sys.argv[1]) as client:\n    client.stream(rate=16_000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, service.url], capture_output=True, text=True, check=False,
        env=service_environment(Path("/nowhere")),
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert "MissingExtraError" in last
    assert last.endswith(f"the package {package!r}, which is not installed: pip install 'voxtrait[client]'")
