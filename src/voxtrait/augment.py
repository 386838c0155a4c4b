"""What the training hears: the ways in which real recordings differ from clean ones.

Everything draws from the generator it is given, so the same seed makes the same sound. Pitch and
speed are never changed: they are what is to be learnt.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from voxtrait.audio import SAMPLE_RATE
from voxtrait.preprocess import mu_law

if TYPE_CHECKING:
    from av import AudioStream

__all__ = ["AugmentSettings", "Augmenter", "add_noise", "babble", "codec", "reverberate", "telephone"]

Array = NDArray[np.float32]
Rng = np.random.Generator

_PEAK = 0.95


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] <= bounds[1]:
        raise ValueError("the first number must not be greater than the second")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]


class AugmentSettings(BaseModel):
    """How often each condition is met; each is drawn on its own, in the order of a real signal path."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    room: float = Field(0.25, ge=0, le=1, description="share of clips heard in a simulated room")
    equaliser: float = Field(0.4, ge=0, le=1, description="share with the colour of another microphone")
    noise: float = Field(0.35, ge=0, le=1, description="share with environmental noise added")
    babble: float = Field(0.15, ge=0, le=1, description="share with other voices in the background")
    snr: Range = Field((0.0, 30.0), description="range of signal-to-noise ratios in dB")
    babble_snr: Range = Field((6.0, 30.0), description="the same for babble, in dB")
    telephone: float = Field(0.2, ge=0, le=1, description="share through an 8 kHz telephone line")
    codec: float = Field(0.2, ge=0, le=1, description="share through mp3, opus or aac at a low bit rate")
    clip: float = Field(0.08, ge=0, le=1, description="share overdriven until it clips")
    gaussian: float = Field(0.0, ge=0, le=1, description="share with Gaussian noise at a ratio within snr")
    gain: float = Field(0.0, ge=0, le=1, description="share made louder or softer by up to 6 dB")
    shift: float = Field(0.0, ge=0, le=1, description="share turned round in time by up to half its length")


class Augmenter:
    """Applies random conditions to speech.

    Args:
        settings: how often each is met.
        noises: environmental sounds at 16 kHz, each shape (n,).
        voices: speech at 16 kHz that babble is mixed from.
    """

    def __init__(self, settings: AugmentSettings, noises: Sequence[Array], voices: Sequence[Array]) -> None:
        self._settings = settings
        self._noises = noises
        self._voices = voices

    def __call__(self, samples: Array, rng: Rng) -> Array:
        """Return ``samples`` as they might have reached us; same shape."""
        settings = self._settings
        out = samples
        if settings.shift or settings.gain or settings.gaussian:
            out = _simple(settings, out, rng)
        if rng.random() < settings.room:
            out = reverberate(out, rng)
        if rng.random() < settings.equaliser:
            out = _equalise(out, rng)
        if self._noises and rng.random() < settings.noise:
            noise = self._noises[int(rng.integers(len(self._noises)))]
            out = add_noise(out, noise, rng.uniform(*settings.snr), rng)
        if self._voices and rng.random() < settings.babble:
            out = add_noise(out, babble(self._voices, out.size, rng), rng.uniform(*settings.babble_snr), rng)
        if rng.random() < settings.clip:
            out = overdrive(out, rng.uniform(1.5, 6.0))
        if rng.random() < settings.telephone:
            out = telephone(out, rng)
        elif rng.random() < settings.codec:
            name, rates = _CODECS[int(rng.integers(len(_CODECS)))]
            out = codec(out, name, int(rng.choice(rates)))
        return np.asarray(out, dtype=np.float32)


@lru_cache(maxsize=4)
def _simple_steps(settings: AugmentSettings) -> Callable[..., Array]:
    import audiomentations as am

    low, high = settings.snr
    steps: Callable[..., Array] = am.Compose(
        [
            am.Shift(min_shift=-0.5, max_shift=0.5, rollover=True, p=settings.shift),
            am.Gain(min_gain_db=-6.0, max_gain_db=6.0, p=settings.gain),
            am.AddGaussianSNR(min_snr_db=low, max_snr_db=high, p=settings.gaussian),
        ]
    )
    return steps


def _simple(settings: AugmentSettings, samples: Array, rng: Rng) -> Array:
    """Shift, gain and Gaussian noise by audiomentations, which draws from the global generators."""
    before = random.getstate(), np.random.get_state()
    seed = int(rng.integers(2**32))
    random.seed(seed)
    np.random.seed(seed)
    try:
        return _fit_peak(_simple_steps(settings)(samples=samples, sample_rate=SAMPLE_RATE))
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _fit_peak(samples: Array) -> Array:
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * np.float32(_PEAK / peak) if peak > _PEAK else samples


def _power(samples: Array) -> float:
    return float(np.mean(np.square(samples), dtype=np.float64)) + 1e-12


def _stretch(noise: Array, size: int, rng: Rng) -> Array:
    """Return ``size`` samples of ``noise`` from a random place, round and round."""
    start = int(rng.integers(noise.size))
    return np.resize(np.roll(noise, -start), size)


def add_noise(samples: Array, noise: Array, snr: float, rng: Rng) -> Array:
    """Add ``noise`` at ``snr`` dB below the speech."""
    background = _stretch(noise, samples.size, rng)
    gain = np.sqrt(_power(samples) / _power(background) / 10 ** (snr / 10))
    return _fit_peak(samples + np.float32(gain) * background)


