"""Every format in, the same voice out."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from audio_toys import RATE, VIDEO, encode, likeness, piped, resampled, speech, wav

from voxtrait.audio import load_audio, open_audio

#: name of the file, options of ffmpeg, rate above which nothing is left, least likeness
FORMATS = [
    ("u8.wav", "-c:a pcm_u8", RATE, 0.99),
    ("s16.wav", "-c:a pcm_s16le", RATE, 0.9999),
    ("s24.wav", "-c:a pcm_s24le", RATE, 0.9999),
    ("s32.wav", "-c:a pcm_s32le", RATE, 0.9999),
    ("f32.wav", "-c:a pcm_f32le", RATE, 0.9999),
    ("f64.wav", "-c:a pcm_f64le", RATE, 0.9999),
    ("mulaw.wav", "-c:a pcm_mulaw", RATE, 0.99),
    ("alaw.wav", "-c:a pcm_alaw", RATE, 0.99),
    ("phone.wav", "-c:a pcm_mulaw -ar 8000", 8_000, 0.99),
    ("adpcm_ms.wav", "-c:a adpcm_ms", RATE, 0.99),
    ("adpcm_ima.wav", "-c:a adpcm_ima_wav", RATE, 0.99),
    ("gsm.wav", "-c:a libgsm_ms -ar 8000", 8_000, 0.9),
    ("g726.wav", "-c:a adpcm_g726 -ar 8000", 8_000, 0.95),
    ("mp3.wav", "-c:a libmp3lame", RATE, 0.99),
    ("rf64.wav", "-rf64 always", RATE, 0.9999),
    ("bare.w64", "", RATE, 0.9999),
    ("bare.aiff", "", RATE, 0.9999),
    ("bare.au", "", RATE, 0.9999),
    ("bare.caf", "", RATE, 0.9999),
    ("alac.caf", "-c:a alac", RATE, 0.9999),
    ("bare.flac", "", RATE, 0.9999),
    ("s24.flac", "-sample_fmt s32 -ar 96000", RATE, 0.9999),
    ("flac.ogg", "-c:a flac", RATE, 0.9999),
    ("cbr.mp3", "-b:a 64k -ar 48000", RATE, 0.99),
    ("vbr.mp3", "-q:a 4 -ar 44100", RATE, 0.99),
    ("low.mp3", "-ar 8000", 8_000, 0.97),
    ("no_length.mp3", "-q:a 4 -write_xing 0 -id3v2_version 0", RATE, 0.99),
    ("bare.mp2", "-ar 44100", RATE, 0.99),
    ("vorbis.ogg", "-c:a libvorbis", RATE, 0.98),
    ("bare.opus", "", RATE, 0.95),
    ("speex.ogg", "-c:a libspeex -ar 16000", 16_000, 0.8),
    ("bare.m4a", "", RATE, 0.99),
    ("alac.m4a", "-c:a alac", RATE, 0.9999),
    ("fragments.m4a", "-movflags frag_keyframe+empty_moov", RATE, 0.99),
    ("bare.aac", "", RATE, 0.99),
    ("bare.3gp", "-c:a aac", RATE, 0.99),
    ("bare.wma", "", RATE, 0.98),
    ("v1.wma", "-c:a wmav1", RATE, 0.98),
    ("opus.webm", "-c:a libopus", RATE, 0.95),
    ("bare.mka", "-c:a aac", RATE, 0.99),
    ("bare.ac3", "-ar 44100", RATE, 0.98),
    ("bare.eac3", "-ar 44100", RATE, 0.98),
    ("bare.wv", "", RATE, 0.9999),
    ("bare.tta", "", RATE, 0.9999),
]
VIDEOS = ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.flv", "a.ts", "a.mpg", "a.wmv", "a.ogv", "a.webm"]


def check(data: bytes, least: float, top: int = RATE) -> None:
    with open_audio(data) as stream:
        heard = np.concatenate(list(stream))
    original = resampled(speech(), RATE)
    if top < RATE:
        original = resampled(resampled(original, 16_000, top), top)
    assert heard.dtype == np.float32
    assert heard.ndim == 1
    assert np.abs(heard).max() <= 1
    assert stream.duration == len(heard) / 16_000
    assert stream.duration == pytest.approx(3.0, abs=0.15)
    assert likeness(heard, original) > least
    assert stream.warnings == []


@pytest.mark.parametrize(("name", "options", "top", "least"), FORMATS, ids=[row[0] for row in FORMATS])
def test_format(workshop: Path, name: str, options: str, top: int, least: float) -> None:
    check(encode(workshop, name, *options.split()), least, top)


@pytest.mark.parametrize("name", VIDEOS)
def test_the_sound_of_a_video(workshop: Path, name: str) -> None:
    options = ("-shortest",) if name != "a.flv" else ("-ar", "22050", "-shortest")
    check(encode(workshop, name, *options, before=VIDEO), 0.95)


def test_amr(tmp_path: Path) -> None:
    # Debian's ffmpeg cannot write AMR, PyAV can.
    path = tmp_path / "a.amr"
    samples = (resampled(speech(), RATE, 8_000) * 32767).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopencore_amrnb", rate=8_000, layout="mono")
        for start in range(0, len(samples) - 160, 160):
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis, start : start + 160], "s16", "mono")
            frame.sample_rate = 8_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    check(path.read_bytes(), 0.8, 8_000)


@pytest.mark.parametrize(
    "options",
    [
        "-f wav",
        "-f flac",
        "-f webm -c:a libopus",
        "-f webm -live 1 -c:a libopus",
        "-f ogg",
        "-f adts",
        "-f mp3",
        "-f au",
    ],
)
def test_a_recording_written_to_a_pipe_has_no_length_and_is_whole(options: str) -> None:
    check(piped(*options.split()), 0.95)


@pytest.mark.parametrize("size", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x00\xf0\xff\x7f"])
def test_a_wav_whose_header_says_until_the_end(size: bytes) -> None:
    data = wav(speech())
    at = data.index(b"data") + 4
    check(data[:at] + size + data[at + 4 :], 0.9999)


def test_joined_files_are_heard_to_their_end(workshop: Path) -> None:
    for name, options in (
        ("vbr.mp3", "-q:a 4 -ar 44100"),
        ("vorbis.ogg", "-c:a libvorbis"),
        ("bare.opus", ""),
    ):
        data = encode(workshop, name, *options.split())
        assert len(load_audio(data + data)) == pytest.approx(2 * len(load_audio(data)), abs=3200), name


def test_the_rate_may_change_on_the_way(workshop: Path) -> None:
    rates = ("44100", "16000", "24000")
    parts = [
        encode(workshop, f"{rate}.mp3", "-ar", rate, "-write_xing", "0", "-id3v2_version", "0")
        for rate in rates
    ]
    heard = load_audio(b"".join(parts))
    assert len(heard) == pytest.approx(9 * 16_000, abs=6400)
    for start in (0, 48_000, 96_000):
        assert likeness(heard[start : start + 52_000], resampled(speech(), RATE), lag=6400) > 0.9


def test_joined_ogg_of_two_rates_is_not_cut_in_silence(workshop: Path) -> None:
    parts = [encode(workshop, f"{rate}.ogg", "-c:a", "libvorbis", "-ar", rate) for rate in ("44100", "16000")]
    with open_audio(b"".join(parts)) as stream:
        assert sum(map(len, stream)) == pytest.approx(48_000, abs=1600)
    assert [warning.code for warning in stream.warnings] == ["truncated"]


@pytest.mark.parametrize("extension", ["txt", "raw", "wav", "mp3", "m3u8", "sd2", "vox"])
@pytest.mark.parametrize(
    ("name", "options"), [("s16.wav", "-c:a pcm_s16le"), ("vbr.mp3", "-q:a 4 -ar 44100"), ("bare.m4a", "")]
)
def test_the_extension_does_not_matter(
    workshop: Path, tmp_path: Path, name: str, options: str, extension: str
) -> None:
    data = encode(workshop, name, *options.split())
    path = tmp_path / f"a.{extension}"
    path.write_bytes(data)
    expected = load_audio(data)
    np.testing.assert_array_equal(load_audio(path), expected)
    with path.open("rb") as file:
        np.testing.assert_array_equal(load_audio(file), expected)


def test_a_name_is_never_taken_for_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workshop: Path
) -> None:
    data = encode(workshop, "bare.m4a")
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.m4a", "http:x.m4a", "pipe:0", "ünï côdé 音声.m4a", "-"):
        Path(name).write_bytes(data)
        assert len(load_audio(name)) == len(load_audio(data))


def test_the_better_of_two_audio_streams(workshop: Path) -> None:
    second = ("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d=3")
    check(encode(workshop, "two.mka", "-map", "1", "-map", "0", "-c:a", "pcm_s16le", before=second), 0.99)


def test_sound_that_starts_after_the_picture_keeps_its_time(workshop: Path) -> None:
    late = ("-f", "lavfi", "-i", "testsrc=s=32x32:r=25:d=5", "-itsoffset", "2")
    for name in ("late.mp4", "late.mkv"):
        heard = load_audio(encode(workshop, name, before=late))
        assert len(heard) == pytest.approx(5 * 16_000, abs=2400)
        assert np.abs(heard[: int(1.9 * 16_000)]).max() < 1e-3
        assert likeness(heard[2 * 16_000 :], resampled(speech(), RATE)) > 0.95


def test_sound_that_ends_before_the_picture_is_not_cut_off(workshop: Path) -> None:
    long = ("-f", "lavfi", "-i", "testsrc=s=32x32:r=5:d=6")
    for name in ("long.mp4", "long.mkv", "long.avi"):
        with open_audio(encode(workshop, name, before=long)) as stream:
            assert sum(map(len, stream)) == pytest.approx(48_000, abs=2400)
            assert stream.warnings == [], name


def test_a_cover_picture_is_not_sound(workshop: Path) -> None:
    picture = ("-f", "lavfi", "-i", "testsrc=s=32x32:r=1:d=1")
    options = ("-map", "1", "-map", "0", "-c:v", "png", "-disposition:v", "attached_pic", "-ar", "44100")
    check(encode(workshop, "cover.mp3", *options, before=picture), 0.99)
    check(encode(workshop, "cover.m4a", *options, before=picture), 0.99)


def test_bytes_of_all_kinds() -> None:
    data = wav(speech())
    expected = load_audio(data)
    for source in (bytearray(data), memoryview(data), io.BytesIO(data)):
        np.testing.assert_array_equal(load_audio(source), expected)
