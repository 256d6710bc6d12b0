"""PostgreSQL behind the same doors: connections that die, a server that goes, an owner that is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from tests.support.database import address, started_server

from tradewind.core.errors import Conflict
from tradewind.demo.private_postgresql import PrivatePostgreSQL
from tradewind.infra.db import CommitInDoubt, Db, OwnerLost, TransactionBroken, Tx
from tradewind.infra.db_errors import is_passing

pytestmark = pytest.mark.database("postgresql")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return address(tmp_path / "x.db")


@pytest.fixture
def db(url: str) -> Iterator[Db]:
    db = Db.open(url)
    db.write_now(lambda tx: tx.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)")))
    yield db
    db.close()


@pytest.fixture
def server() -> Iterator[PrivatePostgreSQL]:
    server = started_server()
    yield server
    server.remove()


def _add(tx: Tx, number: int) -> None:
    tx.execute(text("INSERT INTO things VALUES (:number)"), {"number": number})


def _all(tx: Tx) -> list[int]:
    return list(tx.execute(text("SELECT id FROM things ORDER BY id")).scalars())


def _pid(tx: Tx) -> int:
    return int(tx.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _end_session(url: str, pid: int) -> None:
    other = Db.open(url)
    other.write_now(lambda tx: tx.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}))
    other.close()


def test_write_when_its_idle_connection_was_ended_then_is_done_on_a_new_one(db: Db, url: str) -> None:
    _end_session(url, db.write_now(_pid))
    _end_session(url, db.read_now(_pid))
    db.write_now(lambda tx: _add(tx, 1))
    assert db.read_now(_all) == [1]


def test_write_when_the_connection_dies_before_commit_then_nothing_is_kept_and_it_is_a_passing_error(
    db: Db, url: str
) -> None:
    told: list[str] = []
    db.on_doubt = lambda: told.append("doubt")

    def work(tx: Tx) -> None:
        _add(tx, 1)
        # Terminating oneself: the server's side of the connection is gone before COMMIT is sent.
        tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(DBAPIError) as caught:
        db.write_now(work)
    assert is_passing(caught.value)
    assert not isinstance(caught.value, CommitInDoubt)
    assert told == []
    db.write_now(lambda tx: _add(tx, 2))
    assert db.read_now(_all) == [2]


@pytest.mark.parametrize("is_executed", [True, False])
def test_write_when_the_answer_to_commit_is_lost_then_it_is_in_doubt_either_way(
    db: Db, url: str, is_executed: bool
) -> None:
    """order-protocol.md section 3: a failed commit means stop, exit, recover from disk."""
    told: list[str] = []
    db.on_doubt = lambda: told.append("doubt")

    @event.listens_for(db.engine, "commit")
    def _lose_the_answer(connection: Tx) -> None:
        raw: Any = connection.connection.dbapi_connection
        if is_executed:
            raw.execute("COMMIT")
        raw.pgconn.finish()

    with pytest.raises(CommitInDoubt):
        db.write_now(lambda tx: _add(tx, 1))
    assert told == ["doubt"]
    event.remove(db.engine, "commit", _lose_the_answer)
    assert db.read_now(_all) == ([1] if is_executed else [])


def test_write_when_work_goes_on_after_a_failed_statement_then_nothing_is_called_committed(db: Db) -> None:
    def work(tx: Tx) -> None:
        _add(tx, 1)
        with contextlib.suppress(DBAPIError):
            _add(tx, 1)

    with pytest.raises(TransactionBroken):
        db.write_now(work)
    assert db.read_now(_all) == []


async def test_write_when_two_processes_write_then_each_sees_all_that_was_committed_before(db: Db, url: str) -> None:
    other = Db.open(url)

    def count_up(tx: Tx) -> None:
        found = _all(tx)
        _add(tx, len(found))

    # Each numbers by what it has read: without one writer at a time two would choose the same number.
    await asyncio.gather(*(each.write(count_up) for each in (db, other) for _ in range(30)))
    other.close()
    assert db.read_now(_all) == list(range(60))


def test_owner_when_its_session_was_ended_then_has_the_lock_again_before_it_writes(url: str) -> None:
    owner = Db.open(url, is_owner=True)
    _end_session(url, owner.write_now(_pid))
    owner.write_now(_pid)
    with pytest.raises(Conflict, match="runs on this database"):
        Db.open(url, is_owner=True).write_now(_pid)
    owner.close()


def test_owner_when_the_one_before_is_just_leaving_then_it_is_waited_for(url: str) -> None:
    """A process that has ended holds its lock until the server has seen it; a start right after it is no mistake."""
    first = Db.open(url, is_owner=True)
    before = first.write_now(_pid)
    leaving = threading.Timer(0.3, first.close)
    leaving.start()
    second = Db.open(url, is_owner=True)
    try:
        assert second.write_now(_pid) != before
    finally:
        leaving.join()
        second.close()


def test_owner_when_another_has_taken_over_then_can_write_no_more_and_is_told_to_end(db: Db, url: str) -> None:
    """order-protocol.md section 8: a paused owner that wakes cannot claim."""
    told: list[str] = []
    first = Db.open(url, is_owner=True)
    first.on_doubt = lambda: told.append("doubt")
    _end_session(url, first.write_now(_pid))
    second = Db.open(url, is_owner=True)
    second.write_now(lambda tx: _add(tx, 2))
    with pytest.raises(OwnerLost):
        first.write_now(lambda tx: _add(tx, 1))
    assert told == ["doubt"]
    assert db.read_now(_all) == [2]
    first.close()
    second.close()


async def test_fault_71_server_when_killed_and_restarted_then_writes_wait_and_every_answer_was_true(
    server: PrivatePostgreSQL,
) -> None:
    db = Db.open(server.make_database("load"))
    db.write_now(lambda tx: tx.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)")))
    confirmed: set[int] = set()
    undone: set[int] = set()
    doubtful: set[int] = set()
    lasting: list[DBAPIError] = []

    async def load(first: int) -> None:
        for number in range(first, first + 400):
            try:
                await db.write(lambda tx, number=number: _add(tx, number))  # type: ignore[misc]  # bound at once
                confirmed.add(number)
            except CommitInDoubt:
                doubtful.add(number)
            except DBAPIError as error:
                (undone if is_passing(error) else doubtful).add(number)
                lasting.extend([] if is_passing(error) else [error])

    tasks = [asyncio.create_task(load(lane * 1_000)) for lane in range(4)]
    while len(confirmed) < 100:  # noqa: ASYNC110 - the lanes have no event for it
        await asyncio.sleep(0.001)
    server.kill()
    await asyncio.sleep(0.3)
    assert db.away_s > 0
    await asyncio.to_thread(server.start)
    await asyncio.gather(*tasks)
    found = set(db.read_now(_all))
    db.close()
    assert lasting == []
    assert confirmed <= found
    assert not undone & found
    assert found <= confirmed | doubtful
    assert len(confirmed) > 1_000
    assert db.away_s == 0


def test_fault_72_owner_when_a_standby_that_lacks_the_last_writes_took_over_then_ends_before_it_writes(
    server: PrivatePostgreSQL,
) -> None:
    """order-protocol.md section 9: what was confirmed may be gone, so the process ends and the next start compares."""
    url = server.make_database("mine")
    data = server.folder / "data"
    server.stop()
    _copy(data, server.folder / "standby")
    server.start()
    told: list[str] = []
    owner = Db.open(url, is_owner=True)
    owner.on_doubt = lambda: told.append("doubt")
    owner.write_now(lambda tx: tx.execute(text("CREATE TABLE things (id INTEGER PRIMARY KEY)")))
    server.stop()
    data.rename(server.folder / "former")
    _copy(server.folder / "standby", data)
    (data / "standby.signal").touch()
    server.start()
    server.run("SELECT pg_promote()")
    with pytest.raises(OwnerLost, match="history"):
        owner.write_now(_pid)
    assert told == ["doubt"]
    assert owner.is_history_replaced
    owner.close()


def _copy(source: Path, target: Path) -> None:
    # With its owner: a server never runs on files of somebody else.
    subprocess.run(["cp", "-a", source, target], check=True)


def test_read_when_asked_then_sees_one_moment_and_cannot_write(db: Db) -> None:
    def look(tx: Tx) -> tuple[str, str]:
        names = ("transaction_isolation", "transaction_read_only")
        return tuple(tx.execute(text(f"SHOW {name}")).scalar_one() for name in names)

    assert db.read_now(look) == ("repeatable read", "on")


def test_session_when_opened_then_every_wait_has_an_end(db: Db) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    def look(tx: Tx) -> dict[str, str]:
        return {name: str(tx.execute(text(f"SHOW {name}")).scalar_one()) for name in names}

    shown = db.read_now(look)
    assert all(shown[name] not in ("", "0") for name in names)
