"""``voxtrait corpus split``: speakers divided between training, validation and test."""

from __future__ import annotations

from typing import Annotated

import typer

from voxtrait.cli.corpus.manifests import (
    FormatOption,
    ManifestArgument,
    OutputOption,
    check_manifest_output,
    load_manifest,
)
from voxtrait.cli.extras import importing
from voxtrait.cli.messages import say
from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.pages import as_json, check_format, show_table
from voxtrait.errors import UsageError

__all__ = ["split"]

_SHARES = "train=0.8,validation=0.1,test=0.1"
_COLUMNS = ("split", "recordings", "speakers", "female", "male")


def split(
    manifest: ManifestArgument,
    output: OutputOption,
    shares: Annotated[
        str | None,
        typer.Option(metavar="NAME=SHARE,...", help=f"Shares of the speakers; by default {_SHARES}."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Another seed gives another split; by default 0.")
    ] = None,
    official: Annotated[
        bool,
        typer.Option("--official", help="Keep the corpus's own splits; refuse them if they share a speaker."),
    ] = False,
    format_name: FormatOption = "table",
) -> int:
    """Divide speakers between splits, alike in gender, age group and corpus. Needs voxtrait[report].

    No speaker stands in two splits. Prints what each split holds (female and male are speakers).

    \b
    Example:
      voxtrait corpus split corpus.parquet -o split.parquet
      voxtrait corpus split corpus.parquet --shares train=0.7,test=0.3 --seed 5 -o split.parquet
      voxtrait corpus split cv-corpus-17.0-2024-03-15/fr --official -o french.parquet
    """
    check_format(format_name)
    if official and (shares is not None or seed is not None):
        raise UsageError(
            "usage", "--official keeps the splits that are there: give no --shares and no --seed."
        )
    wanted = _parse(shares or _SHARES)
    check_manifest_output(output)
    with importing("report"):
        from voxtrait.corpora import assign_splits, check_official, split_warnings, write_manifest
        from voxtrait.corpora.stats import describe

    table = load_manifest(manifest, official_splits=official)
    if official:
        check_official(table)
    else:
        table = assign_splits(table, wanted, seed or 0)
    write_manifest(table, output)
    for warning in split_warnings(table):
        say(warning)
    rows = describe(table).splits.drop("hours").rename({"name": "split"}).to_dicts()
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            stream.write(as_json(rows))
        else:
            named = [
                {name: f"{value or 0:,}" for name, value in row.items() if name != "split"} for row in rows
            ]
            for row, words in zip(rows, named, strict=True):
                words["split"] = row["split"] or "none"
            show_table(stream, named, _COLUMNS)
    return 0


def _parse(text: str) -> dict[str, float]:
    """Return split name -> share.

    Raises:
        UsageError: ``usage`` if the text is no such list.
    """
    shares = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            shares[name.strip()] = float(number)
        except ValueError as error:
            raise UsageError("usage", f"--shares is written like {_SHARES}, not {text!a}.") from error
    return shares
