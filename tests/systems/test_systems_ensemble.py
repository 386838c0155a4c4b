"""Ensembles: one bundle whose answers are those of its members, averaged or weighed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import voxtrait
from voice_toys import GRID, MAN, WOMAN, bundle_of, pitch_bundle, pitch_card, pitch_model, say
from voxtrait.bundle import (
    AgeCard,
    CalibrationRow,
    Card,
    EmbeddingCard,
    FeatureCard,
    GenderCard,
    IntervalRow,
    ModelBundle,
    save_bundle,
)
from voxtrait.errors import BundleError, RecipeError
from voxtrait.features import build_features
from voxtrait.systems.ensemble import (
    EnsembleParts,
    EnsembleSettings,
    MemberScores,
    Weights,
    average_weights,
    compose,
    fit_weights,
    load_members,
    member_scores,
)
from voxtrait.systems.system import YEARS

Floats = NDArray[np.float64]

WINDOW = 2.0
INTERVAL = (IntervalRow(speech=1, low=0.1, high=0.9),)
PLAIN = CalibrationRow(speech=1, scale=1, bias=0)


def tilted() -> ModelBundle:
    """A member with other features, steps and calibration than the pitch bundle."""
    rows = (CalibrationRow(speech=1, scale=0.5, bias=-0.2), CalibrationRow(speech=4, scale=1.5, bias=0.6))
    age = AgeCard(grid=GRID, interval=INTERVAL, temperature=2.0, scale=0.8, shift=7.0)
    features = FeatureCard(name="mel-voice", config={"hop": 320, "n_fft": 512})
    gender = GenderCard(calibration=rows, unsure_below=0.5)
    return bundle_of(pitch_card(name="tilted", features=features, gender=gender, age=age, embedding=None))


def opset_13() -> ModelBundle:
    """A member in an older version of ONNX, for gender alone."""
    card = pitch_card(name="old", age=None, embedding=None)
    model = onnx.load_from_string(pitch_model(("gender",)))
    model.opset_import[0].version = 13
    model.ir_version = 7
    raw = bytes(model.SerializeToString())
    return ModelBundle(card.sealed(raw), raw)


def linear() -> ModelBundle:
    """A member like those of scikit-learn: the first frame through an operator of ai.onnx.ml, for age."""
    nodes = [
        helper.make_node("Gather", ["features", "first"], ["frame"], axis=1),
        helper.make_node("LinearRegressor", ["frame"], ["age"], domain="ai.onnx.ml", targets=2,
                         coefficients=np.linspace(-0.1, 0.1, 80).tolist(), intercepts=[0.3, 0.1]),
    ]  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "linear",
        [value("features", TensorProto.FLOAT, ["N", "T", 40]), value("lengths", TensorProto.INT64, ["N"])],
        [value("age", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.array(0, np.int64), "first")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    card = pitch_card(
        name="linear",
        gender=None,
        embedding=None,
        age=AgeCard(grid=(20.0, 50.0), interval=INTERVAL),
        features=FeatureCard(name="mel-voice", config={"voice_every": 0}),
    )
    return ModelBundle(card.sealed(model), model)


def run(bundle: ModelBundle, features: NDArray[np.float32], lengths: list[int]) -> dict[str, Any]:
    session = bundle.session()
    fed = {"features": features, "lengths": np.array(lengths, np.int64)}
    return dict(zip([port.name for port in session.get_outputs()], session.run(None, fed), strict=True))


def answers(member: ModelBundle, samples: NDArray[np.float32]) -> MemberScores:
    """Return a member's own calibrated answer to one window."""
    features = member.card.features
    frames = build_features(features.name, features.config).extract(samples)
    out = run(member, frames[None], [len(frames)])
    gender, age = out.get("gender", np.zeros(1)), out.get("age", np.zeros((1, 0)))
    return member_scores(member.card, WINDOW, gender, age)


