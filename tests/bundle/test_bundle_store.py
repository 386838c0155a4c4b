"""Bundles on disk: what is written loads, and nothing else does."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_toys import toy_card, toy_model

from voxtrait.bundle import available_bundles, load_bundle, save_bundle, store
from voxtrait.bundle.card import Card
from voxtrait.errors import BundleError, UsageError

MODEL = toy_model()
CARD = toy_card().sealed(MODEL).model_dump_json().encode()


def refusal(where: str | Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        load_bundle(where)
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], deflate: bool = True) -> Path:
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in entries:
            archive.writestr(name, data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a good bundle."""
    where = tmp_path / "good"
    save_bundle(where, toy_card(), MODEL, {"LICENSE": "CC0", "README.md": "é"})
    return where


# Saving and loading


@pytest.mark.parametrize("name", ["toy", "toy.zip", "toy.ZIP"])
def test_what_is_saved_loads(tmp_path: Path, name: str) -> None:
    saved = save_bundle(tmp_path / name, toy_card(), MODEL, {"NOTICE": "made up"})
    loaded = load_bundle(tmp_path / name)
    assert loaded.card == saved.card == toy_card().sealed(MODEL)
    assert loaded.model == MODEL
    assert load_bundle(str(tmp_path / name)).title == "toy 0.1"
    assert names(tmp_path) == [name]


def test_a_folder_holds_its_files(folder: Path) -> None:
    assert names(folder) == ["LICENSE", "README.md", "card.json", "model.onnx"]
    assert (folder / "README.md").read_text(encoding="utf-8") == "é"
    card = json.loads((folder / "card.json").read_text())
    assert card["model_bytes"] == len(MODEL)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((folder / "model.onnx").stat().st_mode) == 0o666 & ~umask


def test_a_zipped_folder_loads(folder: Path, tmp_path: Path) -> None:
    entries = [(path.name, path.read_bytes()) for path in folder.iterdir()]
    assert load_bundle(zipped(tmp_path / "by_hand.zip", *entries)).title == "toy 0.1"


def test_equal_bundles_have_equal_bytes(tmp_path: Path) -> None:
    texts = {"NOTICE": "n", "LICENSE": "l"}
    save_bundle(tmp_path / "a.zip", toy_card(), MODEL, texts)
    save_bundle(tmp_path / "b.zip", toy_card(), MODEL, dict(reversed(texts.items())))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_newer_bundle_replaces_an_older_one(tmp_path: Path) -> None:
    for name in ("toy", "toy.zip"):
        save_bundle(tmp_path / name, toy_card(version="1"), MODEL, {"LICENSE": "old"})
        save_bundle(tmp_path / name, toy_card(version="2"), MODEL)
        assert load_bundle(tmp_path / name).title == "toy 2"
    assert names(tmp_path / "toy") == ["card.json", "model.onnx"]
    assert names(tmp_path) == ["toy", "toy.zip"]


@pytest.mark.parametrize("name", ["toy", "toy.zip"])
@pytest.mark.parametrize("failing", ["_write_through", "_replace"])
def test_a_failed_save_leaves_the_older_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, failing: str
) -> None:
    save_bundle(tmp_path / name, toy_card(version="1"), MODEL)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, failing, fail)
        with pytest.raises(UsageError, match="No space left"):
            save_bundle(tmp_path / name, toy_card(version="2"), MODEL)
    assert load_bundle(tmp_path / name).title == "toy 1"
    assert names(tmp_path) == [name]


def test_a_failed_swap_puts_the_older_folder_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(UsageError, match="Permission denied"):
        save_bundle(folder, toy_card(version="2"), MODEL)
    assert load_bundle(folder).title == "toy 0.1"
    assert names(folder.parent) == ["good"]


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds 'thesis\.txt'"):
        save_bundle(home, toy_card(), MODEL)
    assert (home / "thesis.txt").read_text() == "years of work"
    with pytest.raises(UsageError, match="not a folder"):
        save_bundle(home / "thesis.txt", toy_card(), MODEL)
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(UsageError, match="not a file"):
        save_bundle(tmp_path / "folder.zip", toy_card(), MODEL)
    with pytest.raises(UsageError, match="no folder"):
        save_bundle(tmp_path / "missing" / "toy", toy_card(), MODEL)


