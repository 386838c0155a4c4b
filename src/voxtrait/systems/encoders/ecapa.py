"""The ECAPA-TDNN speaker encoder, read from the folders in which SpeechBrain publishes it.

Desplanques, Thienpondt and Demuynck 2020, "ECAPA-TDNN: Emphasized channel attention, propagation and
aggregation in TDNN based speaker verification", as in `speechbrain.lobes.models.ECAPA_TDNN`. Only the
files are SpeechBrain's: its own network lets the padding of a batch into a row, through convolutions
that reflect the end of the batch and not that of the row, so its vectors are those of rows alone.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from voxtrait.bundle import FeatureCard
from voxtrait.errors import RecipeError
from voxtrait.systems.encoders.encoder import WAVEFORM, Encoder, encoder_folder
from voxtrait.systems.encoders.fbank import Fbank
from voxtrait.systems.heads import frame_mask

__all__ = ["EcapaEncoder", "EcapaShape"]

_PUBLISHED: Final = "speechbrain/spkrec-ecapa-voxceleb"
_SETTINGS: Final = "hyperparams.yaml"
_WEIGHTS: Final = "embedding_model.ckpt"

_Size = Annotated[int, Field(ge=1, le=8192)]
_Sizes = Annotated[tuple[_Size, ...], Field(min_length=4, max_length=8)]


class EcapaShape(BaseModel):
    """Shape of the network: the numbers of ``embedding_model`` in SpeechBrain's hyperparams.yaml."""

    model_config = ConfigDict(frozen=True)

    n_mels: _Size = 80
    channels: _Sizes = (512, 512, 512, 512, 1536)
    kernel_sizes: _Sizes = (5, 3, 3, 3, 1)
    dilations: _Sizes = (1, 2, 3, 4, 1)
    attention_channels: _Size = 128
    res2net_scale: _Size = 8
    se_channels: _Size = 128
    lin_neurons: _Size = 192


class _Conv(nn.Module):
    """A convolution over time; each row is continued by its own reflection."""

    def __init__(self, inputs: int, outputs: int, width: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, width, dilation=dilation)
        self.margin = dilation * (width - 1) // 2

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        if self.margin:
            place = torch.arange(x.shape[2] + 2 * self.margin, device=x.device) - self.margin
            last = (lengths - 1).unsqueeze(1)
            place = (last - (last - place.abs()).abs()).clamp_min(0)
            x = torch.gather(x, 2, place.unsqueeze(1).expand(-1, x.shape[1], -1))
        out: Tensor = self.conv(x)
        return out


class _Norm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x)
        return out


