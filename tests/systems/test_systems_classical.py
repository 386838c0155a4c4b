from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from voice_toys import pitch_card, say
from voxtrait.bundle import AgeCard, FeatureCard, IntervalRow, ModelBundle
from voxtrait.errors import CorpusError, VoxtraitError
from voxtrait.features import build_features
from voxtrait.predictor import Predictor
from voxtrait.systems import get_system
from voxtrait.systems.classical import FitOptions, Fitted
from voxtrait.systems.classical_onnx import Head, assemble
from voxtrait.systems.system import TASKS, AgeScale, LabelledVectors, Targets, Task

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
#: The smallest grids that still are grids.
SMALL: dict[str, dict[str, Any]] = {
    "svm": {"costs": (1.0, 10.0), "gammas": (0.1,)},
    "random-forest": {"trees": 20, "leaves": 32, "depths": (2, 8), "leaf_rows": (2,)},
    "gradient-boosting": {"bins": 8, "iterations": 15, "leaf_rows": 5, "rates": (0.1, 0.3), "leaves": (4,)},
}
POINTS: dict[str, list[list[float]]] = {
    "svm": [[1.0, 0.1], [10.0, 0.1]],
    "random-forest": [[2, 2], [8, 2]],
    "gradient-boosting": [[0.1, 4], [0.3, 4]],
}
NAMES = tuple(SMALL)
AGES = AgeScale.bands((13.0, 30.0, 50.0))
SIZE = 8
SPEAKERS = 60
#: The columns that tell gender and age.
GENDER, AGE = 2, 5
OPTIONS = FitOptions(seed=3, threads=1)
OUTPUTS = {"both": ["gender", "age"], "gender": ["gender"], "age": ["age"], "gender_age": ["gender", "age"]}


@dataclasses.dataclass(frozen=True)
class People:
    """Two recordings a speaker; a column each tells gender and age, the others nothing."""

    values: NDArray[np.float32]
    female: NDArray[np.int64]
    age: NDArray[np.int64]
    speakers: NDArray[np.int64]

    def data(self, task: Task) -> dict[str, LabelledVectors]:
        joint = self.age + np.where(self.female == 1, 0, len(AGES))
        classes = {"gender": self.female, "age": self.age, "joint": joint}
        weights = np.ones(len(self.age))
        return {
            name: LabelledVectors(self.values, classes[name], self.speakers, weights)
            for name in Targets(task, AGES).sizes
        }


def people(seed: int = 0) -> People:
    rng = np.random.default_rng(seed)
    speakers = np.repeat(np.arange(SPEAKERS), 2)
    female, age = speakers % 2, speakers // 2 % len(AGES)
    values = rng.normal(0, 0.4, (len(speakers), SIZE))
    values[:, GENDER] += 3 * female
    values[:, AGE] += 3 * age
    return People(values.astype(np.float32), female, age, speakers)


def learn(
    name: str,
    data: dict[str, LabelledVectors],
    task: Task = "gender",
    options: FitOptions = OPTIONS,
    told: list[str] | None = None,
    **settings: Any,
) -> Fitted:
    system = get_system(name)
    assert system.classifier is not None
    say_to = (told if told is not None else []).append
    fitted = system.classifier(
        system.settings(**SMALL[name] | settings), data, Targets(task, AGES), options, say_to
    )
    assert isinstance(fitted, Fitted)
    return fitted


@cache
def learnt(name: str, task: Task) -> Fitted:
    return learn(name, people().data(task), task)


def run(model: bytes, features: NDArray[Any], lengths: list[int] | None = None) -> dict[str, NDArray[Any]]:
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    if lengths is None:
        features, lengths = features[:, None], [1] * len(features)
    names = [output.name for output in session.get_outputs()]
    values = {"features": features.astype(np.float32), "lengths": np.array(lengths, np.int64)}
    return dict(zip(names, session.run(None, values), strict=True))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", NAMES)
