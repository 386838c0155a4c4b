"""The service as a process of its own, on a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import voxtrait

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

#: Seconds that a start or an end may take on a machine that is busy.
_PATIENCE = 60.0


@dataclass
class Service:
    """A service that runs.

    Attributes:
        url: where it listens.
        process: its main process.
        folder: of its state and its temporary files.
    """

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it logged so far."""
        lines = (self.folder / "stderr").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def client(self, **options: Any) -> httpx.Client:
        """Return a client of it."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def files(self) -> list[Path]:
        """Return the files of its state and its temporary ones."""
        return [
            path for name in ("state", "tmp") for path in (self.folder / name).rglob("*") if path.is_file()
        ]

    def family(self) -> list[int]:
        """Return its processes."""
        return _family(self.process.pid)

    def memory(self) -> float:
        """Return the megabytes that its processes have together, what they share once."""
        sizes = []
        for pid in self.family():
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            sizes += [int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")]
        return sum(sizes) / 1024


def _family(pid: int) -> list[int]:
    # A child is one of the thread that started it.
    try:
        tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    children = " ".join(tasks).split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def service_environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a service whose files lie in a folder, and that finds this very voxtrait."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOXTRAIT_")}
    own = {"XDG_STATE_HOME": str(folder / "state"), "TMPDIR": str(folder / "tmp")}
    return {**kept, "PYTHONPATH": str(Path(voxtrait.__file__).parents[1]), **own, **more}


def start_service(folder: Path, *options: str | Path, **environment: str) -> Service:
    """Start a service and wait until it is ready."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "voxtrait", "serve", "--port", "0", *map(str, options)]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(words, stderr=stderr, env=service_environment(folder, **environment))
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        said = re.search(r"listens on (http://\S+)", (folder / "stderr").read_text())
        if said:
            service = Service(said[1], process, folder)
            wait_until_ready(service)
            return service
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError(f"the service did not start: {(folder / 'stderr').read_text()[-2000:]}")


def wait_until_ready(service: Service) -> None:
    """Wait until a service can hear."""
    end = time.monotonic() + _PATIENCE
    with service.client() as client:
        while (answer := client.get("/readyz")).status_code != 200:
            assert time.monotonic() < end, answer.text
            time.sleep(0.05)


def stop_service(service: Service) -> int:
    """End a service in order and return its exit code."""
    service.process.send_signal(signal.SIGTERM)
    try:
        return service.process.wait(_PATIENCE)
    finally:
        service.process.kill()
        service.process.wait()


@contextmanager
def running_service(folder: Path, *options: str | Path, **environment: str) -> Iterator[Service]:
    """Run a service whose files lie in a folder; at its end nothing of it is left."""
    service = start_service(folder, *options, **environment)
    family = service.family()
    try:
        yield service
    except BaseException:
        service.process.kill()
        service.process.wait()
        raise
    assert stop_service(service) == 0
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in family) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]


def assert_alike(answer: Any, expected: Any, key: str = "") -> None:
    """Assert that two answers as JSON are the same but for the last digit of their estimates.

    Recordings that share a run of the model differ in what rounding makes of a ten-millionth.
    """
    if isinstance(expected, dict):
        assert answer.keys() == expected.keys()
        for name, value in expected.items():
            assert_alike(answer[name], value, name)
    elif isinstance(expected, list):
        assert len(answer) == len(expected)
        for one, other in zip(answer, expected, strict=True):
            assert_alike(one, other, key)
    elif isinstance(expected, float):
        digit = 0.1 if key in ("years", "low", "high") else 1e-4
        assert abs(answer - expected) < 1.01 * digit, (key, answer, expected)
    else:
        assert answer == expected, key
