"""Whole archives: recordings in, a data set out that grows, survives a kill, and says what each file holds."""

from voxtrait.batch.dataset import Dataset, Settings
from voxtrait.batch.rows import COLUMNS, ESTIMATE_COLUMNS, Row, prediction_of, row_of

__all__ = ["COLUMNS", "ESTIMATE_COLUMNS", "Dataset", "Row", "Settings", "prediction_of", "row_of"]
