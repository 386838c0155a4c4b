"""``voxtrait corpus balance``: genders and age groups made to count alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from voxtrait.cli.corpus.manifests import (
    FormatOption,
    ManifestArgument,
    OutputOption,
    check_manifest_output,
    load_manifest,
)
from voxtrait.cli.extras import importing
from voxtrait.cli.messages import say
from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.pages import as_json, check_format, show_table
from voxtrait.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["balance"]

#: A recording that counts for more than this many is worth a warning.
_HEAVY: Final = 20
_COLUMNS: Final = ("gender", "age", "recordings", "speakers", "recordings kept", "speakers kept", "weight")


def balance(
    manifest: ManifestArgument,
    output: OutputOption,
    per_cell: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Keep at most N recordings of each cell, of many speakers."),
    ] = None,
    oversample: Annotated[
        bool, typer.Option("--oversample", help="Weigh by whole repeats, up to the largest cell.")
    ] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Weigh so that each cell counts the same, 1 on average.")
    ] = False,
    merge_from: Annotated[
        int | None,
        typer.Option(metavar="AGE", help="Age groups from this age on are one cell, as 50 for 50-plus."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed chooses other recordings.")] = 0,
    format_name: FormatOption = "table",
) -> int:
    """Balance the cells of gender by age group, in one of three ways. Needs voxtrait[report].

    Where the manifest has splits, only train is balanced. Prints each cell, before and after.

    \b
    Example:
      voxtrait corpus balance corpus.parquet --per-cell 1500 --merge-from 50 -o balanced.parquet
      voxtrait corpus balance split.parquet --weights -o weighted.parquet
      voxtrait corpus balance split.parquet --oversample --merge-from 60 -o oversampled.parquet
    """
    check_format(format_name)
    if (per_cell is not None) + oversample + weights != 1:
        raise UsageError("usage", "Give one of --per-cell N, --oversample and --weights.")
    check_manifest_output(output)
    with importing("report"):
        from voxtrait.corpora import balance as room
        from voxtrait.corpora import write_manifest

    before = load_manifest(manifest)
    if per_cell is not None:
        after = room.downsample(before, per_cell, seed, merge_from)
    elif oversample:
        after = room.oversample(before, seed, merge_from)
    else:
        after = room.weigh(before, merge_from)
    write_manifest(after, output)
    rows = _compare(before, after, merge_from)
    _warn(rows)
    with open_output(None) as stream, writing_to(None):
        if format_name == "json":
            stream.write(as_json(rows))
        else:
            show_table(stream, map(_words, rows), _COLUMNS)
    return 0


def _compare(before: pl.DataFrame, after: pl.DataFrame, merge_from: int | None) -> list[dict[str, Any]]:
    """Return one row a cell of what is balanced: counts before and after, and the range of weights."""
    import polars as pl

    from voxtrait.corpora.cells import add_cells, cell_counts

    def train(table: pl.DataFrame) -> pl.DataFrame:
        return table if before["split"].is_null().all() else table.filter(pl.col("split") == "train")

    cell = ["gender", "group"]
    kept = cell_counts(train(after), merge_from).select(
        *cell, pl.col("recordings", "speakers").name.suffix("_kept")
    )
    weights = (
        add_cells(train(after), merge_from)
        .group_by(cell)
        .agg(pl.col("weight").min().alias("weight_low"), pl.col("weight").max().alias("weight_high"))
    )
    return (
        cell_counts(train(before), merge_from)
        .drop("hours")
        .join(kept, on=cell, how="left", nulls_equal=True, maintain_order="left")
        .join(weights, on=cell, how="left", nulls_equal=True, maintain_order="left")
        .with_columns(pl.col("recordings_kept", "speakers_kept").fill_null(0))
        .to_dicts()
    )


def _warn(rows: list[dict[str, Any]]) -> None:
    left_out = sum(
        row["recordings"] - row["recordings_kept"] for row in rows if None in (row["gender"], row["group"])
    )
    if left_out:
        say(f"{left_out:,} recordings without a gender or an age belong to no cell and are left out.")
    for row in rows:
        if (row["weight_high"] or 0) > _HEAVY:
            say(
                f"{row['gender']}, {row['group']}: each of {row['recordings']} recordings counts "
                f"{row['weight_high']:.0f} times; --merge-from makes larger cells."
            )


def _words(row: dict[str, Any]) -> dict[str, str]:
    low, high = row["weight_low"], row["weight_high"]
    weight = "" if low is None else f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    return {
        "gender": row["gender"] or "unknown",
        "age": row["group"] or "unknown",
        "recordings": f"{row['recordings']:,}",
        "speakers": f"{row['speakers']:,}",
        "recordings kept": f"{row['recordings_kept']:,}",
        "speakers kept": f"{row['speakers_kept']:,}",
        "weight": weight,
    }
