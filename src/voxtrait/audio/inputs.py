"""Any source of bytes as one seekable reader.

Both decoders read through :class:`ByteReader` and never see a name: libsndfile and libav would
otherwise believe its extension, and libav might take a name such as ``concat:a|b`` for a protocol.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from numpy.typing import NDArray

from ..errors import AudioError

__all__ = ["AudioSource", "ByteReader", "open_bytes", "source_name"]

#: A path, the bytes of a file, a binary file object, or samples.
AudioSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | NDArray[Any]

#: What a pipe may hold in memory (bytes); beyond it moves to a temporary file.
_SPOOL_SIZE: Final = 16 * 2**20


class ByteReader:
    """Read and seek in a binary file object; its errors are kept in ``error``, not raised.

    The decoders call from C, where a Python exception would be printed to stderr and lost.
    """

    def __init__(self, raw: BinaryIO, *, owned: bool) -> None:
        self._raw = raw
        self._owned = owned
        self.error: Exception | None = None
        raw.seek(0, io.SEEK_END)
        self.size = raw.tell()
        raw.seek(0)

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._raw.read(size)
            # PyAV copies what it gets into a buffer of ``size`` bytes, however much it is.
            if data is None or isinstance(data, str) or 0 <= size < len(data):
                raise ValueError(f"read({size}) gave {type(data).__name__}, not {size} bytes at most")
            return bytes(data)
        except Exception as error:
            self.error = self.error or error
            return b""

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._raw.seek(offset, whence)
        except Exception as error:
            # A seek before the start comes from a broken header, not from a fault of the source.
            if not isinstance(error, ValueError | OSError) or getattr(self._raw, "closed", False):
                self.error = self.error or error
            return -1

    def tell(self) -> int:
        try:
            return self._raw.tell()
        except Exception as error:
            self.error = self.error or error
            return -1

    def close(self) -> None:
        if self._owned:
            self._raw.close()


def source_name(source: AudioSource) -> str:
    """Return what to call a source in messages and results."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>"
    if hasattr(source, "__array__"):
        return "<array>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<stream>"


def open_bytes(source: AudioSource, name: str) -> ByteReader:
    """Open a path, bytes or a binary file object for reading from its start.

    A file object stays open when the reader is closed; one that cannot seek is read to its end
    into a temporary file.

    Raises:
        AudioError: ``not_found``, ``not_readable``, or ``empty`` if there is not one byte.
        TypeError: if the source is of another type.
    """
    if isinstance(source, str | os.PathLike):
        raw, owned = _open_path(source, name), True
    elif isinstance(source, bytes | bytearray | memoryview):
        raw, owned = cast(BinaryIO, io.BytesIO(source)), True
    elif isinstance(source, io.TextIOBase):
        raise AudioError("not_readable", f"{name} is open as text: open it in binary mode, 'rb'.")
    elif hasattr(source, "read"):
        raw, owned = cast(BinaryIO, source), False
    else:
        raise TypeError(
            f"A path, bytes, a binary file or an array was expected, not {type(source).__name__}."
        )
    try:
        if not _can_seek(raw):
            raw, owned = _spool(raw, close=owned), True
        reader = ByteReader(raw, owned=owned)
    except (OSError, ValueError) as error:
        if owned:
            raw.close()
        raise AudioError("not_readable", f"{name} cannot be read: {error}.") from error
    if reader.size == 0:
        reader.close()
        raise AudioError("empty", f"{name} is empty: it has 0 bytes.")
    return reader


def _open_path(source: str | os.PathLike[str], name: str) -> BinaryIO:
    try:
        path = Path(source)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError("not_readable", f"{name} is a folder: name the files in it, or search it.")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise AudioError("not_readable", f"{name} is neither a file nor a pipe.")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = ": download it first, addresses are not fetched." if "://" in name else "."
        raise AudioError("not_found", f"There is no file {name!r}{hint}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError("not_readable", f"{name} cannot be read: {reason}.") from error


def _can_seek(raw: BinaryIO) -> bool:
    if hasattr(raw, "seekable"):
        return bool(raw.seekable())
    return hasattr(raw, "seek") and hasattr(raw, "tell")


def _spool(raw: BinaryIO, *, close: bool) -> BinaryIO:
    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL_SIZE)  # noqa: SIM115 - the ByteReader closes it
    try:
        while data := raw.read(2**20):
            if not isinstance(data, bytes | bytearray | memoryview):
                raise ValueError(f"read() gave {type(data).__name__}, not bytes")
            spool.write(data)
    except BaseException:
        spool.close()
        raise
    finally:
        if close:
            raw.close()
    return cast(BinaryIO, spool)
