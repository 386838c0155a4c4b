"""Pages about models: tables and paragraphs for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from voxtrait.errors import UsageError
from voxtrait.exports.screen import show

__all__ = ["REPORT_FORMATS", "as_json", "check_format", "show_table"]

REPORT_FORMATS: Final = "[table|json]"


def check_format(name: str) -> None:
    """Raise if a page has no such format.

    Raises:
        UsageError: ``usage``.
    """
    if name not in ("table", "json"):
        raise UsageError("usage", f"There is no format {name!a} here: give table or json.")


def as_json(content: Any) -> str:
    """Return indented JSON that every encoding can carry."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def show_table(stream: TextIO, rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> None:
    """Print rows; a column that a row lacks stays empty."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row.get(column, "")) for column in columns))
    show(stream, table)
