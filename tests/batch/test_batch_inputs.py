"""What the inputs of `voxtrait annotate` mean: each recording found once, each bad line a row."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest
from batch_toys import environment, named, noise, rows_of, run, speech, toy_in

from voxtrait.batch.inputs import Finder
from voxtrait.engine.items import Item
from voxtrait.errors import AudioError, CorpusError, MissingExtraError, VoxtraitError


def found(inputs: Sequence[object], lines: Iterable[str] = ()) -> dict[str, Item]:
    """Return what inputs name, by its name; each is asked for once."""
    asked: set[str] = set()

    def take(name: str, *_: object) -> bool | None:
        if name in asked:
            return None
        asked.add(name)
        return True

    finder = Finder(list(map(str, inputs)), take, lines)
    items = list(finder)
    assert finder.finished
    assert (finder.seen, finder.passed) == (len(items), 0)
    assert len({item.name for item in items}) == len(items)
    return {item.name: item for item in items}


def problems(items: dict[str, Item]) -> dict[str, str]:
    return {name: item.problem.code for name, item in items.items() if item.problem}


def shard(path: Path, members: dict[str, bytes], *, packed: bool = False) -> Path:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(gzip.compress(raw.getvalue()) if packed else raw.getvalue())
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.MP3", "sub/c.ogg", ".hidden/d.wav", "notes.txt", "shard.tar"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_folders_globs_files_and_links(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [f"{tree}/a.wav", f"{tree}/b.MP3", f"{tree}/sub/c.ogg"]
    assert list(found([tree])) == every
    assert list(found([tree, tree, f"{tree}/a.wav", f"{tree}/sub/../a.wav"])) == every
    assert list(found([f"{tree}/*.wav"])) == every[:1]
    assert list(found([f"{tree}/**/*.ogg"])) == every[2:]
    monkeypatch.chdir(tree)
    assert list(found(["."])) == every
    assert list(found(["sub"])) == every[2:]
    # An explicit file is heard whatever its name is.
    assert list(found(["notes.txt", "missing.wav"])) == [f"{tree}/notes.txt", f"{tree}/missing.wav"]
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "link.wav").symlink_to(tree / "a.wav")
    (tree / "broken.wav").symlink_to(tree / "nowhere")
    items = found([tree])
    assert set(items) == {*every, f"{tree}/link.wav", f"{tree}/broken.wav"}
    item = items[every[0]]
    assert (item.size, item.content, item.problem) == (5, None, None)
    assert item.modified is not None
    assert item.modified.timestamp() == Path(every[0]).stat().st_mtime_ns // 1000 / 1e6
    assert (items[f"{tree}/broken.wav"].size, items[f"{tree}/broken.wav"].modified) == (None, None)


def test_what_is_no_file_has_no_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    items = found([tmp_path, "/dev/zero"])
    assert [(item.size, item.modified) for item in items.values()] == [(None, None)] * 2


@pytest.mark.parametrize("name", ["", "FOLDER", "FOLDER/*.wav", "FOLDER/**", "nonsense://a/b.wav"])
def test_an_input_that_names_nothing_ends_the_run_before_it_begins(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(VoxtraitError) as caught:
        Finder([name.replace("FOLDER", str(tmp_path))], lambda *_: True)
    assert caught.value.code in ("usage", "not_found")


def test_a_list(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    (tree / "empty").mkdir()
    raw = os.fsdecode(b"not\xff.wav")
    Path(raw).write_bytes(b"a")
    lines = [
        *("a.wav\n", f"{tree}/a.wav\r\n", "\n", "sub\n", "missing.wav\n", f"{raw}\n", "nul\0.wav\n"),
        *("empty\n", "*.flac\n", "nonsense://x/y.wav\n", "shard.tar\n", "b.MP3"),
    ]
    items = found(["-"], lines)
    assert problems(items) == {
        f"{tree}/empty": "not_found",
        f"{tree}/*.flac": "not_found",
        "nonsense://x/y.wav": "usage",
        f"{tree}/shard.tar": "corpus_archive",
    }
    whole = [name for name, item in items.items() if item.problem is None]
    names = ("a.wav", "sub/c.ogg", "missing.wav", r"not\udcff.wav", "nul\0.wav", "b.MP3")
    assert whole == [f"{tree}/{name}" for name in names]
    assert items[rf"{tree}/not\udcff.wav"].path == f"{tree}/{raw}"
    with pytest.raises(VoxtraitError, match="once"):
        found(["-", "-"])


@pytest.mark.parametrize("packed", [False, True])
def test_shards(packed: bool, tmp_path: Path) -> None:
    members = {
        "0.wav": b"zero", "0.json": b"{}", "0.txt": b"hello", "0.cls": b"1", "./d/1.flac": b"one",
        "../out.wav": b"no", "/abs.wav": b"no",
    }  # fmt: skip
    end = "tar.gz" if packed else "tar"
    first, second = (shard(tmp_path / f"{n}.{end}", members, packed=packed) for n in "ab")
    items = found([tmp_path / f"*.{end}", first])
    assert {name: item.content for name, item in items.items()} == {
        f"{place}::{name}": content
        for place in (first, second)
        for name, content in (("0.wav", b"zero"), ("d/1.flac", b"one"))
    }
    assert {item.size for item in items.values()} == {first.stat().st_size}


@pytest.mark.parametrize("packed", [False, True])
def test_of_a_damaged_shard_what_can_be_read_is(packed: bool, tmp_path: Path) -> None:
    members = {f"{n}.wav": os.urandom(2000) for n in range(20)}
    path = shard(tmp_path / "a.tar", members, packed=packed)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    other = shard(tmp_path / "b.tar", members)
    items = found([path, other])
    broken = problems(items)
    assert set(broken.values()) == {"corpus_archive"}
    assert str(path) in broken
    whole = [name for name in items if name.startswith(f"{path}::") and name not in broken]
    assert 5 < len(whole) < 15
    # Beside the archive there is the member in which it breaks off, if its name can be read.
    assert set(broken) - {str(path)} <= {f"{path}::{len(whole)}.wav"}
    assert len([name for name in items if name.startswith(f"{other}::")]) == 20
    assert found([shard(tmp_path / "empty.tar", {})]) == {}


def test_a_manifest(tree: Path) -> None:
    pack = shard(tree / "pack.tar", {"x.wav": b"x", "y.raw": b"y", "z.wav": b"z"})
    cut = shard(tree / "cut.tar.gz", {f"{n}.wav": os.urandom(3000) for n in range(9)}, packed=True)
    cut.write_bytes(cut.read_bytes()[:5000])
    paths = [
        "a.wav",
        str(tree / "gone.wav"),
        f"{pack}::y.raw",
        f"{pack}::w.wav",
        f"{pack}::x.wav",
        f"{cut}::8.wav",
    ]
    paths += [f"{cut}::0.wav", f"{cut}::1.wav", f"{tree}/none.tar::a.wav"]
    table = pl.DataFrame({"path": paths, "speaker": [str(n) for n in range(len(paths))]})
    table.write_parquet(tree / "corpus.parquet")
    items = found([tree / "corpus.parquet"])
    assert problems(items) == {
        f"{pack}::w.wav": "not_found",
        f"{cut}::1.wav": "corpus_archive",
        f"{cut}::8.wav": "corpus_archive",
        f"{tree}/none.tar::a.wav": "corpus_not_found",
    }
    assert set(items) == {f"{tree}/a.wav", *paths[1:]}
    assert items[f"{pack}::y.raw"].content == b"y"
    (tree / "wrong.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorpusError):
        found([tree / "wrong.parquet"])


def test_other_stores(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for name in ("/talks/b.wav", "/talks/a/1.mp3", "/talks/notes.txt"):
        store.pipe_file(name, name.encode())
    try:
        assert list(found(["memory://talks"])) == ["memory:///talks/b.wav", "memory:///talks/a/1.mp3"]
        assert list(found(["memory://talks/**/*.mp3"])) == ["memory:///talks/a/1.mp3"]
        # As in a folder: what lies beside the recordings is none.
        with pytest.raises(AudioError, match=r"notes\.txt"):
            found(["memory://talks/notes.txt"])
    finally:
        store.rm("/talks", recursive=True)
    (tmp_path / "a.wav").write_bytes(b"abc")
    (item,) = found([f"file://{tmp_path}/a.wav"]).values()
    assert (item.size, item.modified is not None) == (3, True)


def test_without_fsspec_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"voxtrait\[s3\]"):
        Finder(["s3://bucket/a.wav"], lambda *_: True)


def test_without_polars_a_manifest_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtraError, match=r"voxtrait\[report\]"):
        found([tmp_path / "a.parquet"])


def test_all_kinds_in_one_run(workshop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.wav").write_bytes(speech(0))
    shard(folder / "s.tar", {"0.wav": speech(1), "0.json": b"{}", "1.wav": b"RIFF"})
    table = pl.DataFrame({"path": ["a.wav", f"{folder}/s.tar::0.wav"], "speaker": ["x", "y"]})
    table.write_parquet(folder / "m.parquet")
    options = ["-o", tmp_path / "out", "--model", toy_in(workshop), "--workers", "1"]
    inputs = [folder / "m.parquet", folder, folder / "*.tar", "-", f"file://{folder}/a.wav"]
    lines = "\n".join([f"{folder}/gone.wav", "/dev/zero", str(folder / "s.tar")])
    done = run(*inputs, *options, input=lines)
    assert done.returncode == 1, done.stderr
    found = {name: row["error"] or row["status"] for name, row in rows_of(tmp_path / "out").items()}
    assert found == {
        f"{folder}/a.wav": "ok",
        f"{folder}/s.tar::0.wav": "ok",
        f"{folder}/s.tar::1.wav": "not_audio",
        f"{folder}/gone.wav": "not_found",
        "/dev/zero": "not_readable",
        f"file://{folder}/a.wav": "ok",
    }
    again = run(*inputs, *options, input=lines)
    assert (again.returncode, again.stderr[:8]) == (0, "0 files ")


_STORE = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""

#: Puts files named after the first argument into a bucket.
_PUT = """
import sys, fsspec
store = fsspec.filesystem("s3")
store.mkdir("bucket")
store.put(sys.argv[1] + "/", "bucket/", recursive=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which s3:// is a server of this machine."""
    with subprocess.Popen(
        [sys.executable, "-c", _STORE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        yield environment(
            AWS_ENDPOINT_URL=address,
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_DEFAULT_REGION="us-east-1",
            AWS_EC2_METADATA_DISABLED="true",
            NO_PROXY="127.0.0.1",
        )
        server.stdin.close()


def test_a_bucket(store: dict[str, str], workshop: Path, tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    for name, content in {
        "talks/a.wav": speech(0),
        "talks/2024/b.wav": speech(1),
        "talks/2024/bad.wav": b"RIFF",
        "talks/notes.txt": b"text",
        "long.wav": noise(70),
    }.items():
        (bucket / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / name).write_bytes(content)
    shard(bucket / "talks" / "s.tar", {"0.wav": speech(2), "0.txt": b"text"})
    assert (bucket / "long.wav").stat().st_size > 2 << 20
    subprocess.run([sys.executable, "-W", "ignore", "-c", _PUT, bucket], env=store, check=True)
    options = ["-o", tmp_path / "out", "--model", toy_in(workshop), "--workers", "1"]
    lines = "s3://bucket/gone.wav\ns3://nowhere/a.wav\ns3://bucket/talks/2024/*.wav\n"
    inputs = ["s3://bucket/talks", "s3://bucket/*.wav", "s3://bucket/talks/a.wav", "-"]
    done = run(*inputs, *options, input=lines, env=store)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    rows = rows_of(tmp_path / "out")
    assert {name.removeprefix("s3://"): row["error"] or row["status"] for name, row in rows.items()} == {
        "bucket/talks/a.wav": "ok",
        "bucket/talks/s.tar::0.wav": "ok",
        "bucket/talks/2024/b.wav": "ok",
        "bucket/talks/2024/bad.wav": "not_audio",
        "bucket/long.wav": "no_speech",
        "bucket/gone.wav": "not_found",
        "nowhere/a.wav": "not_found",
    }
    alone = run(bucket / "talks", "-o", tmp_path / "local", *options[2:])
    assert alone.returncode == 1
    for name, row in named(tmp_path / "local").items():
        away = next(row for file, row in rows.items() if file.endswith(f"/{name}"))
        assert away["gender"] == row["gender"]
        assert (away["female"], away["duration"], away["size"]) == (
            row["female"],
            row["duration"],
            row["size"],
        )
        assert away["modified"] is not None
    again = run(*inputs, *options, input=lines, env=store)
    assert (again.returncode, again.stderr[:8]) == (0, "0 files ")


@pytest.mark.parametrize(
    ("place", "wrong", "words"),
    [
        ("s3://nowhere/talks", {}, "s3://nowhere/talks"),
        ("s3://bucket/talks", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "127.0.0.1:9"),
    ],
)
def test_a_store_that_does_not_answer(
    place: str, wrong: dict[str, str], words: str, store: dict[str, str], workshop: Path, tmp_path: Path
) -> None:
    env = store | {"AWS_MAX_ATTEMPTS": "1"} | wrong
    done = run(place, "-o", tmp_path / "out", "--model", toy_in(workshop), env=env)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(("error[not_found]: ", "error[not_readable]: "))
    assert words in line
