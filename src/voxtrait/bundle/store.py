"""Bundles on disk: folders, zips, those of this package and of the Hugging Face hub.

A bundle holds ``card.json`` and ``model.onnx``, and maybe ``LICENSE``, ``NOTICE`` and ``README.md``.
Loading reads the first two into memory, writes nothing, and trusts neither names nor sizes.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO, Final

from voxtrait.bundle.card import Card
from voxtrait.bundle.cardfile import parse_card
from voxtrait.bundle.model import MODEL_LIMIT, ModelBundle
from voxtrait.errors import BundleError, MissingExtraError, UsageError, require

__all__ = ["DEFAULT_BUNDLE", "available_bundles", "load_bundle", "save_bundle"]

DEFAULT_BUNDLE: Final = "voxtrait-base"

CARD_FILE: Final = "card.json"
MODEL_FILE: Final = "model.onnx"
TEXT_FILES: Final = ("LICENSE", "NOTICE", "README.md")
BUNDLE_FILES: Final = (CARD_FILE, MODEL_FILE, *TEXT_FILES)

#: Largest card.json in bytes.
CARD_LIMIT: Final = 2**20

_WEIGHTS: Final = Path(__file__).parent.parent / "weights"
_HUB_NAME: Final = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w./-]*))?", re.ASCII)
_CHUNK: Final = 2**20

#: Returns the content of a file of a bundle, by its name and the most bytes it may have.
_Read = Callable[[str, int], bytes]


def available_bundles() -> list[str]:
    """Return the names of the bundles that come with this package, sorted."""
    return sorted(card.parent.name for card in _WEIGHTS.glob(f"*/{CARD_FILE}"))


def load_bundle(where: str | os.PathLike[str] = DEFAULT_BUNDLE) -> ModelBundle:
    """Load and verify a bundle.

    Args:
        where: a folder or a zip; else the name of a bundle of this package
            (:func:`available_bundles`); else a name on the Hugging Face hub, "org/name" or
            "org/name@revision", which needs the extra ``hub`` and uses that client's cache.

    Raises:
        BundleError: ``bundle_not_found``; ``bundle_unsafe`` for names, links or sizes that no bundle
            needs; ``bundle_corrupt`` for missing or broken files; ``bundle_schema`` for a card that
            breaks the rules; ``bundle_hash`` for a model that is not the card's.
        MissingExtraError: for a hub name without huggingface_hub.
    """
    name = os.fspath(where)
    path = Path(name)
    if name and _exists(path):
        return _load_folder(path) if path.is_dir() else _load_zip(path)
    if isinstance(where, str):
        if name in available_bundles():
            return _load_folder(_WEIGHTS / name)
        if (match := _HUB_NAME.fullmatch(name)) and not name.endswith(".zip") and ".." not in name:
            return _load_hub(match[1], match[2])
    shipped = ", ".join(available_bundles()) or "none"
    raise BundleError(
        "bundle_not_found",
        f"There is no bundle {name!a}: give a folder, a zip, a name on the Hugging Face hub (org/name) "
        f"or one that comes with voxtrait ({shipped}).",
    )


def save_bundle(
    where: str | os.PathLike[str], card: Card, model: bytes, texts: Mapping[str, str] | None = None
) -> ModelBundle:
    """Write a bundle and return it: a zip if ``where`` ends in .zip, else a folder.

    The card's hash and size are computed here. What is written loads: card and model are checked as
    by :func:`load_bundle` and :meth:`ModelBundle.session` first. The bundle appears at ``where`` as a
    whole or not at all, and replaces an older bundle; equal content gives equal bytes.

    Args:
        texts: content of LICENSE, NOTICE and README.md, each optional.

    Raises:
        BundleError: if the bundle could not be loaded again.
        UsageError: ``usage`` for other names in ``texts``; ``output`` if something that is not a
            bundle stands at ``where``, or its folder does not exist or cannot be written.
    """
    texts = texts or {}
    if strange := sorted(set(texts) - set(TEXT_FILES)):
        raise UsageError("usage", f"A bundle holds no text {strange[0]!r}, only {', '.join(TEXT_FILES)}.")
    raw_card = (card.sealed(model).model_dump_json(indent=2) + "\n").encode()
    bundle = ModelBundle(parse_card(raw_card, card.title), model)
    bundle.session()
    content = {name: text.encode() for name, text in sorted(texts.items())}
    content |= {CARD_FILE: raw_card, MODEL_FILE: model}
    target = Path(where).resolve()
    is_zip = target.suffix.lower() == ".zip"
    _check_target(target, is_zip)
    try:
        with tempfile.TemporaryDirectory(prefix=".voxtrait-", dir=target.parent) as stage:
            fresh = Path(stage) / "new"
            (_write_zip if is_zip else _write_folder)(fresh, content)
            _replace(fresh, target, Path(stage) / "old")
    except OSError as error:
        raise UsageError("output", f"Cannot write the bundle {target}: {error.strerror or error}.") from error
    return bundle


# Loading


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _assemble(read: _Read, where: str) -> ModelBundle:
    card = parse_card(read(CARD_FILE, CARD_LIMIT), where)
    return ModelBundle(card, read(MODEL_FILE, MODEL_LIMIT))


def _load_folder(folder: Path) -> ModelBundle:
    def read(name: str, limit: int) -> bytes:
        path = folder / name
        try:
            target = path.resolve(strict=True)
            inside = target.is_relative_to(folder.resolve())
        except (OSError, RuntimeError) as error:
            raise BundleError("bundle_corrupt", f"{folder} has no readable {name}.") from error
        if not inside:
            raise BundleError("bundle_unsafe", f"{path} is a link to a file outside of the bundle.")
        return _read_file(target, limit)

    return _assemble(read, str(folder))


def _read_file(path: Path, limit: int) -> bytes:
    try:
        # Opening a pipe would wait for its writer: look before.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError("bundle_unsafe", f"{path} is not a regular file.")
        _check_size(status.st_size, limit, str(path))
        with path.open("rb") as file:
            return _read_up_to(file, limit, str(path))
    except OSError as error:
        raise BundleError("bundle_corrupt", f"Cannot read {path}: {error.strerror or error}.") from error


def _read_up_to(file: IO[bytes], limit: int, what: str) -> bytes:
    chunks = []
    size = 0
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        _check_size(size, limit, what)
        chunks.append(chunk)
    return b"".join(chunks)


def _check_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise BundleError("bundle_unsafe", f"{what} has more than the {limit} bytes that are allowed.")


class _ZipFile(io.FileIO):
    """A file that refuses large reads: a forged zip may ask for a directory of gigabytes at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        _check_size(wanted, _CHUNK, "The directory of the zip")
        return super().read(size)


