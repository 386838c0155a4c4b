"""A live stream through `voxtrait.Client`: updates while it goes on, and the answer of the whole file."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stream_toys import pcm

import voxtrait
from service_toys import EXAMPLES, Service, assert_alike, running_service, start_service
from voice_toys import RATE, dialogue
from voxtrait import Client, Predictor
from voxtrait.client import LiveStream


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as opened:
        yield opened


def test_a_stream_says_what_a_file_says(client: Client) -> None:
    spoken = pcm(dialogue(4))
    seen = []
    with client.stream(rate=RATE, name="talk") as live:
        assert live.model == client.title()
        for start in range(0, len(spoken), 9_999):
            live.send(spoken[start : start + 9_999])
            seen += list(live.updates())
        assert not live.over
        answer = live.finish()
        seen += list(live.updates())
        assert live.over
    samples = np.frombuffer(spoken, "<i2")
    expected = Predictor().predict(samples, rate=RATE, segments=True, speakers=True, name="talk")
    assert_alike(answer.to_dict(), expected.to_dict())
    times = [update.time for update in seen]
    assert times == sorted(times)
    assert answer.duration is not None
    assert 0 < times[-1] <= answer.duration
    last = seen[-1]
    assert last.gender is not None
    assert last.age is not None
    assert {turn.gender.label for turn in last.turns} == {part.gender.label for part in answer.segments or ()}


def test_a_finished_stream_takes_no_more(client: Client) -> None:
    with client.stream(rate=8_000, channels=2) as live:
        live.send(bytes(64_000))
        assert live.finish().status == "no_speech"
        for call in (lambda: live.send(b"more"), live.finish):
            with pytest.raises(voxtrait.UsageError, match="is finished"):
                call()


def test_a_stream_of_webm(client: Client, tmp_path: Path) -> None:
    talk = tmp_path / "talk.webm"
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-i", EXAMPLES / "woman.mp3", "-c:a", "libopus", talk], check=True
    )
    with client.stream(encoding="webm", name="talk.webm") as live:
        live.send(talk.read_bytes())
        answer = live.finish()
    assert answer.gender is not None
    assert answer.gender.label == "female"


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ({"rate": RATE, "model": "nobody"}, voxtrait.BundleError),
        ({"rate": RATE, "encoding": "mp3"}, voxtrait.UsageError),
        ({"rate": 5}, voxtrait.UsageError),
        ({}, voxtrait.UsageError),
    ],
)
def test_a_stream_that_is_refused(client: Client, wish: dict[str, object], kind: type[Exception]) -> None:
    with pytest.raises(kind), client.stream(**wish):  # type: ignore[arg-type]
        pass


def _send_on(live: LiveStream, data: bytes, times: int) -> None:
    for _ in range(times):
        live.send(data)
    live.finish()


def test_what_is_no_recording_is_told_while_it_is_sent_or_at_the_end(client: Client) -> None:
    with client.stream(encoding="webm") as live:
        with pytest.raises(voxtrait.AudioError) as raised:
            _send_on(live, b"This is no recording at all. " * 10_000, 50)
        assert raised.value.code == "not_audio"


def test_a_service_that_takes_no_more_gives_the_answer(tmp_path: Path) -> None:
    spoken = pcm(dialogue(4))
    with (
        running_service(tmp_path, "--workers", "1", "--max-duration", "5") as service,
        Client(service.url) as client,
        client.stream(rate=RATE) as live,
    ):
        for start in range(0, len(spoken), 8_000):
            live.send(spoken[start : start + 8_000])
        answer = live.finish()
    assert answer.duration == pytest.approx(5, abs=0.6)
    assert [warning.code for warning in answer.warnings] == ["too_long"]


def test_a_service_that_dies_is_told(tmp_path: Path) -> None:
    service = start_service(tmp_path, "--workers", "1")
    try:
        with Client(service.url) as client, client.stream(rate=RATE) as live:
            live.send(bytes(1000))
            service.process.kill()
            service.process.wait()
            with pytest.raises(voxtrait.ServiceError) as raised:
                _send_on(live, bytes(100_000), 100_000)
            assert raised.value.code == "broken_off"
            with pytest.raises(voxtrait.ServiceError) as raised:
                client.predict(EXAMPLES / "man.ogg")
            assert raised.value.code in ("unreached", "broken_off")
    finally:
        service.process.kill()
        service.process.wait()
