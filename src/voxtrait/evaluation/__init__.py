"""Honest evaluation: a bundle's answers on labelled recordings, figures with intervals over speakers."""

from voxtrait.evaluation.age import age_figures, band_figures, joint_figures
from voxtrait.evaluation.answers import CONDITIONS, Condition, answer_files, collect_answers
from voxtrait.evaluation.bands import band_of
from voxtrait.evaluation.children import child_figures
from voxtrait.evaluation.gender import gender_figures
from voxtrait.evaluation.resampling import Figure

__all__ = [
    "CONDITIONS",
    "Condition",
    "Figure",
    "age_figures",
    "answer_files",
    "band_figures",
    "band_of",
    "child_figures",
    "collect_answers",
    "gender_figures",
    "joint_figures",
]
