"""The audit, on real files: made by espeak-ng, damaged by hand."""

from __future__ import annotations

import io
import multiprocessing
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from voice_toys import MAN, WOMAN, say, silence, wav
from voxtrait.corpora import check_manifest, write_manifest
from voxtrait.corpora.audit import FINDINGS, audit, without_bad_files
from voxtrait.corpora.hearing import Hearing, Recording, hear_all
from voxtrait.errors import CorpusError

SENTENCES = (
    "The north wind and the sun were disputing which was the stronger.",
    "A traveller came along, wrapped in a warm cloak against the cold.",
    "They agreed that the one who first made him take it off should win.",
)


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


def row(path: Path | str, speaker: str, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "speaker": speaker, **more}


#: Further from MAN than WOMAN is, as two people are.
_OTHER = "en-us+anika"


def manifest_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {"gender": pl.String, "age_low": pl.Float64, "age_high": pl.Float64, "split": pl.String}
    return check_manifest(pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None), "made up")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """A corpus with one of everything that can be wrong with files and voices."""
    home = tmp_path_factory.mktemp("corpus")
    for number, text in enumerate(SENTENCES):
        (home / f"man{number}.wav").write_bytes(wav(say(text, MAN)))
    (home / "woman.wav").write_bytes(wav(say(SENTENCES[1], _OTHER)))
    (home / "silence.wav").write_bytes(wav(silence(2.0)))
    ffmpeg("-i", home / "man0.wav", home / "copy.flac")
    ffmpeg("-i", home / "woman.wav", "-metadata", "title=one", home / "tagged.mp3")
    ffmpeg("-i", home / "tagged.mp3", "-c", "copy", "-metadata", "title=another one", home / "retagged.mp3")
    packed = wav(say(SENTENCES[2], WOMAN))
    (home / "broken.mp3").write_bytes(b"this is no sound, it only says so" * 20)
    (home / "empty.mp3").write_bytes(b"")
    (home / "cut.wav").write_bytes(wav(say(SENTENCES[2], MAN))[:60_000])
    with tarfile.open(home / "clips.tar.gz", "w:gz") as archive:
        for name, content in (("there.wav", packed), ("bad.mp3", b"nothing")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    rows = [
        row(home / "man0.wav", "two people", split="train"),
        row(home / "man1.wav", "two people"),
        row(home / "man2.wav", "two people"),
        row(home / "woman.wav", "two people"),
        row(home / "copy.flac", "copy", split="test"),
        row(home / "tagged.mp3", "one person"),
        row(home / "retagged.mp3", "one person"),
        row(home / "silence.wav", "nobody"),
        row(home / "broken.mp3", "broken"),
        row(home / "empty.mp3", "empty"),
        row(home / "cut.wav", "cut"),
        row(home / "gone.wav", "gone"),
        row(f"{home}/clips.tar.gz::there.wav", "packed"),
        row(f"{home}/clips.tar.gz::bad.mp3", "packed badly"),
        row(f"{home}/clips.tar.gz::gone.mp3", "not packed"),
        row(f"{home}/none.tar::a.mp3", "no archive"),
    ]
    return manifest_of(rows)


@pytest.fixture(scope="module")
def heard() -> list[Hearing]:
    return []


@pytest.fixture(scope="module")
def found(corpus: pl.DataFrame, heard: list[Hearing]) -> pl.DataFrame:
    return audit(corpus, 2, tick=heard.append)


def named(found: pl.DataFrame, kind: str, *columns: str) -> list[tuple[str, ...]]:
    """Return the findings of a kind, with the last part of paths alone."""
    rows = found.filter(kind=kind).select(columns or ("path",))
    return [tuple(str(value).rpartition("/")[2] for value in values) for values in rows.iter_rows()]


def test_every_kind_is_found_once_or_where_it_is(found: pl.DataFrame) -> None:
    assert {kind: found.filter(kind=kind).height for kind in FINDINGS} == {
        "missing_file": 3,
        "corrupt_file": 3,
        "damaged_file": 1,
        "no_speech": 1,
        "same_audio": 2,
        "shared_speaker": 0,
        "conflicting_gender": 0,
        "conflicting_age": 0,
        "several_voices": 1,
    }
    assert found["kind"].unique(maintain_order=True).to_list() == [
        kind for kind in FINDINGS if kind in found["kind"]
    ]


def test_files_that_are_not_there(found: pl.DataFrame) -> None:
    assert named(found, "missing_file", "path", "detail") == [
        ("gone.wav", "there is no such file"),
        ("none.tar::a.mp3", "there is no such archive"),
        ("clips.tar.gz::gone.mp3", "the archive does not hold it"),
    ]


def test_files_that_cannot_be_decoded(found: pl.DataFrame) -> None:
    assert named(found, "corrupt_file", "path", "speaker") == [
        ("broken.mp3", "broken"),
        ("empty.mp3", "empty"),
        ("clips.tar.gz::bad.mp3", "packed badly"),
    ]
    details = found.filter(kind="corrupt_file")["detail"].to_list()
    assert [detail.partition(":")[0] for detail in details] == ["not_audio", "empty", "not_audio"]
    assert named(found, "damaged_file") == [("cut.wav",)]
    assert found.filter(kind="damaged_file")["detail"][0].startswith("truncated: ")


def test_no_speech(found: pl.DataFrame) -> None:
    assert named(found, "no_speech") == [("silence.wav",)]
    assert found.filter(kind="no_speech")["detail"][0].startswith("0.00 s of speech in 2.0 s")


def test_the_same_audio_whatever_its_format_and_tags(found: pl.DataFrame) -> None:
    assert named(found, "same_audio", "path", "other", "detail") == [
        ("copy.flac", "man0.wav", "splits train and test, speakers two people and copy"),
        ("retagged.mp3", "tagged.mp3", "of the same speaker"),
    ]


def test_a_second_voice_under_one_name(found: pl.DataFrame) -> None:
    assert named(found, "several_voices", "path", "speaker") == [("woman.wav", "two people")]
    other, detail = found.filter(kind="several_voices").select("other", "detail").row(0)
    assert Path(other).stem in ("man0", "man1", "man2")
    assert detail.startswith("1 of 4 recordings in one of 2 voices, at distance ")


def test_each_recording_is_told_once_heard(
    corpus: pl.DataFrame, found: pl.DataFrame, heard: list[Hearing]
) -> None:
    absent = found.filter(kind="missing_file")["path"].to_list()
    assert sorted(hearing.path for hearing in heard) == sorted(set(corpus["path"]) - set(absent))


def test_bad_files_are_dropped_and_one_of_each_copy_stays(corpus: pl.DataFrame, found: pl.DataFrame) -> None:
    kept = without_bad_files(corpus, found)
    assert [path.rpartition("/")[2] for path in kept["path"]] == [
        *("man0.wav", "man1.wav", "man2.wav", "woman.wav", "tagged.mp3"),
        *("silence.wav", "cut.wav", "clips.tar.gz::there.wav"),
    ]
    assert kept.equals(corpus.join(kept, on="path", how="semi", maintain_order="left"))


def test_quick_looks_at_no_recording(corpus: pl.DataFrame) -> None:
    found = audit(corpus, 1, quick=True)
    assert named(found, "missing_file") == [("gone.wav",), ("none.tar::a.mp3",)]
    assert found.height == 2


def labels(tmp_path: Path, *rows: dict[str, Any]) -> pl.DataFrame:
    """Return the quick findings of rows whose files are there."""
    file = tmp_path / "{}.wav"
    for number in range(len(rows)):
        Path(str(file).format(number)).write_bytes(b"RIFF")
    paths = [str(file).format(number) for number in range(len(rows))]
    return audit(
        manifest_of([row(path, **change) for path, change in zip(paths, rows, strict=True)]), 1, quick=True
    )


def age(low: float, high: float) -> dict[str, float]:
    return {"age_low": low, "age_high": high}


def test_labels_that_contradict_each_other(tmp_path: Path) -> None:
    found = labels(
        tmp_path,
        {"speaker": "a", "gender": "female", "split": "train", **age(20, 29)},
        {"speaker": "a", "gender": "male", "split": "test", **age(40, 49)},
        {"speaker": "a", "gender": "female", "split": "train", **age(30, 39)},
        {"speaker": "b", "gender": "male", "split": "test"},
        {"speaker": "b", "gender": None, "split": None},
    )
    assert found.select("kind", "speaker", "detail").rows() == [
        ("shared_speaker", "a", "recordings: train 2, test 1"),
        ("conflicting_gender", "a", "recordings: female 2, male 1"),
        ("conflicting_age", "a", "20 to 29 and 40 to 49 years"),
    ]
    assert named(found, "shared_speaker", "path", "other") == [("1.wav", "0.wav")]
    assert named(found, "conflicting_age", "path", "other") == [("0.wav", "1.wav")]


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ((13, 19), (20, 29), False),
        ((13, 19), (30, 39), True),
        ((20, 29), (39, 39), False),
        ((20, 29), (39.5, 39.5), True),
        ((25, 25), (20, 70), False),
    ],
)
def test_ages_conflict_beyond_ten_years(
    tmp_path: Path, first: tuple[float, float], second: tuple[float, float], conflict: bool
) -> None:
    for one, other in ((first, second), (second, first)):
        found = labels(tmp_path, {"speaker": "a", **age(*one)}, {"speaker": "a", **age(*other)})
        assert found["kind"].to_list() == ["conflicting_age"] * conflict


