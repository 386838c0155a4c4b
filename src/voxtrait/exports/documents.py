"""A folder of documents, one a recording, whose names mirror those of the recordings."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from voxtrait.errors import UsageError
from voxtrait.exports import get_writer
from voxtrait.exports.wording import percent_encoded
from voxtrait.results import Prediction

__all__ = ["DocumentFolder", "common_folder"]

#: What cannot stand in a name on every file system.
_SPECIAL: Final = frozenset('<>:"|?*\\')
#: Bytes of a name; file systems take 255.
_LONGEST: Final = 200


class DocumentFolder:
    """Writes one document a recording; threads and processes may share a folder.

    ``root/a/b.mp3`` becomes ``a/b.mp3.rttm``, for a name keeps its extension: a.mp3 and a.wav are two
    recordings. What does not lie below the root keeps its whole path, without the first slash. The member of
    an archive, ``ARCHIVE::MEMBER``, lies in a folder named as the archive, an address such as
    ``s3://bucket/a.wav`` in folders named as its parts. Characters that cannot stand in a name everywhere,
    and the names ``.`` and ``..``, are percent-encoded: no document leaves the folder.

    Args:
        folder: where to; made when there is something to write.
        format_name: a name of `EXPORTS`.
        common_root: the folder below which the recordings lie, as their names have it.

    Raises:
        UsageError: ``usage`` if there is no such format, or it is for people.
    """

    def __init__(self, folder: str | os.PathLike[str], format_name: str, common_root: str = "") -> None:
        self.folder = Path(folder)
        self._writer = get_writer(format_name)
        self._root = _parts(common_root)
        if self._writer.for_people:
            raise UsageError("usage", f"{format_name} is for people to look at: give another format.")

    def path_of(self, file: str) -> Path:
        """Return where the document of a recording is, by its name in `Prediction.file`."""
        parts = _parts(file)
        if parts[: len(self._root)] == self._root and len(parts) > len(self._root):
            parts = parts[len(self._root) :]
        *folders, name = map(_safe, parts or ["."])
        return self.folder.joinpath(*folders, name + self._writer.suffix)

    def write(self, prediction: Prediction) -> Path | None:
        """Write the document of one recording, whole or not at all, over an earlier one.

        Returns:
            where it is, None if the recording could not be heard: nothing is written then.

        Raises:
            UsageError: ``output`` if it cannot be written, ``usage`` if the format needs a timeline and the
                answer has none.
        """
        if prediction.status == "error":
            return None
        path = self.path_of(prediction.file)
        partial = path.with_name(f".{os.getpid()}-{threading.get_ident()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._write(prediction, partial)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError("output", f"Cannot write {path}: {error.strerror or error}.") from error
        return path

    def _write(self, prediction: Prediction, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as stream:
            segments, speakers = prediction.segments is not None, prediction.speakers is not None
            writer = self._writer(stream, segments=segments, speakers=speakers)
            writer.write(prediction)
            writer.finish()


def common_folder(files: Iterable[str]) -> str:
    """Return the deepest folder that all recordings lie in, as their names have it; "" if there is none."""
    common: list[str] | None = None
    for file in files:
        folder = _parts(file)[:-1]
        if common is None:
            common = folder
        shared = 0
        while shared < min(len(common), len(folder)) and common[shared] == folder[shared]:
            shared += 1
        del common[shared:]
    return "/".join(common or ())


def _parts(file: str) -> list[str]:
    """Return the parts of a path, an address, or the name of a member of an archive."""
    return [part for part in file.replace(os.sep, "/").replace("::", "/").split("/") if part]


def _safe(part: str) -> str:
    """Return a name that is one everywhere; other names have other ones."""
    if part in (".", ".."):
        return part.replace(".", "%2E")
    name = percent_encoded(part, _SPECIAL)
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return name.encode()[: _LONGEST - 17].decode("utf-8", "ignore") + "~" + digest
