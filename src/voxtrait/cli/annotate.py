"""``voxtrait annotate``: every recording of an archive into a data set."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from voxtrait.bundle import DEFAULT_BUNDLE
from voxtrait.cli.messages import say
from voxtrait.cli.options import ChannelOption, ModelOption, SegmentsOption, SpeakersOption
from voxtrait.cli.pace import Pace
from voxtrait.cli.termination import ending_in_order
from voxtrait.errors import UsageError

__all__ = ["annotate"]


def annotate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            show_default=False,
            help="Recordings, folders, globs, tar shards, manifests (.parquet), addresses such as "
            "s3://bucket/talks; - is a list of these on stdin, one a line.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="The data set; a run on one that is there goes on."
        ),
    ],
    model: ModelOption = DEFAULT_BUNDLE,
    segments: SegmentsOption = False,
    speakers: SpeakersOption = False,
    channel: ChannelOption = None,
    parts: Annotated[
        str, typer.Option(metavar="[parquet|jsonl|csv]", help="What kind of files the data set is made of.")
    ] = "parquet",
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="Also write a document a file, as 'voxtrait convert' does; may be given more than once.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="[local|ray]", help="Processes of this machine, or a Ray cluster.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes; by default one a core.")
    ] = None,
    time_limit: Annotated[
        float,
        typer.Option(min=1.0, metavar="SECONDS", help="Give a file up after so long without headway."),
    ] = 120.0,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Hear the files again that have an error.")
    ] = False,
    json_progress: Annotated[
        bool, typer.Option("--json-progress", help="Print progress on stderr as a JSON object a line.")
    ] = False,
) -> int:
    """Tell gender and age in every recording of an archive, into a Parquet data set.

    A run that was stopped or killed goes on where it was when the command is given again; a run on a grown
    archive hears what is new or changed. A file that cannot be heard is a row that says why. Exit code: 0
    if every file was handled, 1 if some failed, 2 for wrong usage, 143 after SIGTERM.

    \b
    Example:
      voxtrait annotate archive/ -o archive.voices
      voxtrait annotate "shards/*.tar" -o shards.voices --segments --speakers
      voxtrait annotate corpus.parquet -o corpus.voices --retry-errors
      find /radio -name "*.mp3" | voxtrait annotate - -o radio.voices --format rttm
      voxtrait annotate s3://bucket/talks -o talks.voices --engine ray
    """
    from voxtrait.batch.annotate import annotate as run

    lines: Iterable[str] = ()
    if "-" in inputs:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("usage", "Nothing is piped into 'voxtrait annotate -'; name an INPUT instead.")
        sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        lines = sys.stdin
    with ending_in_order(), Pace(inputs, as_json=json_progress) as pace:
        progress = run(
            inputs,
            output,
            model=model,
            segments=segments,
            speakers=speakers,
            channel=channel,
            parts=parts,
            formats=formats or (),
            engine=engine,
            workers=workers,
            time_limit=time_limit,
            retry_errors=retry_errors,
            lines=lines,
            watch=pace.show,
        )
        pace.end(progress)
    say(pace.summary(progress, output))
    return 1 if progress.failed else 0
