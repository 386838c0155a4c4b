from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from voxtrait.corpora import MANIFEST_SCHEMA, ImportCounts, read_common_voice, read_corpus, read_table
from voxtrait.errors import CorpusError

#: The columns of Common Voice over its releases.
LABELS = ["up_votes", "down_votes", "age", "gender"]
CV_6 = ["client_id", "path", "sentence", *LABELS, "accent", "locale", "segment"]
CV_13 = ["client_id", "path", "sentence", *LABELS, "accents", "variant", "locale", "segment"]
CV_17 = [*CV_13[:2], "sentence_id", "sentence", "sentence_domain", *CV_13[3:]]


def release(folder: Path, columns: list[str], rows: Sequence[Mapping[str, str]], clips: bool = True) -> Path:
    """Write one locale's validated.tsv and its clips, as Common Voice does."""
    (folder / "clips").mkdir(parents=True)
    lines = ["\t".join(columns)]
    for number, row in enumerate(rows):
        filled = {"client_id": f"speaker{number}", "path": f"clip{number}.mp3", "locale": "en", **row}
        lines.append("\t".join(filled.get(name, "") for name in columns))
        if clips and filled["path"]:
            (folder / "clips" / filled["path"]).write_bytes(b"")
    (folder / "validated.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def table(folder: Path, text: str, name: str = "metadata.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode())
    return folder / name


def column(manifest: pl.DataFrame, *names: str) -> list[Any]:
    return manifest.select(names).rows() if len(names) > 1 else manifest[names[0]].to_list()


@pytest.mark.parametrize("columns", [CV_6, CV_13, CV_17, ["path", "client_id", "gender", "age"]])
def test_every_layout_of_common_voice(tmp_path: Path, columns: list[str]) -> None:
    folder = tmp_path / "cv-corpus-17.0-delta-2024-03-15" / "en"
    release(folder, columns, [{"gender": "female", "age": "fourties"}, {"gender": "male", "age": "teens"}])
    manifest = read_common_voice(folder)
    assert manifest.schema == MANIFEST_SCHEMA
    assert manifest.to_dicts()[0] == {
        "path": str(folder / "clips" / "clip0.mp3"),
        "speaker": "speaker0",
        "gender": "female",
        "age_low": 40.0,
        "age_high": 49.0,
        "locale": "en",
        "corpus": "cv-corpus-17.0-delta-2024-03-15",
        "split": None,
        "duration": None,
        "weight": None,
    }
    assert column(manifest, "gender", "age_low", "age_high")[1] == ("male", 13.0, 19.0)


def test_genders_of_release_17(tmp_path: Path) -> None:
    words = ["male_masculine", "female_feminine", "non-binary", "transgender", "intersex", ""]
    manifest = read_common_voice(release(tmp_path / "en", CV_17, [{"gender": word} for word in words]))
    assert column(manifest, "gender") == ["male", "female", "other", "other", "other", None]


def test_unknown_labels_are_counted_and_never_guessed(tmp_path: Path) -> None:
    rows = [
        {"gender": "do_not_wish_to_say", "age": "old"},
        {"gender": "do_not_wish_to_say", "age": "twenties"},
        {"gender": "femal", "age": "130"},
        {"gender": "", "age": ""},
    ]
    counts = ImportCounts()
    manifest = read_common_voice(release(tmp_path / "en", CV_13, rows), counts)
    assert column(manifest, "gender") == [None] * 4
    assert column(manifest, "age_low", "age_high") == [(None, None), (20.0, 29.0), (None, None), (None, None)]
    assert counts == ImportCounts(4, {"do_not_wish_to_say": 2, "femal": 1}, {"old": 1, "130": 1})


def test_lone_quotation_marks_in_sentences(tmp_path: Path) -> None:
    rows = [
        {"sentence": 'He said "no', "gender": "male"},
        {"sentence": '"Yes" he said" twice', "gender": "female"},
        {"sentence": '"', "gender": "male"},
    ]
    manifest = read_common_voice(release(tmp_path / "en", CV_6, rows))
    assert column(manifest, "gender") == ["male", "female", "male"]


