"""Recordings that are cut off or damaged: all that is left comes out, with a word about it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from audio_toys import RATE, VIDEO, encode, likeness, piped, resampled, speech, wav
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrait.audio import load_audio, open_audio
from voxtrait.errors import AudioError

#: name of the file, options of ffmpeg
TELL_THEIR_LENGTH = [
    ("s16.wav", ""),
    ("f32.wav", "-c:a pcm_f32le"),
    ("mulaw.wav", "-c:a pcm_mulaw"),
    ("adpcm_ms.wav", "-c:a adpcm_ms"),
    ("rf64.wav", "-rf64 always"),
    ("bare.w64", ""),
    ("bare.aiff", ""),
    ("bare.au", ""),
    ("bare.caf", ""),
    ("bare.flac", ""),
    ("cbr.mp3", ""),
    ("vbr.mp3", "-q:a 4 -ar 44100"),
    ("low.mp3", "-ar 8000"),
    ("vorbis.ogg", "-c:a libvorbis"),
    ("bare.opus", ""),
    ("bare.wma", ""),
    ("fast.m4a", "-movflags faststart"),
    ("bare.mka", "-c:a aac"),
    ("opus.webm", "-c:a libopus"),
    ("bare.tta", ""),
]
DO_NOT = [
    ("no_length.mp3", "-q:a 4 -write_xing 0 -id3v2_version 0"),
    ("bare.aac", ""),
    ("bare.ac3", "-ar 44100"),
    ("bare.mp2", "-ar 44100"),
]


@pytest.fixture(autouse=True)
def _silent(capfd: pytest.CaptureFixture[str]) -> object:
    yield
    assert capfd.readouterr() == ("", ""), "the decoders print"


def hear(data: bytes) -> tuple[NDArray[np.float32], list[str]]:
    with open_audio(data) as stream:
        heard = np.concatenate(list(stream))
    assert all(warning.message.startswith("<bytes> ") for warning in stream.warnings)
    return heard, [warning.code for warning in stream.warnings]


def is_the_start(heard: NDArray[np.float32]) -> bool:
    length = min(len(heard), 48_000)
    return 12_000 < len(heard) < 45_000 and likeness(heard, resampled(speech(), RATE)[:length]) > 0.85


@pytest.mark.parametrize(("name", "options"), TELL_THEIR_LENGTH)
def test_cut_off(workshop: Path, name: str, options: str) -> None:
    whole = encode(workshop, name, *options.split())
    heard, codes = hear(whole[: len(whole) * 3 // 5])
    assert is_the_start(heard)
    # Half a packet of a lossy codec can give a burst of noise: that is told as well.
    assert codes in (["truncated"], ["damaged", "truncated"])


@pytest.mark.parametrize(("name", "options"), DO_NOT)
def test_cut_off_where_no_header_tells_the_length(workshop: Path, name: str, options: str) -> None:
    whole = encode(workshop, name, *options.split())
    heard, codes = hear(whole[: len(whole) * 3 // 5])
    assert is_the_start(heard)
    assert codes == []


def test_a_video_cut_off(workshop: Path) -> None:
    for name, options in (("v.mkv", ()), ("v.mp4", ("-movflags", "faststart")), ("a.avi", ("-shortest",))):
        whole = encode(workshop, name, *options, before=VIDEO)
        heard, codes = hear(whole[: len(whole) // 2])
        assert 10_000 < len(heard) < 45_000, name
        assert codes == ["truncated"], name


def test_a_pipe_cut_off() -> None:
    for options in (("-f", "wav"), ("-f", "webm", "-live", "1", "-c:a", "libopus"), ("-f", "mpegts")):
        data = piped(*options)
        heard, codes = hear(data[: len(data) * 3 // 5])
        assert is_the_start(heard)
        assert codes == [], "the header says until the end"


def test_a_few_bytes_less_are_no_matter(workshop: Path) -> None:
    for name in ("s16.wav", "vbr.mp3", "bare.aiff", "bare.wma"):
        _, codes = hear(
            encode(workshop, name, *(["-q:a", "4", "-ar", "44100"] if name == "vbr.mp3" else []))[:-60]
        )
        assert codes == [], name


def test_an_absurd_length() -> None:
    data = wav(speech())
    at = data.index(b"data") + 4
    heard, codes = hear(data[:at] + struct.pack("<I", 0x1000_0000) + data[at + 4 :])
    assert len(heard) == 48_000
    assert codes == ["truncated"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cbr.mp3", ""),
        ("bare.flac", ""),
        ("bare.opus", ""),
        ("fast.m4a", "-movflags faststart"),
    ],
)
def test_damaged_in_the_middle(workshop: Path, name: str, options: str) -> None:
    whole = bytearray(encode(workshop, name, *options.split()))
    half = len(whole) // 2
    whole[half : half + 700] = np.random.default_rng(3).bytes(700)
    heard, codes = hear(bytes(whole))
    assert "damaged" in codes
    assert len(heard) == pytest.approx(48_000, rel=0.25)
    end = resampled(speech(), RATE)[-12_000:]
    assert likeness(heard[-16_000:], end, lag=8_000) > 0.7, "what follows is heard"


@pytest.mark.parametrize(("name", "options"), TELL_THEIR_LENGTH)
def test_nothing_is_lost_in_silence(workshop: Path, name: str, options: str) -> None:
    whole = encode(workshop, name, *options.split())
    for seed, size in enumerate((20, 300, 2_000, 5_000)):
        spoilt = bytearray(whole)
        at = len(whole) // 2 + 100 * seed
        spoilt[at : at + size] = np.random.default_rng(seed).bytes(size)
        if name == "f32.wav":
            spoilt = bytearray(whole[:at] + whole[at + size :])
        heard, codes = hear(bytes(spoilt))
        assert codes or len(heard) > 46_000, size


def test_a_loss_keeps_the_time_of_what_follows(workshop: Path) -> None:
    for name, options in (("bare.flac", ""), ("bare.opus", "")):
        whole = bytearray(encode(workshop, name, *options.split()))
        third = len(whole) // 3
        whole[third : third + 3000] = bytes(3000)
        heard, _ = hear(bytes(whole))
        assert len(heard) == pytest.approx(48_000, abs=1_700)
        assert likeness(heard[-16_000:], resampled(speech(), RATE)[-16_000:], lag=1_700) > 0.9


@pytest.mark.parametrize("garbage", [bytes(5_000), np.random.default_rng(1).bytes(5_000)])
def test_garbage_before_an_mp3(workshop: Path, garbage: bytes) -> None:
    heard, codes = hear(garbage + encode(workshop, "cbr.mp3"))
    assert len(heard) == pytest.approx(48_000, abs=2_000)
    assert codes == []


def test_tags_around_an_mp3(workshop: Path) -> None:
    plain = encode(workshop, "cbr.mp3", "-id3v2_version", "0")
    big_tag = b"ID3\x04\x00\x00\x00\x02\x00\x00" + bytes(2 * 2**14)
    old_tag = b"TAG" + b"x" * 125
    ape_tag = b"APETAGEX" + struct.pack("<IIII8x", 2000, 64, 1, 1 << 31) + bytes(64)
    for data in (
        big_tag + plain,
        plain + old_tag,
        plain + ape_tag + old_tag,
        plain + b"LYRICSBEGIN" + b"la " * 100,
    ):
        heard, codes = hear(data)
        assert len(heard) == pytest.approx(48_000, abs=1_000)
        assert codes == []


def test_a_webm_without_the_silence_that_was_not_sent(workshop: Path) -> None:
    """As browsers record a call: the times jump over what was not sent."""
    silence = ("-af", "aselect='not(between(t,1,2))'")
    heard, codes = hear(encode(workshop, "gap.webm", *silence, "-c:a", "libopus"))
    assert len(heard) == pytest.approx(48_000, abs=2_000)
    assert np.abs(heard[18_000:30_000]).max() < 0.05
    assert likeness(heard[33_000:], resampled(speech(), RATE)[33_000:48_000]) > 0.9
    assert codes == []


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_bytes_it_is_sound_or_an_audio_error(workshop: Path, data: st.DataObject) -> None:
    name, options = data.draw(st.sampled_from(TELL_THEIR_LENGTH + DO_NOT))
    spoilt = bytearray(encode(workshop, name, *options.split())[:30_000])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, min(len(spoilt), data.draw(st.sampled_from([100, 600, 30_000])))))
        width = data.draw(st.sampled_from([0, 1, 4, 50]))
        spoilt[at : at + width] = data.draw(st.binary(max_size=50))
    try:
        heard = load_audio(bytes(spoilt))
    except AudioError:
        return
    assert np.abs(heard).max() <= 1
