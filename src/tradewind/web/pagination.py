"""Pages by cursor: stable while rows are added, and opaque so that nobody builds on its inside.

A cursor holds the sort values of the last row seen; the next page asks for rows after them. It is no
secret and no permission: every query is scoped by user anyway.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec
from fastapi import Depends, Query

from tradewind.core.errors import InvalidInput

T = TypeVar("T")

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000
_CURSOR_CHARS_MAX = 512
CursorValue = str | int
_decoder = msgspec.json.Decoder(tuple[CursorValue, ...])


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is wanted: after these sort values (None: from the start), at most `limit` rows."""

    limit: int = LIMIT_DEFAULT
    after: tuple[CursorValue, ...] | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page; `next_cursor` is None on the last one."""

    items: list[T]
    next_cursor: str | None


def encode_cursor(*values: CursorValue) -> str:
    """Write sort values as a cursor."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode("ascii").rstrip("=")


def decode_cursor(cursor: str, *, parts: int | None = None) -> tuple[CursorValue, ...]:
    """Read a cursor of ours. Raises InvalidInput for anything else."""
    wrong = InvalidInput("bad_cursor", "The cursor is not one that was handed out. Start without one.")
    if len(cursor) > _CURSOR_CHARS_MAX or not cursor.isascii():
        raise wrong
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = _decoder.decode(raw)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise wrong from None
    if not values or (parts is not None and len(values) != parts):
        raise wrong
    return values


def page_request(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="rows per page")] = LIMIT_DEFAULT,
    cursor: Annotated[
        str | None, Query(max_length=_CURSOR_CHARS_MAX, description="`next_cursor` of the page before")
    ] = None,
) -> PageRequest:
    """FastAPI dependency: `limit` (1..1000, default 100) and `cursor`."""
    return PageRequest(limit, None if cursor is None else decode_cursor(cursor))


PageQuery = Annotated[PageRequest, Depends(page_request)]


def page_of(rows: Sequence[T], limit: int, key: Callable[[T], tuple[CursorValue, ...]]) -> Page[T]:
    """Cut a page out of at most `limit + 1` rows; ask the store for one more than you show."""
    shown = list(rows[:limit])
    has_more = len(rows) > limit
    return Page(shown, encode_cursor(*key(shown[-1])) if has_more and shown else None)
