"""`voxtrait systems` lists what can be trained and says of what it is made."""

from __future__ import annotations

import json

import pytest
from cli_toys import run

from voxtrait.systems import SYSTEMS
from voxtrait.training.sections import Recipe


def test_the_list_has_every_system() -> None:
    done = run("systems")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(SYSTEMS)
    rows = json.loads(run("systems", "--format", "json").stdout)
    assert {row["system"] for row in rows} == set(SYSTEMS)
    assert all(row["what it is"].endswith(".") for row in rows)


@pytest.mark.parametrize("name", ["crnn", "embedding-fnn"])
def test_a_network_shows_its_layers_and_what_they_hold(name: str) -> None:
    shown = json.loads(run("systems", "show", name, "--format", "json").stdout)
    heads = {layer["layer"]: layer for layer in shown["layers"] if layer["layer"].startswith("heads.")}
    assert any(layer["output"] == [1] for layer in heads.values())
    total = sum(layer["parameters"] for layer in shown["layers"])
    assert f"{total:,} parameters" in run("systems", "show", name).stdout.decode()


def test_a_frozen_encoder_hands_its_vectors_to_the_heads() -> None:
    layers = json.loads(run("systems", "show", "ge2e-layers", "--format", "json").stdout)["layers"]
    parameters = {layer["layer"]: layer["parameters"] for layer in layers}
    assert parameters["heads.layers.gender.2"] == 64 * (2 * 512 + 256) + 64


@pytest.mark.parametrize("name", ["svm", "finetuned-ge2e"])
def test_every_field_of_a_recipe_is_explained(name: str) -> None:
    fields = json.loads(run("systems", "show", name, "--format", "json").stdout)["fields"]
    keys = [field["key"] for field in fields]
    assert {"seed", "target.task", "train.rate", "features.versions", "bundle.name"} <= set(keys)
    assert {key.partition(".")[0] for key in keys} == set(Recipe.model_fields) - {"system"}
    assert [field["key"] for field in fields if not field["about"]] == []


def test_a_system_that_there_is_not() -> None:
    done = run("systems", "show", "magic")
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error[recipe_field]: ")
    assert "crnn" in done.stderr.decode()
