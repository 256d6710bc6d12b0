"""The database's edge: transactions, exact columns, doubt, one owner."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, event, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from tests.support.database import address

from tradewind.core.errors import Conflict, InvalidInput
from tradewind.infra.db import CommitInDoubt, Db, Exact, Tx, UtcTime
from tradewind.infra.db_soundness import integrity_problem
from tradewind.infra.db_sqlite import OwnerLock

_tables = MetaData()
_things = Table(
    "things",
    _tables,
    Column("id", Integer, primary_key=True),
    Column("amount", Exact, nullable=True),
    Column("at", UtcTime, nullable=True),
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    db = Db.open(address(tmp_path / "x.db"))
    _tables.create_all(db.engine)
    yield db
    db.close()


def _add(tx: Tx, **values: object) -> None:
    tx.execute(insert(_things).values(**values))


def _count(tx: Tx) -> int:
    return int(tx.execute(select(func.count()).select_from(_things)).scalar_one())


async def test_write_when_work_returns_then_it_is_committed(db: Db) -> None:
    await db.write(lambda tx: _add(tx, id=1))
    assert await db.read(_count) == 1


async def test_read_when_the_database_is_closed_then_is_refused_and_opens_nothing(tmp_path: Path) -> None:
    db = Db.open(address(tmp_path / "closed.db"))
    db.write_now(lambda tx: tx.execute(text("SELECT 1")))
    db.close()
    for call in (db.read_now, db.write_now):
        with pytest.raises(RuntimeError, match="closed"):
            call(lambda tx: tx.execute(text("SELECT 1")).scalar_one())


async def test_write_when_work_raises_then_nothing_is_kept_and_the_error_comes_through(db: Db) -> None:
    def work(tx: Tx) -> None:
        _add(tx, id=1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await db.write(work)
    assert await db.read(_count) == 0


async def test_write_when_a_constraint_is_violated_then_the_next_write_works(db: Db) -> None:
    await db.write(lambda tx: _add(tx, id=1))
    with pytest.raises(IntegrityError):
        await db.write(lambda tx: _add(tx, id=1))
    await db.write(lambda tx: _add(tx, id=2))
    assert await db.read(_count) == 2


async def test_write_when_a_statement_fails_then_its_values_are_not_in_the_error(db: Db) -> None:
    amount = Decimal("31415926.5358")
    await db.write(lambda tx: _add(tx, id=1))
    with pytest.raises(IntegrityError) as caught:
        await db.write(lambda tx: _add(tx, id=1, amount=amount))
    assert str(amount) not in str(caught.value)


async def test_write_when_many_at_once_then_each_is_one_transaction(db: Db) -> None:
    def work(tx: Tx) -> None:
        number = _count(tx)
        _add(tx, id=number)

    await asyncio.gather(*(db.write(work) for _ in range(50)))
    assert await db.read(_count) == 50


async def test_read_when_it_writes_then_it_is_refused(db: Db) -> None:
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        await db.read(lambda tx: _add(tx, id=1))


async def test_read_when_a_write_commits_meanwhile_then_sees_one_moment(db: Db) -> None:
    started, go_on = threading.Event(), threading.Event()

    def look_twice(tx: Tx) -> tuple[int, int]:
        first = _count(tx)
        started.set()
        assert go_on.wait(5)
        return first, _count(tx)

    reading = asyncio.create_task(db.read(look_twice))
    assert await asyncio.to_thread(started.wait, 5)
    await db.write(lambda tx: _add(tx, id=1))
    go_on.set()
    assert await reading == (0, 0)
    assert await db.read(_count) == 1


async def test_read_when_it_fails_half_way_then_the_next_read_sees_what_was_written_since(db: Db) -> None:
    """product.md S5: a signal that cannot be read must not freeze what its neighbours read."""
    await db.write(lambda tx: tx.execute(insert(_things), [{"id": number} for number in range(1, 6)]))
    kept: list[Exception] = []

    def read_row(number: int) -> int:
        if number == 2:
            raise KeyError("a row nobody can read")
        return number

    def stumble(tx: Tx) -> list[int]:
        return [read_row(number) for number in tx.execute(select(_things.c.id).order_by(_things.c.id)).scalars()]

    for _ in range(4):
        try:
            await db.read(stumble)
        except KeyError as error:
            # Held on to, as a log or an open handler does: its frames keep the half-read result alive.
            kept.append(error)
    await db.write(lambda tx: _add(tx, id=9))
    assert [await db.read(_count) for _ in range(4)] == [6] * 4
    assert len(kept) == 4


async def test_after_commit_when_the_write_fails_then_is_not_called(db: Db) -> None:
    calls: list[str] = []
    db.after_commit(lambda: calls.append("committed"))

    def fail(tx: Tx) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await db.write(fail)
    assert calls == []
    await db.write(lambda tx: _add(tx, id=1))
    assert calls == ["committed"]


async def test_fault_68_write_when_the_commit_fails_then_it_is_in_doubt_and_told(db: Db) -> None:
    """order-protocol.md section 3."""
    told: list[str] = []
    db.on_doubt = lambda: told.append("doubt")

    @event.listens_for(db.engine, "commit")
    def _fail(_connection: object) -> None:
        raise OSError("disk I/O error")

    with pytest.raises(CommitInDoubt):
        await db.write(lambda tx: _add(tx, id=1))
    assert told == ["doubt"]


async def test_write_when_its_caller_is_cancelled_then_the_transaction_still_ends(db: Db) -> None:
    started, go_on = threading.Event(), threading.Event()

    def work(tx: Tx) -> None:
        _add(tx, id=1)
        started.set()
        assert go_on.wait(5)

    writing = asyncio.create_task(db.write(work))
    assert await asyncio.to_thread(started.wait, 5)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    go_on.set()
    await db.write(lambda tx: _add(tx, id=2))
    assert await db.read(_count) == 2


async def test_after_commit_when_the_caller_was_cancelled_then_is_called_all_the_same(db: Db) -> None:
    """Whoever waits for news (outbox, worker, high-water mark) must hear of what nobody waits for any more."""
    started, go_on, heard = threading.Event(), threading.Event(), asyncio.Event()
    db.after_commit(heard.set)

    def work(tx: Tx) -> None:
        _add(tx, id=1)
        started.set()
        assert go_on.wait(20)

    writing = asyncio.create_task(db.write(work))
    assert await asyncio.to_thread(started.wait, 20)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not heard.is_set()
    go_on.set()
    await asyncio.wait_for(heard.wait(), 20)
    assert await db.read(_count) == 1


@pytest.mark.database("sqlite")
def test_fault_12_settings_when_opened_then_nothing_acknowledged_is_lost_with_the_power(db: Db) -> None:
    def pragma(tx: Tx, name: str) -> object:
        return tx.execute(text(f"PRAGMA {name}")).scalar_one()

    assert db.write_now(lambda tx: pragma(tx, "synchronous")) == 2
    assert db.write_now(lambda tx: pragma(tx, "journal_mode")) == "wal"
    assert db.write_now(lambda tx: pragma(tx, "foreign_keys")) == 1


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "postgresql://x/", "nonsense", "mysql://x/y"])
def test_open_when_the_address_is_no_file_then_is_refused_in_words(url: str) -> None:
    with pytest.raises(InvalidInput):
        Db.open(url)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=18))
def test_exact_when_stored_then_comes_back_digit_for_digit(db: Db, value: Decimal) -> None:
    def work(tx: Tx) -> Decimal:
        tx.execute(_things.delete())
        _add(tx, id=1, amount=value)
        found: Decimal = tx.execute(select(_things.c.amount)).scalar_one()
        return found

    found = db.write_now(work)
    assert found == value
    assert isinstance(found, Decimal)


def test_exact_when_given_a_float_then_is_refused(db: Db) -> None:
    with pytest.raises(StatementError, match="Decimal"):
        db.write_now(lambda tx: _add(tx, id=1, amount=0.1))


_TIMES = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001 - zone is added


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(_TIMES, st.sampled_from([0, 9, -5]))
def test_utc_time_when_stored_then_comes_back_to_the_microsecond(db: Db, naive: datetime, hours: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=hours)))

    def work(tx: Tx) -> datetime:
        tx.execute(_things.delete())
        _add(tx, id=1, at=moment)
        found: datetime = tx.execute(select(_things.c.at)).scalar_one()
        return found

    found = db.write_now(work)
    assert found == moment
    assert found.tzinfo is UTC


def test_utc_time_when_compared_in_sql_then_sorts_by_instant(db: Db) -> None:
    noon = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def work(tx: Tx) -> list[int]:
        for number in range(3):
            _add(tx, id=number, at=noon + timedelta(microseconds=number))
        later = select(_things.c.id).where(_things.c.at > noon).order_by(_things.c.at.desc())
        return list(tx.execute(later).scalars())

    assert db.write_now(work) == [2, 1]


def test_utc_time_when_the_zone_is_missing_then_is_refused(db: Db) -> None:
    with pytest.raises(StatementError, match="zone"):
        db.write_now(lambda tx: _add(tx, id=1, at=datetime(2026, 1, 1)))  # noqa: DTZ001 - the mistake itself


def test_integrity_when_the_file_is_whole_then_is_no_problem(db: Db) -> None:
    db.write_now(lambda tx: _add(tx, id=1))
    assert integrity_problem(db) is None


def test_owner_lock_when_held_then_the_second_is_refused_naming_the_process(tmp_path: Path) -> None:
    first, second = OwnerLock(tmp_path / "x.lock"), OwnerLock(tmp_path / "x.lock")
    first.acquire()
    with pytest.raises(Conflict, match=r"process \d+"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
    second.release()
