"""One run at a time on an output."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from voxtrait.errors import UsageError

__all__ = ["locked"]

#: What systems say of a lock that another holds.
_HELD: Final = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system frees it when the process ends, however it ends.

    Raises:
        UsageError: ``output_busy`` if another run holds it.
        OSError: if the lock's file cannot be written.
    """
    with (folder / "_lock").open("a+") as file:
        if not _try(file):
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise UsageError(
                "output_busy", f"{folder} is being written by {holder}: wait for it, or name another folder."
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def _try(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            # Beyond the text, which others are to read.
            file.seek(1 << 20)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True
