"""Every system on the same speakers with the same budget: python benchmarks/systems.py ../shared/data

Trains each system's published recipe on the Common Voice releases of the folder, a budget of processor
time a task, and judges it on test speakers that no training saw; then the same on a split of the
recordings at random, where speakers stand on both sides, as in many published figures. Writes
benchmarks/systems.json, of which benchmarks/systems_page.py makes docs/benchmarks.md. What is there
already is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from voxtrait.corpora import assign_random_splits, assign_splits, read_corpus, write_manifest
from voxtrait.systems import SYSTEMS, get_system
from voxtrait.training.prepare import prepare, prepare_features
from voxtrait.training.recipe import load_recipe

SEED = 1
SHARES = {"train": 0.68, "validation": 0.14, "test": 0.18}
BANDS = [13, 20, 30, 40, 50, 60]
#: Copies of each recording, augmented all but one, where the recipe has more.
VERSIONS = 3
#: Chosen before any of them was trained: four that hear different things.
MEMBERS = ("finetuned-ge2e", "embedding-fnn", "gradient-boosting", "crnn")
#: Task a run is trained for -> the columns that its figures go to.
COLUMNS = {"both": ("gender", "age"), "gender": ("gender",), "age": ("age",), "gender_age": ("gender_age",)}
FIGURES = {
    "gender": ("gender accuracy", "gender UAR"),
    "age": ("age band accuracy", "age band UAR", "age MAE ratio"),
    "gender_age": ("gender and band accuracy",),
}
#: What a network that hardly begins within the budget does with more.
LONGER = ("speakers", "mam-cnn", "gender", 12.0)
SPLITS = {"speakers": "no speaker on both sides", "recordings": "recordings divided at random"}
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Run:
    """One system trained for one task on one split; ``minutes`` is a budget of its own."""

    split: str
    system: str
    task: str
    minutes: float | None = None

    @property
    def name(self) -> str:
        longer = "" if self.minutes is None else f"-{self.minutes:g}min"
        return f"{self.split}-{self.system}-{self.task}{longer}"

    def recipe(self, minutes: float, home: Path) -> dict[str, Any]:
        """Return the system's published recipe with the budget of its columns."""
        about = {"name": self.system, "licence": "not for release", "origin": "benchmarks/systems.py"}
        manifest = str(home / f"{self.split}.parquet")
        features = get_system(self.system).defaults.get("features", {})
        content: dict[str, Any] = {
            "system": self.system,
            "seed": SEED,
            "data": {"manifest": manifest, "name": "Common Voice", "licence": "CC0-1.0"},
            "target": {"task": self.task},
            "features": {"versions": min(VERSIONS, features.get("versions", VERSIONS))},
            "train": {"minutes": self.minutes or minutes * len(COLUMNS[self.task]), "threads": 1},
            "bundle": about,
        }
        if self.task == "gender_age":
            content["target"]["bands"] = BANDS
        if self.system == "ensemble":
            members = [str(home / Run(self.split, name, "both").name / "bundle") for name in MEMBERS]
            content["network"] = {"members": members, "method": "stacking"}
        return content


def runs(only: list[str] | None) -> Iterator[Run]:
    """Yield the runs of each system: gender and age, and on new speakers gender x age as one task too."""
    for split in SPLITS:
        for name in sorted(SYSTEMS, key=lambda name: get_system(name).ensemble):
            system = get_system(name)
            first = ("both",) if system.tasks[0] == "both" else ("gender", "age")
            tasks = first if system.ensemble or split == "recordings" else (*first, "gender_age")
            if only is None or name in only:
                yield from (Run(split, name, task) for task in tasks)
    if only is None or LONGER[1] in only:
        yield Run(*LONGER)


def write_manifests(data: Path, home: Path) -> None:
    """Write the labelled recordings of all Common Voice releases in ``data``, split in two ways."""
    manifest = pl.concat([read_corpus(folder) for folder in sorted(data.glob("cv-corpus-*"))])
    manifest = manifest.filter(pl.col("gender").is_in(["female", "male"]) & pl.col("age_low").is_not_null())
    write_manifest(assign_splits(manifest, SHARES, SEED), home / "speakers.parquet")
    # Each recording its own speaker: what is refused elsewhere is the point here.
    alone = assign_random_splits(manifest, SHARES, SEED).with_columns(speaker="path")
    write_manifest(alone, home / "recordings.parquet")


def prepare_all(found: list[Run], minutes: float, home: Path) -> None:
    """Fill the caches with both cores, so that no budget pays for them."""
    for run in found:
        file = home / "recipes" / f"{run.name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump(run.recipe(minutes, home)))
        if run.system != "ensemble":
            recipe = load_recipe(file, ("train.threads=2",))
            prepared = prepare(recipe, home / "cache", lambda line: None)
            prepare_features(recipe, prepared, lambda line: None)
            print(f"{run.name}: prepared", flush=True)


def carry_out(run: Run, home: Path) -> None:
    """Train and evaluate in processes of one thread each."""
    folder = home / run.name
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    train = ("train", home / "recipes" / f"{run.name}.yaml", "-o", folder)
    judge = ("evaluate", folder / "bundle", home / f"{run.split}.parquet", "--merge-from", "60")
    for words in (train, (*judge, "--split", "test", "-o", folder / "evaluation")):
        if words[0] == "evaluate" and (folder / "evaluation" / "metrics.json").is_file():
            continue
        command = [sys.executable, "-m", "voxtrait", *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{run.name}: {' '.join(done.stderr.splitlines()[-1:])}", flush=True)
            return
    print(f"{run.name}: done", flush=True)


def collect(found: list[Run], home: Path) -> list[dict[str, Any]]:
    """Return what the finished runs measured, one entry a run."""
    entries = []
    for run in found:
        file = home / run.name / "evaluation" / "metrics.json"
        if not file.is_file():
            continue
        metrics = json.loads(file.read_text())
        history = home / run.name / "history.jsonl"
        wanted = {name for column in COLUMNS[run.task] for name in FIGURES[column]}
        entries.append(
            {
                "split": run.split,
                "system": run.system,
                "task": run.task,
                "minutes": run.minutes,
                "megabytes": round(metrics["model_bytes"] / 1e6, 2),
                "cost": metrics["cost"],
                "epochs": history.read_text().count("\n") if history.is_file() else None,
                "recordings": metrics["recordings"],
                "speakers": metrics["speakers"],
                "figures": [figure for figure in metrics["figures"] if figure["name"] in wanted],
            }
        )
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with cv-corpus-* releases")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/benchmark"), help="of the runs")
    parser.add_argument("--minutes", type=float, default=2.5, help="of processor time, a system and task")
    parser.add_argument("--only", nargs="*", help="systems")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    home = options.output.resolve()
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "recordings.parquet").is_file():
        write_manifests(options.data, home)
    found = list(runs(options.only))
    prepare_all(found, options.minutes, home)
    with ThreadPoolExecutor(options.workers) as pool:
        for joins in (False, True):
            chosen = [run for run in found if (run.system == "ensemble") == joins]
            list(pool.map(carry_out, chosen, [home] * len(chosen)))
    entries = collect(list(runs(None)), home)
    file = ROOT / "benchmarks" / "systems.json"
    file.write_text(json.dumps({"minutes": options.minutes, "seed": SEED, "runs": entries}, indent=1) + "\n")


if __name__ == "__main__":
    main()
