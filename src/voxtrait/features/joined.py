"""The features of several models in one array, for bundles that hold several models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from voxtrait.features import FeatureExtractor

__all__ = ["Joined", "JoinedConfig", "join_configs"]

_MOST: Final = 32


@dataclass(frozen=True)
class JoinedConfig:
    """Settings of `Joined`.

    Attributes:
        parts: a JSON list of the features that are joined, each ``{"name": ..., "config": {...}}``; see
            `join_configs`.

    Raises:
        ValueError: if it is not such a list.
    """

    parts: str = '[{"config": {}, "name": "mel-voice"}]'

    def __post_init__(self) -> None:
        try:
            parts = json.loads(self.parts)
        # Settings come from strangers' cards: nested deeply, they end the parser's patience.
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError("parts must be a JSON list") from error
        if not isinstance(parts, list) or not 1 <= len(parts) <= _MOST:
            raise ValueError(f"parts must be a JSON list of 1 to {_MOST} features")
        for part in parts:
            fine = isinstance(part, dict) and part.keys() == {"name", "config"}
            if not fine or not isinstance(part["name"], str) or not isinstance(part["config"], dict):
                raise ValueError('each of parts must be {"name": ..., "config": {...}}')
            if part["name"] == Joined.name:
                raise ValueError("joined features cannot be joined again")


def join_configs(features: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Return the settings of `Joined` for features, each a name and its settings, in this order."""
    parts = [{"name": name, "config": dict(config)} for name, config in features]
    return {"parts": json.dumps(parts, sort_keys=True)}


class Joined:
    """Several features of the same speech, below each other.

    The first row holds how many frames each part has; then come the frames of the first part, those of
    the second, and so on, all filled up with zeros to the width of the widest. So the rows are not
    evenly spaced in time, and these features are for prediction alone.

    Raises:
        BundleError: ``bundle_features`` for parts that cannot be made.
    """

    name = "joined"
    frame_shift = 1
    powers = 0

    def __init__(self, config: JoinedConfig) -> None:
        # Here, since the registry knows this module.
        from voxtrait.features import build_features

        self.config = config
        parts = json.loads(config.parts)
        self.parts: list[FeatureExtractor] = [build_features(part["name"], part["config"]) for part in parts]

    @property
    def frame_span(self) -> int:
        """Samples below which one of the parts has no frame."""
        return max(part.frame_span for part in self.parts)

    @cached_property
    def size(self) -> int:
        """Values in a row."""
        return max(len(self.parts), *(part.size for part in self.parts))

    def extract(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return rows, shape (1 + frames of all parts, size), or none where a part has no frame."""
        frames = [part.extract(samples) for part in self.parts]
        counts = [len(part) for part in frames]
        if not all(counts):
            return np.zeros((0, self.size), dtype=np.float32)
        out = np.zeros((1 + sum(counts), self.size), dtype=np.float32)
        out[0, : len(counts)] = counts
        row = 1
        for part in frames:
            out[row : row + len(part), : part.shape[1]] = part
            row += len(part)
        return out
