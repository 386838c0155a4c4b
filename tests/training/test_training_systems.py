"""Every system is trained by a recipe, for each task, and leaves a bundle that predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import voxtrait
from training_toys import Quiet
from voxtrait.bundle import ModelBundle
from voxtrait.errors import CorpusError, RecipeError
from voxtrait.systems import SYSTEMS, get_system
from voxtrait.training.run import train

#: What makes a system small enough for a test.
SMALL: dict[str, dict[str, Any]] = {
    "finetuned-ge2e": {"network": {"start": "random", "branch": 8, "hidden": 8}},
    "crnn": {"network": {"channels": [4, 4, 8, 8], "units": 8}},
    "multitask-cnn": {"network": {"channels": [4, 4, 8, 8], "hidden": 8}},
    "svm": {"network": {"costs": [1.0], "gammas": [1.0], "folds": 2}},
    "random-forest": {"network": {"trees": 20, "depths": [4], "leaf_rows": [1], "folds": 2}},
    "gradient-boosting": {
        "network": {"iterations": 10, "leaves": [4], "rates": [0.1], "leaf_rows": 1, "folds": 2}
    },
}
TASKS = ("both", "gender", "age", "gender_age")


def make(studio: Path, system: str, task: str, **sections: Any) -> ModelBundle:
    """Train a system on the voices of the studio and load its bundle."""
    content: dict[str, Any] = {
        "system": system,
        "seed": 1,
        "data": {
            "folder": "corpus",
            "corpora": [{"path": "metadata.csv", "name": "made", "licence": "CC0-1.0"}],
            "shares": {"train": 0.5, "validation": 0.25, "test": 0.25},
        },
        "target": {"task": task, "bands": [13, 40]},
        "features": {"versions": 1},
        "train": {"epochs": 2, "batch": 8, "threads": 1, "embedding_weight": 0.0},
        "bundle": {"name": f"{system}-{task.replace('_', '-')}"},
        **SMALL.get(system, {}),
        **sections,
    }
    file = studio / f"{content['bundle']['name']}.yaml"
    file.write_text(yaml.safe_dump(content))
    bundle = train(file, studio / "runs" / file.stem, Quiet())
    assert bundle is not None
    return voxtrait.load_bundle(bundle)


@pytest.mark.parametrize("system", [name for name in SYSTEMS if not get_system(name).ensemble])
def test_a_system_learns_what_it_was_published_for(studio: Path, system: str) -> None:
    task = get_system(system).tasks[0]
    bundle = make(studio, system, task)
    answer = voxtrait.predict(studio / "corpus/clips/0-0.wav", model=bundle)
    assert answer.status == "ok"
    assert answer.model == f"{system}-{task.replace('_', '-')} 1.0"
    assert answer.gender is not None
    assert answer.age is not None
    assert 0 < answer.gender.female < 1
    assert answer.age.low <= answer.age.years <= answer.age.high


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("system", ["crnn", "random-forest"])
def test_every_task_gives_a_bundle_of_what_it_tells(studio: Path, system: str, task: str) -> None:
    bundle = make(studio, system, task)
    assert (bundle.card.gender is not None) == (task != "age")
    assert (bundle.card.age is not None) == (task != "gender")
    if bundle.card.age is not None:
        assert bundle.card.age.grid == (26.5, 45.0)
    answer = voxtrait.predict(studio / "corpus/clips/3-1.wav", model=bundle)
    assert answer.gender is not None
    assert (answer.gender.female == 0.5) == (task == "age")


@pytest.mark.parametrize("method", ["average", "stacking"])
def test_an_ensemble_of_what_was_trained(studio: Path, method: str) -> None:
    members = []
    for system in ("crnn", "random-forest"):
        make(studio, system, "both")
        members.append(str(studio / "runs" / f"{system}-both" / "bundle"))
    network = {"members": members, "method": method}
    bundle = make(
        studio, "ensemble", "both", network=network, bundle={"name": method}, target={}, features={}
    )
    answer = voxtrait.predict(studio / "corpus/clips/0-0.wav", model=bundle)
    assert answer.status == "ok"
    assert bundle.card.age is not None
    assert len(bundle.card.age.grid) == 93


def test_preprocessing_goes_from_the_recipe_into_the_bundle(studio: Path) -> None:
    bundle = make(
        studio, "random-forest", "gender", preprocess=["level", "telephone"], bundle={"name": "line"}
    )
    assert bundle.card.preprocess == ("level=-26", "telephone")


def test_a_classical_system_says_what_it_tried_and_what_matters(studio: Path) -> None:
    make(studio, "random-forest", "both")
    report = yaml.safe_load((studio / "runs" / "random-forest-both" / "classifier.json").read_text())
    assert len(report["features"]) > 100
    assert report["gender"]["importance"]


def test_a_loss_that_is_no_number_is_said(studio: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        make(studio, "dual-path-cnn", "age", train={"epochs": 3, "threads": 1, "batch": 8, "rate": 1e30})
    assert caught.value.code == "diverged"


def test_a_budget_of_processor_time_ends_a_training(studio: Path) -> None:
    settings = {"epochs": 10_000, "patience": 10_000, "threads": 1, "batch": 8, "minutes": 0.05}
    make(studio, "multitask-cnn", "gender", train=settings)
    history = (studio / "runs" / "multitask-cnn-gender" / "history.jsonl").read_text()
    assert 1 <= history.count("\n") < 2000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gender": "female"}, "1 genders"),
        ({"age": "30"}, "1 age groups"),
        ({"speaker": "everybody"}, "split"),
    ],
)
def test_a_corpus_with_nothing_to_tell_apart(
    studio: Path, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    import polars as pl

    table = pl.read_csv(studio / "corpus" / "metadata.csv", infer_schema=False)
    table = table.with_columns(pl.lit(value).alias(name) for name, value in change.items())
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "clips").symlink_to(studio / "corpus" / "clips")
    table.write_csv(tmp_path / "corpus" / "metadata.csv")
    with pytest.raises(CorpusError, match=said) as caught:
        make(tmp_path, "random-forest", "both")
    assert caught.value.code in ("corpus_too_small", "corpus_empty")
    assert not (tmp_path / "runs" / "random-forest-both" / "bundle").exists()
