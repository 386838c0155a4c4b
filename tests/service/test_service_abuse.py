"""What nobody would send who means well: refused, in bounded memory and time, and the service goes on."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service_toys import EXAMPLES, Service, running_service

#: Megabytes that an attack may cost, at its height.
_COST = 150.0


@contextlib.contextmanager
def unimpressed(service: Service) -> Iterator[None]:
    """Watch that the service's memory stays, that it answers all the while and leaves nothing on disk."""
    before, files = service.memory(), service.files()
    peak, over, failures = [before], threading.Event(), []

    def watch() -> None:
        with service.client() as client:
            while not over.wait(0.2):
                peak.append(service.memory())
                if client.get("/healthz").status_code != 200:
                    failures.append("unhealthy")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert not failures
    assert max(peak) < before + _COST
    with service.client() as client:
        content = (EXAMPLES / "woman.mp3").read_bytes()
        answer = client.post("/v1/predict", content=content)
        assert answer.json()["gender"]["label"] == "female"
        assert "voxtrait_uploads_in_flight 0.0" in client.get("/metrics").text
    assert service.files() == files


def refusal(service: Service, content: Any, **options: Any) -> tuple[int, str]:
    with service.client() as client:
        answer = client.post("/v1/predict", content=content, **options)
    return answer.status_code, answer.json()["code"]


