"""Every table can be made at PostgreSQL too, and says the same there."""

from __future__ import annotations

import pytest
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable
from tests.support.db import load_tables

from tradewind.infra.db import Exact, UtcTime, metadata

load_tables()
_TABLES = list(metadata.sorted_tables)
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("table", _TABLES, ids=lambda table: str(table.name))
def test_table_when_made_at_postgresql_then_numbers_and_times_have_its_own_types(table: Table) -> None:
    text = str(CreateTable(table).compile(dialect=_DIALECT))
    for column in table.columns:
        line = next(
            line for line in text.splitlines() if line.strip().startswith((f"{column.name} ", f'"{column.name}" '))
        )
        if isinstance(column.type, Exact):
            assert "NUMERIC" in line
        if isinstance(column.type, UtcTime):
            assert "TIMESTAMP WITH TIME ZONE" in line


@pytest.mark.parametrize("table", _TABLES, ids=lambda table: str(table.name))
def test_index_when_made_at_postgresql_then_its_condition_is_kept_and_its_name_fits(table: Table) -> None:
    for index in table.indexes:
        text = str(CreateIndex(index).compile(dialect=_DIALECT))
        is_partial = index.dialect_options["sqlite"]["where"] is not None
        assert ("WHERE" in text) == is_partial
        # PostgreSQL cuts longer names off, and two could become one.
        assert len(str(index.name)) <= 63
