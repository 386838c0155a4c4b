"""Whole archives: recordings in; out a data set that grows, survives a kill, and has a row for each file."""

from voxtrait.batch.dataset import Dataset, Settings
from voxtrait.batch.rows import COLUMNS, ESTIMATE_COLUMNS, Row, prediction_of, row_of

__all__ = ["COLUMNS", "ESTIMATE_COLUMNS", "Dataset", "Row", "Settings", "prediction_of", "row_of"]
