from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import srt
import webvtt
from jobs_toys import Jobs, long_mp3, noise, running_jobs, speech, sqlite_in, wait_until

from service_toys import assert_alike
from voice_toys import pitch_bundle
from voxtrait import Prediction, Predictor
from voxtrait.exports import EXPORTS, get_writer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def jobs(folder: Path) -> Iterator[Jobs]:
    with running_jobs(folder / "service", sqlite_in(folder), "--keep-results", "600") as running:
        yield running


@pytest.fixture
def busy(jobs: Jobs) -> Iterator[list[str]]:
    """Two jobs that keep both processes at work."""
    keys = jobs.post_still(2)
    for key in keys:
        jobs.in_state(key, "running")
    yield keys
    for key in keys:
        jobs.delete(key)


def test_the_life_of_a_job(jobs: Jobs) -> None:
    content = speech(3)
    job = jobs.post(content, "talk.wav", segments=True, speakers=True)
    key = job["id"]
    assert len(key) >= 20
    assert {name: job[name] for name in ("name", "size", "model", "segments", "speakers", "error")} == {
        "name": "talk.wav", "size": len(content), "model": "pitch 0.1", "segments": True, "speakers": True,
        "error": None,
    }  # fmt: skip
    assert job["links"] == {
        "self": f"/v1/jobs/{key}", "events": f"/v1/jobs/{key}/events", "result": f"/v1/jobs/{key}/result",
    }  # fmt: skip
    done = jobs.ended(key)
    expected = Predictor(pitch_bundle()).predict(content, segments=True, speakers=True, name="talk.wav")
    assert done["state"] == "done"
    assert done["created"] <= done["started"] <= done["finished"] < done["expires"]
    assert done["created"].endswith("Z")
    assert (done["position"], done["heard"]) == (None, expected.to_dict()["duration"])
    answer = jobs.result(key)
    assert answer.headers["content-type"] == "application/json"
    assert_alike(answer.json(), expected.to_dict())


def test_a_form_with_a_file(jobs: Jobs) -> None:
    content = speech(4)
    answer = jobs.http.post("/v1/jobs", files={"file": ("a name.wav", content)}, params={"channel": 1})
    assert answer.status_code == 202
    job = answer.json()
    assert (job["name"], job["size"]) == ("a name.wav", len(content))
    assert jobs.ended(job["id"])["state"] == "done"


def test_events_of_half_an_hour(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.post(long_mp3(tmp_path), "long.mp3", segments=True)
    events = list(jobs.events(job["id"]))
    assert {name for name, _ in events} == {"job"}
    states = [data["state"] for _, data in events]
    assert states[-1] == "done"
    assert set(states[:-1]) <= {"queued", "running"}
    heard = [data["heard"] or 0.0 for _, data in events]
    assert heard == sorted(heard)
    assert len({seconds for seconds in heard if 0 < seconds < 1790}) >= 2
    assert heard[-1] == pytest.approx(1800, rel=0.01)
    assert jobs.result(job["id"]).json()["duration"] == heard[-1]
    # Of one that has ended there is one event, and no more.
    assert list(jobs.events(job["id"])) == events[-1:]


def test_every_form_of_a_result(jobs: Jobs) -> None:
    key = jobs.post(speech(5), "talk one.wav", segments=True, speakers=True)["id"]
    jobs.ended(key)
    prediction = Prediction.from_dict(jobs.result(key).json())
    assert prediction.segments
    texts = {}
    for name in EXPORTS.keys() - {"json"}:
        answer = jobs.result(key, format=name)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith(EXPORTS[name].media_type)
        assert f"talk%20one{EXPORTS[name].suffix}" in answer.headers["content-disposition"]
        stream = io.StringIO(newline="")
        writer = get_writer(name)(stream, segments=True, speakers=True)
        writer.write(prediction)
        writer.finish()
        texts[name] = answer.content.decode()
        assert texts[name] == stream.getvalue()
    assert json.loads(texts["jsonl"]) == prediction.to_dict()
    assert {row["file"] for row in csv.DictReader(io.StringIO(texts["csv"]))} == {"talk one.wav"}
    assert len(list(srt.parse(texts["srt"]))) == len(prediction.segments)
    assert len(webvtt.from_string(texts["webvtt"]).captions) == len(prediction.segments)


def test_a_form_that_the_answer_has_not(jobs: Jobs) -> None:
    key = jobs.post(speech(6))["id"]
    jobs.ended(key)
    for form, status, code in (("rttm", 409, "no_timeline"), ("mp3", 422, "usage")):
        answer = jobs.result(key, format=form)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("content", "code"), [(b"Dear diary, " * 99, "not_audio"), (b"RIFF\0\0\0\0WAVE", "corrupt")]
)
def test_what_cannot_be_heard(jobs: Jobs, content: bytes, code: str) -> None:
    key = jobs.post(content, "odd.wav")["id"]
    (*_, (_, data)) = jobs.events(key)
    assert (data["state"], data["error"]["code"]) == ("failed", code)
    assert data["expires"] > data["finished"]
    answer = jobs.result(key)
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["code"], problem["detail"]) == (code, data["error"]["message"])


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [({"model": "none"}, 404, "bundle_not_found"), ({"channel": 0}, 422, "usage"),
     ({"segments": "perhaps"}, 422, "usage")],
)  # fmt: skip
def test_wrong_options(jobs: Jobs, query: dict[str, str], status: int, code: str) -> None:
    answer = jobs.http.post("/v1/jobs", params=query, content=speech(1))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("key", ["A" * 22, "%00" * 22, "A", "%F0%9F%98%80", "%FF%FE"])