def test_it_tells_the_classes_of_new_speakers(name: str, task: Task) -> None:
    new = people(seed=1)
    outputs = run(learnt(name, task).model, new.values)
    assert list(outputs) == OUTPUTS[task]
    if "gender" in outputs:
        assert outputs["gender"].shape == new.female.shape
        assert np.mean((outputs["gender"] > 0) == (new.female == 1)) > 0.95
    if "age" in outputs:
        assert outputs["age"].shape == (len(new.age), len(AGES))
        assert np.mean(outputs["age"].argmax(1) == new.age) > 0.8
        np.testing.assert_allclose(np.exp(outputs["age"]).sum(1), 1, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_one_of_a_bundle(name: str) -> None:
    model = learnt(name, "both").model
    age = AgeCard(grid=AGES.grid, interval=(IntervalRow(speech=1, low=0.1, high=0.9),))
    card = pitch_card(age=age, embedding=None).sealed(model)
    assert ModelBundle(card, model).session() is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_judged_by_the_mean_of_its_frames(name: str) -> None:
    model, values = learnt(name, "both").model, people(seed=1).values
    alone = run(model, values[:2])
    padded = np.zeros((2, 3, SIZE), np.float32)
    padded[0, 0] = values[0]
    # Their mean is the second vector, to the bit.
    padded[1, :2] = values[1] + np.array([[0.5], [-0.5]])
    padded[1, 1] = 2 * values[1] - padded[1, 0]
    for output, told in run(model, padded, [1, 2]).items():
        np.testing.assert_allclose(told, alone[output], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_report_says_what_was_tried(name: str) -> None:
    told: list[str] = []
    report = learn(name, people().data("both"), "both", told=told).report
    assert json.loads(json.dumps(report)) == report
    assert list(report) == ["gender", "age"]
    for task, column in (("gender", GENDER), ("age", AGE)):
        found = report[task]
        assert (found["rows"], found["speakers"], found["folds"]) == (2 * SPEAKERS, SPEAKERS, 3)
        assert (found["rare"], found["untried"]) == ([], [])
        assert [list(row["settings"].values()) for row in found["grid"]] == POINTS[name]
        for row in found["grid"]:
            assert row["uar"] == pytest.approx(np.mean(row["fold_uar"]), abs=1e-5)
            assert row["uar"] > (0.8 if row["settings"] == found["chosen"] else 0.3)
        assert max(row["uar"] for row in found["grid"]) == next(
            row["uar"] for row in found["grid"] if row["settings"] == found["chosen"]
        )
        assert sorted(place for place, _ in found["importance"]) == list(range(SIZE))
        assert found["importance"][0][0] == column
        assert found["importance"][0][1] > 3 * abs(found["importance"][1][1])
        assert found["importance_kind"] == ("impurity" if name == "random-forest" else "permutation")
    assert report["gender"]["classes"] == {"0": 30, "1": 30}
    assert sum("UAR" in line for line in told) == 4


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_model_on_any_number_of_threads(name: str) -> None:
    again = learn(name, people().data("gender"), options=dataclasses.replace(OPTIONS, threads=2))
    first = learnt(name, "gender")
    assert again.report == first.report
    values = people(seed=1).values
    np.testing.assert_array_equal(run(again.model, values)["gender"], run(first.model, values)["gender"])


def test_the_search_ends_when_time_is_up() -> None:
    told: list[str] = []
    options = dataclasses.replace(OPTIONS, minutes=0.0)
    report = learn("svm", people().data("both"), "both", options, told).report
    for task in ("gender", "age"):
        assert len(report[task]["grid"]) == len(report[task]["untried"]) == 1
    assert sum("time is up" in line for line in told) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_nobody_has_is_unlikely_but_not_impossible(name: str) -> None:
    group = people()
    young = dataclasses.replace(group, age=group.age % 2)
    age = run(learn(name, young.data("both"), "both").model, group.values)["age"]
    assert age.shape == (2 * SPEAKERS, 3)
    np.testing.assert_allclose(age[:, 2], np.log(1e-6), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_class_of_few_speakers_is_left_out_and_said(name: str) -> None:
    group = people()
    # Two speakers of the third class, with two recordings each.
    few = dataclasses.replace(group, age=np.where(group.speakers < 2, 2, group.age % 2))
    told: list[str] = []
    fitted = learn(name, few.data("age"), "age", told=told)
    assert fitted.report["age"]["rare"] == [2]
    assert fitted.report["age"]["speakers"] == SPEAKERS - 2
    assert "age: classes with fewer than 3 speakers are not learnt: [2]" in told


def test_what_has_no_label_is_not_learnt() -> None:
    group = people()
    some = dataclasses.replace(group, age=np.where(group.speakers < 20, -1, group.age))
    report = learn("random-forest", some.data("both"), "both").report
    assert (report["gender"]["speakers"], report["age"]["speakers"]) == (SPEAKERS, SPEAKERS - 20)


@pytest.mark.parametrize(
    ("task", "change", "what"),
    [
        ("gender", {"female": np.zeros(2 * SPEAKERS, np.int64)}, "two genders"),
        ("gender", {"female": np.full(2 * SPEAKERS, -1)}, "by class: none"),
        ("gender", {"female": (np.arange(2 * SPEAKERS) < 4).astype(np.int64)}, "at least 3 speakers"),
        ("age", {"age": np.ones(2 * SPEAKERS, np.int64)}, "two age groups"),
        ("gender_age", {"female": np.ones(2 * SPEAKERS, np.int64)}, "two genders"),
    ],
)
def test_too_few_classes_or_speakers_are_refused(task: Task, change: dict[str, Any], what: str) -> None:
    with pytest.raises(CorpusError, match=what) as caught:
        learn("random-forest", dataclasses.replace(people(), **change).data(task), task)
    assert caught.value.code == "corpus_too_small"


def test_speakers_with_several_labels_may_not_be_divisible() -> None:
    # Two of the three share a fold, and with them goes one class whole.
    speakers, classes = np.repeat([0, 1, 2], 20), np.repeat([0, 1, 1, 2, 2, 0], 10)
    data = LabelledVectors(people().values[:60], classes, speakers, np.ones(60))
    with pytest.raises(CorpusError, match="into 2 folds") as caught:
        learn("svm", {"age": data}, "age", folds=2)
    assert caught.value.code == "corpus_too_small"


@pytest.mark.parametrize("name", NAMES)
def test_every_speaker_counts_alike(name: str) -> None:
    rng = np.random.default_rng(0)
    # At the same place: one voice in four is female, but women left four times as many recordings.
    speakers = np.concatenate([np.repeat(np.arange(15), 12), np.repeat(np.arange(15, 60), 3)])
    female = (speakers < 15).astype(np.int64)
    values = rng.normal(0, 1, (len(speakers), SIZE)).astype(np.float32)
    data = LabelledVectors(values, female, speakers, np.ones(len(speakers)))
    new = rng.normal(0, 1, (200, SIZE)).astype(np.float32)
    alike = run(learn(name, {"gender": data}).model, new)["gender"]
    assert 1 / (1 + np.exp(-alike)).mean() < 0.45
    heavier = dataclasses.replace(data, weights=np.where(female == 1, 9.0, 1.0))
    weighted = run(learn(name, {"gender": heavier}).model, new)["gender"]
    assert weighted.mean() > alike.mean() + 0.5


def test_a_search_on_few_rows_has_all_classes_and_as_many_speakers_as_can_be() -> None:
    rng = np.random.default_rng(0)
    # A hundred people with six recordings each; four of them are of a class of their own.
    speakers = np.repeat(np.arange(100), 6)
    classes = np.where(speakers < 4, 1, 0)
    values = rng.normal(0, 0.5, (600, SIZE)).astype(np.float32)
    values[:, AGE] += 3 * classes
    data = LabelledVectors(values, classes, speakers, np.ones(600))
    report = learn("svm", {"age": data}, "age", search_rows=50, rows=70).report["age"]
    assert report["search_rows"] == 50
    assert (report["rows"], report["speakers"]) == (70, 70)
    assert set(report["classes"]) == {"0", "1"}
    assert report["classes"]["1"] >= 3


class Liar:
    """A pipeline whose word differs a little from what it is exported as."""

    def __init__(self, honest: Any) -> None:
        self.honest = honest
        self.last = honest[-1]

    def __getitem__(self, place: int) -> Any:
        return self.last

    def predict_proba(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.honest.predict_proba(values) + np.array([-3e-4, 3e-4]))


def test_a_model_that_differs_from_scikit_learns_is_not_returned() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    group = people()
    honest = Pipeline([("model", HistGradientBoostingClassifier(max_iter=5))]).fit(group.values, group.female)
    targets = Targets("gender", AGES)
    assert assemble({"gender": Head(honest, (0, 1))}, targets, group.values)
    with pytest.raises(VoxtraitError, match=r"gender differs from scikit-learn by 0\.0003") as caught:
        assemble({"gender": Head(Liar(honest), (0, 1))}, targets, group.values)
    assert caught.value.code == "export"


@pytest.mark.parametrize("name", NAMES)
def test_its_defaults_are_those_of_its_recipe_and_can_be_made(name: str) -> None:
    system = get_system(name)
    assert (system.name, system.tasks) == (name, TASKS)
    assert all(field.description for field in system.settings.model_fields.values())
    extractor = build_features(system.defaults["features"]["name"], {})
    assert extractor.name == "functionals"
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    assert recipe["system"] == recipe["bundle"]["name"] == name


@pytest.mark.parametrize("name", ["svm"])
def test_it_tells_men_from_women_by_their_speech(name: str) -> None:
    extractor = build_features("functionals", {})
    voices = [f"en-us+{kind}{number}" for number in (1, 2, 3, 4) for kind in "mf"]
    texts = ("The wind blew as hard as it could.", "At last the north wind gave up.")
    rows = [extractor.extract(say(text, voice))[0] for voice in voices for text in texts]
    speakers = np.repeat(np.arange(len(voices)), len(texts))
    data = LabelledVectors(np.stack(rows), speakers % 2, speakers, np.ones(len(rows)))
    model = learn(name, {"gender": data}, gammas=(0.001,)).model
    card = pitch_card(
        features=FeatureCard(name="functionals", config={}), age=None, embedding=None, window=10.0, hop=10.0
    )
    predictor = Predictor(ModelBundle(card.sealed(model), model))
    for voice, label in (("en-us+m7", "male"), ("en-us+f5", "female")):
        answer = predictor.predict(say(voice=voice), rate=16_000)
        assert answer.gender is not None
        assert answer.gender.label == label
