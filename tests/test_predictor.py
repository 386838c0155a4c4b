from __future__ import annotations

import io
import json
import threading
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from jsonschema import Draft202012Validator
from onnx import helper, numpy_helper

import voxtrait
from voice_toys import (
    MAN,
    RATE,
    SIZE,
    SPOKEN,
    WOMAN,
    bundle_of,
    dialogue,
    pitch_bundle,
    pitch_card,
    pitch_model,
    say,
    silence,
    wav,
)
from voxtrait import AudioError, BundleError, ModelBundle, Prediction, Predictor, UsageError
from voxtrait.bundle import CalibrationRow, FeatureCard, GenderCard, save_bundle
from voxtrait.labels import AGE_GROUPS

CONTRACT = Draft202012Validator(
    json.loads((Path(__file__).parent / "contract" / "prediction.schema.json").read_text())
)


def hearers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("voxtrait")]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(pitch_bundle(), threads=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    contents = {
        "man.wav": wav(say(voice=MAN)),
        "woman.wav": wav(say(voice=WOMAN)),
        "both.wav": wav(dialogue(4)),
        "long.wav": wav(np.tile(dialogue(2), 5)),
        "silence.wav": wav(silence(3)),
        "text.wav": b"this is not a recording, although it has the name of one",
        "empty.wav": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in (*contents, "none.wav")}


def test_a_man_and_a_woman(predictor: Predictor, files: dict[str, Path]) -> None:
    for name, label in (("man.wav", "male"), ("woman.wav", "female")):
        answer = predictor.predict(files[name])
        CONTRACT.validate(answer.to_dict())
        assert (answer.status, answer.file, answer.model) == ("ok", str(files[name]), "pitch 0.1")
        assert answer.gender is not None
        assert answer.gender.label == label
        assert answer.duration == pytest.approx(soundfile.info(files[name]).duration, abs=1e-3)
        assert answer.speech is not None
        assert answer.duration is not None
        assert 3 < answer.speech <= answer.duration
        assert (answer.segments, answer.speakers, answer.error) == (None, None, None)


def test_age_is_an_interval_about_its_mean(predictor: Predictor) -> None:
    age = predictor.predict(say(), rate=RATE).age
    assert age is not None
    assert age.low < age.years < age.high
    assert list(age.groups) == list(AGE_GROUPS)
    assert sum(age.groups.values()) == pytest.approx(1)
    assert age.groups[age.group] == max(age.groups.values())


def test_any_source_gives_the_same_answer(predictor: Predictor, files: dict[str, Path]) -> None:
    content = files["woman.wav"].read_bytes()
    samples, rate = soundfile.read(io.BytesIO(content), dtype="int16")
    answers = [
        predictor.predict(files["woman.wav"]),
        predictor.predict(str(files["woman.wav"])),
        predictor.predict(content),
        predictor.predict(io.BytesIO(content)),
        predictor.predict(samples, rate=rate),
    ]
    names = [answer.file for answer in answers]
    assert names == [str(files["woman.wav"])] * 2 + ["<bytes>", "<stream>", "<array>"]
    assert len({json.dumps({**answer.to_dict(), "file": ""}) for answer in answers}) == 1
    assert predictor.predict(content, name="ours").file == "ours"


def test_a_channel_alone(predictor: Predictor) -> None:
    size = min(say(voice=MAN).size, say(voice=WOMAN).size)
    stereo = np.stack([say(voice=MAN)[:size], say(voice=WOMAN)[:size]], axis=1)
    labels = []
    for channel in (1, 2):
        gender = predictor.predict(stereo, rate=RATE, channel=channel).gender
        assert gender is not None
        labels.append(gender.label)
    assert labels == ["male", "female"]
    with pytest.raises(AudioError, match="channel 3"):
        predictor.predict(stereo, rate=RATE, channel=3)


@pytest.mark.parametrize("segments", [False, True])
def test_no_speech(predictor: Predictor, segments: bool) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 2 * RATE).astype(np.float32)
    for samples in (silence(2), noise, silence(0.001)):
        answer = predictor.predict(samples, rate=RATE, segments=segments, speakers=segments)
        CONTRACT.validate(answer.to_dict())
        assert (answer.status, answer.speech, answer.gender, answer.age) == ("no_speech", 0, None, None)
        assert answer.duration == samples.size / RATE
        assert answer.segments == (() if segments else None)
        assert answer.speakers == (() if segments else None)


def test_less_speech_than_the_card_asks_for() -> None:
    strict = Predictor(bundle_of(pitch_card(min_speech=60.0)))
    answer = strict.predict(say(), rate=RATE)
    assert answer.status == "no_speech"
    assert answer.speech is not None
    assert answer.speech > 3


