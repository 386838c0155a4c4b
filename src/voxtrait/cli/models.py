"""``voxtrait models``: the bundles that come with this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.pages import REPORT_FORMATS, as_json, check_format, show_table

if TYPE_CHECKING:
    from voxtrait.bundle import Card

__all__ = ["models", "tasks_of"]


def models(
    format_name: Annotated[
        str, typer.Option("--format", "-f", metavar=REPORT_FORMATS, help="A table, or JSON for programs.")
    ] = "table",
) -> int:
    """List the models that come with voxtrait.

    \b
    Example:
      voxtrait models
      voxtrait models --format json
    """
    check_format(format_name)

    from voxtrait.bundle import available_bundles, load_bundle

    rows = [_row(load_bundle(name).card) for name in available_bundles()]
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            stream.write(as_json(rows))
        else:
            show_table(stream, map(_readable, rows), ("name", "version", "size", "tasks", "licence"))
    return 0


def tasks_of(card: Card) -> list[str]:
    """Return what a model tells: "gender", "age", "speakers"."""
    sections = {"gender": card.gender, "age": card.age, "speakers": card.embedding}
    return [task for task, section in sections.items() if section is not None]


def _row(card: Card) -> dict[str, Any]:
    return {
        "name": card.name,
        "version": card.version,
        "size": card.model_bytes,
        "tasks": tasks_of(card),
        "licence": card.licence,
    }


def _readable(row: dict[str, Any]) -> dict[str, str]:
    return row | {"size": f"{row['size'] / 1e6:.1f} MB", "tasks": ", ".join(row["tasks"])}
