"""wav2vec 2.0 through transformers, its last states averaged over time.

Baevski, Zhou, Mohamed and Auli 2020, "wav2vec 2.0: A framework for self-supervised learning of speech
representations". The base model normalises its first layer over the whole recording, without regard to
padding; here each row is normalised over itself, so its vector is that of the row alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor, nn

from voxtrait.bundle import FeatureCard
from voxtrait.bundle.model import MODEL_LIMIT
from voxtrait.errors import RecipeError, require
from voxtrait.systems.encoders.encoder import WAVEFORM, Encoder, encoder_folder
from voxtrait.systems.heads import frame_mask

__all__ = ["Wav2vec2Encoder"]

_PUBLISHED: Final = "facebook/wav2vec2-base-960h"
_CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.safetensors"
_FRONT: Final = "preprocessor_config.json"
#: Drawn for masking in pretraining; checkpoints fine-tuned for something else lack it.
_UNUSED: Final = "masked_spec_embed"
_FRAME: Final = 160


class Wav2vec2Encoder(Encoder):
    """Raw samples in, mean-pooled hidden states out.

    Args:
        model: a ``transformers.Wav2Vec2Model`` with eager attention.
        normalised: whether it was trained on samples of mean 0 and deviation 1.
    """

    name = "wav2vec2"
    reads: ClassVar[FeatureCard] = WAVEFORM
    width = _FRAME

    def __init__(self, model: Any, normalised: bool) -> None:
        super().__init__()
        self.size = int(model.config.hidden_size)
        self._normalised = normalised
        self._layer_norm_last = bool(model.config.do_stable_layer_norm)
        self.convolutions = model.feature_extractor.conv_layers
        self.projection = model.feature_projection
        self.encoder = model.encoder
        # The weight is stored as direction and length; once is enough to multiply them.
        nn.utils.parametrize.remove_parametrizations(self.encoder.pos_conv_embed.conv, "weight")

    @classmethod
    def load(cls, source: str | None) -> Self:
        """Read a folder with transformers' config.json and model.safetensors."""
        transformers = require("transformers", "encoders")
        folder = encoder_folder(source or _PUBLISHED, (_CONFIG, _WEIGHTS), (_FRONT,))
        size = (folder / _WEIGHTS).stat().st_size
        if size > MODEL_LIMIT:
            raise RecipeError(
                "recipe_field",
                f"network.source: {folder / _WEIGHTS} has {size} bytes; a bundle holds its encoder, and the "
                f"model of a bundle may have {MODEL_LIMIT}.",
            )
        try:
            normalised = _wants_normalised(folder / _FRONT)
            model, report = transformers.Wav2Vec2Model.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                attn_implementation="eager",
                dtype=torch.float32,
                output_loading_info=True,
            )
            missing = sorted(set(report["missing_keys"]) - {_UNUSED})
            if missing or report["mismatched_keys"]:
                raise ValueError(f"{len(missing)} weights are missing, such as {missing[:1]}")
            return cls(model, normalised)
        # Whatever transformers and safetensors make of a stranger's files: they have no common error.
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
            raise RecipeError(
                "encoder_corrupt", f"network.source: {folder} does not hold a wav2vec 2.0 model ({reason})."
            ) from error

    def encode(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean (B, size) of the last layer's states over each row."""
        counts = lengths * _FRAME
        samples = features.flatten(1)
        valid = frame_mask(samples, counts)
        samples = samples * valid
        if self._normalised:
            mean = samples.sum(1, keepdim=True) / valid.sum(1, keepdim=True)
            centred = (samples - mean) * valid
            spread = centred.square().sum(1, keepdim=True) / valid.sum(1, keepdim=True)
            samples = centred / (spread + 1e-7).sqrt()
        states, counts = self._convolve(samples.unsqueeze(1), counts)
        mask = frame_mask(states, counts).unsqueeze(-1)
        states = self._transform(self.projection(states)[0] * mask, mask)
        return (states * mask).sum(1) / mask.sum(1)

    def _convolve(self, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return states (B, T, C) and how many of each row, (B,), see nothing but the row."""
        for layer in self.convolutions:
            width, step = layer.conv.kernel_size[0], layer.conv.stride[0]
            counts = torch.div(counts - width, step, rounding_mode="floor") + 1
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                x = layer.activation(_normalise(layer.conv(x), counts, norm))
            else:
                x = layer(x)
        return x.transpose(1, 2), counts

    def _transform(self, states: Tensor, mask: Tensor) -> Tensor:
        encoder = self.encoder
        states = states + encoder.pos_conv_embed(states)
        if not self._layer_norm_last:
            states = encoder.layer_norm(states)
        bias = (1.0 - mask.reshape(mask.shape[0], 1, 1, -1)) * torch.finfo(torch.float32).min
        for layer in encoder.layers:
            states = layer(states, attention_mask=bias)
        if self._layer_norm_last:
            states = encoder.layer_norm(states)
        return states


def _normalise(x: Tensor, counts: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Return x (B, C, T) normalised channel by channel over the first ``counts`` frames of each row."""
    valid = frame_mask(x.transpose(1, 2), counts).unsqueeze(1)
    total = valid.sum(2, keepdim=True)
    mean = (x * valid).sum(2, keepdim=True) / total
    spread = ((x - mean).square() * valid).sum(2, keepdim=True) / total
    return (x - mean) / (spread + norm.eps).sqrt() * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1)


def _wants_normalised(file: Path) -> bool:
    # Without the file, as transformers' own feature extractor does.
    return not file.is_file() or bool(json.loads(file.read_bytes()).get("do_normalize", True))
