"""The composition: inputs -> items that have no answer yet -> an engine -> rows on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from voxtrait.batch.dataset import INFO_NAME, Dataset, Settings
from voxtrait.batch.inputs import Finder
from voxtrait.batch.ledger import Ledger
from voxtrait.batch.lock import locked
from voxtrait.batch.rows import Row, prediction_of, row_of
from voxtrait.batch.sink import Sink, unwritable
from voxtrait.bundle import DEFAULT_BUNDLE, ModelBundle, load_bundle
from voxtrait.engine import Answered, Item, LocalEngine, Plan, Wish
from voxtrait.errors import UsageError, require
from voxtrait.exports import get_writer
from voxtrait.exports.documents import DocumentFolder
from voxtrait.predictor import usable_cores

__all__ = ["ENGINES", "TIME_LIMIT", "Engine", "Progress", "annotate"]

#: What hears: processes of this machine, or a Ray cluster.
ENGINES: Final = ("local", "ray")
#: Seconds that may pass without headway in a file.
TIME_LIMIT: Final = 120.0
#: Folder of the exports: as a name that begins so it is no part of the data set.
_EXPORTS: Final = "_exports"


class Engine(Protocol):
    """Hears items; see `LocalEngine` and `RayEngine`."""

    @property
    def heard(self) -> float:
        """Seconds of audio so far."""

    def run(self, items: Iterable[Item]) -> Generator[Answered | None]:
        """Yield each item with its answer, in any order, and None now and then while there is none."""

    def close(self) -> None:
        """End what hears."""


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        there: recordings that had their answer before, and still have it.
        seen: recordings found so far.
        finished: whether all were found.
        done, failed, silent: recordings answered by this run; those with an error, without speech.
        audio: seconds heard, also of recordings that are not done.
        speech: seconds of speech in those that are.
    """

    there: int = 0
    seen: int = 0
    finished: bool = False
    done: int = 0
    failed: int = 0
    silent: int = 0
    audio: float = 0.0
    speech: float = 0.0

    def count(self, answer: Mapping[str, Any]) -> None:
        """Count an answer, as `Prediction.to_dict` gives it."""
        self.done += 1
        self.failed += answer["status"] == "error"
        self.silent += answer["status"] == "no_speech"
        self.speech += answer["speech"] or 0.0

    def look(self, finder: Finder, engine: Engine) -> None:
        """Note what has been found and heard meanwhile."""
        self.seen, self.there, self.finished = finder.seen, finder.passed, finder.finished
        self.audio = engine.heard


def annotate(
    inputs: Sequence[str],
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | ModelBundle = DEFAULT_BUNDLE,
    segments: bool = False,
    speakers: bool = False,
    channel: int | None = None,
    parts: str = "parquet",
    formats: Sequence[str] = (),
    engine: str = "local",
    workers: int | None = None,
    time_limit: float = TIME_LIMIT,
    retry_errors: bool = False,
    lines: Iterable[str] = (),
    watch: Callable[[Progress], None] | None = None,
) -> Progress:
    """Answer every recording that inputs name, into a data set that grows; what is there is not heard again.

    Args:
        inputs: see `Finder`.
        output: folder of the data set; it is made if it is not there.
        model, segments, speakers, channel: as in `Predictor`; the same in every run on one output.
        parts: the kind of its files, a name of `PARTS`.
        formats: exports to write beside it, a file a recording, in ``output/_exports/FORMAT``, below the
            whole path; those that show a timeline turn ``segments`` on.
        engine: one of `ENGINES`.
        workers: processes; None is one a core of this machine, or of the cluster.
        time_limit: seconds without headway after which a file is given up.
        retry_errors: hear again what has an error.
        lines: of the list that the input "-" stands for.
        watch: told how far it is, after every answer.

    Raises:
        AudioError, CorpusError: for an input that names nothing.
        BundleError: if the model cannot be used.
        MissingExtraError: if a package is not installed.
        UsageError: ``usage`` for a name that there is not, ``output_busy`` while another run writes there,
            ``output_differs`` if what is there was made otherwise, ``dataset`` if it is no data set,
            ``no_space``, ``output``, ``workers``, ``cluster``.
    """
    require("pyarrow", "annotate")
    _check(engine, workers)
    bundle = model if isinstance(model, ModelBundle) else load_bundle(model)
    folder = Path(output)
    names = tuple(sorted(set(formats)))
    exports = [DocumentFolder(folder / _EXPORTS / name, name) for name in names]
    segments = segments or any(get_writer(name).needs_timeline for name in names)
    settings = Settings(bundle.title, bundle.sha256, segments, speakers, channel, parts, names)
    with ExitStack() as stack:
        stack.enter_context(_writing(folder))
        dataset = _dataset(folder, settings)
        ledger = Ledger(dataset, retry_errors=retry_errors)
        finder = Finder(inputs, ledger.take, lines)
        sink = Sink(dataset, ledger)
        progress = Progress()
        plan = Plan((bundle,), Wish(segments, speakers, channel))
        running = stack.enter_context(closing(_engine(engine, plan, workers, time_limit)))
        answers = stack.enter_context(closing(running.run(finder)))
        # Whatever ends the run, what was heard is kept.
        stack.callback(sink.flush)
        for answered in answers:
            if answered is None:
                sink.tick()
            else:
                item, answer = answered
                _keep(row_of(answer, bundle.sha256, item.size, item.modified), exports, sink)
                progress.count(answer)
            progress.look(finder, running)
            if watch is not None:
                watch(progress)
        progress.look(finder, running)
    return progress


def _check(engine: str, workers: int | None) -> None:
    if engine not in ENGINES:
        raise UsageError("usage", f"There is no engine {engine!a}: give one of {', '.join(ENGINES)}.")
    if workers is not None and workers < 1:
        raise UsageError("usage", f"workers must be at least 1, not {workers}.")


def _keep(row: Row, exports: Iterable[DocumentFolder], sink: Sink) -> None:
    for export in exports:
        if export.write(prediction_of(row)) is None:
            # Of what cannot be heard any more.
            export.path_of(row["file"]).unlink(missing_ok=True)
    # Last: what has a row is done.
    sink.add(row)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock; say what cannot be written, and why."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            yield
    except OSError as error:
        # What recordings raise is caught where they are read.
        raise unwritable(folder, error) from error


def _dataset(folder: Path, settings: Settings) -> Dataset:
    """Open the data set of a folder, or begin it."""
    if (folder / INFO_NAME).exists():
        dataset = Dataset(folder)
        difference = settings.difference(dataset.settings)
        if difference and not dataset.parts():
            # A run that ended before its first row binds nobody.
            return Dataset.create(folder, settings)
        if difference:
            raise UsageError(
                "output_differs",
                f"{folder} was written otherwise: this run has {difference}. Name another folder.",
            )
        return dataset
    if others := [path.name for path in folder.iterdir() if not path.name.startswith(("_", "."))]:
        raise UsageError(
            "output", f"{folder} is no data set of 'voxtrait annotate' and not empty: it holds {min(others)}."
        )
    return Dataset.create(folder, settings)


def _engine(name: str, plan: Plan, workers: int | None, time_limit: float) -> Engine:
    if name == "ray":
        from voxtrait.batch.cluster import RayEngine

        return RayEngine(plan, workers, time_limit)
    return LocalEngine(plan, workers or usable_cores(), time_limit)
