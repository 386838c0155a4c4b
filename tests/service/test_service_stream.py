from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stream_toys import START, Talk, pcm, talk
from websockets.exceptions import InvalidStatus

from service_toys import Service, assert_alike, running_service, start_service, stop_service
from voice_toys import RATE, dialogue, silence, wav
from voxtrait.predictor import Predictor
from voxtrait.results import Prediction


@pytest.fixture(scope="module")
def predictor(pitch: Path) -> Predictor:
    return Predictor(pitch, threads=1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, pitch: Path) -> Iterator[Service]:
    options = ("--model", pitch, "--workers", "2", "--cors", "https://friend.example")
    with running_service(tmp_path_factory.mktemp("streams"), *options) as service:
        yield service


@pytest.fixture(scope="module")
def speech() -> bytes:
    return pcm(dialogue(4))


@pytest.fixture(scope="module")
def predicted(predictor: Predictor, speech: bytes) -> dict[str, Any]:
    """What predict says of the same samples."""
    samples = np.frombuffer(speech, "<i2")
    return predictor.predict(samples, rate=RATE, segments=True, speakers=True, name="microphone").to_dict()


def test_a_stream_gets_updates_and_the_answer_of_predict(
    service: Service, predictor: Predictor, speech: bytes, predicted: dict[str, Any]
) -> None:
    with talk(service) as one:
        assert one.begin() == {"type": "ready", "model": predictor.bundle.title}
        final = one.whole(speech, pause=0.005)
        assert final == {"type": "final", "result": predicted}
        assert one.code == 1000
    updates = [message for message, _ in one.came if message["type"] == "update"]
    times = [update["time"] for update in updates]
    assert times == sorted(set(times))
    assert set(updates[-1]) == {"type", "time", "speaking", "speech", "gender", "age", "turns"}
    labels = [turn["gender"]["label"] for turn in updates[-1]["turns"]]
    assert labels == ["male", "female", "male", "female"]
    assert set(updates[-1]["turns"][0]) == {"start", "end", "open", "gender", "age"}


def test_updates_come_while_the_recording_is_made(service: Service, speech: bytes) -> None:
    half = 5 * RATE * 2
    with talk(service) as one:
        one.begin()
        one.send(speech[:half])
        # Not one byte follows until all of them were told of.
        while one.hear()["time"] < 5.0:
            pass
        one.send(speech[half:])
        one.end()
        assert one.rest()["type"] == "final"


@pytest.mark.parametrize("seed", [1, 2])
def test_bytes_split_anywhere_change_nothing(
    service: Service, speech: bytes, predicted: dict[str, Any], seed: int
) -> None:
    places = random.Random(seed)
    with talk(service) as one:
        one.begin()
        first = 0
        while first < len(speech):
            size = places.choice([1, 2, 3, 999, 20_001, 1 << 18])
            one.send(speech[first : first + size], piece=size)
            first += size
        one.end()
        assert one.rest()["result"] == predicted


def test_webm_gets_the_answer_of_the_file(service: Service, predictor: Predictor) -> None:
    command = "ffmpeg -v error -i - -c:a libopus -b:a 48k -f webm -live 1 -"
    webm = subprocess.run(command.split(), input=wav(dialogue(4)), capture_output=True, check=True).stdout
    expected = predictor.predict(webm, segments=True, speakers=True, name="opus")
    with talk(service) as one:
        one.say(type="start", encoding="webm", name="opus")
        found = Prediction.from_dict(one.whole(webm, piece=700, pause=0.002)["result"])
    assert one.came[0][0]["type"] == "ready"
    assert sum(message["type"] == "update" and sent < len(webm) for message, sent in one.came) >= 2
    assert found.gender is not None
    assert expected.gender is not None
    assert found.gender.female == pytest.approx(expected.gender.female, abs=0.001)
    assert found.duration == pytest.approx(expected.duration, abs=0.01)
    assert found.segments is not None
    assert expected.segments is not None
    assert [one.gender.label for one in found.segments] == [one.gender.label for one in expected.segments]


