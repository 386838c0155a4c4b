from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from jobs_toys import (
    Jobs,
    Json,
    PostgreSQL,
    expected,
    noise,
    postgresql,
    running_jobs,
    speech,
    sqlite_in,
    start_jobs,
    wait_until,
)

from service_toys import assert_alike


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


def finished(jobs: Jobs, keys: list[str]) -> dict[str, Json]:
    """Return those jobs that are done, by id."""
    return {key: job for key in keys if (job := jobs.get(key))["state"] == "done"}


def check_all_done(jobs: Jobs, keys: list[str], early: dict[str, Json]) -> None:
    """Wait for all jobs, compare each with its own recording; those done early are as they were."""
    for number, key in enumerate(keys):
        assert jobs.ended(key)["state"] == "done"
        assert_alike(jobs.result(key).json(), expected(number, f"{number}.wav"))
    assert {key: jobs.get(key) for key in early} == early


def post_all(jobs: Jobs, numbers: range) -> list[str]:
    return [jobs.post(speech(number), f"{number}.wav", segments=True)["id"] for number in numbers]


def delete_all(jobs: Jobs, keys: list[str]) -> None:
    for key in keys:
        assert jobs.delete(key) == 204


def test_a_stop_keeps_queue_and_results(tmp_path: Path) -> None:
    with running_jobs(tmp_path / "one", sqlite_in(tmp_path)) as jobs:
        (done,) = post_all(jobs, range(1))
        before = jobs.ended(done)
        busy = jobs.post_still(2)
        for key in busy:
            jobs.heard(key)
        waiting = jobs.post(speech(1), "1.wav", segments=True)["id"]
        events = jobs.events(waiting)
        assert next(events)[1]["state"] == "queued"
        jobs.service.process.terminate()
        # Who listens is not left waiting.
        assert list(events) == []
        jobs.stop()
    with running_jobs(tmp_path / "two", sqlite_in(tmp_path)) as jobs:
        assert jobs.get(done) == before
        # Handed back, and so heard again at once: no lease has to lapse.
        for key in busy:
            jobs.in_state(key, "running")
            jobs.delete(key)
        check_all_done(jobs, [done, waiting], {done: before})


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "jobs.sqlite3").write_bytes(b"Dear diary, " * 999)
    with pytest.raises(
        AssertionError, match=r"error\[database\]: .* cannot be used: file is not a database\."
    ):
        start_jobs(tmp_path / "one", sqlite_in(tmp_path))


def test_a_kill_in_the_middle_of_fifty_jobs(tmp_path: Path) -> None:
    with running_jobs(tmp_path / "one", sqlite_in(tmp_path)) as jobs:
        keys = post_all(jobs, range(20))
        # All fifty cannot be done by the time of the kill, however slowly they are sent.
        busy = jobs.post_still(2)
        keys += post_all(jobs, range(20, 50))
        wait_until(lambda: len(finished(jobs, keys[:15])) >= 10)
        early = finished(jobs, keys)
        jobs.kill()
    assert len(early) <= 20
    with running_jobs(tmp_path / "two", sqlite_in(tmp_path)) as jobs:
        delete_all(jobs, busy)
        check_all_done(jobs, keys, early)


def test_two_servers_of_which_one_is_killed(tmp_path: Path, postgres: PostgreSQL) -> None:
    with running_jobs(tmp_path / "one", postgres.url) as jobs, running_jobs(
        tmp_path / "two", postgres.url
    ) as other:  # fmt: skip
        (held,) = jobs.post_still(1)
        jobs.heard(held)
        keys = post_all(other, range(20))
        busy = other.post_still(3)
        keys += post_all(other, range(20, 50))
        wait_until(lambda: len(finished(other, keys[:15])) >= 10)
        early = finished(other, keys)
        jobs.kill()
        assert len(early) <= 20
        started = other.get(held)["started"]
        delete_all(other, busy)
        # What the dead one had is taken when its lease has lapsed.
        check_all_done(other, keys, early)
        wait_until(lambda: other.get(held)["started"] != started)
        assert other.get(held)["state"] == "running"
        assert other.delete(held) == 204


def test_another_server_shows_and_deletes_a_job(tmp_path: Path, postgres: PostgreSQL) -> None:
    with running_jobs(tmp_path / "one", postgres.url) as jobs:
        (key,) = jobs.post_still(1)
        jobs.in_state(key, "running")
        with running_jobs(tmp_path / "two", postgres.url) as other:
            events = other.events(key)
            heard = 0.0
            while not heard:
                name, data = next(events)
                assert (name, data["state"]) == ("job", "running")
                heard = data["heard"]
            assert other.delete(key) == 204
            assert list(events)[-1] == ("gone", {"id": key})
        # It is given up where it was heard, so that there is place for others.
        keys = post_all(jobs, range(2))
        check_all_done(jobs, keys, {})


def test_postgresql_goes_and_comes_back(tmp_path: Path, postgres: PostgreSQL) -> None:
    with running_jobs(tmp_path / "one", postgres.url) as jobs:
        keys = post_all(jobs, range(30))
        wait_until(lambda: len(finished(jobs, keys[:5])) >= 2)
        postgres.stop()
        for path, method in (("/v1/jobs", "POST"), (f"/v1/jobs/{keys[-1]}", "GET"), ("/readyz", "GET")):
            answer = jobs.http.request(method, path, content=speech(1) if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (503, "database")
            assert int(answer.headers["retry-after"]) > 0
        # The rest of the service does not need it.
        assert jobs.http.post("/v1/predict", content=speech(1)).status_code == 200
        postgres.start()
        wait_until(lambda: jobs.http.get("/readyz").status_code == 200)
        check_all_done(jobs, keys, {})
        assert {line["event"] for line in jobs.service.log} >= {"database away", "database back"}


@contextmanager
def small_disk(folder: Path, kind: str) -> Iterator[None]:
    """Let a folder lie on a disk of 12 MB, or no file that a child writes be larger than 6 MB."""
    folder.mkdir()
    if kind == "limit":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["disk", "limit"])
def test_a_full_disk(tmp_path: Path, kind: str) -> None:
    with small_disk(tmp_path / "jobs", kind):
        jobs = start_jobs(tmp_path / "one", sqlite_in(tmp_path))
        try:
            busy = jobs.post_still(2)
            taken: list[str] = []
            while (answer := send(jobs)).status_code == 202:
                taken.append(answer.json()["id"])
                assert len(taken) < 9
            assert (answer.status_code, answer.json()["code"]) == (507, "no_space")
            assert answer.headers["retry-after"]
            assert [jobs.get(key)["state"] for key in taken] == ["queued"] * len(taken)
            # Room is made by what goes, and the service takes jobs again.
            assert jobs.delete(taken.pop()) == 204
            taken.append(send(jobs).json()["id"])
            if kind == "disk":
                fill_and_clear(jobs, tmp_path / "jobs" / "ballast", taken[0])
            delete_all(jobs, busy)
            assert [jobs.ended(key)["state"] for key in taken] == ["done"] * len(taken)
        finally:
            jobs.kill()


def fill_and_clear(jobs: Jobs, ballast: Path, key: str) -> None:
    """Let something else fill the disk for a while."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    answer = jobs.http.delete(f"/v1/jobs/{key}")
    assert (answer.status_code, answer.json()["code"]) == (507, "no_space")
    assert jobs.get(key)["state"] == "queued"
    ballast.unlink()
    assert jobs.http.get("/readyz").status_code == 200


def send(jobs: Jobs) -> httpx.Response:
    return jobs.http.post("/v1/jobs", params={"name": "noise.wav"}, content=noise(700_000))