def test_what_cannot_be_used_is_not_saved(tmp_path: Path) -> None:
    where = tmp_path / "toy"
    with pytest.raises(BundleError, match="not an ONNX model"):
        save_bundle(where, toy_card(), b"junk")
    with pytest.raises(BundleError, match="its card needs"):
        save_bundle(where, toy_card(), toy_model({"gender": ()}))
    broken: Card = toy_card().model_copy(update={"hop": 9.0})
    with pytest.raises(BundleError, match="hop must not be longer"):
        save_bundle(where, broken, MODEL)
    with pytest.raises(UsageError, match=r"no text '\.\./x'"):
        save_bundle(where, toy_card(), MODEL, {"../x": ""})
    assert names(tmp_path) == []


# Names


def test_a_shipped_bundle_loads_by_its_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_WEIGHTS", folder.parent)
    (tmp_path / "vad").mkdir()
    monkeypatch.chdir(tmp_path / "vad")
    assert available_bundles() == ["good"]
    assert load_bundle("good").title == "toy 0.1"
    assert "comes with voxtrait (good)" in refusal("goood").message
    # A path object is a path and nothing else.
    assert refusal(Path("good")).code == "bundle_not_found"


def test_an_existing_path_comes_first(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_WEIGHTS", folder.parent)
    here = tmp_path / "here"
    here.mkdir()
    save_bundle(here / "good", toy_card(version="mine"), MODEL)
    monkeypatch.chdir(here)
    assert load_bundle("good").title == "toy mine"


@pytest.mark.parametrize(
    "name",
    ["", "nothing", "a/b.zip", "/no/such/folder", "../a/b", "a/..", "a/b@../c", "\0", "x" * 5000, "\x1b[2J"],
)
def test_what_is_nowhere_is_not_found(name: str) -> None:
    error = refusal(name)
    assert error.code == "bundle_not_found"
    assert error.message.isprintable()


# Folders


@pytest.mark.parametrize("name", ["card.json", "model.onnx"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    error = refusal(folder)
    assert error.code == "bundle_corrupt"
    assert name in error.message


def test_other_files_of_a_folder_are_not_read(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    (folder / "LICENSE").unlink()
    os.mkfifo(folder / "LICENSE")
    assert load_bundle(folder).title == "toy 0.1"


def test_links_out_of_a_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "model.onnx").rename(tmp_path / "model.onnx")
    (folder / "model.onnx").symlink_to("../model.onnx")
    assert refusal(folder).code == "bundle_unsafe"
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("model.onnx")
    assert refusal(folder).code == "bundle_corrupt"


def test_links_within_a_folder_and_to_it_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "model.onnx").rename(folder / "weights.bin")
    (folder / "model.onnx").symlink_to("weights.bin")
    (tmp_path / "link").symlink_to(folder)
    assert load_bundle(tmp_path / "link").title == "toy 0.1"


def test_pipes_and_devices_are_refused(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")
    assert refusal(folder).code == "bundle_unsafe"
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()
    assert refusal(folder).code == "bundle_unsafe"
    assert refusal("/dev/zero").code == "bundle_corrupt"


@pytest.mark.parametrize(("name", "limit"), [("card.json", 2**20), ("model.onnx", 2**29)])
def test_large_files_are_not_read(folder: Path, name: str, limit: int) -> None:
    with (folder / name).open("r+b") as file:
        file.truncate(2**40)
    tracemalloc.start()
    try:
        error = refusal(folder)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert error.code == "bundle_unsafe"
    assert str(limit) in error.message


def test_a_changed_model_is_refused(folder: Path) -> None:
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert refusal(folder).code == "bundle_hash"


def test_a_wrong_card_is_refused(folder: Path) -> None:
    (folder / "card.json").write_text('{"schema_version": 1}')
    error = refusal(folder)
    assert error.code == "bundle_schema"
    assert "card.json, name: Field required" in error.message


# Zips


@pytest.mark.parametrize(
    "name",
    [
        "/model.onnx",
        "../model.onnx",
        "a/../../model.onnx",
        "..\\model.onnx",
        "C:\\model.onnx",
        "C:model.onnx",
        "\\\\host\\share\\model.onnx",
        "./model.onnx",
        "toy/model.onnx",
        "toy/",
        "MODEL.ONNX",
        "model.onnx\0.txt",
        "model.onnx ",
        "model.pkl",
        "\x1b[2Jx",
        "__MACOSX/._card.json",
    ],
)
def test_strange_names_in_a_zip_are_refused(tmp_path: Path, name: str) -> None:
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    path = zipped(tmp_path / "a.zip", ("card.json", CARD), ("model.onnx", MODEL), (entry, b"x"))
    error = refusal(path)
    assert error.code == "bundle_unsafe"
    assert "holds only card.json, model.onnx, LICENSE, NOTICE, README.md" in error.message
    assert error.message.isprintable()
    assert names(tmp_path) == ["a.zip"]


def test_a_name_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("card.json", CARD), ("model.onnx", b"x"), ("model.onnx", MODEL))
    error = refusal(path)
    assert (error.code, "twice" in error.message) == ("bundle_unsafe", True)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_links_in_a_zip_are_refused(tmp_path: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("model.onnx")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    path = zipped(tmp_path / "a.zip", ("card.json", CARD), (entry, b"/etc/passwd"))
    assert refusal(path).code == "bundle_unsafe"


def test_a_missing_file_in_a_zip(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path / "a.zip", ("model.onnx", MODEL))).code == "bundle_corrupt"
    assert refusal(zipped(tmp_path / "b.zip", ("card.json", CARD))).code == "bundle_corrupt"
    assert refusal(zipped(tmp_path / "c.zip")).code == "bundle_corrupt"


@pytest.mark.parametrize(("name", "size"), [("card.json", 2**20 + 1), ("model.onnx", 2**29 + 1)])
def test_bombs_are_refused_by_their_size(tmp_path: Path, name: str, size: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        if name != "card.json":
            archive.writestr("card.json", CARD)
        with archive.open(name, "w") as file:
            for start in range(0, size, 2**22):
                file.write(b"\0" * min(2**22, size - start))
    assert path.stat().st_size < 2**23
    tracemalloc.start()
    try:
        error = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert error.code == "bundle_unsafe"


def with_sizes(raw: bytes, name: str, size: int) -> bytes:
    """Return a zip that states another uncompressed size for one entry."""
    out = bytearray(raw)
    spot = raw.rindex(name.encode())
    assert raw[spot - 46 : spot - 42] == b"PK\x01\x02"
    out[spot - 46 + 24 : spot - 46 + 28] = struct.pack("<I", size)
    return bytes(out)


def test_a_bomb_that_states_a_small_size_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("card.json", CARD), ("model.onnx", b"\0" * 2**26))
    path.write_bytes(with_sizes(path.read_bytes(), "model.onnx", 100))
    tracemalloc.start()
    try:
        error = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert error.code == "bundle_corrupt"


def test_the_bytes_that_are_read_are_counted() -> None:
    """Whatever a source says of its size."""
    with pytest.raises(BundleError) as caught:
        store._read_up_to(io.BytesIO(b"\0" * 3 * 2**20), 2**21, "it")
    assert caught.value.code == "bundle_unsafe"


@pytest.mark.parametrize("zip64", [False, True])
def test_a_huge_directory_is_not_read(tmp_path: Path, zip64: bool) -> None:
    """The end of a zip may ask its reader for a directory of any size."""
    path = tmp_path / "a.zip"
    size = 2**31
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, size, 0, 0)
    if zip64:
        record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 9, 9, size, 0)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, size, 1)
        end = record + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, 2**32 - 1, 2**32 - 1, 0)
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(end)
    tracemalloc.start()
    try:
        error = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert error.code == "bundle_unsafe"


