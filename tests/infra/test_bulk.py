"""Many rows by one statement read and write exactly what SQLAlchemy's own types do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, insert, select
from tests.support.database import address

from tradewind.infra import bulk
from tradewind.infra.db import Db, Exact, Tx, UtcTime

_things = Table(
    "bulk_things",
    MetaData(),
    Column("id", String(36), primary_key=True),
    Column("amount", Exact, nullable=True),
    Column("at", UtcTime, nullable=True),
    Column("is_odd", Boolean, nullable=False),
    Column("count", Integer, nullable=False),
)
_NAMES = ("id", "amount", "at", "is_odd", "count")
_AT = datetime(2026, 11, 20, 12, 0, 0, 123_457, tzinfo=UTC)
_ROWS: list[tuple[Any, ...]] = [
    ("a", Decimal("0.000000000000000000001"), _AT, True, 1),
    ("b", None, None, False, 2),
    ("c", Decimal("-1E+3"), _AT.astimezone(timezone(timedelta(hours=9))), True, 3),
]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Db]:
    opened = Db.open(address(tmp_path / "bulk.db"))
    _things.create(opened.engine)
    yield opened
    opened.close()


def test_bulk_when_rows_are_inserted_then_both_ways_of_reading_find_the_same_values(db: Db) -> None:
    db.write_now(lambda tx: bulk.insert_rows(tx, _things, _NAMES, _ROWS))

    def read(tx: Tx) -> None:
        by_bulk = bulk.select_rows(tx, _things, _NAMES, "id", ["c", "a", "b", "nobody"])
        by_core = [tuple(row) for row in tx.execute(select(_things).order_by(_things.c.id))]
        assert by_bulk == by_core == _ROWS
        assert by_bulk[0][3] is True
        assert by_bulk[2][2].tzinfo is UTC

    db.read_now(read)


def test_bulk_when_rows_were_written_by_core_then_bulk_reads_them(db: Db) -> None:
    rows = [dict(zip(_NAMES, row, strict=True)) for row in _ROWS]
    db.write_now(lambda tx: tx.execute(insert(_things), rows))
    assert db.read_now(lambda tx: bulk.select_rows(tx, _things, _NAMES, "id", ["a", "b", "c"])) == _ROWS


def test_update_rows_when_one_key_has_moved_then_the_count_says_so(db: Db) -> None:
    db.write_now(lambda tx: bulk.insert_rows(tx, _things, _NAMES, _ROWS))
    changes = [(Decimal(5), "a", 1), (Decimal(6), "b", 99), (Decimal(7), "c", 3)]
    assert db.write_now(lambda tx: bulk.update_rows(tx, _things, ("amount",), ("id", "count"), changes)) == 2
    assert db.read_now(lambda tx: bulk.select_rows(tx, _things, ("amount",), "id", ["a", "b", "c"])) == [
        (Decimal(5),),
        (None,),
        (Decimal(7),),
    ]


def test_update_rows_when_many_change_at_once_then_each_has_its_own_values(db: Db) -> None:
    before = [(f"k{number}", None, None, False, number) for number in range(20)]
    after = [(f"k{number}", *_ROWS[number % 3][1:4], number) for number in range(20)]
    db.write_now(lambda tx: bulk.insert_rows(tx, _things, _NAMES, before))
    changes = [(amount, at, is_odd, key, count) for key, amount, at, is_odd, count in after]
    names, keys = ("amount", "at", "is_odd"), ("id", "count")
    assert db.write_now(lambda tx: bulk.update_rows(tx, _things, names, keys, changes)) == 20
    found = db.read_now(lambda tx: bulk.select_rows(tx, _things, _NAMES, "id", [row[0] for row in after]))
    assert found == sorted(after)


def test_count_up_when_some_rows_are_missing_then_the_others_are_counted(db: Db) -> None:
    db.write_now(lambda tx: bulk.insert_rows(tx, _things, _NAMES, _ROWS))
    assert db.write_now(lambda tx: bulk.count_up(tx, _things, "count", "id", ["a", "c", "nobody"])) == 2
    assert db.read_now(lambda tx: bulk.select_rows(tx, _things, ("count",), "id", ["a", "b", "c"])) == [
        (2,),
        (2,),
        (4,),
    ]


@pytest.mark.parametrize("value", [1.5, "1"])
def test_bulk_when_an_amount_is_no_decimal_then_nothing_is_written(db: Db, value: object) -> None:
    with pytest.raises(TypeError):
        db.write_now(lambda tx: bulk.insert_rows(tx, _things, _NAMES, [("a", value, None, True, 1)]))


def test_bulk_when_a_time_has_no_zone_then_nothing_is_written(db: Db) -> None:
    with pytest.raises(ValueError, match="zone"):
        db.write_now(lambda tx: bulk.insert_rows(tx, _things, _NAMES, [("a", None, _AT.replace(tzinfo=None), True, 1)]))


def test_bulk_when_there_are_no_rows_then_nothing_is_asked(db: Db) -> None:
    assert db.write_now(lambda tx: bulk.update_rows(tx, _things, ("amount",), ("id",), [])) == 0
    assert db.read_now(lambda tx: bulk.select_rows(tx, _things, _NAMES, "id", [])) == []
