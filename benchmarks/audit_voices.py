"""How often the audit's suspicion of several voices is wrong: python benchmarks/audit_voices.py [-o FILE]

Corpora whose recordings were made speaker by speaker, so that a speaker is one person: how many of those
with several recordings are suspected all the same, and how many of two speakers under one name are found.
The limit is that of `voxtrait corpus audit`; others show what it was chosen from.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from voxtrait.corpora import read_corpus
from voxtrait.corpora.audit import voice_limit
from voxtrait.corpora.hearing import Recording, hear_all
from voxtrait.predictor import usable_cores
from voxtrait.speakers import group_voices
from voxtrait.training.recipe import load_recipe

TRUSTED = ("coswara-counting", "librispeech-sample", "saarbruecken-voices", "speechocean762")
#: Limits, as multiples of the audit's.
FACTORS = (0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 2.0)
#: Pairs of speakers put under one name, at random, of each kind and corpus.
_PAIRS = 300

Voice = tuple[NDArray[np.float32], NDArray[np.float64]]


def voices_of(corpus: pl.DataFrame) -> dict[str, Voice]:
    """Return the units (n, E) and seconds of speech (n,) of each speaker with several recordings."""
    found: dict[str, list[tuple[NDArray[np.float16], float]]] = {}
    recordings = (Recording(path) for path in corpus["path"])
    heard = hear_all(recordings, usable_cores())
    for speaker, hearing in zip(corpus["speaker"], heard, strict=True):
        if hearing.voice is not None:
            found.setdefault(speaker, []).append((hearing.voice, hearing.speech))
    return {
        speaker: (np.stack([unit for unit, _ in all_]).astype(np.float32), np.array([s for _, s in all_]))
        for speaker, all_ in found.items()
        if len(all_) > 1
    }


def suspected(voice: Voice, limit: float) -> bool:
    """Return whether the audit would say that these recordings hold several voices."""
    return bool(group_voices(*voice, limit).max() > 0)


def mixtures(voices: dict[str, Voice], genders: dict[str, str], *, alike: bool) -> list[Voice]:
    """Return recordings of two speakers, of one gender or of two, as one voice each."""
    pairs = [pair for pair in combinations(voices, 2) if (genders[pair[0]] == genders[pair[1]]) == alike]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:_PAIRS]
    two = [(voices[pairs[i][0]], voices[pairs[i][1]]) for i in chosen]
    return [(np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])) for a, b in two]


def measure(folder: Path) -> list[dict[str, float | str]]:
    """Return a row for each corpus and limit."""
    rows: list[dict[str, float | str]] = []
    for name in TRUSTED:
        corpus = read_corpus(folder / name)
        voices = voices_of(corpus)
        genders = dict(corpus.select("speaker", "gender").rows())
        mixed = {kind: mixtures(voices, genders, alike=kind == "alike") for kind in ("alike", "unlike")}
        for factor in FACTORS:
            limit = factor * voice_limit()
            wrong = {speaker for speaker, voice in voices.items() if suspected(voice, limit)}
            row: dict[str, float | str] = {"corpus": name, "limit": round(limit, 3)}
            row |= {"speakers": len(voices), "suspected": len(wrong)}
            for kind, pairs in mixed.items():
                row[f"found_{kind}"] = float(np.mean([suspected(pair, limit) for pair in pairs]))
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="recipes/base.yaml", help="of the default model")
    parser.add_argument("-o", "--output", help="write the rows as JSON too")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe)
    rows = measure(Path(recipe.data.folder))
    print("corpus | limit | suspected | one gender found | two genders found")
    for row in rows:
        print(
            f"{row['corpus']} | {row['limit']} | {row['suspected']} of {row['speakers']} | "
            f"{row['found_alike']:.0%} | {row['found_unlike']:.0%}"
        )
    if options.output:
        Path(options.output).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
