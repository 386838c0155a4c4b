"""A real service as a process, a real PostgreSQL, and recordings, for the tests of jobs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest

from service_toys import Service, start_service, stop_service
from voice_toys import MAN, RATE, WOMAN, pitch_bundle, say, silence, wav
from voxtrait import Predictor
from voxtrait.bundle import save_bundle

_Value = TypeVar("_Value")
Json = dict[str, Any]


class Jobs:
    """What a service says of jobs."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.http = service.client()

    def post(self, content: bytes, name: str = "a.wav", **query: Any) -> Json:
        """Send a recording and return its job."""
        answer = self.http.post("/v1/jobs", params={"name": name, **query}, content=content)
        assert answer.status_code == 202, answer.text
        job: Json = answer.json()
        assert answer.headers["location"] == job["links"]["self"]
        return job

    def post_still(self, count: int) -> list[str]:
        """Send recordings that keep as many processes busy until they are deleted; return their ids."""
        return [self.post(still(), "still.aac")["id"] for _ in range(count)]

    def get(self, key: str) -> Json:
        """Return a job as it stands."""
        answer = self.http.get(f"/v1/jobs/{key}")
        assert answer.status_code == 200, answer.text
        job: Json = answer.json()
        return job

    def in_state(self, key: str, *states: str) -> Json:
        """Wait until a job is in one of some states."""

        def look() -> Json | None:
            job = self.get(key)
            return job if job["state"] in states else None

        return wait_until(look)

    def heard(self, key: str) -> Json:
        """Wait until something of a job was heard."""

        def look() -> Json | None:
            job = self.get(key)
            return job if job["heard"] else None

        return wait_until(look)

    def ended(self, key: str) -> Json:
        """Wait for the end of a job."""
        return self.in_state(key, "done", "failed")

    def result(self, key: str, **query: Any) -> httpx.Response:
        return self.http.get(f"/v1/jobs/{key}/result", params=query)

    def delete(self, key: str) -> int:
        return self.http.delete(f"/v1/jobs/{key}").status_code

    def events(self, key: str) -> Iterator[tuple[str, Json]]:
        """Yield the events of a job with their data."""
        with self.http.stream("GET", f"/v1/jobs/{key}/events") as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            event = ""
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    event = value
                elif field == "data":
                    yield event, json.loads(value)

    def kill(self) -> None:
        """End the service at once, in the middle of whatever it does."""
        self.http.close()
        self.service.process.kill()
        self.service.process.wait(30)

    def stop(self) -> None:
        """End the service in order."""
        self.http.close()
        assert stop_service(self.service) == 0


def start_jobs(folder: Path, database: str, *options: str | Path) -> Jobs:
    """Start a service with a toy model and two processes."""
    folder.mkdir(exist_ok=True)
    model = folder / "model"
    if not model.exists():
        save_bundle(model, pitch_bundle().card, pitch_bundle().model)
    words = ("--model", model, "--workers", "2", "--max-duration", "40000", *options)
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return Jobs(start_service(folder, *words, VOXTRAIT_DATABASE_URL=database, **threads))


@contextmanager
def running_jobs(folder: Path, database: str, *options: str | Path) -> Iterator[Jobs]:
    """Run such a service as long as the context lasts, or until it is ended otherwise."""
    jobs = start_jobs(folder, database, *options)
    try:
        yield jobs
    finally:
        jobs.kill()


def sqlite_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'jobs' / 'jobs.sqlite3'}"


def wait_until(look: Callable[[], _Value | None], seconds: float = 60) -> _Value:
    """Look again and again until something is found."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


class PostgreSQL:
    """A server of its own in a temporary folder, reached by a socket in it.

    Args:
        programs: where its programs are.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="voxtrait-pg-"))
        if os.getuid() == 0:
            # It does not run as root.
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-A", "trust", "-U", "voxtrait", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://voxtrait@/postgres?host={self.folder}"

    def start(self) -> None:
        settings = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections=40"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", settings, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *words: str) -> None:
        who = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run(
            [*who, str(self._programs / program), "-D", str(self.folder / "data"), *words],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=60,
        )  # fmt: skip


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Run a server as long as the context lasts; skip the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = found[-1] if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("needs PostgreSQL's programs: apt-get install postgresql")
    server = PostgreSQL(Path(initdb).parent)
    try:
        yield server
    finally:
        server.remove()


def speech(number: int) -> bytes:
    """Return the bytes of a recording unlike that of any other number."""
    voice = (MAN, WOMAN)[number % 2]
    words = say(voice=voice)[: RATE * 2 + number * 800]
    return wav(np.concatenate([silence(0.1 + number / 100), words, silence(0.3)]))


@cache
def _predictor() -> Predictor:
    return Predictor(pitch_bundle())


@cache
def expected(number: int, name: str) -> Json:
    """Return what a job with the timeline of such a recording ends with."""
    return _predictor().predict(speech(number), segments=True, name=name).to_dict()


def noise(size: int, seed: int = 0) -> bytes:
    """Return a recording of noise of about so many bytes."""
    samples = np.random.default_rng(seed).integers(-2000, 2000, size // 2, np.int16)
    return wav(samples)


@cache
def still() -> bytes:
    """Return a recording of six hours without a sound, which take a while to hear."""
    minute = "ffmpeg -loglevel error -f lavfi -i anullsrc=r=8000:cl=mono -t 60 -c:a aac -b:a 8k -f adts -"
    return subprocess.run(minute.split(), check=True, capture_output=True).stdout * 360


def long_mp3(folder: Path) -> bytes:
    """Return a recording of half an hour of speech."""
    source = folder / "spoken.wav"
    source.write_bytes(wav(np.concatenate([say(), silence(0.7), say(voice=WOMAN), silence(0.7)])))
    words = f"ffmpeg -loglevel error -stream_loop -1 -i {source} -t 60 -b:a 32k -write_xing 0 -f mp3 -"
    return subprocess.run(words.split(), check=True, capture_output=True).stdout * 30
