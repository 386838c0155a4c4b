"""Files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from voxtrait.errors import UsageError

__all__ = ["written_whole"]


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Yield a path to write to; what is there at the end becomes ``file``, in a folder that is made.

    Raises:
        UsageError: ``output`` if it cannot be written; what was there before stays.
    """
    # The last extension stays: writers choose their format by it.
    partial = file.with_name(f".{file.stem[:200]}.partial{file.suffix}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise UsageError("output", f"Cannot write {file}: {reason}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
