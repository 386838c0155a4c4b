from __future__ import annotations

import itertools
import subprocess
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voice_toys import RATE, Samples, dialogue, pitch_bundle, silence, wav
from voxtrait.audio import load_audio
from voxtrait.audio.live import Encoding, open_live
from voxtrait.audio.pipe import BytePipe
from voxtrait.errors import AudioError, UsageError
from voxtrait.live import LiveSession, LiveUpdate
from voxtrait.predictor import Predictor
from voxtrait.results import Problem

HALF = RATE // 2
RUBBISH = np.random.default_rng(2).bytes(100_000)
FAST = np.random.default_rng(0).normal(0, 0.1, (44_100, 2))


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(pitch_bundle(), threads=1)


@pytest.fixture(scope="module")
def webm() -> bytes:
    """Two voices in WebM with Opus, as a browser sends it: clusters of unknown length, no index."""
    command = "ffmpeg -v error -i - -c:a libopus -b:a 32k -f webm -live 1 -cluster_time_limit 1000 -"
    return subprocess.run(command.split(), input=wav(dialogue(4)), capture_output=True, check=True).stdout


def follow(session: LiveSession, samples: Samples, block: int = HALF) -> list[LiveUpdate]:
    updates = []
    for first in range(0, len(samples), block):
        session.feed(samples[first : first + block])
        updates.append(session.update())
    return updates


def filled(data: bytes, encoding: Encoding = "pcm_s16le", piece: int = 4096, **options: Any) -> Samples:
    """Return what is decoded of bytes that arrive in pieces."""
    pipe = BytePipe(lambda _: None)
    for first in range(0, len(data), piece):
        pipe.write(data[first : first + piece])
    pipe.end()
    with open_live(pipe, encoding, **options) as stream:
        return np.concatenate(list(stream))


@pytest.mark.parametrize("block", [3333, HALF, 100_000])
def test_the_answer_is_that_of_predict(predictor: Predictor, block: int) -> None:
    samples = np.concatenate([silence(0.3), dialogue(6)])
    session = LiveSession(predictor, "<array>")
    follow(session, samples, block)
    assert session.finish() == predictor.predict(samples, rate=RATE, segments=True, speakers=True)


def test_the_answer_needs_no_updates_and_carries_warnings(predictor: Predictor) -> None:
    session = LiveSession(predictor, "<array>")
    session.feed(dialogue(3))
    warning = Problem("truncated", "It breaks off.")
    answer = session.finish([warning])
    assert answer.warnings == (warning,)
    assert answer.gender == predictor.predict(dialogue(3), rate=RATE).gender


def test_updates_tell_of_what_was_said_so_far(predictor: Predictor) -> None:
    updates = follow(LiveSession(predictor), np.concatenate([silence(1), dialogue(4)]))
    assert [update.time for update in updates] == pytest.approx(
        [*np.arange(1, len(updates)) / 2, 1 + dialogue(4).size / RATE]
    )
    assert updates[1].gender is None
    assert updates[1].turns == ()
    assert not updates[1].speaking
    first = updates[7]
    assert first.speaking
    assert first.speech == pytest.approx(3.0, abs=0.3)
    assert first.gender is not None
    assert first.gender.label == "male"
    assert [turn.open for turn in first.turns] == [True]
    last = updates[-1]
    assert [turn.gender.label for turn in last.turns] == ["male", "female", "male", "female"]
    assert not any(turn.open for turn in last.turns[:-1])
    assert all(one.end <= other.start for one, other in itertools.pairwise(last.turns))


def test_speech_grows_and_is_never_taken_back(predictor: Predictor) -> None:
    session = LiveSession(predictor)
    updates = follow(session, dialogue(5))
    heard = [update.speech for update in updates]
    assert all(one <= other + 0.3 for one, other in itertools.pairwise(heard))
    assert heard[-1] == pytest.approx(session.finish().speech, abs=0.3)


def test_what_is_said_before_the_end_is_near_what_is_said_at_it(predictor: Predictor) -> None:
    session = LiveSession(predictor)
    update = follow(session, dialogue(5))[-1]
    answer = session.finish()
    assert update.gender is not None
    assert answer.gender is not None
    assert update.gender.female == pytest.approx(answer.gender.female, abs=0.02)


@pytest.mark.parametrize("level", [0.0, 0.02])
def test_where_nobody_speaks_there_is_no_answer(predictor: Predictor, level: float) -> None:
    noise = np.random.default_rng(1).normal(0, level, 5 * RATE).astype(np.float32)
    session = LiveSession(predictor)
    updates = follow(session, noise)
    assert not any(update.speaking or update.turns or update.gender for update in updates)
    assert session.finish().status == "no_speech"


def test_only_the_turns_of_the_last_minute_are_told(predictor: Predictor) -> None:
    updates = follow(LiveSession(predictor), dialogue(20), block=2 * RATE)
    assert updates[-1].time > 90
    for update in updates:
        assert all(turn.end > update.time - 60 for turn in update.turns)
    assert len(updates[-1].turns) < 16


