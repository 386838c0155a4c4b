"""The card's rules and its arithmetic."""

from __future__ import annotations

import copy
import json
import warnings
from typing import Any

import numpy as np
import pytest
from bundle_toys import GRID, toy_card
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrait import labels
from voxtrait.bundle import AgeCard, CalibrationRow, Card, GenderCard, IntervalRow
from voxtrait.bundle.cardfile import parse_card
from voxtrait.errors import BundleError

CARD: dict[str, Any] = json.loads(toy_card().model_dump_json())


def changed(path: str, value: Any) -> bytes:
    """Return the toy card as JSON with one value replaced; DELETE takes it away."""
    data = copy.deepcopy(CARD)
    *parents, last = path.split(".")
    spot: Any = data
    for part in parents:
        spot = spot[int(part)] if isinstance(spot, list) else spot[part]
    if value == "DELETE":
        del spot[last]
    else:
        spot[int(last) if isinstance(spot, list) else last] = value
    return json.dumps(data).encode()


def refusal(raw: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        parse_card(raw, "here")
    assert caught.value.code == "bundle_schema"
    assert caught.value.message.startswith("here: card.json")
    assert caught.value.message.isprintable()
    return caught.value.message


def test_a_card_survives_json() -> None:
    card = toy_card()
    again = parse_card(card.model_dump_json(indent=2).encode(), "here")
    assert again == card
    assert again.title == "toy 0.1"
    assert [type(value) for value in again.features.config.values()] == [int, float, bool]


def test_every_field_is_described() -> None:
    definitions = Card.model_json_schema()
    for section in [definitions, *definitions["$defs"].values()]:
        for name, field in section["properties"].items():
            assert field.get("description"), (section["title"], name)


def test_a_card_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        toy_card().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("name", "../evil", "name: String should match pattern"),
        ("name", "Voxtrait", "name: "),
        ("name", "toy\n", "name: "),
        ("version", "1.0\x1b[2J", "version: "),
        ("licence", "", "licence: "),
        ("licence", "MIT\x1b[31m", "licence: text must not hold control characters"),
        ("description", "a\u202eb", "description: text must not hold control"),
        ("created", "2026-02-30", "created: "),
        ("created", "yesterday", "created: "),
        ("features.config.bands", [1], "features.config.bands: a setting is a finite number"),
        ("features.config.bands", "a\x07", "features.config.bands: a setting is a finite number"),
        ("window", 0, "window: Input should be greater than 0, not 0"),
        ("window", "4.0", "window: Input should be a valid number"),
        ("window", True, "window: Input should be a valid number"),
        ("hop", 5.0, "hop must not be longer than window"),
        ("hop", "DELETE", "hop: Field required"),
        ("min_speech", -1, "min_speech: "),
        ("colour", "red", "colour: there is no such key in a card"),
        ("gender.labels", ["male", "female"], "gender.labels.0: Input should be 'female'"),
        ("gender.calibration", [], "gender.calibration: "),
        ("gender.calibration.0.speech", 0, "gender.calibration.0.speech: Input should be greater than 0"),
        ("gender.calibration.0.speech", 9, "gender: the speech of calibration rows must ascend"),
        ("gender.calibration.0.scale", -1, "gender.calibration.0.scale: "),
        (
            "gender.unsure_below",
            0.4,
            "gender.unsure_below: Input should be greater than or equal to 0.5, not 0.4",
        ),
        ("gender.unsure_below", 1.1, "gender.unsure_below: "),
        ("gender.unsure_child", 0, "gender.unsure_child: "),
        ("age", None, "gender.unsure_child needs an age section"),
        ("age.grid", [20], "age.grid: "),
        ("age.grid", [i / 10 for i in range(401)], "age.grid: "),
        ("age.grid", [20, 30, 30], "age: the ages of the grid must ascend"),
        ("age.grid", [20, 200], "age.grid.1: "),
        ("age.temperature", 0, "age.temperature: "),
        ("age.coverage", 1, "age.coverage: "),
        ("age.interval.0.low", 0.95, "age.interval.0: low must be less than high"),
        ("age.interval.0.high", 1.5, "age.interval.0.high: "),
        ("embedding.size", 0, "embedding.size: "),
        ("embedding.size", 3.5, "embedding.size: "),
        ("training.corpora.0.hours", -1, "training.corpora.0.hours: "),
        ("training", "DELETE", "training: Field required"),
        ("metrics.0.low", 0.99, "metrics.0: low must not be greater than high"),
        ("sha256", "A" * 64, "sha256: "),
        ("schema_version", 2, "upgrade with: pip install -U voxtrait"),
        ("schema_version", 0, "schema_version: Input should be 1"),
        ("schema_version", "1", "schema_version: Input should be 1"),
        ("schema_version", "DELETE", "no schema_version"),
        ("evil\x1b[2J", 1, r"evil\x1b[2J: there is no such key"),
        ("name", "\x1b[2J" * 50, "name: "),
    ],
)
def test_a_wrong_field_is_named(path: str, value: Any, said: str) -> None:
    assert said in refusal(changed(path, value))


