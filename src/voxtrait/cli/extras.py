"""Commands whose packages come with an extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voxtrait.errors import MissingExtraError, require

__all__ = ["importing"]


@contextmanager
def importing(extra: str) -> Iterator[None]:
    """Turn a failing import inside into one line that names the extra.

    Raises:
        MissingExtraError: if a package is not installed.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ImportError as error:
        if error.name and not error.name.startswith("voxtrait"):
            require(error.name, extra)
        raise
