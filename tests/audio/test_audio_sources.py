"""Which files are found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from voxtrait.audio import AUDIO_EXTENSIONS, find_sources
from voxtrait.errors import AudioError


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = [
        "b.wav", "a.MP3", "notes.txt", ".hidden.wav", "sub/c.flac", "sub/deep/d.webm", ".git/e.wav",
        "sub/._c.flac", "noext", "a[1].wav", "empty/readme.md",
    ]  # fmt: skip
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*inputs: str | Path) -> list[str]:
    return [path.as_posix() for path in find_sources(inputs)]


def test_a_folder_is_searched_in_order(archive: Path) -> None:
    assert found(".") == ["a.MP3", "a[1].wav", "b.wav", "sub/c.flac", "sub/deep/d.webm"]
    assert found(archive / "sub") == [f"{archive}/sub/c.flac", f"{archive}/sub/deep/d.webm"]


def test_a_file_is_taken_as_it_is(archive: Path) -> None:
    assert found("notes.txt", "noext", ".hidden.wav", "missing.wav") == [
        "notes.txt", "noext", ".hidden.wav", "missing.wav",
    ]  # fmt: skip


def test_globs(archive: Path) -> None:
    assert found("*.wav") == ["a[1].wav", "b.wav"]
    assert found("*") == ["a.MP3", "a[1].wav", "b.wav"]
    assert found("**/*.flac") == ["sub/c.flac"]
    assert found("**") == ["a.MP3", "a[1].wav", "b.wav", "sub/c.flac", "sub/deep/d.webm"]
    assert found(f"{archive}/s?b/*") == [f"{archive}/sub/c.flac"]
    assert found("*.txt") == ["notes.txt"], "an extension that is named is wanted"


def test_a_name_that_exists_is_no_glob(archive: Path) -> None:
    assert found("a[1].wav") == ["a[1].wav"]
    (archive / "d[0-9]").mkdir()
    (archive / "d[0-9]" / "x.wav").touch()
    assert found("d[0-9]") == ["d[0-9]/x.wav"]


@pytest.mark.parametrize("what", ["empty", "*.xyz", "nothing/**/*.wav"])
def test_nothing_found_is_an_error(archive: Path, what: str) -> None:
    with pytest.raises(AudioError) as caught:
        found(what)
    assert caught.value.code == "not_found"
    assert repr(what) in caught.value.message


def test_the_search_is_lazy(archive: Path) -> None:
    def inputs() -> Iterator[str]:
        yield "b.wav"
        yield "."
        raise AssertionError("asked for too much")

    paths = find_sources(inputs())
    assert [next(paths).name for _ in range(3)] == ["b.wav", "a.MP3", "a[1].wav"]


def test_one_path_is_no_list_of_letters(archive: Path) -> None:
    assert [path.name for path in find_sources("b.wav")] == ["b.wav"]


def test_links(archive: Path) -> None:
    (archive / "sub" / "up").symlink_to(archive)
    (archive / "sub" / "self").symlink_to(archive / "sub")
    (archive / "sub" / "gone.wav").symlink_to(archive / "nowhere")
    (archive / "other").mkdir()
    (archive / "other" / "f.wav").touch()
    (archive / "sub" / "other").symlink_to(archive / "other")
    names = [Path(name).name for name in found(".")]
    assert sorted(names) == sorted(set(names))
    assert {"c.flac", "d.webm", "f.wav", "gone.wav"} <= set(names)


def test_a_folder_that_may_not_be_read(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name in {"sub", "top"}:
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found(".") == ["a.MP3", "a[1].wav", "b.wav", "sub"], "yielded, so that opening it tells"
    (archive / "top").mkdir()
    with pytest.raises(AudioError, match="Permission denied") as caught:
        found("top")
    assert caught.value.code == "not_readable"


def test_many_files(archive: Path) -> None:
    (archive / "many").mkdir()
    for number in range(300):
        (archive / "many" / f"{number:03}.wav").touch()
    assert len(found("many")) == 300


def test_extensions() -> None:
    assert {
        ".wav",
        ".mp3",
        ".flac",
        ".ogg",
        ".opus",
        ".m4a",
        ".webm",
        ".mp4",
        ".wma",
        ".3gp",
        ".amr",
    } <= AUDIO_EXTENSIONS
    assert all(extension == extension.lower() and extension[0] == "." for extension in AUDIO_EXTENSIONS)
