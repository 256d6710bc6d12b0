"""Rows that cannot be read never hide the rows beside them.

A row may have been written by a later release, repaired by hand, or damaged. Where many are read for many people, one
such row is told apart by its key and the others go on. The common case costs one query and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Column, Row, Select

from tradewind.core.errors import InvalidInput
from tradewind.infra.db import Tx
from tradewind.infra.log import logger

_log = logger("infra.salvage")

T = TypeVar("T")

# What reading a value can raise: words nobody knows, numbers that are none, JSON that is none, rules that are broken.
_UNREADABLE = (ValueError, LookupError, TypeError, ArithmeticError, msgspec.MsgspecError, InvalidInput)


@dataclass(slots=True)
class Salvaged(Generic[T]):
    """What could be read, in the order of the query, and the keys of rows that could not, each with why."""

    found: list[T] = field(default_factory=list)
    broken: dict[Any, str] = field(default_factory=dict)


def salvage(tx: Tx, query: Select[Any], key: Column[Any], read: Callable[[Row[Any]], T]) -> Salvaged[T]:
    """Read every row of a query that can be read; `key` names a row and is itself always readable."""
    try:
        return Salvaged([read(row) for row in tx.execute(query)])
    except _UNREADABLE:
        return _one_by_one(tx, query, key, read)


def _one_by_one(tx: Tx, query: Select[Any], key: Column[Any], read: Callable[[Row[Any]], T]) -> Salvaged[T]:
    result: Salvaged[T] = Salvaged()
    for name in list(tx.execute(query.with_only_columns(key)).scalars()):
        try:
            result.found.append(read(tx.execute(query.where(key == name)).one()))
        except _UNREADABLE as error:
            result.broken[name] = type(error).__name__
    _log.error("infra.salvage.unreadable", table=key.table.name, rows=result.broken)
    return result
