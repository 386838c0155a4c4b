"""Files of API keys, which a service and those who call it read."""

from __future__ import annotations

from pathlib import Path

from voxtrait.errors import UsageError

__all__ = ["read_keys"]


def read_keys(path: Path) -> list[str]:
    """Return the keys in a file, one a line; empty lines and those that begin with # are skipped.

    Raises:
        UsageError: ``usage`` if it cannot be read or holds no key.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError("usage", f"The file of API keys {path} cannot be read: {reason}.") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise UsageError("usage", f"There is no API key in {path}: write one a line.")
    return keys
