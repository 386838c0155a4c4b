"""Figures against scikit-learn's and against counting by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_recall_fscore_support

from voxtrait.errors import UsageError
from voxtrait.evaluation import Figure, age_figures, band_figures, band_of, gender_figures, joint_figures
from voxtrait.evaluation.age import band_confusion
from voxtrait.evaluation.bands import band_names, check_merge
from voxtrait.evaluation.gender import gender_answered, gender_confusion, reliability, risk_coverage
from voxtrait.evaluation.levels import signal_to_noise
from voxtrait.evaluation.subgroups import subgroups_of
from voxtrait.evaluation.wording import figure_words, shown
from voxtrait.labels import AGE_GROUPS, group_of
from voxtrait.speech import FRAME, Span

GROUPS = list(AGE_GROUPS)


def table(rows: int = 200, seed: int = 0, **columns: Any) -> pl.DataFrame:
    """Return made-up answers of 40 speakers, right more often than not."""
    rng = np.random.default_rng(seed)
    speaker = rng.integers(40, size=rows)
    is_female = speaker % 3 == 0
    female = np.clip(np.where(is_female, 0.75, 0.25) + rng.normal(0, 0.3, rows), 0, 1)
    decided = np.maximum(female, 1 - female) > 0.6
    label = np.where(decided, np.where(female > 0.5, "female", "male"), "unsure")
    age = 15.0 + speaker
    years = np.clip(0.5 * age + 15 + rng.normal(0, 8, rows), 0, 100)
    groups = np.array([[0.1 + 0.2 * (group_of(value) == name) for name in GROUPS] for value in years])
    data: dict[str, Any] = {
        "path": [f"/{row}.wav" for row in range(rows)],
        "speaker": [f"s{number:02}" for number in speaker],
        "gender": np.where(is_female, "female", "male"),
        "age_low": age,
        "age_high": age,
        "locale": [f"l{number % 12}" if number % 12 < 3 else f"rare{number}" for number in speaker],
        "corpus": ["made up"] * rows,
        "status": ["ok"] * rows,
        "duration": rng.uniform(1, 40, rows),
        "snr": rng.uniform(0, 50, rows),
        "female": female,
        "label": label,
        "years": years,
        "low": years - 10,
        "high": years + 10,
        "groups": pl.Series(groups, dtype=pl.Array(pl.Float32(), len(GROUPS))),
    }
    return pl.DataFrame(data | columns)


def named(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def test_gender_against_scikit_learn() -> None:
    answers = table()
    truth = answers["gender"].to_numpy()
    said = np.where(answers["female"].to_numpy() > 0.5, "female", "male")
    found = named(gender_figures(answers, "male"))
    assert found["gender accuracy"].value == pytest.approx((truth == said).mean())
    assert found["gender accuracy"].baseline == pytest.approx((truth == "male").mean())
    assert found["gender UAR"].value == pytest.approx(balanced_accuracy_score(truth, said))
    precision, recall, f1, _ = precision_recall_fscore_support(truth, said, labels=["female", "male"])
    for place, name in enumerate(("female", "male")):
        assert found[f"{name} precision"].value == pytest.approx(precision[place])
        assert found[f"{name} recall"].value == pytest.approx(recall[place])
        assert found[f"{name} F1"].value == pytest.approx(f1[place])
    assert all(figure.low <= figure.value <= figure.high for figure in found.values())
    assert {figure.speakers for figure in found.values()} == {answers["speaker"].n_unique()}


def test_deciding_and_calibration_by_hand() -> None:
    answers = pl.DataFrame(
        {
            "speaker": list("abcd"),
            "gender": ["female", "female", "male", "male"],
            "female": [0.97, 0.52, 0.98, 0.04],
            "label": ["female", "unsure", "female", "male"],
        }
    )
    found = named(gender_figures(answers))
    assert found["gender decided"].value == 0.75
    assert found["gender wrong when decided"].value == pytest.approx(1 / 3)
    # Bins of confidence: {0.52} and {0.97, 0.98, 0.96}, two thirds of which are right.
    expected = (abs(0.52 - 1) + abs(0.97 + 0.98 + 0.96 - 2)) / 4
    assert found["gender ECE"].value == pytest.approx(expected)
    low, high = reliability(answers)
    assert (low.x, low.y, low.recordings) == (0.52, 1.0, 1)
    assert [high.x, high.y, high.recordings] == pytest.approx([0.97, 2 / 3, 3])
    curve = risk_coverage(answers)
    assert (curve[0].x, curve[0].y) == (0.25, 1.0), "the surest answer of all is wrong"
    assert (curve[-1].x, curve[-1].y) == (1.0, 0.25)


def test_the_table_of_genders_counts_every_answer() -> None:
    answers = table().with_columns(
        gender=pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("other")).otherwise("gender"),
        status=pl.when(pl.int_range(pl.len()).is_between(5, 7)).then(pl.lit("no_speech")).otherwise("status"),
    )
    answers = answers.with_columns(label=pl.when(pl.col("status") == "ok").then("label"))
    found = gender_confusion(answers)
    assert found is not None
    assert (found.rows, found.columns) == (
        ("female", "male", "other"),
        ("female", "male", "unsure", "no_speech"),
    )
    assert found.counts.sum() == answers.height
    assert found.counts[:, 3].sum() == 3
    np.testing.assert_allclose(found.rates.sum(axis=1), 1)
    assert (found.low <= found.rates).all()
    assert (found.rates <= found.high).all()


def test_ages_by_hand() -> None:
    answers = pl.DataFrame(
        {
            "speaker": list("abc"),
            "age_low": [20.0, 30.0, 50.0],
            "age_high": [29.0, 30.0, 50.0],
            "years": [33.0, 30.0, 41.0],
            "low": [25.0, 20.0, 45.0],
            "high": [40.0, 29.0, 60.0],
        }
    )
    found = named(age_figures(answers, 40.0))
    assert found["age MAE"].value == pytest.approx((8.5 + 0 + 9) / 3)
    assert found["age MAE outside the band"].value == pytest.approx((3 + 0 + 9) / 3)
    assert found["age MAE"].baseline == pytest.approx((15.5 + 10 + 10) / 3)
    assert found["age MAE ratio"].value == pytest.approx(17.5 / 35.5)
    assert found["age coverage"].value == pytest.approx((0.5 + 0 + 1) / 3), "25 to 30 is half of 20 to 30"
    assert found["age interval width"].value == pytest.approx((15 + 9 + 15) / 3)
    x, y = np.array([33.0, 30, 41]), np.array([24.5, 30, 50])
    assert found["age correlation"].value == pytest.approx(np.corrcoef(x, y)[0, 1])
    lin = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert found["age CCC to the middle"].value == pytest.approx(lin)
    x, y = x[1:], y[1:]
    lin = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert found["age CCC"].value == pytest.approx(lin), "over the exact ages alone"


def test_a_model_that_always_says_the_same_agrees_with_nothing() -> None:
    found = named(age_figures(table(years=[40.0] * 200), 40.0))
    assert found["age MAE ratio"].value == pytest.approx(1)
    assert found["age correlation"].value == pytest.approx(0, abs=1e-6)
    assert found["age CCC"].value == pytest.approx(0, abs=1e-6)


@given(st.floats(0, 99), st.integers(0, 10), st.floats(0, 99), st.floats(0, 40))
def test_coverage_is_the_share_of_possible_ages(first: float, width: int, low: float, size: float) -> None:
    age_low, age_high = float(int(first)), float(int(first) + width)
    row = {"speaker": ["a"], "age_low": [age_low], "age_high": [age_high], "years": [low]}
    answers = pl.DataFrame(row | {"low": [low], "high": [low + size]})
    found = named(age_figures(answers, 30.0))["age coverage"].value
    if width == 0:
        assert found == float(low <= age_low <= low + size)
    else:
        ages = np.linspace(age_low, age_high + 1, 20_001)
        assert found == pytest.approx(((low <= ages) & (ages <= low + size)).mean(), abs=1e-3)


def test_bands_against_scikit_learn() -> None:
    answers = table()
    truth = [group_of(age) for age in answers["age_low"]]
    said = [group_of(years) for years in answers["years"]]
    found = named(band_figures(answers, 30.0))
    right = np.array(truth) == np.array(said)
    assert found["age band accuracy"].value == pytest.approx(right.mean())
    assert found["age band accuracy"].baseline == pytest.approx(truth.count("thirties") / len(truth))
    recalls = [right[np.array(truth) == name].mean() for name in set(truth)]
    assert found["age band UAR"].value == pytest.approx(np.mean(recalls))
    matrix = band_confusion(answers)
    assert matrix is not None
    assert list(matrix.columns) == [name for name in GROUPS if name in {*truth, *said}]
    expected = confusion_matrix(truth, said, labels=list(matrix.columns))
    assert matrix.counts.tolist() == expected[[row.any() for row in expected]].tolist()


def test_merged_bands_are_one_in_truth_and_answer() -> None:
    answers = table().with_columns(age_low=pl.col("age_low") + 30, age_high=pl.col("age_high") + 30)
    # Each older group has less than the twenties; together they have more.
    masses = [0.0, 0.0, 0.3, 0.0, 0.0, 0.2, 0.2, 0.2, 0.1]
    answers = answers.with_columns(groups=pl.Series([masses] * 200, dtype=pl.Array(pl.Float32(), 9)))
    apart, merged = band_confusion(answers), band_confusion(answers, 50)
    assert apart is not None
    assert merged is not None
    assert merged.rows == ("forties", "50-plus")
    assert apart.counts[:, list(apart.columns).index("twenties")].sum() == 200
    assert merged.counts[:, list(merged.columns).index("50-plus")].sum() == 200
    assert named(joint_figures(answers, "male", 60, 50))["gender and band UAR"].baseline == 1 / 4


@given(st.floats(0, 120), st.sampled_from([None, *(low for low, _ in AGE_GROUPS.values() if low)]))
def test_every_age_has_a_band(years: float, merge_from: float | None) -> None:
    band = band_of(years, merge_from)
    assert band in band_names(merge_from)
    if merge_from is None or years < merge_from:
        assert band == group_of(years)
    else:
        assert band == f"{merge_from:g}-plus"


@pytest.mark.parametrize("age", [0.0, 45.0, 81.0, float("nan")])
def test_bands_are_merged_only_where_one_begins(age: float) -> None:
    with pytest.raises(UsageError, match="13, 20, 30"):
        check_merge(age)


def test_gender_and_band_together() -> None:
    answers = table()
    gender = np.where(answers["female"].to_numpy() > 0.5, "female", "male") == answers["gender"].to_numpy()
    band = np.array([group_of(x) == group_of(y) for x, y in answers.select("age_low", "years").iter_rows()])
    found = named(joint_figures(answers, "male", 30.0))
    assert found["gender and band accuracy"].value == pytest.approx((gender & band).mean())
    majority = ((answers["gender"] == "male") & answers["age_low"].is_between(30, 39)).mean()
    assert found["gender and band accuracy"].baseline == pytest.approx(majority)


def test_one_class_has_no_uar_and_no_other_recall() -> None:
    women = table().filter(pl.col("gender") == "female")
    found = named(gender_figures(women))
    assert found["gender accuracy"].value == found["female recall"].value
    assert not {"gender UAR", "male recall"} & set(found)
    alike = named(band_figures(women.with_columns(age_low=pl.lit(33.0), age_high=pl.lit(33.0)), 30.0))
    assert set(alike) == {"age band accuracy"}


def test_nothing_labelled_gives_no_figure() -> None:
    nobody = table().with_columns(gender=pl.lit(None, pl.String), age_low=pl.lit(None, pl.Float64))
    assert gender_figures(nobody) == []
    assert age_figures(nobody, 30.0) == []
    assert band_figures(nobody, 30.0) == []
    assert joint_figures(nobody, "male", 30.0) == []
    assert gender_confusion(nobody) is None
    assert band_confusion(nobody) is None
    assert gender_answered(nobody).is_empty()


def test_subgroups_divide_the_recordings() -> None:
    answers = table().with_columns(snr=pl.when(pl.int_range(pl.len()) > 9).then("snr"))
    groups = subgroups_of(answers, "male", 30.0, None)
    for by in {group.by for group in groups}:
        parts = [group for group in groups if group.by == by]
        assert sum(part.recordings for part in parts) == answers.height, by
    of = {(group.by, group.name): group for group in groups}
    assert [group.name for group in groups if group.by == "signal to noise"] == [
        "under 10 dB", "10 to 20 dB", "20 to 30 dB", "30 dB and more", "not known",
    ]  # fmt: skip
    assert of["signal to noise", "not known"].recordings == 10
    # Fewer than five speakers each: together.
    assert {group.name for group in groups if group.by == "locale"} == {"all others"}
    teens = answers.filter((pl.col("gender") == "male") & (pl.col("age_low") < 20))
    cell = of["gender and band", "male, teens"]
    assert (cell.recordings, cell.speakers) == (teens.height, teens["speaker"].n_unique())
    assert cell.figures["age MAE"] == named(age_figures(teens, 30.0))["age MAE"]
    names = [group.name for group in groups if group.by == "gender and band"]
    assert names.index("female, twenties") < names.index("female, fifties") < names.index("male, teens")


def test_a_locale_with_five_speakers_stands_alone() -> None:
    answers = table().with_columns(locale=pl.when(pl.col("speaker") < "s05").then(pl.lit("cy")))
    names = [group.name for group in subgroups_of(answers, "male", 30.0, None) if group.by == "locale"]
    assert names == ["cy", "not known"]


@given(st.floats(-5, 50), st.integers(8, 60))
def test_signal_to_noise_is_what_was_mixed(decibels: float, frames: int) -> None:
    noise = np.full(frames, 1e-4)
    speech = np.full(20, 1e-4 * (1 + 10 ** (decibels / 10)))
    powers = np.concatenate([noise, speech])
    span = Span(frames * FRAME, (frames + 20) * FRAME)
    assert signal_to_noise(powers, [span]) == pytest.approx(decibels, abs=1e-6)


def test_signal_to_noise_at_the_ends() -> None:
    powers = np.concatenate([np.full(20, 1e-2), np.zeros(8)])
    whole = [Span(0, 20 * FRAME)]
    assert signal_to_noise(powers, whole) == 60, "digital silence"
    assert signal_to_noise(powers[:27], whole) is None, "too little between the speech"
    assert signal_to_noise(powers, []) is None
    assert signal_to_noise(powers[::-1], whole) == -10, "louder between than in it"


@pytest.mark.parametrize(
    ("name", "value", "signed", "words"),
    [
        ("gender accuracy", 0.9337, False, "93.4 %"),
        ("gender accuracy", -0.012, True, "-1.2 pp"),
        ("age MAE", 8.25, True, "+8.2 y"),
        ("age MAE ratio", -0.0001, True, "0.000"),
        ("age correlation", float("nan"), False, "–"),
    ],
)
def test_figures_in_words(name: str, value: float, signed: bool, words: str) -> None:
    assert shown(name, value, signed=signed) == words


def test_a_figure_with_its_interval_in_words() -> None:
    assert figure_words(Figure("gender UAR", 0.934, 0.91, 0.952, 9)) == "93.4 % (91.0 to 95.2 %)"
    assert figure_words(Figure("gender UAR", 0.934, float("nan"), float("nan"), 1)) == "93.4 %"
