"""Recordings at addresses such as ``s3://bucket/key``, through fsspec."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final, cast

from voxtrait.errors import AudioError, MissingExtraError, UsageError, require

__all__ = ["RemoteFile", "find_remote", "is_address", "open_remote", "read_remote"]

#: Bytes that are asked for at once of a file that is read as it is heard.
_BLOCK: Final = 4 << 20

#: An address, its size in bytes, and when it was changed; None where the store does not say.
RemoteFile = tuple[str, int | None, datetime | None]


def is_address(name: str) -> bool:
    """Tell an address from the name of a file."""
    return "://" in name


def find_remote(address: str) -> Iterator[RemoteFile]:
    """Yield the files that an address means: itself, what it matches as a glob, or all below it.

    Args:
        address: such as ``s3://bucket/talks``, ``s3://bucket/talks/**/*.mp3``.

    Raises:
        AudioError: ``not_found`` if there is nothing, ``not_readable`` if the store cannot be asked.
        MissingExtraError: without fsspec, or what it needs for this kind of address.
        UsageError: ``usage`` for a kind of address that there is not.
    """
    system, path = _system(address)
    try:
        if glob.has_magic(path) and not system.exists(path):
            found = system.glob(path, detail=True).items()
            files = sorted((name, info) for name, info in found if info["type"] == "file")
        elif system.isfile(path):
            files = [(path, system.info(path))]
        else:
            yield from _below(system, path, address)
            return
    except Exception as error:
        raise _unreadable(address, error) from error
    if not files:
        raise AudioError("not_found", f"No file matches {address!r}.")
    yield from (_described(system, name, info) for name, info in files)


def open_remote(address: str) -> BinaryIO:
    """Open a file to be read as it is heard.

    Raises:
        AudioError: ``not_found`` or ``not_readable``.
    """
    system, path = _system(address)
    try:
        return cast(BinaryIO, system.open(path, "rb", block_size=_BLOCK, cache_type="readahead"))
    except Exception as error:
        raise _unreadable(address, error) from error


def read_remote(address: str) -> bytes:
    """Return the content of a file.

    Raises:
        AudioError: ``not_found`` or ``not_readable``.
    """
    system, path = _system(address)
    try:
        return cast(bytes, system.cat_file(path))
    except Exception as error:
        raise _unreadable(address, error) from error


def _below(system: Any, path: str, address: str) -> Iterator[RemoteFile]:
    """Walk a folder by folder: a bucket may hold more names than memory should."""
    empty = True
    try:
        for _, folders, files in system.walk(path, detail=True):
            # In place, so that the walk goes on in order.
            for name in sorted(folders):
                folders[name] = folders.pop(name)
            for _, info in sorted(files.items()):
                empty = False
                yield _described(system, info["name"], info)
    except Exception as error:
        raise _unreadable(address, error) from error
    if empty:
        raise AudioError("not_found", f"There is no file at {address!r}.")


def _system(address: str) -> tuple[Any, str]:
    fsspec = require("fsspec", "s3")
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise MissingExtraError(
            "missing_extra",
            f"Reading {address.partition('://')[0]}:// needs a package that is not installed ({error}): "
            "for s3:// pip install 'voxtrait[s3]'",
        ) from error
    except ValueError as error:
        raise UsageError("usage", f"{address!r} is no address that can be read: {error}.") from error
    return system, path


def _described(system: Any, name: str, info: dict[str, Any]) -> RemoteFile:
    return str(system.unstrip_protocol(name)), info.get("size"), _changed(info)


def _changed(info: dict[str, Any]) -> datetime | None:
    # Every file system has its own word for it.
    value = next((info[key] for key in ("LastModified", "mtime", "modified", "updated") if key in info), None)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value.astimezone(UTC) if isinstance(value, datetime) else None


def _unreadable(address: str, error: Exception) -> AudioError:
    if isinstance(error, AudioError):
        return error
    if isinstance(error, FileNotFoundError):
        return AudioError("not_found", f"There is no file at {address!r}.")
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return AudioError("not_readable", f"{address} cannot be read: {reason}.")