class _Tdnn(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = _Conv(inputs, outputs, width, dilation)
        self.norm = _Norm(outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        out: Tensor = self.norm(torch.relu(self.conv(x, lengths)))
        return out


class _Res2Net(nn.Module):
    def __init__(self, channels: int, scale: int, width: int, dilation: int) -> None:
        super().__init__()
        part = channels // scale
        self.blocks = nn.ModuleList(_Tdnn(part, part, width, dilation) for _ in range(scale - 1))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        first, *rest = x.chunk(len(self.blocks) + 1, dim=1)
        out = [first]
        for index, (block, part) in enumerate(zip(self.blocks, rest, strict=True)):
            out.append(block(part if index == 0 else part + out[-1], lengths))
        return torch.cat(out, dim=1)


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _Conv(channels, squeezed), _Conv(squeezed, channels)

    def forward(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        mean = (x * mask).sum(2, keepdim=True) / mask.sum(2, keepdim=True)
        gate = self.conv2(torch.relu(self.conv1(mean, lengths)), lengths)
        return x * torch.sigmoid(gate)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int, dilation: int, shape: EcapaShape) -> None:
        super().__init__()
        self.tdnn1 = _Tdnn(inputs, outputs)
        self.res2net_block = _Res2Net(outputs, shape.res2net_scale, width, dilation)
        self.tdnn2 = _Tdnn(outputs, outputs)
        self.se_block = _SqueezeExcitation(outputs, shape.se_channels)
        self.shortcut = _Conv(inputs, outputs) if inputs != outputs else None

    def forward(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        before = x if self.shortcut is None else self.shortcut(x, lengths)
        x = self.tdnn2(self.res2net_block(self.tdnn1(x, lengths), lengths), lengths)
        out: Tensor = self.se_block(x, mask, lengths) + before
        return out


class _AttentiveStatistics(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.tdnn = _Tdnn(3 * channels, hidden)
        self.conv = _Conv(hidden, channels)

    def forward(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        seen = _statistics(x, mask / mask.sum(2, keepdim=True))
        wide = torch.cat([x, *(part.unsqueeze(2).expand_as(x) for part in seen)], dim=1)
        score = self.conv(torch.tanh(self.tdnn(wide, lengths)), lengths)
        weight = torch.softmax(score.masked_fill(mask == 0, float("-inf")), dim=2)
        return torch.cat(_statistics(x, weight), dim=1).unsqueeze(2)


def _statistics(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    mean = (weight * x).sum(2)
    spread = (weight * (x - mean.unsqueeze(2)).square()).sum(2)
    return mean, spread.clamp_min(1e-12).sqrt()


class EcapaEncoder(Encoder):
    """Raw samples in, speaker embeddings out; parameters have SpeechBrain's names.

    Args:
        shape: of the network.
    """

    name = "ecapa"
    reads: ClassVar[FeatureCard] = WAVEFORM
    width = 160

    def __init__(self, shape: EcapaShape) -> None:
        super().__init__()
        self.size = shape.lin_neurons
        self.fbank = Fbank(shape.n_mels)
        widths, steps = shape.kernel_sizes, shape.dilations
        channels = shape.channels
        self.blocks = nn.ModuleList([_Tdnn(shape.n_mels, channels[0], widths[0], steps[0])])
        for place in range(1, len(channels) - 1):
            self.blocks.append(
                _Block(channels[place - 1], channels[place], widths[place], steps[place], shape)
            )
        self.mfa = _Tdnn(sum(channels[1:-1]), channels[-1], widths[-1], steps[-1])
        self.asp = _AttentiveStatistics(channels[-1], shape.attention_channels)
        self.asp_bn = _Norm(2 * channels[-1])
        self.fc = _Conv(2 * channels[-1], shape.lin_neurons)

    @classmethod
    def load(cls, source: str | None) -> Self:
        """Read a folder with SpeechBrain's hyperparams.yaml and embedding_model.ckpt."""
        folder = encoder_folder(source or _PUBLISHED, (_SETTINGS, _WEIGHTS))
        shape = _read_shape(folder / _SETTINGS)
        try:
            encoder = cls(shape)
            state = torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True)
            encoder.load_state_dict(state)
        # A stranger's file: no zip, a pickle of something else, no mapping, other sizes.
        except (
            pickle.UnpicklingError,
            RuntimeError,
            EOFError,
            ValueError,
            TypeError,
            AttributeError,
        ) as error:
            reason = " ".join(str(error).split())[:200]
            raise RecipeError(
                "encoder_corrupt",
                f"network.source: {folder / _WEIGHTS} does not hold the weights of the ECAPA-TDNN in "
                f"{_SETTINGS} ({reason}).",
            ) from error
        return encoder

    def encode(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return embeddings (B, size), not of unit length."""
        samples = (features * frame_mask(features, lengths).unsqueeze(-1)).flatten(1)
        level, frames = self.fbank(samples, lengths)
        mask = frame_mask(level, frames).unsqueeze(1)
        first, *rest = self.blocks
        x = first(level.transpose(1, 2), frames)
        seen = []
        for block in rest:
            x = block(x, mask, frames)
            seen.append(x)
        x = self.mfa(torch.cat(seen, dim=1), frames)
        pooled = self.asp_bn(self.asp(x, mask, frames))
        out: Tensor = self.fc(pooled, frames).squeeze(2)
        return out


class _Plain(yaml.SafeLoader):
    """Takes a tagged node for what is written in it; what the tag would build is never built."""

    def untagged(self, _: str, node: yaml.Node) -> Any:
        """Return the mapping, list or text of a node."""
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return node.value


_Plain.add_multi_constructor("", _Plain.untagged)


def _read_shape(file: Path) -> EcapaShape:
    try:
        # A safe loader all the same: it builds numbers, texts, lists and mappings alone.
        content = yaml.load(file.read_bytes(), _Plain)
        model = content["embedding_model"]
        numbers = {name: model[name] for name in EcapaShape.model_fields if name in model}
        return EcapaShape.model_validate({"n_mels": content["n_mels"], **numbers})
    except (yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise RecipeError(
            "encoder_corrupt",
            f"network.source: {file} does not describe an ECAPA-TDNN (n_mels and embedding_model with its "
            f"channels, as in {_PUBLISHED}).",
        ) from error
