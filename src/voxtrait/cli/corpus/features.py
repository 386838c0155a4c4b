"""``voxtrait corpus features``: the speech and the features of a manifest's recordings, stored once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxtrait.cli.messages import say
from voxtrait.cli.output import open_output, writing_to
from voxtrait.cli.progress import ProgressLine
from voxtrait.errors import UsageError, require

if TYPE_CHECKING:
    import polars as pl

    from voxtrait.training.feature_cache import FeaturePlan

__all__ = ["features"]


def features(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="As voxtrait corpus import writes it.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the stores go; resumed if begun.")
    ],
    name: Annotated[str, typer.Option("--features", metavar="NAME", help="What is extracted.")] = "mel-voice",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the features; repeatable."),
    ] = None,
    steps: Annotated[
        list[str] | None,
        typer.Option(
            "--preprocess",
            metavar="STEP",
            help="level, lowpass=4000, telephone or denoise; repeatable, in order.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default one a core.")
    ] = None,
) -> int:
    """Decode recordings, cut out their speech, and store it with its features.

    Needs pip install 'voxtrait[train]'. Says first how long it will take and how large it will be. A run
    that was interrupted goes on where it was. Prints the folder of the features: Arrow files, described
    in the guide.

    \b
    Example:
      voxtrait corpus features corpus.parquet -o features
      voxtrait corpus features corpus.parquet -o features --set n_mels=64 --preprocess level --workers 8
    """
    for module in ("polars", "pyarrow"):
        require(module, "train")

    from voxtrait.corpora import read_manifest
    from voxtrait.predictor import usable_cores
    from voxtrait.training.feature_cache import build_feature_cache
    from voxtrait.training.speech_cache import build_speech_cache

    plan = _plan(name, settings or (), steps or ())
    table = read_manifest(manifest)
    workers = workers or usable_cores()
    _check_room(table, plan, output, workers)
    with ProgressLine() as progress:
        speech = build_speech_cache(table, output, workers, progress)
    with ProgressLine() as progress:
        stored = build_feature_cache(speech, plan, output, workers, progress)
    _report(speech.skipped, len(speech), int(stored.counts.sum()), output)
    with open_output(None) as stream, writing_to(None):
        stream.write(f"{stored.folders[0]}\n")
    return int(any(code != "no_speech" for code in speech.skipped.values()))


def _plan(name: str, settings: Sequence[str], steps: Sequence[str]) -> FeaturePlan:
    """Return the plan of clean features.

    Raises:
        UsageError: ``usage`` for a step or a setting that makes no sense.
        BundleError: ``bundle_features`` for features or a setting that do not exist.
    """
    from voxtrait.augment import AugmentSettings
    from voxtrait.features import build_features
    from voxtrait.preprocess import parse_steps
    from voxtrait.training.feature_cache import FeaturePlan

    config = dict(map(_setting, settings))
    build_features(name, config)
    try:
        return FeaturePlan(name, config, AugmentSettings(), 1, (), 0, parse_steps(steps))
    except ValueError as error:
        raise UsageError("usage", f"--preprocess: {error}.") from error


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError("usage", f"--set takes KEY=VALUE, not {text!a}.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _check_room(table: pl.DataFrame, plan: FeaturePlan, output: Path, workers: int) -> None:
    """Say what is to come, and refuse it if the disk is too small.

    Raises:
        UsageError: ``no_space``.
    """
    from voxtrait.training.estimate import forecast
    from voxtrait.training.store import free_bytes

    expected, free = forecast(table, plan, output), free_bytes(output)
    if not expected.size:
        return
    say(
        f"{table.height} recordings, {expected.recordings} of them to decode: about "
        f"{_duration(expected.seconds / workers)} with {workers} processes, and {_bytes(expected.size)} "
        f"in {output}, where {_bytes(free)} are free."
    )
    if expected.size > free:
        raise UsageError(
            "no_space",
            f"{output} needs about {_bytes(expected.size)} and its disk has {_bytes(free)} free: "
            "name a folder on another disk with -o.",
        )


def _report(skipped: Mapping[str, str], heard: int, frames: int, output: Path) -> None:
    import polars as pl

    from voxtrait.corpora.outputs import written_whole

    listing = output / "skipped.csv"
    rows = pl.DataFrame(
        {"path": list(skipped), "error": list(skipped.values())}, {"path": pl.String, "error": pl.String}
    )
    with written_whole(listing) as partial:
        rows.write_csv(partial)
    say(f"{heard} recordings with speech, {frames} frames.")
    if skipped:
        reasons = ", ".join(f"{count} {code}" for code, count in Counter(skipped.values()).most_common())
        say(f"{len(skipped)} left out ({reasons}), listed in {listing}.")


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(1, round(seconds))} s"


def _bytes(size: float) -> str:
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"
