"""API keys: who may call the service, where it asks."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from voxtrait.keyfile import read_keys
from voxtrait.service.problems import Refusal

__all__ = ["Keys", "wants_key"]


class Keys:
    """Knows keys by their digests.

    Args:
        keys: what is allowed; None allows everybody.
    """

    def __init__(self, keys: Iterable[str] | None) -> None:
        self._digests = None if keys is None else [_digest(key) for key in keys]

    @classmethod
    def read(cls, path: Path | None) -> Keys:
        """Read a file of keys; None allows everybody.

        Raises:
            UsageError: ``usage`` if it cannot be read or holds no key.
        """
        return cls(None if path is None else read_keys(path))

    @property
    def wanted(self) -> bool:
        """Whether anybody is asked for a key."""
        return self._digests is not None

    def allows(self, key: str | None) -> bool:
        """Return whether a key is one of them."""
        if self._digests is None:
            return True
        digest = _digest(key or "")
        # All are compared, however early one fits: the time it takes says nothing.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


_bearer = HTTPBearer(auto_error=False, description="A key of --api-key-file, where the service has one.")


async def _check(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    keys: Keys = request.app.state.voxtrait.keys
    if not keys.allows(given.credentials if given else None):
        raise Refusal(
            401,
            "key",
            "This service asks for a key: send the header 'Authorization: Bearer KEY' with one it knows.",
            {"WWW-Authenticate": "Bearer"},
        )


#: Of a route: it answers only who has a key.
wants_key = Depends(_check)
