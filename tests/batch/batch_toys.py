"""Small archives, a bundle that hears pitch, `voxtrait annotate` as a process, decoders that misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import voxtrait
from voice_toys import MAN, RATE, WOMAN, pitch_bundle, say, wav
from voxtrait.batch import Dataset
from voxtrait.bundle import save_bundle

#: Names do to their decoder what they say, and to their reader.
_SABOTAGE = """
import os, pathlib, signal, time
import voxtrait.predictor
import voxtrait.batch.sink

opened = voxtrait.predictor.open_audio
read_bytes = pathlib.Path.read_bytes
voxtrait.batch.sink._EVERY = float(os.environ.get("TOY_EVERY", voxtrait.batch.sink._EVERY))

def noted(line):
    with open(os.environ["TOY_LOG"], "a+") as log:
        log.write(line + chr(10))
        log.seek(0)
        return log.read().splitlines().count(line)

def wait_for(name):
    while not os.path.exists(os.environ["TOY_LOG"] + name):
        time.sleep(0.02)

def late(path):
    if path.name.startswith("read-late"):
        noted("reads " + path.name)
        wait_for(".read")
    return read_bytes(path)

def open_audio(source, **options):
    name = os.path.basename(str(getattr(source, "name", source)))
    times = noted(name)
    if name.startswith("waits"):
        wait_for(".go")
    if "dies-always" in name or ("dies-once" in name and times == 1):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("exits"):
        os._exit(3)
    if name.startswith("hangs"):
        time.sleep(10_000)
    if name.startswith("slow"):
        time.sleep(float(os.environ["TOY_SLOW"]))
    if name.startswith("strange") and times < 3:
        raise KeyError("odd")
    if name.startswith("leaks"):
        globals().setdefault("kept", []).append(bytearray(50_000_000))
    return opened(source, **options)

voxtrait.predictor.open_audio = open_audio
pathlib.Path.read_bytes = late
"""


def toy_in(folder: Path) -> Path:
    """Return the folder of a bundle called "pitch 0.1"."""
    where = folder / "batch-pitch"
    if not where.exists():
        save_bundle(where, pitch_bundle().card, pitch_bundle().model)
    return where


def speech(number: int) -> bytes:
    """Return a recording of a second or two that no other number has; even ones are of a man."""
    voice = (MAN, WOMAN)[number % 2]
    return wav(say(voice=voice)[: RATE + 240 * number])


def archive_of(folder: Path, count: int, prefix: str = "") -> list[Path]:
    """Write recordings and return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{prefix}{number:04}.wav" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(speech(number % 90))
    return files


def noise(seconds: float) -> bytes:
    """Return a recording that is large for its length in speech: none."""
    return wav(np.random.default_rng(0).normal(0, 0.01, round(seconds * RATE)).astype(np.float32))


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child that finds this very voxtrait, on no terminal."""
    kept = {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "NO_COLOR")}
    return kept | {"PYTHONPATH": str(Path(voxtrait.__file__).parents[1]), "COLUMNS": "100"} | more


def sabotage(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a child whose decoders do what names say; see `heard`."""
    place = folder / "sabotage"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_SABOTAGE)
    path = os.pathsep.join([str(place), environment()["PYTHONPATH"]])
    return environment(PYTHONPATH=path, TOY_LOG=str(folder / "heard.log"), **more)


def heard(folder: Path) -> list[str]:
    """Return the names of what was opened under `sabotage`, in order, and forget them."""
    log = folder / "heard.log"
    names = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return names


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "voxtrait", "annotate", *map(str, arguments)]


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `voxtrait annotate` to its end."""
    options.setdefault("env", environment())
    options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
    if "input" in options:
        del options["stdin"]
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=250, **options)


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a data set by the name of the file; there is one of each."""
    rows = list(Dataset(folder).rows())
    found = {row["file"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def named(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a data set by the last part of the name of the file."""
    return {Path(name).name: row for name, row in rows_of(folder).items()}


def family(mark: str) -> list[int]:
    """Return the processes whose environment has ``TOY_MARK=mark``."""
    wanted = f"TOY_MARK={mark}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parts = (place / "environ").read_bytes().split(b"\0")
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if wanted in parts and state != "Z":
            found.append(int(place.name))
    return found


def assert_no_orphans(mark: str) -> None:
    """Fail if processes of a run stay for long after its end."""
    deadline = time.monotonic() + 20
    while left := family(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
