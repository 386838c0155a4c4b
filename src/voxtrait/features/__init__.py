"""Features: samples -> arrays. A feature is a name, a frozen config and ``extract()``.

A bundle's card names its feature and holds the config; `build_features` makes the extractor, the
same one in training and in prediction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from voxtrait.errors import BundleError
from voxtrait.features.frames import MelVoice, MelVoiceConfig
from voxtrait.features.functionals import Functionals, FunctionalsConfig
from voxtrait.features.joined import Joined, JoinedConfig
from voxtrait.features.spectrogram import Spectrogram, SpectrogramConfig
from voxtrait.features.waveform import Waveform, WaveformConfig

__all__ = [
    "FEATURES",
    "FeatureExtractor",
    "Functionals",
    "FunctionalsConfig",
    "Joined",
    "JoinedConfig",
    "MelVoice",
    "MelVoiceConfig",
    "Spectrogram",
    "SpectrogramConfig",
    "Waveform",
    "WaveformConfig",
    "build_features",
]


class FeatureExtractor(Protocol):
    """Samples at 16 kHz in, frames out."""

    name: str
    #: A frozen dataclass: all settings, also those that a card leaves out.
    config: Any

    @property
    def frame_shift(self) -> int:
        """Samples from one frame to the next."""
        ...

    @property
    def frame_span(self) -> int:
        """Samples that one frame looks at."""
        ...

    @property
    def size(self) -> int:
        """Values in a frame."""
        ...

    @property
    def powers(self) -> int:
        """Leading values of a frame that are powers: caches keep their logarithm."""
        ...

    def extract(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return frames, shape (1 + (len(samples) - frame_span) // frame_shift, size)."""
        ...


FEATURES: Final[dict[str, tuple[type[Any], type[Any]]]] = {
    MelVoice.name: (MelVoice, MelVoiceConfig),
    Spectrogram.name: (Spectrogram, SpectrogramConfig),
    Functionals.name: (Functionals, FunctionalsConfig),
    Waveform.name: (Waveform, WaveformConfig),
    Joined.name: (Joined, JoinedConfig),
}


def build_features(name: str, config: Mapping[str, Any]) -> FeatureExtractor:
    """Make the extractor that a card names.

    Raises:
        BundleError: ``bundle_features`` if this version does not know the name or a setting, or if a
            setting has a value that makes no sense.
    """
    if name not in FEATURES:
        raise BundleError(
            "bundle_features",
            f"This version does not know the features {name!r}, only {', '.join(FEATURES)}; "
            "a newer voxtrait may.",
        )
    extractor, config_class = FEATURES[name]
    known = {item.name for item in dataclasses.fields(config_class)}
    if unknown := set(config) - known:
        raise BundleError(
            "bundle_features",
            f"The features {name!r} have no setting {', '.join(sorted(unknown))}; they have "
            f"{', '.join(sorted(known))}.",
        )
    try:
        made: FeatureExtractor = extractor(config_class(**config))
    except ValueError as error:
        raise BundleError("bundle_features", f"The features {name!r} cannot be made: {error}.") from error
    return made
