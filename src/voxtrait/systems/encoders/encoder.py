"""What a frozen encoder is, and where its files come from."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Final, Self

from torch import Tensor, nn

from voxtrait.bundle import FeatureCard
from voxtrait.errors import MissingExtraError, RecipeError, require

__all__ = ["WAVEFORM", "Encoder", "encoder_folder"]

#: Raw samples, for encoders with a front of their own.
WAVEFORM: Final = FeatureCard(name="waveform", config={})

_HUB_NAME: Final = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?", re.ASCII)


class Encoder(nn.Module):
    """A network that is not trained here: one vector a recording.

    Attributes:
        name: as recipes name it.
        reads: the features that it reads.
        width: values in a frame of these.
        size: length of its vectors.
    """

    name: ClassVar[str]
    reads: ClassVar[FeatureCard]
    width: ClassVar[int]
    size: int

    @classmethod
    def load(cls, source: str | None) -> Self:
        """Return the encoder with its weights; see `voxtrait.systems.encoders.load_encoder`."""
        raise NotImplementedError

    def encode(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return vectors (B, size) of features (B, T, width), of which ``lengths`` (B,) frames are valid."""
        raise NotImplementedError

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return vectors (B, size) of features (B, T, width), of which ``lengths`` (B,) frames are valid.

        Raises:
            RecipeError: ``recipe_field`` if the frames are not those that the encoder reads.
        """
        if features.shape[2] != self.width:
            settings = ", ".join(f"{name}: {value}" for name, value in self.reads.config.items())
            raise RecipeError(
                "recipe_field",
                f"features: the encoder {self.name} reads {self.width} values a frame, not "
                f"{features.shape[2]}: {{name: {self.reads.name}, config: {{{settings}}}}}.",
            )
        return self.encode(features, lengths)


def encoder_folder(source: str, needed: Sequence[str], optional: Sequence[str] = ()) -> Path:
    """Return the folder that holds an encoder's files, fetched from the hub if there is none here.

    Args:
        source: a folder, or a name on the Hugging Face hub, "org/name" or "org/name@revision"; what was
            fetched once stays in that client's cache and needs no network again.
        needed: names of the files without which there is no encoder.
        optional: those that are fetched if they exist.

    Raises:
        RecipeError: ``encoder_not_found`` if there is no such folder, model or file.
        MissingExtraError: for a hub name without huggingface_hub.
    """
    folder = Path(source)
    if not folder.is_dir():
        match = _HUB_NAME.fullmatch(source)
        if match is None or ".." in source:
            raise RecipeError(
                "encoder_not_found",
                f"network.source: there is no folder {source!a}; give one, or a Hugging Face hub name.",
            )
        return _fetch(match[1], match[2], needed, optional)
    for name in needed:
        if not (folder / name).is_file():
            raise RecipeError(
                "encoder_not_found",
                f"network.source: {folder} has no {name}; such an encoder has {', '.join(needed)}.",
            )
    return folder


def _fetch(repo: str, revision: str | None, needed: Sequence[str], optional: Sequence[str]) -> Path:
    try:
        hub = require("huggingface_hub", "hub")
    except MissingExtraError as error:
        # A mistyped path looks like a hub name: say both.
        raise MissingExtraError(
            error.code,
            f"There is no folder {repo!r}; to look for it on the Hugging Face hub: {error.message}",
        ) from error
    files = [_download(hub, repo, revision, name) for name in needed]
    for name in optional:
        with contextlib.suppress(_NoSuchFileError):
            _download(hub, repo, revision, name)
    return files[0].parent


class _NoSuchFileError(RecipeError):
    """The model is there, but not the file; or it is not in the cache and there is no network."""


def _download(hub: ModuleType, repo: str, revision: str | None, name: str) -> Path:
    try:
        return Path(hub.hf_hub_download(repo, name, revision=revision))
    # The client raises errors of several HTTP libraries, by its version.
    except Exception as error:
        kind = _NoSuchFileError if isinstance(error, hub.errors.EntryNotFoundError) else RecipeError
        reason = f"{type(error).__name__}: {ascii(str(error))[1:-1]}"[:200]
        raise kind(
            "encoder_not_found",
            f"network.source: there is no folder {repo!r}, and the Hugging Face hub gives no {name} of it"
            f"{f' at {revision!r}' if revision else ''} ({reason}).",
        ) from error
