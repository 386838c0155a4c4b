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
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Final

from voxtrait.batch.items import Item
from voxtrait.batch.local import Answered, LocalEngine
from voxtrait.batch.worker import Plan
from voxtrait.errors import UsageError, require

__all__ = ["RayEngine"]

#: Items that one pipeline of Ray Data is made for, and bytes of their content: it knows them all at once.
_WAVE: Final = 20_000
_WAVE_BYTES: Final = 256 << 20
#: Items that an actor is given at once.
_BATCH: Final = 16


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
        self._ray = require("ray", "ray")
        require("ray.data", "ray")
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._own = not self._ray.is_initialized()
        if self._own:
            try:
                self._ray.init(log_to_driver=False, logging_level="ERROR")
            # What Ray raises has no common base but Exception.
            except Exception as error:
                reason = " ".join(str(error).split())[:200]
                raise UsageError("cluster", f"The Ray cluster cannot be reached: {reason}.") from error
        self._plan = plan
        self._workers = workers
        self._limit = time_limit
        self._heard = 0.0

    @property
    def heard(self) -> float:
        """Seconds of audio in the recordings that have their answer."""
        return self._heard

    def run(self, items: Iterable[Item]) -> Generator[Answered | None]:
        """Yield an answer for each item."""
        for wave in _waves(items):
            for row in self._answers(wave):
                item = wave[row["place"]]
                answer = json.loads(row["answer"])
                self._heard += answer["duration"] or 0.0
                yield item, answer

    def _answers(self, wave: list[Item]) -> Iterator[dict[str, Any]]:
        from ray.data import ActorPoolStrategy, DataContext, from_items

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.enable_operator_progress_bars = False
        most = self._workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        rows = [{"place": place, "item": pickle.dumps(item)} for place, item in enumerate(wave)]
        blocks = max(1, len(rows) // _BATCH)
        answered = from_items(rows, override_num_blocks=min(blocks, 4 * most)).map_batches(
            _Hearer,
            batch_size=_BATCH,
            # A machine may be lost: those that are left go on.
            compute=ActorPoolStrategy(min_size=1, max_size=most),
            num_cpus=1,
            fn_constructor_args=(self._plan, self._limit),
        )
        yield from answered.iter_rows()

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
