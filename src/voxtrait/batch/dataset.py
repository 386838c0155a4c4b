"""An annotated data set on disk: a folder of parts, and a small file that says what made them.

Parts are named ``part-00000.parquet``, ``part-00001.parquet``, ... A part is written under another name
and then renamed, so that whoever reads the folder finds whole files at any time. All other files begin
with ``_`` or ``.``, which the readers of data sets leave out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from voxtrait.batch.parts import PARTS, PartFormat
from voxtrait.batch.rows import COLUMNS, Row
from voxtrait.errors import UsageError, require

if TYPE_CHECKING:
    import pyarrow

__all__ = ["INFO_NAME", "Dataset", "Settings"]

#: The file that makes a folder a data set.
INFO_NAME: Final = "_annotate.json"
_SCHEMA: Final = 1
_PART: Final = re.compile(r"part-(\d{5,})")


@dataclass(frozen=True)
class Settings:
    """What all rows of a data set have in common.

    Attributes:
        model: name and version of the bundle.
        bundle: SHA-256 of its model.
        segments, speakers: whether rows have them.
        channel: the one that was heard, from 1; None is all, mixed.
        parts: the format of the parts, a name of `PARTS`.
        formats: exports that lie beside it, in order.

    Raises:
        UsageError: ``usage`` if there are no such parts.
    """

    model: str
    bundle: str
    segments: bool = False
    speakers: bool = False
    channel: int | None = None
    parts: str = "parquet"
    formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.parts not in PARTS:
            raise UsageError("usage", f"There are no {self.parts!a} parts: give one of {', '.join(PARTS)}.")

    def difference(self, other: Settings) -> str | None:
        """Say in a few words how ``other`` differs, or return None."""
        own, theirs = asdict(self), asdict(other)
        names = [name for name in own if own[name] != theirs[name]]
        if not names:
            return None
        return ", ".join(f"{name} {_words(own[name])} instead of {_words(theirs[name])}" for name in names)


class Dataset:
    """The parts of a data set, as they are on disk now.

    Args:
        folder: that of `INFO_NAME`.

    Raises:
        UsageError: ``dataset`` if there is none, or one of a later version of voxtrait.
        MissingExtraError: without pyarrow.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        require("pyarrow", "annotate")
        info = self._info()
        if info.pop("schema", None) != _SCHEMA:
            raise UsageError("dataset", f"{self.folder} was written by another version of voxtrait.")
        try:
            self.settings = Settings(**info | {"formats": tuple(info["formats"])})
            self.format: PartFormat = PARTS[self.settings.parts]
        except (TypeError, KeyError, UsageError) as error:
            raise UsageError("dataset", f"{self.folder / INFO_NAME} is damaged ({error}).") from error

    @classmethod
    def create(cls, folder: Path, settings: Settings) -> Dataset:
        """Begin a data set in a folder that is empty or not there.

        Raises:
            OSError: if it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{INFO_NAME}"
        partial.write_text(json.dumps({"schema": _SCHEMA, **asdict(settings)}, indent=2) + "\n")
        partial.replace(folder / INFO_NAME)
        return cls(folder)

    def parts(self) -> list[Path]:
        """Return the parts in order."""
        found = self.folder.glob(f"part-*{self.format.suffix}")
        return sorted((path for path in found if _PART.fullmatch(path.stem)), key=self.number)

    def number(self, part: Path) -> int:
        """Return the number of a part."""
        return int(part.stem.removeprefix("part-"))

    def part(self, number: int) -> Path:
        """Return where the part of a number is."""
        return self.folder / f"part-{number:05}{self.format.suffix}"

    def tables(self, columns: Collection[str] = COLUMNS) -> Iterator[pyarrow.Table]:
        """Yield the parts as pyarrow.Tables with some of the columns.

        Raises:
            UsageError: ``dataset`` if a part is damaged.
        """
        for part in self.parts():
            yield self.format.read(part, columns)

    def rows(self, columns: Collection[str] = COLUMNS) -> Iterator[Row]:
        """Yield the rows, with some of their columns, a part in memory at a time.

        Raises:
            UsageError: ``dataset`` if a part is damaged.
        """
        for table in self.tables(columns):
            yield from table.to_pylist()

    def _info(self) -> dict[str, Any]:
        path = self.folder / INFO_NAME
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UsageError(
                "dataset", f"{self.folder} is no data set of 'voxtrait annotate': it has no {INFO_NAME}."
            ) from error
        except (OSError, ValueError) as error:
            raise UsageError("dataset", f"{path} cannot be read ({error}).") from error
        return info if isinstance(info, dict) else {}


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    return "none" if value is None else str(value)
