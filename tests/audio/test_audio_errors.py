"""What cannot be heard is told in one sentence, with a code."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_toys import VIDEO, encode, run, speech, wav

from voxtrait.audio import load_audio, open_audio
from voxtrait.errors import AudioError


def code_of(source: Any) -> str:
    with pytest.raises(AudioError) as caught:
        load_audio(source)
    message = caught.value.message
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 250 + len(str(source)) * isinstance(source, str)
    return caught.value.code


def in_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", wav(speech()))
    return file.getvalue()


NOT_AUDIO = {
    "text": b"the quick brown fox\n" * 200,
    "html": b"<!doctype html><html><body>404 not found</body></html>" * 30,
    "json": b'{"error": "not found"}',
    "zip": in_zip(),
    "pdf": b"%PDF-1.4\n" + bytes(range(256)) * 40,
    "random": np.random.default_rng(5).bytes(200_000),
    "zeros": bytes(100_000),
    "one byte": b"R",
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(100),
    "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 20,
    "python": Path(__file__).read_bytes(),
}


@pytest.mark.parametrize("kind", NOT_AUDIO)
def test_not_audio(kind: str, tmp_path: Path) -> None:
    for extension in ("wav", "mp3", "txt"):
        path = tmp_path / f"a.{extension}"
        path.write_bytes(NOT_AUDIO[kind])
        assert code_of(path) == "not_audio"
    assert code_of(NOT_AUDIO[kind]) == "not_audio"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.bmp"])
def test_a_picture_is_not_audio(name: str, tmp_path: Path) -> None:
    run(
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc=s=64x64",
        "-frames:v",
        "1",
        str(tmp_path / name),
    )
    assert code_of(tmp_path / name) == "not_audio"


@pytest.mark.parametrize("name", ["mute.mp4", "mute.mkv", "mute.avi", "mute.webm"])
def test_a_video_without_sound(workshop: Path, name: str) -> None:
    data = encode(workshop, name, "-an", "-t", "1", before=VIDEO)
    assert code_of(data) == "no_audio_stream"


def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(tmp_path / "a.wav") == "not_found"
    assert code_of(tmp_path / "no" / "a.wav") == "not_found"
    (tmp_path / "a.txt").write_bytes(b"x")
    assert code_of(tmp_path / "a.txt" / "a.wav") == "not_found"
    (tmp_path / "link.wav").symlink_to(tmp_path / "gone.wav")
    assert code_of(tmp_path / "link.wav") == "not_found"
    with pytest.raises(AudioError, match="download it first"):
        open_audio("https://example.org/a.mp3")


def test_not_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_of(tmp_path) == "not_readable"
    assert code_of("a\0b.wav") == "not_readable"
    assert code_of("x" * 5000) == "not_readable"
    assert code_of("/dev/zero") == "not_readable"
    with socket.socket(socket.AF_UNIX) as door:
        monkeypatch.chdir(tmp_path)
        door.bind("socket")
        assert code_of("socket") == "not_readable"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert code_of(tmp_path / "loop") == "not_readable"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read all, so the refusal is played.
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.wav"
    path.write_bytes(wav(speech()))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"a\.wav cannot be read: Permission denied\.") as caught:
        open_audio(path)
    assert caught.value.code == "not_readable"


def test_a_text_file_object() -> None:
    assert code_of(io.StringIO("RIFF")) == "not_readable"


def test_empty(tmp_path: Path, workshop: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert code_of(tmp_path / "a.wav") == "empty"
    assert code_of(b"") == "empty"
    assert code_of(io.BytesIO()) == "empty"
    none = np.zeros(0, np.float32)
    for kind in ("WAV", "AIFF", "FLAC", "W64", "CAF", "AU", "RF64"):
        assert code_of(wav(none, kind=kind)) == "empty", kind


def header(*, rate: int = 16_000, channels: int = 1) -> bytes:
    data = bytearray(wav(speech()))
    data[22:24] = struct.pack("<H", channels)
    data[24:28] = struct.pack("<I", rate)
    return bytes(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0},
        {"rate": 1},
        {"rate": 4 * 10**9},
        {"channels": 0},
        {"channels": 1000},
        {"channels": 60_000},
    ],
)
def test_an_absurd_header(wrong: dict[str, int]) -> None:
    assert code_of(header(**wrong)) == "bad_header"


@pytest.mark.parametrize("rate", [0, 1, 2**31])
def test_an_absurd_header_of_another_kind(rate: int) -> None:
    data = bytearray(wav(speech(), kind="AU"))
    data[16:20] = struct.pack(">I", rate)
    assert code_of(bytes(data)) in {"bad_header", "corrupt"}


def test_a_header_that_asks_for_gigabytes() -> None:
    """A chunk of text of 4 GB in a small file: libav would believe it."""
    script = (
        "import resource, struct, sys\n"
        "from voxtrait.audio import load_audio\n"
        "from voxtrait.errors import AudioError\n"
        "data = bytearray(sys.stdin.buffer.read())\n"
        "data[40:44] = struct.pack('<I', 0xF84F83CB)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    load_audio(bytes(data))\nexcept AudioError as error:\n    print(error.code)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    data = wav(speech())
    data = data[:36] + b"LIST\x0e\x00\x00\x00INFOISFT\x02\x00\x00\x00ab" + data[36:]
    code, grown = run(sys.executable, "-c", script, data=data).split()
    assert code == b"corrupt"
    assert int(grown) < 100_000


def test_what_is_cut_before_the_sound_is_corrupt(workshop: Path) -> None:
    for name in ("bare.m4a", "bare.flac", "vorbis.ogg", "bare.wma", "s16.wav", "bare.mka"):
        assert code_of(encode(workshop, name)[:40]) == "corrupt", name
    # The index of an mp4 comes last.
    # And the first block of this WavPack holds two seconds.
    for name in ("bare.m4a", "bare.wv"):
        whole = encode(workshop, name)
        assert code_of(whole[: len(whole) // 2]) == "corrupt", name


class Broken(io.BytesIO):
    """A file object that fails after some bytes."""

    def __init__(self, data: bytes, answer: bytes | Exception | None, after: int) -> None:
        super().__init__(data)
        self.answer, self.after = answer, after

    def read(self, size: int | None = -1, /) -> Any:
        if self.tell() < self.after:
            return super().read(size)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer", [OSError(5, "Input/output error"), RuntimeError("gone"), "text", bytes(10**6)]
)
@pytest.mark.parametrize("after", [0, 50_000])
@pytest.mark.parametrize("name", ["s16.wav", "cbr.mp3"])
def test_a_file_object_that_fails(
    workshop: Path, name: str, after: int, answer: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    data = encode(workshop, name) * (1 if name == "s16.wav" else 5)
    assert code_of(Broken(data, answer, after)) == "not_readable"
    assert capfd.readouterr() == ("", "")


class Pipe:
    """A file object that can only be read, a few bytes at a time."""

    def __init__(self, data: bytes, name: object = None) -> None:
        self._file = io.BytesIO(data)
        self.name = name

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 1000) if size >= 0 else 1000)


def test_pipes(workshop: Path, tmp_path: Path) -> None:
    data = encode(workshop, "bare.m4a")
    expected = load_audio(data)
    np.testing.assert_array_equal(load_audio(Pipe(data)), expected)  # type: ignore[arg-type]
    assert code_of(Pipe(b"")) == "empty"
    assert code_of(Pipe(b"hello")) == "not_audio"
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(data,))
    writer.start()
    np.testing.assert_array_equal(load_audio(tmp_path / "fifo"), expected)
    writer.join()
    script = "import sys; from voxtrait.audio import *; print(len(load_audio(sys.stdin.buffer)), open_audio)"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        with subprocess.Popen(
            [sys.executable, "-c", script], stdin=cat.stdout, stdout=subprocess.PIPE
        ) as process:
            cat.stdin.write(data)
            cat.stdin.close()
            assert process.stdout is not None
            assert int(process.stdout.read().split()[0]) == len(expected)


def test_names(tmp_path: Path) -> None:
    data = wav(speech())
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with open_audio(path) as stream:
        assert stream.name == str(path)
    with path.open("rb") as file, open_audio(file) as stream:
        assert stream.name == str(path)
    for source, name in ((data, "<bytes>"), (io.BytesIO(data), "<stream>"), (Pipe(data, 0), "<stream>")):
        with open_audio(source) as stream:  # type: ignore[arg-type]
            assert stream.name == name


def test_the_file_of_the_caller_stays_open_and_ours_is_closed(tmp_path: Path, workshop: Path) -> None:
    for name in ("s16.wav", "cbr.mp3", "bare.m4a"):
        path = tmp_path / name
        path.write_bytes(encode(workshop, name))
        with path.open("rb") as file:
            file.seek(77)
            load_audio(file)
            assert not file.closed
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("s16.wav", "cbr.mp3", "bare.m4a"):
        load_audio(tmp_path / name)
        stream = open_audio(tmp_path / name, block=0.1)
        next(stream)
        stream.close()
        stream.close()
        assert list(stream) == []
    for _ in range(3):
        code_of(Path(__file__))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
