"""Work spread over processes: results in order, a bounded number of tasks on the way."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, Final, TypeVar

from voxtrait.errors import CorpusError, VoxtraitError

__all__ = ["end_with_parent", "map_in_order"]

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Tasks waiting for each process, so that none idles while an earlier one takes long.
_AHEAD: Final = 4


def map_in_order(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    begin: Callable[..., object] | None = None,
    arguments: tuple[Any, ...] = (),
    name: Callable[[Task], str] | None = None,
) -> Generator[Result]:
    """Yield ``function(task)`` of every task, in order.

    Args:
        function: of a module, so that it can be sent to a process.
        tasks: drawn as they are needed, a few a process ahead.
        workers: processes.
        begin, arguments: called once in every process before its first task.
        name: task -> what it is called where a process died at it.

    Raises:
        CorpusError: ``corpus_reader`` if a process dies.
        VoxtraitError: that of ``tasks``, once the results of all tasks before it are out.
    """
    waiting: deque[tuple[Task, Future[Result]]] = deque()
    failures: list[VoxtraitError] = []
    # Spawned, not forked: a fork of a process with threads may inherit a lock that nobody opens.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (begin, arguments))
    try:
        for task in _until_failure(tasks, failures):
            waiting.append((task, pool.submit(function, task)))
            if len(waiting) > workers * _AHEAD:
                yield _result(*waiting.popleft(), name)
        while waiting:
            yield _result(*waiting.popleft(), name)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    for failure in failures:
        raise failure


def _result(task: Task, future: Future[Result], name: Callable[[Task], str] | None) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        place = f", at {name(task)} or one of the next" if name else ""
        raise CorpusError(
            "corpus_reader",
            f"A process that reads recordings died{place}: memory may have run out; try fewer workers.",
        ) from error


def _until_failure(tasks: Iterable[Task], failures: list[VoxtraitError]) -> Generator[Task]:
    try:
        yield from tasks
    except VoxtraitError as error:
        failures.append(error)


def _begin(begin: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    # Ctrl-C ends the run in the parent, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A parent that was killed ends nobody: without it this process would wait for ever.
    threading.Thread(target=end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def end_with_parent() -> None:
    """Wait for the process that started this one, and end with it; for a thread of its own."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
