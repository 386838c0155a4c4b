"""The files that a data set is made of: tables of a few thousand rows in Parquet, JSON Lines or CSV."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from voxtrait.batch.rows import COLUMNS, Row, arrow_schema
from voxtrait.errors import UsageError, require

if TYPE_CHECKING:
    import pyarrow

__all__ = ["PARTS", "PartFormat", "table_of"]

#: Characters; what C knows as a long everywhere.
_LONGEST_CELL: Final = (1 << 31) - 1


def table_of(rows: list[Row]) -> pyarrow.Table:
    """Return rows as a pyarrow.Table of `arrow_schema`."""
    return require("pyarrow", "annotate").Table.from_pylist(rows, arrow_schema())


class PartFormat(ABC):
    """One kind of part.

    Attributes:
        name: of the format.
        suffix: of its files.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    @abstractmethod
    def write(self, table: pyarrow.Table, path: Path) -> None:
        """Write a table of `arrow_schema` to a new file.

        Raises:
            OSError: if it cannot be written.
        """

    def read(self, path: Path, columns: Collection[str] = COLUMNS) -> pyarrow.Table:
        """Read a part, or some columns of it.

        Raises:
            UsageError: ``dataset`` if it is damaged.
        """
        try:
            return self._read(path, [name for name in COLUMNS if name in columns])
        # What the readers raise on damaged files has no common base but Exception.
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                "dataset", f"{path} is damaged ({reason}): remove it, and its files are heard again."
            ) from error

    @abstractmethod
    def _read(self, path: Path, columns: list[str]) -> pyarrow.Table: ...


class ParquetParts(PartFormat):
    """Parquet, compressed with zstd."""

    name = "parquet"
    suffix = ".parquet"

    def write(self, table: pyarrow.Table, path: Path) -> None:
        from pyarrow import parquet

        # Through Python's own file: its errors say why.
        with path.open("wb") as file:
            parquet.write_table(table, file, compression="zstd")

    def _read(self, path: Path, columns: list[str]) -> pyarrow.Table:
        import pyarrow
        from pyarrow import parquet

        # As one file: as a data set it would take folder names such as year=2024 for columns.
        with parquet.ParquetFile(path) as file:
            table = file.read(columns)
        return table.select(columns).cast(pyarrow.schema([arrow_schema().field(name) for name in columns]))


class _TextParts(PartFormat):
    """A line a row."""

    def write(self, table: pyarrow.Table, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as stream:
            self._write_rows(table.to_pylist(), stream)

    @abstractmethod
    def _write_rows(self, rows: list[Row], stream: Any) -> None: ...

    def _read(self, path: Path, columns: list[str]) -> pyarrow.Table:
        table = table_of([_timed(row) for row in self._read_rows(path)])
        return table.select(columns)

    @abstractmethod
    def _read_rows(self, path: Path) -> list[Row]: ...


class JsonLinesParts(_TextParts):
    """JSON Lines, an object a row."""

    name = "jsonl"
    suffix = ".jsonl"

    def _write_rows(self, rows: list[Row], stream: Any) -> None:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False, default=_iso) + "\n")

    def _read_rows(self, path: Path) -> list[Row]:
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


class CsvParts(_TextParts):
    """CSV with a header; structs and lists are JSON, null is empty."""

    name = "csv"
    suffix = ".csv"

    def _write_rows(self, rows: list[Row], stream: Any) -> None:
        # With this line end a carriage return in a name is quoted, which the reader insists on.
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([_cell(row[name]) for name in COLUMNS])

    def _read_rows(self, path: Path) -> list[Row]:
        kinds = {field.name: str(field.type) for field in arrow_schema()}
        # A timeline of a day is one cell.
        csv.field_size_limit(_LONGEST_CELL)
        with path.open(encoding="utf-8", newline="") as stream:
            return [
                {name: _value(text, kinds[name]) for name, text in row.items()}
                for row in csv.DictReader(stream, strict=True)
            ]


def _timed(row: Row) -> Row:
    modified = row["modified"]
    return {**row, "modified": datetime.fromisoformat(modified) if modified else None}


def _iso(value: datetime) -> str:
    return value.isoformat()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    return value.isoformat() if isinstance(value, datetime) else value


def _value(text: str, kind: str) -> Any:
    if text == "":
        return None
    if kind.startswith(("struct", "list")):
        return json.loads(text)
    return {"double": float, "int64": int}.get(kind, str)(text)


#: The kinds of parts by name.
PARTS: Final[dict[str, PartFormat]] = {
    kind.name: kind for kind in (ParquetParts(), JsonLinesParts(), CsvParts())
}
