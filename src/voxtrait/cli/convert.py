"""``voxtrait convert``: results that are there already, in another format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from voxtrait.cli.messages import say
from voxtrait.cli.output import check_output, open_output, writing_to
from voxtrait.errors import UsageError
from voxtrait.exports import EXPORTS, get_writer

if TYPE_CHECKING:
    from voxtrait.exports import Writer
    from voxtrait.results import Prediction

__all__ = ["convert"]

_FORMATS: Final = [name for name, writer in EXPORTS.items() if not writer.for_people]


def convert(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            show_default=False,
            help="Data sets of 'voxtrait annotate', .jsonl or .json files of 'voxtrait predict'.",
        ),
    ],
    format_name: Annotated[
        str, typer.Option("--format", "-f", metavar=f"[{'|'.join(_FORMATS)}]", help="What to make of them.")
    ],
    target: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="TARGET",
            help="A file, if it has the format's extension; else a folder with a file a recording.",
        ),
    ],
) -> int:
    """Write results that are there already in another format; nothing is heard again.

    Recordings that could not be heard are left out. Exit code: 0 if there are none, 1 if there are, 2 for
    wrong usage.

    \b
    Example:
      voxtrait convert archive.jsonl --format textgrid -o grids
      voxtrait convert annotated/ --format rttm -o archive.rttm
      voxtrait convert annotated/ more.jsonl --format elan -o documents
    """
    writer_type = get_writer(format_name)
    if writer_type.for_people:
        raise UsageError(
            "usage", f"{format_name} is for people to look at: give one of {', '.join(_FORMATS)}."
        )
    suffixes = (*writer_type.suffixes, writer_type.suffix.lower())
    if target.suffix.lower() in suffixes and not target.is_dir():
        counts = _into_file(_results(sources), writer_type, target)
    else:
        counts = _into_folder(sources, format_name, target)
    return _report(*counts)


def _results(sources: Iterable[Path]) -> Iterator[Prediction]:
    """Yield all answers, one in memory at a time but for the part of a data set that it lies in."""
    for source in sources:
        if source.is_dir():
            from voxtrait.batch import Dataset, prediction_of

            yield from map(prediction_of, Dataset(source).rows())
        else:
            from voxtrait.exports.reading import read_results

            yield from read_results(source)


def _names(sources: Iterable[Path]) -> Iterator[str]:
    """Yield the names of all recordings."""
    for source in sources:
        if source.is_dir():
            from voxtrait.batch import Dataset

            yield from (row["file"] for row in Dataset(source).rows(["file"]))
        else:
            yield from (prediction.file for prediction in _results([source]))


def _into_file(
    results: Iterator[Prediction], writer_type: type[Writer], target: Path
) -> tuple[int, int, int]:
    """Write one document; return how many recordings there were, how many failed, and none overwritten."""
    check_output(target)
    total = failed = 0
    with open_output(target) as stream:
        writer: Writer | None = None
        for result in results:
            total += 1
            if result.status == "error":
                failed += 1
                continue
            with writing_to(target):
                writer = writer or writer_type(
                    stream, segments=result.segments is not None, speakers=result.speakers is not None
                )
                writer.write(result)
        if writer is None:
            # Leaves no file, which would be taken for one of recordings without speech.
            raise typer.Exit(_report(total, failed, 0))
        with writing_to(target):
            writer.finish()
    return total, failed, 0


def _into_folder(sources: list[Path], format_name: str, target: Path) -> tuple[int, int, int]:
    """Write a document a recording; return how many there were, how many failed, were written again."""
    from voxtrait.exports.documents import DocumentFolder, common_folder

    folder = DocumentFolder(target, format_name, common_folder(_names(sources)))
    total = failed = again = 0
    written: set[int] = set()
    for result in _results(sources):
        total += 1
        path = folder.write(result)
        if path is None:
            failed += 1
        else:
            again += hash(path) in written
            written.add(hash(path))
    return total, failed, again


def _report(total: int, failed: int, again: int) -> int:
    """Say what is not there; return the exit code."""
    if total == 0:
        raise UsageError("nothing_to_do", "There is no recording in what is to be converted.")
    if again:
        say(f"{again} of {total} results are of a recording that came before: the last one is kept.")
    if failed:
        say(f"{failed} of {total} {'recording' if total == 1 else 'recordings'} had errors and are left out.")
    return 1 if failed else 0