def test_an_update_hears_little_however_long_the_stream(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    score = type(predictor.judge).score

    def count(judge: Any, windows: Any) -> Any:
        runs[-1] += sum(len(window.frames) for window in windows)
        return score(judge, windows)

    monkeypatch.setattr(type(predictor.judge), "score", count)
    session = LiveSession(predictor)
    for block in np.array_split(np.concatenate([dialogue(20), silence(3)]), 240):
        runs.append(0)
        session.feed(block)
        session.update()
    # Frames of 10 ms: two and a half windows of two seconds, one more that is finished, and margins.
    assert max(runs) <= 850
    assert runs[-3:] == [0, 0, 0]
    runs.append(0)
    session.update()
    assert runs[-1] == 0


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, FAST.size * 2), max_size=8))
def test_samples_split_anywhere_are_the_same(cuts: list[int]) -> None:
    data = (FAST * 32768).astype("<i2").tobytes()
    pipe = BytePipe(lambda _: None)
    places = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(places):
        pipe.write(data[start:end])
    pipe.end()
    with open_live(pipe, "pcm_s16le", rate=44_100, channels=2) as stream:
        found = np.concatenate(list(stream))
    expected = load_audio(np.frombuffer(data, "<i2").reshape(-1, 2), rate=44_100)
    np.testing.assert_array_equal(found, expected)


def test_webm_is_that_of_the_file(webm: bytes) -> None:
    np.testing.assert_array_equal(filled(webm, "webm", piece=100), load_audio(webm))


class _Slow:
    """A pipe into a stream whose blocks are taken on a thread."""

    def __init__(self, encoding: Encoding, **options: Any) -> None:
        self.used = 0
        self.idle = threading.Condition()
        self.pipe = BytePipe(self._tell)
        self.blocks: list[NDArray[np.float32]] = []
        self.error: AudioError | None = None
        self.thread = threading.Thread(target=self._run, args=(encoding, options), daemon=True)
        self.thread.start()

    def _tell(self, used: int) -> None:
        with self.idle:
            self.used += used
            self.idle.notify_all()

    def _run(self, encoding: Encoding, options: Any) -> None:
        try:
            with open_live(self.pipe, encoding, **options) as stream:
                self.blocks.extend(stream)
        except AudioError as error:
            self.error = error

    def send(self, data: bytes) -> None:
        """Send bytes and wait until all were used."""
        with self.idle:
            goal = self.used + len(data)
            self.pipe.write(data)
            assert self.idle.wait_for(lambda: self.used == goal, 20)

    def end(self) -> None:
        self.pipe.end()
        self.thread.join(20)


def test_webm_is_decoded_as_it_arrives(webm: bytes) -> None:
    whole = load_audio(webm).size
    slow = _Slow("webm")
    for quarter in range(1, 4):
        slow.send(webm[(quarter - 1) * len(webm) // 4 : quarter * len(webm) // 4])
        heard = sum(block.size for block in slow.blocks)
        # Half a second fills a block; and what is said fills more bytes than silence does.
        assert heard > quarter / 4 * whole - 1.5 * RATE
    slow.send(webm[3 * len(webm) // 4 :])
    slow.end()
    assert sum(block.size for block in slow.blocks) == whole


def test_samples_come_by_the_half_second() -> None:
    slow = _Slow("pcm_s16le", rate=RATE)
    slow.send(bytes(2 * RATE))
    assert [block.size for block in slow.blocks] == [HALF, HALF]
    slow.send(bytes(999))
    slow.end()
    assert sum(block.size for block in slow.blocks) == RATE + 499


def test_what_is_cut_off_is_heard_up_to_there(webm: bytes) -> None:
    found = filled(webm[: len(webm) // 2], "webm")
    assert 0.3 < found.size / load_audio(webm).size < 0.7


def test_half_a_sample_is_told_of() -> None:
    pipe = BytePipe(lambda _: None)
    pipe.write(bytes(4001))
    pipe.end()
    with open_live(pipe, "pcm_s16le", rate=8000, channels=2) as stream:
        assert sum(block.size for block in stream) == 2000
    assert [warning.code for warning in stream.warnings] == ["truncated"]


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        (b"", "pcm_s16le", "empty"),
        (b"\0", "pcm_s16le", "empty"),
        (b"", "webm", "empty"),
        (RUBBISH, "webm", "not_audio"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(5000), "webm", "not_audio"),
    ],
)
def test_what_is_no_sound_is_refused(data: bytes, encoding: Encoding, code: str) -> None:
    with pytest.raises(AudioError) as caught:
        filled(data, encoding, rate=RATE)
    assert caught.value.code == code


def test_rubbish_is_refused_before_the_end() -> None:
    slow = _Slow("webm")
    slow.pipe.write(RUBBISH)
    slow.thread.join(20)
    assert slow.error is not None
    assert slow.error.code == "not_audio"


def test_a_webm_without_sound_is_refused(webm: bytes) -> None:
    with pytest.raises(AudioError) as caught:
        filled(webm[:260], "webm")
    assert caught.value.code in ("empty", "not_audio")


@pytest.mark.parametrize(("rate", "channels"), [(100, 1), (10**6, 1), (RATE, 65), (RATE, 0)])
def test_impossible_formats_are_refused(rate: int, channels: int) -> None:
    with pytest.raises(AudioError) as caught:
        filled(bytes(100), rate=rate, channels=channels)
    assert caught.value.code == "bad_header"


def test_samples_need_a_rate() -> None:
    with pytest.raises(UsageError, match="rate="):
        filled(bytes(100))


def test_what_is_dropped_ends_at_once() -> None:
    slow = _Slow("pcm_s16le", rate=RATE)
    slow.send(bytes(2 * RATE))
    slow.pipe.drop()
    slow.thread.join(20)
    assert not slow.thread.is_alive()
