"""What `voxtrait serve` carries: python benchmarks/serve_load.py [--clips N] [--data FOLDER]

Sends clips of labelled speech to a server that it starts, from a process of its own on the same machine,
and annotates the same clips with `voxtrait annotate` in turns with that. Every answer is compared with the
row that annotate has for its clip. Seconds differ between machines and hours; the ratio is what is claimed.
The rows take their place in docs/serve-load.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotate import Bench, Row

_PAGE = Path(__file__).parent.parent / "docs" / "serve-load.md"
_TURNS = 3
#: Connections in the steady run, each of which waits for its answer before it sends the next clip.
_STEADY = 16
_BURST = 200
#: How often who was refused comes again, at most.
_PATIENCE = 60


@dataclass
class Load:
    """What a run found: seconds of the whole and of each clip, refusals, answers by clip."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    answers: dict[str, Any] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        ranked = sorted(self.waits)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


@contextmanager
def serving(folder: Path, model: str) -> Iterator[tuple[str, int]]:
    """Start a server and yield its host and port."""
    words = [
        sys.executable,
        "-m",
        "voxtrait",
        "serve",
        "--port",
        "0",
        "--model",
        model,
        "--log-level",
        "error",
    ]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        found = next((re.search(r"http://([\d.]+):(\d+)", line) for line in process.stderr), None)
        if found is None:
            raise SystemExit("the server did not start")
        try:
            yield found[1], int(found[2])
        finally:
            process.send_signal(signal.SIGTERM)


class Connection:
    """One connection: a request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        return cls(*await asyncio.open_connection(host, port))

    async def predict(self, name: str, content: bytes) -> tuple[int, dict[str, str], bytes]:
        head = (
            f"POST /v1/predict?name={name} HTTP/1.1\r\nhost: benchmark\r\n"
            f"content-type: audio/mpeg\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        self._writer.write(head.encode() + content)
        await self._writer.drain()
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return (
            int(lines[0].split()[1]),
            headers,
            await self._reader.readexactly(int(headers["content-length"])),
        )

    def close(self) -> None:
        self._writer.close()


async def ask(connection: Connection, clip: Path, load: Load) -> None:
    """Ask for a clip until it is answered."""
    began = time.monotonic()
    content = clip.read_bytes()
    for _ in range(_PATIENCE):
        status, headers, body = await connection.predict(clip.name, content)
        if status != 429:
            break
        load.refused += 1
        await asyncio.sleep(float(headers["retry-after"]))
    load.waits.append(time.monotonic() - began)
    if status != 200 or clip.name in load.answers:
        raise SystemExit(f"{clip.name}: {status} {body.decode()[:200]}")
    load.answers[clip.name] = json.loads(body)


async def steady(place: tuple[str, int], clips: list[Path], connections: int) -> Load:
    """Send all clips over some connections."""
    load, left = Load(), iter(clips)

    async def work() -> None:
        connection = await Connection.open(*place)
        for clip in left:
            await ask(connection, clip, load)
        connection.close()

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(connections)))
    load.seconds = time.monotonic() - began
    return load


async def burst(place: tuple[str, int], clips: list[Path]) -> Load:
    """Send all clips at once, each over a connection of its own."""
    load = Load()

    async def work(clip: Path) -> None:
        connection = await Connection.open(*place)
        await ask(connection, clip, load)
        connection.close()

    began = time.monotonic()
    await asyncio.gather(*map(work, clips))
    load.seconds = time.monotonic() - began
    return load


def check(load: Load, rows: dict[str, dict[str, Any]], clips: list[Path]) -> None:
    """Compare each answer with what annotate says of the same clip."""
    for clip in clips:
        answer, row = load.answers[clip.name], rows[clip.name]
        said = (answer["file"], answer["status"], (answer["gender"] or {}).get("female"))
        known = (clip.name, row["status"], row["female"])
        if said[:2] != known[:2] or abs((said[2] or 0.0) - (known[2] or 0.0)) > 1e-3:
            raise SystemExit(f"{said} was answered, {known} is known")


def measure(bench: Bench, count: int, model: str) -> list[Row]:
    clips = bench.clips(count, 5, ".mp3", "-ar", "48000", "-b:a", "64k")
    different = clips[:_BURST]
    annotated: list[float] = []
    loads: list[Load] = []
    bursts: list[Load] = []
    with serving(bench.folder, model) as place:
        for _ in range(_TURNS):
            found, dataset = bench.annotate(clips[0].parent)
            rows = {Path(row["file"]).name: row for row in dataset.rows()}
            annotated.append(found.seconds)
            loads.append(asyncio.run(steady(place, clips, _STEADY)))
            check(loads[-1], rows, clips)
            bursts.append(asyncio.run(burst(place, different)))
            check(bursts[-1], rows, different)
    served = statistics.median(load.seconds for load in loads)
    middle = sorted(loads, key=lambda load: load.seconds)[len(loads) // 2]
    storm = sorted(bursts, key=lambda load: load.seconds)[len(bursts) // 2]
    clip_seconds = served / count
    return [
        (
            f"throughput over annotate's, {count} clips of 5 s mp3, {_STEADY} connections, two cores",
            f"{statistics.median(annotated) / served:.2f}",
            "0.7",
        ),
        ("clips a second", f"{count / served:.0f}", ""),
        (
            f"p50 of an answer with {_STEADY} connections, in times of one clip's share of the run",
            f"{middle.percentile(0.5) / clip_seconds:.0f}",
            "",
        ),
        ("p99 of it", f"{middle.percentile(0.99) / clip_seconds:.0f}", ""),
        ("p50, p99 in ms", f"{1e3 * middle.percentile(0.5):.0f}, {1e3 * middle.percentile(0.99):.0f}", ""),
        (
            f"{_BURST} uploads at once: answered, each with its own answer",
            f"{len(storm.answers)}",
            f"{_BURST}",
        ),
        ("times that one of them was told to come again (429)", f"{storm.refused}", ""),
        (
            "seconds from the first byte to its answer, all tries: p50, p99",
            f"{storm.percentile(0.5):.1f}, {storm.percentile(0.99):.1f}",
            "",
        ),
        ("throughput of them over the steady run's", f"{served / count * _BURST / storm.seconds:.2f}", ""),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data", help="folder of labelled speech")
    parser.add_argument("--model", default="voxtrait-base")
    parser.add_argument("--clips", type=int, default=2000, metavar="N")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="voxtrait-serve-"))
    try:
        rows = measure(Bench(Path(options.data), folder, options.model), options.clips, options.model)
    finally:
        shutil.rmtree(folder)
    lines = ["| what | measured | aim |", "| --- | --- | --- |"]
    lines += [f"| {what} | {figure} | {aim} |" for what, figure, aim in rows]
    _PAGE.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
