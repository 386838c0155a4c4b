"""A file must not make us read other files, print, or crash."""

from __future__ import annotations

import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from audio_toys import encode, run, speech, wav

from voxtrait.audio import load_audio
from voxtrait.errors import AudioError

PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.0,\n{target}\n#EXT-X-ENDLIST\n",
    "m3u": "{target}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "pls": "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "asx": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" '
    'bandwidth="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "xspf": "<playlist><trackList><track><location>{target}</location></track></trackList></playlist>",
}


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secret")
    (folder / "a.wav").write_bytes(wav(speech()))
    (folder / "a.ts").write_bytes(encode(folder, "b.ts"))
    return folder


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("target", ["a.wav", "a.ts", "{folder}/a.wav", "file:{folder}/a.ts"])
def test_a_playlist_is_not_followed(
    secret: Path, kind: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(secret)
    text = PLAYLISTS[kind].format(target=target.format(folder=secret))
    Path(f"list.{kind}").write_text(text)
    for source in (Path(f"list.{kind}"), text.encode()):
        with pytest.raises(AudioError) as caught:
            load_audio(source)
        assert caught.value.code == "not_audio"


def test_no_address_is_called() -> None:
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/a.ts"
        for text in PLAYLISTS.values():
            with pytest.raises(AudioError):
                load_audio(text.format(target=address).encode())
        with pytest.raises(AudioError):
            load_audio(address)
        server.shutdown()
        thread.join()
    assert calls == []


def caf(labels: list[int]) -> bytes:
    """A CAF file of big-endian floats whose channels stand in the order of Core Audio's labels."""
    count = len(labels)
    sound = np.full((4_000, count), 0.1, ">f4")
    chunks = {
        b"desc": struct.pack(">d4sIIIII", 16_000, b"lpcm", 1, 4 * count, 1, count, 32),
        b"chan": struct.pack(">III", 0, 0, count)
        + b"".join(struct.pack(">IIfff", n, 0, 0, 0, 0) for n in labels),
        b"data": struct.pack(">I", 0) + sound.tobytes(),
    }
    body = b"".join(name + struct.pack(">Q", len(content)) + content for name, content in chunks.items())
    return b"caff" + struct.pack(">HH", 1, 0) + body


@pytest.mark.parametrize("labels", [[2, 1], [3, 2, 1], [100, 101]])
def test_an_unusual_order_of_channels_does_not_kill_the_process(labels: list[int]) -> None:
    """PyAV 17.1 to 19.0 frees the channel map twice."""
    script = (
        "import sys\n"
        "from voxtrait.audio.headers import read_header\n"
        "from voxtrait.audio.inputs import open_bytes\n"
        "from voxtrait.audio.libav import read_libav\n"
        "for _ in range(20):\n"
        "    source = open_bytes(DATA, 'a')\n"
        "    frames = sum(len(chunk.samples) for chunk in read_libav(source, read_header(source), 'a', []))\n"
        "print(frames)\n"
    )
    program = f"DATA = {caf(labels)!r}\n{script}"
    assert run(sys.executable, "-", data=program.encode()) == b"4000\n"
    assert len(load_audio(caf(labels))) == 4_000


def test_import_is_light() -> None:
    script = (
        "import sys, voxtrait.audio; print({'av', 'soundfile', 'soxr', 'scipy', 'torch'} & set(sys.modules))"
    )
    assert run(sys.executable, "-c", script) == b"set()\n"


def test_many_threads_at_once(workshop: Path) -> None:
    sources = [encode(workshop, name) for name in ("s16.wav", "cbr.mp3", "bare.m4a", "bare.flac")]
    expected = [load_audio(source) for source in sources]
    wrong: list[object] = []

    def work() -> None:
        for source, right in zip(sources, expected, strict=True):
            if not np.array_equal(load_audio(source), right):
                wrong.append(source[:4])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
