"""``voxtrait serve``: the service and its page."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from voxtrait.bundle import DEFAULT_BUNDLE
from voxtrait.cli.messages import say
from voxtrait.errors import UsageError, require

__all__ = ["serve"]


def serve(
    host: Annotated[
        str,
        typer.Option(envvar="VOXTRAIT_HOST", help="Address to listen on; 0.0.0.0 is all of this machine's."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="VOXTRAIT_PORT", help="Port; 0 is any that is free.")
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", envvar="VOXTRAIT_WORKERS", help="Processes that hear; by default one a core."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="BUNDLE",
            envvar="VOXTRAIT_MODEL",
            help=f"A model to answer with, by default {DEFAULT_BUNDLE}; may be given more than once, and "
            "the first answers who names none.",
        ),
    ] = None,
    max_upload: Annotated[
        int,
        typer.Option(
            min=1, metavar="MB", envvar="VOXTRAIT_MAX_UPLOAD", help="Largest recording in megabytes."
        ),
    ] = 512,
    max_duration: Annotated[
        float,
        typer.Option(
            min=1.0,
            metavar="SECONDS",
            envvar="VOXTRAIT_MAX_DURATION",
            help="Longest recording, or live stream.",
        ),
    ] = 14_400.0,
    keep_results: Annotated[
        float,
        typer.Option(
            min=1.0,
            metavar="SECONDS",
            envvar="VOXTRAIT_KEEP_RESULTS",
            help="How long the result of a job is kept.",
        ),
    ] = 3600.0,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            envvar="VOXTRAIT_CORS",
            help="A web origin whose pages may call the service, such as https://example.org; may be given "
            "more than once.",
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="VOXTRAIT_API_KEY_FILE",
            help="Ask for a key: a file with a key a line.",
        ),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(
            metavar="[debug|info|warning|error]",
            envvar="VOXTRAIT_LOG_LEVEL",
            help="How much is logged, as JSON on stderr.",
        ),
    ] = "info",
) -> int:
    """Serve gender and age over HTTP, for live streams, and on a page for people.

    Every option can be given by the environment too: VOXTRAIT_PORT is --port. Jobs are kept in a SQLite file
    of the user's, or where VOXTRAIT_DATABASE_URL says (sqlite:///FILE, postgresql://USER@HOST/NAME).

    \b
    Example:
      voxtrait serve
      voxtrait serve --host 0.0.0.0 --port 80 --api-key-file keys.txt
      voxtrait serve --workers 4 --max-upload 100 --max-duration 3600 --cors https://example.org
    """
    if log_level not in ("debug", "info", "warning", "error"):
        raise UsageError("usage", f"There is no log level {log_level!a}: give debug, info, warning or error.")
    for module in ("fastapi", "uvicorn", "sqlalchemy", "prometheus_client"):
        require(module, "serve")
    from voxtrait.predictor import usable_cores
    from voxtrait.service.observe import log_always
    from voxtrait.service.server import serve as run
    from voxtrait.service.settings import MIB, Settings, default_database

    settings = Settings(
        host=host,
        port=port,
        workers=workers or usable_cores(),
        models=tuple(model or (DEFAULT_BUNDLE,)),
        max_upload=max_upload * MIB,
        max_duration=max_duration,
        keep_results=keep_results,
        cors=tuple(cors or ()),
        api_key_file=api_key_file,
        database_url=os.environ.get("VOXTRAIT_DATABASE_URL") or default_database(),
        log_level=log_level,
    )
    # A person reads a line; what reads a log wants nothing but JSON in it.
    tell = say if sys.stderr.isatty() else log_always
    run(settings, lambda address: tell(f"voxtrait listens on {address} - open it in a browser."))
    return 0
