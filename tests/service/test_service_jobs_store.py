from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from jobs_toys import postgresql, sqlite_in
from sqlalchemy import event, select

from voxtrait.engine import Wish
from voxtrait.errors import UsageError, VoxtraitError
from voxtrait.service.jobs.database import Database
from voxtrait.service.jobs.store import BLOCK, Claim, JobStore
from voxtrait.service.jobs.tables import AUDIO, JOBS
from voxtrait.service.problems import Refusal

WISH = Wish(segments=True, model="toy 0.1")
ANSWER = {"error": None, "duration": 3.5}
LEASE, KEEP = 15.0, 100.0


class Clock:
    """What a SQLite database takes for the time."""

    def __init__(self, database: Database) -> None:
        self.seconds = 1e9

        @event.listens_for(database.engine, "connect")
        def set_clock(connection: sqlite3.Connection, _: Any) -> None:
            connection.create_function("julianday", 1, lambda _: self.seconds / 86_400 + 2_440_587.5)


def store_of(database: Database, *, titles: tuple[str, ...] = ("toy 0.1",), most: int = 1000) -> JobStore:
    return JobStore(database, titles, KEEP, most)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_in(tmp_path))
    yield database
    database.close()


@pytest.fixture
def clock(database: Database) -> Clock:
    return Clock(database)


def add(store: JobStore, content: bytes = b"abc") -> str:
    blocks = [content[start : start + BLOCK] for start in range(0, len(content), BLOCK)]
    return store.add("a.wav", len(content), WISH, blocks)


def taken(store: JobStore) -> Claim:
    claim = store.claim(())
    assert claim is not None
    return claim


def audio_rows(database: Database) -> int:
    with database.reading() as connection:
        return len(connection.execute(select(AUDIO.c.part)).all())


