from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from torch import Tensor, nn

from voxtrait.features import build_features
from voxtrait.systems import get_system
from voxtrait.systems.system import TASKS, YEARS, AgeScale, Targets, Task
from voxtrait.training.export import export_onnx
from voxtrait.training.recipe import load_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NAMES = ("multitask-cnn", "mam-cnn", "dual-path-cnn", "crnn")
PUBLISHED = {
    "multitask-cnn": ("multitask-cnn", "multitask-cnn-augmented", "multitask-cnn-age"),
    "mam-cnn": ("mam-cnn", "mam-cnn-gender", "mam-cnn-age"),
    "dual-path-cnn": ("dual-path-cnn",),
    "crnn": ("crnn",),
}
BANDS = AgeScale.bands((13.0, 20.0, 30.0, 40.0, 50.0, 60.0))
GROUPS = len(BANDS)
OUTPUTS: dict[Task, dict[str, tuple[int, ...]]] = {
    "both": {"gender": (2,), "age": (2, GROUPS)},
    "gender": {"gender": (2,)},
    "age": {"age": (2, GROUPS)},
    "gender_age": {"gender": (2,), "age": (2, GROUPS), "joint": (2, 2 * GROUPS)},
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def size_of(name: str) -> int:
    features = get_system(name).defaults["features"]
    return build_features(features["name"], features["config"]).size


def make(name: str, task: Task = "both", ages: AgeScale = BANDS) -> nn.Module:
    system = get_system(name)
    assert system.network is not None
    return system.network(system.settings(), Targets(task, ages), size_of(name))


def crops(name: str, *lengths: int) -> tuple[Tensor, Tensor]:
    """Return crops of random power over six decades, zero beyond their lengths, and the lengths."""
    features = torch.zeros(len(lengths), max(lengths), size_of(name))
    for row, length in zip(features, lengths, strict=True):
        row[:length] = 10 ** (6 * torch.rand(length, row.shape[1]) - 5)
    return features, torch.tensor(lengths)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", NAMES)
def test_each_task_gets_its_outputs(name: str, task: Task) -> None:
    assert task in get_system(name).tasks
    out = make(name, task).eval()(*crops(name, 60, 41))
    assert {key: tuple(value.shape) for key, value in out.items()} == OUTPUTS[task]
    assert all(torch.isfinite(value).all() for value in out.values())


@pytest.mark.parametrize("name", NAMES)
def test_ages_may_be_single_years(name: str) -> None:
    out = make(name, "age", YEARS).eval()(*crops(name, 30))
    assert out["age"].shape == (1, len(YEARS))


@pytest.mark.parametrize("name", NAMES)
def test_a_crop_is_judged_alike_alone_and_beside_longer_ones(name: str) -> None:
    network = make(name).eval()
    lengths = (9, 41, 150, 420)
    features, sizes = crops(name, *lengths)
    with torch.no_grad():
        together = network(features, sizes)
        for row, length in enumerate(lengths):
            alone = network(features[row : row + 1, :length], sizes[row : row + 1])
            for key, value in alone.items():
                torch.testing.assert_close(value[0], together[key][row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_level_of_a_recording_does_not_matter(name: str) -> None:
    network = make(name).eval()
    features, lengths = crops(name, 80, 50)
    with torch.no_grad():
        loud, soft = network(features, lengths), network(features / 16, lengths)
    for key, value in loud.items():
        torch.testing.assert_close(value, soft[key], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_judged_too(name: str) -> None:
    features, lengths = torch.zeros(2, 40, size_of(name)), torch.tensor([40, 12])
    out = make(name).eval()(features, lengths)
    assert all(torch.isfinite(value).all() for value in out.values())


@pytest.mark.parametrize(
    ("name", "task"), [*((name, "both") for name in NAMES), *((name, "gender_age") for name in NAMES[:2])]
)
def test_the_exported_model_is_the_network(name: str, task: Task) -> None:
    network = make(name, task)
    # Fresh statistics are those of no data at all: the export would be checked where nothing is normalised.
    network.train()(*crops(name, 150, 90, 200, 30))
    session = onnxruntime.InferenceSession(export_onnx(network, size_of(name)))
    assert [(out.name, out.shape) for out in session.get_outputs()] == [
        ("gender", ["batch"]),
        ("age", ["batch", GROUPS]),
    ]
    features, lengths = crops(name, 31, 170, 420)
    given = session.run(None, {"features": features.numpy(), "lengths": lengths.numpy()})
    with torch.no_grad():
        expected = network.eval()(features, lengths)
    np.testing.assert_allclose(given[0], expected["gender"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(given[1], expected["age"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_gender_and_age_are_the_margins_of_both_at_once(name: str) -> None:
    with torch.no_grad():
        out = make(name, "gender_age").eval()(*crops(name, 60, 41))
    joint = out["joint"].softmax(1).reshape(2, 2, GROUPS)
    torch.testing.assert_close(out["gender"].sigmoid(), joint[:, 0].sum(1))
    torch.testing.assert_close(out["age"].softmax(1), joint.sum(1))


def separable(name: str, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return crops whose gender is the third of the spectrum that is loud, and whose age another bin."""
    features, lengths = crops(name, *[64] * count)
    female = torch.arange(count) % 2
    age = torch.arange(count) % GROUPS
    third = features.shape[2] // 3
    for row in range(count):
        first = third * int(female[row])
        features[row, :, first : first + third] *= 1e3
        bin_ = 2 * third + int(age[row]) * third // GROUPS
        features[row, :, bin_ : bin_ + third // GROUPS] *= 1e3
    return features, lengths, female, age


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps_learn_what_is_plain(name: str) -> None:
    network = make(name).train()
    features, lengths, female, age = separable(name, 12)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(10):
        out = network(features, lengths)
        loss = nn.functional.binary_cross_entropy_with_logits(out["gender"], female.float())
        loss = loss + nn.functional.cross_entropy(out["age"], age)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[-3:]) < 0.8 * losses[0]


def test_the_published_layers_of_mam_cnn() -> None:
    network = make("mam-cnn", "gender_age")
    shapes = [tuple(weight.shape) for weight in network.parameters() if weight.dim() > 1]
    block = [(256, 120, 5, 5), (384, 256, 3, 3)]
    assert shapes == [
        (120, 1, 9, 9),
        *block,
        *[(64, 384, 1, 9), (64, 64, 1, 3), (64, 64, 1, 3)],
        *[(64, 384, 9, 1), (64, 64, 3, 1), (64, 64, 3, 1)],
        (120, 512, 9, 9),
        *block,
        (80, 384),
        (12, 80),
    ]


def test_mam_cnn_sees_a_crop_as_one_image_whatever_its_length() -> None:
    """Each frame twice over is the same image: pixels cover equal shares of the crop."""
    network = make("mam-cnn").eval()
    features, lengths = crops("mam-cnn", 100)
    with torch.no_grad():
        once = network(features, lengths)
        twice = network(features.repeat_interleave(2, dim=1), 2 * lengths)
    for key, value in once.items():
        torch.testing.assert_close(value, twice[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["multitask-cnn", "dual-path-cnn", "crnn"])
def test_a_short_crop_begins_anew(name: str) -> None:
    network = make(name).eval()
    features, lengths = crops(name, 50)
    with torch.no_grad():
        once = network(features, lengths)
        thrice = network(features.repeat(1, 3, 1), 3 * lengths)
    for key, value in once.items():
        torch.testing.assert_close(value, thrice[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["multitask-cnn", "dual-path-cnn", "crnn"])
def test_an_image_holds_the_window(name: str) -> None:
    """What a window of the bundle holds is what the network looks at, no more and no less."""
    system = get_system(name)
    features = system.defaults["features"]
    extractor = build_features(features["name"], features["config"])
    samples = round(system.defaults["bundle"]["window"] * 16_000)
    frames = 1 + (samples - extractor.frame_span) // extractor.frame_shift
    assert system.settings().model_dump()["frames"] == frames


@pytest.mark.parametrize("name", [recipe for names in PUBLISHED.values() for recipe in names])
def test_published_recipes_can_be_read(name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    assert name in PUBLISHED[recipe.system]
    assert recipe.bundle.name == name
    system = get_system(recipe.system)
    assert system.network is not None
    targets = recipe.target.targets()
    size = build_features(recipe.features.name, recipe.features.config).size
    network = system.network(system.settings(**recipe.network), targets, size).eval()
    out = network(torch.rand(1, 40, size), torch.tensor([40]))
    assert set(out) == set(OUTPUTS[targets.task])
    written = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    assert "train" not in written


def test_the_age_specialist_takes_all_from_fifty_as_one() -> None:
    ages = load_recipe(RECIPES / "multitask-cnn-age.yaml").target.targets().ages
    assert ages.edges[:5] == (13.0, 20.0, 30.0, 40.0, 50.0)
    assert len(ages) == 5
