"""The database of the jobs: SQLite for one server, PostgreSQL for several; its failures in words."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError, TimeoutError

from voxtrait.errors import UsageError, require
from voxtrait.service.jobs.tables import create_tables
from voxtrait.service.problems import Refusal, no_space

__all__ = ["CONNECTIONS", "Database"]

_log = logging.getLogger("voxtrait.service")

#: Connections of a server, and so transactions at once.
CONNECTIONS: Final = 4
#: Seconds that a transaction waits for others, and for a place among the connections.
_WAIT: Final = 30
#: Seconds for PostgreSQL to answer.
_CONNECT: Final = 5
_ANSWER: Final = 30
#: Of a connection: its transactions write.
_WRITES: Final = "voxtrait_writes"
#: A deleted recording leaves no bytes behind: pages are overwritten and given back, with what the journal
#: held of them. Pages are large because recordings are. How to wait and to write comes first: that the file
#: vacuums itself is written into it.
_PRAGMAS: Final = (
    f"busy_timeout={_WAIT * 1000}",
    "journal_mode=TRUNCATE",
    "synchronous=FULL",
    "secure_delete=ON",
    "page_size=65536",
    "auto_vacuum=FULL",
    "temp_store=MEMORY",
    "foreign_keys=ON",
)
#: SQLSTATE: the disk is full; the server cannot be reached, stops, has no place, cannot write now.
_PG_FULL: Final = "53100"
_PG_AWAY: Final = ("08", "53", "57", "40", "25006")
#: A SQLite file that cannot be opened, locked, read or written now.
_SQLITE_AWAY: Final = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
)


class Database:
    """Transactions, and a refusal where there can be none; may be shared by threads.

    The tables are created in the first transaction. When the database has been away, the next transaction
    finds it again.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://...``.

    Raises:
        UsageError: ``usage`` for any other address; ``database`` if the folder of a file cannot be made.
        MissingExtraError: if the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self._engine = _sqlite(self._url) if self.is_file else _postgresql(self._url)
        self._writer = self._engine.execution_options(**{_WRITES: True})
        self._preparing = threading.Lock()
        self._prepared = False
        self._away = False

    @property
    def engine(self) -> Engine:
        """What the connections come from."""
        return self._engine

    @property
    def is_file(self) -> bool:
        """Whether it is SQLite."""
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a transaction that only reads.

        Raises:
            Refusal: 503 ``database`` if it is away.
        """
        with self._refusing():
            self._prepare()
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction; an exception takes all of it back.

        Raises:
            Refusal: 503 ``database`` if it is away, 507 ``no_space`` if its disk is full.
            UsageError: as `create_tables`.
        """
        with self._refusing():
            self._prepare()
            with self._writer.begin() as connection:
                yield connection

    def check_space(self, needed: int) -> None:
        """Do nothing if a file of jobs may grow by some bytes.

        Raises:
            Refusal: 507 ``no_space``.
        """
        if self.is_file and shutil.disk_usage(Path(str(self._url.database)).parent).free < needed:
            raise no_space()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _prepare(self) -> None:
        with self._preparing:
            if not self._prepared:
                with self._writer.begin() as connection:
                    create_tables(connection)
                self._prepared = True

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            refusal = _refusal(error)
            if refusal is None:
                raise
            if not self._away:
                _log.warning("database away", extra={"code": refusal.code, "reason": _reason(error)})
            self._away = True
            raise refusal from error
        if self._away:
            _log.warning("database back")
            self._away = False


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        name = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        # Not quoted: there may be a password in it.
        name = None
    if name == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite")
    if name in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise UsageError(
        "usage", "The address of the database is neither sqlite:///FILE nor postgresql://USER@HOST/NAME."
    )


def _sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Recordings are nobody else's business.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise UsageError(
            "database", f"The database of jobs {path} cannot be opened: {error.strerror or error}."
        ) from error
    engine = create_engine(url, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=_WAIT)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: Any) -> None:
        # The driver's own idea of when a transaction begins leaves reads outside of it.
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Who reads first and writes then cannot wait for another who does the same.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    require("psycopg", "postgres")
    return create_engine(
        url,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=_WAIT,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT,
            "options": f"-c statement_timeout={_ANSWER}s -c lock_timeout={_WAIT}s",
            "keepalives_idle": _ANSWER,
            "tcp_user_timeout": _ANSWER * 1000,
        },
    )


def _refusal(error: SQLAlchemyError) -> Refusal | None:
    """Return how to refuse what failed; None where the fault is the program's."""
    away = Refusal(
        503, "database", "The database of jobs cannot be reached: try again soon.", {"Retry-After": "5"}
    )
    if isinstance(error, TimeoutError):
        return away
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", 0)
        # Beyond a quota or a limit of sizes writing fails, and the disk is not full.
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            return no_space()
        return away if code & 0xFF in _SQLITE_AWAY else None
    state = getattr(error.orig, "sqlstate", None)
    if state == _PG_FULL:
        return no_space()
    # Without a state nothing came back from the server.
    lost = error.connection_invalidated or state is None or state.startswith(_PG_AWAY)
    return away if lost else None


def _reason(error: SQLAlchemyError) -> str:
    return " ".join(str(getattr(error, "orig", error)).split())[:200]