def _load_zip(path: Path) -> ModelBundle:
    if not path.is_file():
        raise BundleError("bundle_corrupt", f"{path} is neither a folder nor a zip.")
    try:
        with _ZipFile(path) as raw, zipfile.ZipFile(raw) as archive:
            entries = _checked_entries(archive, path)

            def read(name: str, limit: int) -> bytes:
                if name not in entries:
                    raise BundleError("bundle_corrupt", f"{path} has no {name}.")
                what = f"{name} in {path}"
                _check_size(entries[name].file_size, limit, what)
                with archive.open(entries[name]) as file:
                    return _read_up_to(file, limit, what)

            return _assemble(read, str(path))
    # zipfile has no common error for forged bytes.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise BundleError(
            "bundle_corrupt", f"{path} is not a readable zip ({ascii(str(error))[1:-1]})."
        ) from error


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        # orig_filename: zipfile cuts filename at a NUL.
        name = entry.orig_filename
        problem = None
        if name not in BUNDLE_FILES:
            problem = f"a bundle holds only {', '.join(BUNDLE_FILES)}, and no folders"
        elif name in entries:
            problem = "that name stands in it twice"
        elif stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            problem = "that is not a regular file"
        elif entry.flag_bits & 1:
            problem = "that is encrypted"
        elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            problem = "that is neither stored nor deflated"
        if problem:
            raise BundleError("bundle_unsafe", f"{path} holds {ascii(name)[:80]}: {problem}.")
        entries[name] = entry
    return entries


