"""Jobs in a database that several servers may share: each is heard by one of them, and ends once.

A server holds a job by a lease, which it renews while it hears; where it dies, the lease lapses and another
takes the job. Each time it is taken the job has another claim, without which nothing can be written about it:
who comes late changes nothing. All is measured by the clock of the database.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Column, Connection, and_, case, delete, func, insert, null, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from voxtrait.engine import Wish
from voxtrait.service.jobs.database import Database
from voxtrait.service.jobs.tables import AUDIO, JOBS, now
from voxtrait.service.problems import Refusal

__all__ = ["BEAT", "BLOCK", "Claim", "Job", "JobStore"]

#: Seconds between two renewals of a lease, and that it lasts.
BEAT: Final = 5.0
_LEASE: Final = 3 * BEAT
#: Times that a job is taken: one at which each server dies must not take down all there are for ever.
_ATTEMPTS: Final = 4
#: Seconds that a job waits for a server that has its model.
_WITHOUT_MODEL: Final = 3600.0
#: Bytes of a recording in a row, and rows that are written in one transaction: others wait for its end.
BLOCK: Final = 1 << 20
_ROWS: Final = 8
#: Bytes of a disk beyond those of recordings.
_SPARE: Final = 1 << 20

_WAITS = JOBS.c.state == "queued"
_RUNS = JOBS.c.state == "running"
_SEEN: Final = "id state name size segments speakers model created started finished expires heard"
_CLAIMED: Final = "number id name size segments speakers channel model"
#: What is forgotten when a job ends.
_NO_CLAIM: Final[dict[str, Any]] = {"claim": None, "lease_until": None}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as others see it; times are seconds since 1970.

    Attributes:
        heard: seconds of audio.
        position: its place among those that wait, from 1 on.
        error: code and message of one that failed.
    """

    id: str
    state: Literal["queued", "running", "done", "failed"]
    name: str
    size: int
    segments: bool
    speakers: bool
    model: str
    created: float
    started: float | None
    finished: float | None
    expires: float | None
    heard: float | None
    position: int | None
    error: dict[str, str] | None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ("done", "failed")


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this server is to hear.

    Attributes:
        token: without which nothing can be written about it.
        number, id: of the job.
        size: bytes of its recording.
    """

    token: str
    number: int
    id: str
    name: str
    size: int
    wish: Wish


class JobStore:
    """The jobs; may be shared by threads.

    Args:
        database: where they lie.
        titles: of the models that this server hears with.
        keep: seconds that an answer is kept.
        most: jobs that may wait.

    All methods raise a `Refusal`, 503 ``database`` or 507 ``no_space``, if the database does not take part.
    """

    def __init__(self, database: Database, titles: Sequence[str], keep: float, most: int) -> None:
        self._database = database
        self._titles = tuple(titles)
        self._keep = keep
        self._most = most

    def check(self) -> None:
        """Do nothing if the database is there."""
        with self._database.reading() as connection:
            connection.execute(select(JOBS.c.number).limit(1))

    def check_room(self) -> None:
        """Do nothing if one more job may wait.

        Raises:
            Refusal: 429 ``busy``.
        """
        with self._database.reading() as connection:
            self._check_room(connection)

    def add(self, name: str, size: int, wish: Wish, blocks: Iterable[bytes]) -> str:
        """Take a job, and return its id.

        It does not exist for anybody before its whole recording is there.

        Args:
            name: of the recording.
            size: bytes of ``blocks`` together.
            wish: with the title of a model.
            blocks: the recording, `BLOCK` bytes each.

        Raises:
            Refusal: 429 ``busy`` if too many wait.
        """
        key = secrets.token_urlsafe(16)
        values = {
            "id": key, "state": "arriving", "name": name, "size": size, "segments": wish.segments,
            "speakers": wish.speakers, "channel": wish.channel, "model": wish.model,
        }  # fmt: skip
        try:
            number, part = None, 0
            for rows, is_last in _batches(blocks):
                with self._database.writing() as connection:
                    if number is None:
                        self._check_room(connection)
                        self._check_space(connection, size)
                        number = _insert(connection, values)
                    _arrives(connection, number, is_last)
                    connection.execute(
                        insert(AUDIO),
                        [{"job": number, "part": part + i, "bytes": row} for i, row in enumerate(rows)],
                    )
                part += len(rows)
        except BaseException:
            # Nobody knows of it; where this fails too, its lease lapses.
            self._withdraw(key)
            raise
        return key

    def _check_room(self, connection: Connection) -> None:
        query = select(func.count()).where(JOBS.c.state.in_(("queued", "arriving")))
        waiting = connection.scalar(query) or 0
        if waiting >= self._most:
            message = f"{waiting} jobs are waiting already: try again in a minute."
            raise Refusal(429, "busy", message, {"Retry-After": "60"})

    def _check_space(self, connection: Connection, size: int) -> None:
        """Leave as much of the disk as deleting the largest recording takes: all its pages, and as many that
        move into their place, lie in the journal for a moment.

        Else a full disk would stay full: no job could end.
        """
        largest = connection.scalar(select(func.max(JOBS.c.size)).where(JOBS.c.finished.is_(None))) or 0
        self._database.check_space(size + 2 * max(size, largest) + _SPARE)

    def _withdraw(self, key: str) -> None:
        try:
            with self._database.writing() as connection:
                connection.execute(delete(JOBS).where(JOBS.c.id == key))
        except Refusal:
            pass

    def find(self, key: str) -> Job | None:
        """Return a job, or None if there is none, or no more."""
        earlier = JOBS.alias()
        ahead = select(func.count()).where(earlier.c.state == "queued", earlier.c.number < JOBS.c.number)
        place = case((_WAITS, ahead.scalar_subquery() + 1))
        error = case((JOBS.c.state == "failed", JOBS.c.answer))
        query = select(*_columns(_SEEN), place.label("position"), error.label("error")).where(_is_there(key))
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        return Job(**{**row, "error": json.loads(row["error"])["error"] if row["error"] else None})

    def answer(self, key: str) -> dict[str, Any] | None:
        """Return what was heard, as `Prediction.to_dict`; None if the job is not done, or not there."""
        query = select(JOBS.c.answer).where(_is_there(key), JOBS.c.state == "done")
        with self._database.reading() as connection:
            found = connection.scalar(query)
        return None if found is None else json.loads(found)

    def delete(self, key: str) -> bool:
        """Forget a job with all that belongs to it; return whether there was one."""
        with self._database.writing() as connection:
            return bool(connection.execute(delete(JOBS).where(_is_there(key))).rowcount)

    def claim(self, held: Collection[str]) -> Claim | None:
        """Take the next job that waits, or whose server has left it, for the time of a lease.

        Args:
            held: tokens of this server, whose jobs it is not to take again.
        """
        left = and_(_lapsed(held), JOBS.c.attempt < _ATTEMPTS)
        first = (
            select(JOBS.c.number)
            .where(JOBS.c.model.in_(self._titles), or_(_WAITS, left))
            .order_by(JOBS.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        token = secrets.token_hex(16)
        values = {
            "state": "running", "claim": token, "lease_until": now() + _LEASE, "attempt": JOBS.c.attempt + 1,
            "started": now(), "heard": 0.0,
        }  # fmt: skip
        taken = (
            update(JOBS)
            .where(JOBS.c.number == first.scalar_subquery())
            .values(values)
            .returning(*_columns(_CLAIMED))
        )
        with self._database.writing() as connection:
            row = connection.execute(taken).one_or_none()
        if row is None:
            return None
        return Claim(token, row.number, row.id, row.name, row.size, Wish(*row[4:]))

    def audio(self, claim: Claim) -> Iterator[bytes]:
        """Yield the recording of a job; less than its size if the job has ended meanwhile."""
        for part in range(-(-claim.size // BLOCK)):
            query = select(AUDIO.c.bytes).where(AUDIO.c.job == claim.number, AUDIO.c.part == part)
            with self._database.reading() as connection:
                block = connection.scalar(query)
            if block is None:
                return
            yield block

    def renew(self, heard: Mapping[str, float]) -> set[str]:
        """Renew leases, and return the tokens of jobs that are this server's still.

        Args:
            heard: token -> seconds of audio heard so far.
        """
        held = set()
        with self._database.writing() as connection:
            for token, seconds in heard.items():
                values = {"lease_until": now() + _LEASE, "heard": seconds}
                if connection.execute(_of_claim(token).values(values)).rowcount:
                    held.add(token)
        return held

    def end(self, token: str, answer: Mapping[str, Any]) -> bool:
        """End a job and forget its recording; return whether it was this server's still.

        Args:
            token: of the claim.
            answer: as `Prediction.to_dict`; with an error the job has failed.
        """
        state = "failed" if answer["error"] else "done"
        values = _end(state, json.dumps(answer), self._keep)
        if answer["duration"] is not None:
            values["heard"] = answer["duration"]
        with self._database.writing() as connection:
            number = connection.scalar(_of_claim(token).values(values).returning(JOBS.c.number))
            if number is not None:
                connection.execute(delete(AUDIO).where(AUDIO.c.job == number))
        return number is not None

    def hand_back(self, tokens: Collection[str]) -> None:
        """Let jobs wait again, as if they had not been taken."""
        values = {
            **_NO_CLAIM, "state": "queued", "attempt": JOBS.c.attempt - 1, "started": None, "heard": None,
        }  # fmt: skip
        with self._database.writing() as connection:
            connection.execute(update(JOBS).where(JOBS.c.claim.in_(tokens)).values(values))

    def sweep(self, held: Collection[str]) -> None:
        """Forget what has expired or never arrived, and end what no server can hear.

        Args:
            held: tokens of this server, whose jobs are not to be ended.
        """
        stale = and_(JOBS.c.state == "arriving", JOBS.c.lease_until < now())
        hopeless = and_(_lapsed(held), JOBS.c.attempt >= _ATTEMPTS)
        orphaned = and_(_WAITS, JOBS.c.model.not_in(self._titles), JOBS.c.created < now() - _WITHOUT_MODEL)
        given_up = _failure("given_up", f"The service ended {_ATTEMPTS} times while it heard the recording.")
        unknown = _failure(
            "bundle_not_found", "The service has the model of this job no more: send it again."
        )
        with self._database.writing() as connection:
            connection.execute(delete(JOBS).where(or_(JOBS.c.expires < now(), stale)))
            for which, answer in ((hopeless, given_up), (orphaned, unknown)):
                ending = update(JOBS).where(which).values(_end("failed", answer, self._keep))
                for number in connection.scalars(ending.returning(JOBS.c.number)).all():
                    connection.execute(delete(AUDIO).where(AUDIO.c.job == number))

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are, by state."""
        query = select(JOBS.c.state, func.count()).group_by(JOBS.c.state)
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}


