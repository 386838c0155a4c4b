"""Rates, channels, arrays and blocks: the samples that come out are the right ones."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from audio_toys import RATE, level_at, resampled, speech, tone, wav
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, load_audio, open_audio
from voxtrait.errors import AudioError, UsageError

RATES = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000]


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_pitch_and_level(rate: int) -> None:
    heard = load_audio(wav(tone(1_000, rate), rate))
    assert len(heard) == SAMPLE_RATE
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) == 1_000
    assert level_at(heard, 1_000) == pytest.approx(20 * np.log10(0.5), abs=0.1)


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("hertz", [8_500, 9_000, 11_000])
def test_nothing_is_folded_down(rate: int, hertz: int) -> None:
    # Without the edges, where a tone that starts at once is not a tone.
    heard = load_audio(wav(tone(hertz, rate), rate, "FLOAT"))[1_600:-1_600]
    assert level_at(heard, 16_000 - hertz) < -80
    assert 20 * np.log10(np.abs(heard).max() + 1e-12) < -80


@pytest.mark.parametrize("channels", range(1, 9))
def test_channels_are_averaged_or_picked(channels: int) -> None:
    pitches = [300 + 200 * index for index in range(channels)]
    samples = np.stack([tone(pitch, 48_000) for pitch in pitches], axis=1)
    data = wav(samples, 48_000)
    mean = load_audio(data)
    for index, pitch in enumerate(pitches):
        assert level_at(mean, pitch) == pytest.approx(20 * np.log10(0.5 / channels), abs=0.2)
        picked = load_audio(data, channel=index + 1)
        assert level_at(picked, pitch) == pytest.approx(20 * np.log10(0.5), abs=0.1)
        for other in pitches[:index] + pitches[index + 1 :]:
            assert level_at(picked, other) < -80


@pytest.mark.parametrize("channel", [0, -1, 3, 100])
def test_a_channel_that_is_not_there(channel: int) -> None:
    data = wav(np.zeros((800, 2), np.float32))
    with pytest.raises(AudioError, match=r"<bytes> has 2 channels: there is no channel") as caught:
        open_audio(data, channel=channel)
    assert caught.value.code == "bad_channel"


def test_bytes_path_file_and_array_agree(tmp_path: Any) -> None:
    data, path = wav(speech()), tmp_path / "a.wav"
    path.write_bytes(data)
    expected = load_audio(data)
    with path.open("rb") as file, path.open("rb", buffering=0) as bare:
        for source in (path, str(path), io.BytesIO(data), file, bare):
            np.testing.assert_array_equal(load_audio(source), expected)
    whole = np.frombuffer(data[44:], "<i2")
    np.testing.assert_array_equal(load_audio(whole, rate=RATE), expected)
    np.testing.assert_allclose(load_audio(speech(), rate=RATE), expected, atol=1e-4)


def test_a_recording_at_16_khz_is_not_touched() -> None:
    samples = (np.random.default_rng(0).uniform(-1, 1, 40_000) * 32_767).astype(np.int16)
    np.testing.assert_array_equal(load_audio(wav(samples, 16_000)), samples.astype(np.float32) / 32_768)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        ("uint8", 127), ("int8", 127), ("int16", 32_767), (">i2", 32_767), ("int32", 2**31 - 1),
        ("float16", 1), ("float32", 1), (">f4", 1), ("float64", 1),
    ],
)  # fmt: skip
def test_arrays_of_every_type(dtype: str, scale: float) -> None:
    samples = tone(440, 16_000)
    array = (samples.astype(np.float64) * scale + (128 if dtype == "uint8" else 0)).astype(dtype)
    np.testing.assert_allclose(
        load_audio(array, rate=16_000), samples, atol=0.02 if dtype.endswith("t8") else 0.001
    )


def test_the_shorter_axis_of_an_array_is_the_channels() -> None:
    left, right = tone(400, 16_000), tone(700, 16_000)
    for array in (np.stack([left, right]), np.stack([left, right], axis=1)):
        np.testing.assert_array_equal(load_audio(array, rate=16_000, channel=2), right)
    np.testing.assert_array_equal(load_audio(left[:, np.newaxis], rate=16_000), left)


def test_the_array_of_the_caller_stays_as_it_is() -> None:
    array = 3 * tone(440, 16_000)
    before = array.copy()
    array.flags.writeable = False
    assert np.abs(load_audio(array, rate=16_000)).max() == 1
    np.testing.assert_array_equal(array, before)


def test_loud_floats_are_clipped_and_other_scales_refused() -> None:
    assert np.abs(load_audio(wav(3 * tone(440, 44_100), 44_100, "FLOAT"))).max() == 1
    for source, rate in (
        (20_000 * tone(440, 16_000), 16_000),
        (wav(5_000 * tone(440, 16_000), 16_000, "FLOAT"), None),
    ):
        with pytest.raises(AudioError, match="divide samples of 16 bits by 32768") as caught:
            load_audio(source, rate=rate)
        assert caught.value.code == "bad_samples"


def test_infinities_that_cancel_out_in_the_mean_are_refused() -> None:
    samples = np.tile(np.array([np.inf, -np.inf], np.float32), (RATE, 1))
    with pytest.raises(AudioError, match="not finite"):
        load_audio(samples, rate=RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE", None])
def test_samples_that_are_no_numbers(value: float, subtype: str | None) -> None:
    array = tone(440, 16_000, 30)
    array[400_000] = value
    source, rate = (array, 16_000) if subtype is None else (wav(array, 16_000, subtype), None)
    with pytest.raises(AudioError, match="not finite") as caught:
        load_audio(source, rate=rate)
    assert caught.value.code == "bad_samples"


@pytest.mark.parametrize(
    ("array", "rate", "code"),
    [
        (np.zeros(100), None, "bad_rate"),
        (np.zeros(100), 0, "bad_rate"),
        (np.zeros(100), 4 * 10**9, "bad_rate"),
        (np.zeros(0), 16_000, "empty"),
        (np.zeros((0, 2)), 16_000, "empty"),
        (np.zeros((100, 100)), 16_000, "bad_samples"),
        (np.zeros((10, 2, 2)), 16_000, "bad_samples"),
        (np.zeros(100, complex), 16_000, "bad_samples"),
        (np.zeros(100, np.int64), 16_000, "bad_samples"),
        (np.zeros(100, bool), 16_000, "bad_samples"),
        (np.full(100, 1e300), 16_000, "bad_samples"),
    ],
)
def test_arrays_that_cannot_be_heard(array: NDArray[Any], rate: int | None, code: str) -> None:
    with pytest.raises(AudioError) as caught:
        load_audio(array, rate=rate)
    assert caught.value.code == code


def test_a_rate_is_only_for_arrays() -> None:
    with pytest.raises(AudioError, match="rate= is for arrays only") as caught:
        load_audio(wav(speech()), rate=16_000)
    assert caught.value.code == "bad_rate"


def test_a_source_of_no_known_type() -> None:
    with pytest.raises(TypeError, match="not int"):
        load_audio(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 2.999, 3.0, 100.0])
def test_blocks_are_of_the_size_asked(seconds: float) -> None:
    data = wav(speech())
    with open_audio(data, block=seconds) as stream:
        told = []
        blocks = []
        for block in stream:
            blocks.append(block)
            told.append(stream.duration)
            assert block.flags.c_contiguous
            assert block.dtype == np.float32
    assert {len(block) for block in blocks[:-1]} <= {round(seconds * SAMPLE_RATE)}
    assert 0 < len(blocks[-1]) <= round(seconds * SAMPLE_RATE)
    assert told == sorted(told)
    assert told[-1] == stream.duration == 3.0
    np.testing.assert_array_equal(np.concatenate(blocks), load_audio(data))


@pytest.mark.parametrize("seconds", [0, -1, 1e-6])
def test_blocks_of_no_size(seconds: float) -> None:
    with pytest.raises(UsageError):
        open_audio(wav(speech()), block=seconds)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.integers(4_000, 200_000),
    length=st.integers(4_000, 60_000),
    channels=st.integers(1, 4),
    block=st.floats(0.005, 20),
    seed=st.integers(0, 2**31),
)
def test_streaming_gives_what_one_shot_gives(
    rate: int, length: int, channels: int, block: float, seed: int
) -> None:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (length, channels)).astype(np.float32)
    with open_audio(samples, rate=rate, block=block) as stream:
        heard = np.concatenate(list(stream))
    mono = samples.mean(axis=1, dtype=np.float32)
    assert len(heard) == pytest.approx(length * SAMPLE_RATE / rate, abs=1)
    np.testing.assert_allclose(heard, resampled_at_once(mono, rate), atol=1e-6)
    np.testing.assert_array_equal(load_audio(wav(samples, rate, "FLOAT")), heard)


def resampled_at_once(mono: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    import soxr

    if rate == SAMPLE_RATE:
        return mono
    result: NDArray[np.float32] = np.clip(soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ"), -1, 1)
    return result


def test_speech_survives_a_detour_over_another_rate() -> None:
    original = resampled(speech(), RATE)
    for rate in (44_100, 96_000):
        heard = load_audio(wav(resampled(original, 16_000, rate), rate, "FLOAT"))
        np.testing.assert_allclose(heard[800:-800], original[800:-800], atol=0.02)