def test_eight_at_once_each_get_their_own_answer(service: Service, predictor: Predictor) -> None:
    recordings = [pcm(np.roll(dialogue(2), number * RATE)) for number in range(8)]

    def run(number: int) -> dict[str, Any]:
        with talk(service) as one:
            one.begin(name=str(number))
            answer: dict[str, Any] = one.whole(recordings[number], pause=0.002)["result"]
            return answer

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(8)))
    for number, answer in enumerate(found):
        samples = np.frombuffer(recordings[number], "<i2")
        name = str(number)
        expected = predictor.predict(samples, rate=RATE, segments=True, speakers=True, name=name)
        assert_alike(answer, expected.to_dict())


def test_silence_and_noise_have_no_answer(service: Service) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, 3 * RATE).astype(np.float32)
    for samples in (silence(3), noise):
        with talk(service) as one:
            one.begin()
            final = one.whole(pcm(samples))
        assert final["result"]["status"] == "no_speech"
        assert final["result"]["gender"] is None
        assert all(not message["turns"] for message, _ in one.came if message["type"] == "update")


def test_who_never_reads_costs_no_memory(service: Service) -> None:
    """Ten minutes of stereo at 48 kHz are 115 MB."""
    minute = np.concatenate([dialogue(1), silence(15)])
    data = pcm(np.repeat(np.repeat(minute, 3), 2))
    with talk(service, max_queue=1) as one:
        one.begin(rate=48_000, channels=2)
        one.send(data, piece=1 << 19)
        before = service.memory()
        most = 0.0
        for _ in range(30):
            one.send(data, piece=1 << 19)
            most = max(most, service.memory())
        assert one.sent > 100e6
        one.end()
        assert one.rest()["result"]["duration"] == pytest.approx(one.sent / 4 / 48_000, abs=0.01)
    assert most - before < 40


@pytest.mark.long
def test_who_takes_nothing_is_given_up(service: Service, speech: bytes) -> None:
    """After half a minute without headway the stream is, and in the end its connection."""
    sockets = Path(f"/proc/{service.process.pid}/fd")
    with talk(service) as one:
        # Whose process stays.
        one.begin()
        one.whole(speech)
    before = len(list(sockets.iterdir()))
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", service.port))
    with talk(service, max_queue=1, sock=deaf) as one:
        one.begin()
        assert open_streams(service) == 1
        given_up = closed = False
        end = time.monotonic() + 280
        while not (given_up and closed) and time.monotonic() < end:
            # About ten times as fast as it was spoken: each update counts.
            one.send(speech[:32_000], pause=0.01)
            given_up = open_streams(service) == 0
            closed = len(list(sockets.iterdir())) <= before
    assert given_up
    assert closed


def open_streams(service: Service) -> int:
    with service.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return round(float(next(line for line in lines if line.startswith("voxtrait_streams ")).split()[1]))


def refused(one: Talk, code: str) -> None:
    last = one.rest()
    assert last["type"] == "error"
    assert last["error"]["code"] == code
    assert last["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    "first",
    [
        "no JSON",
        "[]",
        "{}",
        json.dumps({**START, "type": "begin"}),
        json.dumps({**START, "encoding": "mp3"}),
        json.dumps({**START, "rate": None}),
        json.dumps({**START, "rate": 1}),
        json.dumps({**START, "rate": "16000"}),
        json.dumps({**START, "channels": 0}),
        json.dumps({**START, "colour": "red"}),
        "[" * 100_000,
        b"\0\0",
    ],
)
def test_a_first_message_that_is_no_start_is_refused(service: Service, first: str | bytes) -> None:
    with talk(service) as one:
        one.socket.send(first)
        refused(one, "usage")
        assert one.code == 1008


def test_a_model_that_is_not_there_is_refused(service: Service) -> None:
    with talk(service) as one:
        assert one.begin(model="nobody")["error"]["code"] == "bundle_not_found"


def test_a_model_is_found_by_its_name(service: Service, predictor: Predictor) -> None:
    with talk(service) as one:
        assert one.begin(model=predictor.bundle.card.name) == {
            "type": "ready",
            "model": predictor.bundle.title,
        }


