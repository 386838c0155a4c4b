"""How fast an import is: python benchmarks/import_speed.py [--rows N] [--clips N] [--members N]

Makes a Common Voice release of 2 million rows, then measures its import as far as the written manifest
and, in the same run, what polars takes to read that very table; then one pass through a .tar.gz of clips
and what unpacking it with gzip alone takes. Seconds differ between machines; the ratios are what is claimed.
"""

from __future__ import annotations

import argparse
import gzip
import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from voxtrait.audio.archives import walk_archive
from voxtrait.corpora import ImportCounts, import_corpora, write_manifest

_HEADER = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\t"
    "variant\tlocale\tsegment\n"
)
_AGES = ("", "teens", "twenties", "thirties", "fourties", "fifties", "old")
_GENDERS = ("", "female_feminine", "male_masculine", "male_masculine", "do_not_wish_to_say")
_SENTENCE = 'The north wind and the sun were disputing "which was the stronger.'
_ROWS_A_SPEAKER = 30
_CLIP_BYTES = 30_000
_REPEATS = 3
_BLOCK = 1 << 20


def make_release(folder: Path, rows: int, clips: int) -> Path:
    """Write a locale's validated.tsv, and the first ``clips`` of its clips, all empty; return the table."""
    (folder / "clips").mkdir(parents=True)
    rng = np.random.default_rng(0)
    speakers = [rng.bytes(64).hex() for _ in range(max(1, rows // _ROWS_A_SPEAKER))]
    who = rng.integers(0, len(speakers), rows)
    ages, genders = rng.choice(_AGES, len(speakers)), rng.choice(_GENDERS, len(speakers))
    table = folder / "validated.tsv"
    with table.open("w", encoding="utf-8") as file:
        file.write(_HEADER)
        for row, speaker in enumerate(who):
            name = f"common_voice_en_{row:08d}.mp3"
            file.write(
                f"{speakers[speaker]}\t{name}\t{row:064x}\t{_SENTENCE}\t\t2\t0\t{ages[speaker]}\t"
                f"{genders[speaker]}\tUnited States English\t\ten\t\n"
            )
            if row < clips:
                (folder / "clips" / name).touch()
    return table


def make_archive(file: Path, members: int) -> Path:
    """Write a .tar.gz of clips that compress as badly as real ones."""
    rng = np.random.default_rng(0)
    with tarfile.open(file, "w:gz", compresslevel=1) as tar:
        for number in range(members):
            clip = tarfile.TarInfo(f"cv-corpus/en/clips/common_voice_en_{number:08d}.mp3")
            clip.size = _CLIP_BYTES
            tar.addfile(clip, io.BytesIO(rng.bytes(_CLIP_BYTES)))
    return file


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of several runs."""
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def import_all(table: Path, manifest: Path) -> None:
    """Import a release and write its manifest."""
    write_manifest(import_corpora([table.parent], ImportCounts()), manifest)


def unpack(file: Path) -> None:
    """Unpack a file to nowhere."""
    with gzip.open(file) as stream:
        while stream.read(_BLOCK):
            pass


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--clips", type=int, default=200_000, help="clips that are there")
    parser.add_argument("--members", type=int, default=5_000, help="clips in the archive")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_release(folder / "cv-corpus" / "en", options.rows, options.clips)
        bare = best(lambda: pl.read_csv(table, separator="\t", quote_char=None, infer_schema=False))
        whole = best(lambda: import_all(table, folder / "manifest.parquet"))
        print(f"import       {options.rows / whole:12,.0f} rows/s ({whole:.2f} s)")
        print(f"bare polars  {options.rows / bare:12,.0f} rows/s ({bare:.2f} s)")
        print(f"an import takes {whole / bare:.1f} times as long as reading the table alone")
        archive = make_archive(folder / "clips.tar.gz", options.members)
        megabytes = archive.stat().st_size / 1e6
        bare = best(lambda: unpack(archive))
        whole = best(lambda: sum(1 for _ in walk_archive(archive, lambda _: True)))
        print(f"one pass     {megabytes / whole:12,.0f} MB/s of .tar.gz, every clip read")
        print(f"bare gzip    {megabytes / bare:12,.0f} MB/s")
        print(f"a pass takes {whole / bare:.2f} times as long as gzip alone")


if __name__ == "__main__":
    main()