@pytest.mark.parametrize(
    ("name", "code"), [("text.wav", "not_audio"), ("empty.wav", "empty"), ("none.wav", "not_found")]
)
def test_what_cannot_be_heard_is_an_error(
    predictor: Predictor, files: dict[str, Path], name: str, code: str
) -> None:
    with pytest.raises(AudioError) as caught:
        predictor.predict(files[name])
    assert caught.value.code == code
    (row,) = predictor.predict_many([files[name]])
    CONTRACT.validate(row.to_dict())
    assert row.status == "error"
    assert row.error is not None
    assert (row.error.code, row.error.message) == (code, str(caught.value))


def test_what_breaks_off_is_warned_of(predictor: Predictor, files: dict[str, Path]) -> None:
    content = files["man.wav"].read_bytes()
    answer = predictor.predict(content[: len(content) * 3 // 4])
    CONTRACT.validate(answer.to_dict())
    assert answer.status == "ok"
    assert [problem.code for problem in answer.warnings] == ["truncated"]


# The timeline


def test_a_dialogue_has_a_timeline(predictor: Predictor) -> None:
    samples = dialogue(6)
    answer = predictor.predict(samples, rate=RATE, segments=True, speakers=True)
    CONTRACT.validate(answer.to_dict())
    assert answer.segments is not None
    assert answer.speakers is not None
    assert answer.speech is not None
    assert [(part.speaker, part.gender.label) for part in answer.segments] == [
        ("S1", "male"),
        ("S2", "female"),
    ] * 3
    turns = np.cumsum([0, *([say(voice=voice).size / RATE + 1 for voice in (MAN, WOMAN)] * 3)])
    for part, began, ended in zip(answer.segments, turns, turns[1:], strict=False):
        assert began - 0.1 < part.start < began + 0.3
        assert ended - 1.4 < part.end <= ended - 0.9
    assert [speaker.gender.label for speaker in answer.speakers] == ["male", "female"]
    assert sum(speaker.speech for speaker in answer.speakers) == pytest.approx(answer.speech)


def test_segments_are_in_order_apart_and_of_known_speakers(predictor: Predictor) -> None:
    rng = np.random.default_rng(5)
    parts = []
    for _ in range(14):
        voice = say(SPOKEN, (MAN, WOMAN)[int(rng.integers(2))])
        first = int(rng.integers(0, RATE))
        parts += [voice[first : first + int(rng.uniform(0.5, 3) * RATE)], silence(rng.uniform(0, 1.2))]
    answer = predictor.predict(np.concatenate(parts), rate=RATE, segments=True, speakers=True)
    assert answer.segments
    assert answer.speakers
    assert answer.duration is not None
    assert answer.speech is not None
    for one, other in pairwise(answer.segments):
        assert one.start < one.end <= other.start < other.end <= answer.duration
        assert one.speaker != other.speaker or other.start - one.end > 0.5
    assert sum(part.end - part.start for part in answer.segments) >= answer.speech - 1e-6
    names = [speaker.speaker for speaker in answer.speakers]
    assert names == [f"S{number + 1}" for number in range(len(names))]
    assert list(dict.fromkeys(part.speaker for part in answer.segments)) == names


def test_segments_and_speakers_are_given_when_asked_for(predictor: Predictor) -> None:
    one = predictor.predict(say(), rate=RATE, segments=True)
    other = predictor.predict(say(), rate=RATE, speakers=True)
    assert (one.speakers, other.segments) == (None, None)
    assert one.segments is not None
    assert other.speakers is not None
    assert len(one.segments) == len(other.speakers) == 1


def test_a_bundle_that_tells_no_voices_apart_hears_one() -> None:
    answer = Predictor(bundle_of(pitch_card(embedding=None))).predict(dialogue(2), rate=RATE, speakers=True)
    assert answer.speakers is not None
    assert [speaker.speaker for speaker in answer.speakers] == ["S1"]


# What a bundle may lack


def test_a_bundle_without_age() -> None:
    answer = Predictor(bundle_of(pitch_card(age=None))).predict(say(), rate=RATE, segments=True)
    CONTRACT.validate(answer.to_dict())
    assert answer.age is not None
    assert answer.age.group == "unsure"
    assert answer.gender is not None
    assert answer.gender.label == "male"


def test_a_bundle_without_gender() -> None:
    answer = Predictor(bundle_of(pitch_card(gender=None))).predict(say(), rate=RATE)
    CONTRACT.validate(answer.to_dict())
    assert answer.gender == voxtrait.GenderEstimate("unsure", 0.5, 0.5)


@pytest.mark.parametrize(
    "gender",
    [
        GenderCard(calibration=(CalibrationRow(speech=1, scale=0.01, bias=0),), unsure_below=0.6),
        GenderCard(
            calibration=(CalibrationRow(speech=1, scale=1, bias=0),), unsure_below=0.6, unsure_child=0.01
        ),
    ],
    ids=["doubt", "child"],
)
def test_unsure(gender: GenderCard) -> None:
    answer = Predictor(bundle_of(pitch_card(gender=gender))).predict(say(), rate=RATE)
    assert answer.gender is not None
    assert answer.gender.label == "unsure"
    assert answer.gender.male > 0.5
    assert answer.gender.female + answer.gender.male == pytest.approx(1)


def test_a_bundle_of_unknown_features() -> None:
    with pytest.raises(BundleError) as caught:
        Predictor(bundle_of(pitch_card(features=FeatureCard(name="mfcc", config={}))))
    assert caught.value.code == "bundle_features"


def test_a_bundle_of_another_feature_size() -> None:
    narrow = FeatureCard(name="mel-voice", config={"n_mels": 20})
    with pytest.raises(BundleError, match=r"24 .* 44") as caught:
        Predictor(bundle_of(pitch_card(features=narrow)))
    assert caught.value.code == "bundle_features"


def test_a_model_that_fails() -> None:
    model = onnx.load_from_string(pitch_model())
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 7, SIZE]), "baked"))
    model.graph.node.insert(0, helper.make_node("Reshape", ["features", "baked"], ["short"]))
    model.graph.node[1].input[0] = "short"
    content = bytes(model.SerializeToString())
    predictor = Predictor(ModelBundle(pitch_card().sealed(content), content))
    runs: list[Callable[[bytes], object]] = [
        predictor.predict,
        lambda recording: list(predictor.predict_many([recording])),
    ]
    for run in runs:
        with pytest.raises(BundleError, match=r"pitch 0\.1 fails") as caught:
            run(wav(say()))
        assert caught.value.code == "bundle_corrupt"
    assert hearers() == []