def bundle_from(parts: EnsembleParts) -> ModelBundle:
    as_is = GenderCard(calibration=(PLAIN,), unsure_below=0.5)
    card = pitch_card(
        name="joined",
        features=parts.features,
        preprocess=parts.preprocess,
        window=WINDOW,
        hop=WINDOW,
        gender=as_is if parts.targets.gender else None,
        age=AgeCard(grid=parts.targets.ages.grid, interval=INTERVAL) if parts.targets.age else None,
        embedding=parts.embedding,
    )
    return ModelBundle(card.sealed(parts.model), parts.model)


def expected(scores: list[MemberScores], weights: Weights) -> tuple[float, Floats]:
    gender = weights.bias
    age = np.zeros(len(YEARS))
    for score, one, other in zip(scores, weights.gender, weights.age, strict=True):
        gender += one * float(score.gender[0]) if score.gender is not None else 0.0
        age += other * score.age[0] if score.age is not None else 0.0
    return gender, age


MEMBERS = [tilted(), pitch_bundle(), opset_13(), linear()]
WEIGHTS = {
    "average": average_weights(MEMBERS),
    "stacked": Weights((0.3, 1.2, 0.4, 0.0), -0.7, (0.25, 0.6, 0.0, 0.15)),
}


def test_the_average_counts_all_that_have_the_task() -> None:
    weights = WEIGHTS["average"]
    assert weights.gender == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0))
    assert weights.age == pytest.approx((1 / 3, 1 / 3, 0, 1 / 3))
    assert weights.bias == 0


@pytest.mark.parametrize("method", WEIGHTS)
def test_its_answers_are_those_of_its_members_whatever_shares_the_batch(method: str) -> None:
    weights = WEIGHTS[method]
    bundle = bundle_from(compose(MEMBERS, weights, WINDOW))
    extractor = build_features(bundle.card.features.name, bundle.card.features.config)
    places = ((MAN, 3000, 6400), (WOMAN, 8000, 20_000), (MAN, 9000, 32_000), (WOMAN, 20_000, 31_999))
    windows = [say(voice=voice)[start : start + size] for voice, start, size in places]
    rows = [extractor.extract(window) for window in windows]
    lengths = [len(row) for row in rows]
    features = np.zeros((len(rows), max(lengths) + 40, extractor.size), np.float32)
    for padded, row in zip(features, rows, strict=True):
        padded[: len(row)] = row
    together = run(bundle, features, lengths)
    for index, (window, row) in enumerate(zip(windows, rows, strict=True)):
        gender, age = expected([answers(member, window) for member in MEMBERS], weights)
        alone = run(bundle, row[None], [len(row)])
        for out, place in ((together, index), (alone, 0)):
            assert out["gender"][place] == pytest.approx(gender, abs=1e-4)
            assert np.exp(out["age"][place]) == pytest.approx(np.maximum(age, 1e-6), abs=1e-4)
            assert np.exp(out["age"][place]).sum() == pytest.approx(1, abs=1e-3)
    features[:, max(lengths) :] = np.nan
    again = run(bundle, features, lengths)
    assert all(np.array_equal(again[name], together[name]) for name in together)


def test_it_predicts_and_tells_speakers_apart_like_any_bundle(tmp_path: Path) -> None:
    members = [tilted(), pitch_bundle()]
    made = bundle_from(compose(members, average_weights(members), WINDOW))
    save_bundle(tmp_path / "joined", made.card, made.model)
    samples = np.concatenate([say(), np.zeros(16_000, np.float32), say(voice=WOMAN)])
    answer = voxtrait.predict(samples, model=str(tmp_path / "joined"), rate=16_000, speakers=True)
    single = voxtrait.predict(samples, model=pitch_bundle(), rate=16_000, speakers=True)
    assert answer.model == "joined 0.1"
    assert answer.speakers is not None
    assert single.speakers is not None
    assert [voice.gender.label for voice in answer.speakers] == ["male", "female"]
    assert [voice.speech for voice in answer.speakers] == [voice.speech for voice in single.speakers]
    assert answer.age is not None
    assert 4 <= answer.age.low <= answer.age.years <= answer.age.high <= 96


