"""The sharded store: whole or not there, the same bytes however it was made, archives in one pass."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voice_toys import FEATURES, MAN, RATE, WOMAN, say, wav
from voxtrait.augment import AugmentSettings
from voxtrait.corpora import check_manifest, write_manifest
from voxtrait.errors import CorpusError
from voxtrait.training.feature_cache import FeaturePlan, build_feature_cache
from voxtrait.training.reading import ReadingOrder
from voxtrait.training.speech_cache import SpeechCache, build_speech_cache
from voxtrait.training.store import SHARD, ListColumn, Store, list_array

CLIPS = 136
CONDITIONS = AugmentSettings(room=0, babble=1, codec=0, telephone=0, equaliser=1, noise=0, clip=0)
PLAN = FeaturePlan("mel-voice", FEATURES, CONDITIONS, 2, (), seed=5)

#: What is interrupted: the building of both caches in a process of its own.
BUILD = """
import sys
from pathlib import Path
from voxtrait.corpora import read_manifest
from voxtrait.training.feature_cache import build_feature_cache
from voxtrait.training.speech_cache import build_speech_cache
from test_training_store import PLAN

if __name__ == "__main__":
    speech = build_speech_cache(read_manifest(sys.argv[1]), Path(sys.argv[2]), 2)
    build_feature_cache(speech, PLAN, Path(sys.argv[2]), 2)
"""


def clip(number: int) -> bytes:
    """Return a second of speech, another one for every number."""
    voice = say(voice=(MAN, WOMAN)[number % 2])
    start = 5000 + number * 97
    return wav(voice[start : start + RATE])


def pack(archive: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips as files and others in an archive, where they lie in another order than that of their names."""
    home = tmp_path_factory.mktemp("corpus")
    names = [f"{number:03d}.wav" for number in range(CLIPS)]
    for number, name in enumerate(names):
        (home / name).write_bytes(clip(number))
    (home / "049.wav").write_bytes(b"no recording")
    packed = {f"cv/clips/{(number * 7) % CLIPS:03d}.wav": clip(number) for number in range(CLIPS)}
    archive = home / "cv.tar.gz"
    pack(archive, {**packed, "cv/validated.tsv": b"path\n"})
    paths = [str(home / name) for name in names] + [f"{archive}::{name}" for name in packed]
    paths.append(f"{archive}::cv/clips/absent.wav")
    table = pl.DataFrame({"path": paths, "speaker": [str(index) for index in range(len(paths))]})
    write_manifest(
        check_manifest(table, "made up").sample(fraction=1, shuffle=True, seed=1), home / "m.parquet"
    )
    return home / "m.parquet"


@pytest.fixture(scope="module")
def table(manifest: Path) -> pl.DataFrame:
    return pl.read_parquet(manifest)


@pytest.fixture(scope="module")
def unbroken(table: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both caches, made at one go by one process."""
    folder = tmp_path_factory.mktemp("unbroken")
    build_feature_cache(build_speech_cache(table, folder, 1), PLAN, folder, 1)
    return folder


@pytest.fixture
def killed(manifest: Path, tmp_path: Path) -> Path:
    """The caches as a run leaves them that is killed in the middle of the archive."""
    folder = tmp_path / "killed"
    tests = Path(__file__).parents[1]
    run = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(manifest), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests / "training")])},
        start_new_session=True,
    )
    try:
        while not list(folder.glob("speech-*/part-00002.arrow")):
            assert run.poll() is None
            time.sleep(0.002)
    finally:
        run.kill()
        run.wait()
    with contextlib.suppress(ProcessLookupError):
        # The processes that it had started end by themselves; else pytest's time limit ends this.
        while is_alive(run.pid):
            time.sleep(0.05)
    return folder


def is_alive(group: int) -> bool:
    """Say whether a process of a group still runs; one that has ended may wait to be reaped."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, leader = status.read_text().rpartition(")")[2].split()[:3]
            if int(leader) == group and state != "Z":
                return True
    return False


def test_a_killed_run_goes_on_and_ends_the_same(killed: Path, unbroken: Path, table: pl.DataFrame) -> None:
    parts = {file: file.stat().st_mtime_ns for file in killed.glob("*/part-*.arrow")}
    assert not list(killed.glob("*/store.json"))
    assert not list(killed.glob("features-*"))
    build_feature_cache(build_speech_cache(table, killed, 2), PLAN, killed, 2)
    assert contents(killed) == contents(unbroken)
    assert {file: file.stat().st_mtime_ns for file in parts} == parts, "what was done is not done again"


