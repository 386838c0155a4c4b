"""``voxtrait corpus features``: its forecast, its stores, what is left out, the guide's example."""

from __future__ import annotations

import csv
import json
import re
import resource
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from cli_toys import ROOT, lines_of, run

from voice_toys import MAN, RATE, WOMAN, say, silence, wav
from voxtrait.cli import run as run_here
from voxtrait.corpora import check_manifest, read_manifest, write_manifest
from voxtrait.features import build_features
from voxtrait.preprocess import Preprocessor
from voxtrait.training.speech_cache import build_speech_cache

SETTINGS = ("--set", "n_mels=30", "--preprocess", "level", "--preprocess", "lowpass=4000")


def corpus(folder: Path, files: dict[str, bytes]) -> Path:
    """Write recordings and corpus.parquet, in which one more is named that is not there."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    paths = [str(folder / name) for name in (*files, "none.wav")]
    table = check_manifest(pl.DataFrame({"path": paths, "speaker": paths}), "made up")
    write_manifest(table, folder / "corpus.parquet")
    return folder / "corpus.parquet"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder with corpus.parquet and features/, and the run that made it."""
    home = tmp_path_factory.mktemp("corpus")
    voices = {"a.wav": wav(say(voice=MAN)), "b.wav": wav(say(voice=WOMAN)), "c.wav": wav(silence(1))}
    corpus(home, voices)
    done = run(
        "corpus", "features", "corpus.parquet", "-o", "features", "--workers", "1", *SETTINGS, cwd=home
    )
    return home, done


def test_the_store_holds_the_features_of_the_speech(stored: tuple[Path, Any]) -> None:
    home, done = stored
    store = home / done.stdout.decode().strip()
    about = json.loads((store / "store.json").read_text())
    assert (about["recordings"], about["shards"], about["config"]["n_mels"]) == (2, 1, 30)
    assert about["preprocess"] == ["level=-26", "lowpass=4000"]
    table = pl.read_ipc(store / "part-00000.arrow")
    assert table["path"].to_list() == [str(home / "a.wav"), str(home / "b.wav")]
    speech = build_speech_cache(read_manifest(home / "corpus.parquet"), home / "features", 1)
    extractor = build_features("mel-voice", {"n_mels": 30})
    for row, frames in enumerate(table["frames"]):
        expected = extractor.extract(Preprocessor(("level", "lowpass=4000"))(speech.samples(row)))
        expected[:, :30] = np.log(expected[:, :30] + 1e-10)
        np.testing.assert_allclose(frames.to_numpy().astype(np.float32), expected, rtol=1e-3, atol=1e-3)


def test_what_is_said(stored: tuple[Path, Any]) -> None:
    home, done = stored
    forecast, *_, heard, left_out = lines_of(done.stderr)
    said = re.fullmatch(
        r"4 recordings, 4 of them to decode: about \d+ s with 1 processes, and (\d+) kB in features, "
        r"where \S+ [MGT]B are free\.",
        forecast,
    )
    assert said
    made = sum(file.stat().st_size for file in (home / "features").glob("*/*.arrow"))
    assert float(said[1]) * 1e3 == pytest.approx(made, rel=0.1)
    assert heard.startswith("2 recordings with speech, ")
    assert left_out.startswith("2 left out (")
    assert {"1 no_speech", "1 not_found"} == set(re.findall(r"\d \w+_\w+", left_out))
    assert done.returncode == 1
    with (home / "features" / "skipped.csv").open() as file:
        assert {Path(row["path"]).name: row["error"] for row in csv.DictReader(file)} == {
            "c.wav": "no_speech",
            "none.wav": "not_found",
        }


def test_what_is_done_is_not_done_again(
    stored: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, done = stored
    monkeypatch.chdir(home)
    before = {file: file.stat().st_mtime_ns for file in (home / "features").glob("*/*")}
    assert run_here(["corpus", "features", "corpus.parquet", "-o", "features", *SETTINGS]) == 1
    out, err = capsys.readouterr()
    assert out == done.stdout.decode()
    assert err.startswith("2 recordings with speech")
    assert {file: file.stat().st_mtime_ns for file in (home / "features").glob("*/*")} == before


def test_the_example_in_the_guide(stored: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    home, done = stored
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    section = guide.partition("### `voxtrait corpus features`")[2].partition("\n### ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    example, found = re.subn(r"features/features-[0-9a-f]{16}", done.stdout.decode().strip(), code)
    assert found == 1
    monkeypatch.chdir(home)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["frames"].shape[1] == 34
    assert names["frames"].dtype == names["same"].dtype == np.float16
    np.testing.assert_array_equal(names["frames"], names["same"])
    assert names["table"]["speaker"].to_list() == [str(home / "a.wav"), str(home / "b.wav")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.parquet"], "error[corpus_not_found]: There is no manifest none.parquet."),
        (["corpus.parquet", "--features", "ear"], "error[bundle_features]: This version does not know"),
        (["corpus.parquet", "--set", "n_melz=3"], "error[bundle_features]: The features 'mel-voice' have no"),
        (["corpus.parquet", "--set", "n_mels=x"], "error[bundle_features]: The features 'mel-voice' cannot"),
        (["corpus.parquet", "--set", "n_mels"], "error[usage]: --set takes KEY=VALUE, not 'n_mels'."),
        (["corpus.parquet", "--preprocess", "trim"], "error[usage]: --preprocess: there is no preprocessing"),
        (["corpus.parquet", "--workers", "0"], "error[usage]: Invalid value for '--workers'"),
    ],
)
def test_a_wrong_argument_is_named(
    stored: tuple[Path, Any],
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(stored[0])
    assert run_here(["corpus", "features", "-o", "elsewhere", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(said)
    assert not Path("elsewhere").exists()


def test_a_disk_that_is_too_small_is_refused_before_the_work(
    stored: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(stored[0])
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 5000, 5000))
    assert run_here(["corpus", "features", "corpus.parquet", "-o", "elsewhere"]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("error[no_space]: elsewhere needs about ")
    assert "its disk has 5 kB free" in err
    assert not Path("elsewhere").exists()


def test_a_disk_that_fills_up_keeps_what_is_done(tmp_path: Path) -> None:
    """The first shard of 128 recordings is small enough for the limit on files, the second is not."""
    short, long = wav(say()[5000 : 5000 + RATE // 2]), wav(np.tile(say(), 7))
    files = {f"a{number:03d}.wav": short for number in range(128)} | {
        f"b{number}.wav": long for number in range(4)
    }
    corpus(tmp_path, files)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_300_000, 2_300_000))

    done = run("corpus", "features", "corpus.parquet", "-o", "full", cwd=tmp_path, preexec_fn=limit)
    assert (done.returncode, done.stdout) == (2, b"")
    assert re.fullmatch(
        r"error\[no_space\]: There is no space left for full/speech-\w+: what is done stays; "
        r"make room and run the same again\.",
        lines_of(done.stderr)[-1],
    )
    assert [file.name for file in (tmp_path / "full").glob("*/*")] == ["part-00000.arrow"]
