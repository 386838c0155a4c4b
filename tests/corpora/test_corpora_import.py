"""What `voxtrait corpus import` knows beyond tables: the old Common Voice, official splits, class folders."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl
import pytest

from voxtrait.cli import run
from voxtrait.corpora import ImportCounts, import_corpora, read_corpus, read_manifest
from voxtrait.errors import CorpusError


def files(folder: Path, names: Iterable[str]) -> Path:
    """Write empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def tables(folder: Path, texts: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


OLD_HEADER = "filename,text,up_votes,down_votes,age,gender,accent,duration\n"
OLD = {
    f"cv-valid-{kind}.csv": OLD_HEADER
    + f'cv-valid-{kind}/sample-000000.mp3,"learn to, ""read""",1,0,,,,\n'
    + f"cv-valid-{kind}/sample-000001.mp3,no,4,2,fourties,female,us,\n"
    for kind in ("train", "test")
}


@pytest.mark.parametrize(
    "place",
    [
        "cv-valid-{0}/sample-{1}.mp3",
        "cv-valid-{0}/cv-valid-{0}/sample-{1}.mp3",
        "Audio/cv-valid-{0}/sample-{1}.mp3",
        "Audio/cv-valid-{0}/sample-{1}.wav",
        "audio/cv-valid-{0}/cv-valid-{0}/sample-{1}.flac",
    ],
)
def test_the_old_layout_of_common_voice(tmp_path: Path, place: str) -> None:
    folder = tables(tmp_path / "old", {**OLD, "cv-invalid.csv": OLD_HEADER + "cv-invalid/a.mp3,,,,,,,\n"})
    there = [place.format(kind, number) for kind in ("test", "train") for number in ("000000", "000001")]
    files(folder, there)
    (folder / place.format("train", "000001")).with_suffix(".npy").write_bytes(b"")
    counts = ImportCounts()
    manifest = read_corpus(folder, counts)
    assert manifest["path"].to_list() == [str(folder / name) for name in there]
    assert manifest["speaker"].to_list() == [f"old/{name}" for name in there]
    assert manifest.select("gender", "age_low", "age_high", "locale", "split").row(3) == (
        *("female", 40.0, 49.0, "en"),
        None,
    )
    assert (counts.rows, counts.missing_files) == (4, [])
    (warning,) = counts.warnings
    assert "both sides of a split" in warning


def test_old_clips_that_lie_flat_beside_their_table(tmp_path: Path) -> None:
    text = OLD["cv-valid-train.csv"].replace("cv-valid-train/", "")
    folder = files(tables(tmp_path / "old", {"cv-valid-train.csv": text}), ["Audio/sample-000001.mp3"])
    counts = ImportCounts()
    manifest = read_corpus(folder / "cv-valid-train.csv", counts)
    assert manifest["path"].to_list() == [
        str(folder / "Audio" / "sample-000000.mp3"),
        str(folder / "Audio" / "sample-000001.mp3"),
    ]
    assert counts.missing_files == [str(folder / "Audio" / "sample-000000.mp3")]


def test_old_tables_that_mean_the_same_clips_are_refused(tmp_path: Path) -> None:
    flat = {name: text.replace(f"{Path(name).stem}/", "") for name, text in OLD.items()}
    folder = files(tables(tmp_path / "old", flat), ["Audio/sample-000000.mp3", "Audio/sample-000001.mp3"])
    with pytest.raises(CorpusError, match="another row"):
        read_corpus(folder)


def test_the_old_splits(tmp_path: Path) -> None:
    dev = OLD["cv-valid-test.csv"].replace("test", "dev")
    folder = tables(tmp_path / "old", {**OLD, "cv-valid-dev.csv": dev})
    manifest = read_corpus(folder, official_splits=True)
    splits = dict(zip(manifest["path"].str.extract("valid-([a-z]+)/"), manifest["split"], strict=True))
    assert splits == {"train": "train", "dev": "validation", "test": "test"}


def clips(*rows: str) -> str:
    """Return a table of Common Voice, of rows "speaker clip"."""
    return "\n".join(
        ["client_id\tpath\tgender", *(f"{'	'.join(row.split())}.mp3\tmale" for row in rows), ""]
    )


LOCALE = {
    "validated.tsv": clips("a 1", "a 2", "b 3", "c 4", "d 5"),
    "train.tsv": clips("a 2", "a 1"),
    "dev.tsv": clips("b 3"),
    "test.tsv": clips("c 4", "e 6"),
}
OFFICIAL = {"1": "train", "2": "train", "3": "validation", "4": "test", "5": None, "6": "test"}


def splits_of(manifest: pl.DataFrame) -> dict[str, str | None]:
    return {Path(path).stem: split for path, split in manifest.select("path", "split").iter_rows()}


def test_official_splits(tmp_path: Path) -> None:
    folder = tables(tmp_path / "en", LOCALE)
    assert splits_of(read_corpus(folder, official_splits=True)) == OFFICIAL
    assert splits_of(read_corpus(folder)) == dict.fromkeys("12345")
    assert splits_of(read_corpus(folder / "dev.tsv", official_splits=True)) == {"3": "validation"}


def test_a_locale_without_validated(tmp_path: Path) -> None:
    folder = tables(tmp_path / "en", {name: LOCALE[name] for name in LOCALE if name != "validated.tsv"})
    assert splits_of(read_corpus(folder)) == dict.fromkeys("12346")


def test_official_splits_that_share_a_speaker_are_refused(tmp_path: Path) -> None:
    folder = tables(tmp_path / "en", {**LOCALE, "dev.tsv": clips("b 3", "c 7")})
    with pytest.raises(CorpusError, match="for example c:") as caught:
        import_corpora([folder], official_splits=True)
    assert caught.value.code == "shared_speakers"
    assert import_corpora([folder]).height == 5


def test_official_splits_that_share_a_recording_are_refused(tmp_path: Path) -> None:
    folder = tables(tmp_path / "en", {**LOCALE, "dev.tsv": clips("a 1")})
    with pytest.raises(CorpusError, match=r"another row.*1\.mp3"):
        read_corpus(folder, official_splits=True)


def test_the_splits_of_a_table(tmp_path: Path) -> None:
    text = "path,set\na.wav,Train\nb.wav,dev\nc.wav,validation\nd.wav,test\ne.wav,\n"
    file = tables(tmp_path, {"ours.csv": text}) / "ours.csv"
    manifest = read_corpus(file, columns={"split": "set"}, official_splits=True)
    assert manifest["split"].to_list() == ["train", "validation", "validation", "test", None]
    assert read_corpus(file, columns={"split": "set"})["split"].is_null().all()
    file.write_text(text + "f.wav,holdout\ng.wav,holdout\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="split 'holdout' in 2 rows; known are train"):
        read_corpus(file, columns={"split": "set"}, official_splits=True)


@pytest.mark.parametrize("kind", ["locale", "table", "classes"])
def test_official_splits_that_are_not_there(tmp_path: Path, kind: str) -> None:
    tables(tmp_path / "locale", {"validated.tsv": clips("a 1")})
    tables(tmp_path / "table", {"metadata.csv": "path\na.wav\n"})
    files(tmp_path / "classes", ["female/a.wav"])
    with pytest.raises(CorpusError, match=r"no official splits|no column split"):
        read_corpus(tmp_path / kind, official_splits=True)


def labels(folder: Path, counts: ImportCounts | None = None) -> dict[str, tuple[str | float | None, ...]]:
    """Return name -> speaker, gender and ages of a corpus named "ours"."""
    manifest = read_corpus(folder, counts)
    assert set(manifest["corpus"]) == {"ours"}
    return {
        str(Path(path).relative_to(folder)): (speaker.removeprefix("ours/"), *rest)
        for path, speaker, *rest in manifest.select(
            "path", "speaker", "gender", "age_low", "age_high"
        ).iter_rows()
    }


def test_folders_named_by_gender(tmp_path: Path) -> None:
    names = ["Female/a.wav", "MALE/b.MP3", "Other/c.opus", "Female/notes.txt", "MALE/.hidden.wav", "d.wav"]
    assert labels(files(tmp_path / "ours", names)) == {
        "Female/a.wav": ("Female/a.wav", "female", None, None),
        "MALE/b.MP3": ("MALE/b.MP3", "male", None, None),
        "Other/c.opus": ("Other/c.opus", "other", None, None),
        "d.wav": ("d.wav", None, None, None),
    }


def test_folders_named_by_gender_and_age(tmp_path: Path) -> None:
    names = [
        "female/fourties/a.wav",
        "male/30-39/b.wav",
        "teens/female/c.wav",
        "data/woman/x/twenties/d.wav",
        "nineties/e.wav",
    ]
    ours = labels(files(tmp_path / "ours", names))
    assert [values[1:] for _, values in sorted(ours.items())] == [
        ("female", 20.0, 29.0),
        ("female", 40.0, 49.0),
        ("male", 30.0, 39.0),
        (None, 90.0, 99.0),
        ("female", 13.0, 19.0),
    ]
    assert all(values[0] == name for name, values in ours.items())


def test_a_folder_below_the_classes_is_a_speaker(tmp_path: Path) -> None:
    names = ["female/17/a.wav", "female/17/day 2/b.wav", "female/c.wav", "male/17/d.wav", "male/f/e.wav"]
    assert labels(files(tmp_path / "ours", names)) == {
        "female/17/a.wav": ("female/17", "female", None, None),
        "female/17/day 2/b.wav": ("female/17", "female", None, None),
        "female/c.wav": ("female/c.wav", "female", None, None),
        "male/17/d.wav": ("male/17", "male", None, None),
        "male/f/e.wav": ("male/f", "male", None, None),
    }


def test_folders_that_spell_nothing_known_are_counted(tmp_path: Path) -> None:
    names = [
        *("female/teens/a.wav", "female/teens/b.wav", "male/teens/c.wav", "male/grown/d.wav"),
        *("femal/teens/e.wav", "femal/x.wav", "girls/grown/Ann/f.wav", "girls/grown/Ann/g.wav"),
    ]
    counts = ImportCounts()
    ours = labels(files(tmp_path / "ours", names), counts)
    assert counts == ImportCounts(8, {"femal": 2, "girls": 2}, {"grown": 3})
    assert ours["femal/teens/e.wav"] == ("femal/teens/e.wav", None, 13.0, 19.0)
    assert ours["girls/grown/Ann/f.wav"] == ("girls/grown/Ann", None, None, None)


def test_folders_may_be_links_and_lead_back(tmp_path: Path) -> None:
    files(tmp_path / "elsewhere", ["a.wav"])
    folder = files(tmp_path / "ours", ["male/b.wav"])
    (folder / "female").symlink_to(tmp_path / "elsewhere")
    (folder / "male" / "again").symlink_to(folder)
    assert {name: values[1] for name, values in labels(folder).items()} == {
        "female/a.wav": "female",
        "male/b.wav": "male",
    }


@pytest.mark.parametrize("names", [["dog/a.wav", "other/b.wav"], ["17/a.wav"], ["female/a.txt"], []])
def test_folders_that_are_no_classes(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "ours").mkdir()
    with pytest.raises(
        CorpusError, match=r"no corpus of a known layout: .*metadata.*validated.*female/"
    ) as caught:
        read_corpus(files(tmp_path / "ours", names))
    assert caught.value.code == "corpus_layout"


def test_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    folder = files(tmp_path / "ours", ["female/a.wav"])
    Path(f"{folder}/female/\udcff.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"no UTF-8: .*rename"):
        read_corpus(folder)


def test_several_corpora_and_manifests_make_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = tables(tmp_path / "en", LOCALE)
    two = files(tmp_path / "ours", ["female/teens/a.wav"])
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    assert run(["corpus", "import", str(one), str(two), "-o", str(first)]) == 0
    assert capsys.readouterr().out == f"{first}\n"
    assert read_manifest(first).equals(import_corpora([one, two]))
    assert run(["corpus", "import", str(first), "-o", str(second)]) == 0
    assert read_manifest(second).equals(read_manifest(first))
    assert run(["corpus", "import", str(one), str(first), "-o", str(second)]) == 2
    assert "10 rows whose path stands in another row too" in capsys.readouterr().err


def test_what_an_import_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["x,s1,female,teens", "y,s1,femal,old", "z,s2,femal,old", "w,s3,,"]
    text = "file,who,sex,years\n" + "".join(f"{row.replace(',', '.wav,', 1)}\n" for row in rows)
    folder = files(tables(tmp_path / "ours", {"people.csv": text}), ["x.wav"])
    output = tmp_path / "corpus.parquet"
    missing = [str(folder / f"{name}.wav") for name in "yzw"]
    named = ["path=file", "speaker=who", "gender=sex", "age=years"]
    options = [word for pair in named for word in ("--column", pair)]
    assert run(["corpus", "import", str(folder / "people.csv"), *options, "-o", str(output)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{output}\n"
    report = f"{output}.import.json"
    assert err.splitlines() == [
        "4 recordings of 3 speakers",
        "labelled: gender in 1 (25.0%), age in 1 (25.0%)",
        f"gender not understood, left empty: 'femal' 2 times (all in {report})",
        f"age not understood, left empty: 'old' 2 times (all in {report})",
        f"3 recordings are not there, the first: {', '.join(missing)} (all in {report})",
    ]
    assert json.loads(Path(report).read_text()) == {
        "sources": [str(folder / "people.csv")],
        "rows": 4,
        "unknown_genders": {"femal": 2},
        "unknown_ages": {"old": 2},
        "missing_files": missing,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [output.name, Path(report).name, "ours"]


def test_what_an_import_says_of_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = tables(tmp_path / "en", LOCALE), tmp_path / "corpus.parquet"
    assert run(["corpus", "import", str(folder), "--official-splits", "-o", str(output)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[2:5] == [
        "test: 2 recordings of 2 speakers",
        "train: 2 recordings of 1 speakers",
        "validation: 1 recordings of 1 speakers",
    ]
    assert splits_of(read_manifest(output)) == OFFICIAL


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["HERE/none", "-o", "HERE/m.parquet"], "corpus_not_found", "none"),
        (["HERE/zip.zip", "-o", "HERE/m.parquet"], "corpus_layout", "neither a table (.csv, .tsv, .parquet)"),
        (["HERE/locale", "-o", "HERE/m.csv"], "usage", "must end in .parquet"),
        (["HERE/locale", "-o", "HERE/none/m.parquet"], "output", "no folder"),
        (["HERE/locale"], "usage", "--output"),
        (["-o", "HERE/m.parquet"], "usage", "SOURCE"),
        (["HERE/t.csv", "--column", "sex=gender", "-o", "HERE/m.parquet"], "usage", "one of path, speaker"),
        (["HERE/t.csv", "--column", "gender", "-o", "HERE/m.parquet"], "usage", "OURS=THEIRS"),
        (
            ["HERE/t.csv", "--column", "age=a", "--column", "age=b", "-o", "HERE/m.parquet"],
            *("usage", "names age twice: a and b"),
        ),
        (
            ["HERE/t.csv", "--column", "gender=sex", "-o", "HERE/m.parquet"],
            *("corpus_columns", "no column sex; it has path, gender"),
        ),
        (["HERE/locale", "--column", "age=x", "-o", "HERE/m.parquet"], "corpus_columns", "could be renamed"),
    ],
)
def test_imports_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str, words: str
) -> None:
    tables(tmp_path / "locale", {"validated.tsv": clips("a 1")})
    tables(tmp_path, {"t.csv": "path,gender\na.wav,f\n", "zip.zip": "PK"})
    before = sorted(tmp_path.iterdir())
    assert run(["corpus", "import", *(word.replace("HERE", str(tmp_path)) for word in arguments)]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"error[{code}]: ")
    assert words in line
    assert (out, sorted(tmp_path.iterdir())) == ("", before)


def test_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{n * 7919}.wav\n" for n in range(20_000))
    folder, output = tables(tmp_path, {"t.csv": f"path\n{rows}"}), tmp_path / "m.parquet"
    output.write_bytes(b"what was there before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Beyond the limit, writing fails as it does on a full disk.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        code = run(["corpus", "import", str(folder / "t.csv"), "-o", str(output)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith(f"error[output]: Cannot write {output}: ")
    assert output.read_bytes() == b"what was there before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.parquet", "t.csv"]
