"""Documents in a folder: where they lie, and that they are whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timeline_toys import FEMALE, age, failed, spoken

from voxtrait.errors import UsageError
from voxtrait.exports.documents import DocumentFolder, common_folder
from voxtrait.results import Prediction


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("/in/a.mp3", "a.mp3.rttm"),
        ("/in/a.wav", "a.wav.rttm"),
        ("/in/deep/er/Zoë 1.mp3", "deep/er/Zoë 1.mp3.rttm"),
        ("/else/a.mp3", "else/a.mp3.rttm"),
        ("/in/../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd.rttm"),
        ("../../up.wav", "%2E%2E/%2E%2E/up.wav.rttm"),
        ("/in/x.tar.gz::en/clips/a.mp3", "x.tar.gz/en/clips/a.mp3.rttm"),
        ("s3://bucket/talks/a.wav", "s3%3A/bucket/talks/a.wav.rttm"),
        ("<stdin>", "%3Cstdin%3E.rttm"),
        ("/in/a\nb*?.wav", "a%0Ab%2A%3F.wav.rttm"),
        ("/in/caf\udce9 100%.wav", "caf%E9 100%25.wav.rttm"),
        ("/in", "in.rttm"),
    ],
)
def test_documents_mirror_the_recordings(file: str, place: str, tmp_path: Path) -> None:
    folder = DocumentFolder(tmp_path, "rttm", "/in")
    path = folder.write(spoken(file=file))
    assert path == tmp_path / place
    assert path.read_text(encoding="utf-8").count("\nSPEAKER ") == 3
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


@given(
    st.lists(st.text(st.characters(codec=None), min_size=1, max_size=12), min_size=2, max_size=5, unique=True)
)
@settings(max_examples=60)
def test_no_document_leaves_the_folder(files: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = DocumentFolder(place, "srt", common_folder(files))
        for file in files:
            path = folder.path_of(file)
            assert path.resolve().is_relative_to(Path(place).resolve())
            assert path.name.endswith(".srt")
            assert folder.write(spoken(file=file)) == path
            assert path.is_file()
            path.unlink()


def test_a_name_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    folder = DocumentFolder(tmp_path, "textgrid")
    paths = {folder.write(spoken(file=f"{'é' * 120}{number}.wav")) for number in range(2)}
    assert len(paths) == 2
    assert all(path is not None and path.is_file() for path in paths)


def test_what_cannot_be_written_leaves_the_old_document(tmp_path: Path) -> None:
    folder = DocumentFolder(tmp_path, "srt")
    path = folder.write(spoken(file="a.wav"))
    assert path is not None
    before = path.read_bytes()
    bare = Prediction("a.wav", "ok", 3.0, 2.0, FEMALE, age(30), "toy 1.0")
    with pytest.raises(UsageError, match="no timeline"):
        folder.write(bare)
    assert folder.write(failed("a.wav")) is None
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [before]
    (tmp_path / "b.wav").write_text("a file where a folder is needed")
    with pytest.raises(UsageError) as caught:
        folder.write(spoken(file="b.wav/c.wav"))
    assert caught.value.code == "output"


def test_a_table_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="for people"):
        DocumentFolder(tmp_path, "table")


@pytest.mark.parametrize(
    ("files", "common"),
    [
        ([], ""),
        (["a.wav"], ""),
        (["/d/a.wav"], "d"),
        (["/d/a/x.wav", "/d/ab/y.wav"], "d"),
        (["/d/a/x.wav", "/d/a/y.wav"], "d/a"),
        (["/d/x.tar::m/a.wav", "/d/x.tar::m/b.wav"], "d/x.tar/m"),
    ],
)
def test_the_common_folder(files: list[str], common: str) -> None:
    assert common_folder(files) == common
