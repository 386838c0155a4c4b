"""Tar archives in one pass: what is yielded, what is not, and what a damaged one says."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrait.audio.archives import split_member, stream_members
from voxtrait.corpora import ImportCounts, import_corpora, read_corpus
from voxtrait.errors import CorpusError

#: Contents that compress badly, and one that ends on a block of the archive.
FILES = [(f"cv/en/clips/{n}.mp3", bytes((n * k * k) % 251 for k in range(400 * n))) for n in range(1, 8)]
FILES[3] = (FILES[3][0], b"\x01" * 1024)
NAMES = [name for name, _ in FILES]


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = ""
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, target
    return info


def archive(path: Path, files: Sequence[tuple[str, bytes]], packs: bool = True) -> Path:
    """Write a tar archive of ``files``, in their order."""
    with tarfile.open(path, "w:gz" if packs else "w:") as tar:
        for name, content in files:
            tar.addfile(member(name, content), io.BytesIO(content))
    return path


def read(path: Path, wanted: Sequence[str]) -> tuple[list[tuple[str, bytes]], CorpusError | None]:
    """Return what is yielded, and the error that follows."""
    found: list[tuple[str, bytes]] = []
    try:
        found.extend(stream_members(path, wanted))
    except CorpusError as error:
        return found, error
    return found, None


@pytest.mark.parametrize("packs", [True, False])
def test_members_come_in_the_order_of_the_archive(tmp_path: Path, packs: bool) -> None:
    path = archive(tmp_path / "a.tar", FILES, packs)
    assert read(path, NAMES[::-1]) == (FILES, None)
    assert read(path, [NAMES[4], "nowhere.mp3", NAMES[1]]) == ([FILES[1], FILES[4]], None)
    assert read(path, []) == ([], None)


def test_names_of_every_kind(tmp_path: Path) -> None:
    long = f"cv/{'deep/' * 60}ä{'x' * 150}.mp3"
    path = tmp_path / "a.tar.gz"
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(path, "w:gz", format=format) as tar:
            for name in ("./cv/a.mp3", long, "cv//b.mp3"):
                tar.addfile(member(name, b"abc"), io.BytesIO(b"abc"))
        wanted = ["cv/a.mp3", long, "cv/b.mp3"]
        assert read(path, wanted) == ([(name, b"abc") for name in wanted], None)


def test_what_is_no_file_inside_is_never_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp3"
    secret.write_bytes(b"secret")
    path = tmp_path / "a.tar"
    odd = [
        member("link.mp3", kind=tarfile.SYMTYPE, target=str(secret)),
        member("hard.mp3", kind=tarfile.LNKTYPE, target="good.mp3"),
        member("null.mp3", kind=tarfile.CHRTYPE),
        member("pipe.mp3", kind=tarfile.FIFOTYPE),
        member("folder.mp3", kind=tarfile.DIRTYPE),
    ]
    with tarfile.open(path, "w") as tar:
        for info in odd:
            tar.addfile(info)
        for name in ("/etc/a.mp3", "../b.mp3", "cv/../../c.mp3", "good.mp3"):
            tar.addfile(member(name, b"abc"), io.BytesIO(b"abc"))
    wanted = ["etc/a.mp3", "/etc/a.mp3", "../b.mp3", "b.mp3", "cv/../../c.mp3", "c.mp3", "good.mp3"]
    assert read(path, [*wanted, *(info.name for info in odd)]) == ([("good.mp3", b"abc")], None)


def test_a_name_that_stands_twice_is_yielded_once(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [("a.mp3", b"1"), ("a.mp3", b"2"), ("b.mp3", b"3")])
    assert read(path, ["a.mp3", "b.mp3"]) == ([("a.mp3", b"1"), ("b.mp3", b"3")], None)


def test_packed_in_several_parts(tmp_path: Path) -> None:
    plain = archive(tmp_path / "a.tar", FILES, packs=False).read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]))
    assert read(tmp_path / "b.tar.gz", NAMES) == (FILES, None)


@given(st.data())
@pytest.mark.parametrize("packs", [True, False])
def test_a_cut_archive_gives_what_it_has_and_says_so(
    tmp_path_factory: pytest.TempPathFactory, packs: bool, data: st.DataObject
) -> None:
    path = archive(tmp_path_factory.mktemp("cut") / "a.tar.gz", FILES, packs)
    whole = path.read_bytes()
    # An archive may end on any number of empty blocks.
    end = len(whole) if packs else max(n for n in range(len(whole)) if whole[n]) // 512 * 512 + 512
    path.write_bytes(whole[: data.draw(st.integers(0, end - 1))])
    found, error = read(path, [*NAMES, "not there"])
    assert found == FILES[: len(found)]
    assert error is not None
    assert error.code == "corpus_archive"
    assert str(path) in error.message
    assert "\n" not in error.message


@given(st.data())
def test_a_packed_archive_with_a_wrong_byte_is_never_taken_for_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = archive(tmp_path_factory.mktemp("wrong") / "a.tar.gz", FILES)
    content = bytearray(path.read_bytes())
    # The first bytes only name the time and the system.
    content[data.draw(st.integers(10, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    found, error = read(path, [*NAMES, "not there"])
    assert (error is not None and error.code == "corpus_archive") or found == FILES


@pytest.mark.parametrize(
    "content", [b"", b"no archive", b"\x1f\x8b" + b"x" * 600, b"x" * 2000, b"PK\x03\x04"]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    for attempt in (lambda: list(stream_members(path, ["a"])), lambda: read_corpus(path)):
        with pytest.raises(CorpusError, match=r"a\.tar\.gz is no tar archive") as caught:
            attempt()
        assert caught.value.code == "corpus_archive"
    with pytest.raises(CorpusError, match=r"no archive .*b\.tar") as caught:
        list(stream_members(tmp_path / "b.tar", ["a"]))
    assert caught.value.code == "corpus_not_found"


def test_headers_made_to_harm_are_refused(tmp_path: Path) -> None:
    long = member("longname", kind=tarfile.GNUTYPE_LONGNAME)
    long.size = 1 << 40
    back = member("back.mp3")
    back.size = -2048
    for info in (long, back):
        path = archive(tmp_path / "a.tar", [("a.mp3", b"abc")], packs=False)
        path.write_bytes(path.read_bytes()[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        found, error = read(path, ["a.mp3", "b.mp3"])
        assert found == [("a.mp3", b"abc")]
        assert error is not None
        assert "damaged after a.mp3" in error.message


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    peaks = []
    for count in (200, 4000):
        path = archive(tmp_path / "a.tar", [(f"clips/{n}.mp3", b"") for n in range(count)], packs=False)
        tracemalloc.start()
        assert read(path, [f"clips/{count - 1}.mp3", "none"])[1] is None
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 200_000


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/data/cv.tar.gz::cv/en/clips/a.mp3", ("/data/cv.tar.gz", "cv/en/clips/a.mp3")),
        ("/data/cv.TGZ::a.mp3", ("/data/cv.TGZ", "a.mp3")),
        ("/data/cv.tar::a::b.mp3", ("/data/cv.tar", "a::b.mp3")),
        ("/data/a::b.tar::c", ("/data/a::b.tar", "c")),
        ("/data/cv.tar.gz", None),
        ("/data/cv.zip::a.mp3", None),
        ("/data/a::b.mp3", None),
    ],
)
def test_paths_that_name_a_member(path: str, parts: tuple[str, str] | None) -> None:
    assert split_member(path) == parts


TABLE = "client_id\tpath\tgender\tage\nx\ta.mp3\tfemale\tteens\ny\tb.mp3\tmal\t\n"


@pytest.mark.parametrize("name", ["cv.tar.gz", "cv.tgz", "cv.tar"])
def test_common_voice_from_its_archive_is_that_from_its_folder(tmp_path: Path, name: str) -> None:
    files = {
        "cv-corpus-9.0/en/clips/a.mp3": b"",
        "cv-corpus-9.0/en/validated.tsv": TABLE.encode(),
        "cv-corpus-9.0/en/invalidated.tsv": b"not read",
        "cv-corpus-9.0/de/validated.tsv": TABLE.replace(".mp3", "_de.mp3").encode(),
    }
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)
    (tmp_path / "cv-corpus-9.0/de/clips").mkdir()
    packed = archive(tmp_path / name, list(files.items()), packs=name != "cv.tar")
    counts, packed_counts = ImportCounts(), ImportCounts()
    manifest = read_corpus(tmp_path / "cv-corpus-9.0", counts)
    packed_manifest = read_corpus(packed, packed_counts)
    assert packed_manifest.drop("path").equals(manifest.drop("path"))
    assert packed_manifest["path"].to_list() == [
        path.replace(f"{tmp_path}/", f"{packed}::") for path in manifest["path"]
    ]
    assert packed_manifest["locale"].to_list() == ["de", "de", "en", "en"]
    assert len(counts.missing_files) == 3
    assert packed_counts.missing_files == [
        path.replace(f"{tmp_path}/", f"{packed}::") for path in counts.missing_files
    ]
    wanted = [(split_member(path) or ("", ""))[1] for path in packed_manifest["path"]]
    assert [found for found, _ in stream_members(packed, wanted)] == ["cv-corpus-9.0/en/clips/a.mp3"]


def test_an_early_release_without_a_folder(tmp_path: Path) -> None:
    packed = archive(tmp_path / "cy.tar.gz", [("clips/a.mp3", b""), ("validated.tsv", TABLE.encode())])
    manifest = read_corpus(packed)
    assert manifest.select("path", "locale", "corpus").row(0) == (f"{packed}::clips/a.mp3", "cy", "cy")


def test_a_table_and_class_folders_from_an_archive(tmp_path: Path) -> None:
    table = b"path,speaker\n./clips/a.wav,x\nclips/b.wav,x\n"
    packed = archive(tmp_path / "ours.tar", [("ours/clips/a.wav", b""), ("ours/metadata.csv", table)])
    counts = ImportCounts()
    manifest = read_corpus(packed, counts)
    assert manifest["path"].to_list() == [f"{packed}::ours/clips/{name}.wav" for name in "ab"]
    assert counts.missing_files == [f"{packed}::ours/clips/b.wav"]
    files = [("./female/a.wav", b"1"), ("./male/._b.wav", b""), ("./male/b.wav", b""), ("./male/b.wav", b"2")]
    packed = archive(tmp_path / "classes.tar", files)
    assert read_corpus(packed).select("path", "gender", "corpus").rows() == [
        (f"{packed}::female/a.wav", "female", "classes"),
        (f"{packed}::male/b.wav", "male", "classes"),
    ]


def test_recordings_at_the_top_of_an_archive(tmp_path: Path) -> None:
    table = (
        f"path\na:b.wav\nc.wav\n{tmp_path}/else.tar::d.wav\n{tmp_path}/none.tar::e.wav\n{tmp_path}/f:g.wav\n"
    )
    packed = archive(tmp_path / "ours.tar", [("a:b.wav", b""), ("metadata.csv", table.encode())])
    archive(tmp_path / "else.tar", [])
    (tmp_path / "f:g.wav").write_bytes(b"")
    counts = ImportCounts()
    assert read_corpus(packed, counts).height == 5
    # What is inside another archive is not looked for.
    assert counts.missing_files == [f"{packed}::c.wav", f"{tmp_path}/none.tar::e.wav"]


def test_a_cut_archive_is_not_imported(tmp_path: Path) -> None:
    packed = archive(tmp_path / "cv.tar.gz", [("validated.tsv", TABLE.encode()), *FILES])
    packed.write_bytes(packed.read_bytes()[:-8])
    with pytest.raises(CorpusError, match=r"cut off or damaged after .*fetch it again") as caught:
        import_corpora([packed])
    assert caught.value.code == "corpus_archive"


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no file") as caught:
        read_corpus(archive(tmp_path / "a.tar", []))
    assert caught.value.code == "corpus_empty"