def _columns(names: str) -> list[Column[Any]]:
    return [JOBS.c[name] for name in names.split()]


def _is_there(key: str) -> ColumnElement[bool]:
    alive = or_(JOBS.c.expires.is_(None), JOBS.c.expires >= now())
    return and_(JOBS.c.id == key, JOBS.c.state != "arriving", alive)


def _lapsed(held: Collection[str]) -> ColumnElement[bool]:
    return and_(_RUNS, JOBS.c.lease_until < now(), JOBS.c.claim.not_in(held))


def _of_claim(token: str) -> Any:
    # There is a claim exactly while the job runs.
    return update(JOBS).where(JOBS.c.claim == token)


def _insert(connection: Connection, values: Mapping[str, Any]) -> int:
    times = {"created": now(), "lease_until": now() + _LEASE}
    return int(
        connection.execute(insert(JOBS).values({**values, **times}).returning(JOBS.c.number)).scalar_one()
    )


def _arrives(connection: Connection, number: int, is_last: bool) -> None:
    """Note that more of a recording is there; with the last of it the job exists."""
    more: dict[str, Any] = {"lease_until": now() + _LEASE}
    last = {"state": "queued", "created": now(), "lease_until": null()}
    arriving = update(JOBS).where(JOBS.c.number == number, JOBS.c.state == "arriving")
    if not connection.execute(arriving.values(last if is_last else more)).rowcount:
        message = "The database of jobs was away for too long: send the recording again."
        raise Refusal(503, "database", message, {"Retry-After": "5"})


def _end(state: str, answer: str, keep: float) -> dict[str, Any]:
    return {**_NO_CLAIM, "state": state, "answer": answer, "finished": now(), "expires": now() + keep}


def _failure(code: str, message: str) -> str:
    return json.dumps({"error": {"code": code, "message": message}})


def _batches(blocks: Iterable[bytes]) -> Iterator[tuple[list[bytes], bool]]:
    """Yield blocks, as many as go into one transaction, and whether they are the last."""
    batch: list[bytes] = []
    for block in blocks:
        if len(batch) == _ROWS:
            yield batch, False
            batch = []
        batch.append(block)
    yield batch, True
