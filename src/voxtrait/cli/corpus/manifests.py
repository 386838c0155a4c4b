"""What the commands of ``voxtrait corpus`` read and write: manifests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxtrait.cli.messages import say
from voxtrait.cli.output import check_output
from voxtrait.cli.pages import REPORT_FORMATS
from voxtrait.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FormatOption", "ManifestArgument", "OutputOption", "check_manifest_output", "load_manifest"]

ManifestArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST", help="As voxtrait corpus import writes it; or a corpus that it could read."
    ),
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The new manifest, a .parquet file.")
]
FormatOption = Annotated[
    str, typer.Option("--format", "-f", metavar=REPORT_FORMATS, help="For people, or as JSON.")
]


def load_manifest(source: Path, *, official_splits: bool = False) -> pl.DataFrame:
    """Read a manifest, or a corpus that becomes one; say what was not understood on the way.

    Raises:
        CorpusError: if it cannot be read.
    """
    from voxtrait.corpora import ImportCounts, read_corpus

    counts = ImportCounts()
    manifest = read_corpus(source, counts, official_splits=official_splits)
    for what, unknown in (("genders", counts.unknown_genders), ("ages", counts.unknown_ages)):
        if unknown:
            words = ", ".join(f"{word!a} {rows}" for word, rows in unknown.items())
            say(f"{what} not understood and left empty (recordings): {words}")
    for warning in counts.warnings:
        say(warning)
    return manifest


def check_manifest_output(path: Path) -> None:
    """Find out before the work whether a manifest can be written.

    Raises:
        UsageError: ``usage`` if it would not be named as Parquet, ``output`` if it cannot be written.
    """
    if path.suffix != ".parquet":
        raise UsageError("usage", f"A manifest is a Parquet file: name it {path.stem}.parquet, not {path}.")
    check_output(path)