def test_threads_must_be_some() -> None:
    with pytest.raises(UsageError, match="threads"):
        Predictor(pitch_bundle(), threads=0)


# Many recordings


@pytest.mark.parametrize("extra", [{}, {"segments": True, "speakers": True}])
def test_many_are_answered_in_turn_as_one_by_one(
    predictor: Predictor, files: dict[str, Path], extra: dict[str, Any]
) -> None:
    names = [
        "long.wav",
        "man.wav",
        "text.wav",
        "both.wav",
        "silence.wav",
        "woman.wav",
        "none.wav",
        "empty.wav",
    ] * 3
    answers = list(predictor.predict_many([files[name] for name in names], **extra))
    assert [answer.file for answer in answers] == [str(files[name]) for name in names]
    alone: dict[str, Prediction] = {}
    for name, answer in zip(names, answers, strict=True):
        CONTRACT.validate(answer.to_dict())
        if answer.status == "error":
            assert name in ("text.wav", "none.wav", "empty.wav")
            continue
        if name not in alone:
            alone[name] = predictor.predict(files[name], **extra)
        _assert_alike(answer.to_dict(), alone[name].to_dict())
    assert hearers() == []


def _assert_alike(one: Any, other: Any) -> None:
    """Compare answers; batches of other shapes may change the last digit."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            _assert_alike(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, yours in zip(one, other, strict=True):
            _assert_alike(mine, yours)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=2e-4)
    else:
        assert one == other


def test_no_recordings(predictor: Predictor) -> None:
    assert list(predictor.predict_many([])) == []


def test_more_recordings_than_wait_at_once(predictor: Predictor) -> None:
    short = [wav(say(voice=voice)[8000:24_000]) for voice in (MAN, WOMAN)]
    answers = list(predictor.predict_many(short[number % 2] for number in range(150)))
    labels = [answer.gender.label for answer in answers if answer.gender]
    assert labels == ["male", "female"] * 75


def test_a_stereo_recording_by_channel(predictor: Predictor) -> None:
    size = min(say(voice=MAN).size, say(voice=WOMAN).size)
    stereo = wav(np.stack([say(voice=MAN)[:size], say(voice=WOMAN)[:size]], axis=1))
    answers = list(predictor.predict_many([stereo, wav(say())], channel=2))
    assert answers[0].gender is not None
    assert answers[0].gender.label == "female"
    assert answers[1].error is not None
    assert answers[1].error.code == "bad_channel"


def test_progress_is_told(predictor: Predictor, files: dict[str, Path]) -> None:
    heard: list[float] = []
    names = ["long.wav", "text.wav", "silence.wav"]
    answers = list(predictor.predict_many([files[name] for name in names], tick=heard.append))
    assert sum(heard) == pytest.approx(sum(answer.duration or 0 for answer in answers))
    assert len(heard) > 3


@pytest.mark.timeout(60)
def test_stopping_early_leaves_no_thread(predictor: Predictor, files: dict[str, Path]) -> None:
    drawn = 0

    def sources() -> Iterator[Path]:
        nonlocal drawn
        for _ in range(10_000):
            drawn += 1
            yield files["man.wav"]

    answers = predictor.predict_many(sources(), segments=True)
    for _ in range(3):
        assert next(iter(answers)).status == "ok"
    answers.close()  # type: ignore[attr-defined]
    assert hearers() == []
    assert drawn < 300


@pytest.mark.timeout(60)
def test_stopping_early_does_not_hear_the_rest_of_a_long_silence(
    predictor: Predictor, files: dict[str, Path], tmp_path: Path
) -> None:
    hours = 3
    with wave.open(str(tmp_path / "night.wav"), "wb") as file:
        file.setparams((1, 2, RATE, hours * 3600 * RATE, "NONE", ""))
        file.writeframes(b"\0\0")
        header = 44
    with (tmp_path / "night.wav").open("r+b") as raw:
        # A hole: it takes no room on the disk.
        raw.truncate(header + 2 * hours * 3600 * RATE)
        for place, value in ((4, header - 8 + 2 * hours * 3600 * RATE), (40, 2 * hours * 3600 * RATE)):
            raw.seek(place)
            raw.write(value.to_bytes(4, "little"))
    heard: list[float] = []
    answers = predictor.predict_many([files["man.wav"], tmp_path / "night.wav"], tick=heard.append)
    assert next(iter(answers)).status == "ok"
    answers.close()  # type: ignore[attr-defined]
    assert hearers() == []
    assert sum(heard) < hours * 3600


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_source_at_all_is_raised_in_its_turn(
    predictor: Predictor, files: dict[str, Path], place: int
) -> None:
    sources: list[Any] = [files["man.wav"], files["woman.wav"]]
    sources.insert(place, 3.5)
    answers = iter(predictor.predict_many(sources))
    for _ in range(place):
        assert next(answers).status == "ok"
    with pytest.raises(TypeError, match="float"):
        next(answers)
    assert hearers() == []


@pytest.mark.timeout(60)
def test_a_fault_of_the_callback_is_raised(predictor: Predictor, files: dict[str, Path]) -> None:
    def tick(seconds: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(predictor.predict_many([files["man.wav"]] * 5, tick=tick))
    assert hearers() == []


@pytest.mark.timeout(60)
def test_a_fault_of_the_sources_is_raised(predictor: Predictor, files: dict[str, Path]) -> None:
    def sources() -> Iterator[Path]:
        yield files["man.wav"]
        raise KeyError("the list broke off")

    with pytest.raises(KeyError, match="broke off"):
        list(predictor.predict_many(sources()))
    assert hearers() == []


def test_a_long_recording_is_thinned_and_keeps_its_answer() -> None:
    predictor = Predictor(bundle_of(pitch_card(window=0.5, hop=0.5)))
    # Men's and women's speech, 3 to 1: an answer from the beginning alone would differ.
    content = wav(np.concatenate([*[say(voice=MAN)] * 30, *[say(voice=WOMAN)] * 10]))
    thinned = predictor.predict(content)
    whole = predictor.predict(content, segments=True)
    assert thinned.speech == whole.speech
    assert thinned.gender is not None
    assert whole.gender is not None
    logits = [
        np.log(answer.gender.female / answer.gender.male) for answer in (thinned, whole) if answer.gender
    ]
    assert logits[0] == pytest.approx(logits[1], abs=0.5)
    (row,) = predictor.predict_many([content])
    _assert_alike(row.to_dict()["gender"], thinned.to_dict()["gender"])


def test_a_predictor_is_shared_by_threads(predictor: Predictor) -> None:
    recordings = [say(voice=MAN), say(voice=WOMAN)] * 4

    def label(samples: np.ndarray[Any, np.dtype[np.float32]]) -> str:
        gender = predictor.predict(samples, rate=RATE).gender
        assert gender is not None
        return gender.label

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(label, recordings)) == ["male", "female"] * 4


# The function


def test_predict_takes_a_bundle_or_its_place(tmp_path: Path, predictor: Predictor) -> None:
    bundle = pitch_bundle()
    save_bundle(tmp_path / "pitch", bundle.card, bundle.model)
    save_bundle(tmp_path / "pitch.zip", bundle.card, bundle.model)
    expected = predictor.predict(say(), rate=RATE, segments=True)
    for model in (bundle, tmp_path / "pitch", str(tmp_path / "pitch.zip")):
        assert voxtrait.predict(say(), model=model, rate=RATE, segments=True) == expected


def test_predict_with_no_such_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        voxtrait.predict(say(), model=tmp_path / "none", rate=RATE)
    assert caught.value.code == "bundle_not_found"
