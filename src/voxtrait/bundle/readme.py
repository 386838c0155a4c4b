"""A card as a page to read: Markdown, with every figure beside its interval and its baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from voxtrait.bundle.card import Card, Metric

__all__ = ["card_body", "card_markdown"]

#: Sets that are named for each kind of failure.
_WORST: Final = 4


def card_markdown(card: Card) -> str:
    """Return the model card as Markdown; a front matter as model hubs read it comes first."""
    return f"---\nlicense: {card.licence.lower()}\nlibrary_name: voxtrait\n---\n\n{card_body(card)}"


def card_body(card: Card) -> str:
    """Return the model card as Markdown, without a front matter."""
    parts = [
        f"# {card.title}",
        card.description,
        _facts(card),
        "## Where the weights come from",
        card.origin,
        "## Training data",
        _corpora(card),
        "## What its answers mean",
        _meaning(card),
        "## What it is not for",
        _misuse(),
        *_failures(card.metrics),
        "## Figures",
        "Held-out speakers; 95 % intervals from a bootstrap over speakers; the baseline is a constant answer "
        "(the commoner gender, the training speakers' median age).",
        *_figures(card.metrics),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(card: Card) -> str:
    rows = {
        "version": card.version,
        "made on": card.created,
        "licence of the weights": card.licence,
        "size": f"{card.model_bytes / 1e6:.2f} MB",
        "SHA-256 of model.onnx": f"`{card.sha256}`",
        "features": f"{card.features.name} {dict(card.features.config)}",
        **({"preprocessing": ", ".join(card.preprocess)} if card.preprocess else {}),
        "window": f"{card.window:g} s of speech",
        "least speech for an answer": f"{card.min_speech:g} s",
    }
    return _table(("", ""), rows.items())


def _corpora(card: Card) -> str:
    rows = (
        (corpus.name, corpus.licence, str(corpus.speakers), str(corpus.clips), f"{corpus.hours:g}")
        for corpus in card.training.corpora
    )
    splits = ", ".join(
        f"{name} {size.speakers} speakers with {size.clips} recordings"
        for name, size in card.training.splits.items()
    )
    table = _table(("corpus", "licence", "speakers", "recordings", "hours of speech"), rows)
    heard = (
        " The model heard all folds; figures and calibration are those of networks that each were trained "
        "without one of them, on the speakers of that one."
        if any(name.startswith("fold-") for name in card.training.splits)
        else ""
    )
    return f"{table}\n\nSpeakers are divided, never recordings: {splits}. Seed {card.training.seed}.{heard}"


def _meaning(card: Card) -> str:
    lines = [
        "The labels are those of the training corpora: what speakers said of themselves, or were recorded "
        "as. The model hears a voice. It cannot know who somebody is; for trans and non-binary speakers "
        "its answer may be wrong in ways that matter to them; the voice of a child does not tell a gender.",
    ]
    if card.gender is not None:
        scales = (
            (f"{row.speech:g} s", f"{row.scale:.3f}", f"{row.bias:+.3f}") for row in card.gender.calibration
        )
        lines += [
            f"**Gender** is decided when its calibrated probability is at least "
            f"{card.gender.unsure_below:.3f}; below, and where the probability of a child is at least "
            f"{card.gender.unsure_child}, the label is `unsure`. Calibration by amount of speech:",
            _table(("speech", "scale", "bias"), scales),
        ]
    if card.age is not None:
        margins = ((f"{row.speech:g} s", f"{row.margin:+.1f} years") for row in card.age.interval)
        lines += [
            f"**Age** is a distribution over {card.age.grid[0]:g} to {card.age.grid[-1]:g} years; the "
            f"interval is made to hold {card.age.coverage:.0%} of speakers by conformal margins:",
            _table(("speech", "margin at each end"), margins),
        ]
    return "\n\n".join(lines)


def _misuse() -> str:
    return (
        "Decisions about a person (access, price, hiring, policing, proof of age), guessing the identity of "
        "trans or non-binary people, or any use in which a single wrong answer harms somebody. It is made "
        "for statistics over many recordings, for labels that people check, and for products that can do "
        "with `unsure`."
    )


def _failures(metrics: Iterable[Metric]) -> list[str]:
    """Return where the measured figures are worst, if there are any."""
    by_name: dict[str, list[Metric]] = {}
    for metric in metrics:
        by_name.setdefault(metric.name, []).append(metric)
    lines = [
        _worst("Gender is right least often on", by_name.get("gender accuracy", []), lambda value: value),
        _worst(
            "Of what is decided, most is wrong on", by_name.get("gender wrong when decided", []), _negative
        ),
        _worst(
            "Age is furthest off, beside a constant answer, on", by_name.get("age MAE ratio", []), _negative
        ),
        _worst("The age interval holds fewest on", by_name.get("age coverage", []), lambda value: value),
    ]
    return ["## Where it fails", "\n".join(f"- {line}" for line in lines if line)] if any(lines) else []


def _negative(value: float) -> float:
    return -value


def _worst(what: str, metrics: list[Metric], goodness: Callable[[float], float]) -> str:
    worst = sorted(metrics, key=lambda metric: goodness(metric.value))[:_WORST]
    return f"{what}: {'; '.join(f'{each.on} ({each.value:.3f})' for each in worst)}." if worst else ""


def _figures(metrics: Iterable[Metric]) -> list[str]:
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(metric.on, []).append(metric)
    parts = []
    for name, group in groups.items():
        rows = (
            (
                metric.name,
                f"{metric.value:.3f}",
                "" if metric.low is None else f"{metric.low:.3f} to {metric.high:.3f}",
                "" if metric.baseline is None else f"{metric.baseline:.3f}",
                "" if metric.n is None else str(metric.n),
            )
            for metric in group
        )
        parts += [f"### {name}", _table(("figure", "value", "95 % interval", "baseline", "speakers"), rows)]
    return parts or ["None measured."]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
