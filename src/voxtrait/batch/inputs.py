"""What is to be annotated: folders, globs, lists, manifests, tar shards and addresses -> items, lazily."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from voxtrait.audio import AUDIO_EXTENSIONS, find_sources
from voxtrait.audio.archives import MEMBER_MARK, archive_stem, split_member, walk_archive
from voxtrait.engine.items import Item
from voxtrait.engine.remote import RemoteFile, find_remote, is_address, open_remote
from voxtrait.errors import AudioError, CorpusError, UsageError, VoxtraitError, require
from voxtrait.exports.wording import unicode_only
from voxtrait.results import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["LIST", "Finder"]

#: The input that is a list of inputs, one a line.
LIST: Final = "-"

_Take = Callable[[str, int | None, datetime | None], bool | None]


class Finder:
    """Finds the recordings that inputs name and that are to be heard; iterate once.

    Args:
        inputs: files, folders, globs, addresses, tar archives (or globs of them), manifests
            (``.parquet``), `LIST`.
        take: asked for each name, size and time of change whether to hear it; None: it was asked before.
        lines: of the list.

    Attributes:
        seen: recordings so far.
        passed: those of them that were not taken.
        finished: whether there will be no more.

    Raises:
        VoxtraitError: for an input that names nothing, before the first item.
    """

    def __init__(self, inputs: Iterable[str], take: _Take, lines: Iterable[str] = ()) -> None:
        self._take = take
        self._lines = lines
        self.seen = self.passed = 0
        self.finished = False
        given = list(inputs)
        if given.count(LIST) > 1:
            raise UsageError("usage", "Standard input can be read once: give - once.")
        # The first of each input is looked for at once: a wrong name ends the run before it begins.
        self._items = chain.from_iterable([self._begun(name) for name in given])

    def __iter__(self) -> Iterator[Item]:
        yield from self._items
        self.finished = True

    def _begun(self, name: str) -> Iterator[Item]:
        if name == LIST:
            return self._listed()
        if not name:
            raise UsageError("usage", "An INPUT is empty: name a recording or a folder (. for this one).")
        found = self._places(name)
        first = next(found, None)
        if first is None:
            raise AudioError("not_found", f"There is no audio or video file at {name!r}.")
        return chain.from_iterable(map(self._items_at, chain([first], found)))

    def _listed(self) -> Iterator[Item]:
        """Yield what a list names; a wrong line is a row with an error, not the end of the run."""
        for line in self._lines:
            name = line.rstrip("\r\n")
            if not name:
                continue
            try:
                yield from self._begun(name)
            except (AudioError, CorpusError, UsageError) as error:
                named = name if is_address(name) else os.path.abspath(name)  # noqa: PTH100 - many lines
                yield from self._problem(named, error)

    def _places(self, name: str) -> Iterator[str | RemoteFile]:
        """Yield the files that an input names."""
        if is_address(name) and not os.path.lexists(name):
            one = archive_stem(name) is not None or Path(name).suffix.lower() in AUDIO_EXTENSIONS
            for found in find_remote(name):
                # As in a folder: what lies beside the recordings is passed over.
                if one or Path(found[0]).suffix.lower() in AUDIO_EXTENSIONS or archive_stem(found[0]):
                    yield found
        else:
            yield from map(os.fspath, find_sources([name]))

    def _items_at(self, place: str | RemoteFile) -> Iterator[Item]:
        if isinstance(place, tuple):
            address, size, modified = place
            if archive_stem(address) is not None:
                opened = partial(open_remote, address)
                yield from self._members(address, size, modified, opened)
            else:
                yield from self._item(address, address, size, modified)
            return
        path = os.path.abspath(place)  # noqa: PTH100 - once per file of an archive
        if path.endswith(".parquet"):
            yield from self._manifest(path)
        elif archive_stem(path) is not None:
            yield from self._members(path, *_status(path))
        else:
            yield from self._item(path, path, *_status(path))

    def _item(self, name: str, path: str, size: int | None, modified: datetime | None) -> Iterator[Item]:
        name = unicode_only(name)
        if self._takes(name, size, modified):
            yield Item(name, path, size, modified)

    def _takes(self, name: str, size: int | None, modified: datetime | None) -> bool:
        taken = self._take(name, size, modified)
        if taken is None:
            return False
        self.seen += 1
        self.passed += not taken
        return taken

    def _members(
        self,
        archive: str,
        size: int | None,
        modified: datetime | None,
        opened: Callable[[], BinaryIO] | None = None,
        only: Collection[str] | None = None,
    ) -> Iterator[Item]:
        """Yield the recordings in a tar archive, in one pass; what cannot be read of it is a row.

        Args:
            archive, size, modified: the file that it is.
            opened: opens it, where it is no file of this machine.
            only: the members to yield, each of which has an answer in the end; None: all recordings.
        """
        taken: str | None = None

        def wanted(member: str) -> bool:
            nonlocal taken
            known = member in only if only is not None else Path(member).suffix.lower() in AUDIO_EXTENSIONS
            if not known or not self._takes(name_of(member), size, modified):
                return False
            taken = member
            return True

        def name_of(member: str) -> str:
            return unicode_only(f"{archive}{MEMBER_MARK}{member}")

        problem: VoxtraitError | None = None
        try:
            for member, content in walk_archive(archive, wanted, opened):
                if content is not None:
                    taken = None
                    yield Item(name_of(member), "", size, modified, content)
        except (AudioError, CorpusError) as error:
            problem = error
        if problem is not None and taken is not None:
            # That in which the archive breaks off; it is not asked for again.
            yield _unheard(name_of(taken), problem, size, modified)
        if problem is not None and only is None:
            yield from self._problem(archive, problem, size, modified)
        # What was found has been asked for by now.
        for member in only or ():
            missing = AudioError("not_found", f"There is no {member!r} in {archive}.")
            yield from self._problem(name_of(member), problem or missing, size, modified)

    def _manifest(self, path: str) -> Iterator[Item]:
        """Yield the recordings of a manifest: files first, then those in archives, archive by archive."""
        require("polars", "report")
        from voxtrait.corpora.manifest import read_manifest

        archives: dict[str, list[str]] = {}
        for place in read_manifest(path)["path"]:
            packed = split_member(place)
            if packed is None:
                yield from self._item(place, place, *_status(place))
            else:
                archives.setdefault(packed[0], []).append(packed[1])
        for archive, members in archives.items():
            yield from self._members(archive, *_status(archive), only=dict.fromkeys(members))

    def _problem(
        self, name: str, error: VoxtraitError, size: int | None = None, modified: datetime | None = None
    ) -> Iterator[Item]:
        name = unicode_only(name)
        if self._takes(name, size, modified):
            yield _unheard(name, error, size, modified)


def _unheard(name: str, error: VoxtraitError, size: int | None, modified: datetime | None) -> Item:
    return Item(name, "", size, modified, problem=Problem(error.code, error.message))


def _status(path: str) -> tuple[int | None, datetime | None]:
    try:
        status = os.stat(path)  # noqa: PTH116 - once per file of an archive
    except (OSError, ValueError):
        return None, None
    # What a pipe or a device holds its status does not say.
    if not stat.S_ISREG(status.st_mode):
        return None, None
    # To the microsecond, as the data set keeps it.
    return status.st_size, datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, UTC)
