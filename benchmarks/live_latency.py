"""How soon a live stream is answered: python benchmarks/live_latency.py [-o FILE] [--data FOLDER]

Starts `voxtrait serve` and sends it real speech at the pace at which it was spoken, as the page does: samples
of 16 bits at 48 kHz in small frames. Prints as Markdown, in milliseconds, how long after the last sample of
each half second its update came, and how long after the end the answer: for one stream alone, for several
that began at random moments, and for as many whose half seconds all end together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray
from serve_load import serving
from websockets.asyncio.client import ClientConnection, connect

from voxtrait.audio import SAMPLE_RATE, find_sources, load_audio
from voxtrait.bundle import DEFAULT_BUNDLE

_RATE: Final = 48_000
_PATIENCE: Final = 60.0


@dataclass
class Latencies:
    """Seconds."""

    updates: list[float] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    missing: int = 0

    def row(self, name: str) -> str:
        p50, p95, p99 = np.percentile(np.array(self.updates) * 1000, [50, 95, 99])
        final = max(self.finals) * 1000
        return (
            f"| {name} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {max(self.updates) * 1000:.0f} | {final:.0f} |"
            f" {self.missing} of {self.missing + len(self.updates)} |"
        )


def recordings(data: Path, count: int, seconds: float) -> list[bytes]:
    """Return so many stretches of speech of several voices each."""
    found = random.Random(0).sample(sorted(find_sources([data])), 40 * count)
    made = []
    for _ in range(count):
        parts: list[NDArray[np.float32]] = []
        while sum(part.size for part in parts) < seconds * SAMPLE_RATE:
            parts.append(load_audio(found.pop()))
        samples = np.concatenate(parts)[: round(seconds * SAMPLE_RATE)]
        wide = soxr.resample(samples, SAMPLE_RATE, _RATE)
        made.append((np.clip(wide, -1, 1) * 32767).astype("<i2").tobytes())
    return made


async def follow(address: str, data: bytes, frame: float, wait: float, found: Latencies) -> None:
    """Send a recording in real time and note how late its answers are."""
    size = round(frame * _RATE) * 2
    async with connect(address, proxy=None, compression=None, max_size=None) as socket:
        start = {"type": "start", "encoding": "pcm_s16le", "rate": _RATE}
        await socket.send(json.dumps(start))
        assert json.loads(await socket.recv())["type"] == "ready"
        await asyncio.sleep(wait)
        sent: list[float] = []
        ended: list[float] = []
        reading = asyncio.create_task(_read(socket, sent, ended, frame, found))
        began = time.perf_counter()
        for number, first in enumerate(range(0, len(data), size), start=1):
            await asyncio.sleep(max(0.0, began + number * frame - time.perf_counter()))
            await socket.send(data[first : first + size])
            sent.append(time.perf_counter())
        await socket.send(json.dumps({"type": "end"}))
        ended.append(time.perf_counter())
        count = await asyncio.wait_for(reading, _PATIENCE)
        found.missing += round(len(data) / 2 / _RATE * 2) - count


async def _read(
    socket: ClientConnection, sent: list[float], ended: list[float], frame: float, found: Latencies
) -> int:
    count = 0
    async for message in socket:
        now, answer = time.perf_counter(), json.loads(message)
        if answer["type"] == "final":
            found.finals.append(now - ended[0])
        elif answer["type"] == "update":
            count += 1
            last = round(np.ceil(answer["time"] / frame - 1e-6)) - 1
            # Half a second that the end cuts short is told of with the end.
            if last < len(sent):
                found.updates.append(now - sent[last])
        else:
            raise SystemExit(f"The stream broke off: {answer}")
    return count


async def measure(address: str, data: list[bytes], frame: float, in_step: bool) -> Latencies:
    places, found = random.Random(1), Latencies()
    waits = [0.5 if in_step else places.uniform(0, 0.5) for _ in data]
    await asyncio.gather(
        *(follow(address, each, frame, wait, found) for each, wait in zip(data, waits, strict=True))
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/librispeech-sample/clips"))
    parser.add_argument("-o", "--output", type=Path, help="where the table is also written")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--frame", type=float, default=0.02, help="seconds")
    options = parser.parse_args()
    data = recordings(options.data, options.streams, options.seconds)
    lines = [
        "| streams | p50 | p95 | p99 | most | end to answer, most | updates left out |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), DEFAULT_BUNDLE) as (host, port):
        address = f"ws://{host}:{port}/v1/stream"
        runs = {
            "1": (data[:1], False),
            f"{options.streams}": (data, False),
            f"{options.streams}, in step": (data, True),
        }
        for name, (chosen, in_step) in runs.items():
            found = asyncio.run(measure(address, chosen, options.frame, in_step))
            lines.append(found.row(name))
    print("\n".join(lines))
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
