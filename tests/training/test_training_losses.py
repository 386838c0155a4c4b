from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from voxtrait.systems.system import YEARS, AgeScale
from voxtrait.training.losses import age_loss, age_targets, embedding_loss, gender_loss, joint_loss

SCALE = YEARS
AGES = SCALE.grid
BANDS = AgeScale.bands((13, 20, 30, 40, 50))
GRID = np.array(AGES)
NAN = float("nan")


def target(low: float, high: float, spread: float = 4.0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.asarray(age_targets(np.array([low]), np.array([high]), SCALE, spread)[0])


@given(st.floats(4, 96), st.floats(0, 20), st.floats(0.5, 10))
def test_targets_are_distributions_about_the_interval(low: float, width: float, spread: float) -> None:
    high = min(low + width, 96.0)
    found = target(low, high, spread)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-5)
    inside = (low - 0.5 - 4 * spread <= GRID) & (high + 0.5 + 4 * spread >= GRID)
    assert found[inside].sum() > 0.999


def test_an_exact_age_is_a_bell() -> None:
    found = target(40, 40)
    assert GRID[found.argmax()] == 40
    np.testing.assert_allclose(found[31:36], found[41:36:-1], rtol=1e-5)
    deviation = float(np.sqrt(found @ (GRID - 40) ** 2))
    assert deviation == pytest.approx(np.sqrt(16 + 1 / 12), rel=0.01)


def test_a_band_is_a_plateau_with_soft_shoulders() -> None:
    found = target(30, 39, spread=1.0)
    inside = found[(GRID >= 32) & (GRID <= 36)]
    np.testing.assert_allclose(inside, inside[0], rtol=0.02)
    # Half a year beyond either end the density has fallen to a half.
    assert found[GRID == 40][0] == pytest.approx(0.31 * inside[0], rel=0.05)
    assert found @ GRID == pytest.approx(34.5, abs=0.1)


@given(st.floats(0, 100), st.floats(0, 20), st.floats(0.5, 10))
def test_targets_over_groups_are_those_over_years_summed_up(low: float, width: float, spread: float) -> None:
    found = age_targets(np.array([low]), np.array([low + width]), BANDS, spread)[0]
    assert found.sum() == pytest.approx(1, abs=1e-5)
    inside = 13 + 4 * spread <= low and low + width <= 60 - 4 * spread
    if inside:
        years = target(low, low + width, spread)
        summed = np.bincount(BANDS.classes(GRID, GRID), years, minlength=len(BANDS))
        np.testing.assert_allclose(found, summed, atol=2e-4)


@given(st.floats(0, 100), st.floats(0, 30))
def test_without_blur_a_target_is_the_group_of_the_middle(low: float, width: float) -> None:
    high = low + width
    found = age_targets(np.array([low]), np.array([high]), BANDS, 0.0)[0]
    assert sorted(found) == [0, 0, 0, 0, 1]
    middle = (low + high + 1) / 2 if high > low else low
    edges = (13, 20, 30, 40, 50, 200)
    assert found[sum(middle >= edge for edge in edges[1:-1])] == 1


def test_a_band_of_the_labels_is_one_group() -> None:
    lows, highs = np.array([13.0, 20, 30, 40, 50, 60, 19, NAN]), np.array([19.0, 29, 39, 49, 59, 69, 19, NAN])
    assert BANDS.classes(lows, highs).tolist() == [0, 1, 2, 3, 4, 4, 0, -1]
    assert BANDS.grid == (16.5, 25, 35, 45, 55)


def test_an_unknown_age_is_zeros() -> None:
    found = age_targets(np.array([NAN, 30.0]), np.array([NAN, 39.0]), SCALE, 4.0)
    assert found[0].tolist() == [0.0] * len(AGES)
    np.testing.assert_array_equal(found[1], target(30, 39))


