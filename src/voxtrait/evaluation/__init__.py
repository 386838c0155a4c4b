"""Honest evaluation: a bundle's answers on labelled recordings, figures with intervals over speakers."""

from voxtrait.evaluation.answers import CONDITIONS, Condition, collect_answers
from voxtrait.evaluation.metrics import Figure, age_figures, gender_figures

__all__ = ["CONDITIONS", "Condition", "Figure", "age_figures", "collect_answers", "gender_figures"]
