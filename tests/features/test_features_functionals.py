from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voice_toys import MAN, RATE, WOMAN, say
from voxtrait.errors import BundleError
from voxtrait.features import build_features
from voxtrait.features.mel import mel_power, power_spectra
from voxtrait.features.mfcc import decibels, mfcc, slopes
from voxtrait.features.shape import band_extremes, contrast, spectral_shape

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import librosa

Array = NDArray[np.float32]

EXTRACTOR = build_features("functionals", {})
NAMES: tuple[str, ...] = EXTRACTOR.names()  # type: ignore[attr-defined]
FRAME: dict[str, Any] = {"n_fft": 512, "hop_length": 160, "center": False}
TIME = np.arange(2 * RATE) / RATE


def noise(size: int, level: float = 0.1, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, level, size).astype(np.float32)


SOUNDS: dict[str, Array] = {"man": say(), "woman": say(voice=WOMAN), "noise": noise(RATE)}


def functionals(samples: NDArray[Any]) -> dict[str, float]:
    row = EXTRACTOR.extract(samples.astype(np.float32))
    return dict(zip(NAMES, row[0].tolist(), strict=True))


def harmonic(f0: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return two seconds of a voice-like sound whose frequency is ``f0``, constant or a track."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0, TIME.shape)) / RATE
    tones = [order**-1.5 * np.cos(order * phase + order**2) for order in range(1, 20)]
    return np.asarray(0.1 * np.sum(tones, axis=0))


def spectra(samples: Array) -> Array:
    return np.asarray(np.sqrt(np.concatenate(list(power_spectra(samples, 512, 160)))), dtype=np.float32)


@pytest.mark.parametrize("sound", SOUNDS)
def test_cepstra_are_librosas(sound: str) -> None:
    samples = SOUNDS[sound]
    expected = librosa.feature.mfcc(
        y=samples.astype(np.float64), sr=RATE, n_mfcc=20, n_mels=40, **FRAME
    )  # fmt: skip
    found = mfcc(mel_power(samples, 512, 160, 40), 20)
    np.testing.assert_allclose(found, expected.T, atol=0.02)
    np.testing.assert_allclose(slopes(found), librosa.feature.delta(expected, width=9).T, atol=0.01)


@pytest.mark.parametrize("sound", SOUNDS)
def test_spectral_shape_is_librosas(sound: str) -> None:
    samples = SOUNDS[sound]
    magnitude = spectra(samples)
    exact = magnitude.T.astype(np.float64)
    found = spectral_shape(magnitude)
    expected = [
        librosa.feature.spectral_centroid(S=exact, sr=RATE)[0],
        librosa.feature.spectral_bandwidth(S=exact, sr=RATE)[0],
        librosa.feature.spectral_rolloff(S=exact, sr=RATE)[0],
        librosa.feature.spectral_flatness(S=exact)[0],
    ]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("sound", SOUNDS)
def test_spectral_contrast_is_librosas(sound: str) -> None:
    magnitude = spectra(SOUNDS[sound])
    expected = librosa.feature.spectral_contrast(S=magnitude.T.astype(np.float64), sr=RATE)
    np.testing.assert_allclose(contrast(*band_extremes(magnitude)), expected.T, atol=1e-3)


def test_the_row_holds_the_statistics_of_what_librosa_finds() -> None:
    samples = say() / np.sqrt(np.mean(np.square(say()))) * 0.1
    row = functionals(say())
    cepstra = librosa.feature.mfcc(y=samples.astype(np.float64), sr=RATE, n_mfcc=20, n_mels=40, **FRAME)
    centroid = librosa.feature.spectral_centroid(y=samples.astype(np.float64), sr=RATE, **FRAME)[0]
    assert row["mfcc3_mean"] == pytest.approx(cepstra[3].mean(), abs=0.02)
    assert row["mfcc3_deviation"] == pytest.approx(cepstra[3].std(), abs=0.02)
    assert row["mfcc7_p10"] == pytest.approx(np.percentile(cepstra[7], 10), abs=0.02)
    assert row["mfcc7_slope"] == pytest.approx(librosa.feature.delta(cepstra)[7].std(), abs=0.02)
    assert row["centroid_p50"] == pytest.approx(np.median(centroid), rel=1e-3)
    assert row["centroid_p90"] == pytest.approx(np.percentile(centroid, 90), rel=1e-3)


@given(
    st.sampled_from(["silence", "noise", "clipped", "offset", "click", "faint", "voice"]),
    st.one_of(st.integers(0, 1200), st.integers(1200, 20_000)),
    st.integers(0, 10),
)
@settings(max_examples=80)
def test_every_value_is_finite_and_fits_a_cache_of_half_precision(kind: str, size: int, seed: int) -> None:
    samples = {
        "silence": np.zeros(size),
        "noise": noise(size, seed=seed),
        "clipped": np.clip(noise(size, 5.0, seed), -1, 1),
        "offset": np.ones(size),
        "click": np.eye(1, size, min(size - 1, 300) if size else 0)[0],
        "faint": noise(size, 1e-12, seed),
        "voice": say()[3000 * seed : 3000 * seed + size],
    }[kind]
    row = EXTRACTOR.extract(samples.astype(np.float32))
    span, shift = EXTRACTOR.frame_span, EXTRACTOR.frame_shift
    assert row.shape == (max(0, 1 + (samples.size - span) // shift), len(NAMES))
    assert row.dtype == np.float32
    assert np.isfinite(row.astype(np.float16)).all()


def test_names_tell_all_values_apart() -> None:
    assert len(set(NAMES)) == len(NAMES) == EXTRACTOR.size == EXTRACTOR.extract(say()).shape[1]
    assert EXTRACTOR.powers == 0
    small = build_features("functionals", {"n_mfcc": 5, "n_mels": 20, "n_fft": 400, "hop": 200})
    assert small.size == EXTRACTOR.size - 15 * 6
    assert small.extract(say()).shape == (1, small.size)


@given(st.floats(0.01, 1))
@settings(max_examples=10)
def test_the_level_of_a_recording_makes_no_difference(gain: float) -> None:
    quiet, loud = functionals(say() * gain), functionals(say())
    np.testing.assert_allclose(list(quiet.values()), list(loud.values()), rtol=0.02, atol=0.3)


@pytest.mark.parametrize("f0", [90.0, 130.0, 200.0, 310.0])
def test_pitch_of_a_steady_voice(f0: float) -> None:
    row = functionals(harmonic(f0))
    for statistic in ("mean", "p10", "p50", "p90"):
        assert row[f"f0_{statistic}"] == pytest.approx(12 * np.log2(f0 / 160), abs=0.3)
    assert row["f0_deviation"] < 0.3
    assert row["jitter"] < 0.1
    assert row["shimmer"] < 0.1
    assert row["voiced_share"] > 0.98
    assert row["voiced_runs"] == pytest.approx(0.5, abs=0.02)
    assert row["voiced_length"] == pytest.approx(2, abs=0.05)


def test_an_unsteady_voice_has_jitter_and_shimmer() -> None:
    rng = np.random.default_rng(0)
    # A new value every 10 ms.
    unsteady = np.repeat(rng.normal(0, 1, 200), 160)
    steady = functionals(harmonic(150.0))
    trembling = functionals(harmonic(150.0 * (1 + 0.03 * unsteady)))
    assert trembling["jitter"] > 0.3 + steady["jitter"]
    flickering = functionals(harmonic(150.0) * np.exp2(0.1 * unsteady))
    assert flickering["shimmer"] > 0.1 + steady["shimmer"]


def test_a_glide_is_not_jitter() -> None:
    glide = functionals(harmonic(np.geomspace(120, 180, TIME.size)))
    assert glide["f0_p90"] - glide["f0_p10"] == pytest.approx(0.8 * 12 * np.log2(1.5), abs=0.3)
    assert glide["jitter"] < 0.1


def test_noise_lowers_the_harmonics_to_noise_ratio() -> None:
    voice = harmonic(150.0)
    ratios = [
        functionals(voice + voice.std() * 10 ** (-snr / 20) * noise(voice.size, 1.0))["hnr_p50"]
        for snr in (30, 20, 10)
    ]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[1] - ratios[2] > 4


def test_nothing_is_said_of_the_voice_of_noise() -> None:
    row = functionals(noise(2 * RATE))
    assert row["voiced_share"] < 0.2
    assert functionals(np.zeros(RATE))["f0_p50"] == 0
    assert row["flatness_p50"] > functionals(harmonic(150.0))["flatness_p50"] + 10


@pytest.mark.parametrize("rate", [2, 3, 5])
def test_syllables_are_counted(rate: int) -> None:
    # From a twentieth of the loudness, 26 dB below, to the whole.
    loudness = 0.525 - 0.475 * np.cos(2 * np.pi * rate * TIME)
    assert functionals(harmonic(140.0) * loudness)["syllables"] == pytest.approx(rate, rel=0.1)


def test_sentences_have_the_syllables_that_one_hears() -> None:
    # Eighteen in the sentence.
    assert functionals(say())["syllables"] * say().size / RATE == pytest.approx(18, abs=4)


def test_an_octave_off_is_taken_for_an_error_of_measurement() -> None:
    track = np.full(TIME.size, 200.0)
    track[RATE : RATE + 3200] = 100.0
    row = functionals(harmonic(track))
    assert row["f0_p10"] == pytest.approx(12 * np.log2(200 / 160), abs=0.3)
    assert row["voiced_share"] < 0.95


def test_a_woman_speaks_higher_than_a_man() -> None:
    man, woman = functionals(say(voice=MAN)), functionals(say(voice=WOMAN))
    assert woman["f0_p50"] > man["f0_p50"] + 5


def test_decibels_have_a_floor_below_the_loudest() -> None:
    np.testing.assert_allclose(decibels(np.array([1.0, 1e-3, 0], np.float32)), [0, -30, -80], atol=1e-4)


def test_too_few_frames_have_no_slope() -> None:
    ramp = np.arange(9, dtype=np.float32)[:, None]
    np.testing.assert_allclose(slopes(ramp), 1, rtol=1e-6)
    np.testing.assert_array_equal(slopes(ramp[:8]), 0)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"hop": 0}, "hop"),
        ({"n_fft": 256}, "n_fft"),
        ({"n_fft": 641}, "n_fft"),
        ({"n_mels": 20.0}, "n_mels"),
        ({"n_mfcc": True}, "n_mfcc"),
        ({"n_mfcc": 30, "n_mels": 24}, "n_mfcc must be at most n_mels, 24"),
        ({"rate": 8000}, "rate"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config: dict[str, Any], named: str) -> None:
    with pytest.raises(BundleError, match=named) as caught:
        build_features("functionals", config)
    assert caught.value.code == "bundle_features"


def test_they_need_nothing_but_numpy() -> None:
    code = (
        "import sys, numpy as np; from voxtrait.features import build_features;"
        "build_features('functionals', {}).extract(np.zeros(9000, np.float32));"
        "sys.exit(bool({'scipy', 'sklearn', 'librosa', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
