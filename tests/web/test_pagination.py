"""Cursors come back as they went out, and nothing else is taken for one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.people import browser
from tests.support.web import guarded_app

from tradewind.core.errors import InvalidInput
from tradewind.web.pagination import PageQuery, decode_cursor, encode_cursor, page_of

_VALUES = st.tuples(st.integers(min_value=-(2**53), max_value=2**53), st.text(max_size=40))


@given(_VALUES)
def test_cursor_when_read_back_then_has_the_same_values(values: tuple[int, str]) -> None:
    cursor = encode_cursor(*values)
    if len(cursor) <= 512:
        assert decode_cursor(cursor, parts=2) == values


@given(st.text(max_size=60))
def test_cursor_when_it_is_any_text_then_is_read_or_refused_and_nothing_else(text: str) -> None:
    with suppress(InvalidInput):
        assert decode_cursor(text)


@pytest.mark.parametrize(
    "cursor", ["", "!!!", "AAAA", "W10", "eyJhIjoxfQ", "WzEuNV0", "W251bGxd", "WzFd" * 200, "é", "WzEsMl0"]
)
def test_cursor_when_it_is_not_ours_then_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        decode_cursor(cursor, parts=3)


def test_page_when_there_are_more_rows_then_names_the_next() -> None:
    page = page_of([1, 2, 3], 2, lambda row: (row,))
    assert page.items == [1, 2]
    assert page.next_cursor is not None
    assert decode_cursor(page.next_cursor) == (2,)


@pytest.mark.parametrize("rows", [[], [1], [1, 2]])
def test_page_when_it_is_the_last_then_names_none(rows: list[int]) -> None:
    page = page_of(rows, 2, lambda row: (row,))
    assert (page.items, page.next_cursor) == (rows, None)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?limit=1", 200),
        ("?limit=1000", 200),
        ("?limit=0", 422),
        ("?limit=1001", 422),
        ("?limit=x", 422),
        ("?cursor=nonsense!", 400),
    ],
)
async def test_query_when_asked_for_a_page_then_bounds_hold(query: str, status: int) -> None:
    app = guarded_app()

    @app.get("/x")
    async def x(page: PageQuery) -> Any:
        return page.limit

    async with browser(app) as client:
        assert (await client.get(f"/x{query}")).status_code == status
