"""Frozen speech encoders: a recording's features in, one vector out, whatever padding follows it."""

from __future__ import annotations

import importlib
from typing import Final

from voxtrait.systems.encoders.encoder import Encoder

__all__ = ["ENCODERS", "Encoder", "load_encoder"]

#: Name -> module and class, imported only when the encoder is loaded.
ENCODERS: Final = {
    "ge2e": ("voxtrait.systems.encoders.ge2e", "Ge2eEncoder"),
    "ecapa": ("voxtrait.systems.encoders.ecapa", "EcapaEncoder"),
    "wav2vec2": ("voxtrait.systems.encoders.wav2vec2", "Wav2vec2Encoder"),
}


def load_encoder(name: str, source: str | None = None) -> Encoder:
    """Return an encoder of `ENCODERS` with its weights, in evaluation mode and without gradients.

    Args:
        name: which one.
        source: a folder, or a name on the Hugging Face hub ("org/name" or "org/name@revision"); None
            for the published one.

    Raises:
        RecipeError: ``encoder_not_found`` if it is not there, ``encoder_corrupt`` if its files are not
            those of such an encoder.
        MissingExtraError: if it needs a package that is not installed.
    """
    module, kind = ENCODERS[name]
    encoder: Encoder = getattr(importlib.import_module(module), kind).load(source)
    return encoder.eval().requires_grad_(False)
