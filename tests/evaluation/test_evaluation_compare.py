"""``voxtrait compare`` on what ``voxtrait evaluate`` wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from test_evaluation_command import Page

from evaluation_toys import Terminal, figures_in, metrics_in
from voxtrait.cli import run
from voxtrait.evaluation.resampling import DRAWS


@pytest.fixture(scope="module")
def runs(workshop: Path, corpus: Path, pitch: Path, gender_only: Path) -> tuple[Path, Path]:
    """Evaluations of two bundles on the same recordings, the second without age."""
    folders = workshop / "compared" / "first", workshop / "compared" / "second"
    for bundle, folder in zip((pitch, gender_only), folders, strict=True):
        assert run(["evaluate", str(bundle), str(corpus), "-o", str(folder)]) == 0
    return folders


def compared(terminal: Terminal, *arguments: str | Path) -> Any:
    out, _ = terminal.run("compare", *arguments, "--format", "json")
    return json.loads(out)


def by_name(comparison: Any, run_name: str | Path) -> dict[str, Any]:
    return {row["name"]: row for row in comparison["figures"] if row["run"] == str(run_name)}


def test_figures_are_those_of_the_evaluations(terminal: Terminal, runs: tuple[Path, Path]) -> None:
    found = compared(terminal, *runs)
    assert (found["recordings"], found["speakers"]) == (14, 7)
    for folder in runs:
        for name, figure in by_name(found, folder).items():
            expected = figures_in(folder)[name]
            assert {key: figure[key] for key in ("value", "low", "high", "speakers")} == {
                key: expected[key] for key in ("value", "low", "high", "speakers")
            }
    assert set(by_name(found, runs[0])) == {
        "gender accuracy", "gender UAR", "gender ECE", "gender decided",
        "age MAE ratio", "age correlation", "age band UAR", "gender and band accuracy",
    }  # fmt: skip
    assert {name.split()[0] for name in by_name(found, runs[1])} == {"gender"}
    assert [row["cpu_seconds_per_hour"] for row in found["runs"]] == [
        metrics_in(folder)["cost"]["cpu_seconds_per_hour"] for folder in runs
    ]


def test_a_difference_is_of_the_same_draws(terminal: Terminal, runs: tuple[Path, Path]) -> None:
    found = compared(terminal, *runs)
    assert all(row["difference"] is None for row in by_name(found, runs[0]).values())
    gap = by_name(found, runs[1])["gender decided"]["difference"]
    first, second = (pl.read_parquet(folder / "answers.parquet").sort("path") for folder in runs)
    step = ((second["label"] != "unsure").cast(int) - (first["label"] != "unsure").cast(int)).to_numpy()
    names, number = np.unique(first["speaker"].to_numpy(), return_inverse=True)
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(DRAWS):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[number]
        samples.append((step * drawn).sum() / drawn.sum())
    assert gap["value"] == pytest.approx(step.mean())
    assert [gap["low"], gap["high"]] == pytest.approx(np.percentile(samples, [2.5, 97.5]))
    assert gap["clear"] == (gap["low"] > 0 or gap["high"] < 0)


def test_a_run_does_not_differ_from_its_copy(
    terminal: Terminal, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(runs[0], tmp_path / "copy")
    for row in by_name(compared(terminal, runs[0], tmp_path / "copy"), tmp_path / "copy").values():
        assert row["difference"] == {"value": 0, "low": 0, "high": 0, "clear": False}


def change(folder: Path, *columns: pl.Expr, keep: pl.Expr | None = None) -> None:
    answers = pl.read_parquet(folder / "answers.parquet").with_columns(*columns)
    answers.filter(pl.lit(True) if keep is None else keep).write_parquet(folder / "answers.parquet")


def test_a_clear_difference_is_marked(terminal: Terminal, runs: tuple[Path, Path], tmp_path: Path) -> None:
    right = tmp_path / "right"
    shutil.copytree(runs[0], right)
    is_female = pl.col("gender") == "female"
    change(
        right, pl.when(is_female).then(0.99).otherwise(0.01).alias("female"), pl.col("gender").alias("label")
    )
    out, _ = terminal.run("compare", runs[0], right, "-o", tmp_path / "page")
    lines = out.splitlines()
    decided = next(place for place, line in enumerate(lines) if line.startswith("gender decided"))
    assert lines[decided + 1].startswith("  difference")
    assert "100.0 %" in lines[decided]
    ece = next(place for place, line in enumerate(lines) if line.startswith("gender ECE"))
    assert lines[ece + 1].rstrip().endswith("*")
    page = Page(tmp_path / "page" / "compare.html")
    better = [attributes for attributes in page.all("small") if attributes.get("class") == "better"]
    assert better, "less of an error is better"
    assert not [attributes for attributes in page.all("small") if attributes.get("class") == "worse"]


def test_only_what_all_answered_counts(terminal: Terminal, runs: tuple[Path, Path], tmp_path: Path) -> None:
    part = tmp_path / "part"
    shutil.copytree(runs[0], part)
    failed = pl.col("path").str.ends_with("ann-0.wav")
    change(
        part,
        pl.when(failed).then(pl.lit("error")).otherwise("status").alias("status"),
        keep=~pl.col("path").str.ends_with("bea-1.wav"),
    )
    out, err = terminal.run("compare", runs[1], part, "--format", "json")
    found = json.loads(out)
    assert found["recordings"] == 12
    assert [row["left_out"] for row in found["runs"]] == [2, 1]
    assert f"2 recordings of {runs[1]} were left out" in err


def test_the_coarsest_bands_are_compared(terminal: Terminal, runs: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(runs[0], tmp_path / "merged")
    file = tmp_path / "merged" / "metrics.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"merge_from": 30.0}))
    found = compared(terminal, runs[0], tmp_path / "merged")
    assert found["merge_from"] == 30
    # Nobody is in a band of his own above thirty now: teens, twenties, 30-plus.
    first, second = (by_name(found, name)["age band UAR"] for name in (runs[0], tmp_path / "merged"))
    assert first["value"] == second["value"]
    assert first["baseline"] == pytest.approx(1 / 3)


def test_the_page_is_whole_and_escaped(terminal: Terminal, runs: tuple[Path, Path], tmp_path: Path) -> None:
    hostile = tmp_path / '<img src=x onerror="alert(1)"> $x^'
    shutil.copytree(runs[1], hostile)
    out = tmp_path / "out"
    _, err = terminal.run("compare", runs[0], hostile, "-o", out)
    assert f"Wrote {out / 'compare.html'}." in err
    assert sorted(item.name for item in out.iterdir()) == ["compare.html", "compare.svg"]
    page = Page(out / "compare.html")
    assert hostile.name in page.text
    assert not page.all("img")
    assert not page.all("script")
    assert len(page.all("svg")) == 3
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
    picture = ElementTree.parse(out / "compare.svg").getroot()
    assert any(hostile.name[-10:] in (text or "") for text in picture.itertext())
    assert not [name for element in picture.iter() for name in element.attrib if name.startswith("on")]


def test_what_cannot_be_compared(
    terminal: Terminal, runs: tuple[Path, Path], pitch: Path, tmp_path: Path
) -> None:
    refused = terminal.complaint("compare", runs[0], pitch)
    assert refused.startswith(f"error[usage]: {pitch} holds no evaluation: run 'voxtrait evaluate")
    assert "two or more" in terminal.complaint("compare", runs[0])
    assert "different" in terminal.complaint("compare", runs[0], runs[0])
    other = tmp_path / "other"
    shutil.copytree(runs[0], other)
    change(other, (pl.lit("/elsewhere") + pl.col("path")).alias("path"))
    assert terminal.complaint("compare", runs[0], other).startswith("error[nothing_to_do]")
    for damage in ("{", "{}", '{"schema_version": 99}', "[]"):
        (other / "metrics.json").write_text(damage)
        assert terminal.complaint("compare", runs[0], other).startswith("error[corpus_layout]")
    shutil.copy(runs[0] / "metrics.json", other)
    (other / "answers.parquet").write_bytes(b"PAR1")
    assert terminal.complaint("compare", runs[0], other).startswith("error[corpus_layout]")
    (tmp_path / "file").write_text("")
    assert terminal.complaint("compare", *runs, "-o", tmp_path / "file").startswith("error[output]")
    assert terminal.complaint("compare", *runs, "--format", "xml").startswith("error[usage]")
