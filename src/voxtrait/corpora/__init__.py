"""Corpora on disk become a Manifest: one table with one row a recording.

Columns: ``path`` (absolute), ``speaker`` (never empty), ``gender`` (female | male | other | null),
``age_low`` and ``age_high`` (years, closed interval, null when unknown), ``locale``, ``corpus``,
``split`` (train | validation | test | null), ``duration`` (seconds, null when not measured), ``weight``
(how much a row counts in training, above 0; null is 1).

The audit stands apart, in `voxtrait.corpora.audit`: it needs a model.
"""

from voxtrait.corpora.balance import downsample, oversample, weigh
from voxtrait.corpora.common_voice import read_common_voice
from voxtrait.corpora.manifest import MANIFEST_SCHEMA, check_manifest, read_manifest, write_manifest
from voxtrait.corpora.readers import import_corpora, read_corpus
from voxtrait.corpora.splits import (
    assign_folds,
    assign_random_splits,
    assign_splits,
    check_disjoint,
    check_official,
    speaker_table,
    split_warnings,
)
from voxtrait.corpora.stats import CorpusStats, describe
from voxtrait.corpora.tables import ImportCounts, read_table

__all__ = [
    "MANIFEST_SCHEMA",
    "CorpusStats",
    "ImportCounts",
    "assign_folds",
    "assign_random_splits",
    "assign_splits",
    "check_disjoint",
    "check_manifest",
    "check_official",
    "describe",
    "downsample",
    "import_corpora",
    "oversample",
    "read_common_voice",
    "read_corpus",
    "read_manifest",
    "read_table",
    "speaker_table",
    "split_warnings",
    "weigh",
    "write_manifest",
]
