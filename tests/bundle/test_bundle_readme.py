"""A card as a page: the figures, and where they are worst."""

from __future__ import annotations

import pytest
from bundle_toys import toy_card

from voxtrait.bundle import Metric
from voxtrait.bundle.readme import card_body


def _metric(name: str, on: str, value: float) -> Metric:
    return Metric(name=name, on=on, value=value, low=value - 0.01, high=value + 0.01, n=9)


def test_the_worst_sets_are_named_worst_first() -> None:
    accuracies = {"quiet": 0.99, "street": 0.91, "telephone": 0.95, "bar": 0.88, "car": 0.97}
    metrics = [_metric("gender accuracy", on, value) for on, value in accuracies.items()]
    metrics += [
        _metric("gender wrong when decided", "quiet", 0.01),
        _metric("gender wrong when decided", "bar", 0.04),
    ]
    page = card_body(toy_card(metrics=tuple(metrics)))
    failures = page.partition("## Where it fails")[2].partition("## Figures")[0]
    right, wrong = (line for line in failures.splitlines() if line.startswith("- "))
    assert right.endswith("bar (0.880); street (0.910); telephone (0.950); car (0.970).")
    assert wrong.endswith("bar (0.040); quiet (0.010).")


@pytest.mark.parametrize("metrics", [(), (_metric("gender UAR", "quiet", 0.9),)])
def test_without_such_figures_nothing_is_said_to_fail(metrics: tuple[Metric, ...]) -> None:
    assert "Where it fails" not in card_body(toy_card(metrics=metrics))
