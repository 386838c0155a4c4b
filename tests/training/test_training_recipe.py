from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from voxtrait.errors import RecipeError
from voxtrait.systems import SYSTEMS, get_system
from voxtrait.training.recipe import Recipe, load_recipe, system_of

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))

RECIPE = """
system: finetuned-ge2e
seed: 3
data:
  folder: ../data
  corpora:
    - {path: ours, name: Ours, licence: CC0-1.0}
features:
  config: {n_mels: 32}
network: {branch: 64}
train: {epochs: 5, crop: [1, 2.5]}
bundle:
  name: ours
  version: "1.0"
  licence: CC0-1.0
  origin: made up in a test
  description: For tests.
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    file = tmp_path / "recipes" / "ours.yaml"
    file.parent.mkdir()
    file.write_text(RECIPE, encoding="utf-8")
    return file


def test_a_recipe_says_what_it_says_and_has_defaults(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    assert (recipe.system, recipe.seed, recipe.train.epochs, recipe.train.crop) == (
        "finetuned-ge2e",
        3,
        5,
        (1, 2.5),
    )
    assert recipe.network == {"branch": 64}
    # What it leaves out is as its system was published, then as the field says.
    assert recipe.train.batch == get_system("finetuned-ge2e").defaults["train"]["batch"]
    assert recipe.train.age_spread == Recipe.model_fields["train"].default.age_spread
    assert sum(recipe.data.shares.values()) == pytest.approx(1)


def test_the_data_folder_begins_at_the_recipe(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe_file.parent.parent)
    assert load_recipe("recipes/ours.yaml").data.folder == str(recipe_file.parent.parent / "data")
    assert load_recipe(recipe_file, ["data.folder=/elsewhere"]).data.folder == "/elsewhere"


def test_settings_of_features_are_completed(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    assert recipe.features.config == {"n_fft": 400, "hop": 160, "n_mels": 32, "voice_every": 2}
    assert load_recipe(recipe_file, ["features={}"]).features.config["n_mels"] == 40


def test_overrides_take_yaml_values(recipe_file: Path) -> None:
    overrides = [
        "train.epochs=7",
        "train.crop=[2, 3]",
        "network.dropout=0.5",
        "augment.noise=0",
        "bundle.name=theirs",
        "features.config.n_mels=64",
        "train.epochs=8",
    ]
    recipe = load_recipe(recipe_file, overrides)
    assert (recipe.train.epochs, recipe.train.crop, recipe.augment.noise) == (8, (2, 3), 0)
    assert recipe.network == {"branch": 64, "dropout": 0.5}
    assert recipe.bundle.name == "theirs"
    assert recipe.features.config["n_mels"] == 64


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("train.epoch=3", "train.epoch:"),
        ("training.epochs=3", "training:"),
        ("train.epochs=many", "train.epochs:"),
        ("train.epochs=0", "train.epochs:"),
        ("train.rate=.nan", "train.rate:"),
        ("train.rate=.inf", "train.rate:"),
        ("train.crop=[3, 1]", "train.crop:"),
        ("train.crop=[0, 1]", "train.crop:"),
        ("train=null", "train:"),
        ("augment.codec=1.5", "augment.codec:"),
        ("augment.snr=[30, 0]", "augment.snr:"),
        ("augment.pitch=1", "augment.pitch:"),
        ("data.corpora=[]", "data: .*manifest"),
        ("data.manifest=x.parquet", "data: .*manifest"),
        ("target.bands=[30]", "target.bands:"),
        ("target.task=race", "target.task:"),
        ("preprocess=[loud]", "preprocess: .*loud"),
        ("data.corpora=[{path: x, name: y}]", "data.corpora.0.licence:"),
        ("data.shares={train: 0.5, test: 0.4}", "data.shares:"),
        ("data.shares={train: 1.5, test: -0.5}", "data.shares:"),
        ("features.name=mfcc", "features.config: .*mfcc"),
        ("features.name=3", "features.name:"),
        ("features.config={hop: 0}", "features.config: .*hop"),
        ("features.config={bands: 4}", "features.config: .*bands"),
        ("bundle.coverage=1", "bundle.coverage:"),
    ],
)
def test_a_wrong_key_or_value_is_named(recipe_file: Path, override: str, named: str) -> None:
    with pytest.raises(RecipeError, match=named) as caught:
        load_recipe(recipe_file, [override])
    assert caught.value.code == "recipe_field"
    assert str(recipe_file) in str(caught.value)


@pytest.mark.parametrize("override", ["train.epochs", "=3", "seed.x=1", "train.epochs.x=1", "train.crop=[1"])
def test_an_override_that_makes_no_sense_is_named(recipe_file: Path, override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file, [override])
    assert caught.value.code == "recipe_field"
    assert override in str(caught.value)


def test_a_wrong_setting_of_the_system_is_named(recipe_file: Path) -> None:
    for override, named in (
        ("network.branches=2", "network.branches"),
        ("network.branch=-2", "network.branch"),
        ("system=magic", "crnn"),
        ("system=crnn", "network.branch"),
    ):
        with pytest.raises(RecipeError, match=named) as caught:
            load_recipe(recipe_file, [override])
        assert caught.value.code == "recipe_field"
    with pytest.raises(RecipeError, match=r"features\.name: finetuned-ge2e reads mel-voice, not functionals"):
        load_recipe(recipe_file, ["features={name: functionals}"])
    with pytest.raises(RecipeError, match="no untouched encoder"):
        load_recipe(recipe_file, ["system=crnn", "network={}", "features={}", "train.embedding_weight=1"])
    with pytest.raises(RecipeError, match=r"target\.task: ensemble learns both, not age"):
        load_recipe(recipe_file, ["system=ensemble", "target.task=age", "network={members: [a, b]}"])


def test_other_features_do_not_take_over_the_settings_of_the_published_ones(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, ["system=embedding-fnn", "network={}", "features={name: waveform}"])
    assert recipe.features.name == "waveform"
    assert "n_mels" not in recipe.features.config
    assert recipe.features.versions == get_system("embedding-fnn").defaults["features"]["versions"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_recipe_needs_data_and_a_name_alone(tmp_path: Path, name: str) -> None:
    network = {"network": {"members": ["a", "b"]}} if name == "ensemble" else {}
    content = {"system": name, "data": {"manifest": "x.parquet"}, "bundle": {"name": "ours"}, **network}
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content))
    recipe = load_recipe(file)
    system, settings = system_of(recipe)
    assert system.name == name
    assert isinstance(settings, system.settings)
    assert recipe.target.task in system.tasks


@pytest.mark.parametrize("missing", ["data", "bundle"])
def test_what_must_be_there_is_named(recipe_file: Path, missing: str) -> None:
    content = yaml.safe_load(RECIPE)
    del content[missing]
    recipe_file.write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match=f": {missing}: Field required"):
        load_recipe(recipe_file)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "recipe_field"),
        (b"hello", "recipe_field"),
        (b"- a\n- b\n", "recipe_field"),
        (b"train: [", "recipe_syntax"),
        (b"a: b: c", "recipe_syntax"),
        (b"\xff\xfe\x00\x01", "recipe_syntax"),
        (b"x: !!python/object/apply:os.getcwd []", "recipe_syntax"),
    ],
)
def test_what_is_no_recipe(tmp_path: Path, content: bytes, code: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    with pytest.raises(RecipeError, match=r"recipe\.yaml") as caught:
        load_recipe(file)
    assert caught.value.code == code


def test_a_recipe_names_a_system(recipe_file: Path) -> None:
    recipe_file.write_text(RECIPE.replace("system: finetuned-ge2e\n", ""))
    with pytest.raises(RecipeError, match="names a system"):
        load_recipe(recipe_file)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert caught.value.code == "recipe_not_found"


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.name)
def test_the_recipes_of_the_repository_can_be_read(file: Path) -> None:
    recipe = load_recipe(file)
    names = [source.path for source in recipe.data.corpora]
    assert "coswara-counting" not in names, "it is the out-of-domain tuning set: never trained on"
    assert len(names) == len(set(names))
