"""A recording before it is heard, and how it is to be heard."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from voxtrait.results import Problem

__all__ = ["Item", "Wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """How a recording is to be heard.

    Attributes:
        segments, speakers, channel: as in `Predictor.predict`.
        model: title of one of the plan's bundles; empty is the first.
        longest: seconds beyond which it is given up, with the error ``too_long``; None is no limit.
    """

    segments: bool = False
    speakers: bool = False
    channel: int | None = None
    model: str = ""
    longest: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of a recording from where it lies.

    Attributes:
        name: what it is called in its answer.
        path: a file of this machine, or an address; empty if there is ``content`` or ``file``.
        size, modified: of the file, or of the archive that it lies in; None if unknown.
        content: its bytes, where they were read on the way.
        problem: why it cannot be heard, where that is known already.
        file: its bytes in a file that is open, and may have no name; whoever hears it gets the descriptor.
        wish: how to hear it, where that is not the plan's.
        unwanted: set when nobody waits for its answer any more.
    """

    name: str
    path: str = ""
    size: int | None = None
    modified: datetime | None = None
    content: bytes | None = None
    problem: Problem | None = None
    file: BinaryIO | None = None
    wish: Wish | None = None
    unwanted: threading.Event | None = None
