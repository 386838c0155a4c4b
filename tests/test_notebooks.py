"""The notebooks run from top to bottom, show what they promise, and are stored small and without paths."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

_FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
_NAMES = ("explore_corpus", "train_and_compare")
_MOST_BYTES = 300_000
_ABSOLUTE = re.compile(r"(?<![\w./:])(?:/(?:tmp|home|root|work|usr|var|mnt|opt|Users)/|[A-Z]:\\\\)")


def load(file: Path) -> Any:
    return nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]


def run(name: str, folder: Path) -> Any:
    """Execute a copy of a notebook below ``folder``, on one thread, and return it."""
    place = folder / "notebooks"
    shutil.copytree(_FOLDER, place)
    file = place / f"{name}.ipynb"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CORPUS": "nowhere"}
    command = [sys.executable, str(place / "refresh.py"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    check_stored(file)
    return load(file)


def check_stored(file: Path) -> None:
    """Check that a whole run is stored, and nothing of the machine or the day."""
    notebook = load(file)
    nbformat.validate(notebook)
    assert file.stat().st_size < _MOST_BYTES
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for output in outputs(notebook))
    assert not any(cell.metadata for cell in notebook.cells)
    assert notebook.metadata["language_info"] == {"name": "python"}
    assert not _ABSOLUTE.search(file.read_text(encoding="utf-8"))


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def text(notebook: Any) -> str:
    """Return everything that the cells print or show as text."""
    shown = outputs(notebook)
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in shown)


def pictures(notebook: Any, kind: str = "image/png") -> int:
    return sum(kind in output.get("data", {}) for output in outputs(notebook))


@pytest.mark.timeout(900)
def test_the_corpus_is_explored(tmp_path: Path) -> None:
    notebook = run("explore_corpus", tmp_path)
    said = text(notebook)
    assert "56 speakers" in said
    assert "genders not understood: {'robot': " in said
    assert "recordings that are not there: 1" in said
    assert re.search(r"recordings divided: [1-9]\d* of \d+ test speakers were heard in training", said)
    assert "error[shared_speakers]" in said
    assert re.search(r"speakers divided: 0 of \d+ test speakers were heard in training", said)
    assert "56 recordings heard" in said
    assert pictures(notebook) == 6


@pytest.mark.timeout(900)
def test_two_systems_are_trained_and_compared(tmp_path: Path) -> None:
    notebook = run("train_and_compare", tmp_path)
    said = text(notebook)
    for system in ("random-forest", "crnn"):
        assert f"runs/{system}/bundle" in said
        assert f"Wrote {system}/report.html." in said
    uar = [float(value) for value in re.findall(r"^gender UAR +([\d.]+) % +\d.*50\.0 %", said, re.MULTILINE)]
    assert len(uar) == 2
    # Voices that differ by pitch are told apart by whatever has learnt anything.
    assert min(uar) > 60
    assert re.search(r"^  difference +[-+]?\d", said, re.MULTILINE)
    assert re.search(r"Compared on \d+ recordings of \d+ speakers", said)
    assert (pictures(notebook), pictures(notebook, "image/svg+xml")) == (2, 1)


@pytest.mark.parametrize("name", _NAMES)
def test_notebooks_are_stored_with_what_they_show(name: str) -> None:
    file = _FOLDER / f"{name}.ipynb"
    check_stored(file)
    assert pictures(load(file)) >= 2
