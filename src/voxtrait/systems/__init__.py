"""Trainable systems, one file each; a recipe names one of `SYSTEMS`."""

from typing import Final

__all__ = ["SYSTEMS"]

#: Name -> module, which is imported only when the system is trained.
SYSTEMS: Final = {"base": "voxtrait.systems.base"}
