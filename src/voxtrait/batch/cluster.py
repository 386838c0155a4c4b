"""The engine of a Ray cluster, through Ray Data: items out to actors, answers back.

Each actor hears in a process of its own beside it (`LocalEngine`), so that a file at which a decoder dies
costs that file here too; Ray would give it to one actor after the other for ever. What an actor or a machine
had in hand when it was lost, Ray gives to another.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from voxtrait.engine import Answered, Item, LocalEngine, Plan
from voxtrait.errors import UsageError, VoxtraitError, require

__all__ = ["RayEngine"]

#: Items that one pipeline of Ray Data is made for, and bytes of their content: it knows them all at once.
_WAVE: Final = 20_000
_WAVE_BYTES: Final = 256 << 20
#: Seconds in which a cluster must answer at all.
_PATIENCE: Final = 10.0
#: Items that an actor is given at once, and whose answers it returns at once.
_BATCH: Final = 16
_BLOCK: Final = 64


class RayEngine:
    """Hears items on a Ray cluster: that of ``RAY_ADDRESS``, one on this machine, or one begun for this run.

    The machines of the cluster need voxtrait, and see the files under the same names.

    Args:
        plan: how to hear.
        workers: actors, of a core each; None is one for each core of the cluster.
        time_limit: as in `LocalEngine`.

    Raises:
        MissingExtraError: without Ray.
        UsageError: ``cluster`` if the cluster cannot be reached.
    """

    def __init__(self, plan: Plan, workers: int | None, time_limit: float) -> None:
        # Its processes in C++ speak on stderr of what they then put right themselves.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        with _silence():
            self._ray = require("ray", "ray")
            require("ray.data", "ray")
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._own = not self._ray.is_initialized()
        if self._own:
            self._begin()
        self._plan = plan
        self._workers = workers
        self._limit = time_limit
        self._heard = 0.0

    def _begin(self) -> None:
        terminate = signal.getsignal(signal.SIGTERM)
        try:
            _knock(os.environ.get("RAY_ADDRESS", ""))
            with _silence():
                self._ray.init(log_to_driver=False, logging_level="ERROR")
        # What Ray raises has no common base but Exception.
        except Exception as error:
            raise _unusable("cannot be reached", error) from error
        if threading.current_thread() is threading.main_thread():
            # Ray takes the signal for itself.
            signal.signal(signal.SIGTERM, terminate)

    @property
    def heard(self) -> float:
        """Seconds of audio in the recordings that have their answer."""
        return self._heard

    def run(self, items: Iterable[Item]) -> Generator[Answered | None]:
        """Yield an answer for each item.

        Raises:
            UsageError: ``cluster`` if it cannot go on, ``workers`` if processes die before they begin.
        """
        for wave in _waves(items):
            for place, text in self._answers(wave):
                answer = json.loads(text)
                self._heard += answer["duration"] or 0.0
                yield wave[place], answer

    def _answers(self, wave: list[Item]) -> Iterator[tuple[int, str]]:
        """Yield the place in the wave and the answer as JSON, of each item."""
        from ray.data import ActorPoolStrategy, DataContext, from_items

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.enable_operator_progress_bars = False
        most = self._workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        rows = [{"place": place, "item": pickle.dumps(item)} for place, item in enumerate(wave)]
        # Enough for all actors; none so large that its answers, which come together, are long in coming.
        blocks = max(1, len(rows) // _BLOCK, min(len(rows) // _BATCH, 4 * most))
        answered = from_items(rows, override_num_blocks=blocks).map_batches(
            _Hearer,
            batch_size=_BATCH,
            # A machine may be lost: those that are left go on.
            compute=ActorPoolStrategy(min_size=1, max_size=most),
            num_cpus=1,
            fn_constructor_args=(self._plan, self._limit),
        )
        try:
            # Without those that are fetched ahead: they would wait for the next ones.
            for batch in answered.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
                columns: Any = batch
                yield from zip(columns["place"].tolist(), columns["answer"].tolist(), strict=True)
        except Exception as error:
            cause = getattr(error, "cause", None)
            raise cause if isinstance(cause, VoxtraitError) else _unusable("failed", error) from error

    def close(self) -> None:
        """Leave the cluster; one that was begun for this engine ends."""
        if self._own:
            self._ray.shutdown()


class _Hearer:
    """An actor: batches of pickled items in, answers as JSON out."""

    def __init__(self, plan: Plan, time_limit: float) -> None:
        self._engine = LocalEngine(plan, 1, time_limit)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        items = [pickle.loads(item) for item in batch["item"]]
        places = {item.name: int(place) for item, place in zip(items, batch["place"], strict=True)}
        answered = [found for found in self._engine.run(items) if found is not None]
        return {
            "place": [places[item.name] for item, _ in answered],
            "answer": [json.dumps(answer) for _, answer in answered],
        }


@contextmanager
def _silence() -> Iterator[None]:
    """Lead to nowhere what is written on stderr below Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _knock(address: str) -> None:
    """Find out whether somebody listens at HOST:PORT: Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


def _unusable(what: str, error: Exception) -> UsageError:
    place = os.environ.get("RAY_ADDRESS", "of this machine")
    reason = " ".join(str(error).split())[:200]
    return UsageError("cluster", f"The Ray cluster {place} {what}: {reason}.")


def _waves(items: Iterable[Item]) -> Iterator[list[Item]]:
    source = iter(items)
    for first in source:
        wave, size = [first], len(first.content or b"")
        for item in source:
            wave.append(item)
            size += len(item.content or b"")
            if len(wave) == _WAVE or size >= _WAVE_BYTES:
                break
        yield wave
