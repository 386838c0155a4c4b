"""``voxtrait corpus``: from recordings to a Manifest that a model can be trained on; one file a command."""

from __future__ import annotations

import typer

from voxtrait.cli.corpus.audit import audit
from voxtrait.cli.corpus.balance import balance
from voxtrait.cli.corpus.features import features
from voxtrait.cli.corpus.import_ import import_corpus
from voxtrait.cli.corpus.split import split
from voxtrait.cli.corpus.stats import stats

__all__ = ["corpus"]

corpus = typer.Typer(
    name="corpus",
    help="Import, describe, divide, balance and check corpora, and store their features.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

corpus.command("features")(features)
corpus.command("import")(import_corpus)
for command in (stats, split, balance, audit):
    corpus.command()(command)
