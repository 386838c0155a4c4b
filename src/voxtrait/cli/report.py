"""``voxtrait report``: who speaks in an archive, and how sure that is."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer
from rich.text import Text

from voxtrait.cli.extras import importing
from voxtrait.cli.messages import say
from voxtrait.cli.output import check_output, open_output, writing_to
from voxtrait.cli.pages import as_json, show_table
from voxtrait.errors import UsageError, require
from voxtrait.exports.screen import show
from voxtrait.exports.wording import printable

if TYPE_CHECKING:
    import polars as pl

    from voxtrait.summaries import DayColumn, DayPattern, Summary

__all__ = ["report"]

_FORMATS: Final = ("table", "json", "csv")
_BY: Final = ("file", "folder", "day")
#: Rows of a breakdown that a table for people shows.
_MOST: Final = 20
#: Rows that are turned into text at once.
_SLICE: Final = 10_000


def report(
    dataset: Annotated[Path, typer.Argument(metavar="OUT", help="The folder that voxtrait annotate wrote.")],
    format_name: Annotated[
        str, typer.Option("--format", "-f", metavar="[table|json|csv]", help="For people, or for programs.")
    ] = "table",
    by: Annotated[
        str | None,
        typer.Option(
            metavar="[file|folder|day]", help="Of the breakdown; by default day if known, or folder."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PAGE", help="Write a page (HTML), too.")
    ] = None,
    day_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="Finds the day in names: one group, or groups year, month and day."
        ),
    ] = None,
    day_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Holds the day: modified, or a column of --table.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet with the columns file and COLUMN.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="What annotated, if it did not come with voxtrait.")
    ] = None,
) -> int:
    """Sum up who speaks in an archive: women and men, by age, folder and day, with 95 % intervals.

    Needs pip install 'voxtrait[report]'.

    \b
    Example:
      voxtrait report answers/
      voxtrait report answers/ -o archive.html --day-pattern '_(\\d{8})_'
      voxtrait report answers/ --table programmes.csv --day-column aired --by day --format csv
    """
    _check(format_name, by, day_pattern, day_column, table)
    if output is not None:
        check_output(output)
    for module in ("polars", "pyarrow", "scipy", "matplotlib", "jinja2"):
        require(module, "report")
    with importing("report"):
        from voxtrait.batch import Dataset
        from voxtrait.summaries import card_of, summarise

        days = _days(day_pattern, day_column, table)
        source = Dataset(dataset)
        card = card_of(source, model)
        summary = summarise(source, card, days)
        if output is not None:
            from voxtrait.summaries.page import summary_page

            page = summary_page(summary, card)
            with open_output(output) as stream, writing_to(output):
                stream.write(page)
    with open_output(None) as stream, writing_to(None):
        _write(stream, summary, by or ("day" if days else "folder"), format_name)
    if output is not None:
        say(f"Wrote {output}.")
    return 0


def _check(
    format_name: str, by: str | None, day_pattern: str | None, day_column: str | None, table: Path | None
) -> None:
    if format_name not in _FORMATS:
        raise UsageError("usage", f"There is no format {format_name!a} here: give table, json or csv.")
    if by is not None and by not in _BY:
        raise UsageError("usage", f"--by {by!a} is no breakdown: give file, folder or day.")
    if day_pattern is not None and day_column is not None:
        raise UsageError("usage", "Give --day-pattern or --day-column, not both.")
    if table is not None and day_column is None:
        raise UsageError("usage", f"--table {table} needs --day-column: the column that holds the day.")
    if by == "day" and day_pattern is None and day_column is None:
        raise UsageError("usage", "--by day needs --day-pattern or --day-column.")


def _days(pattern: str | None, column: str | None, table: Path | None) -> DayPattern | DayColumn | None:
    from voxtrait.summaries import DayColumn, DayPattern

    if pattern is not None:
        return DayPattern(pattern)
    return None if column is None else DayColumn(column, table)


def _write(stream: TextIO, summary: Summary, by: str, format_name: str) -> None:
    rows = summary.rows(by)
    if format_name == "table":
        _show(stream, summary, by, rows)
    elif format_name == "json":
        head = as_json({**summary.to_dict(), "by": by}).removesuffix("\n}\n")
        # A line a row: a million of them are never one text.
        stream.write(f'{head},\n  "rows": [')
        for number, row in enumerate(_plain(rows)):
            stream.write(f"{',' if number else ''}\n    {json.dumps(row, allow_nan=False)}")
        stream.write("\n  ]\n}\n")
    else:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows.columns)
        writer.writerows(row.values() for row in _plain(rows))


def _plain(rows: pl.DataFrame) -> Iterator[dict[str, Any]]:
    for part in rows.iter_slices(_SLICE):
        for row in part.iter_rows(named=True):
            yield {
                name: round(value, 4) if isinstance(value, float) else str(value) if name == "day" else value
                for name, value in row.items()
            }


def _show(stream: TextIO, summary: Summary, by: str, rows: pl.DataFrame) -> None:
    from voxtrait.summaries.words import headline, hours, included, interval, percent

    if summary.gender is not None:
        show(stream, Text(headline(summary), "bold"))
        if text := included(summary):
            show(stream, text)
    for note in summary.notes:
        show(stream, note)
    show(stream, "")
    files, seconds = summary.statuses, summary.seconds
    facts = {
        "files": f"{len(summary.files)}: {files['ok']} with speech, {files['no_speech']} without, "
        f"{files['error']} not readable",
        "audio": hours(seconds["audio"]),
        "speech": f"{hours(seconds['speech'])}, of it {hours(seconds['unanswered'])} without an answer",
        "model": f"{summary.model}, SHA-256 {summary.bundle[:12]}",
    }
    if summary.gender is not None:
        labels = ", ".join(f"{name} {hours(seconds[name])}" for name in ("female", "male", "unsure"))
        facts["labels"] = f"{labels}; women {percent(summary.gender.labelled) or 'none'} of what is decided"
        expected = summary.gender.expected
        facts["probability"] = (
            f"women {percent(expected.value)} ({interval(expected) or 'no interval'}, files alone)"
        )
    show_table(stream, ({"what": name, "": text} for name, text in facts.items()), ("what", ""))
    if summary.ages:
        ages = (
            {"age group": name, "share of speech": percent(share.value), "95 % interval": interval(share)}
            for name, share in summary.ages.items()
        )
        show(stream, "")
        show_table(stream, ages, ("age group", "share of speech", "95 % interval"))
    show(stream, "")
    _show_rows(stream, by, rows)


def _show_rows(stream: TextIO, by: str, rows: pl.DataFrame) -> None:
    from voxtrait.summaries.words import between, hours, percent

    top = rows.sort("heard", descending=True, maintain_order=True).head(_MOST)
    found: Iterable[dict[str, Any]] = (top.sort(by) if by == "day" else top).iter_rows(named=True)
    cells = (
        {
            by: printable(str(row[by])),
            "files": str(row["files"]),
            "speech": hours(row["heard"]),
            "women": percent(row["expected"] if by == "file" else row["share"]),
            "95 % interval": between(row["low"], row["high"]),
        }
        for row in found
    )
    show_table(stream, cells, (by, "files", "speech", "women", "95 % interval"))
    if len(rows) > _MOST:
        show(stream, f"{_MOST} of {len(rows)}, those with most speech; --format csv has all.")
