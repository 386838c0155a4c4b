"""What files are grouped by: their folder, their day."""

from __future__ import annotations

import datetime
import os
import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final

import polars as pl

from voxtrait.batch import COLUMNS
from voxtrait.errors import UsageError

__all__ = ["DayColumn", "DayPattern", "folder_names"]

#: Folders that a breakdown shows at most, unless there are more right below the common one.
_FOLDERS: Final = 40
_PARTS: Final = ("year", "month", "day")
_DATE: Final = re.compile(r"\s*(\d{4})(?:(\d\d)(\d\d)|(\D)(\d\d?)\4(\d\d?)(?!\d))", re.ASCII)


def folder_names(files: pl.Series, most: int | None = _FOLDERS) -> pl.Series:
    """Return the folder of each file, from the folder that all share on.

    An archive is a folder. The depth is the greatest at which there are at most ``most`` folders, and at
    least 1; None takes the folder that a file is in.
    """
    folders = files.str.replace_all(r"::|\\", "/").str.replace(r"/?[^/]*$", "")
    parts = {folder: folder.split("/") for folder in folders.unique().sort()}
    levels = zip(*parts.values(), strict=False)
    shared = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))
    below = {folder: names[shared:] for folder, names in parts.items()}
    depth = max((len(names) for names in below.values()), default=1)
    while most is not None and depth > 1 and len({tuple(names[:depth]) for names in below.values()}) > most:
        depth -= 1
    known = {folder: "/".join(names[:depth]) or "." for folder, names in below.items()}
    return folders.replace_strict(known, return_dtype=pl.String).rename("folder")


@dataclass(frozen=True)
class DayPattern:
    """Days that the names of files hold.

    Attributes:
        pattern: a regular expression with one group that holds a date (2024-03-01, 20240301), or with
            groups named year, month and day.
    """

    pattern: str

    def days(self, frame: pl.DataFrame) -> pl.Series:
        """Return the day of each row by its ``file``, null where the pattern does not match.

        Raises:
            UsageError: ``usage`` if the pattern is none or has no such group; ``days`` if it matches nothing
                or what it finds is no date.
        """
        try:
            pattern = re.compile(self.pattern)
        except re.error as error:
            raise UsageError(
                "usage", f"--day-pattern '{self.pattern}' is no regular expression: {error}."
            ) from error
        named = set(_PARTS) <= set(pattern.groupindex)
        if not named and pattern.groups != 1:
            raise UsageError(
                "usage",
                f"--day-pattern '{self.pattern}' needs one group that holds the date, as in "
                r"'(\d{4}-\d\d-\d\d)', or groups named year, month and day.",
            )
        days = [self._day(pattern, named, file) for file in frame["file"]]
        if not any(days):
            example = f", such as {frame['file'][0]!a}" if len(frame) else ""
            raise UsageError("days", f"--day-pattern '{self.pattern}' matches no file{example}.")
        return pl.Series("day", days, pl.Date)

    def _day(self, pattern: re.Pattern[str], named: bool, file: str) -> datetime.date | None:
        found = pattern.search(file)
        if found is None:
            return None
        try:
            if named:
                return datetime.date(*(int(found[part]) for part in _PARTS))
            return _date(found[1] or "")
        except (ValueError, TypeError) as error:
            raise UsageError(
                "days", f"--day-pattern '{self.pattern}' finds {found[0]!a} in {file!a}, which is no date."
            ) from error


@dataclass(frozen=True)
class DayColumn:
    """Days that a column holds.

    Attributes:
        name: of the column.
        table: a CSV, TSV or Parquet file with the column and ``file``, which may be relative to the
            table's folder; None takes a column of the data set.
    """

    name: str
    table: Path | None = None

    def days(self, frame: pl.DataFrame) -> pl.Series:
        """Return the day of each row, null where it is not known.

        Raises:
            UsageError: ``usage`` if there is no such column, or no file of the data set in the table;
                ``table`` if it cannot be read; ``days`` if the column holds no dates.
        """
        if self.table is not None:
            return self._of(self._joined(frame, self.table), str(self.table))
        if self.name not in COLUMNS:
            raise UsageError(
                "usage", f"The data set has no column {self.name!a}; give --table FILE with one."
            )
        if self.name not in frame.columns:
            raise UsageError("days", f"The column {self.name!a} of the data set holds no dates.")
        return self._of(frame[self.name], "the data set")

    def _joined(self, frame: pl.DataFrame, table: Path) -> pl.Series:
        read = _read(table)
        for name in ("file", self.name):
            if name not in read.columns:
                raise UsageError(
                    "table", f"{table} has no column {name!a}, only {', '.join(read.columns)[:200]}."
                )
        names = [_absolute(file or "", table.absolute().parent) for file in read["file"].cast(pl.String)]
        known = pl.DataFrame({"file": names, "day": read[self.name]}).unique("file", keep="first")
        joined = frame.select("file").join(known, on="file", how="left", maintain_order="left")["day"]
        if joined.null_count() == len(joined):
            raise UsageError("table", f"{table} has no day for any file of the data set, such as "
                             f"{frame['file'][0] if len(frame) else ''!a}.")  # fmt: skip
        return joined

    def _of(self, values: pl.Series, where: str) -> pl.Series:
        if values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
            return values.cast(pl.Date).rename("day")
        texts = values.cast(pl.String)
        known = {text: self._day(text, where) for text in texts.drop_nulls().unique().sort()}
        return texts.replace_strict(known, default=None, return_dtype=pl.Date).rename("day")

    def _day(self, text: str, where: str) -> datetime.date | None:
        try:
            return _date(text) if text.strip() else None
        except ValueError as error:
            raise UsageError(
                "days", f"The column {self.name!a} of {where} holds {text!a}, which is no date."
            ) from error


def _date(text: str) -> datetime.date:
    """Return the date that a text begins with, as 2024-03-01, 2024_3_1, 20240301.

    Raises:
        ValueError: if it is none.
    """
    found = _DATE.match(text)
    if found is None:
        raise ValueError("no date")
    year, month, day = (int(part) for part in found.groups() if part and part.isdigit())
    return datetime.date(year, month, day)


def _absolute(name: str, folder: Path) -> str:
    return name if "://" in name else os.path.normpath(folder / name)


def _read(table: Path) -> pl.DataFrame:
    try:
        if table.suffix.lower() == ".parquet":
            return pl.read_parquet(table)
        separator = "\t" if table.suffix.lower() == ".tsv" else ","
        return pl.read_csv(table, separator=separator, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            "table", f"{table} cannot be read ({reason}): give a CSV or Parquet file."
        ) from error
