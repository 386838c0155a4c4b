"""``voxtrait corpus stats``: what is in a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer
from rich.text import Text

from voxtrait.cli.corpus.manifests import FormatOption, ManifestArgument, load_manifest
from voxtrait.cli.extras import importing
from voxtrait.cli.messages import say
from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.pages import as_json, check_format, show_table
from voxtrait.exports.screen import show

if TYPE_CHECKING:
    import polars as pl

    from voxtrait.corpora.stats import CorpusStats

__all__ = ["stats"]

#: Locales in the table; all are in the JSON.
_LOCALES: Final = 20


def stats(
    manifest: ManifestArgument,
    format_name: FormatOption = "table",
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="FOLDER", help="Draw the counts, as PNG files in here.")
    ] = None,
) -> int:
    """Count recordings, speakers and hours by gender, age group, locale and split. Needs voxtrait[report].

    \b
    Example:
      voxtrait corpus stats corpus.parquet
      voxtrait corpus stats cv-corpus-17.0-2024-03-15/fr --format json
      voxtrait corpus stats corpus.parquet --plots pictures
    """
    check_format(format_name)
    with importing("report"):
        from voxtrait.corpora.plots import plot_stats
        from voxtrait.corpora.stats import describe

    found = describe(load_manifest(manifest))
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            stream.write(as_json(found.to_dict()))
        else:
            _show(stream, found)
    if plots is not None:
        for file in plot_stats(found, plots):
            say(f"drawn: {file}")
    return 0


def _show(stream: TextIO, found: CorpusStats) -> None:
    hours = "no durations are known" if found.hours is None else f"{found.hours:,.2f} h"
    unknown = found.without_duration if found.hours is not None else 0
    more = f" (and {unknown:,} recordings of unknown duration)" if unknown else ""
    heading = f"{found.recordings:,} recordings of {found.speakers:,} speakers, {hours}{more}"
    show(stream, Text(heading, "bold"), "", Text("Recordings (speakers) by age group and gender", "bold"))
    _show_cells(stream, found.cells)
    for name, table, most in (
        ("locale", found.locales, _LOCALES),
        ("corpus", found.corpora, None),
        ("split", found.splits, None),
    ):
        if not table["name"].is_null().all():
            show(stream, "", Text(f"By {name}", "bold"))
            _show_groups(stream, name, table, most)
    clips = ", ".join(f"{name} {value:g}" for name, value in found.clips.items())
    show(stream, "", Text.assemble(("Recordings a speaker: ", "bold"), clips))
    if found.hours is not None:
        show(stream, "", Text("By duration", "bold"))
        rows = found.duration_bins.iter_rows()
        names = [(f"{low} s and more" if high is None else f"{low} to {high} s", n) for low, high, n in rows]
        show_table(
            stream,
            [{"duration": name, "recordings": f"{n:,}"} for name, n in names],
            ("duration", "recordings"),
        )


def _show_cells(stream: TextIO, cells: pl.DataFrame) -> None:
    from voxtrait.labels import AGE_GROUPS, GENDERS

    counts = {(gender, group): rest for gender, group, *rest in cells.iter_rows()}
    genders = [gender for gender in (*GENDERS, None) if any(key[0] == gender for key in counts)]
    rows = []
    for group in (*AGE_GROUPS, None):
        row = {"age": group or "unknown"}
        for gender in genders:
            if (gender, group) in counts:
                recordings, speakers, hours = counts[gender, group]
                length = "" if hours is None else f", {hours:,.2f} h"
                row[gender or "gender unknown"] = f"{recordings:,} ({speakers:,}){length}"
        if len(row) > 1:
            rows.append(row)
    show_table(stream, rows, ("age", *(gender or "gender unknown" for gender in genders)))


def _show_groups(stream: TextIO, name: str, table: pl.DataFrame, most: int | None) -> None:
    rows = []
    for key, *counts, hours in table[:most].iter_rows():
        named = dict(
            zip(("recordings", "speakers", "female", "male"), (f"{n:,}" for n in counts), strict=True)
        )
        rows.append({name: key or "unknown", **named, "hours": "" if hours is None else f"{hours:,.2f}"})
    columns = [name, "recordings", "speakers", "female", "male"]
    show_table(stream, rows, [*columns, "hours"] if any(row["hours"] for row in rows) else columns)
    if table.height > len(rows):
        show(stream, f"and {table.height - len(rows)} more")
