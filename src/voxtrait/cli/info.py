"""``voxtrait info``: the card of a bundle."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer
from rich.text import Text

from voxtrait.bundle import DEFAULT_BUNDLE
from voxtrait.cli.models import tasks_of
from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.pages import REPORT_FORMATS, as_json, check_format, show_table
from voxtrait.exports.screen import show
from voxtrait.exports.wording import percent

if TYPE_CHECKING:
    from voxtrait.bundle import Card, Corpus, Metric

__all__ = ["info"]

_WIDTH: Final = 100
_INDENT: Final = 12
_CORPUS_COLUMNS: Final = ("corpus", "licence", "speakers", "clips", "hours")
_METRIC_COLUMNS: Final = ("what", "on", "value", "95 % interval", "constant answer", "speakers")


def info(
    bundle: Annotated[
        str,
        typer.Argument(metavar="BUNDLE", help="A shipped name, a folder, a zip, or org/name on the hub."),
    ] = DEFAULT_BUNDLE,
    format_name: Annotated[
        str, typer.Option("--format", "-f", metavar=REPORT_FORMATS, help="For people, or the card as JSON.")
    ] = "table",
) -> int:
    """Say what a model is: licence, origin, training data, and how often it is right.

    \b
    Example:
      voxtrait info
      voxtrait info runs/base/bundle
      voxtrait info voxtrait-base --format json
    """
    check_format(format_name)

    from voxtrait.bundle import load_bundle

    card = load_bundle(bundle).card
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            stream.write(as_json(card.model_dump(mode="json")))
        else:
            _describe(stream, card)
    return 0


def _describe(stream: TextIO, card: Card) -> None:
    show(stream, Text(card.title, "bold"))
    for name, text in _facts(card):
        lines = [
            line
            for paragraph in text.splitlines()
            for line in textwrap.wrap(paragraph, _WIDTH - _INDENT) or [""]
        ]
        body = textwrap.indent("\n".join(lines), " " * _INDENT)[_INDENT:]
        show(stream, Text.assemble((f"{name:<{_INDENT}}", "bold"), body))
    if card.training.corpora:
        show(stream, "", Text("Trained on", "bold"))
        show_table(stream, map(_corpus_row, card.training.corpora), _CORPUS_COLUMNS)
    if card.metrics:
        show(stream, "", Text("Measured", "bold"))
        show_table(stream, map(_metric_row, card.metrics), _METRIC_COLUMNS)


def _facts(card: Card) -> Iterator[tuple[str, str]]:
    """Yield names and texts of what the card says, without its tables."""
    yield "is", card.description
    yield "tells", ", ".join(tasks_of(card))
    yield "licence", card.licence
    yield "origin", card.origin
    yield "created", card.created
    yield "size", f"{card.model_bytes / 1e6:.1f} MB, SHA-256 {card.sha256}"
    yield "hears", f"windows of {card.window:g} s of speech, at least {card.min_speech:g} s in all"
    if card.preprocess:
        yield "preprocess", ", ".join(card.preprocess)
    if card.gender is not None:
        yield "gender", f"female or male; unsure below {percent(card.gender.unsure_below)}"
    if card.age is not None:
        low, high = card.age.grid[0], card.age.grid[-1]
        yield "age", f"{low:g} to {high:g} years; the interval holds {percent(card.age.coverage)} of speakers"
    if card.training.splits:
        yield (
            "splits",
            ", ".join(
                f"{name} {size.speakers} speakers ({size.clips} clips)"
                for name, size in card.training.splits.items()
            ),
        )
    if card.training.notes:
        yield "notes", card.training.notes


def _corpus_row(corpus: Corpus) -> dict[str, str]:
    return {
        "corpus": corpus.name,
        "licence": corpus.licence,
        "speakers": str(corpus.speakers),
        "clips": str(corpus.clips),
        "hours": f"{corpus.hours:.1f}",
    }


def _metric_row(metric: Metric) -> dict[str, str]:
    low, high = metric.low, metric.high
    return {
        "what": metric.name,
        "on": metric.on,
        "value": f"{metric.value:.3f}",
        "95 % interval": "" if low is None or high is None else f"{low:.3f} – {high:.3f}",
        "constant answer": "" if metric.baseline is None else f"{metric.baseline:.3f}",
        "speakers": "" if metric.n is None else str(metric.n),
    }