def _load_hub(repo: str, revision: str | None) -> ModelBundle:
    try:
        hub = require("huggingface_hub", "hub")
    except MissingExtraError as error:
        # A mistyped path looks like a hub name: say both.
        message = (
            f"There is no file or folder {repo!r}; to look for it on the Hugging Face hub: {error.message}"
        )
        raise MissingExtraError(error.code, message) from error
    # The client keeps files as links into its own store; they are its files, not the repository's links.
    return _assemble(partial(_fetch, hub, repo, revision), f"{repo} on the Hugging Face hub")


def _fetch(hub: ModuleType, repo: str, revision: str | None, name: str, limit: int) -> bytes:
    try:
        size = _hub_size(hub, repo, revision, name)
        if size is None or size <= limit:
            path = Path(hub.hf_hub_download(repo, name, revision=revision))
    # The client raises errors of several HTTP libraries, by its version.
    except Exception as error:
        reason = f"{type(error).__name__}: {ascii(str(error))[1:-1]}"[:200]
        errors = hub.errors
        gone = isinstance(error, errors.EntryNotFoundError) and not isinstance(
            error, errors.LocalEntryNotFoundError
        )
        raise BundleError(
            "bundle_corrupt" if gone else "bundle_not_found",
            f"There is no file or folder {repo!r}, and the Hugging Face hub gives no {name} of it"
            f"{f' at {revision!r}' if revision else ''} ({reason}).",
        ) from error
    _check_size(size or 0, limit, f"{name} of {repo} on the Hugging Face hub")
    return _read_file(path.resolve(), limit)


def _hub_size(hub: ModuleType, repo: str, revision: str | None, name: str) -> int | None:
    """Return a file's size before it is fetched, None if the hub is out of reach (the cache may do)."""
    try:
        size: int | None = hub.get_hf_file_metadata(hub.hf_hub_url(repo, name, revision=revision)).size
    # Whatever is wrong, the download meets it too, unless its cache has the file.
    except Exception:
        return None
    return size


# Saving


def _check_target(target: Path, is_zip: bool) -> None:
    if not target.parent.is_dir():
        raise UsageError("output", f"There is no folder {target.parent} to write the bundle into.")
    if is_zip and target.exists() and not target.is_file():
        raise UsageError("output", f"{target} exists and is not a file.")
    if not is_zip and target.exists():
        # The folder is replaced as a whole: never one that holds anything else.
        if not target.is_dir():
            raise UsageError("output", f"{target} exists and is not a folder; name a zip with .zip.")
        if other := sorted(entry.name for entry in target.iterdir() if entry.name not in BUNDLE_FILES):
            raise UsageError(
                "output", f"{target} holds {other[0]!r}, which is not of a bundle; use a new folder."
            )


def _replace(fresh: Path, target: Path, old: Path) -> None:
    if not target.is_dir():
        fresh.replace(target)
        return
    # No system swaps two folders in one portable step: move the old one aside, back if it fails.
    target.rename(old)
    try:
        fresh.rename(target)
    except BaseException:
        old.rename(target)
        raise


def _write_folder(folder: Path, content: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, data in content.items():
        with (folder / name).open("wb") as file:
            _write_through(file, data)


def _write_zip(path: Path, content: Mapping[str, bytes]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            # Fixed date and mode, nothing deflated: the bytes depend on the content alone.
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)
    with path.open("wb") as file:
        _write_through(file, buffer.getvalue())


def _write_through(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
