"""Run notebooks of this folder and store what they show: ``python docs/notebooks/refresh.py [NOTEBOOK ...]``.

They run on the synthetic corpora, whatever CORPUS says: nothing of other recordings is stored. Needs
espeak-ng, and pip install 'voxtrait[train]' ipykernel nbclient.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

_FOLDER = Path(__file__).parent
_SECONDS = 600  # that a cell may take


def refresh(file: Path) -> None:
    """Execute a notebook from top to bottom and store it, without times and versions.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails; the file stays as it was.
    """
    notebook: Any = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
    place = {"metadata": {"path": str(file.parent)}}
    client = NotebookClient(
        notebook, timeout=_SECONDS, kernel_name="python3", record_timing=False, resources=place
    )
    with TemporaryDirectory() as scratch:
        environment = {name: value for name, value in os.environ.items() if name != "CORPUS"}
        client.execute(env=environment | {"WORK": scratch, "TMPDIR": scratch})
    notebook.metadata["language_info"] = {"name": "python"}
    partial = file.with_suffix(".partial")
    nbformat.write(notebook, partial)  # type: ignore[no-untyped-call]
    partial.replace(file)


def main(names: Sequence[str]) -> None:
    for file in [Path(name).resolve() for name in names] or sorted(_FOLDER.glob("*.ipynb")):
        refresh(file)
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