def raw(service: Service, timeout: float = 30.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture(scope="session")
def twenty_hours(workshop: Path) -> bytes:
    """Twenty hours of silence in about a megabyte."""
    path = workshop / "silence.opus"
    hour = workshop / "hour.opus"
    silence = ["-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "3600"]
    opus = ["-c:a", "libopus", "-b:a", "500", "-frame_duration", "120", "-vbr", "on"]
    subprocess.run(["ffmpeg", "-v", "error", *silence, *opus, hour], check=True)
    loop = ["-stream_loop", "19", "-i", str(hour), "-c", "copy"]
    subprocess.run(["ffmpeg", "-v", "error", *loop, path], check=True)
    return path.read_bytes()


def test_hours_of_silence_in_a_megabyte(service: Service, twenty_hours: bytes) -> None:
    assert len(twenty_hours) < 4 << 20
    with unimpressed(service):
        assert refusal(service, twenty_hours) == (413, "too_long")


def test_many_of_them_at_once(service: Service, twenty_hours: bytes) -> None:
    found = []
    with unimpressed(service):
        senders = [
            threading.Thread(target=lambda: found.append(refusal(service, twenty_hours))) for _ in range(6)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    assert found == [(413, "too_long")] * 6


def test_other_things_in_the_clothes_of_a_recording(service: Service) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(50 << 20))
    wav_head = (EXAMPLES / "phone.wav").read_bytes()[:44]
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    with unimpressed(service):
        for content in (packed.getvalue(), playlist, b"\x00" * (1 << 20), b"ID3" + bytes(100_000)):
            status, code = refusal(service, content, params={"name": "voice.wav"})
            assert (status, code) in [(422, "not_audio"), (422, "corrupt"), (422, "empty")]
        status, _ = refusal(service, wav_head + packed.getvalue())
        assert status in (200, 422)


def test_a_body_that_says_it_is_too_large(service: Service) -> None:
    with unimpressed(service), raw(service) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_an_end(service: Service) -> None:
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    sent = 0
    with unimpressed(service), raw(service) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(500):
                connection.sendall(chunk)
                sent += 1
    # 20 MB are taken, and some more are thrown away so that the sender can read the refusal.
    assert 20 < sent < 100


def test_its_sender_reads_why(service: Service) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(25):
            yield bytes(1 << 20)

    assert refusal(service, chunks()) == (413, "too_large")
    with service.client() as client:
        answer = client.post("/v1/predict", files={"file": ("big.wav", bytes(25 << 20))})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_answers_that_nobody_gave(service: Service) -> None:
    """What is to be converted may be as large and as odd as a recording."""
    with service.client() as client:
        files = {"file": ("a.ogg", (EXAMPLES / "interview.m4a").read_bytes())}
        answer = client.post("/v1/predict", params={"segments": True}, files=files).json()
        turn = answer["segments"][0]
        many = [{**turn, "start": n, "end": n + 0.5} for n in range(30_000)]
        odd: list[tuple[Any, int, str]] = [
            (json.dumps({**answer, "segments": many}), 413, "too_large"),
            ("[" * 1_000_000, 422, "results"),
            ('{"file": ' * 100_000, 422, "results"),
            (json.dumps({**answer, "speech": float("inf")}), 422, "results"),
            (json.dumps({**answer, "segments": [{**turn, "start": 9e8, "end": 1.0}]}), 422, "results"),
            (json.dumps({**answer, "segments": [turn, turn]}), 422, "results"),
            (json.dumps({**answer, "gender": None}), 422, "results"),
            (b"\xff\xfe", 422, "results"),
            (b"", 422, "empty"),
        ]
        with unimpressed(service):
            for content, status, code in odd:
                found = client.post("/v1/convert", params={"format": "rttm"}, content=content)
                assert (found.status_code, found.json()["code"]) == (status, code), content[:80]
            for name in ("\ud800.wav", "a\x00b", "../../x", 'x"; rm'):
                content = json.dumps({**answer, "file": name})
                found = client.post("/v1/convert", params={"format": "elan"}, content=content)
                assert found.status_code in (200, 422)
                assert "/" not in found.headers.get("content-disposition", "")
            content = json.dumps({**answer, "segments": many[:15_000]})
            found = client.post("/v1/convert", params={"format": "rttm"}, content=content)
            assert found.text.count("SPEAKER ") == 15_000


def test_ten_thousand_headers(service: Service) -> None:
    with unimpressed(service):
        for lines in (b"x: 1\r\n" * 10_000, b"".join(b"x-%d: %d\r\n" % (n, n) for n in range(10_000))):
            with raw(service) as connection:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + lines + b"\r\n")
                assert read_all(connection).startswith(b"HTTP/1.1 431 ")


def test_a_head_that_is_one_long_line(service: Service) -> None:
    with unimpressed(service):
        for head in (b"GET /" + b"a" * 1_000_000, b"GET / HTTP/1.1\r\nx: " + b"b" * 1_000_000):
            with raw(service) as connection:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(head)
                assert read_all(connection).startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


def test_what_is_no_http(service: Service) -> None:
    with unimpressed(service), raw(service) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")


def test_drops(service: Service) -> None:
    """Slow loris: connections that say nothing, heads and bodies that come a byte at a time or stop."""
    head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\n"
    begun = (b"", head + b"x-drop: ", head + b"content-length: 1000000\r\n\r\nRIFF")
    with unimpressed(service), contextlib.ExitStack() as stack:
        connections = [[stack.enter_context(raw(service)) for _ in range(40)] for _ in begun]
        for group, start in zip(connections, begun, strict=True):
            for connection in group:
                connection.sendall(start)
        said: dict[socket.socket, bytes] = {connection: b"" for group in connections for connection in group}
        open_ones = set(said)
        end = time.monotonic() + 60
        while open_ones and time.monotonic() < end:
            for connection in connections[1]:
                if connection in open_ones:
                    with contextlib.suppress(OSError):
                        connection.sendall(b"a")
            for connection in list(open_ones):
                connection.settimeout(0.001)
                try:
                    more = connection.recv(65536)
                except TimeoutError:
                    continue
                except ConnectionError:
                    more = b""
                said[connection] += more
                # Who was told why has been dealt with.
                if not more or b"408" in said[connection]:
                    open_ones.discard(connection)
            time.sleep(0.5)
        assert not open_ones
        assert all(said[connection].startswith(b"HTTP/1.1 408 ") for connection in connections[2])


def test_a_sender_that_leaves(service: Service, twenty_hours: bytes) -> None:
    with unimpressed(service):
        for cut in (1000, len(twenty_hours)):
            with raw(service) as connection:
                head = f"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(twenty_hours)}\r\n\r\n"
                connection.sendall(head.encode() + twenty_hours[:cut])
        time.sleep(0.5)


def test_a_disk_without_room(tmp_path: Path) -> None:
    """Beyond a limit on the size of files, writing fails as it does on a full disk."""
    content = bytes(8 << 20)
    with running_service(tmp_path, "--workers", "1") as service:
        subprocess.run(
            ["prlimit", f"--pid={service.process.pid}", f"--fsize={4 << 20}:unlimited"], check=True
        )
        with service.client() as client:
            for options in ({"content": content}, {"files": {"file": ("a.wav", content)}}):
                answer = client.post("/v1/predict", **options)
                assert (answer.status_code, answer.json()["code"]) == (507, "no_space")
            subprocess.run(
                ["prlimit", f"--pid={service.process.pid}", "--fsize=unlimited:unlimited"], check=True
            )
            answer = client.post("/v1/predict", content=content)
            assert (answer.status_code, answer.json()["code"]) == (422, "not_audio")


def limit_files(service: Service, size: str) -> None:
    words = ["prlimit", f"--pid={service.process.pid}", f"--fsize={size}:unlimited"]
    subprocess.run(words, check=True)
