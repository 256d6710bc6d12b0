"""Whatever a venue or anybody between may answer: understood, or not understood, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.binance_values import (
    OUR_ID,
    T0,
    buy,
    filled_body,
    list_body,
    oco,
    order_body,
    ref,
)

from tradewind.venues.base import Ack
from tradewind.venues.binance.codec import NotUnderstood, read_error
from tradewind.venues.binance.codec_reports import (
    read_ack,
    read_cancel,
    read_list_ack,
    read_order,
)

# --- whatever may come -------------------------------------------------------------------------------

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.sampled_from(["", "NaN", "-1", "0", "1", "Infinity", "1e9", "FILLED", "BUY", "<html>", OUR_ID])
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def paths_of(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [prefix] if prefix else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        found += paths_of(inner, (*prefix, key))
    return found


def broken(whole: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Bodies that differ from a good one in one or two places, by junk or by absence."""
    missing = object()

    def damage(places: list[tuple[tuple[Any, ...], Any]]) -> bytes:
        body = json.loads(json.dumps(whole))
        for path, junk in places:
            target = body
            try:
                for key in path[:-1]:
                    target = target[key]
                if junk is missing:
                    del target[path[-1]]
                else:
                    target[path[-1]] = junk
            except (KeyError, IndexError, TypeError):
                continue  # the place is gone by the damage before
        return json.dumps(body).encode("utf-8")

    place = st.tuples(st.sampled_from(paths_of(whole)), JUNK | st.just(missing))
    return st.lists(place, min_size=1, max_size=2).map(damage)


READERS: list[tuple[str, dict[str, Any], Callable[[bytes], Any]]] = [
    ("ack", filled_body(), lambda body: read_ack(body, buy(), T0)),
    ("list", list_body(), lambda body: read_list_ack(body, oco(), T0)),
    ("cancel", filled_body(status="CANCELED"), lambda body: read_cancel(body, ref("28"))),
    ("order", order_body(), lambda body: read_order(body, ref("28"))),
]


@pytest.mark.parametrize("name", [name for name, _, _ in READERS])
@settings(max_examples=150)
@given(data=st.data())
def test_readers_when_a_good_answer_is_damaged_then_understood_or_not_understood_and_nothing_else(
    name: str, data: st.DataObject
) -> None:
    whole, reader = next((whole, reader) for each, whole, reader in READERS if each == name)
    body = data.draw(broken(whole))
    try:
        found = reader(body)
    except NotUnderstood:
        return
    reports = found.reports if isinstance(found, Ack) else found if isinstance(found, tuple) else (found,)
    for report in reports:
        assert report.executed.value.is_finite()
        assert report.executed.value >= 0
        assert report.executed_quote >= 0
        assert report.symbol == "BTCUSDT"


@given(st.binary(max_size=200))
def test_readers_when_body_is_any_bytes_then_not_understood(body: bytes) -> None:
    for _, _, reader in READERS:
        with pytest.raises(NotUnderstood):
            reader(body)
    assert read_error(400, body).code is None or body.strip().startswith(b"{")