def gender(logits: list[float], female: list[float], weights: list[float], smoothing: float = 0.0) -> float:
    loss = gender_loss(torch.tensor(logits), torch.tensor(female), torch.tensor(weights), smoothing)
    return float(loss)


def test_joint_loss_is_the_cross_entropy_over_gender_and_age() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0], [5.0, 0.0, 0.0, 0.0], [9.0, 9.0, 0.0, 0.0]])
    female = torch.tensor([0.0, 1.0, NAN])
    ages = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    weights = torch.tensor([1.0, 3.0, 100.0])
    each = torch.nn.functional.cross_entropy(logits[:2], torch.tensor([3, 0]), reduction="none")
    expected = float((each * weights[:2]).sum() / 4)
    assert float(joint_loss(logits, female, ages, weights)) == pytest.approx(expected, rel=1e-6)
    unknown = joint_loss(logits[2:], female[2:], ages[2:], weights[2:])
    assert float(unknown) == 0


def test_gender_loss_is_the_weighted_cross_entropy() -> None:
    assert gender([0.0], [1.0], [1.0]) == pytest.approx(np.log(2))
    assert gender([2.0, -1.0], [1.0, 1.0], [3.0, 1.0]) == pytest.approx(
        (3 * np.log1p(np.exp(-2)) + np.log1p(np.exp(1))) / 4
    )
    assert gender([20.0], [1.0], [1.0]) < gender([20.0], [1.0], [1.0], smoothing=0.1)


def test_labels_that_are_neither_count_for_nothing() -> None:
    assert gender([1.0, 7.0], [0.0, NAN], [1.0, 9.0]) == pytest.approx(gender([1.0], [0.0], [1.0]))


def test_a_batch_without_labels_has_no_gradient() -> None:
    logits = torch.ones(2, requires_grad=True)
    gender_loss(logits, torch.tensor([NAN, NAN]), torch.ones(2), 0.1).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.tolist() == [0, 0]
    scores = torch.ones(2, len(AGES), requires_grad=True)
    loss = age_loss(scores, torch.zeros(2, len(AGES)), torch.tensor(AGES), torch.ones(2), 1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    assert not scores.grad.any()


def age(logits: torch.Tensor, targets: torch.Tensor, mean_weight: float, weights: list[float]) -> float:
    return float(age_loss(logits, targets, torch.tensor(AGES), torch.tensor(weights), mean_weight))


def test_age_loss_is_least_at_the_target() -> None:
    wanted = torch.from_numpy(target(30, 39))[None]
    best = age(wanted.log().clamp(min=-50), wanted, 1.0, [1.0])
    for other in (target(40, 49), target(30, 30), target(0, 100)):
        assert age(torch.from_numpy(other).log().clamp(min=-50)[None], wanted, 1.0, [1.0]) > best


def test_age_loss_weighs_the_error_of_the_mean() -> None:
    wanted = torch.from_numpy(target(30, 30))[None]
    off = torch.from_numpy(target(50, 50)).log().clamp(min=-50)[None]
    without, with_mean = (age(off, wanted, weight, [1.0]) for weight in (0.0, 1.0))
    # Smooth L1 of two decades.
    assert with_mean - without == pytest.approx(1.5, abs=0.01)


def test_unknown_ages_count_for_nothing() -> None:
    wanted = torch.from_numpy(np.stack([target(30, 39), np.zeros(len(AGES), np.float32)]))
    logits = torch.randn(2, len(AGES), generator=torch.Generator().manual_seed(0))
    both = age(logits, wanted, 1.0, [1.0, 100.0])
    assert both == pytest.approx(age(logits[:1], wanted[:1], 1.0, [1.0]))


def test_embedding_loss_is_one_minus_the_cosine() -> None:
    one, other = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[1.0, 0.0], [-0.6, -0.8]])
    assert float(embedding_loss(one, one)) == pytest.approx(0)
    assert float(embedding_loss(one, other)) == pytest.approx(1)
