"""What a service is told when it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from voxtrait.bundle import DEFAULT_BUNDLE
from voxtrait.predictor import usable_cores

__all__ = ["MIB", "PREDICT_SECONDS", "Settings", "default_database"]

MIB: Final = 1 << 20
#: Seconds of a recording that is answered while the caller waits; a longer one is a job.
PREDICT_SECONDS: Final = 900.0


def default_database() -> str:
    """Return the address of a SQLite file in the user's folder for state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return f"sqlite:///{Path(state).absolute() / 'voxtrait' / 'jobs.sqlite3'}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a service is told when it starts.

    Attributes:
        host, port: where it listens; port 0 takes any that is free.
        workers: processes that hear uploads; as many again hear jobs, and streams, once there are some.
        models: bundles as `load_bundle` takes them; the first answers who names none.
        max_upload: bytes of a recording.
        max_duration: seconds of a recording or a live stream.
        queue: uploads at once, from their first byte to their answer; more are refused.
        job_queue: jobs that may wait.
        streams: live streams at once.
        cors: origins of other pages that may call the service; "*" is any.
        api_key_file: a key a line; None asks nobody for one.
        database_url: where jobs are kept.
        keep_results: seconds that a job's result is kept after its end.
        grace: seconds that work under way has to end when the service is stopped.
        log_level: "debug", "info", "warning" or "error"; what probes ask is logged at debug alone.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = field(default_factory=usable_cores)
    models: tuple[str, ...] = (DEFAULT_BUNDLE,)
    max_upload: int = 512 * MIB
    max_duration: float = 14_400.0
    queue: int = 128
    job_queue: int = 1000
    streams: int = 32
    cors: tuple[str, ...] = ()
    api_key_file: Path | None = None
    database_url: str = field(default_factory=default_database)
    keep_results: float = 3600.0
    grace: float = 20.0
    log_level: str = "info"
