"""``voxtrait corpus audit``: what is wrong with a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer
from rich.text import Text

from voxtrait.cli.corpus.manifests import (
    FormatOption,
    ManifestArgument,
    check_manifest_output,
    load_manifest,
)
from voxtrait.cli.extras import importing
from voxtrait.cli.messages import say
from voxtrait.cli.output import check_output, open_output, writing_to
from voxtrait.cli.pages import as_json, check_format, show_table
from voxtrait.cli.progress import ProgressLine
from voxtrait.errors import UsageError
from voxtrait.exports.screen import show

if TYPE_CHECKING:
    import polars as pl

    from voxtrait.corpora.hearing import Hearing

__all__ = ["audit"]

_EXAMPLES: Final = 3
#: A Common Voice client_id has 128 characters.
_LONGEST_NAME: Final = 24


def audit(
    manifest: ManifestArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write every finding, as .csv or .parquet."),
    ] = None,
    drop: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a manifest without missing and corrupt files and copies."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Decode nothing: look for files, splits and labels alone.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes that decode; by default one a core.")
    ] = None,
    format_name: FormatOption = "table",
) -> int:
    """Look for missing, corrupt and doubled files, and for speakers that are not one. Needs voxtrait[report].

    Exit code: 0 if nothing was found, 1 if something was, 2 for wrong usage.

    \b
    Example:
      voxtrait corpus audit corpus.parquet
      voxtrait corpus audit corpus.parquet --quick --format json
      voxtrait corpus audit corpus.parquet -o findings.csv --drop clean.parquet --workers 8
    """
    check_format(format_name)
    if output is not None:
        if output.suffix not in (".csv", ".parquet"):
            raise UsageError("usage", f"Findings are written as .csv or .parquet, not as {output}.")
        check_output(output)
    if drop is not None:
        check_manifest_output(drop)
    with importing("report"):
        from voxtrait.corpora.audit import FINDINGS, QUICK_FINDINGS
        from voxtrait.corpora.audit import audit as find
    from voxtrait.predictor import usable_cores

    table = load_manifest(manifest)
    progress = ProgressLine()
    progress.expect(table.height)

    def tick(hearing: Hearing) -> None:
        progress.heard(hearing.duration)
        progress.file_done()

    with progress:
        found = find(table, workers or usable_cores(), quick=quick, tick=tick)
    _write(table, found, output, drop)
    kinds = QUICK_FINDINGS if quick else FINDINGS
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            counts = {kind: found.filter(kind=kind).height for kind in kinds}
            content = {"recordings": table.height, "counts": counts, "findings": found.to_dicts()}
            stream.write(as_json(content))
        else:
            _show(stream, found, kinds)
    return 1 if found.height else 0


def _write(table: pl.DataFrame, found: pl.DataFrame, output: Path | None, drop: Path | None) -> None:
    from voxtrait.corpora import write_manifest
    from voxtrait.corpora.audit import without_bad_files
    from voxtrait.corpora.outputs import written_whole

    if output is not None:
        with written_whole(output) as partial:
            (found.write_csv if output.suffix == ".csv" else found.write_parquet)(partial)
    if drop is not None:
        kept = without_bad_files(table, found)
        write_manifest(kept, drop)
        say(f"{kept.height:,} of {table.height:,} recordings stay, in {drop}.")


def _show(stream: TextIO, found: pl.DataFrame, kinds: dict[str, str]) -> None:
    rows = []
    for kind, meaning in kinds.items():
        part = found.filter(kind=kind)
        speakers = part["speaker"].n_unique()
        rows.append(
            {"finding": kind, "number": f"{part.height:,}", "speakers": f"{speakers:,}", "meaning": meaning}
        )
    show_table(stream, rows, ("finding", "number", "speakers", "meaning"))
    for kind in found["kind"].unique(maintain_order=True):
        part = found.filter(kind=kind)
        more = f" (the first {_EXAMPLES} of {part.height:,})" if part.height > _EXAMPLES else ""
        show(stream, "", Text(kind + more, "bold"))
        for path, other, speaker, detail in part[:_EXAMPLES].drop("kind").iter_rows():
            show(stream, Text(f"  {path}\n    speaker {_short(speaker)}: {detail}"))
            if other is not None:
                show(stream, Text(f"    the other: {other}"))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
