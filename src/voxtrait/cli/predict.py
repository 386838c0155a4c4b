"""``voxtrait predict``: gender and age of the speakers of recordings."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from voxtrait.bundle import DEFAULT_BUNDLE
from voxtrait.cli.messages import say
from voxtrait.cli.output import check_output, open_output, writing_to
from voxtrait.cli.progress import ProgressLine
from voxtrait.cli.sources import find_all
from voxtrait.errors import VoxtraitError
from voxtrait.exports import EXPORTS, Writer, format_of, get_writer

if TYPE_CHECKING:
    from voxtrait.results import Prediction

__all__ = ["predict"]


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="Recordings, folders (searched with their subfolders), globs; - is stdin.",
        ),
    ],
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar=f"[{'|'.join(EXPORTS)}]",
            help="How results are written; by default as the extension of FILE says, or as a table.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write results to a file instead of stdout."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(metavar="BUNDLE", help="A shipped name, a folder, a zip, or org/name on the hub."),
    ] = DEFAULT_BUNDLE,
    segments: Annotated[bool, typer.Option("--segments", help="Add the timeline: who speaks when.")] = False,
    speakers: Annotated[
        bool, typer.Option("--speakers", help="Add the voices of each file, with their speaking time.")
    ] = False,
    channel: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Hear only this channel, from 1; by default all, mixed."),
    ] = None,
) -> int:
    """Tell gender and age of the speakers of recordings.

    A file that cannot be heard is a row that says why. Exit code: 0 if every file was handled, 1 if some
    failed, 2 for wrong usage.

    \b
    Example:
      voxtrait predict interview.mp3
      voxtrait predict archive/ --format jsonl > archive.jsonl
      voxtrait predict "talks/**/*.wav" -o talks.csv
      voxtrait predict debate.mkv --segments --speakers
      cat call.ogg | voxtrait predict - --format json
    """
    target = None if output is None or str(output) == "-" else output
    writer_type = get_writer(format_name or (target and format_of(target)) or "table")
    if target is not None:
        check_output(target)
    with ExitStack() as resources:
        sources = find_all(paths, resources)

        from voxtrait.predictor import Predictor

        predictor = Predictor(model)
        encoding = None if writer_type.for_people else "utf-8"
        stream = resources.enter_context(open_output(target, appends=writer_type.appends, encoding=encoding))
        with writing_to(target):
            writer = writer_type(stream, segments=segments, speakers=speakers)
        progress = ProgressLine()
        answers = predictor.predict_many(
            progress.count(sources),
            channel=channel,
            segments=segments,
            speakers=speakers,
            tick=progress.heard,
        )
        failed, total = _write_all(cast("Generator[Prediction]", answers), writer, target, progress)
    if failed:
        say(f"{failed} of {total} {'file' if total == 1 else 'files'} failed.")
    return 1 if failed else 0


def _write_all(
    answers: Generator[Prediction], writer: Writer, target: Path | None, progress: ProgressLine
) -> tuple[int, int]:
    """Write answers as they come; return how many failed, and of how many."""
    failed = total = 0
    shares_terminal = writer.stream.isatty() and not writer.for_people

    def aside() -> AbstractContextManager[None]:
        return progress.out_of_the_way() if shares_terminal else nullcontext()

    def finish() -> None:
        with writing_to(target):
            writer.finish()
            writer.stream.flush()

    try:
        with closing(answers), progress:
            for answer in answers:
                total += 1
                failed += answer.status == "error"
                progress.file_done()
                with aside(), writing_to(target):
                    writer.write(answer)
                    writer.stream.flush()
    except (KeyboardInterrupt, VoxtraitError) as stop:
        # What is there is whole, as far as it goes; what cannot be written cannot be finished.
        if getattr(stop, "code", None) != "output":
            finish()
        raise
    finish()
    return failed, total
