"""The command line: ``voxtrait`` and ``python -m voxtrait``; one file a command.

Results go to stdout, everything else to stderr. A command imports what is heavy when it runs, so that
``voxtrait --help`` answers at once.

Exit codes:

====  =====================================================================
0     every file was handled: predicted, or found to hold no speech
1     some file failed, the others were handled; corpus audit: a finding
2     wrong usage: an unknown option, model or format, nothing to work on
70    a fault of voxtrait itself
130   interrupted (Ctrl-C); what was written so far stands
141   whoever read the output went away
143   ended by SIGTERM, for annotate; what was written so far stands
====  =====================================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from voxtrait import __version__
from voxtrait.cli import (
    annotate,
    compare,
    convert,
    embed,
    evaluate,
    info,
    models,
    predict,
    publish,
    report,
    serve,
    train,
)
from voxtrait.cli.corpus import corpus
from voxtrait.cli.messages import abandon_output, complain, flush_output, report_fault
from voxtrait.cli.systems import systems
from voxtrait.cli.termination import Terminated
from voxtrait.errors import VoxtraitError

__all__ = ["app", "main"]

USAGE, FAULT, INTERRUPTED, READER_GONE, TERMINATED = 2, 70, 130, 141, 143

app = typer.Typer(
    name="voxtrait",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    predict.predict,
    annotate.annotate,
    convert.convert,
    report.report,
    serve.serve,
    models.models,
    info.info,
    train.train,
    evaluate.evaluate,
    compare.compare,
    embed.embed,
    publish.publish,
):
    app.command()(command)
app.add_typer(corpus)
app.add_typer(systems)


def main() -> None:
    """Run the command line of this process and exit."""
    code = run(sys.argv[1:])
    if code in (INTERRUPTED, TERMINATED):
        # A thread may still be reading: do not wait for it.
        flush_output()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; no exception leaves."""
    try:
        return _dispatch(arguments)
    except BrokenPipeError:
        abandon_output()
        return READER_GONE
    except Terminated:
        complain("Terminated.")
        return TERMINATED
    except KeyboardInterrupt:
        complain("Interrupted.")
        return INTERRUPTED
    except VoxtraitError as error:
        complain(error.message, error.code)
        return USAGE
    except Exception as error:
        report_fault(error)
        abandon_output()
        return FAULT


def _dispatch(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    # Not command.main(): it would print its own boxes and swallow Ctrl-C and broken pipes.
    try:
        with command.make_context("voxtrait", list(arguments)) as context:
            code = command.invoke(context)
    except typer.Exit as stop:
        code = stop.exit_code
    except Exception as error:
        # The base of parser errors has moved between versions of typer.
        if not hasattr(error, "format_message"):
            raise
        place = getattr(error, "ctx", None)
        path = place.command_path if place else "voxtrait"
        complain(f"{error.format_message().rstrip('.')}; see: {path} --help", "usage")
        return USAGE
    flush_output()
    return int(code or 0)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"voxtrait {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def voxtrait(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Gender and age of speakers from voice recordings, on this machine alone.

    \b
    Example:
      voxtrait predict interview.mp3
      voxtrait predict --help
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE)
