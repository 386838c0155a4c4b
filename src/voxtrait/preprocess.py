"""Preprocessing that a recipe or a card names: speech in, speech of the same length out.

A step is written as its name, or as ``name=value`` where it takes a number::

    level=-26      root mean square in dB below full scale
    lowpass=4000   nothing above so many Hz
    telephone      an 8 kHz line: 300 to 3400 Hz, 8 bit mu-law
    denoise        stationary background noise reduced (the package noisereduce)

Steps run in the order in which they are named, on speech alone: the pauses are always cut out before,
by the detector in `voxtrait.speech`. All are deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.errors import BundleError, require

__all__ = ["STEPS", "Preprocessor", "Step", "build_preprocessor", "mu_law", "parse_steps"]

Array = NDArray[np.float32]

_LINE_RATE: Final = 8000
_LINE_BAND: Final = (300.0, 3400.0)
#: Width of a filter's edge, as a share of its frequency.
_EDGE: Final = 0.1
#: Zeros around what is filtered, so that its end does not ring into its start.
_GUARD: Final = 2048
#: Samples of one frame of noisereduce's spectrogram.
_NOISE_FRAME: Final = 512


@dataclass(frozen=True)
class Step:
    """A step of the registry.

    Attributes:
        apply: takes samples (n,) and the number, returns samples (n,).
        unit: of its number; None if it takes none.
        low, high: the range of the number.
        default: the number if none is given; None if one must be.
    """

    apply: Callable[[Array, float], Array]
    unit: str | None = None
    low: float = 0.0
    high: float = 0.0
    default: float | None = None


def level(samples: Array, dbfs: float) -> Array:
    """Return ``samples`` (n,) scaled to a root mean square of ``dbfs`` dB, less if they would clip."""
    power = float(np.mean(np.square(samples), dtype=np.float64)) if samples.size else 0.0
    if power == 0.0:
        return samples
    gain = min(10 ** (dbfs / 20) / math.sqrt(power), 1.0 / float(np.abs(samples).max()))
    return samples * np.float32(gain)


def lowpass(samples: Array, hz: float) -> Array:
    """Return ``samples`` (n,) without what lies above ``hz``; half of the amplitude is left there."""
    return _band(samples, SAMPLE_RATE, 0.0, hz)


def telephone(samples: Array, _: float) -> Array:
    """Return ``samples`` (n,) as a telephone line passes them on: 8 kHz, 300-3400 Hz, 8 bit mu-law."""
    import soxr

    line = _band(soxr.resample(samples, SAMPLE_RATE, _LINE_RATE), _LINE_RATE, *_LINE_BAND)
    heard = soxr.resample(mu_law(np.clip(line, -1.0, 1.0)), _LINE_RATE, SAMPLE_RATE)
    return np.pad(heard, (0, max(0, samples.size - heard.size)))[: samples.size]


def denoise(samples: Array, _: float) -> Array:
    """Return ``samples`` (n,) with stationary noise reduced by spectral gating (Sainburg et al. 2020).

    The noise is measured on the quietest twentieth of the frames: measured on all of them, as noisereduce
    does by itself, speech without pauses would pass for noise. Fewer samples than one frame (32 ms)
    are returned as they are.

    Raises:
        MissingExtraError: if noisereduce is not installed.
    """
    noisereduce = require("noisereduce", "denoise")
    if samples.size < _NOISE_FRAME:
        return samples
    frames = samples[: samples.size // _NOISE_FRAME * _NOISE_FRAME].reshape(-1, _NOISE_FRAME)
    order = np.argsort(np.square(frames).sum(axis=1), kind="stable")
    quiet = frames[np.sort(order[: max(1, len(frames) // 20)])].reshape(-1)
    cleaned = noisereduce.reduce_noise(
        y=samples, sr=SAMPLE_RATE, stationary=True, y_noise=quiet, n_fft=_NOISE_FRAME
    )
    return np.asarray(cleaned, dtype=np.float32)


def mu_law(samples: NDArray[Any]) -> NDArray[Any]:
    """Return ``samples`` (n,) of floats in [-1, 1] after 8 bit mu-law and back (ITU-T G.711's curve)."""
    pressed = np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log(256)
    pressed = np.round(pressed * 127) / 127
    return np.asarray(np.sign(pressed) * (256 ** np.abs(pressed) - 1) / 255, dtype=samples.dtype)


def _band(samples: Array, rate: int, low: float, high: float) -> Array:
    """Keep ``low`` to ``high`` Hz, with raised cosines as edges and no delay."""
    size = -(-(samples.size + 2 * _GUARD) // _GUARD) * _GUARD
    spectrum = np.fft.rfft(np.pad(samples, (_GUARD, size - samples.size - _GUARD)))
    hz = np.arange(spectrum.size, dtype=np.float32) * np.float32(rate / size)
    gain = 1 - _rise(hz, high)
    if low:
        gain *= _rise(hz, low)
    passed = np.fft.irfft(spectrum * gain, size)[_GUARD : _GUARD + samples.size]
    return np.asarray(passed, dtype=np.float32)


def _rise(hz: Array, edge: float) -> Array:
    """Return 0 below an edge, 1 above, shape of ``hz``."""
    place = np.clip((hz / np.float32(edge) - 1) / np.float32(_EDGE) + np.float32(0.5), 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * place), dtype=np.float32)


STEPS: Final[dict[str, Step]] = {
    "level": Step(level, "dBFS", -60.0, 0.0, default=-26.0),
    "lowpass": Step(lowpass, "Hz", 200.0, 7600.0),
    "telephone": Step(telephone),
    "denoise": Step(denoise),
}


@dataclass(frozen=True)
class Preprocessor:
    """Applies steps; without any it returns what it is given.

    Attributes:
        steps: each as it is written in full: ``level`` is ``level=-26``.

    Raises:
        ValueError: for a step that does not exist or whose number makes no sense.
    """

    steps: tuple[str, ...] = ()
    _parsed: tuple[tuple[Step, float], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parsed = tuple(_parse(text) for text in self.steps)
        object.__setattr__(self, "steps", tuple(text for text, _, _ in parsed))
        object.__setattr__(self, "_parsed", tuple((step, value) for _, step, value in parsed))

    def __call__(self, samples: Array) -> Array:
        """Return ``samples`` (n,) after all steps, shape (n,).

        Raises:
            MissingExtraError: if a step needs a package that is not installed.
        """
        for step, value in self._parsed:
            samples = step.apply(samples, value)
        return samples


def parse_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Return steps as they are written in full, for a recipe or a card.

    Raises:
        ValueError: as `Preprocessor` does.
    """
    return Preprocessor(tuple(steps)).steps


def build_preprocessor(steps: Sequence[str]) -> Preprocessor:
    """Make the preprocessor that a card names.

    Raises:
        BundleError: ``bundle_features`` if this version does not know a step or its number.
    """
    try:
        return Preprocessor(tuple(steps))
    except ValueError as error:
        raise BundleError("bundle_features", f"The card's preprocessing cannot be made: {error}.") from error


def _parse(text: str) -> tuple[str, Step, float]:
    name, equals, number = text.partition("=")
    step = STEPS.get(name)
    if step is None:
        raise ValueError(f"there is no preprocessing step {name!a}, only {', '.join(STEPS)}")
    if step.unit is None:
        if equals:
            raise ValueError(f"the preprocessing step {name} takes no number, so not {text!a}")
        return name, step, 0.0
    if not equals and step.default is not None:
        return f"{name}={step.default:g}", step, step.default
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not step.low <= value <= step.high:
        raise ValueError(
            f"the preprocessing step {name} needs a number from {step.low:g} to {step.high:g} {step.unit}, "
            f"as {name}={step.default or step.high / 2:g}, not {text!a}"
        )
    return f"{name}={value:g}", step, value
