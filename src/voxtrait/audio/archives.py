"""Tar archives read in one pass, never unpacked: Common Voice comes as a ``.tar.gz`` of up to 89 GB.

A recording in an archive is named ``ARCHIVE::MEMBER``, as
``/data/cv-corpus-17.0-2024-03-15-en.tar.gz::cv-corpus-17.0-2024-03-15/en/clips/a.mp3``.
"""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, Final, Self, cast

from voxtrait.errors import CorpusError

__all__ = ["MEMBER_MARK", "archive_stem", "split_member", "stream_members", "walk_archive"]

#: Stands between the archive's path and the member's name.
MEMBER_MARK: Final = "::"

_EXTENSION: Final = r"\.(?:tar|tar\.gz|tgz)"
_STEM: Final = re.compile(rf"(.+?){_EXTENSION}", re.IGNORECASE | re.DOTALL)
_MEMBER: Final = re.compile(rf"(.+?{_EXTENSION}){MEMBER_MARK}(.+)", re.IGNORECASE | re.DOTALL)
_BLOCK: Final = 1 << 20
#: Headers that only say something of the next member, and the most bytes that a real one has.
_NOTES: Final = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
_LONGEST_NOTE: Final = 1 << 20


def archive_stem(name: str) -> str | None:
    """Return a file's name without ``.tar``, ``.tar.gz`` or ``.tgz``, or None if it ends otherwise."""
    found = _STEM.fullmatch(name)
    return found[1] if found else None


def split_member(path: str) -> tuple[str, str] | None:
    """Return the archive and the member that a path in a manifest names, or None for an ordinary file."""
    found = _MEMBER.fullmatch(path)
    return (found[1], found[2]) if found else None


def stream_members(archive: str | os.PathLike[str], wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each wanted member, in the archive's order, in one pass.

    Memory holds one member at a time. The pass ends with the last wanted member. A name that the archive
    lacks is not yielded, one that it holds twice is yielded once, as it stands first. Links and devices
    are no members, nor is what has an absolute name or one with ``..``.

    Raises:
        CorpusError: ``corpus_not_found``; ``corpus_archive`` for what is no tar archive, or is cut off or
            damaged: raised when all that can be read was yielded.
    """
    missing = set(wanted)
    if not missing:
        return
    for name, content in walk_archive(archive, missing.__contains__):
        if content is not None:
            yield name, content
            missing.remove(name)
            if not missing:
                return


def walk_archive(
    archive: str | os.PathLike[str],
    wanted: Callable[[str], bool],
    opened: Callable[[], BinaryIO] | None = None,
) -> Iterator[tuple[str, bytes | None]]:
    """Yield the name of every file in a tar archive, with its content if ``wanted(name)``, in one pass.

    Args:
        archive: where it is.
        wanted: name of a file -> whether its content is.
        opened: opens the archive where it is no file of this machine.

    Raises:
        CorpusError: as `stream_members` does.
    """
    if opened is None and not Path(archive).is_file():
        raise CorpusError("corpus_not_found", f"There is no archive {archive}.")
    begin = opened or partial(_open, archive)
    last = None
    try:
        with (
            begin() as packed,
            _unpacked(packed) as stream,
            tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member) as tar,
        ):
            while (member := tar.next()) is not None:
                # It keeps every member that it has seen: gigabytes in a large archive.
                tar.members = []  # type: ignore[attr-defined]
                name = _name(member)
                if name is None:
                    continue
                content = _content(tar, member) if wanted(name) else None
                last = name
                yield name, content
            # gzip keeps its check sum at the very end.
            while stream.read(_BLOCK):
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise CorpusError("corpus_archive", _complaint(archive, last, error)) from error


class _Member(tarfile.TarInfo):
    """A member whose header is right: tarfile alone takes a damaged one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _NOTES and member.size > _LONGEST_NOTE:
            raise tarfile.ReadError("a header is longer than any name")
        return member

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            member = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
        # A negative size would lead back, and round and round.
        if archive.fileobj is None or archive.offset < archive.fileobj.tell():
            raise tarfile.ReadError("a member ends before it begins")
        return member


def _open(archive: str | os.PathLike[str]) -> BinaryIO:
    return Path(archive).open("rb")


def _unpacked(packed: IO[bytes]) -> IO[bytes]:
    magic = packed.read(2)
    packed.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=packed)) if magic == b"\x1f\x8b" else packed


def _name(member: tarfile.TarInfo) -> str | None:
    """Return the name of a file, without a leading "./"; None for what is no file or lies elsewhere."""
    # A name that is no UTF-8 could not stand in a manifest.
    name = member.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not member.isreg() or not parts or name.startswith("/") or ".." in parts:
        return None
    return "/".join(parts)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _complaint(file: str | os.PathLike[str], last: str | None, error: Exception) -> str:
    reason = str(error).rstrip(".")
    if last is None:
        return f"{file} is no tar archive that can be read ({reason})."
    return f"{file} is cut off or damaged after {last} ({reason}): fetch it again."