def babble(voices: Sequence[Array], size: int, rng: Rng) -> Array:
    """Return ``size`` samples of three to eight voices at once."""
    chosen = rng.integers(len(voices), size=int(rng.integers(3, 9)))
    parts = [_stretch(voices[index], size, rng) for index in chosen]
    return np.asarray(sum(part / np.sqrt(_power(part)) for part in parts), dtype=np.float32)


@lru_cache(maxsize=1)
def _rooms() -> list[Array]:
    """Return impulse responses of 150 shoebox rooms by the image source method (pyroomacoustics)."""
    import pyroomacoustics as pra

    rng = np.random.default_rng(0)
    responses = []
    for _ in range(150):
        size = rng.uniform((2.5, 2.5, 2.3), (9.0, 7.0, 3.5))
        absorption, order = pra.inverse_sabine(rng.uniform(0.2, 0.7), size)
        room = pra.ShoeBox(size, fs=SAMPLE_RATE, materials=pra.Material(absorption), max_order=min(order, 14))
        microphone = rng.uniform(0.4, size - 0.4)
        distance = rng.uniform(0.3, 3.5)
        direction = rng.normal(size=3) * (1.0, 1.0, 0.3)
        source = microphone + distance * direction / np.linalg.norm(direction)
        room.add_source(np.clip(source, 0.2, size - 0.2))
        room.add_microphone(microphone)
        room.compute_rir()
        response = np.asarray(room.rir[0][0], dtype=np.float32)
        direct = int(np.argmax(np.abs(response)))
        responses.append(response[max(0, direct - 16) :] / np.abs(response[direct]))
    return responses


def reverberate(samples: Array, rng: Rng) -> Array:
    """Return ``samples`` as a microphone 0.3 to 3.5 m away in a room hears them."""
    from scipy.signal import oaconvolve

    response = _rooms()[int(rng.integers(len(_rooms())))]
    wet = np.asarray(oaconvolve(samples, response)[: samples.size], dtype=np.float32)
    return _fit_peak(wet * np.float32(np.sqrt(_power(samples) / _power(wet))))


def _equalise(samples: Array, rng: Rng) -> Array:
    """Colour the spectrum smoothly by up to 9 dB, as microphones, mouths and masks do."""
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.maximum(np.linspace(0, SAMPLE_RATE / 2, spectrum.size), 60.0))
    knots = np.linspace(octaves[0], octaves[-1], 7)
    gains = np.clip(np.cumsum(rng.normal(0.0, 3.0, size=7)), -9.0, 9.0)
    colour = 10 ** (np.interp(octaves, knots, gains - gains.mean()) / 20)
    return _fit_peak(np.fft.irfft(spectrum * colour, samples.size).astype(np.float32))


def overdrive(samples: Array, gain: float) -> Array:
    """Raise the level ``gain`` times beyond full scale and clip."""
    peak = float(np.abs(samples).max(initial=1e-6))
    return np.asarray(np.clip(samples * np.float32(gain / peak), -1.0, 1.0), dtype=np.float32)


@lru_cache(maxsize=1)
def _telephone_band() -> NDArray[np.float64]:
    from scipy.signal import butter

    return np.asarray(butter(4, (300, 3400), "bandpass", fs=8000, output="sos"))


def telephone(samples: Array, rng: Rng, snr: float | None = None) -> Array:
    """Return ``samples`` through a telephone line: 8 kHz, 300-3400 Hz, 8 bit mu-law, line noise.

    Args:
        samples: speech.
        rng: where chance comes from.
        snr: of the white line noise in dB; None draws it from 15 to 45 dB.
    """
    import soxr
    from scipy.signal import sosfilt

    line = soxr.resample(samples, SAMPLE_RATE, 8000)
    line = sosfilt(_telephone_band(), line)
    level = snr if snr is not None else rng.uniform(15.0, 45.0)
    line = line + rng.normal(0, np.sqrt(_power(line) / 10 ** (level / 10)), line.size)
    line = line / max(1.0, float(np.abs(line).max()) / _PEAK)
    return _same_size(soxr.resample(mu_law(line).astype(np.float32), 8000, SAMPLE_RATE), samples.size)


_CODECS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("mp3", (16, 24, 32, 48)),
    ("opus", (8, 12, 16, 24)),
    ("aac", (16, 24, 32)),
)
_CONTAINERS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus"), "aac": ("adts", "aac")}
#: Samples of padding that the encoder puts in front and the container does not tell the decoder of.
_PADDING = {"mp3": 0, "opus": 0, "aac": 1024}


def codec(samples: Array, name: str, kilobits: int) -> Array:
    """Return ``samples`` after ``name`` ("mp3", "opus" or "aac") at ``kilobits`` per second."""
    import av

    container, encoder = _CONTAINERS[name]
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = cast("AudioStream", output.add_stream(encoder, rate=SAMPLE_RATE, layout="mono"))
        stream.bit_rate = kilobits * 1000
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return _same_size(_decode(buffer)[_PADDING[name] :], samples.size)


def _decode(buffer: io.BytesIO) -> Array:
    import av
    import soxr

    buffer.seek(0)
    with av.open(buffer, "r") as source:
        rate = source.streams.audio[0].rate
        frames = [frame.to_ndarray().reshape(-1) for frame in source.decode(audio=0)]
    decoded = np.concatenate(frames)
    scale = np.float32(32768 if decoded.dtype == np.int16 else 1)
    return np.asarray(soxr.resample(decoded.astype(np.float32) / scale, rate, SAMPLE_RATE), dtype=np.float32)


def _same_size(samples: Array, size: int) -> Array:
    return np.pad(samples, (0, max(0, size - samples.size)))[:size]
