"""The tables of the jobs, and the clock that all servers of a database share."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from voxtrait.errors import UsageError

__all__ = ["AUDIO", "JOBS", "create_tables", "now"]

#: Of the tables; a database with another one is left alone.
_VERSION: Final = 1
#: What servers that start together wait for each other at; any number that is always the same.
_LOCK: Final = 0x766F78747261

_METADATA: Final = MetaData()
_SCHEMA: Final = Table("voxtrait_schema", _METADATA, Column("version", Integer, nullable=False))

#: Times are seconds since 1970 by the clock of the database.
JOBS: Final = Table(
    "voxtrait_jobs",
    _METADATA,
    # Its order is that of the queue; never given twice, so that no audio is taken for another job's.
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    # arriving, queued, running, done or failed.
    Column("state", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("segments", Boolean, nullable=False),
    Column("speakers", Boolean, nullable=False),
    Column("channel", Integer),
    Column("model", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Column("expires", Double),
    Column("heard", Double),
    # Another one each time that a server takes the job: what an earlier holder still writes changes nothing.
    Column("claim", Text, unique=True),
    Column("lease_until", Double),
    Column("attempt", Integer, nullable=False, default=0),
    # `Prediction.to_dict` as JSON; of a job that failed its error alone counts.
    Column("answer", Text),
    Index("voxtrait_jobs_by_state", "state", "number"),
    sqlite_autoincrement=True,
)

AUDIO: Final = Table(
    "voxtrait_job_audio",
    _METADATA,
    Column("job", ForeignKey(JOBS.c.number, ondelete="CASCADE"), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("bytes", LargeBinary, nullable=False),
)


class now(FunctionElement[float]):  # noqa: N801 - reads as the function of SQL that it is
    """Seconds since 1970 by the clock of the database."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_of_sqlite(element: now, compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_of_postgresql(element: now, compiler: Any, **_: Any) -> str:
    # That of the moment: others stand still within a transaction.
    return "extract(epoch FROM clock_timestamp())::double precision"


def create_tables(connection: Connection) -> None:
    """Create what is absent, in the transaction of a connection.

    Raises:
        UsageError: ``database`` if the tables are those of another version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    _METADATA.create_all(connection)
    version = connection.scalar(select(_SCHEMA.c.version))
    if version is None:
        connection.execute(insert(_SCHEMA).values(version=_VERSION))
    elif version != _VERSION:
        raise UsageError(
            "database",
            f"The database of jobs was made by another version of voxtrait (its tables are of version "
            f"{version}, here of {_VERSION}): name another database.",
        )