def test_members_of_the_same_features_share_them() -> None:
    members = [pitch_bundle(), opset_13(), tilted()]
    parts = compose(members, average_weights(members), WINDOW)
    joined: Any = build_features(parts.features.name, parts.features.config)
    assert [part.config.hop for part in joined.parts] == [160, 320]


def test_a_member_that_counts_for_nothing_is_left_out() -> None:
    members = [tilted(), pitch_bundle()]
    parts = compose(members, Weights((0.0, 1.0), 0.0, (0.0, 1.0)), WINDOW)
    assert b"member1." in parts.model
    assert b"member0." not in parts.model
    joined: Any = build_features(parts.features.name, parts.features.config)
    assert [part.config.hop for part in joined.parts] == [160]


@pytest.mark.parametrize(
    ("members", "task", "embedding"),
    [([opset_13(), opset_13()], "gender", None), ([linear(), linear()], "age", None),
     ([linear(), opset_13()], "both", None), ([tilted(), pitch_bundle()], "both", 3)],
)  # fmt: skip
def test_it_tells_what_one_of_its_members_tells(
    members: list[ModelBundle], task: str, embedding: int | None
) -> None:
    parts = compose(members, average_weights(members), WINDOW)
    assert parts.targets.task == task
    assert (parts.embedding and parts.embedding.size) == embedding
    # Building the session checks the model's inputs and outputs against the card.
    assert bundle_from(parts).session()


def test_the_embedding_is_that_of_the_first_member_that_has_one() -> None:
    far = pitch_card(name="far", embedding=EmbeddingCard(size=3, threshold=0.9))
    members = [tilted(), pitch_bundle(), bundle_of(far)]
    made = compose(members, average_weights(members), WINDOW)
    assert made.embedding == pitch_bundle().card.embedding
    bundle = bundle_from(made)
    window = say()[:24_000]
    rows = build_features(made.features.name, made.features.config).extract(window)
    own = build_features("mel-voice", pitch_bundle().card.features.config).extract(window)
    given = run(bundle, rows[None], [len(rows)])["embedding"]
    assert given == pytest.approx(run(pitch_bundle(), own[None], [len(own)])["embedding"], abs=1e-5)


# Loading members


def saved(folder: Path, card: Card) -> str:
    bundle = bundle_of(card)
    save_bundle(folder, bundle.card, bundle.model)
    return str(folder)


def test_members_load_from_wherever_bundles_do(tmp_path: Path) -> None:
    where = (saved(tmp_path / "a", pitch_card(name="a")), saved(tmp_path / "b.zip", pitch_card(name="b")))
    members = load_members(EnsembleSettings(members=(*where, "voxtrait-base")))
    assert [member.card.name for member in members] == ["a", "b", "voxtrait-base"]


