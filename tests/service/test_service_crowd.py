"""Many at once: each gets its own answer, and who finds no place is told when to come again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import voxtrait
from service_toys import EXAMPLES, Service, assert_alike, start_service, stop_service
from voice_toys import RATE, say, wav

CROWD = 200
VOICES = [f"en-us+{kind}{number}" for kind in "fm" for number in (1, 2, 3, 4)]


def clips() -> dict[str, bytes]:
    """Return recordings under their names, none of the length of another."""
    spoken = [say(f"This is voice number {number}.", voice) for number, voice in enumerate(VOICES)]
    return {
        f"{number:03}.wav": wav(spoken[number % len(spoken)][: RATE + 40 * number]) for number in range(CROWD)
    }


async def ask(client: httpx.AsyncClient, name: str, content: bytes, told: Counter[int]) -> dict[str, Any]:
    for _ in range(100):
        answer = await client.post("/v1/predict", params={"name": name}, content=content)
        told[answer.status_code] += 1
        if answer.status_code != 429:
            break
        await asyncio.sleep(float(answer.headers["retry-after"]))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_two_hundred_at_once(service: Service) -> None:
    recordings = clips()
    told: Counter[int] = Counter()

    async def all_at_once() -> list[dict[str, Any]]:
        limits = httpx.Limits(max_connections=CROWD)
        async with httpx.AsyncClient(
            base_url=service.url, limits=limits, timeout=120, trust_env=False
        ) as client:
            return await asyncio.gather(*(ask(client, *pair, told) for pair in recordings.items()))

    answers = asyncio.run(all_at_once())
    predictor = voxtrait.Predictor()
    for (name, content), answer in zip(recordings.items(), answers, strict=True):
        assert_alike(answer, {**predictor.predict(content).to_dict(), "file": name})
    assert told[200] == CROWD
    assert told[429] > 0
    with service.client() as client:
        assert "voxtrait_uploads_in_flight 0.0" in client.get("/metrics").text


def test_a_process_that_is_killed_costs_nobody_an_answer(service: Service) -> None:
    content = (EXAMPLES / "woman.mp3").read_bytes()
    expected = voxtrait.predict(EXAMPLES / "woman.mp3").to_dict()

    async def ask_and_kill() -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=service.url, timeout=120, trust_env=False) as client:
            told: Counter[int] = Counter()
            asking = [asyncio.create_task(ask(client, f"{n}.mp3", content, told)) for n in range(40)]
            await asyncio.sleep(0.1)
            for pid in hearers(service):
                os.kill(pid, signal.SIGKILL)
            return await asyncio.gather(*asking)

    for number, answer in enumerate(asyncio.run(ask_and_kill())):
        assert_alike(answer, {**expected, "file": f"{number}.mp3"})


def hearers(service: Service) -> list[int]:
    """Return the processes that hear."""
    found = []
    for pid in service.family()[1:]:
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            found.append(pid)
    assert found
    return found


def test_the_end_lets_answers_out(tmp_path: Path) -> None:
    recordings = list(clips().items())[:30]
    service = start_service(tmp_path, "--workers", "1")

    async def ask_and_end() -> list[httpx.Response | BaseException]:
        async with httpx.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as client:
            asking = [
                asyncio.create_task(client.post("/v1/predict", params={"name": name}, content=content))
                for name, content in recordings
            ]
            while "in_flight 30.0" not in (await client.get("/metrics")).text:
                assert not all(task.done() for task in asking)
            service.process.send_signal(signal.SIGTERM)
            return await asyncio.gather(*asking, return_exceptions=True)

    answers = asyncio.run(ask_and_end())
    assert stop_service(service) == 0
    names = [answer.json()["file"] for answer in answers if isinstance(answer, httpx.Response)]
    assert names == [name for name, _ in recordings]


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    service = start_service(tmp_path, "--workers", "1")
    with half_sent(service, bytes(1000)):
        service.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert service.process.poll() is None
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(10) == 0


def test_two_services_cannot_have_one_port(service: Service, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "voxtrait", "serve", "--port", str(service.port)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error[usage]: ")
    assert str(service.port) in line


def test_nothing_of_requests_is_left_on_disk(tmp_path: Path) -> None:
    """Neither after their answers, nor when the service was killed in the middle of them."""
    content = (EXAMPLES / "phone.wav").read_bytes()
    large = content + bytes(8 << 20)
    service = start_service(tmp_path, "--workers", "1")
    with service.client() as client:
        for body in (content, large):
            assert client.post("/v1/predict", content=body).status_code == 200
            assert client.post("/v1/predict", files={"file": ("a.wav", body)}).status_code == 200
    assert not traces(service, content)
    with half_sent(service, large):
        service.process.kill()
        service.process.wait()
    assert not traces(service, content)


@contextmanager
def half_sent(service: Service, content: bytes) -> Iterator[None]:
    """Send half of a recording and leave it so, as long as the context lasts."""
    head = f"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {2 * len(content)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(head.encode() + content)
        with service.client() as client:
            while "in_flight 1.0" not in client.get("/metrics").text:
                time.sleep(0.05)
        yield


def traces(service: Service, content: bytes) -> list[Path]:
    """Return the files that hold anything of a recording."""
    piece = content[20_000:20_064]
    return [path for path in service.files() if piece in path.read_bytes()]
