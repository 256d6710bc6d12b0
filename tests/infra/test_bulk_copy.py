"""Many rows at once, by COPY where there is one, are the same rows as one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table, Text, insert, select
from sqlalchemy.exc import DataError, IntegrityError, StatementError
from tests.support.database import address

from tradewind.infra.bulk import insert_rows
from tradewind.infra.db import Db, Exact, Tx, UtcTime

_tables = MetaData()


def _table(name: str) -> Table:
    return Table(
        name,
        _tables,
        Column("id", Integer, primary_key=True),
        Column("text", String(5)),
        Column("long", Text),
        Column("whole", BigInteger),
        Column("is_so", Boolean),
        Column("raw", LargeBinary),
        Column("amount", Exact, nullable=True),
        Column("at", UtcTime, nullable=True),
    )


_one_by_one, _at_once = _table("one_by_one"), _table("at_once")


def _insert(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    names = list(rows[0]) if rows else ["id"]
    insert_rows(tx, _at_once, names, [tuple(row[name] for name in names) for row in rows])


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    db = Db.open(address(tmp_path / "x.db"))
    _tables.create_all(db.engine)
    yield db
    db.close()


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
_rows = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | _texts,
            "long": st.none() | st.sampled_from(["", "\\N", "\\.", "a\tb\nc\r\\", "NULL", "한국어 🙂"]),
            "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
            "is_so": st.none() | st.booleans(),
            "raw": st.none() | st.binary(max_size=20),
            "amount": st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=18, max_value=10**20),
            "at": st.none() | st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - zone is added
        }
    ),
    max_size=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(_rows)
def test_insert_rows_when_compared_with_inserts_then_the_rows_are_equal(db: Db, rows: list[dict[str, Any]]) -> None:
    numbered = [{"id": number, **row} for number, row in enumerate(rows)]

    def work(tx: Tx) -> tuple[list[Any], list[Any]]:
        for table in (_one_by_one, _at_once):
            tx.execute(table.delete())
        for row in numbered:
            tx.execute(insert(_one_by_one).values(**row))
        _insert(tx, numbered)
        return tuple(  # type: ignore[return-value]
            [tuple(row) for row in tx.execute(select(table).order_by(table.c.id))] for table in (_one_by_one, _at_once)
        )

    expected, found = db.write_now(work)
    assert found == expected
    assert len(found) == len(rows)


@pytest.mark.parametrize("amount", ["1E-8", "1E+30", "0", "-0.10", "123456789012345678901234567890.000000001"])
def test_insert_rows_when_amounts_are_extreme_then_come_back_digit_for_digit(db: Db, amount: str) -> None:
    rows = [{"id": number, "amount": Decimal(amount)} for number in range(20)]
    db.write_now(lambda tx: _insert(tx, rows))
    found = db.read_now(lambda tx: tx.execute(select(_at_once.c.amount)).scalars().all())
    assert {format(value, "f") for value in found} == {format(Decimal(amount), "f")}


def test_insert_rows_when_one_row_exists_then_none_is_kept_and_the_values_are_not_told(db: Db) -> None:
    rows = [{"id": number, "text": f"secret-{number}"} for number in range(20)]
    db.write_now(lambda tx: _insert(tx, rows[:1]))
    with pytest.raises(IntegrityError) as caught:
        db.write_now(lambda tx: _insert(tx, rows))
    assert "secret-0" not in str(caught.value)
    assert "(0)" not in str(caught.value)
    assert len(db.read_now(lambda tx: tx.execute(select(_at_once)).all())) == 1


@pytest.mark.parametrize("amount", [0.1, Decimal("NaN"), Decimal("Infinity")])
def test_insert_rows_when_a_value_is_no_exact_number_then_is_refused(db: Db, amount: Any) -> None:
    rows = [{"id": number, "amount": amount} for number in range(20)]
    with pytest.raises((StatementError, TypeError, ValueError)):
        db.write_now(lambda tx: _insert(tx, rows))
    assert db.read_now(lambda tx: tx.execute(select(_at_once)).all()) == []


@pytest.mark.database("postgresql")
def test_insert_rows_when_the_server_refuses_a_value_then_it_is_a_data_error_and_the_next_write_works(
    tmp_path: Path, db: Db
) -> None:
    rows = [{"id": number, "whole": 2**80} for number in range(20)]
    with pytest.raises(DataError):
        db.write_now(lambda tx: _insert(tx, rows))
    moment = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(microseconds=1)
    db.write_now(lambda tx: _insert(tx, [{"id": number, "at": moment} for number in range(20)]))
    assert db.read_now(lambda tx: tx.execute(select(_at_once.c.at)).scalars().first()) == moment