def test_a_job_that_is_not_there(jobs: Jobs, key: str) -> None:
    for method, end in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/result")):
        answer = jobs.http.request(method, f"/v1/jobs/{key}{end}")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_job")


def test_jobs_wait_in_order_until_they_are_deleted(jobs: Jobs, busy: list[str]) -> None:
    keys = [jobs.post(speech(number))["id"] for number in range(3)]
    assert [jobs.get(key)["position"] for key in keys] == [1, 2, 3]
    early = jobs.result(keys[0])
    assert (early.status_code, early.json()["code"]) == (409, "not_done")
    events = jobs.events(keys[0])
    assert next(events)[1]["state"] == "queued"
    assert jobs.delete(keys[0]) == 204
    assert list(events) == [("gone", {"id": keys[0]})]
    assert jobs.delete(keys[0]) == 404
    assert [jobs.get(key)["position"] for key in keys[1:]] == [1, 2]
    # One that is heard is given up at once, and its process hears the next.
    assert jobs.heard(busy[0])["heard"] < 21_000
    assert jobs.delete(busy[0]) == 204
    assert [jobs.ended(key)["state"] for key in keys[1:]] == ["done", "done"]
    assert jobs.get(busy[1])["state"] == "running"
    # One that is done is forgotten.
    assert jobs.delete(keys[1]) == 204
    assert jobs.result(keys[1]).status_code == 404


def test_no_bytes_of_a_recording_stay(jobs: Jobs, folder: Path, busy: list[str]) -> None:
    def found(content: bytes) -> bool:
        """Whether any of five places of a recording is in any file of the database."""
        pieces = [content[place : place + 64] for place in range(1000, len(content), len(content) // 5)]
        files = [path.read_bytes() for path in (folder / "jobs").iterdir()]
        return any(piece in held for piece in pieces for held in files)

    deleted, heard = noise(3 << 20, 1), noise(2 << 20, 2)
    keys = [jobs.post(content)["id"] for content in (deleted, heard)]
    assert found(deleted)
    assert found(heard)
    assert jobs.delete(keys[0]) == 204
    assert not found(deleted)
    jobs.delete(busy[0])
    assert jobs.ended(keys[1])["state"] == "done"
    assert not found(heard)


def test_metrics_and_silence_of_the_log(jobs: Jobs) -> None:
    jobs.ended(jobs.post(speech(7), "secret-name.wav")["id"])

    def counted() -> bool:
        return 'voxtrait_jobs{state="done"}' in jobs.http.get("/metrics").text

    wait_until(counted, 20)
    assert "secret-name" not in json.dumps(jobs.service.log)


def test_results_expire(tmp_path: Path) -> None:
    with running_jobs(tmp_path / "service", sqlite_in(tmp_path), "--keep-results", "1") as jobs:
        key = jobs.post(speech(1))["id"]
        assert list(jobs.events(key))[-1][1]["state"] == "done"
        wait_until(lambda: jobs.result(key).status_code == 404)
        assert jobs.http.get(f"/v1/jobs/{key}").status_code == 404
