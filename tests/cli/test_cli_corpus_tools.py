"""``voxtrait corpus stats``, ``split``, ``balance`` and ``audit``."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cli_toys import run

from voice_toys import say, silence, wav
from voxtrait.cli import run as run_here
from voxtrait.corpora import check_manifest, read_manifest, write_manifest

BANDS = ((20.0, 29.0), (50.0, 59.0), (60.0, 69.0))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A manifest of 30 speakers with 1 to 3 recordings each, none of which is on disk."""
    rows = [
        {
            "path": f"/none/{speaker}-{clip}.wav",
            "speaker": f"s{speaker:02}",
            "gender": ("female", "male", "male", None, "other")[speaker % 5],
            "age_low": BANDS[speaker % 3][0],
            "age_high": BANDS[speaker % 3][1],
            "locale": ("de", "fr")[speaker % 2],
            "corpus": "made-up",
            "duration": 3.6,
        }
        for speaker in range(30)
        for clip in range(1 + speaker % 3)
    ]
    file = tmp_path / "corpus.parquet"
    write_manifest(check_manifest(pl.DataFrame(rows, infer_schema_length=None), "made up"), file)
    return file


def voxtrait(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code and what it wrote."""
    code = run_here([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    code, out, _ = voxtrait(capsys, *arguments, "--format", "json")
    assert code == 0
    return json.loads(out)


def test_stats_as_a_table(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = voxtrait(capsys, "corpus", "stats", corpus)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "60 recordings of 30 speakers, 0.06 h"
    twenties = next(line for line in lines if line.startswith("twenties"))
    assert re.split(" {2,}", twenties)[1:] == [f"{n} ({n}), 0.00 h" for n in (2, 4, 2, 2)]
    assert ["de", "30", "15", "3", "6", "0.03"] in [line.split() for line in lines]
    assert "Recordings a speaker: least 1, quarter 1, median 2, three quarters 3, most 3" in lines
    assert ["3", "to", "4", "s", "60"] in [line.split() for line in lines]
    assert not any("By split" in line for line in lines)


def test_stats_as_json_and_as_pictures(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = as_json(capsys, "corpus", "stats", corpus)
    assert (content["recordings"], content["speakers"]) == (60, 30)
    assert content["locales"][0]["name"] == "de"
    code, _, err = voxtrait(capsys, "corpus", "stats", corpus, "--plots", tmp_path / "pictures")
    assert code == 0
    drawn = [Path(line.removeprefix("drawn: ")) for line in err.splitlines()]
    assert sorted(drawn) == sorted((tmp_path / "pictures").iterdir())
    assert len(drawn) == 4


def test_a_corpus_that_is_no_manifest_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "speakers.csv"
    table.write_text("path,speaker,gender,age\na.wav,one,female,thirties\nb.wav,two,robot,30\n")
    code, out, err = voxtrait(capsys, "corpus", "stats", table)
    assert code == 0
    assert out.startswith("2 recordings of 2 speakers, no durations are known\n")
    assert err == "genders not understood and left empty (recordings): 'robot' 1\n"


def test_split(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "split.parquet"
    rows = as_json(capsys, "corpus", "split", corpus, "-o", out)
    table = read_manifest(out)
    assert table.drop("split").equals(read_manifest(corpus).drop("split"))
    assert {row["split"]: row["recordings"] for row in rows} == dict(table["split"].value_counts().rows())
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert table.group_by("speaker").agg(pl.col("split").n_unique())["split"].max() == 1
    splits = []
    for seed in (0, 3):
        code, page, _ = voxtrait(
            capsys, "corpus", "split", corpus, "-o", out, "--shares", "a=0.5, b=0.5", "--seed", seed
        )
        assert code == 0
        assert page.split()[:5] == ["split", "recordings", "speakers", "female", "male"]
        splits.append(read_manifest(out)["split"].to_list())
        assert set(splits[-1]) == {"a", "b"}
    assert splits[0] != splits[1]


def test_official_splits(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "official.parquet"
    code, _, err = voxtrait(capsys, "corpus", "split", corpus, "--official", "-o", out)
    assert (code, out.exists()) == (2, False)
    assert err.startswith("error[corpus_layout]: The manifest carries no splits")
    table = read_manifest(corpus)
    halves = ["train"] * 30 + ["test"] * 30
    write_manifest(table.with_columns(split=pl.Series(halves)), corpus)
    assert voxtrait(capsys, "corpus", "split", corpus, "--official", "-o", out)[0] == 0
    assert read_manifest(out)["split"].to_list() == halves
    write_manifest(table.with_columns(split=pl.Series(["train", "test"] * 30)), corpus)
    code, _, err = voxtrait(capsys, "corpus", "split", corpus, "--official", "-o", tmp_path / "no.parquet")
    assert code == 2
    assert err.startswith("error[shared_speakers]: ")


def test_a_split_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "men.csv"
    table.write_text("path,speaker,gender\n" + "".join(f"{n}.wav,s{n},male\n" for n in range(2)))
    options = ["--shares", "train=0.5,test=0.5", "-o", tmp_path / "split.parquet"]
    code, _, err = voxtrait(capsys, "corpus", "split", table, *options)
    assert code == 0
    assert "The split test holds no recording labelled female." in err.splitlines()
    assert "The corpus holds no recording with an age." in err.splitlines()
    table.write_text("path,speaker\na.wav,one\nb.wav,one\n")
    code, _, err = voxtrait(capsys, "corpus", "split", table, *options)
    assert code == 2
    assert err.startswith("error[corpus_too_small]: 2 splits (train, test) need at least 2 speakers")


def test_balance_by_leaving_out(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "balanced.parquet"
    command = ["corpus", "balance", corpus, "--per-cell", 2, "--merge-from", 50, "-o", out]
    rows = as_json(capsys, *command)
    assert {(row["gender"], row["group"], row["recordings_kept"]) for row in rows} == {
        (gender, group, 2 if gender else 0)
        for gender in ("female", "male", "other", None)
        for group in ("twenties", "50-plus")
    }
    kept = read_manifest(out)
    assert kept.height == 12
    assert kept["gender"].null_count() == 0
    code, page, err = voxtrait(capsys, *command, "--seed", 1)
    assert code == 0
    assert "12 recordings without a gender or an age belong to no cell and are left out." in err
    assert ["female", "50-plus", "10", "4", "2", "2"] in [line.split() for line in page.splitlines()]
    assert set(read_manifest(out)["path"]) != set(kept["path"])


def test_balance_by_weight(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "weighted.parquet"
    rows = as_json(capsys, "corpus", "balance", corpus, "--weights", "-o", out)
    for row in rows:
        if row["gender"] in ("female", "male"):
            assert row["weight_low"] * row["recordings"] == pytest.approx(36 / 6)
        else:
            assert row["weight_low"] is None
    code, page, _ = voxtrait(capsys, "corpus", "balance", corpus, "--oversample", "-o", out)
    assert code == 0
    assert ["female", "twenties", "2", "2", "2", "2", "6"] in [line.split() for line in page.splitlines()]
    repeated = read_manifest(out).filter(gender="female", age_low=20.0)
    assert repeated["weight"].to_list() == [6.0, 6.0]


def test_a_heavy_recording_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "few.csv"
    women = "".join(f"{n}.wav,s{n},female,30\n" for n in range(25))
    table.write_text(f"path,speaker,gender,age\n{women}m.wav,m,male,81\n")
    command = ["corpus", "balance", table, "--oversample", "-o", tmp_path / "m.parquet"]
    assert "male, eighties: each of 1 recordings counts 25 times" in voxtrait(capsys, *command)[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stats", "{corpus}", "--format", "csv"], "error[usage]: There is no format 'csv'"),
        (["stats", "{folder}/none"], "error[corpus_not_found]: "),
        (["split", "{corpus}", "-o", "{folder}/m.csv"], "error[usage]: A manifest is a Parquet file"),
        (["split", "{corpus}", "-o", "{folder}/no/m.parquet"], "error[output]: There is no folder"),
        (["split", "{corpus}", "-o", "{folder}/m.parquet", "--shares", "train"], "error[usage]: --shares is"),
        (
            ["split", "{corpus}", "-o", "{folder}/m.parquet", "--shares", "a=0.5,b=0.4"],
            "error[corpus_layout]: Split shares",
        ),
        (
            ["split", "{corpus}", "-o", "{folder}/m.parquet", "--official", "--seed", "1"],
            "error[usage]: --official keeps",
        ),
        (["balance", "{corpus}", "-o", "{folder}/m.parquet"], "error[usage]: Give one of"),
        (
            ["balance", "{corpus}", "-o", "{folder}/m.parquet", "--weights", "--per-cell", "3"],
            "error[usage]: Give one of",
        ),
        (
            ["balance", "{corpus}", "-o", "{folder}/m.parquet", "--weights", "--merge-from", "55"],
            "error[corpus_layout]: No age group begins at 55",
        ),
        (["audit", "{corpus}", "-o", "{folder}/found.txt"], "error[usage]: Findings are written as"),
        (["audit", "{corpus}", "--drop", "{folder}/clean.csv"], "error[usage]: A manifest is"),
    ],
)
def test_wrong_usage(
    corpus: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    filled = [word.format(corpus=corpus, folder=corpus.parent) for word in arguments]
    code, out, err = voxtrait(capsys, "corpus", *filled)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert len(err.splitlines()) == 1
    assert list(corpus.parent.iterdir()) == [corpus]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus as a table: one recording, a copy of it, one without speech, one that is missing."""
    home = tmp_path_factory.mktemp("spoken")
    (home / "a.wav").write_bytes(wav(say()))
    (home / "copy.wav").write_bytes(wav(say()))
    (home / "b.wav").write_bytes(wav(silence(1.0)))
    names = ("a", "copy", "b", "gone")
    (home / "metadata.csv").write_text("path,speaker\n" + "".join(f"{name}.wav,{name}\n" for name in names))
    return home


def test_audit(spoken: Path, tmp_path: Path) -> None:
    found, clean = tmp_path / "found.csv", tmp_path / "clean.parquet"
    done = run("corpus", "audit", spoken, "--workers", "1", "-o", found, "--drop", clean)
    assert done.returncode == 1
    assert done.stderr.decode() == f"2 of 4 recordings stay, in {clean}.\n"
    page = [line.split()[:3] for line in done.stdout.decode().splitlines()]
    assert ["missing_file", "1", "1"] in page
    assert ["same_audio", "1", "1"] in page
    assert ["corrupt_file", "0", "0"] in page
    assert f"    the other: {spoken / 'a.wav'}" in done.stdout.decode().splitlines()
    table = pl.read_csv(found)
    assert table.columns == ["kind", "path", "other", "speaker", "detail"]
    assert table["kind"].to_list() == ["missing_file", "no_speech", "same_audio"]
    assert [Path(path).name for path in read_manifest(clean)["path"]] == ["a.wav", "b.wav"]
    assert sorted(tmp_path.iterdir()) == [clean, found]


def test_a_quick_audit(spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tmp_path / "found.parquet"
    command = ["corpus", "audit", spoken, "--quick", "--format", "json", "-o", found]
    code, out, _ = voxtrait(capsys, *command)
    assert code == 1
    content = json.loads(out)
    assert content["recordings"] == 4
    assert content["counts"] == {
        "missing_file": 1,
        "shared_speaker": 0,
        "conflicting_gender": 0,
        "conflicting_age": 0,
    }
    assert pl.read_parquet(found).to_dicts() == content["findings"]
    table = tmp_path / "good.csv"
    table.write_text(f"path,speaker\n{spoken / 'a.wav'},a\n")
    assert voxtrait(capsys, "corpus", "audit", table, "--quick", "-o", found)[0] == 0
    assert pl.read_parquet(found).is_empty()


def test_a_full_disk_leaves_what_was_there(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.parquet"
    out.write_bytes(b"as it was")

    def fill() -> None:
        # Python ignores SIGXFSZ: writing more fails as it does on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    done = run("corpus", "split", corpus, "-o", out, env={"PYTHONDONTWRITEBYTECODE": "1"}, preexec_fn=fill)
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"error[output]: Cannot write {out}: ")
    assert len(done.stderr.splitlines()) == 1
    assert out.read_bytes() == b"as it was"
    assert sorted(tmp_path.iterdir()) == [corpus, out]