def test_every_recording_has_its_place_or_its_reason(unbroken: Path, table: pl.DataFrame) -> None:
    speech = build_speech_cache(table, unbroken, 1)
    home = Path(table["path"].sort()[0]).parent
    assert speech.skipped == {
        str(home / "049.wav"): "not_audio",
        f"{home / 'cv.tar.gz'}::cv/clips/absent.wav": "not_found",
    }
    files = [f"{number:03d}.wav" for number in range(CLIPS) if number != 49]
    packed = [f"cv.tar.gz::cv/clips/{(number * 7) % CLIPS:03d}.wav" for number in range(CLIPS)]
    assert speech.manifest["path"].to_list() == [str(home / name) for name in files + packed]
    # The n-th clip of the archive is the n-th file's sound.
    np.testing.assert_array_equal(speech.samples(CLIPS - 1 + 30), speech.samples(30))


def test_a_damaged_shard_is_named_and_made_again_once_deleted(
    unbroken: Path, table: pl.DataFrame, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    for name, content in contents(unbroken).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    shard = next(folder.glob("speech-*")) / "part-00001.arrow"
    for damage in (b"", shard.read_bytes()[:-100], b"text" * 1000):
        shard.write_bytes(damage)
        with pytest.raises(CorpusError, match=r"part-00001.arrow is damaged .*delete it") as caught:
            build_speech_cache(table, folder, 1)
        assert caught.value.code == "corpus_store"
    shard.unlink()
    build_speech_cache(table, folder, 1)
    assert contents(folder) == contents(unbroken)


def test_a_broken_archive_stops_with_what_is_done(tmp_path: Path) -> None:
    archive = tmp_path / "broken.tar.gz"
    pack(archive, {f"{number}.wav": clip(number) for number in range(SHARD + 20)})
    archive.write_bytes(archive.read_bytes()[:-5000])
    paths = [f"{archive}::{number}.wav" for number in range(SHARD + 20)]
    table = check_manifest(pl.DataFrame({"path": paths, "speaker": paths}), "made up")
    with pytest.raises(CorpusError) as caught:
        build_speech_cache(table, tmp_path, 1)
    assert caught.value.code == "corpus_archive"
    assert [file.name for file in tmp_path.glob("speech-*/*")] == ["part-00000.arrow"]


def test_a_process_that_dies_is_said(tmp_path: Path, table: pl.DataFrame, unbroken: Path) -> None:
    speech = build_speech_cache(table, unbroken, 1)
    lost = Deadly(*(getattr(speech.column, item.name) for item in fields(ListColumn)))
    with pytest.raises(CorpusError, match="fewer workers") as caught:
        build_feature_cache(SpeechCache(speech.manifest, {}, lost), replace(PLAN, versions=1), tmp_path, 1)
    assert caught.value.code == "corpus_reader"
    assert not list(tmp_path.rglob("*.arrow"))


class Deadly(ListColumn):
    """A column that kills the process which reads from it."""

    def read(self, row: int, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().read(row, start, stop)


@st.composite
def interrupted(draw: st.DrawFn) -> tuple[int, set[int]]:
    count = draw(st.integers(1, 3 * SHARD + 5))
    shards = -(-count // SHARD)
    return count, draw(st.sets(st.integers(0, shards - 1)))


@settings(max_examples=25)
@given(interrupted())
def test_whatever_is_missing_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[int, set[int]]
) -> None:
    count, done = case
    folder = tmp_path_factory.mktemp("store")
    order = ReadingOrder.of(f"/{number:04d}.wav" for number in range(count))
    store = Store(folder, order.sizes)
    every = list(order.pending(store))
    assert [source.path for _, sources in every for source in sources] == list(order.groups[None])
    assert sum(store.sizes) == count
    for shard in done:
        paths = [source.path for number, sources in every for source in sources if number == shard]
        store.write(shard, {"path": paths})
    assert list(order.pending(store)) == [task for task in every if task[0] not in done]


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=9),
    st.integers(0, 8),
    st.integers(0, 7),
    st.integers(0, 9),
)
def test_a_column_gives_back_what_was_put_in(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], row: int, start: int, more: int
) -> None:
    row %= len(lengths)
    rng = np.random.default_rng(len(lengths))
    parts = [rng.normal(size=(length, 3)).astype(np.float16) for length in lengths]
    store = Store.of(tmp_path_factory.mktemp("store"), len(parts))
    store.write(0, {"path": [str(length) for length in lengths], "frames": list_array(parts, 3)})
    column = ListColumn.of(store, "frames")
    assert column.counts.tolist() == lengths
    found = column.read(row, min(start, lengths[row]), start + more)
    np.testing.assert_array_equal(found, parts[row][start : start + more])
    keep = np.array(lengths) > 2
    chosen = ListColumn.of(store, "frames", keep)
    assert chosen.counts.tolist() == [length for length in lengths if length > 2]
    for index, place in enumerate(np.flatnonzero(keep).tolist()):
        np.testing.assert_array_equal(chosen.read(index), parts[place])


def open_files() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            yield str(link.readlink())


def test_mapped_shards_hold_no_file_open(unbroken: Path, table: pl.DataFrame) -> None:
    speech = build_speech_cache(table, unbroken, 1)
    speech.samples(0)
    assert not [name for name in open_files() if name.endswith(".arrow")]
