"""``voxtrait compare``: evaluations of several models side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from voxtrait.cli.messages import say
from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.pages import REPORT_FORMATS, as_json, check_format, show_table
from voxtrait.errors import require

if TYPE_CHECKING:
    from voxtrait.evaluation.compare import Comparison

__all__ = ["compare"]


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER",
            show_default=False,
            help="Two or more folders that voxtrait evaluate wrote; differences are to the first.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write compare.html and compare.svg there."),
    ] = None,
    format_name: Annotated[
        str, typer.Option("--format", "-f", metavar=REPORT_FORMATS, help="For people, or for programs.")
    ] = "table",
) -> int:
    """Compare models on the recordings that all of them answered.

    Differences are paired, with 95 % intervals over speakers; * marks one that excludes 0. Needs pip install
    'voxtrait[report]'.

    \b
    Example:
      voxtrait compare evaluations/voxtrait-base runs/mine/evaluation
      voxtrait compare runs/a/evaluation runs/b/evaluation -o comparison
      voxtrait compare runs/a/evaluation runs/b/evaluation --format json
    """
    check_format(format_name)
    for module in ("polars", "matplotlib", "jinja2"):
        require(module, "report")

    from voxtrait.evaluation.compare import compare_runs, load_run, write_comparison
    from voxtrait.evaluation.report import check_folder

    if output is not None:
        check_folder(output, copies=False)
    comparison = compare_runs([load_run(folder) for folder in runs])
    if output is not None:
        write_comparison(comparison, output)
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            stream.write(as_json(comparison.to_dict()))
        else:
            _show(stream, comparison)
    say(f"Compared on {comparison.recordings} recordings of {comparison.speakers} speakers.")
    for name, count in comparison.left_out.items():
        if count:
            say(f"{count} recordings of {name} were left out: not every run answered them.")
    if output is not None:
        say(f"Wrote {output / 'compare.html'}.")
    return 0


def _show(stream: TextIO, comparison: Comparison) -> None:
    names = [run.name for run in comparison.runs]
    show_table(stream, _rows(comparison), ("figure", *names))


def _rows(comparison: Comparison) -> Iterator[dict[str, str]]:
    from voxtrait.evaluation.wording import figure_words

    for name, figures in comparison.figures.items():
        yield {"figure": name, **{run: figure_words(figure) for run, figure in figures.items()}}
        gaps = comparison.differences[name]
        if gaps:
            words = {run: figure_words(gap.figure, signed=True) for run, gap in gaps.items()}
            marks = {run: " *" if gap.clear else "" for run, gap in gaps.items()}
            yield {"figure": "  difference", **{run: words[run] + marks[run] for run in gaps}}
    yield {"figure": "model", **{run.name: run.model for run in comparison.runs}}
    yield {"figure": "size", **{run.name: f"{run.megabytes:.1f} MB" for run in comparison.runs}}
    yield {
        "figure": "CPU time an hour of audio",
        **{run.name: f"{run.cost:.1f} s" for run in comparison.runs},
    }