def test_many_locales_of_several_releases(tmp_path: Path) -> None:
    release(tmp_path / "cv-corpus-6.1" / "de", CV_6, [{"client_id": "a", "locale": "de", "age": "teens"}])
    release(tmp_path / "cv-corpus-6.1" / "fr", CV_6, [])
    release(tmp_path / "cv-corpus-17.0" / "en", CV_17, [{"client_id": "a", "gender": "male_masculine"}])
    release(tmp_path / "cv-corpus-17.0" / "it", ["client_id", "path"], [{"client_id": "b"}])
    manifest = read_common_voice(tmp_path)
    assert column(manifest, "speaker", "corpus", "locale", "gender", "age_low") == [
        ("a", "cv-corpus-17.0", "en", "male", None),
        ("b", "cv-corpus-17.0", "it", None, None),
        ("a", "cv-corpus-6.1", "de", None, 13.0),
    ]


def test_a_release_inside_a_folder_with_such_a_name(tmp_path: Path) -> None:
    folder = release(tmp_path / "cv-corpus-archive" / "cv-corpus-7.0" / "en", CV_6, [{}])
    assert column(read_common_voice(folder), "corpus") == ["cv-corpus-7.0"]


def test_a_release_of_another_name_is_named_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(release(tmp_path / "ours", CV_6, [{}]))
    assert column(read_common_voice("."), "corpus") == ["ours"]


def test_recordings_without_a_speaker_are_their_own(tmp_path: Path) -> None:
    cv = release(tmp_path / "cv-corpus-6.1" / "en", CV_6, [{"client_id": ""}, {"client_id": ""}, {}])
    assert read_common_voice(cv)["speaker"].n_unique() == 3
    nameless = read_table(table(tmp_path / "ours", "path,speaker\na.wav,\nb.wav,\nc.wav,x\nd.wav,x\n"))
    assert nameless["speaker"].n_unique() == 3
    assert read_table(table(tmp_path / "others", "path\na.wav\nb.wav\n"))["speaker"].n_unique() == 2


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    folder = release(tmp_path / "en", CV_6, [{}, {}, {}])
    (folder / "clips" / "clip1.mp3").unlink()
    counts = ImportCounts()
    assert read_common_voice(folder, counts).height == 3
    assert counts.missing_files == [str(folder / "clips" / "clip1.mp3")]


def test_counts_add_up_over_corpora(tmp_path: Path) -> None:
    counts = ImportCounts()
    for name in ("a", "b"):
        read_corpus(release(tmp_path / name, CV_6, [{"age": "ancient"}, {}], clips=False), counts)
    assert counts.rows == 4
    assert counts.unknown_ages == {"ancient": 2}
    assert len(counts.missing_files) == 4


TABLE = """path,speaker,gender,age
clips/1.wav,s1,F,37
clips/2.wav,s1,f,37.5
/elsewhere/3.wav,s2,man,30-39

clips/4.wav,s3,,
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("name", "separator"), [("metadata.csv", ","), ("metadata.tsv", "\t")])
def test_a_table(tmp_path: Path, name: str, separator: str, end: str) -> None:
    file = table(tmp_path / "ours", TABLE.replace(",", separator).replace("\n", end), name)
    for manifest in (read_table(file), read_corpus(file), read_corpus(file.parent)):
        assert manifest.schema == MANIFEST_SCHEMA
        assert column(manifest, "path", "speaker", "gender", "age_low", "age_high", "corpus") == [
            (str(tmp_path / "ours/clips/1.wav"), "ours/s1", "female", 37.0, 37.0, "ours"),
            (str(tmp_path / "ours/clips/2.wav"), "ours/s1", "female", 37.5, 37.5, "ours"),
            ("/elsewhere/3.wav", "ours/s2", "male", 30.0, 39.0, "ours"),
            (str(tmp_path / "ours/clips/4.wav"), "ours/s3", None, None, None, "ours"),
        ]


def test_a_table_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(table(tmp_path / "ours", TABLE).parent)
    manifest = read_table("metadata.csv")
    assert set(column(manifest, "corpus")) == {"ours"}
    assert all(Path(path).is_absolute() for path in column(manifest, "path"))


def test_quoted_fields_of_a_csv(tmp_path: Path) -> None:
    manifest = read_table(table(tmp_path, 'path,speaker\n"a, b.wav","x ""y"""\n'))
    assert column(manifest, "path", "speaker") == [
        (str(tmp_path / "a, b.wav"), f'{tmp_path.name}/x "y"'),
    ]


