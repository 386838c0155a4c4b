"""The page of a summary: one HTML file that needs nothing else."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import voxtrait.evaluation
from voxtrait.bundle import Card
from voxtrait.evaluation.plots import plain_style
from voxtrait.evaluation.report import Picture, picture
from voxtrait.labels import AGE_GROUPS
from voxtrait.summaries.plots import folder_plot, pyramid_plot, time_plot
from voxtrait.summaries.summary import Summary
from voxtrait.summaries.words import between, headline, hours, included, interval, percent

__all__ = ["summary_page"]

#: Rows of a table: a page of a million rows opens nowhere.
_ROWS: Final = 300
_FOLDERS: Final = 25
#: Days that a line still shows one by one.
_DAYS: Final = 800


def summary_page(summary: Summary, card: Card | None) -> str:
    """Return the page as HTML.

    Args:
        summary: what to show.
        card: of the model; None if not known.
    """
    environment = Environment(
        loader=FileSystemLoader([_pages(__file__), _pages(voxtrait.evaluation.__file__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(hours=hours, percent=percent, interval=interval, between=between)
    return environment.get_template("summary.html").render(_content(summary, card))


def _pages(module: str) -> Path:
    return Path(module).parent / "page"


def _content(summary: Summary, card: Card | None) -> dict[str, Any]:
    folders = summary.rows("folder").sort("heard", descending=True, maintain_order=True)
    days = summary.rows("day") if summary.has_days else None
    files = summary.files.select(
        pl.col("file"), pl.col("heard", "female", "male", "unsure", "speech", "status")
    )
    return {
        "summary": summary,
        "card": card,
        "headline": headline(summary),
        "included": included(summary),
        "groups": _group_names(),
        "pictures": _pictures(summary, folders, days),
        "folders": folders.head(_ROWS).to_dicts(),
        "folder_count": len(folders),
        "days": [] if days is None else days.tail(_ROWS).to_dicts(),
        "day_count": 0 if days is None else len(days),
        "files": files.sort("heard", "file", descending=[True, False]).head(_ROWS).to_dicts(),
        "today": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _group_names() -> dict[str, str]:
    years = {name: f"{first} to {last}" for name, (first, last) in AGE_GROUPS.items()}
    return years | {"child": "under 13", "eighties": "80 and over"}


def _pictures(summary: Summary, folders: pl.DataFrame, days: pl.DataFrame | None) -> dict[str, Picture]:
    pictures = {}
    with plain_style():
        if summary.ages:
            pictures["ages"] = picture(
                pyramid_plot(summary),
                "Share of all speech by age group and gender, by the probabilities of the answers. Read it "
                "with the intervals in the table: the answers draw everybody to the middle.",
            )
        if summary.gender is None:
            return pictures
        if days is not None and len(days) > 1:
            by = "day" if len(days) <= _DAYS else "month"
            rows = days if by == "day" else summary.rows("month")
            pictures["days"] = picture(
                time_plot(rows, by),
                f"Share of women's speech by {by}, with the band of its 95 % interval; none where a "
                f"{by} has too few files.",
            )
        if len(folders) > 1:
            pictures["folders"] = picture(
                folder_plot(folders.head(_FOLDERS)),
                f"Share of women's speech by folder, with 95 % intervals; the "
                f"{min(_FOLDERS, len(folders))} with most speech, most first.",
            )
    return pictures
