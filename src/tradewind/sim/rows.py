"""Values to database rows and back: flat dataclasses by their field types, order lists as JSON.

Decimals are stored as text exactly as they are (SQL never calculates with them), enums by value, booleans as 0 or 1.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from tradewind.sim.types import ListMember, ListOrderStatus, ListStatusType, OrderList

T = TypeVar("T")
SqlValue = str | int | None


class RowCodec(Generic[T]):
    """Table, insert statement and conversions of one flat dataclass; `extra` are leading columns of whole numbers."""

    def __init__(self, table: str, key: str, cls: type[T], extra: tuple[str, ...] = ()) -> None:
        hints = get_type_hints(cls)
        self._cls = cls
        self._names = tuple(f.name for f in fields(cls))  # type: ignore[arg-type]  # T is always a dataclass here
        kinds = [_kind(hints[name]) for name in self._names]
        self._is_text = tuple(issubclass(kind, (str, Decimal)) for kind in kinds)
        self._readers = tuple(_reader(kind) for kind in kinds)
        self._extra = len(extra)
        columns = (*extra, *self._names)
        declared = [
            f"{name} {'INTEGER PRIMARY KEY' if name == key else 'TEXT' if is_text else 'INTEGER'}"
            for name, is_text in zip(columns, (*(False for _ in extra), *self._is_text), strict=True)
        ]
        self.create = f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(declared)})"
        marks = ", ".join("?" * len(columns))
        self.insert = f"INSERT OR REPLACE INTO {table} VALUES ({marks})"  # noqa: S608 - constants of this package
        self._select = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key}"  # noqa: S608 - constants of this package

    def encode(self, value: T) -> tuple[SqlValue, ...]:
        """One row's values, without the extra columns."""
        return tuple(
            _text(getattr(value, name)) if is_text else getattr(value, name)
            for name, is_text in zip(self._names, self._is_text, strict=True)
        )

    def select(self, db: sqlite3.Connection) -> Iterator[tuple[T, tuple[int, ...]]]:
        """All rows in key order: the value and its extra columns."""
        for row in db.execute(self._select):
            values = (
                None if raw is None else read(raw) for raw, read in zip(row[self._extra :], self._readers, strict=True)
            )
            yield self._cls(*values), row[: self._extra]


def encode_list(value: OrderList) -> str:
    """Write an order list as JSON."""
    return json.dumps(asdict(value))


def decode_list(body: str) -> OrderList:
    """Read an order list from JSON; the inverse of `encode_list`."""
    parts = json.loads(body)
    parts["members"] = tuple(ListMember(*member) for member in parts["members"])
    parts["status_type"] = ListStatusType(parts["status_type"])
    parts["order_status"] = ListOrderStatus(parts["order_status"])
    return OrderList(**parts)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _kind(hint: Any) -> type:
    options = [kind for kind in get_args(hint) if kind is not type(None)]
    kind: type = options[0] if options else hint
    if not issubclass(kind, (str, int, Decimal)):
        raise TypeError(f"a row cannot hold {kind}")
    return kind


def _reader(kind: type) -> Callable[[Any], object]:
    return kind if issubclass(kind, (StrEnum, Decimal, bool)) else lambda raw: raw
