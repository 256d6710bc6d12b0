"""A backup of a database and putting it back: every row of every table, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scripts.new_migration import all_tables
from sqlalchemy import delete, func, insert, select, text

from tradewind.infra.db import Db, Tx


@dataclass(frozen=True)
class Backup:
    """The rows of a database at one moment, by table."""

    rows: dict[str, list[dict[str, Any]]]

    @classmethod
    def take(cls, url: str) -> Backup:
        """Read everything, from one snapshot."""
        db = Db.open(url)
        try:
            return cls(db.read_now(_all_rows))
        finally:
            db.close()

    def put_back(self, url: str) -> None:
        """Replace everything by what was there then; numbers are given out from there on again, too."""
        db = Db.open(url)
        try:
            db.write_now(self._replace)
        finally:
            db.close()

    def _replace(self, tx: Tx) -> None:
        tables = all_tables().sorted_tables
        for table in reversed(tables):
            tx.execute(delete(table))
        for table in tables:
            if self.rows[table.name]:
                tx.execute(insert(table), self.rows[table.name])
            if tx.dialect.name == "postgresql" and "seq" in table.c:
                highest = tx.execute(select(func.max(table.c.seq))).scalar()
                sequence = tx.execute(
                    text("SELECT pg_get_serial_sequence(:name, 'seq')"), {"name": table.name}
                ).scalar()
                if sequence is not None:
                    tx.execute(text("SELECT setval(:name, :value, true)"), {"name": sequence, "value": highest or 1})


def _all_rows(tx: Tx) -> dict[str, list[dict[str, Any]]]:
    return {
        table.name: [dict(row._mapping) for row in tx.execute(select(table))] for table in all_tables().sorted_tables
    }
