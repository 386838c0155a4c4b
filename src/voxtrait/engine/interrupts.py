"""Ctrl-C while processes begin."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["deaf_to_interrupts"]


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Let processes begin that Ctrl-C does not reach: they would complain before they can ignore it.

    It reaches this thread when they have begun: before, they would complain that they were told but half.
    """
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    # Where this begins, it hears signals again.
    resource_tracker.ensure_running()
    with _interrupted_later():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _interrupted_later() -> Iterator[None]:
    """Keep what another thread takes for the main one, where alone it is acted on, until the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = threading.Event()
    handler = signal.signal(signal.SIGINT, lambda *_: came.set()) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came.is_set():
            signal.raise_signal(signal.SIGINT)
