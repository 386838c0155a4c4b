"""A run's folder: what it depends on, what it may not be mixed with, its learning curve."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import yaml

from voxtrait.errors import RecipeError
from voxtrait.training.prepare import Prepared, manifest_hash
from voxtrait.training.ranks import Ranks
from voxtrait.training.recipe import Recipe
from voxtrait.training.watch import read_history

__all__ = ["describe_run", "draw_history", "open_run"]

_PACKAGES: Final = (
    "voxtrait",
    "torch",
    "numpy",
    "scikit-learn",
    "onnx",
    "onnxruntime",
    "polars",
    "av",
    "soxr",
)
_CURVES: Final = (
    ("loss", ("train_loss", "loss")),
    ("gender, UAR", ("uar",)),
    ("age, MAE in years", ("mae",)),
)


def open_run(folder: Path, recipe: Recipe) -> None:
    """Make the folder of a run, or find that of the same run.

    Raises:
        RecipeError: ``run_exists`` if the folder holds a run of another recipe.
    """
    file = folder / "recipe.yaml"
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise RecipeError(
            "run_exists", f"{folder} holds a run of another recipe; name another folder, or remove it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "recipe.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def describe_run(folder: Path, recipe: Recipe, prepared: Prepared, ranks: Ranks) -> str:
    """Write ``run.json``, everything that the run depends on, and return it in a line."""
    about: dict[str, Any] = {
        "system": recipe.system,
        "seed": recipe.seed,
        "manifest_sha256": manifest_hash(prepared.manifest),
        "left_out": prepared.speech.skipped,
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "processes": ranks.size,
        "threads": recipe.train.threads,
        "device": str(ranks.device),
        "machine": f"{platform.system()} {platform.machine()}",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    (folder / "run.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return (
        f"voxtrait {about['versions']['voxtrait']}, torch {about['versions']['torch']}, "
        f"system {recipe.system}, seed {recipe.seed}"
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Return the commit of the source tree that runs, with a plus if it was changed since."""
    here = ("git", "-C", str(Path(__file__).parent))
    try:
        done = [
            subprocess.run((*here, *words), capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return done[0] + ("+" if done[1] else "")


def draw_history(folder: Path, keep: str) -> None:
    """Draw ``curve.png`` from a run's ``history.jsonl``; nothing if it has no epochs.

    ``keep`` is the recipe's setting: which epoch's network was kept.
    """
    from matplotlib.figure import Figure

    history = read_history(folder)
    if not history:
        return
    shown = [
        (title, [name for name in names if any(entry[name] is not None for entry in history)])
        for title, names in _CURVES
    ]
    panels = [(title, names) for title, names in shown if names]
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    kept = len(history) - 1
    if keep == "best" and history[0]["loss"] is not None:
        kept = min(range(len(history)), key=lambda epoch: history[epoch]["loss"] or 0.0)
    for place, (title, names) in zip(axes, panels, strict=True):
        for name in names:
            values = [entry[name] for entry in history]
            place.plot(range(1, len(values) + 1), values, marker=".", label=name.replace("_", " "))
        place.axvline(kept + 1, color="0.6", linestyle=":", label="kept epoch")
        place.set(title=title, xlabel="epoch")
        place.legend(frameon=False)
    figure.savefig(folder / "curve.png", dpi=120)
