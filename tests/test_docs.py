"""The pages that are made from data say what the data say."""

from __future__ import annotations

from pathlib import Path

import voxtrait
from voxtrait.bundle.readme import card_markdown

_ROOT = Path(__file__).parent.parent


def test_the_model_card_page_is_that_of_the_shipped_bundle() -> None:
    page = (_ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
    assert page == card_markdown(voxtrait.load_bundle().card)


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in [_ROOT / "README.md", *(_ROOT / "docs").glob("*.md")]:
        for part in page.read_text(encoding="utf-8").split("](")[1:]:
            target = part.partition(")")[0].partition("#")[0]
            if target and "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_shipped_bundle_is_small_and_says_where_it_comes_from() -> None:
    bundle = voxtrait.load_bundle()
    assert len(bundle.model) <= 8_000_000
    assert bundle.card.licence == "Apache-2.0"
    assert "Resemblyzer" in bundle.card.origin
    assert {corpus.licence for corpus in bundle.card.training.corpora} <= {"CC0-1.0", "CC-BY-4.0"}
    assert not any("oswara" in corpus.name for corpus in bundle.card.training.corpora)
