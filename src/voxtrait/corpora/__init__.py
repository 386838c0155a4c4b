"""Corpora on disk become a Manifest: one table with one row a recording.

Columns: ``path`` (absolute), ``speaker`` (never empty), ``gender`` (female | male | other | null),
``age_low`` and ``age_high`` (years, closed interval, null when unknown), ``locale``, ``corpus``,
``split`` (train | validation | test | null), ``duration`` (seconds, null when not measured).
"""

from voxtrait.corpora.manifest import MANIFEST_SCHEMA, check_manifest, read_manifest, write_manifest
from voxtrait.corpora.readers import ImportCounts, read_common_voice, read_corpus, read_table
from voxtrait.corpora.splits import assign_folds, assign_splits, check_disjoint, speaker_table

__all__ = [
    "MANIFEST_SCHEMA",
    "ImportCounts",
    "assign_folds",
    "assign_splits",
    "check_disjoint",
    "check_manifest",
    "read_common_voice",
    "read_corpus",
    "read_manifest",
    "read_table",
    "speaker_table",
    "write_manifest",
]
