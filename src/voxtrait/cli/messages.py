"""What is said on stderr: one line each, never a stack trace unless asked for."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback

from voxtrait.exports.wording import printable

__all__ = ["abandon_output", "complain", "flush_output", "report_fault", "say"]

_DEBUG = "VOXTRAIT_DEBUG"


def say(text: str) -> None:
    """Print lines on stderr."""
    # Without a stderr there is nobody to tell.
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(*map(printable, text.split("\n")), sep="\n", file=sys.stderr, flush=True)


def complain(message: str, code: str | None = None) -> None:
    """Say in one line what went wrong."""
    say(printable(f"error[{code}]: {message}" if code else message))


def report_fault(error: Exception) -> None:
    """Say that voxtrait is at fault; with VOXTRAIT_DEBUG=1 show where."""
    if os.environ.get(_DEBUG) == "1":
        traceback.print_exception(error)
        return
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    complain(f"voxtrait failed ({reason[:300]}); please report what {_DEBUG}=1 prints.", "internal")


def flush_output() -> None:
    """Send what Python still holds of stdout."""
    if sys.stdout is not None:
        sys.stdout.flush()


def abandon_output() -> None:
    """Let nothing more reach stdout, not even what Python writes when it ends."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
