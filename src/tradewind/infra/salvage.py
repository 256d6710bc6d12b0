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

# Broken rows named in the log; the others are counted.
_SHOWN_MAX = 20

# What reading a value can raise: words nobody knows, numbers that are none, JSON that is none, rules that are broken.
UNREADABLE = (ValueError, LookupError, TypeError, ArithmeticError, msgspec.MsgspecError, InvalidInput)


@dataclass(slots=True)
class Salvaged(Generic[T]):
    """What could be read, in the order of the query, and the keys of rows that could not, each with why."""

    found: list[T] = field(default_factory=list)
    broken: dict[Any, str] = field(default_factory=dict)


def salvage(tx: Tx, query: Select[Any], key: Column[Any], read: Callable[[Row[Any]], T]) -> Salvaged[T]:
    """Read every row of a query that can be read; `key` names a row and is itself always readable."""
    try:
        return Salvaged([read(row) for row in tx.execute(query)])
    except UNREADABLE:
        return _one_by_one(tx, query, key, read)


def _one_by_one(tx: Tx, query: Select[Any], key: Column[Any], read: Callable[[Row[Any]], T]) -> Salvaged[T]:
    """Halve what cannot be read until the broken rows stand alone: one among thousands costs a few queries."""
    result: Salvaged[T] = Salvaged()
    parts = [list(tx.execute(query.with_only_columns(key)).scalars())]
    while parts:
        names = parts.pop()
        try:
            result.found += [read(row) for row in tx.execute(query.where(key.in_(names)))]
        except UNREADABLE as error:
            if len(names) == 1:
                result.broken[names[0]] = type(error).__name__
            else:
                half = len(names) // 2
                parts += [names[half:], names[:half]]
    shown = dict(list(result.broken.items())[:_SHOWN_MAX])
    _log.error("infra.salvage.unreadable", table=key.table.name, rows=shown, count=len(result.broken))
    return result
