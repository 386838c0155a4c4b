"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["BundleArgument", "ManifestArgument"]

BundleArgument = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE", show_default=False, help="A shipped name, a folder, a zip, or org/name on the hub."
    ),
]
ManifestArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST", show_default=False, help="Labelled recordings: a manifest, a table or a corpus."
    ),
]
