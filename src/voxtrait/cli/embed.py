"""``voxtrait embed``: what a model makes of voices, as a table and as a map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from voxtrait.cli.arguments import BundleArgument, ManifestArgument
from voxtrait.cli.messages import say
from voxtrait.cli.output import check_output
from voxtrait.cli.progress import ProgressLine
from voxtrait.errors import UsageError, require

__all__ = ["embed"]

_COLOURINGS: Final = "[gender|group|speaker|locale|corpus]"
_PICTURES: Final = (".png", ".svg", ".pdf")


def embed(
    bundle: BundleArgument,
    manifest: ManifestArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The table, as Parquet.")
    ] = Path("embeddings.parquet"),
    picture: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="Draw the map too: a .png, .svg or .pdf."),
    ] = None,
    colour: Annotated[
        str, typer.Option(metavar=_COLOURINGS, help="What the map is coloured by; group is the age group.")
    ] = "gender",
) -> int:
    """Export the embedding of each recording, one unit vector each, and draw them as a map.

    The map is by UMAP with pip install 'voxtrait[umap]', else by the first two principal components. Needs
    pip install 'voxtrait[report]'. Exit code: 0 if every recording was heard, 1 if some could not be.

    \b
    Example:
      voxtrait embed voxtrait-base corpus.parquet
      voxtrait embed voxtrait-base corpus.parquet -o voices.parquet --map voices.png --colour group
    """
    for module in ("polars", "matplotlib"):
        require(module, "report")

    from voxtrait.bundle import load_bundle
    from voxtrait.corpora.outputs import written_whole
    from voxtrait.evaluation.embeddings import COLOURINGS, Embedder, draw_map, embed_recordings
    from voxtrait.evaluation.run import read_recordings

    if colour not in COLOURINGS:
        raise UsageError("usage", f"There is no colouring {colour!a}: give one of {', '.join(COLOURINGS)}.")
    check_output(output)
    if picture is not None:
        check_output(picture)
        if picture.suffix.lower() not in _PICTURES:
            raise UsageError("usage", f"--map {picture} must end in {', '.join(_PICTURES)}.")
    embedder = Embedder(load_bundle(bundle))
    with ProgressLine() as progress:
        table = embed_recordings(embedder, read_recordings(manifest), progress)
    with written_whole(output) as file:
        table.write_parquet(file)
    counts = dict(table["status"].value_counts().iter_rows())
    say(f"Wrote {counts['ok']} embeddings of {embedder.size} values to {output}.")
    if counts.get("no_speech"):
        say(f"{counts['no_speech']} recordings hold too little speech; their embedding is null.")
    if counts.get("error"):
        say(f"{counts['error']} recordings could not be heard; their embedding is null and code says why.")
    if picture is not None:
        say(f"Drew {picture}: {draw_map(table, colour, embedder.title, picture)}.")
    return 1 if counts.get("error") else 0
