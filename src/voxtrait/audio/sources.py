"""Which files are meant: files, folders and globs, one path at a time."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ..errors import AudioError

__all__ = ["AUDIO_EXTENSIONS", "find_sources"]

#: Extensions a folder is searched for. Only for the search: what a file is, its content says.
AUDIO_EXTENSIONS: Final[frozenset[str]] = frozenset({
    ".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".avi", ".awb",
    ".bwf", ".caf", ".dsf", ".dts", ".eac3", ".flac", ".flv", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv",
    ".mov", ".mp2", ".mp3", ".mp4", ".mpc", ".mpeg", ".mpg", ".mpga", ".mts", ".mxf", ".nist", ".oga", ".ogg",
    ".ogm", ".ogv", ".ogx", ".opus", ".qt", ".ra", ".rf64", ".rm", ".snd", ".sph", ".spx", ".tak", ".ts",
    ".tta", ".vob", ".voc", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma", ".wmv", ".wv",
})  # fmt: skip


def find_sources(inputs: Iterable[str | Path]) -> Iterator[Path]:
    """Yield the files that ``inputs`` name, in their order, lazily.

    An input is a folder (searched with its subfolders, sorted; only ``AUDIO_EXTENSIONS``; hidden
    names are skipped), a glob such as ``"talks/**/*.wav"`` (also filtered unless it ends in an
    extension), or a file, yielded as it is even if it does not exist. A path which exists is never
    taken for a glob. A subfolder that may not be read is yielded itself, so that opening it tells.

    Raises:
        AudioError: ``not_found`` for a folder or glob without any audio file, ``not_readable`` for
            a folder that may not be read.
    """
    if isinstance(inputs, str | Path):
        inputs = [inputs]
    for item in inputs:
        path = Path(item)
        if path.is_dir():
            yield from _some(
                _walk(path, set()), f"There is no audio or video file in the folder {str(item)!r}."
            )
        elif os.path.lexists(path) or not glob.has_magic(str(item)):
            yield path
        else:
            yield from _some(_expand(str(item)), f"No audio or video file matches {str(item)!r}.")


def _some(paths: Iterator[Path], complaint: str) -> Iterator[Path]:
    empty = True
    for path in paths:
        empty = False
        yield path
    if empty:
        raise AudioError("not_found", complaint)


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_EXTENSIONS  # noqa: PTH122 - once per file of a corpus


def _expand(pattern: str) -> Iterator[Path]:
    extension = Path(pattern).suffix
    explicit = bool(extension) and not glob.has_magic(extension)
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 - Path.glob takes no absolute pattern
        path = Path(name)
        if (explicit or _is_audio(name)) and not path.is_dir():
            yield path


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    # Links may lead back up, or to each other: each real folder is searched once.
    top = not seen
    try:
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in seen:
            return
        seen.add(identity)
        with os.scandir(folder) as found:
            entries = sorted(
                (entry.name, _is_folder(entry)) for entry in found if not entry.name.startswith(".")
            )
    except OSError as error:
        if top:
            raise AudioError(
                "not_readable", f"The folder {str(folder)!r} cannot be read: {error.strerror}."
            ) from error
        yield folder
        return
    for name, is_folder in entries:
        if is_folder:
            yield from _walk(folder / name, seen)
        elif _is_audio(name):
            yield folder / name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
