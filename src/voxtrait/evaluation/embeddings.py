"""Embeddings of recordings: what a bundle's model makes of a voice, as a table and as a map."""

from __future__ import annotations

import importlib
import importlib.util
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE, AudioSource, open_audio
from voxtrait.audio.inputs import source_name
from voxtrait.bundle import ModelBundle
from voxtrait.corpora.outputs import written_whole
from voxtrait.errors import AudioError, CorpusError, UsageError
from voxtrait.evaluation.bands import true_bands
from voxtrait.evaluation.plots import COLOURS, SERIES, plain_style
from voxtrait.evaluation.recordings import Recordings, Watch, in_parallel
from voxtrait.exports.wording import printable
from voxtrait.features import build_features
from voxtrait.labels import AGE_GROUPS
from voxtrait.listening import Heard, Listener
from voxtrait.predictor import usable_cores
from voxtrait.scoring import Judge, Scores
from voxtrait.speech import SpeechDetector

__all__ = ["COLOURINGS", "Embedder", "draw_map", "embed_recordings", "project"]

#: What points of the map can be coloured by.
COLOURINGS: Final = ("gender", "group", "speaker", "locale", "corpus")

#: A recording's windows before every second one is left out: the mean is known by then.
_KEEP: Final = 150
#: Recordings on a map; of more, as many at random.
_MOST_POINTS: Final = 20_000
#: Labels with a colour of their own, the commonest; the others are grey.
_MOST_COLOURS: Final = 10
_SEED: Final = 0


class Embedder:
    """Embeds recordings with a bundle; may be shared by threads.

    Raises:
        UsageError: ``usage`` if the bundle has no embedding.
    """

    def __init__(self, bundle: ModelBundle) -> None:
        card = bundle.card
        if card.embedding is None:
            raise UsageError(
                "usage", f"{card.title} has no embedding: take a bundle whose info tells speakers apart."
            )
        self.title = card.title
        self.size = card.embedding.size
        features = build_features(card.features.name, card.features.config)
        self._min_speech = card.min_speech
        self._listener = Listener(SpeechDetector(), features, card.window, _KEEP)
        self._judge = Judge(bundle, threads=1, width=features.size)

    def embed(self, source: AudioSource, watch: Watch) -> tuple[float, NDArray[np.float32] | None]:
        """Return the seconds of speech and the mean embedding (E,), of unit length.

        The embeddings of the windows are brought to unit length and averaged by their speech; None
        where there is too little speech.

        Raises:
            AudioError: if the source cannot be heard.
        """
        heard, scores = Heard(), []
        with open_audio(source) as stream:
            windows = self._listener.windows(stream, heard)
            while batch := list(islice(windows, 8)):
                scores += self._judge.score(batch)
            watch.heard(stream.duration)
        speech = heard.speech / SAMPLE_RATE
        if not scores or speech < self._min_speech:
            return speech, None
        both = Scores.of(scores)
        return speech, both.direction().astype(np.float32)


def embed_recordings(embedder: Embedder, manifest: pl.DataFrame, watch: Watch) -> pl.DataFrame:
    """Embed every recording of ``manifest`` on all cores.

    Returns:
        the manifest's columns, ``status`` (ok | no_speech | error), ``code`` (why an error), ``speech``
        in seconds and ``embedding`` (float32, of the bundle's size), null unless the status is ok.

    Raises:
        CorpusError: ``corpus_empty`` if no recording has speech that could be heard.
    """
    recordings = Recordings(manifest["path"])

    def row(source: AudioSource) -> dict[str, Any]:
        found: dict[str, Any] = {"path": source_name(source), "status": "ok"}
        try:
            found["speech"], found["embedding"] = embedder.embed(source, watch)
        except AudioError as error:
            return found | {"status": "error", "code": error.code}
        return found if found["embedding"] is not None else found | {"status": "no_speech"}

    rows = []
    for found in in_parallel(row, watch.count(recordings), usable_cores()):
        rows.append(found)
        watch.file_done()
    rows += [
        {"path": path, "status": "error", "code": problem.code}
        for path, problem in recordings.problems.items()
    ]
    schema = {
        "path": pl.String(),
        "status": pl.String(),
        "code": pl.String(),
        "speech": pl.Float64(),
        "embedding": pl.Array(pl.Float32(), embedder.size),
    }
    table = manifest.join(pl.DataFrame(rows, schema), on="path", how="left", maintain_order="left")
    if not (table["status"] == "ok").any():
        codes = ", ".join(sorted({row["code"] or row["status"] for row in table.to_dicts()}))
        raise CorpusError(
            "corpus_empty", f"None of the {table.height} recordings could be embedded: {codes}."
        )
    return table


