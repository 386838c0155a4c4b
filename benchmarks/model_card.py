"""Write measured figures into a bundle's card, and the card as docs/model-card.md.

    python benchmarks/model_card.py BUNDLE figures.json -o src/voxtrait/weights/voxtrait-base

The figures are those of benchmarks/accuracy.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from voxtrait.bundle import Metric, load_bundle, save_bundle
from voxtrait.bundle.readme import card_markdown

_ROOT = Path(__file__).parent.parent
_PAGE = _ROOT / "docs" / "model-card.md"


def metrics_of(sheet: dict[str, list[dict[str, object]]]) -> tuple[Metric, ...]:
    """Return the figures of a sheet as a card holds them."""
    return tuple(
        Metric.model_validate(
            {
                "name": row["name"],
                "on": f"{row['set']}, {row['condition']}",
                "n": row["speakers"],
                **{key: row[key] for key in ("value", "low", "high", "baseline")},
            }
        )
        for row in sheet["figures"]
    )


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


if __name__ == "__main__":
    main()
