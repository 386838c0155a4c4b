"""The usual way of the field, as a process: python benchmarks/usual_way.py FILE...

librosa loads and resamples, Resemblyzer embeds, a small network answers; one recording after the other on one
core. Its weights do not matter for how long it takes. Resemblyzer cuts out silence with webrtcvad where that
is installed; here it embeds all it is given.
"""

from __future__ import annotations

import sys
from types import ModuleType

import librosa
import torch
from torch import nn


def main() -> None:
    # Only its trimming needs them, and neither can be had any more.
    for name, attribute in (("webrtcvad", "Vad"), ("scipy.ndimage.morphology", "binary_dilation")):
        module = ModuleType(name)
        setattr(module, attribute, None)
        sys.modules[name] = module
    from resemblyzer import VoiceEncoder  # type: ignore[import-untyped]

    torch.set_num_threads(1)
    encoder = VoiceEncoder("cpu", verbose=False)
    network = nn.Sequential(nn.Linear(256, 200), nn.ReLU(), nn.Linear(200, 2), nn.Softmax(0))
    for path in sys.argv[1:]:
        samples, _ = librosa.load(path, sr=16_000)
        with torch.no_grad():
            network(torch.from_numpy(encoder.embed_utterance(samples)))


if __name__ == "__main__":
    main()
