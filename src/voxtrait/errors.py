"""Everything voxtrait raises on purpose.

::

    VoxtraitError
    ├── AudioError         a source that cannot be heard
    ├── BundleError        a model bundle that cannot be trusted or read
    ├── CorpusError        a corpus or manifest that cannot be used
    ├── RecipeError        a training recipe with a wrong key or value
    ├── ServiceError       a service that cannot be reached, or cannot answer
    ├── UsageError         an option or an argument that makes no sense
    └── MissingExtraError  a feature whose optional packages are not installed

Each error carries a ``code`` (lower case, stable, for programs) and a message (one sentence, for
people: what was wrong, where, and what to do). In the rows of ``voxtrait annotate`` there are also the
codes ``decoder_died``, ``timed_out`` and ``internal``, which nothing raises; in the jobs of a service also
``given_up``.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = [
    "AudioError",
    "BundleError",
    "CorpusError",
    "MissingExtraError",
    "RecipeError",
    "ServiceError",
    "UsageError",
    "VoxtraitError",
    "require",
]


class VoxtraitError(Exception):
    """Base of all errors of this package; ``str(error)`` is the message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type[VoxtraitError], tuple[str, str]]:
        return type(self), (self.code, self.message)


class AudioError(VoxtraitError):
    """A source that cannot be heard.

    Codes: ``not_found``, ``not_readable``, ``empty``, ``not_audio``, ``no_audio_stream``,
    ``corrupt``, ``bad_header``, ``bad_samples``, ``bad_channel``, ``bad_rate``; of a service also
    ``too_long``, ``too_large``, ``decoder_died``, ``timed_out``, ``internal``.
    """


class BundleError(VoxtraitError):
    """A bundle that cannot be used or published.

    Codes: ``bundle_not_found``, ``bundle_unsafe``, ``bundle_corrupt``, ``bundle_schema``,
    ``bundle_hash``, ``bundle_features``, ``publish``.
    """


class CorpusError(VoxtraitError):
    """A corpus, a table or a split that cannot be used.

    Codes: ``corpus_not_found``, ``corpus_archive``, ``corpus_layout``, ``corpus_columns``, ``corpus_empty``,
    ``corpus_too_small``, ``corpus_reader``, ``corpus_store``, ``shared_speakers``.
    """


class RecipeError(VoxtraitError):
    """A recipe that cannot be run.

    Codes: ``recipe_not_found``, ``recipe_syntax``, ``recipe_field``, ``run_exists``, ``run_corrupt``,
    ``diverged``, ``encoder_not_found``, ``encoder_corrupt``.
    """


class ServiceError(VoxtraitError):
    """A service that cannot be reached, or cannot answer, whatever the recording.

    Codes: ``unreached``, ``timed_out``, ``broken_off``, ``not_voxtrait``, ``key``; as the service tells them
    ``busy``, ``stopping``, ``workers``, ``database``, ``no_space``, ``too_slow``, ``no_job``, ``not_done``,
    ``origin``, ``missing_extra``.
    """


class UsageError(VoxtraitError):
    """An option or argument that makes no sense, or an output that cannot be written.

    Codes: ``usage``, ``nothing_to_do``, ``output``, ``results``, ``no_space``, ``dataset``, ``days``,
    ``table``, ``output_busy``, ``output_differs``, ``workers``, ``cluster``, ``database``.
    """


class MissingExtraError(VoxtraitError, ImportError):
    """A feature whose optional packages are not installed. Code: ``missing_extra``."""


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or raise one line that names the extra which brings it.

    Raises:
        MissingExtraError: if the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            "missing_extra",
            f"This needs the package {module.partition('.')[0]!r}, which is not installed: "
            f"pip install 'voxtrait[{extra}]'",
        ) from error
