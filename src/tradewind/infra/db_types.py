"""What the tables are made of, the same at SQLite and PostgreSQL: metadata, exact numbers, times, texts.

Texts compare by their bytes at both (SQLite does by itself, PostgreSQL is told with COLLATE "C"), and neither
cuts or refuses a long one: a venue's wordy reason must not turn a fact into one that cannot be stored. Lengths
that matter are checked where a value comes in.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Numeric, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

from tradewind.infra.clock import from_ms

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Exact(TypeDecorator[Decimal]):
    """A Decimal, exact: NUMERIC at PostgreSQL, text at SQLite. Never compared or summed in SQL."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(asdecimal=True))
        return dialect.type_descriptor(String(64))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Write exactly; a float is an error of ours, and so is what is no number."""
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"an Exact column takes Decimal, got {type(value).__name__}")
        if not value.is_finite():
            raise ValueError(f"an Exact column takes numbers, got {value}")
        return value if dialect.name == "postgresql" else format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Read exactly."""
        return None if value is None else Decimal(value)


class UtcTime(TypeDecorator[datetime]):
    """A UTC time: timestamptz at PostgreSQL, integer microseconds at SQLite (they sort and compare)."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column type of the dialect."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse a time without zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone is not a time")
        if dialect.name == "postgresql":
            return value
        moment = value.astimezone(UTC)
        return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return a UTC-aware time."""
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return from_ms(value // 1_000).replace(microsecond=value % 1_000_000)


@compiles(String, "postgresql")
def _text_at_postgresql(_type: String, _compiler: Any, **context: Any) -> str:
    return _by_bytes("VARCHAR", context)


@compiles(Text, "postgresql")
def _long_text_at_postgresql(_type: Text, _compiler: Any, **context: Any) -> str:
    return _by_bytes("TEXT", context)


def _by_bytes(name: str, context: dict[str, Any]) -> str:
    """Name the type, in the definition of a column with its collation; a cast takes none."""
    return f'{name} COLLATE "C"' if isinstance(context.get("type_expression"), Column) else name
