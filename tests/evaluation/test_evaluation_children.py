from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from voxtrait.evaluation.children import child_figures

_PEOPLE = st.lists(
    st.tuples(st.sampled_from([6.0, 12.0, 15.0, 18.0, 40.0, None]), st.sampled_from([0.0, 0.2, 0.5, 0.9])),
    min_size=1,
    max_size=30,
)


def _answers(people: list[tuple[float | None, float]]) -> pl.DataFrame:
    ages = [age for age, _ in people]
    return pl.DataFrame(
        {
            "speaker": [f"s{number}" for number in range(len(people))],
            "age_low": ages,
            "age_high": ages,
            "child": [probability for _, probability in people],
        },
        schema_overrides={"age_low": pl.Float64, "age_high": pl.Float64},
    )


@given(_PEOPLE)
def test_the_area_is_that_of_the_textbook(people: list[tuple[float | None, float]]) -> None:
    figures = {figure.name: figure for figure in child_figures(_answers(people))}
    known = [(age, child) for age, child in people if age is not None and (age < 13 or age >= 18)]
    truth = [age < 13 for age, _ in known]
    if len(set(truth)) == 2:
        expected = roc_auc_score(truth, [child for _, child in known])
        assert figures["child AUC"].value == pytest.approx(expected)
        assert (
            np.isnan(figures["child AUC"].low) or 0 <= figures["child AUC"].low <= figures["child AUC"].high
        )
    else:
        assert "child AUC" not in figures


@given(_PEOPLE)
def test_adults_called_child_are_counted(people: list[tuple[float | None, float]]) -> None:
    figures = {figure.name: figure.value for figure in child_figures(_answers(people))}
    adults = [child >= 0.5 for age, child in people if age is None or age >= 18]
    if adults:
        assert figures["adults called child"] == pytest.approx(np.mean(adults))
    else:
        assert "adults called child" not in figures


def test_without_answers_there_are_no_figures() -> None:
    assert child_figures(_answers([(6.0, 0.5)]).with_columns(child=pl.lit(None, pl.Float64))) == []