def test_a_recording_of_many_parts(database: Database) -> None:
    store = store_of(database)
    content = bytes(range(256)) * (10 * BLOCK // 256) + b"end"
    add(store, content)
    claim = taken(store)
    assert claim.wish == WISH
    assert b"".join(store.audio(claim)) == content
    assert store.end(claim.token, ANSWER)
    assert audio_rows(database) == 0
    assert list(store.audio(claim)) == []


def test_a_recording_that_breaks_off_is_no_job(database: Database) -> None:
    store = store_of(database)

    def blocks() -> Iterator[bytes]:
        yield from [b"x" * BLOCK] * 20
        assert store.claim(()) is None
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        store.add("a.wav", 40 * BLOCK, WISH, blocks())
    assert audio_rows(database) == 0
    assert store.counts() == {}


def test_what_never_arrived_is_swept(database: Database, clock: Clock) -> None:
    store = store_of(database)

    def blocks() -> Iterator[bytes]:
        yield from [b"x" * BLOCK] * 10
        clock.seconds += LEASE + 1
        store.sweep(())
        assert audio_rows(database) == 0
        yield b"x"

    with pytest.raises(Refusal, match="send the recording again") as caught:
        store.add("a.wav", 10 * BLOCK + 1, WISH, blocks())
    assert (caught.value.status, caught.value.code) == (503, "database")
    assert store.counts() == {}


def test_a_server_that_dies_again_and_again(database: Database, clock: Clock) -> None:
    store = store_of(database)
    key = add(store)
    for _ in range(4):
        claim = taken(store)
        assert store.claim(()) is None
        clock.seconds += LEASE + 1
        # Not from itself: it has only been slow.
        assert store.claim([claim.token]) is None
        store.sweep([claim.token])
    assert store.claim(()) is None
    store.sweep(())
    job = store.find(key)
    assert job is not None
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == "given_up"
    assert audio_rows(database) == 0
    clock.seconds += KEEP + 1
    assert store.find(key) is None
    store.sweep(())
    assert store.counts() == {}


def test_handing_back_costs_nothing(database: Database) -> None:
    store = store_of(database)
    key = add(store)
    for _ in range(10):
        claim = taken(store)
        store.hand_back([claim.token])
        assert not store.end(claim.token, ANSWER)
    job = store.find(key)
    assert job is not None
    assert (job.state, job.position, job.started) == ("queued", 1, None)


def test_a_job_for_a_model_that_is_not_here(database: Database, clock: Clock) -> None:
    other = store_of(database, titles=("other 1.0",))
    key = add(store_of(database))
    assert other.claim(()) is None
    other.sweep(())
    assert other.counts() == {"queued": 1}
    clock.seconds += 3601
    other.sweep(())
    job = other.find(key)
    assert job is not None
    assert job.error is not None
    assert job.error["code"] == "bundle_not_found"


def test_no_more_jobs_than_may_wait(database: Database) -> None:
    store = store_of(database, most=2)
    add(store)
    add(store)
    for call in (store.check_room, lambda: add(store)):
        with pytest.raises(Refusal) as caught:
            call()
        assert (caught.value.status, caught.value.code) == (429, "busy")
        assert int(caught.value.headers["Retry-After"]) > 0
    taken(store)
    add(store)


def test_threads_take_each_job_once(database: Database) -> None:
    _take_at_once(store_of(database))


def test_connections_of_postgresql_take_each_job_once() -> None:
    with postgresql() as server:
        databases = [Database(server.url) for _ in range(2)]
        stores = [store_of(database) for database in databases]
        # The tables are made once, whoever comes first.
        threads = [threading.Thread(target=store.check) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _take_at_once(*stores)
        for database in databases:
            database.close()


def _take_at_once(*stores: JobStore) -> None:
    keys = [add(stores[0]) for _ in range(20)]
    found: list[str] = []

    def take(store: JobStore) -> None:
        while (claim := store.claim(())) is not None:
            found.append(claim.id)
            assert store.end(claim.token, ANSWER)

    threads = [threading.Thread(target=take, args=(store,)) for store in stores * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(keys)
    assert stores[0].counts() == {"done": 20}


def test_a_file_of_ones_own(database: Database, tmp_path: Path) -> None:
    store_of(database).check()
    path = tmp_path / "jobs" / "jobs.sqlite3"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("url", ["mysql://host/jobs", "nonsense", "sqlite://", "sqlite:///:memory:", ""])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="neither sqlite:///FILE nor postgresql://") as caught:
        Database(url)
    assert caught.value.code == "usage"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file")
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        Database(sqlite_in(tmp_path))
    assert caught.value.code == "database"


def test_tables_of_another_version(database: Database, tmp_path: Path) -> None:
    store_of(database).check()
    with sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite3") as connection:
        connection.execute("UPDATE voxtrait_schema SET version = 7")
    connection.close()
    later = Database(sqlite_in(tmp_path))
    with pytest.raises(VoxtraitError, match="another version of voxtrait") as caught:
        store_of(later).check()
    assert caught.value.code == "database"
    later.close()


class Leases(RuleBasedStateMachine):
    """Servers that take, renew, lose, end and hand back jobs, beside a model of what must come of it."""

    owners = st.integers(0, 2)

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.database = Database(sqlite_in(Path(self.folder.name)))
        self.clock = Clock(self.database)
        self.store = store_of(self.database)
        #: What each server believes to hold, and what is so: job -> (token, end of its lease, attempt).
        self.believed: list[dict[str, Claim]] = [{}, {}, {}]
        self.held: dict[str, tuple[str, float]] = {}
        self.attempts: dict[str, int] = {}
        self.waiting: list[str] = []
        self.ended: dict[str, str] = {}

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    @rule()
    def add(self) -> None:
        key = add(self.store)
        self.waiting.append(key)
        self.attempts[key] = 0

    @rule(seconds=st.sampled_from([1.0, 6.0, LEASE + 0.5]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.seconds += seconds

    @rule(owner=owners)
    def claim(self, owner: int) -> None:
        own = [claim.token for claim in self.believed[owner].values()]
        left = [
            key
            for key, (token, until) in self.held.items()
            if until < self.clock.seconds and self.attempts[key] < 4 and token not in own
        ]
        free = [key for key in self.attempts if key in self.waiting or key in left]
        claim = self.store.claim(own)
        assert (claim.id if claim else None) == (free[0] if free else None)
        if claim is not None:
            self.waiting = [key for key in self.waiting if key != claim.id]
            self.attempts[claim.id] += 1
            self.held[claim.id] = (claim.token, self.clock.seconds + LEASE)
            self.believed[owner][claim.id] = claim

    @rule(owner=owners)
    def renew(self, owner: int) -> None:
        tokens = {claim.token: key for key, claim in self.believed[owner].items()}
        held = self.store.renew(dict.fromkeys(tokens, 1.0))
        assert held == {token for token, key in tokens.items() if self._holds(key, token)}
        for token in held:
            self.held[tokens[token]] = (token, self.clock.seconds + LEASE)
        self.believed[owner] = {
            key: claim for key, claim in self.believed[owner].items() if claim.token in held
        }

    @rule(owner=owners, failed=st.booleans())
    def end(self, owner: int, failed: bool) -> None:
        for key, claim in self.believed[owner].items():
            answer = {**ANSWER, "error": {"code": "corrupt", "message": claim.token} if failed else None}
            holds = self._holds(key, claim.token)
            assert self.store.end(claim.token, answer) == holds
            if holds:
                del self.held[key]
                self.ended[key] = "failed" if failed else "done"
        self.believed[owner].clear()

    @rule(owner=owners)
    def hand_back(self, owner: int) -> None:
        self.store.hand_back([claim.token for claim in self.believed[owner].values()])
        for key, claim in self.believed[owner].items():
            if self._holds(key, claim.token):
                del self.held[key]
                self.attempts[key] -= 1
                self.waiting.append(key)
        self.believed[owner].clear()

    @rule(owner=owners)
    def sweep(self, owner: int) -> None:
        own = [claim.token for claim in self.believed[owner].values()]
        self.store.sweep(own)
        for key, (token, until) in list(self.held.items()):
            if until < self.clock.seconds and self.attempts[key] >= 4 and token not in own:
                del self.held[key]
                self.ended[key] = "failed"

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        with self.database.reading() as connection:
            rows = connection.execute(select(JOBS.c.id, JOBS.c.state, JOBS.c.claim, JOBS.c.attempt)).all()
            audio = connection.execute(select(JOBS.c.id).join(AUDIO)).scalars().all()
        states = {
            **dict.fromkeys(self.waiting, "queued"), **dict.fromkeys(self.held, "running"), **self.ended,
        }  # fmt: skip
        # Ended jobs are forgotten after a while.
        found = {row.id: row.state for row in rows}
        assert found.items() <= states.items()
        assert states.keys() - found.keys() <= self.ended.keys()
        assert {row.id: row.claim for row in rows if row.claim} == {
            key: token for key, (token, _) in self.held.items()
        }
        assert all(row.attempt == self.attempts[row.id] for row in rows if row.state in ("queued", "running"))
        assert sorted(audio) == sorted([*self.waiting, *self.held])

    def _holds(self, key: str, token: str) -> bool:
        return self.held.get(key, ("", 0.0))[0] == token


Leases.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestLeases = Leases.TestCase
