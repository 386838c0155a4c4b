"""``voxtrait predict``: gender and age of the speakers of recordings."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from voxtrait.bundle import DEFAULT_BUNDLE
from voxtrait.cli.messages import complain, say
from voxtrait.cli.options import ChannelOption, ModelOption, SegmentsOption, SpeakersOption
from voxtrait.cli.output import check_output, open_output, writing_to
from voxtrait.cli.progress import ProgressLine
from voxtrait.cli.sources import find_all
from voxtrait.errors import UsageError, VoxtraitError
from voxtrait.exports import EXPORTS, Writer, format_of, get_writer
from voxtrait.keyfile import read_keys

if TYPE_CHECKING:
    from voxtrait.audio import AudioSource
    from voxtrait.results import Prediction

__all__ = ["predict"]


def predict(
    context: typer.Context,
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
    model: ModelOption = DEFAULT_BUNDLE,
    segments: SegmentsOption = False,
    speakers: SpeakersOption = False,
    channel: ChannelOption = None,
    server: Annotated[
        str | None,
        typer.Option("--server", metavar="URL", help="Let a service of 'voxtrait serve' hear them."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file", metavar="FILE", help="The key of the service: the first line of a file."
        ),
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
      voxtrait predict debate.mkv -o debate.TextGrid
      cat call.ogg | voxtrait predict - --format json
      voxtrait predict talks/ --server http://127.0.0.1:8000
    """
    target = None if output is None or str(output) == "-" else output
    writer_type = get_writer(format_name or (target and format_of(target)) or "table")
    if target is not None:
        check_output(target)
    with ExitStack() as resources:
        sources = find_all(paths, resources)
        if not writer_type.holds_several:
            sources = _the_only(sources, writer_type.name)

        predict_many = _hearing(resources, context, server, api_key_file)
        encoding = None if writer_type.for_people else "utf-8"
        stream = resources.enter_context(open_output(target, appends=writer_type.appends, encoding=encoding))
        with writing_to(target):
            writer = writer_type(stream, segments=segments, speakers=speakers)
        progress = ProgressLine()
        answers = predict_many(
            progress.count(sources),
            channel=channel,
            segments=segments or writer_type.needs_timeline,
            speakers=speakers or writer_type.needs_timeline,
            tick=progress.heard,
        )
        failed, total = _write_all(cast("Generator[Prediction]", answers), writer, target, progress)
        if failed:
            say(f"{failed} of {total} {'file' if total == 1 else 'files'} failed.")
        if failed and not writer.holds_several:
            # Leaves no file, which would be taken for one of a recording without speech.
            raise typer.Exit(1)
    return 1 if failed else 0


def _hearing(
    resources: ExitStack, context: typer.Context, server: str | None, api_key_file: Path | None
) -> Callable[..., Iterator[Prediction]]:
    """Return the `predict_many` of a model here, or of a service: of its first model unless one is named.

    Raises:
        UsageError: ``usage`` for a key without a service, or an address or a key that is none.
        BundleError: if the model cannot be used.
        ServiceError: if the service does not answer.
        MissingExtraError: without the packages that a client needs.
    """
    model = context.params["model"]
    if server is None:
        if api_key_file is not None:
            raise UsageError("usage", "--api-key-file is for a service: give its address with --server.")
        from voxtrait.predictor import Predictor

        return Predictor(model).predict_many
    from voxtrait.client import Client

    key = None if api_key_file is None else read_keys(api_key_file)[0]
    client = resources.enter_context(Client(server, key=key))
    source = context.get_parameter_source("model")
    named = model if source is not None and source.name != "DEFAULT" else None
    # Whether the service answers, and has the model, is known before anything is written.
    return partial(client.predict_many, model=client.title(named))


def _the_only(sources: Iterator[AudioSource], format_name: str) -> Iterator[AudioSource]:
    """Return the only source.

    Raises:
        UsageError: ``usage`` if there are more.
    """
    first = list(islice(sources, 2))
    if len(first) > 1:
        raise UsageError(
            "usage",
            f"{format_name} holds one recording, and there are more: write them with --format jsonl "
            "--segments and make files of that with 'voxtrait convert', or use 'voxtrait annotate'.",
        )
    return iter(first)


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
                if answer.error is not None and writer.needs_timeline:
                    with progress.out_of_the_way():
                        complain(answer.error.message, answer.error.code)
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