def test_encrypted_and_odd_methods_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("card.json", CARD)
    assert refusal(path).code == "bundle_unsafe"
    raw = bytearray(zipped(path, ("card.json", CARD)).read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    error = refusal(path)
    assert (error.code, "encrypted" in error.message) == ("bundle_unsafe", True)


@pytest.mark.parametrize("raw", [b"", b"PK", b"PK\x05\x06", b"not a zip" * 100, MODEL])
def test_files_that_are_no_zip(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(raw)
    assert refusal(path).code == "bundle_corrupt"


@pytest.mark.parametrize("deflate", [True, False])
def test_broken_zips_raise_nothing_else(tmp_path: Path, deflate: bool) -> None:
    path = zipped(tmp_path / "a.zip", ("card.json", CARD), ("model.onnx", MODEL), deflate=deflate)
    original = path.read_bytes()
    chance = random.Random(3)
    changes: list[Callable[[bytearray], object]] = [
        lambda raw: raw.__setitem__(chance.randrange(len(raw)), chance.randrange(256)),
        lambda raw: raw.__delitem__(slice(chance.randrange(len(raw)), None)),
        lambda raw: raw.__setitem__(slice(-chance.randrange(1, 200), None), chance.randbytes(100)),
        # The directory is where lies are told.
        lambda raw: raw.__setitem__(-chance.randrange(1, 140), chance.randrange(256)),
    ]
    loaded = 0
    for turn in range(400):
        raw = bytearray(original)
        changes[turn % len(changes)](raw)
        path.write_bytes(raw)
        # Any other exception fails the test.
        with contextlib.suppress(BundleError):
            assert load_bundle(path).model == MODEL
            loaded += 1
    assert loaded < 200
