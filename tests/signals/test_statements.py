"""The room's statements on the other database: they compile, and they lock what they must."""

from __future__ import annotations

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import ClauseElement
from tests.support.signal_builders import NOON

from tradewind.signals import store
from tradewind.signals.tables import inbox, sources

POSTGRES: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def written(statement: ClauseElement) -> str:
    return " ".join(str(statement.compile(dialect=POSTGRES)).split())


def test_claim_on_postgresql_passes_over_a_row_that_another_worker_is_claiming() -> None:
    text = written(store.claimable(NOON))
    assert text.endswith("FOR UPDATE SKIP LOCKED")
    assert "NOT (EXISTS" in text


def test_tables_on_postgresql_are_made_with_exact_numbers_and_zoned_times() -> None:
    text = written(CreateTable(inbox))
    assert "price NUMERIC" in text
    assert "received_at TIMESTAMP WITH TIME ZONE" in text
    assert "seq BIGSERIAL" in text
    assert "UNIQUE (source_id, dedupe_key)" in text
    assert "UNIQUE (token_hash)" in written(CreateTable(sources))
