"""The network on a frozen encoder's vectors, and its published recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from voxtrait.features import build_features
from voxtrait.systems import get_system
from voxtrait.systems.embedding_fnn import SYSTEM, EmbeddingFnn, EmbeddingFnnSettings
from voxtrait.systems.encoders import ENCODERS
from voxtrait.systems.system import TASKS, YEARS, AgeScale, Targets, Task
from voxtrait.training.recipe import load_recipe, system_of

RECIPES = Path(__file__).parents[2] / "recipes"
BANDS = AgeScale.bands((13, 20, 30))


@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_each_task_has_its_outputs(task: Task) -> None:
    targets = Targets(task, BANDS)
    network = EmbeddingFnn(EmbeddingFnnSettings(), targets, 12).eval()
    vectors = torch.randn(5, 1, 12)
    out = network(vectors, torch.ones(5, dtype=torch.int64))
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        **({"gender": (5,)} if targets.gender else {}),
        **({"age": (5, 3)} if targets.age else {}),
        **({"joint": (5, 6)} if task == "gender_age" else {}),
        "embedding": (5, 12),
    }
    cosine = torch.nn.functional.cosine_similarity(out["embedding"], vectors[:, 0])
    assert torch.allclose(cosine, torch.ones(5))
    assert torch.allclose(out["embedding"].norm(dim=1), torch.ones(5))


def test_it_learns_what_no_straight_line_tells_apart() -> None:
    torch.manual_seed(0)
    network = EmbeddingFnn(EmbeddingFnnSettings(hidden=64), Targets("gender", YEARS), 2)
    vectors = torch.randn(400, 1, 2)
    female = (vectors[:, 0, 0] * vectors[:, 0, 1] > 0).float()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(150):
        optimiser.zero_grad()
        logit = network(vectors[:300], torch.ones(300))["gender"]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, female[:300])
        torch.autograd.backward(loss)
        optimiser.step()
    logit = network.eval()(vectors[300:], torch.ones(100))["gender"]
    assert float(((logit > 0) == (female[300:] > 0)).float().mean()) > 0.85


def test_the_hidden_layer_is_as_wide_as_the_vectors_unless_said() -> None:
    def units(hidden: int | None) -> int:
        network = EmbeddingFnn(EmbeddingFnnSettings(hidden=hidden), Targets("gender", YEARS), 12)
        return int(next(network.parameters()).shape[0])

    assert (units(None), units(7)) == (12, 7)


def test_the_system_gives_the_frozen_encoder_of_its_settings() -> None:
    system = get_system("embedding-fnn")
    assert system.frozen is not None
    encoder = system.frozen(EmbeddingFnnSettings())
    assert not encoder.training
    assert encoder(torch.rand(2, 60, 40), torch.tensor([60, 45])).shape == (2, 256)


def test_ge2e_has_no_other_source() -> None:
    with pytest.raises(ValidationError, match="ge2e takes no source"):
        EmbeddingFnnSettings(encoder="ge2e", source="somewhere")


@pytest.mark.parametrize("name", ["embedding-fnn", "embedding-fnn-ecapa", "embedding-fnn-wav2vec2"])
def test_a_published_recipe_makes_the_features_that_its_encoder_reads(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    system, settings = system_of(recipe)
    assert system is SYSTEM
    assert isinstance(settings, EmbeddingFnnSettings)
    module, kind = ENCODERS[settings.encoder]
    reads = getattr(__import__(module, fromlist=[kind]), kind).reads
    needed = build_features(reads.name, reads.config)
    made = build_features(recipe.features.name, recipe.features.config)
    assert (made.name, made.config) == (needed.name, needed.config)
