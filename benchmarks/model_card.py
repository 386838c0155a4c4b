"""Write measured figures into a bundle's card, the card as docs/model-card.md, and a few into README.md.

    python benchmarks/model_card.py BUNDLE figures.json -o src/voxtrait/weights/voxtrait-base

The figures are those of benchmarks/accuracy.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from voxtrait.bundle import Metric, load_bundle, save_bundle
from voxtrait.bundle.readme import card_markdown

_ROOT = Path(__file__).parent.parent
_PAGE = _ROOT / "docs" / "model-card.md"
_README = _ROOT / "README.md"
_HEAD = "| figure | value | baseline | speakers |\n|---|---|---|---|\n"
#: What README.md shows: what it says, set, condition, figure.
_SHOWN: tuple[tuple[str, str, str, str], ...] = (
    ("gender accuracy, Common Voice", "Common Voice", "as recorded", "gender accuracy"),
    ("gender UAR, Common Voice", "Common Voice", "as recorded", "gender UAR"),
    ("share decided, Common Voice", "Common Voice", "as recorded", "gender decided"),
    ("wrong when decided, Common Voice", "Common Voice", "as recorded", "gender wrong when decided"),
    (
        "gender accuracy, noisy 8 kHz telephone (simulated)",
        "Common Voice",
        "noisy 8 kHz telephone",
        "gender accuracy",
    ),
    ("gender accuracy, babble at 10 dB (simulated)", "Common Voice", "babble at 10 dB", "gender accuracy"),
    ("gender accuracy, LibriSpeech", "LibriSpeech", "as recorded", "gender accuracy"),
    (
        "gender accuracy, speechocean762 from 14 years",
        "speechocean762 from 14 years",
        "as recorded",
        "gender accuracy",
    ),
    (
        "gender accuracy, Coswara (never trained on; choices were made on it)",
        "Coswara",
        "as recorded",
        "gender accuracy",
    ),
    ("children told from adults, AUC, speechocean762", "speechocean762", "as recorded", "child AUC"),
    ("age, mean absolute error in years, Common Voice", "Common Voice", "as recorded", "age MAE"),
    ("age, correlation, Common Voice", "Common Voice", "as recorded", "age correlation"),
    ("age, mean absolute error in years, Coswara", "Coswara", "as recorded", "age MAE"),
)
_IN_FULL = ("age MAE", "age correlation", "child AUC")


def metrics_of(sheet: dict[str, Any]) -> tuple[Metric, ...]:
    """Return the figures of a sheet as a card holds them."""
    figures = [
        {
            "name": row["name"],
            "on": f"{row['set']}, {row['condition']}",
            "n": row["speakers"],
            **{key: row[key] for key in ("value", "low", "high", "baseline")},
        }
        for row in sheet["figures"]
    ]
    for kind, counts in sheet["not_speech"].items():
        where = {"on": f"not speech, {kind} ({counts['of']} recordings)"}
        figures.append(
            {"name": "answered no speech", "value": 1 - counts["answered"] / counts["of"], **where}
        )
        figures.append({"name": "no gender decided", "value": 1 - counts["decided"] / counts["of"], **where})
    return tuple(Metric.model_validate(_finite(figure)) for figure in figures)


def _finite(figure: dict[str, Any]) -> dict[str, Any]:
    # One speaker has no interval.
    return {key: None if value != value else value for key, value in figure.items()}


def readme_table(sheet: dict[str, Any]) -> str:
    """Return the table of README.md."""
    found = {(row["set"], row["condition"], row["name"]): row for row in sheet["figures"]}
    lines = []
    for label, name, condition, figure in _SHOWN:
        row = found[name, condition, figure]
        factor, digits, unit = (1, 2, "") if figure in _IN_FULL else (100, 1, " %")
        value, low, high = (f"{factor * row[key]:.{digits}f}" for key in ("value", "low", "high"))
        baseline = "" if row["baseline"] is None else f"{factor * row['baseline']:.{digits}f}{unit}"
        lines.append(f"| {label} | {value}{unit} ({low} to {high}) | {baseline} | {row['speakers']} |")
    return _HEAD + "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("figures")
    parser.add_argument("-o", "--output", required=True, help="folder of the new bundle")
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    sheet = json.loads(Path(options.figures).read_text())
    card = bundle.card.model_copy(update={"metrics": metrics_of(sheet)})
    texts = {name: (_ROOT / name).read_text() for name in ("LICENSE", "NOTICE")}
    save_bundle(options.output, card, bundle.model, texts)
    _PAGE.write_text(card_markdown(card))
    before, _, after = _README.read_text().partition(_HEAD)
    _README.write_text(before + readme_table(sheet) + after[after.index("\n\n") + 1 :])


if __name__ == "__main__":
    main()
