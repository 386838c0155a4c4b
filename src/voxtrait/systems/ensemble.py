"""Several bundles as one: their calibrated answers averaged, or stacked by weights fitted on validation data.

The members' models become one ONNX graph, so that the ensemble is a bundle like any other. It reads the
features `joined`; each member gets its own part of them, and its scores are read through its own card
inside the graph: log odds of gender after calibration, ages spread over single years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from voxtrait.bundle import Card, EmbeddingCard, FeatureCard, ModelBundle, load_bundle
from voxtrait.errors import RecipeError
from voxtrait.features import FeatureExtractor, build_features
from voxtrait.features.joined import Joined, join_configs
from voxtrait.systems.onnxgraph import OnnxGraph
from voxtrait.systems.system import YEARS, Settings, System, Targets, Task

__all__ = ["SYSTEM", "EnsembleParts", "EnsembleSettings", "MemberScores", "Weights", "average_weights",
           "compose", "fit_weights", "load_members", "member_scores"]  # fmt: skip

Floats = NDArray[np.float64]

#: Probability of a year that no member believes in: its logarithm is averaged with others.
_FLOOR: Final = 1e-6
_EM_STEPS: Final = 500
_SLIPS: Final = 0.01
#: Pull towards the average: where labels are told apart without a mistake, weights would grow for ever.
_PULL: Final = 0.01


class EnsembleSettings(Settings):
    """Which bundles, and how they are joined."""

    members: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=2,
        max_length=16,
        description="bundles: folders or zips, shipped names, or names on the Hugging Face hub",
    )
    method: Literal["average", "stacking"] = Field(
        "average", description="all alike, or with weights fitted on the validation speakers"
    )


@dataclass(frozen=True)
class Weights:
    """What each member counts, in their order; 0 for a task that it lacks.

    Attributes:
        gender: of its calibrated log odds of female; not negative.
        bias: added to their sum.
        age: of its distribution over years; not negative, with the sum 1.
    """

    gender: tuple[float, ...]
    bias: float
    age: tuple[float, ...]


@dataclass(frozen=True)
class MemberScores:
    """One member's calibrated answers to n recordings; None for a task that it lacks.

    Attributes:
        gender: (n,) log odds of female.
        age: (n, 93) probabilities of the years from 4 to 96.
    """

    gender: Floats | None
    age: Floats | None


@dataclass(frozen=True)
class EnsembleParts:
    """What the bundle of an ensemble is made of.

    Attributes:
        model: the ONNX file; ``age`` is the logarithm of the probability of each year.
        features: what it reads.
        preprocess: what comes before the features, as in the members' cards.
        targets: what it tells.
        embedding: the section of the member whose embedding it gives; None if no member has one.
    """

    model: bytes
    features: FeatureCard
    preprocess: tuple[str, ...]
    targets: Targets
    embedding: EmbeddingCard | None


def load_members(settings: EnsembleSettings) -> list[ModelBundle]:
    """Load the members and check that they can be joined.

    Raises:
        BundleError: if a bundle cannot be used.
        MissingExtraError: for a hub name without huggingface_hub.
        RecipeError: ``recipe_field`` if a member is an ensemble, or hears speech after other
            preprocessing than the first one.
    """
    members = [load_bundle(source) for source in settings.members]
    first = members[0].card
    for member in members:
        if member.card.features.name == Joined.name:
            raise RecipeError(
                "recipe_field", f"network.members: {member.title} is an ensemble; name its members instead."
            )
        if member.card.preprocess != first.preprocess:
            raise RecipeError(
                "recipe_field",
                f"network.members: {member.title} hears speech after {_steps(member.card)}, {first.title} "
                f"after {_steps(first)}; an ensemble has one preprocessing for all.",
            )
    return members


def _steps(card: Card) -> str:
    return f"the steps {', '.join(card.preprocess)}" if card.preprocess else "no preprocessing"


def member_scores(
    card: Card, window: float, gender: NDArray[np.floating], age: NDArray[np.floating]
) -> MemberScores:
    """Read a member's raw scores of n recordings as the ensemble's graph does.

    Args:
        card: the member's.
        window: seconds of speech in a window of the ensemble.
        gender: (n,) logits.
        age: (n, A) logits over its own grid.

    Raises:
        BundleError: ``bundle_corrupt`` if scores are not finite, or of another grid.
    """
    return MemberScores(
        None if card.gender is None else card.gender.log_odds(gender, window),
        None if card.age is None else card.age.distribution(age) @ card.age.spread(YEARS.edges),
    )


def average_weights(members: Sequence[ModelBundle]) -> Weights:
    """Return weights that are equal among the members that have a task."""
    return Weights(
        _equal([member.card.gender is not None for member in members]),
        0.0,
        _equal([member.card.age is not None for member in members]),
    )


def _equal(told: Sequence[bool]) -> tuple[float, ...]:
    return tuple(has / max(1, sum(told)) for has in told)


def fit_weights(
    scores: Sequence[MemberScores], female: Floats, age_low: Floats, age_high: Floats, weights: Floats
) -> Weights:
    """Fit what each member counts: stacking (Wolpert 1992) with weights that are not negative (Breiman 1996).

    Gender: logistic regression on the log odds; one label in a hundred is taken for a slip of whoever
    gave it. Age: the mixture that gives the labelled intervals the most probability, by expectation
    maximisation.

    Args:
        scores: of each member, on the same n recordings.
        female: (n,) 1, 0 or NaN.
        age_low, age_high: (n,) years or NaN.
        weights: (n,) of each recording.
    """
    genders = [place for place, score in enumerate(scores) if score.gender is not None]
    ages = [place for place, score in enumerate(scores) if score.age is not None]
    known = ~np.isnan(female)
    odds = [np.asarray(scores[place].gender)[known] for place in genders]
    scale, bias = _fit_gender(odds, female[known], weights[known])
    known = ~np.isnan(age_low)
    years = np.asarray(YEARS.grid)
    low = np.minimum(age_low[known, None], years[-1]) - 0.5
    inside = (years >= low) & (years <= np.maximum(age_high[known, None], years[0]) + 0.5)
    masses = [(np.asarray(scores[place].age)[known] * inside).sum(1) for place in ages]
    share = _fit_mixture(masses, weights[known])
    return Weights(_placed(genders, scale, len(scores)), bias, _placed(ages, share, len(scores)))


def _placed(places: list[int], values: Floats, count: int) -> tuple[float, ...]:
    out = np.zeros(count)
    out[places] = values
    return tuple(out.tolist())


def _fit_gender(odds: list[Floats], female: Floats, weights: Floats) -> tuple[Floats, float]:
    from scipy.optimize import minimize

    equal = np.full(len(odds), 1 / max(1, len(odds)))
    if not odds or not len(female):
        return equal, 0.0
    start = np.append(equal, 0.0)
    matrix, sign = np.stack(odds, axis=1), 2 * female - 1
    share = weights / weights.sum()

    def loss(parameters: Floats) -> float:
        margin = (matrix @ parameters[:-1] + parameters[-1]) * sign
        right = 0.5 * (1 + np.tanh(margin / 2))
        surprise = -(share * np.log(_SLIPS + (1 - 2 * _SLIPS) * right)).sum()
        return float(surprise + _PULL * np.square(parameters - start).sum())

    found = minimize(loss, start, bounds=[*[(0.0, None)] * len(odds), (None, None)]).x
    if not found[:-1].any():
        # None is better than chance here: a constant would not be an ensemble.
        return equal, 0.0
    return np.asarray(found[:-1]), float(found[-1])


def _fit_mixture(masses: list[Floats], weights: Floats) -> Floats:
    share = np.full(len(masses), 1 / max(1, len(masses)))
    if not masses or not len(weights):
        return share
    matrix = np.stack(masses, axis=1) + 1e-9
    for _ in range(_EM_STEPS):
        parts = matrix * share
        share = weights @ (parts / parts.sum(1, keepdims=True)) / weights.sum()
    # What is almost nothing would still cost a whole model.
    share = np.where(share < 1e-3, 0.0, share)
    return np.asarray(share / share.sum())


def compose(members: Sequence[ModelBundle], weights: Weights, window: float) -> EnsembleParts:
    """Join members into one model; those that count for nothing are left out.

    Args:
        members: as `load_members` returns them.
        weights: what each counts.
        window: seconds of speech in a window of the ensemble, at which genders are calibrated.

    Raises:
        BundleError: ``bundle_corrupt`` if a member's model cannot be joined with the others.
    """
    speaker = next((place for place, member in enumerate(members) if member.card.embedding), None)
    used = [
        place
        for place in range(len(members))
        if weights.gender[place] or weights.age[place] or place == speaker
    ]
    extractors, parts = _distinct([members[place].card.features for place in used])
    configs = join_configs([(each.name, asdict(each.config)) for each in extractors])
    features = FeatureCard(name=Joined.name, config={**configs})
    targets = Targets(_task(weights), YEARS)
    graph = OnnxGraph()
    inputs = _split(graph, [extractor.size for extractor in extractors])
    given = {
        place: graph.insert(members[place].model, f"member{place}.", inputs[part])
        for place, part in zip(used, parts, strict=True)
    }
    shapes: dict[str, tuple[int, ...]] = {}
    if targets.gender:
        shapes["gender"] = _join_genders(graph, members, weights, window, given)
    if targets.age:
        shapes["age"] = _join_ages(graph, members, weights, given)
    embedding = None if speaker is None else members[speaker].card.embedding
    if speaker is not None and embedding is not None:
        graph.add("Identity", given[speaker]["embedding"], name="embedding")
        shapes["embedding"] = (embedding.size,)
    model = graph.build(build_features(features.name, features.config).size, shapes)
    return EnsembleParts(model, features, members[0].card.preprocess, targets, embedding)


def _distinct(features: Sequence[FeatureCard]) -> tuple[list[FeatureExtractor], list[int]]:
    """Return the extractors that are needed, each once, and which of them each of ``features`` is."""
    extractors: list[FeatureExtractor] = []
    places: list[int] = []
    for card in features:
        new = build_features(card.name, card.config)
        known = [(each.name, each.config) for each in extractors]
        if (new.name, new.config) not in known:
            extractors.append(new)
            known.append((new.name, new.config))
        places.append(known.index((new.name, new.config)))
    return extractors, places


def _task(weights: Weights) -> Task:
    if not any(weights.age):
        return "gender"
    return "both" if any(weights.gender) else "age"


def _split(graph: OnnxGraph, sizes: Sequence[int]) -> list[dict[str, str]]:
    """Return the inputs of the members of each part: its frames, zero beyond the lengths, and these."""
    header = graph.add("Gather", "features", graph.constant(np.int64(0)), axis=1)
    zero, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    first, second, third = (graph.constant(np.array([axis], np.int64)) for axis in range(3))
    start = graph.constant(np.array([1], np.int64))  # the header is row 0
    found = []
    for part, size in enumerate(sizes):
        counted = graph.add("Gather", header, graph.constant(np.int64(part)), axis=1)
        lengths = graph.add("Cast", counted, to=graph.INT64)
        place = graph.add("Range", zero, graph.add("ReduceMax", lengths, keepdims=0), one)
        valid = graph.add("Less", place, graph.add("Unsqueeze", lengths, second))
        row = graph.add("Add", place, graph.add("Unsqueeze", start, second))
        row = graph.add("Where", valid, row, zero)
        rows = graph.add("GatherND", "features", graph.add("Unsqueeze", row, third), batch_dims=1)
        ends = graph.constant(np.array([size], np.int64))
        frames = graph.add("Slice", rows, first, ends, third)
        shown = graph.add("Unsqueeze", valid, third)
        frames = graph.add("Where", shown, frames, graph.constant(np.float32(0)))
        found.append({"features": frames, "lengths": lengths})
        start = graph.add("Add", start, lengths)
    return found


def _join_genders(
    graph: OnnxGraph,
    members: Sequence[ModelBundle],
    weights: Weights,
    window: float,
    given: dict[int, dict[str, str]],
) -> tuple[int, ...]:
    """Append the output ``gender`` and return its shape beyond the batch."""
    total, bias = [], weights.bias
    for place, names in given.items():
        card, weight = members[place].card.gender, weights.gender[place]
        if card is None or not weight:
            continue
        shift, firm = card.log_odds([0.0, 1.0], window)
        bias += weight * float(shift)
        slope = graph.constant(np.float32(weight * (firm - shift)))
        total.append(graph.add("Mul", names["gender"], slope))
    graph.add("Add", graph.add("Sum", *total), graph.constant(np.float32(bias)), name="gender")
    return ()


def _join_ages(
    graph: OnnxGraph, members: Sequence[ModelBundle], weights: Weights, given: dict[int, dict[str, str]]
) -> tuple[int, ...]:
    """Append the output ``age`` and return its shape beyond the batch."""
    total = []
    for place, names in given.items():
        card, weight = members[place].card.age, weights.age[place]
        if card is None or not weight:
            continue
        heat = graph.constant(np.float32(card.temperature))
        masses = graph.add("Softmax", graph.add("Div", names["age"], heat), axis=-1)
        spread = graph.constant((weight * card.spread(YEARS.edges)).astype(np.float32))
        total.append(graph.add("MatMul", masses, spread))
    believed = graph.add("Max", graph.add("Sum", *total), graph.constant(np.float32(_FLOOR)))
    graph.add("Log", believed, name="age")
    return (len(YEARS),)


SYSTEM: Final = System(
    name="ensemble",
    about="Other bundles joined to one: their calibrated answers averaged, or stacked.",
    source=(
        "Wolpert 1992, Stacked generalization, Neural Networks 5; Breiman 1996, Stacked regressions, "
        "Machine Learning 24"
    ),
    tasks=("both",),
    settings=EnsembleSettings,
    reads=(),
    defaults={"bundle": {"window": 3.0}},
    ensemble=True,
)
