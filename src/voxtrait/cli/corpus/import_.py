"""``voxtrait corpus import``: recordings and their labels, however they lie, become one Manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from voxtrait.cli.extras import importing
from voxtrait.cli.messages import say
from voxtrait.cli.output import check_output, open_output, writing_to
from voxtrait.cli.pages import as_json
from voxtrait.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from voxtrait.corpora import ImportCounts

__all__ = ["import_corpus"]

#: Spellings, and missing files, that are said; all of them stand in the report.
_SPELLINGS: Final = 10
_FILES: Final = 3


def import_corpus(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SOURCE...", help="A folder, a .tar or .tar.gz, or a .csv, .tsv or .parquet."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MANIFEST", help="The manifest, a .parquet file.")
    ],
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="OURS=THEIRS", help="A table's name for a column; repeatable."),
    ] = None,
    official_splits: Annotated[
        bool,
        typer.Option("--official-splits", help="Keep the corpus's own train, validation (dev) and test."),
    ] = False,
) -> int:
    """Make a manifest of a corpus that is on disk. Needs pip install 'voxtrait[report]'.

    Knows Common Voice (its folders, its archives as they were downloaded, its old CSV layout), folders
    named by gender or age, and tables with the columns path, speaker, gender, age, locale, split, or
    others that --column names. Labels that are not understood are left empty, counted, and kept in
    MANIFEST.import.json. Prints the manifest's path.

    \b
    Example:
      voxtrait corpus import cv-corpus-17.0-2024-03-15-en.tar.gz -o corpus.parquet
      voxtrait corpus import cv-corpus-17.0/en ours/speakers.csv -o corpus.parquet
      voxtrait corpus import speakers.csv --column path=file --column gender=sex -o corpus.parquet
      voxtrait corpus import cv-corpus-17.0/en --official-splits -o corpus.parquet
    """
    if output.suffix != ".parquet":
        raise UsageError("usage", f"-o {output} must end in .parquet: a manifest is a Parquet file.")
    check_output(output)
    with importing("report"):
        from voxtrait.audio.archives import archive_stem
        from voxtrait.corpora import ImportCounts, import_corpora, write_manifest
        from voxtrait.corpora.tables import COLUMNS

        renamed = _renamed(columns or (), COLUMNS)
        for source in sources:
            if archive_stem(source.name) and source.is_file():
                say(f"reading through {source} once ({source.stat().st_size / 1e9:.1f} GB)")
        counts = ImportCounts()
        manifest = import_corpora(sources, counts, columns=renamed, official_splits=official_splits)
        write_manifest(manifest, output)
    report = output.with_name(f"{output.name}.import.json")
    with open_output(report) as stream, writing_to(report):
        stream.write(as_json(_report(sources, counts)))
    _summarise(manifest, counts, report)
    with open_output(None) as stream, writing_to(None):
        stream.write(f"{output}\n")
    return 0


def _renamed(given: Sequence[str], ours: Sequence[str]) -> dict[str, str]:
    """Return our name -> the table's.

    Raises:
        UsageError: ``usage`` for a name of ours that does not exist, or that is given twice.
    """
    renamed: dict[str, str] = {}
    for pair in given:
        name, _, theirs = pair.partition("=")
        if name not in ours or not theirs:
            raise UsageError(
                "usage", f"--column {pair} should read OURS=THEIRS, where OURS is one of {', '.join(ours)}."
            )
        if name in renamed:
            raise UsageError("usage", f"--column names {name} twice: {renamed[name]} and {theirs}.")
        renamed[name] = theirs
    return renamed


def _report(sources: Sequence[Path], counts: ImportCounts) -> dict[str, object]:
    return {
        "sources": [str(source.resolve()) for source in sources],
        "rows": counts.rows,
        "unknown_genders": counts.unknown_genders,
        "unknown_ages": counts.unknown_ages,
        "missing_files": counts.missing_files,
    }


def _summarise(manifest: pl.DataFrame, counts: ImportCounts, report: Path) -> None:
    rows = manifest.height
    say(f"{rows} recordings of {manifest['speaker'].n_unique()} speakers")
    labelled = [
        f"{what} in {(known := rows - manifest[column].null_count())} ({known / rows:.1%})"
        for what, column in (("gender", "gender"), ("age", "age_low"))
    ]
    say(f"labelled: {', '.join(labelled)}")
    for split in manifest["split"].drop_nulls().unique().sort():
        part = manifest.filter(split=split)
        say(f"{split}: {part.height} recordings of {part['speaker'].n_unique()} speakers")
    for what, spellings in (("gender", counts.unknown_genders), ("age", counts.unknown_ages)):
        if spellings:
            say(f"{what} not understood, left empty: {_most(spellings)} (all in {report})")
    if counts.missing_files:
        first = ", ".join(counts.missing_files[:_FILES])
        say(f"{len(counts.missing_files)} recordings are not there, the first: {first} (all in {report})")
    for warning in counts.warnings:
        say(warning)


def _most(spellings: Mapping[str, int]) -> str:
    """Say the commonest spellings and how many rows have each."""
    ranked = sorted(spellings.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{word!r} {count} times" for word, count in ranked[:_SPELLINGS]]
    rest = len(ranked) - len(said)
    return ", ".join(said) + (f" and {rest} other spellings" if rest else "")