def test_a_damaged_archive_loses_only_what_lies_behind_the_damage(tmp_path: Path) -> None:
    archive = tmp_path / "clips.tar"
    with tarfile.open(archive, "w") as tar:
        for name in ("a.wav", "b.wav"):
            content = wav(say(SENTENCES[0], MAN))
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    archive.write_bytes(archive.read_bytes()[: 512 + len(content) + 5000])
    manifest = manifest_of([row(f"{archive}::a.wav", "a"), row(f"{archive}::b.wav", "b")])
    found = audit(manifest, 1)
    assert named(found, "missing_file") == [("clips.tar::b.wav",)]
    assert "cut off or damaged" in found["detail"][0]
    assert found.height == 1


def test_a_reader_that_dies(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav(say(SENTENCES[0], MAN)))

    def recordings() -> Iterator[Recording]:
        for number in range(60):
            if number == 40:
                multiprocessing.active_children()[0].kill()
            yield Recording(str(file))

    with pytest.raises(CorpusError, match=r"A process that reads recordings died, at .*a\.wav") as caught:
        list(hear_all(recordings(), 1))
    assert caught.value.code == "corpus_reader"
    assert multiprocessing.active_children() == []


#: Hears the same file for ever, and names its workers once they have begun.
ENDLESS = """
import itertools, multiprocessing, sys
from voxtrait.corpora.hearing import Recording, hear_all
if __name__ == "__main__":
    heard = hear_all((Recording(sys.argv[1]) for _ in itertools.count()), 2)
    next(heard)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    for hearing in heard:
        pass
"""


def test_readers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program, file = tmp_path / "endless.py", tmp_path / "a.wav"
    program.write_text(ENDLESS)
    file.write_bytes(wav(say(SENTENCES[0], MAN)))
    with subprocess.Popen([sys.executable, program, file], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = parent.stdout.readline().split()
        parent.kill()
        # A worker holds the other end of the pipe for as long as it lives.
        assert parent.stdout.read() == ""
    assert len(workers) == 2


def test_everything_bad_leaves_no_manifest(tmp_path: Path) -> None:
    manifest = manifest_of([row(tmp_path / "gone.wav", "a")])
    with pytest.raises(CorpusError, match="holds no recording"):
        write_manifest(without_bad_files(manifest, audit(manifest, 1)), tmp_path / "clean.parquet")
    assert list(tmp_path.iterdir()) == []