def test_texts_in_between_are_refused(service: Service) -> None:
    with talk(service) as one:
        one.begin()
        one.say(type="stop")
        refused(one, "usage")


@pytest.mark.parametrize(
    ("start", "data", "code"),
    [
        ({"encoding": "webm"}, random.Random(0).randbytes(50_000), "not_audio"),
        ({"encoding": "webm"}, b"", "empty"),
        ({}, b"", "empty"),
    ],
)
def test_what_is_no_sound_is_refused(service: Service, start: dict[str, Any], data: bytes, code: str) -> None:
    with talk(service) as one:
        one.begin(**start)
        one.send(data)
        one.end()
        refused(one, code)
        assert one.code == 1008


def test_a_frame_that_is_too_big_ends_the_stream(service: Service) -> None:
    with talk(service) as one:
        one.begin()
        one.socket.send(bytes((1 << 20) + 1))
        one.rest()
        assert one.code == 1009


def test_pages_of_other_origins_are_refused(service: Service, speech: bytes) -> None:
    for origin in ("https://enemy.example", "null"):
        with pytest.raises(InvalidStatus) as caught, talk(service, origin=origin):
            pass
        answer = caught.value.response
        assert answer.status_code == 403
        assert json.loads(answer.body)["code"] == "origin"
    for origin in (service.url, "https://friend.example"):
        with talk(service, origin=origin) as one:
            assert one.begin()["type"] == "ready"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, pitch: Path) -> Iterator[Service]:
    """A service that asks for a key and hears five seconds."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "keys").write_text("secret\n")
    options = ("--model", pitch, "--workers", "1", "--max-duration", "5", "--api-key-file", folder / "keys")
    with running_service(folder, *options) as service:
        yield service


def test_a_process_that_dies_costs_its_streams_alone(strict: Service, speech: bytes) -> None:
    others = set(strict.family())
    with talk(strict) as one, talk(strict) as other:
        one.begin(key="secret")
        one.send(speech[: 4 * RATE])
        while one.hear()["time"] < 2.0:
            pass
        other.begin(key="secret")
        (hears,) = set(strict.family()) - others
        os.kill(hears, signal.SIGKILL)
        for each in (one, other):
            refused(each, "decoder_died")
            assert each.code == 1011
    with talk(strict) as following:
        assert following.begin(key="secret")["type"] == "ready"
        assert following.whole(speech[: 4 * RATE])["type"] == "final"


def test_a_stream_that_is_too_long_is_heard_up_to_there(strict: Service, speech: bytes) -> None:
    with talk(strict) as one:
        one.begin(key="secret")
        one.send(speech)
        final = one.rest()
        assert one.code == 1000
    assert final["result"]["duration"] == 5
    assert [warning["code"] for warning in final["result"]["warnings"]] == ["too_long"]
    assert final["result"]["gender"]["label"] == "male"


@pytest.mark.parametrize("key", [None, "", "wrong", "secret "])
def test_without_the_key_nobody_is_heard(strict: Service, key: str | None) -> None:
    with talk(strict) as one:
        assert one.begin(key=key)["error"]["code"] == "key"
        one.rest()
        assert one.code == 1008


def test_the_key_may_be_in_the_header(strict: Service) -> None:
    with talk(strict, additional_headers={"Authorization": "Bearer secret"}) as one:
        assert one.begin()["type"] == "ready"
    with talk(strict, additional_headers={"Authorization": "Bearer wrong"}) as one:
        assert one.begin()["error"]["code"] == "key"


def test_who_is_heard_when_the_service_stops_gets_the_answer(
    tmp_path: Path, pitch: Path, speech: bytes
) -> None:
    service = start_service(tmp_path, "--model", pitch, "--workers", "1")
    try:
        with talk(service) as one:
            one.begin()
            one.send(speech[: 8 * RATE])
            while one.hear()["time"] < 4.0:
                pass
            service.process.send_signal(signal.SIGTERM)
            final = one.rest()
            assert final["type"] == "final"
            assert final["result"]["duration"] == 4
            assert one.code == 1012
    finally:
        assert stop_service(service) == 0