def test_a_card_must_tell_something() -> None:
    data = CARD | {"gender": None, "age": None}
    assert "needs a gender or an age section" in refusal(json.dumps(data).encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("path", ["window", "features.config.floor", "metrics.0.value"])
def test_numbers_are_finite(path: str, number: str) -> None:
    raw = changed(path, "PLACE").replace(b'"PLACE"', number.encode())
    said = refusal(raw)
    assert "finite number" in said if "e" in number else f"{number} is not a number" in said


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff{}",
        b"[" * 100_000,
        b'{"a": 1, "a": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_broken_json(raw: bytes) -> None:
    assert "not valid JSON" in refusal(raw)


@pytest.mark.parametrize(
    "raw", [b"[]", b"null", b"1", b'"card"', b"{}", b'{"name": "\\ud800", "schema_version": 1}']
)
def test_json_that_is_no_card(raw: bytes) -> None:
    refusal(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(raw: bytes) -> None:
    refusal(raw)


finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
seconds = st.floats(0, 1e6)
probabilities = st.floats(0, 1)


@st.composite
def genders(draw: st.DrawFn) -> GenderCard:
    speech = draw(st.lists(st.floats(0.01, 3600), min_size=1, max_size=5, unique=True).map(sorted))
    rows = tuple(
        CalibrationRow(speech=s, scale=draw(st.floats(0, 1000)), bias=draw(st.floats(-1000, 1000)))
        for s in speech
    )
    return GenderCard(calibration=rows, unsure_below=0.6)


@st.composite
def ages(draw: st.DrawFn) -> AgeCard:
    grid = draw(st.lists(st.floats(0, 120), min_size=2, max_size=30, unique=True).map(sorted))
    speech = draw(st.lists(st.floats(0.01, 3600), min_size=1, max_size=4, unique=True).map(sorted))
    levels = [
        sorted(draw(st.lists(probabilities, min_size=2, max_size=2, unique=True).map(sorted))) for _ in speech
    ]
    return AgeCard(
        grid=tuple(grid),
        temperature=draw(st.floats(0.01, 100)),
        scale=draw(st.floats(0.01, 3)),
        shift=draw(st.floats(-100, 100)),
        interval=tuple(
            IntervalRow(speech=s, low=low, high=high, margin=draw(st.floats(-100, 100)))
            for s, (low, high) in zip(speech, levels, strict=True)
        ),
    )


@st.composite
def ages_and_masses(draw: st.DrawFn) -> tuple[AgeCard, NDArray[np.float64]]:
    card = draw(ages())
    width = len(card.grid)
    rows = draw(st.lists(st.lists(finite, min_size=width, max_size=width), min_size=1, max_size=3))
    return card, card.distribution(np.array(rows, np.float32))


@given(genders(), finite, finite, seconds)
def test_gender_rises_with_the_logit(card: GenderCard, one: float, other: float, speech: float) -> None:
    low, high = card.probability(np.array(sorted([one, other])), speech)
    assert 0 <= low <= high <= 1


@given(genders(), st.floats(-50, 50), seconds)
def test_calibration_stays_between_its_rows(card: GenderCard, logit: float, speech: float) -> None:
    ends = [float(card.probability(logit, row.speech)) for row in card.calibration]
    found = float(card.probability(logit, speech))
    assert min(ends) - 1e-9 <= found <= max(ends) + 1e-9
    first, last = card.calibration[0], card.calibration[-1]
    assert card.probability(logit, 0) == card.probability(logit, first.speech)
    assert card.probability(logit, np.inf) == card.probability(logit, last.speech)


def test_calibration_is_linear_in_the_logarithm_of_speech() -> None:
    card = toy_card().gender
    assert card is not None
    logits = np.array([0.3, 0.3, 0.3])
    expected = 1 / (1 + np.exp(-np.array([1 * 0.3 + 0, 1.5 * 0.3 + 0.5, 2 * 0.3 + 1])))
    np.testing.assert_allclose(card.probability(logits, np.array([1, 3, 9])), expected, rtol=1e-12)
    assert card.probability(np.float32(0.3), 3.0).shape == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_numbers_are_refused(bad: float) -> None:
    card = toy_card()
    assert card.gender is not None
    assert card.age is not None
    with pytest.raises(BundleError, match="not numbers"):
        card.gender.probability(np.array([0.0, bad]), 1.0)
    with pytest.raises(BundleError, match="not numbers"):
        card.age.distribution(np.full((1, len(GRID)), bad))


@pytest.mark.parametrize("shape", [(2, 4), (5,), (1, 1, 5), (0,)])
def test_scores_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    card = toy_card().age
    assert card is not None
    for method in (
        card.distribution,
        card.groups,
        lambda p: card.estimate(p, 1.0),
        lambda p: card.quantile(p, 0.5),
    ):
        with pytest.raises(BundleError, match="grid of 5 ages"):
            method(np.zeros(shape))


@given(ages_and_masses(), seconds)
def test_ages_are_in_order_and_in_range(case: tuple[AgeCard, NDArray[np.float64]], speech: float) -> None:
    card, masses = case
    years, low, high = card.estimate(masses, speech)
    assert years.shape == low.shape == high.shape == (len(masses),)
    assert np.all((low >= 0) & (low <= years) & (years <= high) & (high <= labels.MAX_AGE))


@given(ages_and_masses())
def test_masses_sum_to_one(case: tuple[AgeCard, NDArray[np.float64]]) -> None:
    card, masses = case
    groups = card.groups(masses)
    assert groups.shape == (len(masses), len(labels.AGE_GROUPS))
    assert (groups >= 0).all()
    np.testing.assert_allclose(masses.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(groups.sum(axis=1), 1, atol=1e-12)


@given(ages_and_masses(), st.lists(probabilities, min_size=2, max_size=2).map(sorted))
def test_quantiles_ascend(case: tuple[AgeCard, NDArray[np.float64]], levels: list[float]) -> None:
    card, masses = case
    low, high = card.quantile(masses, levels[0]), card.quantile(masses, levels[1])
    assert (low <= high + 1e-9).all()
    first, last = card.grid[0] - card.grid[1], 2 * card.grid[-1]
    assert (low >= card.scale * first + card.shift - 1e-9).all()
    assert (high <= card.scale * last + card.shift + 1e-9).all()


@given(ages_and_masses(), st.data())
def test_the_quantile_inverts_the_cumulative_mass(
    case: tuple[AgeCard, NDArray[np.float64]], data: st.DataObject
) -> None:
    card, masses = case
    point = data.draw(st.integers(0, len(card.grid) - 2))
    middle = card.scale * (card.grid[point] + card.grid[point + 1]) / 2 + card.shift
    below = masses[:, : point + 1].sum(axis=1)
    sure = (masses[:, point] > 1e-6) & (masses[:, point + 1] > 1e-6)
    found = card.quantile(masses, np.minimum(below, 1))
    np.testing.assert_allclose(found[sure], middle, atol=1e-3)


def test_a_peak_has_its_median_at_its_age() -> None:
    card = toy_card().age
    assert card is not None
    peak = np.eye(len(GRID))
    np.testing.assert_allclose(card.quantile(peak, 0.5), GRID)
    np.testing.assert_allclose(card.quantile(peak, 1.0), np.array(GRID) + 5)
    years, low, high = card.estimate(peak, 10.0)
    np.testing.assert_allclose(years, GRID)
    np.testing.assert_allclose(low, np.array(GRID) - 4 - 1.5)
    np.testing.assert_allclose(high, np.array(GRID) + 4 + 1.5)


def test_the_interval_widens_to_hold_the_mean() -> None:
    row = IntervalRow(speech=1, low=0.1, high=0.5, margin=-3)
    card = AgeCard(grid=GRID, interval=(row,), scale=1.0, shift=0.0)
    years, low, high = card.estimate(np.array([[0.6, 0, 0, 0, 0.4]]), 1.0)
    assert low[0] <= years[0] == high[0] == 26.0


def test_temperature_flattens() -> None:
    logits = np.array([[0.0, 1.0, 3.0, 1.0, 0.0]])
    row = (IntervalRow(speech=1, low=0.1, high=0.9),)
    sharp = AgeCard(grid=GRID, interval=row).distribution(logits)
    flat = AgeCard(grid=GRID, interval=row, temperature=4).distribution(logits)
    assert flat.max() < sharp.max()
    np.testing.assert_allclose(np.log(sharp[0, 2] / sharp[0, 1]), 2)
    np.testing.assert_allclose(np.log(flat[0, 2] / flat[0, 1]), 0.5)


def test_groups_follow_the_labels() -> None:
    grid = (12.0, 12.9, 13.0, 19.0, 20.0, 79.9, 80.0, 110.0)
    card = AgeCard(grid=grid, interval=(IntervalRow(speech=1, low=0.1, high=0.9),))
    groups = card.groups(np.full((1, len(grid)), 1 / len(grid)))[0] * len(grid)
    expected = dict.fromkeys(labels.AGE_GROUPS, 0) | {
        "child": 2,
        "teens": 2,
        "twenties": 1,
        "seventies": 1,
        "eighties": 2,
    }
    np.testing.assert_allclose(groups, list(expected.values()))


def test_extreme_scores_warn_of_nothing() -> None:
    card = toy_card()
    assert card.gender is not None
    assert card.age is not None
    huge = np.finfo(np.float32).max
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert card.gender.probability(np.array([-huge, huge]), 0.0).tolist() == [0, 1]
        assert card.age.distribution(np.array([[huge, -huge, 0, 0, 0]])).tolist() == [[1, 0, 0, 0, 0]]
        assert card.age.distribution(np.empty((0, len(GRID)))).shape == (0, len(GRID))
        assert card.age.estimate(np.empty((0, len(GRID))), 1.0)[0].shape == (0,)