def test_a_table_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read_table(table(tmp_path, "\ufeffpath,speaker\na.wav,x\n")).height == 1


def test_columns_of_other_names(tmp_path: Path) -> None:
    file = table(tmp_path / "ours", "file,path,sex,gender,language\nx.wav,internal,f,unknown,de\n")
    columns = {"path": "file", "speaker": "file", "gender": "sex", "locale": "language"}
    manifest = read_table(file, columns=columns)
    assert column(manifest, "path", "speaker", "gender", "locale") == [
        (str(tmp_path / "ours" / "x.wav"), "ours/x.wav", "female", "de")
    ]


def test_a_parquet_table_with_its_own_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"path": ["a.wav", "b.wav"], "speaker": [1, 2], "gender": ["m", None], "age": [41.0, float("nan")]}
    )
    frame.write_parquet(tmp_path / "ours.parquet")
    counts = ImportCounts()
    manifest = read_table(tmp_path / "ours.parquet", counts)
    assert column(manifest, "speaker", "gender", "age_low", "age_high") == [
        ("ours/1", "male", 41.0, 41.0),
        ("ours/2", None, None, None),
    ]
    assert counts.unknown_ages == {}


@pytest.mark.parametrize(
    ("name", "text", "code", "named"),
    [
        ("metadata.csv", "", "corpus_empty", "is empty"),
        ("metadata.csv", "path,speaker\n", "corpus_empty", "no recording"),
        ("metadata.csv", "path,speaker\n\n\n", "corpus_empty", "no recording"),
        ("metadata.csv", "file,speaker\na.wav,x\n", "corpus_columns", "no column path; it has file, speaker"),
        ("metadata.csv", "path,speaker\n,x\n", "corpus_columns", "1 rows without a path"),
        ("metadata.csv", "path,speaker\na.wav,x\na.wav,y\n", "corpus_columns", "another row"),
        ("metadata.csv", "path\na.wav,1,2,3\n", "corpus_layout", "cannot be read as a table"),
        ("metadata.parquet", "path", "corpus_layout", "cannot be read as a table"),
        ("validated.tsv", "client_id\tpath\n", "corpus_empty", "no recording"),
        ("validated.tsv", "", "corpus_empty", "is empty"),
        ("validated.tsv", "client_id\tsentence\na\tb\n", "corpus_columns", "no column path"),
        ("notes.txt", "hello", "corpus_layout", "holds neither a metadata.csv"),
    ],
)
def test_what_is_no_corpus_is_refused(tmp_path: Path, name: str, text: str, code: str, named: str) -> None:
    table(tmp_path, text, name)
    with pytest.raises(CorpusError, match=named) as caught:
        read_corpus(tmp_path)
    assert caught.value.code == code
    assert str(tmp_path) in str(caught.value)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for read in (read_corpus, read_table):
        with pytest.raises(CorpusError, match="nowhere") as caught:
            read(tmp_path / "nowhere")
        assert caught.value.code == "corpus_not_found"


def test_a_column_that_is_asked_for_and_missing(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no column sex"):
        read_table(table(tmp_path, "path\na.wav\n"), columns={"gender": "sex"})