def test_what_cannot_be_joined_is_said(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", pitch_card(name="plain"))
    steps = saved(tmp_path / "steps", pitch_card(name="steps", preprocess=("level=-26",)))
    joined = bundle_from(compose(MEMBERS[:2], average_weights(MEMBERS[:2]), WINDOW))
    save_bundle(tmp_path / "joined", joined.card, joined.model)
    with pytest.raises(RecipeError, match=r"steps 0\.1 hears speech after the steps level=-26, plain"):
        load_members(EnsembleSettings(members=(plain, steps)))
    with pytest.raises(RecipeError, match=r"joined 0\.1 is an ensemble; name its members"):
        load_members(EnsembleSettings(members=(plain, str(tmp_path / "joined"))))
    with pytest.raises(BundleError, match="There is no bundle"):
        load_members(EnsembleSettings(members=(plain, str(tmp_path / "nowhere"))))


# Weights


def odds(signal: Floats, noise: float, seed: int) -> Floats:
    return np.asarray(signal + noise * np.random.default_rng(seed).standard_normal(len(signal)))


def years(centre: Floats, spread: float) -> Floats:
    density = np.exp(-0.5 * ((np.asarray(YEARS.grid) - centre[:, None]) / spread) ** 2)
    return np.asarray(density / density.sum(1, keepdims=True))


def test_stacking_trusts_the_member_that_is_right() -> None:
    chance = np.random.default_rng(0)
    female = chance.integers(0, 2, 300).astype(np.float64)
    female[:20] = np.nan
    age = chance.uniform(20, 70, 300)
    age[-30:] = np.nan
    heard = np.nan_to_num(age, nan=40.0)
    firm = np.nan_to_num(2 * female - 1)
    scores = [
        MemberScores(odds(np.zeros(300), 2.0, 1), years(90 - heard, 4.0)),
        MemberScores(odds(2 * firm, 1.0, 2), years(heard + chance.normal(0, 3, 300), 4.0)),
        MemberScores(None, None),
        MemberScores(-odds(firm, 1.0, 3), None),
    ]
    weights = fit_weights(scores, female, age - 1, age + 1, np.ones(300))
    assert weights.gender[1] > 0.5
    assert weights.gender[0] < 0.3 * weights.gender[1]
    assert weights.gender[2:] == (0.0, 0.0)
    assert weights.age[1] > 0.9
    assert weights.age[2:] == (0.0, 0.0)
    assert sum(weights.age) == pytest.approx(1)


def test_a_recording_of_no_weight_teaches_nothing() -> None:
    female = np.array([1.0, 0.0] * 40)
    sign = 2 * female - 1
    scores = [MemberScores(odds(sign, 0.5, 1), None), MemberScores(odds(-sign, 0.5, 2), None)]
    unknown = np.full(80, np.nan)
    weights = fit_weights(scores, female, unknown, unknown, np.ones(80))
    female[1::2] = 1 - female[1::2]
    spoilt = fit_weights(scores, female, unknown, unknown, np.where(np.arange(80) % 2, 0.0, 1.0))
    right = np.arange(80) % 2 == 0
    kept = [MemberScores(score.gender[right], None) for score in scores if score.gender is not None]
    same = fit_weights(kept, female[right], unknown[right], unknown[right], np.ones(40))
    assert weights.gender[0] > 0
    assert spoilt.gender == pytest.approx(same.gender, abs=1e-3)


def test_without_labels_all_count_alike() -> None:
    none = np.full(5, np.nan)
    scores = [MemberScores(np.ones(5), years(np.full(5, 30.0), 5.0))] * 2
    assert fit_weights(scores, none, none, none, np.ones(5)) == Weights((0.5, 0.5), 0.0, (0.5, 0.5))


def test_members_that_only_mislead_are_not_thrown_away_all() -> None:
    female = np.array([1.0, 0.0] * 30)
    none = np.full(60, np.nan)
    scores = [MemberScores(odds(1 - 2 * female, 0.1, seed), None) for seed in (1, 2)]
    assert fit_weights(scores, female, none, none, np.ones(60)).gender == (0.5, 0.5)


@given(
    scale=st.floats(0.5, 2),
    shift=st.floats(-10, 10),
    grid=st.lists(st.integers(0, 100), min_size=2, max_size=9, unique=True).map(sorted),
    data=st.data(),
)
def test_masses_are_spread_over_years_as_quantiles_are(
    scale: float, shift: float, grid: list[int], data: st.DataObject
) -> None:
    card = AgeCard(grid=tuple(map(float, grid)), interval=INTERVAL, scale=scale, shift=shift)
    shape = (1, len(grid))
    masses = data.draw(arrays.arrays(np.float64, shape, elements=st.floats(0.01, 1)))
    masses /= masses.sum()
    spread = card.spread(YEARS.edges)
    assert spread.shape == (len(grid), len(YEARS))
    assert (spread >= 0).all()
    assert spread.sum(1) == pytest.approx(np.ones(len(grid)))
    below = np.cumsum(masses @ spread)[:-1]
    edges = np.array(YEARS.edges[1:-1])
    inside = (below > 1e-6) & (below < 1 - 1e-6)
    levels, at = below[inside], edges[inside]
    found = card.quantile(np.repeat(masses, len(levels), axis=0), levels)
    assert found == pytest.approx(at, abs=1e-6)