def project(embeddings: NDArray[np.float32]) -> tuple[NDArray[np.float64], str]:
    """Return a place on a plane (n, 2) for each of ``embeddings`` (n, E), and the method in words.

    UMAP by cosine distance (McInnes et al. 2018) where its package is installed and there are enough
    recordings for neighbourhoods, else the first two principal components.
    """
    if importlib.util.find_spec("umap") is not None and len(embeddings) > 15:
        umap = importlib.import_module("umap")
        # One thread: else the same seed does not give the same map.
        reducer = umap.UMAP(metric="cosine", random_state=_SEED, n_jobs=1)
        return np.asarray(reducer.fit_transform(embeddings), np.float64), "UMAP, cosine distance"
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    places = centred @ axes[:2].T
    share = float((values[:2] ** 2).sum() / max((values**2).sum(), 1e-12))
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1]))), f"PCA, {share * 100:.0f} % of the variance"


def draw_map(table: pl.DataFrame, colour: str, title: str, file: Path) -> str:
    """Draw the recordings of `embed_recordings` on a plane, as the extension of ``file`` says; return how.

    Args:
        table: from `embed_recordings`.
        colour: one of COLOURINGS; "group" is the age group.
        title: of the picture.
        file: png, svg or pdf.

    Raises:
        UsageError: ``output`` if it cannot be written.
    """
    points = table.filter(pl.col("status") == "ok")
    sample = f", {_MOST_POINTS} of {points.height} recordings" if points.height > _MOST_POINTS else ""
    if sample:
        points = points.sample(_MOST_POINTS, seed=_SEED)
    places, method = project(np.stack(points["embedding"].to_list()).astype(np.float32))
    labels = true_bands(points) if colour == "group" else points[colour].to_list()
    with plain_style():
        canvas = Canvas(figsize=(8, 6))
        axes = canvas.add_subplot()
        _scatter(axes, places, labels)
        axes.set(title=f"{title}: {method}{sample}", xticks=[], yticks=[])
        axes.legend(title=colour, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, markerscale=1.5)
        with written_whole(file) as partial:
            canvas.savefig(partial, dpi=150, facecolor="white")
    return method + sample


def _scatter(axes: Any, places: NDArray[np.float64], labels: list[str | None]) -> None:
    names = [label for label in labels if label is not None]
    common = sorted(set(names), key=lambda name: (-names.count(name), name))[:_MOST_COLOURS]
    order = list(AGE_GROUPS)
    common.sort(key=lambda name: order.index(name) if name in order else -1)
    size = float(np.clip(4000 / len(labels), 3, 25))
    rest = np.array([label not in common for label in labels])
    if rest.any():
        axes.scatter(*places[rest].T, s=size, color=COLOURS["grid"], lw=0, label="others")
    for place, name in enumerate(common):
        chosen = np.array([label == name for label in labels])
        # A name that begins with an underscore would be left out of the legend.
        axes.scatter(*places[chosen].T, s=size, lw=0, alpha=0.8, color=_colour(name, place, len(common)),
                     label=printable(name)[:40].lstrip("_"))  # fmt: skip


def _colour(name: str, place: int, count: int) -> Any:
    """Return the colour of a label: genders have theirs, age groups go from dark to light."""
    if name in ("female", "male"):
        return COLOURS[name]
    if count <= len(SERIES) and name not in AGE_GROUPS:
        return SERIES[place]
    import matplotlib

    return matplotlib.colormaps["viridis" if name in AGE_GROUPS else "tab10"](place / max(count - 1, 1))
