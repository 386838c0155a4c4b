"""A system's network as its default recipe makes it."""

from __future__ import annotations

from typing import Any

import torch

from voxtrait.audio import SAMPLE_RATE
from voxtrait.features import build_features
from voxtrait.systems import System
from voxtrait.systems.layers import Layer, list_layers
from voxtrait.training.sections import BundleSection, FeatureSection, TargetSection

__all__ = ["example_network"]


def example_network(system: System) -> list[Layer]:
    """Return the layers of a system's network on one window of speech, random weights where it allows.

    Raises:
        VoxtraitError: if the network cannot be made, as where pretrained weights are not installed.
    """
    assert system.network is not None
    defaults: dict[str, Any] = dict(system.defaults)
    features = FeatureSection.model_validate(defaults.get("features", {}))
    target = TargetSection.model_validate({"task": system.tasks[0], **defaults.get("target", {})})
    window = BundleSection.model_validate({"name": "example", **defaults.get("bundle", {})}).window
    settings = system.settings.model_validate(defaults.get("network", {}))
    extractor = build_features(features.name, features.config)
    frames = 1 + (round(window * SAMPLE_RATE) - extractor.frame_span) // extractor.frame_shift
    if system.frozen is None:
        return list_layers(system.network(settings, target.targets(), extractor.size), frames, extractor.size)
    front = system.frozen(settings).eval()
    with torch.no_grad():
        vectors = front(torch.rand(2, frames, extractor.size), torch.tensor([frames, frames]))
    network = system.network(settings, target.targets(), vectors.shape[1])
    return [*list_layers(front, frames, extractor.size), *list_layers(network, 1, vectors.shape[1])]
