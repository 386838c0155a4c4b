"""``voxtrait embed``: the table of embeddings, and the map."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA

from evaluation_toys import Terminal, corpus_in
from voice_toys import silence, wav
from voxtrait.corpora import MANIFEST_SCHEMA
from voxtrait.evaluation.embeddings import draw_map, project


@pytest.fixture(scope="module")
def voices(workshop: Path, corpus: Path, pitch: Path) -> pl.DataFrame:
    from voxtrait.cli import run

    file = workshop / "voices.parquet"
    assert run(["embed", str(pitch), str(corpus), "-o", str(file)]) == 0
    return pl.read_parquet(file)


def test_each_recording_has_a_unit_vector(voices: pl.DataFrame) -> None:
    assert voices.columns == [*MANIFEST_SCHEMA, "status", "code", "speech", "embedding"]
    assert voices.schema["embedding"] == pl.Array(pl.Float32, 3)
    assert voices.height == 14
    vectors = voices["embedding"].to_numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert voices["speech"].is_between(1, 5).all()


def test_a_voice_is_nearest_to_itself(voices: pl.DataFrame) -> None:
    of: dict[str, list[NDArray[np.float32]]] = {}
    for speaker, vector in zip(voices["speaker"], voices["embedding"].to_numpy(), strict=True):
        of.setdefault(speaker.rpartition("/")[2], []).append(vector)
    # The bundle embeds by pitch.
    assert of["cleo"][0] @ of["cleo"][1] > of["cleo"][0] @ of["dan"][0] + 0.05


def test_what_has_no_voice_has_no_vector(terminal: Terminal, pitch: Path, tmp_path: Path) -> None:
    table = corpus_in(tmp_path / "corpus", (("ann", "en-us+f1", "female", "34"),))
    (table.parent / "quiet.wav").write_bytes(wav(silence(1)))
    with table.open("a") as stream:
        stream.write("quiet.wav,x,female,,\ngone.wav,y,male,,\n")
    out = tmp_path / "voices.parquet"
    _, err = terminal.run("embed", pitch, table, "-o", out, code=1)
    assert "Wrote 2 embeddings of 3 values" in err
    assert "1 recordings hold too little speech" in err
    assert "1 recordings could not be heard" in err
    found = pl.read_parquet(out)
    assert found.select("status", "code").rows() == [
        ("ok", None), ("ok", None), ("no_speech", None), ("error", "not_found"),
    ]  # fmt: skip
    assert found["embedding"].is_null().to_list() == [False, False, True, True]


@pytest.mark.parametrize("colour", ["gender", "group", "speaker", "locale", "corpus"])
def test_the_map_says_how_it_was_drawn(voices: pl.DataFrame, colour: str, tmp_path: Path) -> None:
    said = draw_map(voices, colour, "pitch 0.1", tmp_path / "map.svg")
    assert said.startswith("PCA, ")
    svg = (tmp_path / "map.svg").read_text()
    assert f"pitch 0.1: {said}" in svg
    assert f">{colour}<" in svg
    assert [item.name for item in tmp_path.iterdir()] == ["map.svg"]
    for word in {"gender": ["female", "male"], "group": ["teens", "fifties"], "locale": ["en"]}.get(
        colour, []
    ):
        assert f">{word}<" in svg


def test_the_map_of_the_command(terminal: Terminal, pitch: Path, corpus: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    arguments = ("embed", pitch, corpus, "-o", tmp_path / "voices.parquet", "--map", picture)
    _, err = terminal.run(*arguments, "--colour", "group")
    assert f"Drew {picture}: PCA, " in err
    with Image.open(picture) as image:
        assert min(image.size) > 500


def test_components_are_those_of_scikit_learn() -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    places, said = project(vectors)
    oracle = PCA(2).fit(vectors)
    np.testing.assert_allclose(np.abs(places), np.abs(oracle.transform(vectors)), atol=1e-5)
    assert said == f"PCA, {oracle.explained_variance_ratio_.sum() * 100:.0f} % of the variance"


def test_one_recording_can_be_drawn() -> None:
    places, said = project(np.ones((1, 5), np.float32))
    assert places.tolist() == [[0, 0]]
    assert said == "PCA, 0 % of the variance"


def test_umap_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Reducer:
        def __init__(self, **options: Any) -> None:
            asked.update(options)

        def fit_transform(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
            return vectors[:, 3:]

    stub = ModuleType("umap")
    stub.__spec__ = ModuleSpec("umap", None)
    stub.UMAP = Reducer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", stub)
    vectors = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    places, said = project(vectors)
    assert places.tolist() == vectors[:, 3:].tolist()
    assert "UMAP" in said
    assert asked["metric"] == "cosine"
    # Neighbours of a handful of recordings say nothing.
    assert project(vectors[:5])[1].startswith("PCA")


def test_what_cannot_be_embedded(
    terminal: Terminal, pitch: Path, gender_only: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "voices.parquet"
    assert "has no embedding" in terminal.complaint("embed", gender_only, corpus, "-o", out)
    assert "no colouring" in terminal.complaint("embed", pitch, corpus, "-o", out, "--colour", "age")
    assert ".png, .svg, .pdf" in terminal.complaint("embed", pitch, corpus, "-o", out, "--map", "map.gif")
    assert terminal.complaint("embed", pitch, corpus, "-o", tmp_path).startswith("error[output]")
    table = tmp_path / "metadata.csv"
    table.write_text("path\ngone.wav\n")
    refused = terminal.complaint("embed", pitch, table, "-o", out)
    assert refused.startswith("error[corpus_empty]")
    assert "not_found" in refused
    assert not out.exists()
