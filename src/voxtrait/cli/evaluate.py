"""``voxtrait evaluate``: a bundle's answers on labelled recordings, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from voxtrait.cli.arguments import BundleArgument, ManifestArgument
from voxtrait.cli.messages import say
from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.pages import show_table
from voxtrait.cli.progress import ProgressLine
from voxtrait.errors import require

__all__ = ["evaluate"]

_COLUMNS: Final = ("figure", "value", "95 % interval", "constant answer", "speakers")


def evaluate(
    bundle: BundleArgument,
    manifest: ManifestArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="By default evaluations/ and the name of the model."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Judge on this split; by default test if there is one, else all."),
    ] = None,
    merge_from: Annotated[
        float | None,
        typer.Option(metavar="YEARS", help="Take all age bands from this age on as one, as 50 does 50-plus."),
    ] = None,
    mistakes: Annotated[
        bool, typer.Option("--mistakes", help="Copy the worst mistakes out to FOLDER/mistakes.")
    ] = False,
) -> int:
    """Measure a model on labelled recordings, with 95 % intervals over speakers.

    Writes report.html, metrics.json and answers.parquet, and prints the figures. Needs pip install
    'voxtrait[report]'. Exit code: 0 if every recording was heard, 1 if some could not be.

    \b
    Example:
      voxtrait evaluate voxtrait-base corpus.parquet
      voxtrait evaluate runs/base/bundle corpus.parquet --split validation -o runs/base/evaluation
      voxtrait evaluate runs/bands/bundle corpus.parquet --merge-from 50 --mistakes
    """
    for module in ("polars", "matplotlib", "jinja2"):
        require(module, "report")

    from voxtrait.evaluation.report import PAGE, check_folder, write_evaluation
    from voxtrait.evaluation.run import run_evaluation
    from voxtrait.evaluation.wording import baseline_words, interval_words, shown
    from voxtrait.predictor import Predictor

    predictor = Predictor(bundle)
    folder = output or Path("evaluations") / predictor.bundle.card.name
    check_folder(folder, mistakes)
    evaluation = run_evaluation(predictor, manifest, split, merge_from, ProgressLine)
    write_evaluation(evaluation, folder, mistakes)
    rows = [
        {
            "figure": figure.name,
            "value": shown(figure.name, figure.value),
            "95 % interval": interval_words(figure),
            "constant answer": baseline_words(figure),
            "speakers": str(figure.speakers),
        }
        for figure in evaluation.figures
    ]
    with open_output(None) as stream, writing_to(None):
        show_table(stream, rows, _COLUMNS)
    say(f"Wrote {folder / PAGE}.")
    failed = len(evaluation.skipped)
    if failed:
        say(f"{failed} of {evaluation.answers.height} recordings could not be heard; the page lists them.")
    return 1 if failed else 0
